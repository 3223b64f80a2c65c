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

// count fills in what is selected of each segment.
func (r *resolver) count(ctx context.Context) error {
	var all []*segmentPlan
	var size int64
	chosen := choice{selection: &r.doc.Selection} // sizes are not known yet
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
	exact := size <= r.service.options.Exact || r.doc.Selection.TraceID != nil
	if !exact {
		r.warn("the selection touches %d MiB of segments, too much to be read for a plan: bytes are estimated, and records too large for the target are found when they are produced", size>>20)
	}
	group, counting := errgroup.WithContext(ctx)
	group.SetLimit(countParallel)
	for _, p := range all {
		group.Go(func() error { return r.service.countSegment(counting, p, &chosen, exact) })
	}
	return group.Wait()
}

// countSegment reads what is selected of a segment, or takes the ledger's
// counts where all of it is and the plan need not be exact.
func (s *Service) countSegment(ctx context.Context, p *segmentPlan, chosen *choice, exact bool) error {
	if !exact && !p.cut && p.Offsets == nil && !chosen.byContent() && chosen.during(p.MinTimestamp) && chosen.during(p.MaxTimestamp) {
		if _, err := s.store.Stat(ctx, p.Key); err != nil {
			return segmentError(p, err)
		}
		p.Bytes = p.Size
		return nil
	}
	columns := segment.Columns(0)
	if exact {
		columns |= segment.Payload
	}
	counted := *p
	counted.Records, counted.Bytes, counted.Exact, counted.Largest, counted.LargestAt = 0, 0, exact, 0, 0
	var rows int64
	for row, err := range s.planned(ctx, p, chosen, p.From, columns) {
		if err != nil {
			return err
		}
		rows++
		counted.add(&row.Record)
		if exact && (row.Timestamp < kafka.MinTimestamp || row.Timestamp > kafka.MaxTimestamp) {
			return unwritable(&row.Record)
		}
	}
	if !exact && p.Records > 0 {
		counted.Bytes = p.Size * rows / p.Records
	}
	if chosen.TraceID != nil && !chosen.byContent() && chosen.skipOver == 0 && rows != int64(len(p.Offsets)) {
		return schema.Errorf(schema.Corrupt, "segment %s holds %d committed records of the trace, the index says %d; run annals reindex", p.Key, rows, len(p.Offsets))
	}
	*p = counted
	return nil
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
