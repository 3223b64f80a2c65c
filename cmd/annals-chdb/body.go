package main

import (
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/ClickHouse/ch-go/compress"
)

// body gives the request's body as plain bytes: what Content-Encoding and
// ClickHouse's own framing (decompress=1) wrapped is taken off while it is
// read, so it costs one block of memory.
func (h *handler) body(w http.ResponseWriter, r *http.Request, req *request) (io.Reader, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		return nil, refusalf(http.StatusUnsupportedMediaType, codeNotImplemented, "multipart bodies (external tables) are not served by this embedded engine")
	}
	var body io.Reader = &patientReader{from: r.Body, rc: http.NewResponseController(w)}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		body = &lazyReader{open: func(from io.Reader) (io.Reader, error) { return gzip.NewReader(from) }, from: body}
	case "deflate":
		body = &lazyReader{open: func(from io.Reader) (io.Reader, error) { return zlib.NewReader(from) }, from: body}
	default:
		return nil, refusalf(http.StatusUnsupportedMediaType, codeNotImplemented, "Content-Encoding %q is not served by this embedded engine: send gzip, deflate, ClickHouse's own blocks (decompress=1), or, best on loopback, no compression", encoding)
	}
	if req.decompress {
		body = compress.NewReader(body)
	}
	return body, nil
}

// patientReader gives the client stall for every read, and takes the deadline
// away at the end: net/http watches the connection from then on, and would
// take a deadline that passes for a client that left.
type patientReader struct {
	from io.Reader
	rc   *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.rc.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, fmt.Errorf("set deadline: %w", err)
	}
	n, err := p.from.Read(b)
	if err != nil {
		_ = p.rc.SetReadDeadline(time.Time{}) // fails on a closed connection only
	}
	return n, err
}

// lazyReader opens a decompressor at the first read: an empty body is no error.
type lazyReader struct {
	open func(io.Reader) (io.Reader, error)
	from io.Reader
	to   io.Reader
}

func (l *lazyReader) Read(b []byte) (int, error) {
	if l.to == nil {
		to, err := l.open(l.from)
		if err != nil {
			return 0, err
		}
		l.to = to
	}
	return l.to.Read(b)
}
