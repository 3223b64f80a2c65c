package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// call is what is known of one request while it runs. One goroutine uses it.
type call struct {
	id      string // trace id, 32 hex digits
	who     policy.Principal
	route   string // the route's pattern; never the path, which holds ids
	err     error
	taking  bool  // the answer may hold any number of records: a scan, an export
	records int64 // in it; -1: not known
	control *http.ResponseController
}

type callKey struct{}

// callOf gives the request's call. Every request passes Server.observe.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// metrics of the listener.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	running  prometheus.Gauge
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_http_requests_total", Help: "Requests answered, by route and status; 499: the client left first.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "annals_http_request_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: []float64{.005, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"route"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "annals_http_requests_running", Help: "Requests being answered now.",
		}),
	}
}

// observe gives a request its id, survives its panics, and tells the log and
// the metrics how it ended.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		ctx, span := s.options.Tracer.StartRequest(r)
		out := &recorder{ResponseWriter: w}
		c := &call{id: telemetry.TraceID(ctx), route: "unmatched", records: -1, control: http.NewResponseController(w)}
		if c.id == "" {
			c.id = requestID(r)
		}
		w.Header().Set("X-Trace-Id", c.id)
		s.metrics.running.Inc()
		defer func() {
			s.metrics.running.Dec()
			abort := s.recovered(recover(), out, c)
			s.report(r, c, out, time.Since(began), span)
			if abort {
				panic(http.ErrAbortHandler) // net/http breaks the connection
			}
		}()
		// Set anew for each request of a connection; what may take longer moves it.
		if c.err = c.control.SetWriteDeadline(began.Add(answerTimeout + stall)); c.err != nil {
			return // the connection is gone
		}
		next.ServeHTTP(out, r.WithContext(context.WithValue(ctx, callKey{}, c)))
	})
}

// recovered turns a panic into an answer. It reports whether the connection
// must be broken because an answer had begun.
func (s *Server) recovered(panicked any, out *recorder, c *call) (abort bool) {
	if panicked == nil {
		return false
	}
	if err, ok := panicked.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		c.err = fmt.Errorf("panic: %v", panicked)
		s.options.Logger.Error("request panicked", "component", "web", "trace_id", c.id, "route", c.route,
			"panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		if out.status == 0 {
			writeProblem(out, problemOf(c.err, c.id))
			return false
		}
	}
	return true
}

// report writes the request's one line, and ends its span. Reads that went well are for
// debugging only, for the explorer asks every second; but who took records by the
// thousand, by a scan or an export, is said.
func (s *Server) report(r *http.Request, c *call, out *recorder, took time.Duration, span *telemetry.Span) {
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	if errors.Is(c.err, context.Canceled) && r.Context().Err() != nil {
		status = 499 // the client left; nginx's number for it
	}
	s.metrics.requests.WithLabelValues(methodLabel(r.Method), c.route, strconv.Itoa(status)).Inc()
	s.metrics.seconds.WithLabelValues(c.route).Observe(took.Seconds())
	span.Rename(methodLabel(r.Method) + " " + c.route)
	span.Set(slog.String("http.request.method", methodLabel(r.Method)), slog.String("http.route", c.route),
		slog.Int("http.response.status_code", status), slog.Int64("http.response.body.size", out.bytes))
	var failed error
	if status >= http.StatusInternalServerError {
		failed = c.err
	}
	span.End(failed)

	attributes := []any{
		"component", "web", "method", methodLabel(r.Method), "route", c.route, "status", status, "bytes", out.bytes,
		"duration_ms", took.Milliseconds(), "trace_id", c.id,
	}
	if c.taking {
		attributes = append(attributes, "principal", c.who.Name)
	}
	if c.records >= 0 {
		attributes = append(attributes, "records", c.records)
	}
	level, broken := slog.LevelDebug, (*brokenError)(nil)
	switch {
	case status == 499 && c.taking: // what had been sent by then was taken
		level = slog.LevelInfo
	case status == 499:
	case c.err == nil && status == http.StatusServiceUnavailable: // a probe's plain answer, asked every few seconds
	case errors.As(c.err, &broken), status >= http.StatusInternalServerError:
		level = slog.LevelError
		attributes = append(attributes, "err", c.err)
	case c.err != nil:
		attributes = append(attributes, "kind", schema.KindOf(c.err).String())
	case r.Method == http.MethodPost, c.taking:
		level = slog.LevelInfo
	}
	s.options.Logger.Log(r.Context(), level, "request answered", attributes...)
}

// methodLabel bounds the label: a method can be any word.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		return method
	}
	return "other"
}

// requestID takes the trace id from a W3C traceparent header, so that logs of
// both sides can be laid side by side, or draws one.
func requestID(r *http.Request) string {
	parts := strings.Split(r.Header.Get("traceparent"), "-")
	if len(parts) >= 4 && len(parts[1]) == 32 && parts[1] != strings.Repeat("0", 32) && strings.ToLower(parts[1]) == parts[1] {
		if _, err := hex.DecodeString(parts[1]); err == nil {
			return parts[1]
		}
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the program instead
	return hex.EncodeToString(id[:])
}

// recorder sees status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
