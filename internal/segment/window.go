package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/schema"
)

// span is a range of a file's bytes, end exclusive.
type span struct{ start, end int64 }

func (s span) bytes() int64 { return s.end - s.start }

// coalesce sorts spans and joins those that overlap or stand closer than gap.
func coalesce(spans []span, gap int64) []span {
	slices.SortFunc(spans, func(a, b span) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		default:
			return 0
		}
	})
	var out []span
	for _, s := range spans {
		if last := len(out) - 1; last >= 0 && s.start <= out[last].end+gap {
			out[last].end = max(out[last].end, s.end)
			continue
		}
		out = append(out, s)
	}
	return out
}

// window is the part of a file that was fetched. It is what arrow reads from:
// a byte that was not fetched, and so not checked, ends the file for it.
type window struct {
	spans []span // sorted, apart from one another, but for those that were added
	data  [][]byte
}

// fetch reads spans, joined where they are close, in parallel, and waits for
// all of them.
func fetch(ctx context.Context, r io.ReaderAt, spans []span) (*window, error) {
	var wanted, total int64
	for _, s := range spans {
		wanted += s.bytes()
	}
	gap := int64(readGap)
	if wanted >= readMuch {
		gap = readGapOfMuch
	}
	w := &window{spans: coalesce(spans, gap)}
	for _, s := range w.spans {
		total += s.bytes()
	}
	if total > maxFetch {
		return nil, schema.Errorf(schema.Exhausted, "read %d bytes of a segment at once, at most %d", total, int64(maxFetch))
	}
	w.data = make([][]byte, len(w.spans))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for i, s := range w.spans {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			data, err := readSpan(r, s)
			w.data[i] = data
			return err
		})
	}
	return w, group.Wait()
}

// Held is a segment's bytes in memory. A Reader of them copies nothing of what it
// decodes from; they must not change while it is used.
type Held []byte

// ReadAt implements io.ReaderAt.
func (h Held) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(h).ReadAt(p, off) }

func readSpan(r io.ReaderAt, s span) ([]byte, error) {
	if held, ok := r.(Held); ok && s.start >= 0 && s.start <= s.end && s.end <= int64(len(held)) {
		return held[s.start:s.end:s.end], nil
	}
	data := make([]byte, s.bytes())
	n, err := r.ReadAt(data, s.start)
	switch {
	case n == len(data):
		return data, nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, schema.Errorf(schema.Corrupt, "the file ends within bytes %d–%d", s.start, s.end)
	default:
		return nil, fmt.Errorf("read bytes %d–%d: %w", s.start, s.end, err)
	}
}

// has tells whether a span was fetched whole.
func (w *window) has(s span) bool {
	return slices.ContainsFunc(w.spans, func(have span) bool { return s.start >= have.start && s.end <= have.end })
}

// add adds what another window has, which may overlap with what is there.
func (w *window) add(more *window) {
	w.spans, w.data = append(w.spans, more.spans...), append(w.data, more.data...)
}

// slice gives the bytes of a span that was fetched whole.
func (w *window) slice(s span) ([]byte, error) {
	for i, have := range w.spans {
		if s.start >= have.start && s.end <= have.end && s.start <= s.end {
			return w.data[i][s.start-have.start : s.end-have.start], nil
		}
	}
	return nil, schema.Errorf(schema.Corrupt, "bytes %d–%d were not fetched", s.start, s.end)
}

// ReadAt implements io.ReaderAt over what was fetched; elsewhere is the end.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	for i, have := range w.spans {
		if off < have.start || off >= have.end {
			continue
		}
		n := copy(p, w.data[i][off-have.start:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	return 0, io.EOF
}

// Seek is asked for by arrow's interface; it uses it only to find a footer,
// which it is given.
func (w *window) Seek(int64, int) (int64, error) {
	return 0, errors.ErrUnsupported
}
