package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// held is how much of a streamed answer is kept back: an error before that is
// still an ordinary problem document.
const held = 64 << 10

// stall is how long one write to a client may take before it counts as gone.
const stall = time.Minute

// brokenError is a failure after the answer had begun. The connection is broken
// then, so that the client cannot take what it has for the whole.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "break off answer: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// download is an answer without a known end. write gets the answer's body.
type download struct {
	ctx         context.Context
	contentType string
	name        string // of the file; "": it is none
	trailer     string // a header after the body; "": none
	write       func(w io.Writer) error
}

// VisitExportResponse implements [api.ExportResponseObject].
func (d download) VisitExportResponse(w http.ResponseWriter) error { return d.send(w) }

func (d download) send(w http.ResponseWriter) error {
	out := &lateWriter{w: w, d: d}
	buffer := bufio.NewWriterSize(out, held)
	err := d.write(buffer)
	if err == nil {
		err = buffer.Flush()
	}
	if err == nil && !out.begun { // nothing was written, and that is the answer
		out.begin()
	}
	if err != nil && out.begun {
		return &brokenError{err}
	}
	return err
}

// lateWriter begins the answer with the first byte.
type lateWriter struct {
	w     http.ResponseWriter
	d     download
	begun bool
}

func (l *lateWriter) begin() {
	l.begun = true
	h := l.w.Header()
	if h.Set("Content-Type", l.d.contentType); l.d.name != "" {
		attachment(h, l.d.contentType, l.d.name)
	}
	if l.d.trailer != "" {
		h.Set("Trailer", l.d.trailer)
	}
	l.w.WriteHeader(http.StatusOK)
}

// Write implements io.Writer. Each write has a time of its own: a download may
// take hours, a client that reads nothing may not.
func (l *lateWriter) Write(p []byte) (int, error) {
	if !l.begun {
		l.begin()
	}
	if err := callOf(l.d.ctx).control.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, fmt.Errorf("bound write: %w", err)
	}
	return l.w.Write(p)
}

// attachment makes a browser save the answer under a name, never show it.
func attachment(h http.Header, contentType, name string) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}
