package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
)

// Held is what the archive holds of a stream: one row or one gap an offset, on
// each branch, in the order of the chain.
type Held struct {
	Stream  schema.Stream
	Commits []*schema.Commit
	Rows    []segment.Row
	Gaps    []schema.Gap
	Base    int64 // the first offset in scope
	Next    int64 // the first offset that is not archived
	Orphans int   // objects below the stream's data that no commit names
}

// Branches counts the times that Kafka held another history.
func (h *Held) Branches() (n int) {
	for _, c := range h.Commits {
		if c.Kind == schema.KindDivergence {
			n++
		}
	}
	return n
}

// GapOffsets counts the offsets in gaps by their class.
func (h *Held) GapOffsets() map[schema.GapClass]int64 {
	sums := map[schema.GapClass]int64{}
	for _, gap := range h.Gaps {
		sums[gap.Class] += gap.To - gap.From
	}
	return sums
}

// Read verifies a stream's chain and every byte that it names, as annals verify
// --archive does, and accounts for every offset once more by its own count. The
// store is read directly, never through what is under test.
func Read(ctx context.Context, t testing.TB, store *objstore.Store, s schema.Stream) (*Held, error) {
	t.Helper()
	book := ledger.New(store, nil)
	report, err := book.Verify(ctx, s, ledger.VerifyOptions{
		Deep: true,
		Segment: func(ctx context.Context, s schema.Stream, of ledger.Segment, gaps []schema.Gap) (int64, error) {
			return custody.VerifySegment(ctx, store, s, of, gaps)
		},
	})
	if err != nil {
		return nil, err
	}
	if report.Findings != 0 || len(report.Unknown) > 0 {
		return nil, fmt.Errorf("%s does not verify: %+v %+v", s, report.Listed, report.Unknown)
	}
	h := &Held{Stream: s, Base: -1, Next: -1, Orphans: int(report.Orphans)}
	for entry, err := range book.Commits(ctx, s, 0) {
		if err != nil {
			return nil, err
		}
		if err := h.add(ctx, t, store, book, entry.Commit); err != nil {
			return nil, fmt.Errorf("%s, commit %d: %w", s, entry.Commit.Seq, err)
		}
	}
	if rows := report.Rows.Rows(); rows != int64(len(h.Rows)) {
		return nil, fmt.Errorf("%s: the ledger counts %d rows, the segments hold %d", s, rows, len(h.Rows))
	}
	return h, nil
}

// add accounts for the offsets that one commit covers.
func (h *Held) add(ctx context.Context, t testing.TB, store *objstore.Store, book *ledger.Ledger, c *schema.Commit) error {
	h.Commits = append(h.Commits, c)
	switch {
	case c.Kind == schema.KindDivergence:
		h.Next = c.Next
		return nil
	case !c.Kind.MovesNext():
		return nil
	case h.Base < 0:
		h.Base, h.Next = c.Base, c.Base
	}
	if c.Base != h.Next {
		return fmt.Errorf("begins at %d, expected %d", c.Base, h.Next)
	}
	gaps, err := book.Gaps(ctx, c)
	if err != nil {
		return err
	}
	h.Gaps = append(h.Gaps, gaps...)
	rows, err := readSegment(ctx, t, store, c)
	if err != nil {
		return err
	}
	for _, row := range rows {
		gaps = h.skip(gaps)
		if row.Offset != h.Next || row.Branch != c.Branch {
			return fmt.Errorf("row %d on branch %d where %d on branch %d should be", row.Offset, row.Branch, h.Next, c.Branch)
		}
		h.Next++
	}
	h.Rows = append(h.Rows, rows...)
	if gaps = h.skip(gaps); len(gaps) > 0 || h.Next != c.Next {
		return fmt.Errorf("accounts for the offsets below %d, and says %d", h.Next, c.Next)
	}
	return nil
}

func (h *Held) skip(gaps []schema.Gap) []schema.Gap {
	for len(gaps) > 0 && gaps[0].From == h.Next {
		h.Next, gaps = gaps[0].To, gaps[1:]
	}
	return gaps
}

