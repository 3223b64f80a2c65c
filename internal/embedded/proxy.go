package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// proxyIdle ends a connection that moved no byte for as long.
	proxyIdle = 5 * time.Minute
	// proxyDialTimeout bounds the way to the server behind.
	proxyDialTimeout = 10 * time.Second
	// proxyQuiet is how long a connection must have moved nothing to be cut
	// without a word when the proxy closes.
	proxyQuiet = 100 * time.Millisecond
)

// proxy passes the connections of a listener on to a server behind, byte by
// byte: S3 signatures cover the Host header, so nothing may be rewritten.
type proxy struct {
	ln     net.Listener
	dial   func(context.Context) (net.Conn, error)
	logger *slog.Logger

	ctx    context.Context // of dials
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	pairs map[*connPair]struct{}
}

func newProxy(ln net.Listener, dial func(context.Context) (net.Conn, error), logger *slog.Logger) *proxy {
	ctx, cancel := context.WithCancel(context.Background())
	return &proxy{ln: ln, dial: dial, logger: logger, ctx: ctx, cancel: cancel, pairs: make(map[*connPair]struct{})}
}

func (p *proxy) addr() string { return p.ln.Addr().String() }

// start accepts connections until close.
func (p *proxy) start() {
	p.wg.Go(func() {
		for {
			client, err := p.ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				p.logger.Error("listener failed, no further connections are accepted", "address", p.addr(), "err", err)
				return
			}
			p.wg.Go(func() { p.pass(client) })
		}
	})
}

func (p *proxy) pass(client net.Conn) {
	ctx, cancel := context.WithTimeout(p.ctx, proxyDialTimeout)
	server, err := p.dial(ctx)
	cancel()
	if err != nil {
		if p.ctx.Err() == nil {
			p.logger.Error("connect to server behind failed", "address", p.addr(), "err", err)
		}
		_ = client.Close() // the client learns by the end of its connection
		return
	}
	pair := &connPair{client: client, server: server}
	pair.moved()
	p.mu.Lock()
	p.pairs[pair] = struct{}{}
	p.mu.Unlock()
	if p.ctx.Err() != nil { // closed in between: nobody else would cut it
		pair.cut()
	}
	pair.run()
	p.mu.Lock()
	delete(p.pairs, pair)
	p.mu.Unlock()
}

// close stops accepting, waits for limit at most until no connection moves
// bytes and the server says that it is not busy, and cuts all connections.
func (p *proxy) close(limit time.Duration, busy func() bool) error {
	err := ignoreClosed(p.ln.Close())
	for deadline := time.Now().Add(limit); p.moving() || busy(); time.Sleep(proxyQuiet / 4) {
		if time.Now().After(deadline) {
			err = errors.Join(err, fmt.Errorf("cut connections that were still busy after %s", limit))
			break
		}
	}
	p.cancel()
	p.mu.Lock()
	for pair := range p.pairs {
		pair.cut()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *proxy) moving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		if pair.idle() < proxyQuiet {
			return true
		}
	}
	return false
}

// connPair is a client's connection and the one to the server behind.
type connPair struct {
	client, server net.Conn
	last           atomic.Int64 // when bytes moved, Unix nanoseconds
}

func (c *connPair) moved()              { c.last.Store(time.Now().UnixNano()) }
func (c *connPair) idle() time.Duration { return time.Since(time.Unix(0, c.last.Load())) }

// cut ends both connections. Errors say nothing here: the peers may have gone
// before.
func (c *connPair) cut() {
	_ = c.client.Close()
	_ = c.server.Close()
}

// run copies both ways until the server ends its side, or either breaks.
func (c *connPair) run() {
	var requests sync.WaitGroup
	requests.Go(func() {
		if err := c.copy(c.server, c.client); err != nil {
			c.cut()
			return
		}
		// The client sends no more; the answer may still be under way.
		if half, ok := c.server.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
			c.cut()
		}
	})
	_ = c.copy(c.client, c.server) // however it ends, the connection does
	c.cut()
	requests.Wait()
}

// copy moves bytes until src ends, which is no error, or nothing has moved
// either way for proxyIdle.
func (c *connPair) copy(dst, src net.Conn) error {
	buf := make([]byte, 32<<10)
	for {
		if err := src.SetReadDeadline(time.Now().Add(proxyIdle)); err != nil {
			return err
		}
		n, err := src.Read(buf)
		if n > 0 {
			c.moved()
			if err := dst.SetWriteDeadline(time.Now().Add(proxyIdle)); err != nil {
				return err
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			c.moved()
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isTimeout(err) && c.idle() < proxyIdle: // the other way is alive
		case err != nil:
			return err
		}
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
