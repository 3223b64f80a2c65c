package matrix

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	ot "github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

// trigger picks the requests that a fault befalls: from the n-th that matches
// on, count in a row; count below zero is all of them.
type trigger struct {
	n, count int

	mu          sync.Mutex
	seen, fired int
}

// pull counts a request that matches, and tells whether the fault befalls it.
func (g *trigger) pull() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen++
	if g.seen < g.n || g.count >= 0 && g.fired >= g.count {
		return false
	}
	g.fired++
	return true
}

// giveBack undoes a pull that could do nothing.
func (g *trigger) giveBack() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fired--
	g.seen--
}

func (g *trigger) hits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fired
}

// ambush is a fault that waits at a point of an HTTP engine.
type ambush struct {
	*trigger
	match         func(*http.Request) bool
	fault         ot.Fault
	before, after func() // called around the request that it befalls
}

// proxy stands before an engine that speaks HTTP.
type proxy struct {
	addr string
	base http.RoundTripper

	mu     sync.Mutex
	armed  *ambush
	faults *ot.Faults // of what is armed
	off    bool       // the engine cannot be reached
	kept   []string   // paths of PUTs that were answered well
}

// newProxy passes everything on until something is armed. Signatures cover the
// Host header, so it stays as the client wrote it.
func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	p := &proxy{base: transport}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", target, r.In.Host
		},
		Transport:    p,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // the connection breaks
		ErrorLog:     log.New(io.Discard, "", 0),
	})
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	p.addr = server.Listener.Addr().String()
	return p
}

// arm lays an ambush; nil removes what is there.
func (p *proxy) arm(a *ambush) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed = a; a == nil {
		return // what is late is still to be delivered
	}
	p.faults = &ot.Faults{Base: p.base, Delay: slowness, Choose: func(*http.Request) ot.Fault { return a.fault }}
}

// cut makes the engine one that cannot be reached, or ends that.
func (p *proxy) cut(off bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = off
}

// deliver sends what was kept back.
func (p *proxy) deliver(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	faults := p.faults
	p.mu.Unlock()
	if faults == nil {
		return
	}
	if _, err := faults.Deliver(); err != nil {
		t.Errorf("deliver what was late: %v", err)
	}
}

func (p *proxy) keep(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.off {
		p.kept = append(p.kept, path)
	}
}

// acknowledged gives each key below a prefix whose PUT was answered well, until
// the engine could not be reached any more.
func (p *proxy) acknowledged(do func(key string), prefix string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, path := range p.kept {
		if key, ok := strings.CutPrefix(path, "/"+prefix); ok {
			do(key)
		}
	}
}

// slowness is how long a slow answer takes: longer than any request here, and
// less than every client's patience.
const slowness = 400 * time.Millisecond

// RoundTrip implements http.RoundTripper.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	armed, faults, off := p.armed, p.faults, p.off
	p.mu.Unlock()
	if off {
		return nil, io.ErrUnexpectedEOF
	}
	if armed == nil || !armed.match(r) || !armed.pull() {
		response, err := p.base.RoundTrip(r)
		if err == nil && r.Method == http.MethodPut && response.StatusCode == http.StatusOK {
			p.keep(r.URL.Path)
		}
		return response, err
	}
	if armed.before != nil {
		armed.before()
		r = r.WithContext(context.WithoutCancel(r.Context())) // it is on its way, whoever has died
	}
	response, err := faults.RoundTrip(r)
	if armed.after != nil {
		armed.after()
	}
	return response, err
}
