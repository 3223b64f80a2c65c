package replay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// planned yields what is selected of a segment from an offset on, in order. A
// row is valid until the next one. columns are read besides those that choose.
// After an error, which names the segment, nothing follows.
func (s *Service) planned(ctx context.Context, p *segmentPlan, chosen *choice, from int64, columns segment.Columns) iter.Seq2[*segment.Row, error] {
	return func(yield func(*segment.Row, error) bool) {
		reader, err := s.openSegment(ctx, s.store.ReaderAt(ctx, p.Key, p.Size), p)
		if err != nil {
			yield(nil, err)
			return
		}
		chosen.of(p, s.rowsOf(ctx, reader, p, from, p.Next, columns|chosen.columns()))(yield)
	}
}

// of keeps the committed rows that are wanted, and names the segment in errors.
func (c *choice) of(p *segmentPlan, rows iter.Seq2[*segment.Row, error]) iter.Seq2[*segment.Row, error] {
	return func(yield func(*segment.Row, error) bool) {
		for row, err := range rows {
			if err != nil {
				yield(nil, segmentError(p, err))
				return
			}
			if row.Status == schema.Committed && c.wants(row) && !yield(row, nil) {
				return
			}
		}
	}
}

// sound is planned for rows that are to be produced: each is held against the
// ledger first. Of a small part of a segment the rows are, by their hashes, so that
// little more than the part is read; otherwise the segment is, by its own. What was
// extracted has no hash but the segment's.
func (s *Service) sound(ctx context.Context, p *segmentPlan, chosen *choice, from int64, into *memory) (iter.Seq2[*segment.Row, error], error) {
	into.stays = false
	if mayBeProven(p, chosen) {
		reader, err := s.openSegment(ctx, s.store.ReaderAt(ctx, p.Key, p.Size), p)
		if err != nil {
			return nil, err
		}
		if isSmallPart(reader, p) {
			return chosen.of(p, reader.Proven(ctx, max(from, p.From), p.Next)), nil
		}
	}
	source, err := s.verify(ctx, p, mostKept, &into.space)
	if err != nil {
		return nil, err
	}
	reader, err := s.openSegment(ctx, source, p)
	if err != nil {
		return nil, err
	}
	if into.stays = into.pages != nil && isDense(p, chosen); into.stays {
		return chosen.of(p, reader.RowsKept(ctx, max(from, p.From), p.Next, into.pages, segment.Payload|chosen.columns())), nil
	}
	return chosen.of(p, s.rowsOf(ctx, reader, p, from, p.Next, segment.Payload|chosen.columns())), nil
}

// memory is what rows of verified segments are read into, one segment at a time.
type memory struct {
	space []byte // a segment; it grows to the largest
	// Where a segment's rows are nearly all planned, what they refer to is in pages
	// that stay, and stays tells so: nil, and rows are valid until the next one.
	pages *segment.Kept
	stays bool
}

// isDense tells whether at least half of the rows between a segment's first planned
// one and its last are planned: else a page would stay for few of its rows.
func isDense(p *segmentPlan, chosen *choice) bool {
	return p.Offsets == nil && !chosen.byContent() && chosen.skipOver == 0 && 2*p.Records >= p.Next-p.From
}

// mayBeProven tells whether the hashes of rows do instead of the segment's: what
// was extracted has none, and of a small segment they cost more than they save.
func mayBeProven(p *segmentPlan, chosen *choice) bool {
	return p.Size > leastProven && p.Offsets == nil && !chosen.extracted()
}

// isSmallPart tells whether so little of a segment is planned that reading it alone
// saves more than the hashes of its rows cost: up to three quarters, since the rest
// of the segment and the extracted columns are not read then.
func isSmallPart(reader *segment.Reader, p *segmentPlan) bool {
	f := reader.Footer()
	return 4*(p.Next-p.From) <= 3*(f.LastOffset-f.FirstOffset)
}

// openSegment opens an object's bytes, which must hold the planned rows.
func (s *Service) openSegment(ctx context.Context, source io.ReaderAt, p *segmentPlan) (*segment.Reader, error) {
	reader, err := segment.Open(ctx, source, p.Size)
	if err != nil {
		return nil, segmentError(p, err)
	}
	if footer := reader.Footer(); !footer.Holds(p.RecordRoot, p.From, p.Next) {
		return nil, schema.Errorf(schema.Corrupt, "segment %s has the record root %s, the ledger says %s", p.Key, footer.RecordRoot, p.RecordRoot)
	}
	return reader, nil
}

// rowsOf yields the rows with planned offsets in [from, to), whatever their
// status.
func (s *Service) rowsOf(ctx context.Context, reader *segment.Reader, p *segmentPlan, from, to int64, columns segment.Columns) iter.Seq2[*segment.Row, error] {
	from, to = max(from, p.From), min(to, p.Next)
	if p.Offsets == nil {
		return reader.Rows(ctx, from, to, columns)
	}
	first, _ := slices.BinarySearch(p.Offsets, from)
	last, _ := slices.BinarySearch(p.Offsets, to)
	return reader.Select(ctx, p.Offsets[first:max(first, last)], columns)
}

// segmentError names the segment. One that the ledger names and that is not
// there is damage, not a wrong request.
func segmentError(p *segmentPlan, err error) error {
	if schema.KindOf(err) == schema.NotFound {
		return schema.Errorf(schema.Corrupt, "segment %s, which the ledger names, %w: %w", p.Key, errMissing, err)
	}
	return fmt.Errorf("segment %s: %w", p.Key, err)
}

