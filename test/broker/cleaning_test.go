package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
)

// compacting cleans closed segments as soon as there are any.
var compacting = map[string]string{
	"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "100",
	"min.compaction.lag.ms": "0", "max.compaction.lag.ms": "500",
}

// rolling closes a segment at the first record after rollAfter; settled keeps
// it open, so that nothing more is cleaned.
var (
	rolling = map[string]string{"segment.ms": "100"}
	settled = map[string]string{"segment.ms": "604800000"}
)

const rollAfter = 150 * time.Millisecond

// cleaned closes the segment and waits until the log has fewer records than
// before.
func (r *rig) cleaned(t *testing.T, s schema.Stream) {
	t.Helper()
	r.alter(t, s.Topic, rolling)
	before := len(r.served(t, s, kgo.ReadUncommitted()))
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		time.Sleep(rollAfter)
		r.produce(t, s, 1)
		if now := len(r.served(t, s, kgo.ReadUncommitted())); now >= before {
			return fmt.Errorf("%d records, before %d", now, before)
		}
		return nil
	})
	r.alter(t, s.Topic, settled)
}

// TestCompaction: what the cleaner took before it was archived is a gap of its
// class; what it takes afterwards stays in the archive.
func TestCompaction(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "compacted", 1, compacting)
	r.produce(t, s, 60) // ten keys
	tx := r.transactional(t, "tx", time.Minute)
	put(t, tx, s, "aborted", 5)
	end(t, tx, kgo.TryAbort)
	must(t, tx.BeginTransaction())
	put(t, tx, s, "committed", 5)
	end(t, tx, kgo.TryCommit)
	must(t, r.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.Topic, Key: []byte("k1")}).FirstErr()) // a tombstone
	r.cleaned(t, s)

	seen := r.served(t, s, kgo.ReadUncommitted()) // closed segments may be cleaned once more
	a, stop := r.archive(t, nil)
	first := r.archived(t, a, s, seen...)
	if n := first.GapOffsets()[schema.GapCleaned]; n == 0 || len(first.GapOffsets()) != 1 {
		t.Fatalf("gaps %+v, want some, all cleaned", first.Gaps)
	}
	r.produce(t, s, 40)
	r.archived(t, a, s, seen...)
	seen = append(seen, r.served(t, s, kgo.ReadUncommitted())...)
	stop()
	r.cleaned(t, s) // archived: stays
	r.produce(t, s, 30)
	r.cleaned(t, s) // not archived: another gap
	seen = append(seen, r.served(t, s, kgo.ReadUncommitted())...)
	a, _ = r.archive(t, nil)
	last := r.archived(t, a, s, seen...)
	if before, now := first.GapOffsets()[schema.GapCleaned], last.GapOffsets()[schema.GapCleaned]; now <= before || len(last.GapOffsets()) != 1 {
		t.Errorf("gaps %+v, before %+v", last.Gaps, first.Gaps)
	}
	r.indexed(t, last)
	well(t, a)
}

// deleteTo deletes the records below an offset.
func (r *rig) deleteTo(t *testing.T, s schema.Stream, offset int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(s.Topic, s.Partition, offset, -1)
	answers, err := r.admin.DeleteRecords(t.Context(), offsets)
	must(t, err)
	must(t, answers.Error())
}

// TestDeletedBeforeArchived: DeleteRecords and retention, while nobody archives
// and while somebody does.
func TestDeletedBeforeArchived(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	short := r.topic(t, "short", 2, rolling)
	var seen []*kgo.Record
	for partition := range int32(2) {
		r.produce(t, at(short, partition), 20)
		seen = append(seen, r.served(t, at(short, partition), kgo.ReadUncommitted())...)
	}
	a, stop := r.archive(t, nil)
	r.archived(t, a, short)
	r.archived(t, a, at(short, 1))
	stop()

	r.produce(t, short, 30)
	r.produce(t, at(short, 1), 30)
	r.deleteTo(t, short, 35) // into what is not archived
	time.Sleep(rollAfter)
	r.alter(t, short.Topic, map[string]string{"retention.ms": "200"})
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		for partition := range int32(2) {
			if start, end := r.bounds(t, at(short, partition), kgo.ReadUncommitted()); start != end {
				return fmt.Errorf("retention has left %d to %d of partition %d", start, end, partition)
			}
		}
		return nil
	})
	r.alter(t, short.Topic, map[string]string{"retention.ms": "-1"})
	a, _ = r.archive(t, nil)
	for partition := range int32(2) {
		h := r.archived(t, a, at(short, partition), of(seen, partition)...)
		if got := h.GapOffsets(); got[schema.GapBeforeLogStart] != 30 || len(got) != 1 {
			t.Errorf("partition %d: gaps %+v, want 30 offsets before_log_start", partition, h.Gaps)
		}
	}
	r.produce(t, short, 50)
	late := r.served(t, short, kgo.ReadUncommitted())
	r.deleteTo(t, short, 100) // all of it, as it is being read
	h := r.archived(t, a, short, append(of(seen, 0), late...)...)
	if rows, gaps := len(h.Rows), h.GapOffsets()[schema.GapBeforeLogStart]; int64(rows)+gaps != 100 {
		t.Errorf("%d rows and %d offsets in gaps", rows, gaps)
	}
	r.produce(t, short, 5)
	h = r.archived(t, a, short, append(of(seen, 0), late...)...)
	r.indexed(t, h, r.history(t, at(short, 1)))
	well(t, a)
}

// of keeps a partition's records.
func of(records []*kgo.Record, partition int32) []*kgo.Record {
	var kept []*kgo.Record
	for _, record := range records {
		if record.Partition == partition {
			kept = append(kept, record)
		}
	}
	return kept
}
