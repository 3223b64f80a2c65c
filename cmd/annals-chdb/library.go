package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library holds the functions of libchdb.so that we call, bound without cgo.
// The C side is documented in chdb-core, programs/local/chdb.h; every pointer
// it hands out is C memory and is kept here as a uintptr, so that Go's
// collector never looks at it.
//
// All functions may be called from any goroutine, but a connection runs one
// statement at a time: the pool sees to that.
type library struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn         func(handle unsafe.Pointer)
	shutdown          func() int32

	queryWhole    func(conn uintptr, sql *byte, sqlLen uint64, format *byte, formatLen uint64, names, nameLens, values, valueLens unsafe.Pointer, count uint64) uintptr
	streamQuery   func(conn uintptr, sql *byte, sqlLen uint64, format *byte, formatLen uint64, names, nameLens, values, valueLens unsafe.Pointer, count uint64) uintptr
	streamFetch   func(conn, stream uintptr) uintptr
	streamCancel  func(conn, stream uintptr)
	resultBuffer  func(result uintptr) unsafe.Pointer
	resultLength  func(result uintptr) uint64
	resultError   func(result uintptr) string
	resultWritten func(result uintptr) uint64
	destroyResult func(result uintptr)

	insert        func(conn uintptr, sql *byte, sqlLen uint64, format *byte, formatLen uint64, names, nameLens, values, valueLens unsafe.Pointer, count uint64) uintptr
	insertAppend  func(stream uintptr, data *byte, n uint64) int32
	insertDone    func(stream uintptr) uintptr
	insertCancel  func(stream uintptr)
	insertError   func(stream uintptr) string
	destroyInsert func(stream uintptr)

	classify func(conn uintptr, sql *byte, sqlLen uint64, database *byte, databaseLen uint64, out *analysis) int32
}

// analysis is chdb_query_analysis_v1: what a statement would do.
type analysis struct {
	structSize     uint32
	statementCount uint32
	flags          uint32
	class          statementClass
}

// statementClass says what a statement does to state that outlives it; the
// values are chdb_query_class.
type statementClass uint32

const (
	classReadOnly statementClass = iota
	classMutating
	classMutatingGlobal
	classControl
	classUnknown
)

// openLibrary loads libchdb.so and binds every function we need. A library
// that lacks one is refused here, by name, and not at the first call.
func openLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("load engine %s: %w", path, err)
	}
	lib := &library{}
	for _, f := range []struct {
		name string
		into any
	}{
		{"chdb_set_signal_handlers_enabled", &lib.setSignalHandlers},
		{"chdb_connect", &lib.connect},
		{"chdb_close_conn", &lib.closeConn},
		{"chdb_shutdown", &lib.shutdown},
		{"chdb_query_with_params_n", &lib.queryWhole},
		{"chdb_stream_query_with_params_n", &lib.streamQuery},
		{"chdb_stream_fetch_result", &lib.streamFetch},
		{"chdb_stream_cancel_query", &lib.streamCancel},
		{"chdb_result_buffer", &lib.resultBuffer},
		{"chdb_result_length", &lib.resultLength},
		{"chdb_result_error", &lib.resultError},
		{"chdb_result_rows_written", &lib.resultWritten},
		{"chdb_destroy_query_result", &lib.destroyResult},
		{"chdb_stream_insert_with_params_n", &lib.insert},
		{"chdb_stream_append", &lib.insertAppend},
		{"chdb_stream_done", &lib.insertDone},
		{"chdb_stream_cancel_insert", &lib.insertCancel},
		{"chdb_stream_insert_error", &lib.insertError},
		{"chdb_destroy_insert_stream", &lib.destroyInsert},
		{"chdb_classify_query_n", &lib.classify},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, fmt.Errorf("engine %s has no %s (is it another version?): %w", path, f.name, err)
		}
		purego.RegisterFunc(f.into, symbol)
	}
	// Go's runtime owns the signals of this process; chDB must not put its
	// own handlers in their place. This has to come before the first connect.
	lib.setSignalHandlers(0)
	return lib, nil
}

// connection is one session of the engine. Not safe for concurrent use.
type connection struct {
	lib    *library
	handle unsafe.Pointer // chdb_connection*: what close wants
	conn   uintptr        // chdb_connection: what everything else wants
}

// open opens a session. The first one boots the engine with its server-level
// arguments; later ones read their query-level settings only.
func (l *library) open(args []string) (*connection, error) {
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
	handle := l.connect(int32(len(args)), unsafe.Pointer(&argv[0]))
	if handle == nil {
		return nil, errors.New("the engine refused to open a connection; its reason is on standard error above")
	}
	return &connection{lib: l, handle: handle, conn: *(*uintptr)(handle)}, nil
}

func (c *connection) close() {
	c.lib.closeConn(c.handle)
}

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

// run executes one statement and returns a copy of its whole result.
func (c *connection) run(sql, format string, params []parameter) ([]byte, error) {
	var out []byte
	err := c.query(sql, format, params, func(result []byte) error {
		out = bytes.Clone(result)
		return nil
	})
	return out, err
}

// query executes one statement and shows its whole result to write, once, even
// when it is empty. The bytes are the engine's and gone after write returns.
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
