package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// Bounds. They are far above what people and their scripts need, and keep one
// client from taking the process.
const (
	maxConnections = 512
	maxRunning     = 128 // API requests at once
	maxExports     = 5   // at once: each reads the archive as fast as it can
	maxWatching    = 64  // at once
	maxHeader      = 64 << 10
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	shutdownGrace  = 10 * time.Second
	answerTimeout  = time.Minute
)

// answerTimeouts of operations that may take longer; 0 is no limit.
var answerTimeouts = map[string]time.Duration{
	"POST " + base + "/seal":                10 * time.Minute,
	"POST " + base + "/replays/plans":       5 * time.Minute,
	"POST " + base + "/replays/:id/dry-run": 0,
	"POST " + base + "/exports":             0,
	"GET " + base + "/records/export":       0,
	"GET " + base + "/records/scan":         0,
	watchReplay:                             0,
}

// watchReplay is the one operation that waits for what happens. Those who watch
// take nobody's place who asks for something.
const watchReplay = "GET " + base + "/replays/:id/events"

// Options of a Server. All but AllowedHosts, Roles and Demo are required.
type Options struct {
	Listen       string   // host:port; port 0 picks a free one
	AllowedHosts []string // names besides the loopback ones, without port
	Registry     *prometheus.Registry
	Build        string   // the version shown
	Roles        []string // what this process does: archive, serve
	Demo         bool     // the demo's topics are here
	Logger       *slog.Logger
	Tracer       *telemetry.Tracer // of requests; nil: nothing is traced
	// Principal says who sends a request. An error of kind Permission refuses it.
	// In development everybody who passes the boundary is
	// [policy.Everything].
	Principal func(*http.Request) (policy.Principal, error)
}

// Server answers HTTP. See the package comment.
type Server struct {
	options  Options
	services Services
	hosts    hosts
	metrics  *metrics
	handler  http.Handler
	running  chan struct{}
	exports  chan struct{}
	watching chan struct{}
	leaving  chan struct{} // closed when the server stops: who watches goes first
	listener net.Listener
}

// New makes a Server; it opens and starts nothing. Errors are Invalid but for a
// broken build.
func New(options Options, services Services) (*Server, error) {
	dist, err := fs.Sub(built, "ui/dist")
	if err != nil {
		return nil, fmt.Errorf("read the embedded explorer: %w", err)
	}
	return newServer(options, services, dist)
}

func newServer(options Options, services Services, dist fs.FS) (*Server, error) {
	switch {
	case options.Registry == nil || options.Logger == nil || options.Principal == nil:
		return nil, schema.Errorf(schema.Invalid, "make web server: registry, logger and principal are required")
	case services.Queries == nil || services.Health == nil:
		return nil, schema.Errorf(schema.Invalid, "make web server: queries and health are required")
	}
	if len(options.AllowedHosts) == 0 && !loopback(options.Listen) {
		return nil, schema.InvalidField("web.allowed_hosts",
			"web.listen %q is reachable from other machines: name the hosts under which it answers in web.allowed_hosts", options.Listen)
	}
	names, err := newHosts(options.AllowedHosts)
	if err != nil {
		return nil, err
	}
	s := &Server{
		options: options, services: services, hosts: names, metrics: newMetrics(),
		running: make(chan struct{}, maxRunning), exports: make(chan struct{}, maxExports),
		watching: make(chan struct{}, maxWatching), leaving: make(chan struct{}),
	}
	pages, err := newExplorer(dist)
	if err != nil {
		return nil, err
	}
	e, err := s.routes(pages)
	if err != nil {
		return nil, err
	}
	s.handler = s.observe(s.boundary(headAsGet(e)))
	return s, nil
}

// loopback tells addresses that only this machine can reach.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return true // Listen says what is wrong with it
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// Collectors returns the Server's metrics, to be registered by the process.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.requests, s.metrics.seconds, s.metrics.running}
}

