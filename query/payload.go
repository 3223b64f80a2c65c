package query

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// content is a record's bytes, or why they could not be read.
type content struct {
	status schema.Status // the index's verdict, which Kafka does not give
	record *schema.Record
	x      *schema.Extraction // nil if read from Kafka; valid if the columns were asked for
	source string
	err    error

	raw      *schema.Record // as it was read; record is without what is withheld
	limited  bool           // what was extracted before may be more than is shown now
	withheld []string       // as of policy.Topic.Mask

	document  []byte   // the value as it is compared and looked into: record's, or JSON text made of it
	decoded   bool     // it was made of it
	undecoded string   // the code that says why it was not
	hidden    []string // what is withheld of document
}

// Bounds of reading payloads.
const (
	maxContentBytes = 64 << 20 // of one answer
	parallelReads   = 8
	nearby          = 512             // offsets between two wanted rows that are read along
	freshSpan       = 512             // offsets between two wanted records that are read along from Kafka
	freshAlong      = 1 << 20         // bytes, likewise
	freshTimeout    = 5 * time.Second // for all of a partition's records in one answer
)

// contents reads records: those that are sealed from their segments, one opened
// segment for all of its records, and only the columns asked for; the others
// from Kafka, whole. What the topics' policies withhold is not in what it gives.
// Every hit has an entry. Errors are the entries' own: one segment that cannot
// be read must not hide the rest of a trace.
func (e *Engine) contents(ctx context.Context, c *catalog, hits []index.Hit, columns segment.Columns) map[schema.Position]*content {
	all := make(map[schema.Position]*content, len(hits))
	var sealed []schema.Position
	fresh := map[schema.Stream][]schema.Position{}
	budget := int64(maxContentBytes)
	for i := range hits {
		h := &hits[i]
		if all[h.Position] != nil {
			continue
		}
		entry := &content{status: h.Status}
		all[h.Position] = entry
		if budget -= h.Bytes; budget < 0 {
			entry.err = schema.Errorf(schema.Exhausted, "an answer holds %d MiB of payloads at most", maxContentBytes>>20)
			continue
		}
		if ok, _ := c.isSealed(h.Position); ok {
			sealed = append(sealed, h.Position)
		} else {
			s := schema.Stream{Topic: h.Topic, TopicID: h.TopicID, Partition: h.Partition}
			fresh[s] = append(fresh[s], h.Position)
		}
	}
	var group errgroup.Group
	group.SetLimit(parallelReads)
	for key, positions := range e.bySegment(ctx, sealed, all) {
		group.Go(func() error {
			e.readSegment(ctx, key, positions, columns, all)
			return nil
		})
	}
	for s, positions := range fresh {
		group.Go(func() error {
			e.readFresh(ctx, s, positions, all)
			return nil
		})
	}
	_ = group.Wait() // the functions report through the entries
	e.readSealedSince(ctx, fresh, columns, all)
	for i := range hits {
		e.withhold(all[hits[i].Position])
	}
	return all
}

// bySegment groups positions by the segment that has them.
func (e *Engine) bySegment(ctx context.Context, positions []schema.Position, all map[schema.Position]*content) map[segmentRef][]schema.Position {
	groups := map[segmentRef][]schema.Position{}
	covering, err := e.options.Index.Covering(ctx, positions)
	for _, p := range positions {
		switch s, ok := covering[p]; {
		case err != nil:
			all[p].err = err
		case !ok:
			all[p].err = schema.Errorf(schema.NotFound, "no segment has offset %d", p.Offset)
		default:
			ref := segmentRef{key: s.Key, bytes: s.Bytes}
			groups[ref] = append(groups[ref], p)
		}
	}
	return groups
}

// readSegment reads the rows of one segment in few ranges. Where its object is
// gone it was joined with others, and the index has not heard of it or the
// answer was under way: the ledger says where the rows are now.
func (e *Engine) readSegment(ctx context.Context, ref segmentRef, positions []schema.Position, columns segment.Columns, all map[schema.Position]*content) {
	slices.SortFunc(positions, func(a, b schema.Position) int { return int(max(-1, min(1, a.Offset-b.Offset))) })
	left, err := e.readRows(ctx, ref, positions, columns, all)
	if schema.KindOf(err) == schema.NotFound {
		for moved, some := range e.byLedger(ctx, ref, left, all) {
			if left, err := e.readRows(ctx, moved, some, columns, all); err != nil {
				e.failed(moved, left, err, all)
			}
		}
		return
	}
	if err != nil {
		e.failed(ref, left, err, all)
	}
}

func (e *Engine) failed(ref segmentRef, positions []schema.Position, err error, all map[schema.Position]*content) {
	e.logger.Warn("segment cannot be read", "key", ref.key, "err", err)
	for _, p := range positions {
		all[p].err = err
	}
}

// readRows returns the positions that it did not come to because of an error.
func (e *Engine) readRows(ctx context.Context, ref segmentRef, positions []schema.Position, columns segment.Columns, all map[schema.Position]*content) ([]schema.Position, error) {
	reader, done, err := e.segments.openForRows(ctx, e.options.Store, ref)
	if err != nil {
		return positions, err
	}
	defer done()
	for len(positions) > 0 {
		n := 1
		for n < len(positions) && positions[n].Offset-positions[n-1].Offset <= nearby {
			n++
		}
		if err = readRange(ctx, reader, ref.key, positions[:n], columns, all); err != nil {
			return positions, err
		}
		positions = positions[n:]
	}
	return nil, nil
}

