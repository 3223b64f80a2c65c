package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// ErrPortInUse is wrapped by the error of a Start function whose listen
// address is taken by another process; the message names the address.
var ErrPortInUse = errors.New("address already in use by another process")

// ErrNotLoopback is wrapped by the error of a Start function that was told to
// listen beyond this machine. Embedded engines are for one machine; beyond it
// use real ones.
var ErrNotLoopback = errors.New("embedded engines listen on loopback addresses only")

// listenLoopback listens on a loopback address such as "127.0.0.1:19092" or
// "127.0.0.1:0" and admits at most maxConns connections at a time: further
// ones wait in the kernel's backlog until one is closed.
func listenLoopback(ctx context.Context, addr string, maxConns int) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen address %q: %w (write 127.0.0.1:PORT or [::1]:PORT)", addr, ErrNotLoopback)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: %w", addr, ErrPortInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &boundedListener{
		Listener: ln,
		slots:    make(chan struct{}, maxConns),
		closed:   make(chan struct{}),
	}, nil
}

// boundedListener admits as many connections as it has slots.
type boundedListener struct {
	net.Listener
	slots     chan struct{}
	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			return &slotConn{Conn: conn, free: func() { <-l.slots }}, nil
		}
		if !passing(err) {
			<-l.slots
			return nil, err
		}
		select {
		case <-time.After(acceptPause):
		case <-l.closed:
			<-l.slots
			return nil, net.ErrClosed
		}
	}
}

// acceptPause is how long a listener waits after an error that will pass.
const acceptPause = 50 * time.Millisecond

// passing tells errors of one connection, or of a process short of file
// descriptors, from those that end a listener.
func passing(err error) bool {
	return errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func (l *boundedListener) Close() error {
	l.closeOnce.Do(func() {
		close(l.closed)
		l.closeErr = l.Listener.Close()
	})
	return l.closeErr
}

// slotConn gives its listener's slot back when it is closed.
type slotConn struct {
	net.Conn
	once sync.Once
	free func()
}

func (c *slotConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}
