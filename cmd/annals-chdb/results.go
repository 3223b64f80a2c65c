package main

import (
	"runtime"
	"unsafe"
)

// parameter is one {name:Type} value, as the text the engine will parse.
type parameter struct{ name, value string }

// boundParameters is the C shape of a parameter list; it pins what it points
// at until release.
type boundParameters struct {
	pin                                runtime.Pinner
	names, nameLens, values, valueLens unsafe.Pointer
	count                              uint64
}

func bind(params []parameter) *boundParameters {
	b := &boundParameters{count: uint64(len(params))}
	if len(params) == 0 {
		return b
	}
	pointers := func(text func(parameter) string) (unsafe.Pointer, unsafe.Pointer) {
		ptrs := make([]*byte, len(params))
		lens := make([]uint64, len(params))
		for i, p := range params {
			bytes := append([]byte(text(p)), 0)
			b.pin.Pin(&bytes[0])
			ptrs[i], lens[i] = &bytes[0], uint64(len(bytes)-1)
		}
		b.pin.Pin(&ptrs[0])
		b.pin.Pin(&lens[0])
		return unsafe.Pointer(&ptrs[0]), unsafe.Pointer(&lens[0])
	}
	b.names, b.nameLens = pointers(func(p parameter) string { return p.name })
	b.values, b.valueLens = pointers(func(p parameter) string { return p.value })
	return b
}

func (b *boundParameters) release() { b.pin.Unpin() }

// query executes one statement and shows its whole result to write, once, even
// when it is empty. The bytes are the engine's and gone after write returns.
// To be called inside do, like every method from here on.
func (c *connection) query(sql, format string, params []parameter, write func([]byte) error) error {
	p := bind(params)
	defer p.release()
	s, f := textOf(sql), textOf(format)
	result := c.lib.queryWhole(c.conn, &s[0], uint64(len(sql)), &f[0], uint64(len(format)), p.names, p.nameLens, p.values, p.valueLens, p.count)
	if result == 0 {
		return engineErrorf("the engine returned no result")
	}
	defer c.lib.destroyResult(result)
	if text := c.lib.resultError(result); text != "" {
		return parseEngineError(text)
	}
	return write(c.view(result))
}

// view is a result's bytes where the engine keeps them.
func (c *connection) view(result uintptr) []byte {
	n := c.lib.resultLength(result)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(c.lib.resultBuffer(result)), n)
}

// resultStream is a SELECT whose result comes in pieces. close must be called.
type resultStream struct {
	c      *connection
	stream uintptr
	ended  bool
}

func (c *connection) stream(sql, format string, params []parameter) (*resultStream, error) {
	p := bind(params)
	defer p.release()
	s, f := textOf(sql), textOf(format)
	stream := c.lib.streamQuery(c.conn, &s[0], uint64(len(sql)), &f[0], uint64(len(format)), p.names, p.nameLens, p.values, p.valueLens, p.count)
	if stream == 0 {
		return nil, engineErrorf("the engine returned no result")
	}
	if text := c.lib.resultError(stream); text != "" {
		c.lib.destroyResult(stream)
		return nil, parseEngineError(text)
	}
	return &resultStream{c: c, stream: stream}, nil
}

// next shows the next piece to write; more is false at the end. The bytes are
// the engine's and gone after write returns.
func (s *resultStream) next(write func([]byte) error) (more bool, err error) {
	if s.ended {
		return false, nil
	}
	result := s.c.lib.streamFetch(s.c.conn, s.stream)
	if result == 0 {
		s.ended = true
		return false, engineErrorf("the engine returned no result")
	}
	defer s.c.lib.destroyResult(result)
	if text := s.c.lib.resultError(result); text != "" {
		s.ended = true
		return false, parseEngineError(text)
	}
	piece := s.c.view(result)
	if piece == nil {
		s.ended = true
		return false, nil
	}
	return true, write(piece)
}

func (s *resultStream) close() {
	if !s.ended {
		s.c.lib.streamCancel(s.c.conn, s.stream)
	}
	s.c.lib.destroyResult(s.stream)
}

// insertStream takes the data of one INSERT in pieces. Exactly one of done
// and cancel must be called.
type insertStream struct {
	c      *connection
	stream uintptr
}

// insert begins an INSERT; sql ends before its FORMAT clause.
func (c *connection) insert(sql, format string, params []parameter) (*insertStream, error) {
	p := bind(params)
	defer p.release()
	s, f := textOf(sql), textOf(format)
	stream := c.lib.insert(c.conn, &s[0], uint64(len(sql)), &f[0], uint64(len(format)), p.names, p.nameLens, p.values, p.valueLens, p.count)
	if stream == 0 {
		return nil, engineErrorf("the engine opened no insert")
	}
	if text := c.lib.insertError(stream); text != "" {
		c.lib.destroyInsert(stream)
		return nil, parseEngineError(text)
	}
	return &insertStream{c: c, stream: stream}, nil
}

// append hands over one piece; the engine copies it, and blocks while it has
// too much. False means that the insert has failed: done tells why.
func (s *insertStream) append(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	return s.c.lib.insertAppend(s.stream, &data[0], uint64(len(data))) == 0
}

// done ends the data and waits until it is in the table.
func (s *insertStream) done() (rows uint64, err error) {
	defer s.c.lib.destroyInsert(s.stream)
	result := s.c.lib.insertDone(s.stream)
	if result == 0 {
		return 0, engineErrorf("the engine did not answer the insert")
	}
	defer s.c.lib.destroyResult(result)
	if text := s.c.lib.resultError(result); text != "" {
		return 0, parseEngineError(text)
	}
	return s.c.lib.resultWritten(result), nil
}

// cancel drops the insert. Blocks that were already written stay: that is
// ClickHouse's way, on a server too.
func (s *insertStream) cancel() {
	s.c.lib.insertCancel(s.stream)
	s.c.lib.destroyInsert(s.stream)
}

// classify says what a statement would do, without running it.
func (c *connection) classify(sql string) (analysis, error) {
	out := analysis{structSize: uint32(unsafe.Sizeof(analysis{}))}
	s := textOf(sql)
	if c.lib.classify(c.conn, &s[0], uint64(len(sql)), nil, 0, &out) != 0 {
		return analysis{}, engineErrorf("the engine could not look at the statement")
	}
	return out, nil
}

// textOf copies a string into bytes of which the first always exists; the
// length goes beside it, the NUL is never read.
func textOf(s string) []byte { return append([]byte(s), 0) }
