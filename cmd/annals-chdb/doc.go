// Command annals-chdb serves ClickHouse's HTTP protocol from libchdb.so, which
// is ClickHouse itself as a shared library. It is the embedded index of
// `annals up`, run as a child process and supervised by internal/embedded;
// clickhouse-go (over HTTP), @clickhouse/client and curl connect to it.
//
// It is a program of its own because loading a shared library without cgo
// (purego) makes a binary that needs glibc; annals itself stays static.
//
// What it promises:
//   - Statements, parameters ({name:Type}, bound by the engine and never
//     spliced), INSERT data in any input format, results and errors look like a
//     ClickHouse server's over HTTP: status, X-ClickHouse-Exception-Code, and
//     for errors after the first byte the framed exception in the body.
//   - Inserts of any length and results in a format without header or trailer
//     (Native, TSV, CSV, JSONEachRow, RowBinary …) pass through in pieces.
//   - A read is bounded in time and memory, stops when its client leaves, and
//     never delays an insert: reads, inserts and changes of tables have
//     sessions of their own.
//   - One process per data folder; a loopback port, a password, and no request
//     of a web page.
//   - After kill -9 the data opens again. Nothing is fsynced: after a power cut
//     the last rows may be missing, torn parts are set aside, and the caller
//     compares with its own record (the ledger) and writes again.
//
// What it does not: sessions (session_id), external tables, query progress,
// compressed answers but for ClickHouse's own framing, TLS, the native TCP
// protocol, more than one user, settings beyond a list in params.go (write
// them into the statement's SETTINGS clause).
//
// Protocol revision: chDB writes the Native format at revision 0. A client
// that decodes it at another one must ask revision() first and believe the
// answer, as clickhouse-go does; see hello.go.
//
// Concurrency: a session of the engine runs one statement at a time. pool.go
// keeps them in lanes; a session is opened for a state (database, settings)
// and thrown away when a statement changes it, so requests share nothing.
//
// # Files
//
//	main.go        command line, parent watch
//	serve.go       life of the process, lock, listener
//	engine.go      configuration of ClickHouse
//	library.go     the C functions
//	connection.go  a session of the engine, on a thread of its own
//	results.go     parameters in, results out
//	pool.go        sessions, killing a statement
//	handler.go     routing of a request
//	body.go        what a request brings, in pieces
//	insert.go      INSERT, batch by batch
//	answer.go      bytes out
//	statement.go   just enough of the language
//	params.go      the URL
//	guard.go       who may
//	hello.go       clickhouse-go's first question
//	errors.go      the engine's errors, and their statuses
package main
