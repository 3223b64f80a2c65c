package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxStatement bounds the text of one statement; the data of an INSERT is not
// part of it.
const maxStatement = 8 << 20

// handler speaks ClickHouse's HTTP protocol. Safe for concurrent use.
type handler struct {
	guard   guard
	limits  limits
	log     *slog.Logger
	hello   []byte
	version string

	reads, inserts, changes *lane
	killer                  *killer

	// parser classifies statements, one at a time; known is what it said of the
	// last ones, for programs send the same texts with other parameters.
	parserGate sync.Mutex
	parser     *connection
	known      map[string]statementClass
}

// newHandler opens the sessions that always are there, which boots the engine.
func newHandler(e *engine, g guard, log *slog.Logger) (*handler, error) {
	parser, err := e.open(nil, nil)
	if err != nil {
		return nil, err
	}
	about, err := parser.run("SELECT version(), timezone()", "TabSeparated", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its version: %w", err)
	}
	version, timezone, _ := strings.Cut(strings.TrimSpace(string(about)), "\t")
	hello, err := helloAnswer(version, timezone)
	if err != nil {
		return nil, err
	}
	kill, err := newKiller(e, log)
	if err != nil {
		return nil, err
	}
	var tags atomic.Uint64
	return &handler{
		guard: g, limits: e.limits, log: log, hello: hello, version: version,
		reads:   newLane(e, "read", readSessions, e.readSettings(), &tags),
		inserts: newLane(e, "insert", insertSessions, nil, &tags),
		changes: newLane(e, "change", changeSessions, nil, &tags),
		killer:  kill, parser: parser, known: map[string]statementClass{},
	}, nil
}

