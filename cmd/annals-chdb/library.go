package main

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library holds the functions of libchdb.so that we call, bound without cgo.
// The C side is documented in chdb-core, programs/local/chdb.h; every pointer
// it hands out is C memory and is kept here as a uintptr, so that Go's
// collector never looks at it.
//
// A connection runs one statement at a time, always on its own thread: see
// connection.
type library struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn         func(handle unsafe.Pointer)

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
	_              uint32 // flags
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
	if err := setTimezone(); err != nil {
		return nil, err
	}
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

// setTimezone makes UTC the engine's time zone, as the C library knows it, on
// every machine: what a DateTime without a zone means, and which month a row's
// partition is, must not depend on where the folder was written.
func setTimezone() error {
	libc, err := purego.Dlopen("libc.so.6", purego.RTLD_NOW)
	if err != nil {
		return fmt.Errorf("load the C library: %w", err)
	}
	symbol, err := purego.Dlsym(libc, "setenv")
	if err != nil {
		return fmt.Errorf("find setenv: %w", err)
	}
	var setenv func(name, value string, overwrite int32) int32
	purego.RegisterFunc(&setenv, symbol)
	if setenv("TZ", "UTC", 1) != 0 {
		return errors.New("set the time zone to UTC: setenv failed")
	}
	return nil
}
