package replay

import (
	"cmp"
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of what may be asked for.
const (
	maxTargetPartitions = 10_000
	maxShift            = 100 * 366 * 24 * time.Hour
)

// spread says which partition of a target a record of a lane goes to: of so many, the
// source's modulo that, or by key; of a redrive the one that the plan names.
type spread struct {
	partitions int32
	byKey      bool
}

// spreads tells whether partitions may be others than the source's.
func (d *document) spreads() bool { return d.ByKey || d.Into > 0 || d.Redrive != nil }

func (d *document) spreadOf(t *topicPlan) spread {
	return spread{cmp.Or(d.Into, t.Partitions), d.ByKey}
}

// partition is where a record goes. One without a key keeps to its source's, so that
// there is an order for it to keep.
func (l *lane) partition(r *schema.Record) int32 {
	if l.spread.byKey && r.Key != nil {
		return kafka.KeyPartition(r.Key, l.spread.partitions)
	}
	return l.only()
}

// only is the partition that all records of a lane go to, unless it is by key.
func (l *lane) only() int32 {
	if l.stream.To != nil {
		return *l.stream.To
	}
	return l.stream.Partition % l.spread.partitions
}

// mayTake tells whether records of the lane may go to a partition.
func (l *lane) mayTake(partition int32) bool {
	if l.spread.byKey {
		return partition < l.spread.partitions
	}
	return partition == l.only()
}

// fits holds a target's partitions against those that are written to.
func (s spread) fits(name string, there int) error {
	switch {
	case there < int(s.partitions):
		return schema.WithHint(schema.Errorf(schema.Conflict, "target topic %s has %d partitions, the replay writes to %d", name, there, s.partitions),
			"choose target_partitions, or a target that does not exist")
	case s.byKey && there != int(s.partitions):
		return schema.WithHint(schema.Errorf(schema.Conflict, "target topic %s has %d partitions: its other producers choose among all of them by key, the replay among %d", name, there, s.partitions),
			"choose as many target_partitions")
	}
	return nil
}

// writeAs takes from a request what of the records is not as in the source.
func (d *document) writeAs(r *answer.ReplayRequest) error {
	shift := time.Duration(r.ShiftMillis) * time.Millisecond
	switch {
	case r.Partitioning != "" && r.Partitioning != answer.PartitionBySource && r.Partitioning != answer.PartitionByKey:
		return schema.InvalidField("partitioning", "%.32q is none of source, key", r.Partitioning)
	case r.TargetPartitions < 0 || r.TargetPartitions > maxTargetPartitions:
		return schema.InvalidField("target_partitions", "%d partitions: want 1 to %d", r.TargetPartitions, maxTargetPartitions)
	case r.Timestamps != "" && r.Timestamps != answer.TimestampsKeep && r.Timestamps != answer.TimestampsNow && r.Timestamps != answer.TimestampsShift:
		return schema.InvalidField("timestamps", "%.32q is none of keep, now, shift", r.Timestamps)
	case (r.Timestamps == answer.TimestampsShift) != (r.ShiftMillis != 0):
		return schema.InvalidField("shift_ms", "timestamps shift and shift_ms go together")
	case r.ShiftMillis/1000 > int64(maxShift/time.Second) || r.ShiftMillis/1000 < -int64(maxShift/time.Second):
		return schema.InvalidField("shift_ms", "%s is more than a hundred years", shift)
	}
	d.ByKey, d.Into, d.Shift = r.Partitioning == answer.PartitionByKey, r.TargetPartitions, r.ShiftMillis
	if r.Timestamps != answer.TimestampsKeep {
		d.Timestamps = r.Timestamps
	}
	d.Provenance = d.Provenance || d.spreads()
	return nil
}

// mayShift refuses a shift beyond the times that can be written.
func (d *document) mayShift() error {
	for i := range d.Topics {
		first, last := d.Topics[i].span()
		if d.Shift != 0 && (first+d.Shift < kafka.MinTimestamp || last+d.Shift > kafka.MaxTimestamp) {
			return schema.InvalidField("shift_ms", "%s has records from %s to %s, which shifted cannot be written", d.Topics[i].Source, text(time.UnixMilli(first)), text(time.UnixMilli(last)))
		}
	}
	return nil
}

// produce hands one record of a batch to the producer.
func (a *attempt) produce(ctx context.Context, p *placed, acked func()) {
	record := p.record
	if a.doc.Timestamps == answer.TimestampsNow {
		stamped := *record
		stamped.Timestamp = time.Now().UnixMilli()
		record = &stamped
	}
	a.producer.Produce(ctx, p.lane.target, p.lane.partition(record), record, acked)
}

// expected is a source's record as it is compared with what the target has.
func (a *attempt) expected(r *schema.Record) *schema.Record { return a.found(a.outgoing(r)) }

// found is a target's record as it is compared: the moment at which it was produced
// is not in the source.
func (a *attempt) found(r *schema.Record) *schema.Record {
	if a.doc.Timestamps != answer.TimestampsNow {
		return r
	}
	bare := *r
	bare.Timestamp = 0
	return &bare
}