// byLedger groups positions of one partition by the segment that the ledger
// says has them. What is not in another object than the one that is gone gets
// its error.
func (e *Engine) byLedger(ctx context.Context, gone segmentRef, positions []schema.Position, all map[schema.Position]*content) map[segmentRef][]schema.Position {
	groups := map[segmentRef][]schema.Position{}
	v, err := e.viewHolding(ctx, positions[0])
	for _, p := range positions {
		if err != nil {
			all[p].err = err
			continue
		}
		now, ok := v.Holding(p.Branch, p.Offset)
		if !ok || now.Ref.Key == gone.key {
			all[p].err = schema.Errorf(schema.Corrupt, "segment %s, which the ledger names, is missing", gone.key)
			continue
		}
		ref := segmentRef{key: now.Ref.Key, bytes: now.Ref.Bytes}
		groups[ref] = append(groups[ref], p)
	}
	return groups
}

// viewHolding resolves the chain of a position's partition.
func (e *Engine) viewHolding(ctx context.Context, p schema.Position) (*ledger.View, error) {
	streams, err := e.allStreams(ctx)
	if err != nil {
		return nil, err
	}
	var of *schema.Stream
	for i := range streams {
		switch s := &streams[i]; {
		case s.TopicID != p.TopicID || s.Partition != p.Partition:
		case of != nil:
			return nil, ledger.TwoClusters(s.Topic, s.TopicID, of.Cluster, s.Cluster)
		default:
			of = s
		}
	}
	if of != nil {
		return e.view(ctx, *of)
	}
	return nil, schema.Errorf(schema.Corrupt, "partition %d of topic ID %s is indexed and has no chain in the ledger", p.Partition, p.TopicID)
}

func readRange(ctx context.Context, reader *segment.Reader, key string, positions []schema.Position, columns segment.Columns, all map[schema.Position]*content) error {
	from, to := positions[0].Offset, positions[len(positions)-1].Offset+1
	next := 0
	for row, err := range reader.Rows(ctx, from, to, columns) {
		if err != nil {
			return err
		}
		for next < len(positions) && positions[next].Offset < row.Offset {
			all[positions[next]].err = notThere(key, positions[next])
			next++
		}
		if next < len(positions) && positions[next].Offset == row.Offset {
			own := row.Clone()
			entry := all[positions[next]]
			entry.record, entry.x, entry.source = &own.Record, &own.X, key
			next++
		}
	}
	for ; next < len(positions); next++ {
		all[positions[next]].err = notThere(key, positions[next])
	}
	return nil
}

// notThere is an offset inside a segment's range that Kafka did not serve.
func notThere(key string, p schema.Position) error {
	return schema.Errorf(schema.NotFound, "segment %s has no row of offset %d", key, p.Offset)
}

// readFresh reads records of one stream from Kafka. What lies between two of them
// is read along where it is little; else the next read begins at the next one.
func (e *Engine) readFresh(ctx context.Context, s schema.Stream, positions []schema.Position, all map[schema.Position]*content) {
	slices.SortFunc(positions, func(a, b schema.Position) int { return int(max(-1, min(1, a.Offset-b.Offset))) })
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	for left := positions; len(left) > 0; {
		next, err := e.readKafka(ctx, s, left, all)
		if err == nil {
			err = schema.Errorf(schema.NotFound, "Kafka did not serve the record, which is not sealed yet")
		} else {
			next = len(left)
		}
		for _, p := range left[:next] {
			if all[p].record == nil {
				all[p].err = err
			}
		}
		left = left[next:]
	}
}

// readKafka reads the first of some positions, which are of rising offsets, and
// those behind it that are not far. It tells how many it is done with, at least
// one; what of those has no record Kafka does not serve.
func (e *Engine) readKafka(ctx context.Context, s schema.Stream, positions []schema.Position, all map[schema.Position]*content) (int, error) {
	if e.options.Fresh == nil {
		return 0, schema.Errorf(schema.Unavailable, "the record is not sealed yet, and this process does not read from Kafka")
	}
	next, along := 0, int64(0)
	for record, err := range e.options.Fresh.Range(ctx, s, positions[0].Offset, positions[len(positions)-1].Offset+1, kafka.ReadUncommitted) {
		if err != nil {
			return next, err
		}
		for next < len(positions) && positions[next].Offset < record.Offset {
			next++
		}
		if next == len(positions) {
			break
		}
		if positions[next].Offset > record.Offset {
			along += record.Bytes()
		}
		for ; next < len(positions) && positions[next].Offset == record.Offset; next++ { // on each branch asked for
			own, entry := *record, all[positions[next]]
			own.Branch, own.Status = positions[next].Branch, entry.status
			entry.record, entry.source = &own, sourceKafka
			along = 0
		}
		if next == len(positions) || next > 0 && (along > freshAlong || positions[next].Offset-record.Offset > freshSpan) {
			return next, nil
		}
	}
	return len(positions), nil
}

// readSealedSince reads from their segments what Kafka did not give: the catalog is
// some moments old, and a record may have been sealed since, and be gone from
// Kafka. What is still in no segment keeps the error that it has.
func (e *Engine) readSealedSince(ctx context.Context, fresh map[schema.Stream][]schema.Position, columns segment.Columns, all map[schema.Position]*content) {
	var missed []schema.Position
	for _, positions := range fresh {
		for _, p := range positions {
			if all[p].record == nil {
				missed = append(missed, p)
			}
		}
	}
	if len(missed) == 0 {
		return
	}
	found := make(map[schema.Position]*content, len(missed))
	for _, p := range missed {
		found[p] = &content{status: all[p].status}
	}
	for ref, positions := range e.bySegment(ctx, missed, found) {
		e.readSegment(ctx, ref, positions, columns, found)
	}
	for p, entry := range found {
		if entry.record != nil {
			*all[p] = *entry
		}
	}
}

// sourceKafka is Record.Source of a fresh record.
const sourceKafka = "kafka"
