package web

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// probes adds what the machine's own watchers ask.
func (s *Server) probes(e *echo.Echo) {
	e.GET("/healthz", func(c *echo.Context) error { // alive: it answers and moves, however ill or far behind
		c.Response().Header().Set("Cache-Control", "no-store")
		if s.services.Alive != nil {
			if err := s.services.Alive(); err != nil {
				return c.String(http.StatusServiceUnavailable, err.Error()+"\n")
			}
		}
		return c.String(http.StatusOK, "ok\n")
	})
	e.GET("/readyz", s.ready)
	handler := promhttp.HandlerFor(s.options.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	e.GET("/metrics", func(c *echo.Context) error {
		handler.ServeHTTP(c.Response(), c.Request())
		return nil
	})
}

// ready answers 200 when all dependencies are well, else 503 and what is not.
// Being behind is not being unready, nor is being without what is not needed,
// since taking the process away would not help: both are said beside it.
func (s *Server) ready(c *echo.Context) error {
	answer := struct {
		Ready    bool              `json:"ready"`
		NotReady map[string]string `json:"not_ready,omitempty"`
		Degraded map[string]string `json:"degraded,omitempty"`
		Behind   *bool             `json:"behind,omitempty"`
		Lag      *Lag              `json:"lag,omitempty"`
	}{Ready: true, NotReady: map[string]string{}, Degraded: map[string]string{}}
	if s.services.Lag != nil {
		lag := s.services.Lag()
		answer.Behind, answer.Lag = &lag.Behind, &lag
	}
	for name, trouble := range s.services.Health() {
		switch {
		case trouble == "":
		case needed(name):
			answer.Ready, answer.NotReady[name] = false, trouble
		default:
			answer.Degraded[name] = trouble
		}
	}
	h := c.Response().Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if !answer.Ready {
		c.Response().WriteHeader(http.StatusServiceUnavailable)
	}
	return json.NewEncoder(c.Response()).Encode(answer)
}
