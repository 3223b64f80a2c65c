package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// archived reads what is current of one stream, a few rows at a time, to hold
// it against Kafka. One goroutine at a time.
type archived struct {
	store    Segments
	segments []ledger.Segment // ascending; where they are the chain's tail only, the newest rows are in them
	key      string           // of the segment opened last
	reader   *segment.Reader
}

// compared are the columns that Kafka gave.
const compared = segment.Times | segment.Broker | segment.Payload

func (h *archived) open(ctx context.Context, s ledger.Segment) (*segment.Reader, error) {
	if h.key == s.Ref.Key {
		return h.reader, nil
	}
	reader, err := segment.Open(ctx, h.store.ReaderAt(ctx, s.Ref.Key, s.Ref.Bytes), s.Ref.Bytes)
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", s.Ref.Key, err)
	}
	h.key, h.reader = s.Ref.Key, reader
	return reader, nil
}

// rows gives the current rows in [from, to), ascending.
func (h *archived) rows(ctx context.Context, from, to int64) (rows []schema.Record, err error) {
	err = h.each(ctx, from, to, compared, func(r *schema.Record) { rows = append(rows, cloned(r)) })
	return rows, err
}

// each does something with the current rows in [from, to), ascending. A row is
// good until the next.
func (h *archived) each(ctx context.Context, from, to int64, columns segment.Columns, do func(*schema.Record)) error {
	for _, s := range h.segments {
		low, high := max(from, s.Base), min(to, s.Until)
		if low >= high {
			continue
		}
		reader, err := h.open(ctx, s)
		if err != nil {
			return err
		}
		for row, err := range reader.Rows(ctx, low, high, columns) {
			if err != nil {
				return fmt.Errorf("segment %s: %w", s.Ref.Key, err)
			}
			do(&row.Record)
		}
	}
	return nil
}

// newest gives the last current row below an offset; nil when there is none.
// Offsets that Kafka did not serve make it look at more and more of them.
func (h *archived) newest(ctx context.Context, below int64) (*schema.Record, error) {
	for _, s := range slices.Backward(h.segments) {
		high := min(below, s.Until)
		for width := int64(1); high > s.Base; width *= 16 {
			low := max(s.Base, high-width)
			rows, err := h.rows(ctx, low, high)
			if err != nil {
				return nil, err
			}
			if len(rows) > 0 {
				return &rows[len(rows)-1], nil
			}
			high = low
		}
	}
	return nil, nil
}

// difference names the first field, of those that the broker gives and the
// archive keeps, in which two records of one offset differ; "" when they are
// the same. A verdict on a transaction is not the broker's: of the status only
// control counts.
func difference(ours, theirs *schema.Record) string {
	switch {
	case ours.LeaderEpoch != theirs.LeaderEpoch:
		return "leader epoch"
	case ours.Timestamp != theirs.Timestamp:
		return "timestamp"
	case ours.TimestampType != theirs.TimestampType:
		return "timestamp type"
	case ours.ProducerID != theirs.ProducerID:
		return "producer ID"
	case ours.ProducerEpoch != theirs.ProducerEpoch:
		return "producer epoch"
	case (ours.Status == schema.Control) != (theirs.Status == schema.Control):
		return "status"
	case !sameBytes(ours.Key, theirs.Key):
		return "key"
	case !sameBytes(ours.Value, theirs.Value):
		return "value"
	case !slices.EqualFunc(ours.Headers, theirs.Headers, func(a, b schema.Header) bool {
		return a.Name == b.Name && sameBytes(a.Value, b.Value)
	}):
		return "headers"
	default:
		return ""
	}
}

// sameBytes tells null from empty.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// pageBytes is what one comparison reads from Kafka: a few batches.
const pageBytes = 64 << 10

// overlap is what a comparison of archived rows with a page of the log found.
// Offsets are -1 where there is none.
type overlap struct {
	same   int64  // the highest offset below which, in this page, nothing differs
	differ int64  // the first offset that differs
	field  string // in which it does
}

// compare holds a page against the archived rows of the same offsets.
func compare(rows, page []schema.Record) overlap {
	o := overlap{same: -1, differ: -1}
	at := 0
	for i := range page {
		for at < len(rows) && rows[at].Offset < page[i].Offset {
			at++
		}
		if at == len(rows) {
			break
		}
		if rows[at].Offset > page[i].Offset {
			continue
		}
		if o.field = difference(&rows[at], &page[i]); o.field != "" {
			o.differ = page[i].Offset
			break
		}
		o.same = page[i].Offset
	}
	return o
}

// probe compares what Kafka and the archive both have from an offset on, below
// another: one page of the log. next is the offset behind the page; from when
// it is empty. Damaged segments and batches that cannot be decoded are as if
// they were not there: nothing can be held against them.
func (g *guard) probe(ctx context.Context, from, below int64) (found overlap, next int64, err error) {
	none := overlap{same: -1, differ: -1}
	page, err := g.admin.Page(ctx, g.stream, g.leader, from, pageBytes)
	switch {
	case errors.Is(err, kafka.ErrOffsetOutOfRange):
		return none, from, nil
	case schema.KindOf(err) == schema.Corrupt:
		g.log.Warn("Kafka serves a batch that cannot be decoded; the archive is not held against it", "offset", from, "err", err)
	case err != nil:
		return none, from, err
	}
	if len(page.Records) == 0 {
		return none, from, nil
	}
	next = page.Records[len(page.Records)-1].Offset + 1
	rows, err := g.archived.rows(ctx, from, min(below, next))
	if kind := schema.KindOf(err); kind == schema.Corrupt || kind == schema.NotFound {
		g.log.Error("the archive is damaged; what is damaged is not held against Kafka", "offset", from, "err", err)
		return none, next, nil
	}
	if err != nil {
		return none, from, err
	}
	return compare(rows, page.Records), next, nil
}
