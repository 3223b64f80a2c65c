package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// asker asks the broker how transactions of one partition ended.
type asker struct {
	admin  *kafka.Admin
	stream schema.Stream
	leader kafka.Leader
}

func (r *rig) asker(t *testing.T, s schema.Stream) asker {
	t.Helper()
	admin, err := kafka.NewAdmin(r.kafka())
	must(t, err)
	t.Cleanup(admin.Close)
	leader, err := admin.Leader(t.Context(), s.Topic, s.Partition)
	must(t, err)
	return asker{admin, s, leader}
}

func (a asker) says(t *testing.T, want map[int64]bool, unread int64, open ...kafka.Open) {
	t.Helper()
	got, err := a.admin.Ended(t.Context(), a.stream, a.leader, unread, open)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v: %v, %v; want %v", open, got, err, want)
	}
}

func (a asker) fails(t *testing.T, with func(error) bool, unread int64, open ...kafka.Open) {
	t.Helper()
	if got, err := a.admin.Ended(t.Context(), a.stream, a.leader, unread, open); err == nil || !with(err) {
		t.Errorf("%v: %v, and %v", open, got, err)
	}
}

func isUnavailable(err error) bool { return schema.KindOf(err) == schema.Unavailable }
func isGone(err error) bool        { return errors.Is(err, kafka.ErrOffsetOutOfRange) }

// one writes a record in the transaction that is open, and returns where it is
// and by whom.
func one(t *testing.T, client *kgo.Client, s schema.Stream, value []byte) kafka.Open {
	t.Helper()
	record := &kgo.Record{Topic: s.Topic, Partition: s.Partition, Value: value}
	must(t, client.ProduceSync(t.Context(), record).FirstErr())
	return kafka.Open{Producer: record.ProducerID, From: record.Offset}
}

// decided waits until no transaction of a partition is open, for a coordinator
// answers before it has written its markers, and returns the last record's offset.
func (r *rig) decided(t *testing.T, s schema.Stream) int64 {
	t.Helper()
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		end := r.high(t, s)
		if _, stable := r.bounds(t, s, kgo.ReadCommitted()); stable < end {
			return fmt.Errorf("stable to %d of %d", stable, end)
		}
		return nil
	})
	return r.high(t, s) - 1
}

// TestHowTransactionsEnded: what the archiver goes by where a marker is in a batch
// that it cannot read. The broker is asked by the offset of a record of each
// transaction, and its producer has others before and behind.
func TestHowTransactionsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "ended", 1, nil)
	ask := r.asker(t, s)
	text := []byte("x")
	a, b := r.transactional(t, "a", time.Minute), r.transactional(t, "b", time.Minute)

	a1, b1 := one(t, a, s, text), one(t, b, s, text)
	ask.says(t, map[int64]bool{}, 2, a1) // open
	ask.fails(t, isUnavailable, 2, a1, b1)
	a1later := one(t, a, s, text)
	end(t, b, kgo.TryAbort)
	// b has ended behind the first of a, which is open: not yet to be known.
	ask.fails(t, isUnavailable, 3, a1, b1)
	end(t, a, kgo.TryCommit)
	marker := r.decided(t, s) // of a
	ask.says(t, map[int64]bool{a1.Producer: true, b1.Producer: false}, marker, b1, a1)
	ask.says(t, map[int64]bool{a1.Producer: true}, marker, a1later)
	ask.says(t, nil, marker)

	// The same producers the other way round, so that what they did before or do
	// next would be the wrong answer.
	must(t, a.BeginTransaction())
	must(t, b.BeginTransaction())
	b2, a2 := one(t, b, s, text), one(t, a, s, text)
	a2later := one(t, a, s, text)
	end(t, a, kgo.TryAbort)
	end(t, b, kgo.TryCommit)
	must(t, a.BeginTransaction())
	a3 := one(t, a, s, text)
	end(t, a, kgo.TryCommit)
	marker = r.decided(t, s)
	ask.says(t, map[int64]bool{a1.Producer: true, b1.Producer: false}, marker, a1, b1)
	ask.says(t, map[int64]bool{a2.Producer: false, b2.Producer: true}, marker, a2, b2)
	ask.says(t, map[int64]bool{a2.Producer: false}, marker, a2later) // in its midst
	ask.says(t, map[int64]bool{a3.Producer: true}, marker, a3)

	// One that is open behind those that have ended is in no answer.
	must(t, a.BeginTransaction())
	a4 := one(t, a, s, text)
	ask.says(t, map[int64]bool{b2.Producer: true}, r.high(t, s), b2, a4)
	end(t, a, kgo.TryAbort)
	ask.says(t, map[int64]bool{b2.Producer: true, a4.Producer: false}, r.decided(t, s), b2, a4)
}

// TestHowWideTransactionsEnded: the marker is segments away from the record that
// is asked for, and a marker that the coordinator writes counts as one that the
// producer has written.
func TestHowWideTransactionsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "wide", 1, map[string]string{"segment.bytes": "1048576"})
	ask := r.asker(t, s)
	noise := make([]byte, 600<<10)
	plain := r.cluster.Client(t, kgo.ProducerBatchCompression(kgo.NoCompression()))
	rolled := func() {
		for range 4 {
			must(t, plain.ProduceSync(t.Context(), &kgo.Record{Topic: s.Topic, Value: bytes.Clone(noise)}).FirstErr())
		}
	}
	one1, two := r.transactional(t, "one", time.Minute), r.transactional(t, "two", time.Minute)
	hanging := r.transactional(t, "hanging", 2*time.Second)
	h := one(t, hanging, s, noise[:1])
	x, y := one(t, one1, s, noise[:1]), one(t, two, s, noise[:1])
	rolled()
	end(t, one1, kgo.TryAbort)
	rolled()
	end(t, two, kgo.TryCommit)
	ask.says(t, map[int64]bool{h.Producer: false, x.Producer: false, y.Producer: true}, r.decided(t, s), h, x, y)
}

// TestHowDeletedTransactionsEnded: where the log begins behind what could not be
// read, the broker has forgotten who aborted there, and names nobody: that is no
// commit.
func TestHowDeletedTransactionsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "deleted", 1, nil)
	ask := r.asker(t, s)
	a := r.transactional(t, "a", time.Minute)
	first := one(t, a, s, []byte("x"))
	end(t, a, kgo.TryAbort)
	marker := r.decided(t, s)
	r.produce(t, s, 5)
	deleted := func(to int64) {
		var at kadm.Offsets
		at.AddOffset(s.Topic, s.Partition, to, -1)
		answers, err := r.admin.DeleteRecords(t.Context(), at)
		must(t, err)
		must(t, answers.Error())
	}
	deleted(marker) // its records are gone, its marker is not
	ask.says(t, map[int64]bool{first.Producer: false}, marker, first)
	deleted(marker + 1)
	ask.fails(t, isGone, marker, first)
}
