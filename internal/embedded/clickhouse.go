package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
)

// ClickHouseOptions say where the embedded ClickHouse lives.
type ClickHouseOptions struct {
	// Binary is the path of annals-chdb; empty: FindClickHouseBinary.
	Binary string
	// Library is the path of libchdb.so; empty: FindClickHouseLibrary.
	Library string
	// DataDir is the folder of the data, for one process at a time. Required.
	DataDir string
	// Listen is a loopback address; empty: 127.0.0.1:0, any free port.
	Listen string
	// User and Password are what clients must give. Both required.
	User, Password string
	// MaxMemory is the most the engine may allocate, in bytes; 0: 1.2 GiB.
	MaxMemory uint64
	// Logger takes the child's own log lines and what happens to it. Required.
	Logger *slog.Logger
}

// ClickHouse is a supervised child process that serves ClickHouse's HTTP
// protocol from libchdb.so. Safe for concurrent use.
//
// The listening socket belongs to this process and is handed down. So the
// address never changes and nobody can take the port while the child is
// started again; requests that arrive then wait in the socket's queue instead
// of being refused.
type ClickHouse struct {
	options  ClickHouseOptions
	listener *net.TCPListener
	socket   *os.File // the listener's descriptor, for the children

	stop    context.CancelFunc
	stopped chan struct{} // closed when the supervisor has returned

	mu      sync.Mutex
	pid     int // of the running child; 0: none runs
	version string
	cause   error // why none runs
	starts  int
}

// StartClickHouse starts the child and returns when it is ready, or why it
// cannot be. From then on a goroutine starts it again whenever it dies, until
// Close. ctx bounds the start only.
//
// Errors: ErrNoClickHouseEngine when a file is missing; ErrPortInUse or
// ErrNotLoopback when the address cannot be had; otherwise what the child said, for example that
// another process has the data folder.
func StartClickHouse(ctx context.Context, o ClickHouseOptions) (*ClickHouse, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	listener, socket, err := listenForChild(ctx, o.Listen)
	if err != nil {
		return nil, err
	}
	c := &ClickHouse{options: o, listener: listener, socket: socket, stopped: make(chan struct{})}
	child, err := startChild(ctx, c.options, socket)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded ClickHouse: %w", err), c.closeSocket())
	}
	c.note(child, nil)
	supervised, stop := context.WithCancel(context.Background())
	c.stop = stop
	go c.supervise(supervised, child)
	return c, nil
}

// complete fills in what may be left out and refuses what is missing.
func (o *ClickHouseOptions) complete() error {
	switch {
	case o.DataDir == "":
		return errors.New("embedded ClickHouse: no data folder given")
	case o.User == "" || o.Password == "":
		return errors.New("embedded ClickHouse: no user or password given; loopback ports need one too")
	case o.Logger == nil:
		return errors.New("embedded ClickHouse: no logger given")
	}
	var err error
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Library == "" {
		if o.Library, err = FindClickHouseLibrary(); err != nil {
			return err
		}
	} else if err := regularFile(o.Library); err != nil {
		return fmt.Errorf("%w: library: %w", ErrNoClickHouseEngine, err)
	}
	if o.Binary == "" {
		if o.Binary, err = FindClickHouseBinary(); err != nil {
			return err
		}
	} else if err := regularFile(o.Binary); err != nil {
		return fmt.Errorf("%w: program: %w", ErrNoClickHouseEngine, err)
	}
	return nil
}

// listenForChild listens on a loopback address and gives the socket in the form
// that a child inherits.
func listenForChild(ctx context.Context, address string) (*net.TCPListener, *os.File, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, nil, fmt.Errorf("listen address %q: %w (write 127.0.0.1:PORT or [::1]:PORT)", address, ErrNotLoopback)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, nil, fmt.Errorf("listen on %s: %w", address, ErrPortInUse)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	tcp := listener.(*net.TCPListener) //nolint:forcetypeassert // network "tcp" gives no other
	socket, err := tcp.File()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("hand down the listener of %s: %w", address, err), tcp.Close())
	}
	return tcp, socket, nil
}

// Addr is host:port, the same for the life of c.
func (c *ClickHouse) Addr() string { return c.listener.Addr().String() }

// Version is what the engine calls itself, for example 26.7.2.1.
func (c *ClickHouse) Version() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// PID is the running child's, 0 while none runs. Starts counts how often one
// was started: more than one is worth a metric.
func (c *ClickHouse) PID() (pid, starts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid, c.starts
}

// Health runs a statement. Nil: the engine answers. While the child is down
// the error says why it died, without waiting for the next one.
func (c *ClickHouse) Health(ctx context.Context) error {
	c.mu.Lock()
	pid, cause := c.pid, c.cause
	c.mu.Unlock()
	if pid == 0 {
		return fmt.Errorf("embedded ClickHouse is being started again: %w", cause)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Addr()+"/", strings.NewReader("SELECT 1"))
	if err != nil {
		return fmt.Errorf("make health request: %w", err)
	}
	req.SetBasicAuth(c.options.User, c.options.Password)
	req.Close = true
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("ask embedded ClickHouse: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("ask embedded ClickHouse: %w", err)
	}
	if resp.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != "1" {
		return fmt.Errorf("embedded ClickHouse answered %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// Close stops the child cleanly, waits for it, and gives the address back. A
// child that does not stop is killed. Safe to call again.
func (c *ClickHouse) Close() error {
	c.stop()
	<-c.stopped
	return c.closeSocket()
}

func (c *ClickHouse) closeSocket() error {
	var errs []error
	for _, f := range []io.Closer{c.socket, c.listener} {
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close ClickHouse listener: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Restarts wait longer each time, up to maxBackoff; a child that lived for
// settled starts the count anew.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	settled    = 10 * time.Second
)

// supervise waits for the child's end and starts the next one, until ctx ends.
func (c *ClickHouse) supervise(ctx context.Context, child *child) {
	defer close(c.stopped)
	log := c.options.Logger
	pauses := retry.Between(minBackoff, maxBackoff)
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			if err := child.stop(); err != nil {
				log.Warn("embedded clickhouse did not stop cleanly", "err", err)
			}
			c.note(nil, errors.New("it was stopped"))
			return
		case <-child.ended:
		}
		if time.Since(began) > settled {
			pauses.Reset()
		}
		cause := child.cause()
		c.note(nil, cause)
		for child = nil; child == nil; {
			pause := pauses.Next()
			log.Error("embedded clickhouse died, starting it again", "err", cause, "pause", pause)
			if retry.Sleep(ctx, pause) != nil {
				return
			}
			if child, cause = startChild(ctx, c.options, c.socket); cause != nil {
				if ctx.Err() != nil {
					return
				}
				child = nil
				c.note(nil, cause)
			}
		}
		c.note(child, nil)
		log.Info("embedded clickhouse runs again", "pid", child.pid())
	}
}

func (c *ClickHouse) note(child *child, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.cause = 0, cause
	if child != nil {
		c.pid, c.version = child.pid(), child.version
		c.starts++
	}
}
