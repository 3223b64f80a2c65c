package replay

import (
	"context"
	"crypto/sha256"
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
// row is valid until the next one. After an error, which names the segment,
// nothing follows.
func (s *Service) planned(ctx context.Context, p *segmentPlan, selected *selection, from int64, columns segment.Columns) iter.Seq2[*segment.Row, error] {
	return func(yield func(*segment.Row, error) bool) {
		reader, err := segment.Open(ctx, s.store.ReaderAt(ctx, p.Key, p.Size), p.Size)
		if err != nil {
			yield(nil, segmentError(p, err))
			return
		}
		if root := reader.Footer().RecordRoot; root != p.RecordRoot {
			yield(nil, schema.Errorf(schema.Corrupt, "segment %s has the record root %s, the ledger says %s", p.Key, root, p.RecordRoot))
			return
		}
		var rows iter.Seq2[*segment.Row, error]
		if p.Offsets != nil {
			at, _ := slices.BinarySearch(p.Offsets, from)
			rows = reader.Select(ctx, p.Offsets[at:], columns)
		} else {
			rows = reader.Rows(ctx, max(from, p.From), p.Next, columns)
		}
		for row, err := range rows {
			if err != nil {
				yield(nil, segmentError(p, err))
				return
			}
			if row.Status == schema.Committed && selected.selects(row.Timestamp) && !yield(row, nil) {
				return
			}
		}
	}
}

// segmentError names the segment. One that the ledger names and that is not
// there is damage, not a wrong request.
func segmentError(p *segmentPlan, err error) error {
	if schema.KindOf(err) == schema.NotFound {
		return schema.Errorf(schema.Corrupt, "segment %s, which the ledger names, is missing: %w", p.Key, err)
	}
	return fmt.Errorf("segment %s: %w", p.Key, err)
}

// verify holds a segment's bytes against the hash that the plan took from the
// ledger.
func (s *Service) verify(ctx context.Context, p *segmentPlan) error {
	hash := sha256.New()
	source := io.NewSectionReader(s.store.ReaderAt(ctx, p.Key, p.Size), 0, p.Size)
	if _, err := io.CopyBuffer(hash, source, make([]byte, min(4<<20, max(p.Size, 1)))); err != nil {
		return segmentError(p, err)
	}
	if sum := schema.Digest(hash.Sum(nil)); sum != p.SHA256 {
		return schema.Errorf(schema.Corrupt, "segment %s hashes to %s, the ledger says %s", p.Key, sum, p.SHA256)
	}
	return nil
}

// each calls visit for the planned rows of a lane from an offset on, in order,
// and checks that a segment that is read as a whole has what was planned.
func (s *Service) each(ctx context.Context, l *lane, selected *selection, from int64, verify bool, visit func(*segment.Row) error) error {
	for i := range l.stream.Segments {
		p := &l.stream.Segments[i]
		if p.Next <= from {
			continue
		}
		if verify {
			if err := s.verify(ctx, p); err != nil {
				return err
			}
		}
		var n int64
		for row, err := range s.planned(ctx, p, selected, from, segment.Times|segment.Broker|segment.Payload) {
			if err != nil {
				return err
			}
			n++
			if err := visit(row); err != nil {
				return err
			}
		}
		if from <= p.From && n != p.Records {
			return schema.Errorf(schema.Corrupt, "segment %s has %d records of the selection, the plan says %d", p.Key, n, p.Records)
		}
	}
	return nil
}

// outgoing is the record as it is to stand in the target. It shares memory
// with the source's.
func (d *document) outgoing(id string, r *schema.Record) *schema.Record {
	out := &schema.Record{Timestamp: r.Timestamp, Key: r.Key, Value: r.Value, Headers: r.Headers}
	if d.Provenance {
		out.Headers = append(slices.Clone(r.Headers),
			schema.Header{Name: extract.HeaderReplayID, Value: []byte(id)},
			schema.Header{Name: extract.HeaderSourceTopic, Value: []byte(r.Topic)},
			schema.Header{Name: extract.HeaderSourceTopicID, Value: []byte(r.TopicID.String())},
			schema.Header{Name: extract.HeaderSourcePartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
			schema.Header{Name: extract.HeaderSourceOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
		)
	}
	return out
}
