package replay

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// countParallel bounds the segments that are decoded at once: each holds a row
// group, about 16 MiB.
const countParallel = 4

// count fills in what is selected of each segment. A filter is asked here, and only
// here: what it chooses stands in the plan.
func (r *resolver) count(ctx context.Context) error {
	var all []*segmentPlan
	var size int64
	chosen := choice{selection: &r.doc.Selection, sieve: r.sieve} // sizes are not known yet
	if err := r.mayFilter(); err != nil {
		return err
	}
	for i := range r.doc.Topics {
		for j := range r.doc.Topics[i].Streams {
			segments := r.doc.Topics[i].Streams[j].Segments
			for k := range segments {
				all = append(all, &segments[k])
				size += segments[k].Size
			}
		}
	}
	if r.olderRules > 0 {
		r.warn("%d segments were sealed under other rules of extraction than today's (version %d): event types, versions, services and stages are as they were extracted then", r.olderRules, schema.ExtractVersion)
	}
	if r.doc.Selection.Stages != nil || r.sieve.asksStage() {
		r.warn("stages are those that producers declared: a record whose stage a search or a trace works out from its payload, its topic or its parents has none here")
	}
	exact := size <= r.service.options.Exact || r.doc.Selection.byTrace()
	if !exact {
		r.warn("the selection touches %d MiB of segments, too much to be read for a plan: bytes are estimated, which schemas its records name is not known, and records too large for the target are found when they are produced", size>>20)
	}
	group, counting := errgroup.WithContext(ctx)
	group.SetLimit(countParallel)
	for _, p := range all {
		group.Go(func() error { return r.countSegment(counting, p, &chosen, exact) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, of := range r.sieve.undated() {
		r.warn("%s: %d records of the selection say no event time; they are left out", of.Source, of.Records)
	}
	return r.sieve.err()
}

// countSegment reads what is selected of a segment, or takes the ledger's
// counts where all of it is and the plan need not be exact.
func (r *resolver) countSegment(ctx context.Context, p *segmentPlan, chosen *choice, exact bool) error {
	s := r.service
	if !exact && !p.cut && p.Offsets == nil && !chosen.byContent() && chosen.during(p.MinTimestamp) && chosen.during(p.MaxTimestamp) {
		if _, err := s.store.Stat(ctx, p.Key); err != nil {
			return segmentError(p, err)
		}
		p.Bytes = p.Size
		return nil
	}
	columns := chosen.sieve.columns()
	if exact {
		columns |= segment.Payload
	}
	reader, err := s.openSegment(ctx, s.store.ReaderAt(ctx, p.Key, p.Size), p)
	if err != nil {
		return err
	}
	counted, from, next := *p, p.From, p.Next
	counted.Records, counted.Bytes, counted.Exact, counted.Largest, counted.LargestAt = 0, 0, exact, 0, 0
	if columns&^chosen.columns() != 0 && chosen.isPart(p) {
		if from, next, err = s.extent(ctx, reader, p, chosen); err != nil {
			return err
		}
	}
	var rows int64
	picked := chosen.sieve.pick(p)
	for row, err := range chosen.of(p, s.rowsOf(ctx, reader, p, from, next, columns|chosen.columns())) {
		if err != nil {
			return err
		}
		if keeps, err := picked.keeps(row); err != nil || !keeps {
			if err != nil {
				return err
			}
			continue
		}
		rows++
		counted.add(&row.Record)
		if exact {
			r.named.add(&row.Record)
		}
		if exact && (row.Timestamp < kafka.MinTimestamp || row.Timestamp > kafka.MaxTimestamp) {
			return unwritable(&row.Record)
		}
	}
	if !exact && p.Records > 0 {
		counted.Bytes = p.Size * rows / p.Records
	}
	if chosen.byTrace() && !chosen.byContent() && chosen.skipOver == 0 && rows != int64(len(p.Offsets)) {
		return schema.Errorf(schema.Corrupt, "segment %s holds %d committed records of the trace, the index says %d; run annals reindex", p.Key, rows, len(p.Offsets))
	}
	if picked != nil {
		counted.Offsets = picked.offsets()
	}
	*p = counted
	return nil
}

// isPart tells whether some of a segment's rows may not be selected.
func (c *choice) isPart(p *segmentPlan) bool {
	return p.Offsets == nil && (c.byContent() || !c.during(p.MinTimestamp) || !c.during(p.MaxTimestamp))
}

// extent reads of a segment only the columns that choose, which are small beside
// the payload, and gives the offsets from the first selected row to behind the
// last: what is read besides is that part's.
func (s *Service) extent(ctx context.Context, reader *segment.Reader, p *segmentPlan, chosen *choice) (from, next int64, err error) {
	from, next = p.Next, p.Next
	for row, err := range chosen.of(p, s.rowsOf(ctx, reader, p, p.From, p.Next, chosen.columns())) {
		if err != nil {
			return 0, 0, err
		}
		from, next = min(from, row.Offset), row.Offset+1
	}
	return from, next, nil
}

// add counts one record, and narrows the range of offsets to what is selected.
func (p *segmentPlan) add(r *schema.Record) {
	if p.Records == 0 {
		p.From, p.MinTimestamp, p.MaxTimestamp = r.Offset, r.Timestamp, r.Timestamp
	}
	p.Records++
	p.Next = r.Offset + 1
	p.MinTimestamp, p.MaxTimestamp = min(p.MinTimestamp, r.Timestamp), max(p.MaxTimestamp, r.Timestamp)
	if !p.Exact {
		return
	}
	p.Bytes += r.Bytes()
	if size := batchBytes(r); size > p.Largest {
		p.Largest, p.LargestAt = size, r.Offset
	}
}

// batchBytes bounds the size of a batch (KIP-98, magic 2) that holds this
// record alone, uncompressed.
func batchBytes(r *schema.Record) int64 {
	const batchHeader, recordFields, headerFields = 61, 40, 10
	return batchHeader + recordFields + r.Bytes() + headerFields*int64(len(r.Headers))
}

func unwritable(r *schema.Record) error {
	return schema.Errorf(schema.Invalid, "%s/%d offset %d has the timestamp %d ms, which cannot be written as it is: only %s to %s can",
		r.Topic, r.Partition, r.Offset, r.Timestamp, time.UnixMilli(kafka.MinTimestamp).UTC().Format(time.DateOnly), time.UnixMilli(kafka.MaxTimestamp).UTC().Format(time.DateOnly))
}
