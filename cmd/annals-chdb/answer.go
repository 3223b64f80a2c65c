package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ClickHouse/ch-go/compress"
)

// answer is a result on its way out. Nothing is sent before the first byte of
// result is there, so a statement that fails at once has a status of its own;
// one that fails later ends with an exception in the body, framed as
// ClickHouse frames it and as its clients look for it.
type answer struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	req     *request
	tag     string
	started bool
	framer  *compress.Writer // nil: plain
}

func newAnswer(w http.ResponseWriter, req *request) *answer {
	a := &answer{w: w, rc: http.NewResponseController(w), req: req, tag: randomID()[:16]}
	if req.compress {
		method := compress.LZ4
		if req.method == "ZSTD" {
			method = compress.ZSTD
		}
		a.framer = compress.NewWriter(0, method)
	}
	return a
}

// frameSize is how much goes into one compressed block, ClickHouse's own size.
const frameSize = 1 << 20

// errGone marks a client that does not take its answer any more.
var errGone = errors.New("the client is gone")

// write sends one piece of the result.
func (a *answer) write(piece []byte) error {
	if len(piece) == 0 {
		return nil
	}
	a.start()
	if a.framer == nil {
		return a.send(piece)
	}
	for len(piece) > 0 {
		n := min(len(piece), frameSize)
		if err := a.framer.Compress(piece[:n]); err != nil {
			return fmt.Errorf("compress answer: %w", err)
		}
		if err := a.send(a.framer.Data); err != nil {
			return err
		}
		piece = piece[n:]
	}
	return nil
}

// send hands bytes to the network in pieces of which each has its own time.
func (a *answer) send(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), frameSize)
		if err := a.rc.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if _, err := a.w.Write(b[:n]); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		b = b[n:]
	}
	return nil
}

func (a *answer) start() {
	if a.started {
		return
	}
	a.started = true
	h := a.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-ClickHouse-Format", a.req.format)
	h.Set("X-ClickHouse-Exception-Tag", a.tag)
	a.w.WriteHeader(http.StatusOK)
}

// end completes a result, which may be empty.
func (a *answer) end() error {
	if !a.started {
		a.w.Header().Set("Content-Length", "0")
	}
	a.start()
	return nil
}

// abort ends an answer with an error: as a status when nothing was sent, which
// is the caller's to do, else inside the body.
func (a *answer) abort(err error) error {
	if !a.started {
		return err
	}
	if errors.Is(err, errGone) {
		return nil
	}
	text := err.Error()
	if len(text) > maxException {
		text = text[:maxException]
	}
	block := "\r\n__exception__\r\n" + a.tag + "\r\n" + text + "\n" + strconv.Itoa(len(text)+1) + " " + a.tag + "\r\n__exception__\r\n"
	if err := a.send([]byte(block)); err != nil {
		return nil //nolint:nilerr // the status is sent and the client is gone
	}
	return nil
}

// maxException keeps a framed exception within the 16 KiB that clients keep.
const maxException = 15 << 10
