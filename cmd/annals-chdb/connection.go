package main

import (
	"bytes"
	"errors"
	"runtime"
	"unsafe"
)

// connection is one session of the engine, with an operating system thread of
// its own on which every call of the session is made. The engine keeps much of
// a statement's state in thread-local variables, and chdb.h does not say that
// the calls of one stream may come from different threads, as they would from
// a goroutine that is free to move.
//
// do, run and close may be called from any goroutine, one at a time.
type connection struct {
	lib    *library
	handle unsafe.Pointer // chdb_connection*: what close wants
	conn   uintptr        // chdb_connection: what everything else wants

	calls  chan func()
	closed chan struct{}
}

// open starts a thread and opens a session on it. The first session boots the
// engine with its server-level arguments; later ones read their query-level
// settings only.
func (l *library) open(args []string) (*connection, error) {
	c := &connection{lib: l, calls: make(chan func()), closed: make(chan struct{})}
	opened := make(chan error)
	go c.live(args, opened)
	if err := <-opened; err != nil {
		return nil, err
	}
	return c, nil
}

// live is the life of the session's thread, which ends with it.
func (c *connection) live(args []string, opened chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	defer close(c.closed)
	err := c.connect(args)
	opened <- err
	if err != nil {
		return
	}
	for call := range c.calls {
		call()
	}
	c.lib.closeConn(c.handle)
}

func (c *connection) connect(args []string) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]*byte, 0, len(args)+1)
	for _, a := range args {
		b := append([]byte(a), 0)
		pin.Pin(&b[0])
		argv = append(argv, &b[0])
	}
	argv = append(argv, nil)
	pin.Pin(&argv[0])
	handle := c.lib.connect(int32(len(args)), unsafe.Pointer(&argv[0]))
	if handle == nil {
		return errors.New("the engine refused to open a session; its reason is on standard error")
	}
	c.handle, c.conn = handle, *(*uintptr)(handle)
	return nil
}

// do runs f on the session's thread; done is closed when f has returned.
func (c *connection) do(f func()) (done <-chan struct{}) {
	ended := make(chan struct{})
	c.calls <- func() {
		defer close(ended)
		f()
	}
	return ended
}

// close ends the session and its thread, after what do was given.
func (c *connection) close() {
	close(c.calls)
	<-c.closed
}

// run executes one statement and returns a copy of its whole result.
func (c *connection) run(sql, format string, params []parameter) (out []byte, err error) {
	<-c.do(func() {
		err = c.query(sql, format, params, func(result []byte) error {
			out = bytes.Clone(result)
			return nil
		})
	})
	return out, err
}