// close waits for the sessions and closes them all. When some are still busy
// as ctx ends they stay as they are: the process may exit under them, but
// nothing may be closed.
func (h *handler) close(ctx context.Context) error {
	if err := errors.Join(h.reads.close(ctx), h.inserts.close(ctx), h.changes.close(ctx)); err != nil {
		return err
	}
	h.killer.close()
	h.parserGate.Lock()
	defer h.parserGate.Unlock()
	h.parser.close()
	return nil
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ping":
		answerOk(w)
		return
	case "/":
	default:
		h.fail(w, r, refusalf(http.StatusNotFound, codeBadArguments, "There is no handler %s, only / and /ping", r.URL.Path))
		return
	}
	if refusal := h.guard.check(r); refusal != nil {
		if refusal.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="annals-chdb"`)
		}
		h.fail(w, r, refusal)
		return
	}
	if err := h.serve(w, r); err != nil {
		h.fail(w, r, err)
	}
	// A deadline set for this answer must not outlive it on a kept connection.
	clearDeadlines(w)
}

func answerOk(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_, _ = io.WriteString(w, "Ok.\n") // the client may be gone; nobody else to tell
}

// serve answers one request. An error it returns has not been answered yet.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodHead {
		return refusalf(http.StatusMethodNotAllowed, codeBadArguments, "only GET and POST are served, not %s", r.Method)
	}
	req, err := parseRequest(r.URL.Query(), h.limits)
	if err != nil {
		return err
	}
	if req.queryID == "" {
		req.queryID = randomID()
	}
	w.Header().Set("X-ClickHouse-Query-Id", req.queryID)
	body, err := h.body(w, r, req)
	if err != nil {
		return err
	}
	sql, ins, err := takeStatement(req.query, body)
	if err != nil {
		return err
	}
	switch {
	case ins != nil && r.Method != http.MethodPost:
		return exceptionf(codeReadonly, "Cannot execute query in readonly mode: send an INSERT with POST")
	case ins != nil:
		return h.insert(w, r, req, ins)
	case strings.TrimSpace(sql) == "" && r.Method != http.MethodPost:
		answerOk(w)
		return nil
	case strings.TrimSpace(sql) == "":
		return exceptionf(codeSyntax, "Empty query")
	case isHello(sql, req.format):
		return h.answerHello(w, req)
	}
	return h.statement(w, r, req, sql)
}

func (h *handler) answerHello(w http.ResponseWriter, req *request) error {
	out := newAnswer(w, req)
	if err := out.write(h.hello); err != nil {
		return err
	}
	return out.end()
}

// takeStatement reads the statement: from the URL, with the body after it, or
// from the body alone. For an INSERT whose data follows it reads no further
// than the data's beginning.
func takeStatement(query string, body io.Reader) (sql string, ins *openInsert, err error) {
	if query != "" {
		if split, ok := splitInsert(query); ok {
			return "", &openInsert{insertion: split, data: io.MultiReader(strings.NewReader(query[split.rest:]), body)}, nil
		}
		query += "\n"
	} else {
		prefix, err := io.ReadAll(io.LimitReader(body, insertPrefix))
		if err != nil {
			return "", nil, bodyError(err)
		}
		if split, ok := splitInsert(string(prefix)); ok {
			return "", &openInsert{insertion: split, data: io.MultiReader(bytes.NewReader(prefix[split.rest:]), body)}, nil
		}
		query = string(prefix)
	}
	text, err := io.ReadAll(io.LimitReader(body, maxStatement+1))
	if err != nil {
		return "", nil, bodyError(err)
	}
	if len(query)+len(text) > maxStatement {
		return "", nil, exceptionf(codeTooLarge, "the statement is longer than %d bytes", maxStatement)
	}
	return query + string(text), nil, nil
}

// insertPrefix is how far into a body the head of an INSERT is looked for.
const insertPrefix = 64 << 10

func bodyError(err error) error {
	var e *engineError
	if errors.As(err, &e) {
		return e
	}
	return exceptionf(codeNetwork, "cannot read the request's body: %v", err)
}

// statement runs anything but an INSERT whose data follows.
func (h *handler) statement(w http.ResponseWriter, r *http.Request, req *request, sql string) error {
	class, err := h.classify(sql)
	if err != nil {
		return err
	}
	if class != classReadOnly && r.Method != http.MethodPost {
		return exceptionf(codeReadonly, "Cannot execute query in readonly mode: with GET only reading statements are run, use POST")
	}
	on := h.reads
	if class != classReadOnly {
		on = h.changes
	}
	inPieces := class == classReadOnly && !req.waitEnd && isSelect(sql) && canStream(sql, req.format)
	settings := req.settings
	if !inPieces {
		// In front, so that the request's own value wins.
		settings = append([]setting{{"max_result_bytes", strconv.FormatUint(h.limits.wholeResult, 10)}}, settings...)
	}
	s, err := on.acquire(r.Context(), req.database, settings)
	if err != nil {
		return err
	}
	defer on.release(s)
	if class == classControl || leavesTrace.MatchString(sql) {
		s.dirty = true
	}
	out := newAnswer(w, req)
	err = h.killer.during(r.Context(), s, func() error {
		if inPieces {
			return streamInto(s.conn, out, sql, req)
		}
		return s.conn.query(sql, req.format, req.params, out.write)
	})
	if err == nil {
		return out.end()
	}
	// The engine keeps the state of a failed statement, its memory and its
	// entry in system.processes, until the session's next one.
	s.dirty = true
	return out.abort(err)
}

// classify tells what a statement does, and refuses more than one: the engine
// would run them all, which no other door to ClickHouse over HTTP does.
func (h *handler) classify(sql string) (class statementClass, err error) {
	h.parserGate.Lock()
	defer h.parserGate.Unlock()
	if class, ok := h.known[sql]; ok {
		return class, nil
	}
	<-h.parser.do(func() { class, err = classify(h.parser, sql) })
	if err == nil && len(sql) <= maxKnownText {
		if len(h.known) >= maxKnown {
			clear(h.known)
		}
		h.known[sql] = class
	}
	return class, err
}

// What is kept of statements that were classified: at most 4 MiB.
const (
	maxKnown     = 512
	maxKnownText = 8 << 10
)

func classify(parser *connection, sql string) (statementClass, error) {
	a, err := parser.classify(sql)
	switch {
	case err != nil:
		return classUnknown, err
	case a.statementCount > 1:
		return classUnknown, exceptionf(codeSyntax, "Syntax error (Multi-statements are not allowed): %d statements in one request", a.statementCount)
	case a.statementCount == 1:
		return a.class, nil
	}
	// It does not parse. The engine must not see it as a statement: it would
	// run what stands before the error. The insert stream's parser takes one
	// statement only and explains what is wrong with it.
	stream, err := parser.insert(sql, "", nil)
	if err == nil {
		stream.cancel()
		err = exceptionf(codeSyntax, "the statement cannot be parsed")
	}
	return classUnknown, err
}

func streamInto(c *connection, out *answer, sql string, req *request) error {
	stream, err := c.stream(sql, req.format, req.params)
	if err != nil {
		return err
	}
	defer stream.close()
	for {
		more, err := stream.next(out.write)
		if err != nil || !more {
			return err
		}
	}
}

// fail answers with an exception. Faults of ours or the engine's are logged
// here, once; what the client got wrong is the client's to log.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && !errors.Is(context.Cause(r.Context()), errStopping) {
		return // nobody is listening
	}
	var e *engineError
	if !errors.As(err, &e) {
		e = exceptionf(codeUnknown, "%v", err)
	}
	if e.status >= http.StatusInternalServerError && e.status != http.StatusNotImplemented {
		h.log.Warn("statement failed", "status", e.status, "code", int(e.code), "err", firstLine(e.text))
	}
	w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(int(e.code)))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(e.status)
	_, _ = io.WriteString(w, e.text+"\n") // the client may be gone; nobody else to tell
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line[:min(len(line), 300)]
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, it panics instead
	return hex.EncodeToString(b[:])
}

// stall is how long a client may take over its next bytes, in or out, before
// its session is taken from it.
const stall = 60 * time.Second

func clearDeadlines(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // fails on a closed connection only
	_ = rc.SetWriteDeadline(time.Time{})
}
