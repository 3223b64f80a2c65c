package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
)

// transactional is a producer with a transaction open.
func (r *rig) transactional(t *testing.T, id string, timeout time.Duration) *kgo.Client {
	t.Helper()
	client := r.cluster.Client(t, kgo.TransactionalID(r.name+"."+id), kgo.TransactionTimeout(timeout))
	must(t, client.BeginTransaction())
	return client
}

// put produces n records to a partition in whatever transaction is open.
func put(t *testing.T, client *kgo.Client, s schema.Stream, text string, n int) {
	t.Helper()
	for i := range n {
		must(t, client.ProduceSync(t.Context(), &kgo.Record{
			Topic: s.Topic, Partition: s.Partition, Key: fmt.Append(nil, text, i%3), Value: fmt.Append(nil, text, " ", i),
		}).FirstErr())
	}
}

func end(t *testing.T, client *kgo.Client, commit kgo.TransactionEndTry) {
	t.Helper()
	must(t, client.EndTransaction(t.Context(), commit))
}

// markerOnly ends a transaction that holds no record: a partition is added, and
// nothing written, so that a marker stands alone. Newer clients cannot do it.
func (r *rig) markerOnly(t *testing.T, s schema.Stream, commit bool) {
	t.Helper()
	old := kversion.V3_6_0()
	old.SetMaxKeyVersion(int16(kmsg.AddPartitionsToTxn), 3)
	client := r.cluster.Client(t, kgo.MaxVersions(old))
	id := r.name + ".empty"
	var begun *kmsg.InitProducerIDResponse
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		begin := kmsg.NewPtrInitProducerIDRequest()
		begin.TransactionalID, begin.TransactionTimeoutMillis = &id, 60_000
		answer, err := begin.RequestWith(t.Context(), client)
		if err == nil {
			begun, err = answer, kerr.ErrorForCode(answer.ErrorCode)
		}
		return err
	})
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch = id, begun.ProducerID, begun.ProducerEpoch
	add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: s.Topic, Partitions: []int32{s.Partition}}}
	added, err := add.RequestWith(t.Context(), client)
	must(t, err)
	must(t, kerr.ErrorForCode(added.Topics[0].Partitions[0].ErrorCode))
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = id, begun.ProducerID, begun.ProducerEpoch, commit
	ended, err := end.RequestWith(t.Context(), client)
	must(t, err)
	must(t, kerr.ErrorForCode(ended.ErrorCode))
}

// TestTransactions: interleaved, aborted, empty ones, and one that nobody ends
// until the coordinator does.
func TestTransactions(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "ledger", 1, nil)
	a, _ := r.archive(t, nil)
	one, two := r.transactional(t, "one", time.Minute), r.transactional(t, "two", time.Minute)
	r.produce(t, s, 3)
	put(t, one, s, "one", 4)
	put(t, two, s, "two", 4)
	put(t, one, s, "one", 2)
	r.produce(t, s, 2)
	end(t, two, kgo.TryAbort)
	put(t, one, s, "one", 1)
	end(t, one, kgo.TryCommit)
	r.markerOnly(t, s, true)
	r.markerOnly(t, s, false)
	for i, how := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		must(t, one.BeginTransaction())
		put(t, one, s, fmt.Sprint("again", i), 3)
		end(t, one, how)
	}
	must(t, a.CatchUp(t.Context()))
	before := r.archived(t, a, s)
	if n := len(before.Rows); n == 0 || int64(n) != r.high(t, s) {
		t.Fatalf("%d rows of a log that ends at %d", n, r.high(t, s))
	}

	hanging := r.transactional(t, "hanging", 4*time.Second)
	put(t, hanging, s, "hanging", 3)
	begun := time.Now()
	r.produce(t, s, 5) // decided at once, and behind what is not
	must(t, a.CatchUp(t.Context()))
	_, err := a.Seal(t.Context(), true)
	must(t, err)
	head, err := r.book.Head(t.Context(), s)
	must(t, err)
	if open := time.Since(begun); open > 3*time.Second {
		t.Logf("too slow to see the transaction open: %s", open)
	} else if head.Next != before.Next {
		t.Errorf("sealed to %d, and %d on is undecided", head.Next, before.Next)
	}
	end := r.high(t, s) + 1 // the marker that the coordinator writes
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if _, stable := r.bounds(t, s, kgo.ReadCommitted()); stable < end {
			return fmt.Errorf("the broker has not aborted it: stable to %d of %d", stable, end)
		}
		return nil
	})
	h := r.archived(t, a, s)
	aborted := 0
	for _, row := range h.Rows[before.Next:] {
		if row.Status == schema.Aborted {
			aborted++
		}
	}
	if aborted != 3 {
		t.Errorf("%d records of the hanging transaction are aborted, want 3", aborted)
	}
	r.indexed(t, h)
	well(t, a)
}