// verify holds a segment's bytes against the hash that the plan took from the
// ledger, and gives them to be read: of a larger segment than keep they are
// fetched again as they are asked for. space is what they are read into, and grows
// to it: they are there until it is used again.
func (s *Service) verify(ctx context.Context, p *segmentPlan, keep int64, space *[]byte) (io.ReaderAt, error) {
	source := s.store.ReaderAt(ctx, p.Key, p.Size)
	hash, size := sha256.New(), min(hashedAtOnce, max(p.Size, 1))
	if p.Size <= keep {
		size = p.Size
	}
	if int64(cap(*space)) < size {
		*space = make([]byte, size)
	}
	buffer := (*space)[:size]
	for from := int64(0); from < p.Size; from += int64(len(buffer)) {
		some := buffer[:min(int64(len(buffer)), p.Size-from)]
		if n, err := source.ReadAt(some, from); n < len(some) {
			return nil, segmentError(p, fmt.Errorf("read bytes from %d: %w", from, cmp.Or(err, io.ErrUnexpectedEOF)))
		}
		hash.Write(some)
	}
	if sum := schema.Digest(hash.Sum(nil)); sum != p.SHA256 {
		return nil, schema.Errorf(schema.Corrupt, "segment %s hashes to %s, the ledger says %s", p.Key, sum, p.SHA256)
	}
	if p.Size <= keep {
		return segment.Held(buffer), nil
	}
	return source, nil
}

// How much of a segment is read to be hashed; how large one may be to stay in
// memory for being read, of those that go one after another, one at a time; and how
// large one must be for the hashes of its rows to be worth their CPU.
const (
	hashedAtOnce = 4 << 20
	mostKept     = 16 << 20
	leastProven  = 1 << 20
)

// each calls visit for the planned rows of a lane from an offset on, in order,
// and checks that a segment that is read as a whole has what was planned. into is
// where segments that are verified are read; nil: none is.
func (s *Service) each(ctx context.Context, l *lane, from int64, into *memory, visit func(*segment.Row) error) error {
	for i := range l.stream.Segments {
		p := &l.stream.Segments[i]
		if p.Next <= from {
			continue
		}
		n, err := s.eachIn(ctx, l, p, from, into, visit)
		if err != nil {
			return err
		}
		if from <= p.From && n != p.Records {
			return schema.Errorf(schema.Corrupt, "segment %s has %d records of the selection, the plan says %d", p.Key, n, p.Records)
		}
	}
	return nil
}

// eachOf reads one segment, and holds it against no hash.
func (s *Service) eachOf(ctx context.Context, l *lane, p *segmentPlan, visit func(*segment.Row) error) (n int64, err error) {
	return s.eachIn(ctx, l, p, 0, nil, visit)
}

// eachIn reads one segment. Where its object is gone, the one that it was
// joined into is read on from the same offset.
func (s *Service) eachIn(ctx context.Context, l *lane, p *segmentPlan, from int64, into *memory, visit func(*segment.Row) error) (n int64, err error) {
	read := func(at *segmentPlan) error {
		rows := s.planned(ctx, at, l.chosen, from, segment.Payload)
		if into != nil {
			var err error
			if rows, err = s.sound(ctx, at, l.chosen, from, into); err != nil {
				return err
			}
		}
		for row, err := range rows {
			if err != nil {
				return err
			}
			n++
			if err := visit(row); err != nil {
				return err
			}
			from = row.Offset + 1
		}
		return nil
	}
	for at := p; ; {
		err := read(at)
		if !errors.Is(err, errMissing) {
			return n, err
		}
		moved, findErr := s.joined(ctx, l, at)
		if findErr != nil {
			return n, findErr
		}
		if moved == nil {
			return n, err
		}
		at = moved
	}
}

// errMissing: a planned segment's object is not there.
var errMissing = errors.New("is missing")

// joined gives the plan of the same rows in the object that the chain names
// now, or nil if that is the one that is missing. The rows are the planned
// ones: the object's footer must have their record root.
func (s *Service) joined(ctx context.Context, l *lane, p *segmentPlan) (*segmentPlan, error) {
	view, err := s.ledger.View(ctx, l.source(), nil)
	if err != nil {
		return nil, fmt.Errorf("look for the rows of %s: %w", p.Key, err)
	}
	now, ok := view.Holding(p.Branch, p.From)
	if !ok || now.Ref.Key == p.Key {
		return nil, nil //nolint:nilnil // there is none
	}
	moved := *p
	moved.Key, moved.SHA256, moved.Size = now.Ref.Key, now.Ref.SHA256, now.Ref.Bytes
	return &moved, nil
}

// outgoing is the record as it is to stand in the target: the source's itself, or
// one with another timestamp or more headers that shares its memory. The moment of
// producing is known when it is produced.
func (d *document) outgoing(id string, r *schema.Record) *schema.Record {
	if !d.Provenance && d.Shift == 0 {
		return r
	}
	out := *r
	out.Timestamp += d.Shift
	if !d.Provenance {
		return &out
	}
	out.Headers = append(d.headers(r),
		schema.Header{Name: extract.HeaderReplayID, Value: []byte(id)},
		schema.Header{Name: extract.HeaderSourceTopic, Value: []byte(r.Topic)},
		schema.Header{Name: extract.HeaderSourceTopicID, Value: []byte(r.TopicID.String())},
		schema.Header{Name: extract.HeaderSourcePartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
		schema.Header{Name: extract.HeaderSourceOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
	)
	return &out
}