// routes builds the echo router.
func (s *Server) routes(pages *explorer) (http.Handler, error) {
	check, err := newValidator()
	if err != nil {
		return nil, err
	}
	compress, err := gzhttp.NewWrapper(gzhttp.ContentTypes([]string{"application/json", "application/problem+json"}))
	if err != nil {
		return nil, fmt.Errorf("make compression: %w", err)
	}
	// A catch-all route would hide from the router that a path exists with
	// another method.
	e := echo.NewWithConfig(echo.Config{
		Logger: s.options.Logger, HTTPErrorHandler: failed, NoGroupAutoRegister404Routes: true,
		Router: echo.NewRouter(echo.RouterConfig{NotFoundHandler: pages.serve}),
	})
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			if route := c.Path(); route != "" {
				callOf(c.Request().Context()).route = route
			}
			return next(c)
		}
	})
	s.probes(e)
	g := e.Group(base, s.limits, check.middleware)
	o := &operations{services: s.services, options: s.options, leaving: s.leaving}
	api.RegisterHandlers(g, api.NewStrictHandler(o, nil))

	compressed := compress(e)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPage(r.URL.Path) || strings.HasSuffix(r.URL.Path, "/events") { // assets are kept compressed, events go out one by one
			e.ServeHTTP(w, r)
			return
		}
		compressed.ServeHTTP(w, r)
	}), nil
}

// failed answers with an error; what has begun already is broken off.
func failed(c *echo.Context, err error) {
	err = fromRouter(err)
	call := callOf(c.Request().Context())
	call.err = err
	response, _ := echo.UnwrapResponse(c.Response())
	var broken *brokenError
	if errors.As(err, &broken) || response != nil && response.Committed {
		panic(http.ErrAbortHandler)
	}
	// The time for the answer is used up where nothing was written in it.
	if deadline := call.control.SetWriteDeadline(time.Now().Add(stall)); deadline != nil {
		call.err = errors.Join(err, deadline)
		return
	}
	writeProblem(c.Response(), problemOf(err, call.id))
}

// limits bounds an API request in number and time, and says who sends it.
func (s *Server) limits(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		r := c.Request()
		call := callOf(r.Context())
		operation := r.Method + " " + c.Path()
		slots := s.running
		timeout, special := answerTimeouts[operation]
		switch {
		case !special:
			timeout = answerTimeout
		case operation == watchReplay:
			slots = s.watching
		case timeout == 0:
			slots = s.exports
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			return schema.WithHint(withStatus(http.StatusTooManyRequests,
				schema.Errorf(schema.Exhausted, "%d requests of this kind are being answered", cap(slots))), "try again in a few seconds")
		}
		who, err := s.options.Principal(r)
		if err != nil {
			return err
		}
		call.who = who
		c.Response().Header().Set("Cache-Control", "no-store")
		if timeout > 0 {
			if err := call.control.SetWriteDeadline(time.Now().Add(timeout + stall)); err != nil {
				return fmt.Errorf("bound answer: %w", err)
			}
			ctx, cancel := context.WithTimeout(r.Context(), timeout)
			defer cancel()
			c.SetRequest(r.WithContext(ctx))
		}
		return next(c)
	}
}

// headAsGet lets every GET be asked for its header alone; net/http leaves the
// body out by itself.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}

// Listen binds the address and returns it with the port that was picked. Run
// does it where it was not done. An occupied port is a Conflict.
func (s *Server) Listen() (string, error) {
	if s.listener != nil {
		return s.listener.Addr().String(), nil
	}
	listener, err := net.Listen("tcp", s.options.Listen)
	if err != nil {
		known := &schema.Error{
			Kind: schema.Invalid, Field: "web.listen", Hint: "--web-listen takes host:port of this machine",
			Err: fmt.Errorf("listen on %s for the web API: %w", s.options.Listen, err),
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			known.Kind = schema.Conflict
			known.Hint = "another process has the port; name another with --web-listen (port 0 picks a free one)"
		}
		return "", known
	}
	s.listener = listener
	return listener.Addr().String(), nil
}

// Run serves until ctx ends. Requests that run then have ten seconds to finish;
// what is left is broken off. It returns nil after that, and an error only when
// serving fails by itself.
func (s *Server) Run(ctx context.Context) error {
	if _, err := s.Listen(); err != nil {
		return err
	}
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return lasting },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(netutil.LimitListener(s.listener, maxConnections)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the web API: %w", err)
	case <-ctx.Done():
	}
	close(s.leaving)
	grace, done := context.WithTimeout(lasting, shutdownGrace)
	defer done()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.options.Logger.Warn("requests broken off by shutdown", "after", shutdownGrace.String())
		cancel()
		err = server.Close()
	}
	<-ended
	if err != nil && !strings.Contains(err.Error(), "use of closed network connection") {
		return fmt.Errorf("stop the web API: %w", err)
	}
	return nil
}