// readSegment reads the rows of a commit's object by the independent reader;
// that the object is what its commit says was verified before.
func readSegment(ctx context.Context, t testing.TB, store *objstore.Store, c *schema.Commit) ([]segment.Row, error) {
	if c.Segment == nil {
		return nil, nil
	}
	body, _, err := store.Get(ctx, c.Segment.Key, 1<<30)
	if err != nil {
		return nil, err
	}
	return segmenttest.Read(t, body), nil
}

// Produced is what a producer was told of a stream: the records that were
// acknowledged, by ascending offset, each with the status that its transaction
// came to, and the end of the log. What lies between them are markers.
type Produced struct {
	Stream  schema.Stream
	Records []schema.Record
	End     int64
}

// Equals holds the rows against what was produced: every record once, with the
// same bytes, null told from empty, and its verdict; nothing else but markers.
// It is for streams of one history, without gaps.
func (h *Held) Equals(p *Produced) error {
	if len(h.Gaps) > 0 || h.Branches() > 0 {
		return fmt.Errorf("%s: %d gaps (%+v) and %d divergences where everything was served", h.Stream, len(h.Gaps), h.Gaps, h.Branches())
	}
	if h.Next != p.End || int64(len(h.Rows)) != p.End {
		return fmt.Errorf("%s: %d rows, archived to %d; the log ends at %d", h.Stream, len(h.Rows), h.Next, p.End)
	}
	var wrong []error
	want := p.Records
	for i := range h.Rows {
		row := &h.Rows[i].Record
		if len(want) == 0 || want[0].Offset != row.Offset {
			if row.Status != schema.Control {
				wrong = append(wrong, fmt.Errorf("%s: offset %d is %s, and nobody produced it", h.Stream, row.Offset, row.Status))
			}
			continue
		}
		if how := Differ(row, &want[0]); how != "" {
			wrong = append(wrong, fmt.Errorf("%s: offset %d %s", h.Stream, row.Offset, how))
		}
		want = want[1:]
	}
	for _, lost := range want {
		wrong = append(wrong, fmt.Errorf("%s: offset %d was acknowledged and is not archived", h.Stream, lost.Offset))
	}
	return errors.Join(wrong...)
}

// Differ says where a row is not what was produced, byte for byte, or "".
func Differ(got, want *schema.Record) string {
	switch {
	case got.Offset != want.Offset || got.Topic != want.Topic || got.TopicID != want.TopicID || got.Partition != want.Partition:
		return fmt.Sprintf("is %s/%d/%d", got.Topic, got.Partition, got.Offset)
	case !Identical(got.Key, want.Key):
		return fmt.Sprintf("has key %.60q (null %t), want %.60q (null %t)", got.Key, got.Key == nil, want.Key, want.Key == nil)
	case !Identical(got.Value, want.Value):
		return fmt.Sprintf("has value %.60q (null %t), want %.60q (null %t)", got.Value, got.Value == nil, want.Value, want.Value == nil)
	case got.Timestamp != want.Timestamp || got.TimestampType != want.TimestampType:
		return fmt.Sprintf("has time %d (%s), want %d (%s)", got.Timestamp, got.TimestampType, want.Timestamp, want.TimestampType)
	case got.Status != want.Status:
		return fmt.Sprintf("is %s, want %s", got.Status, want.Status)
	case len(got.Headers) != len(want.Headers):
		return fmt.Sprintf("has %d headers, want %d", len(got.Headers), len(want.Headers))
	}
	for i, h := range want.Headers {
		if got.Headers[i].Name != h.Name || !Identical(got.Headers[i].Value, h.Value) {
			return fmt.Sprintf("has header %d %.60q: %.60q, want %.60q: %.60q", i, got.Headers[i].Name, got.Headers[i].Value, h.Name, h.Value)
		}
	}
	return ""
}

// Identical compares bytes, and tells null from empty.
func Identical(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
