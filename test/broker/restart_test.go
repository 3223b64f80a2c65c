package broker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/broker"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/verify"
)

// flow is records that go on while brokers come and go. Every acknowledged one
// must be archived.
type flow struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	acked  []*kgo.Record
	failed int
}

// flow begins to write to all partitions of a topic.
func (r *rig) flow(t *testing.T, s schema.Stream, partitions int32) *flow {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &flow{cancel: cancel}
	client := r.cluster.Client(t, kgo.RequiredAcks(kgo.AllISRAcks()))
	f.done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			record := &kgo.Record{Topic: s.Topic, Partition: int32(n) % partitions, Key: fmt.Append(nil, n), Value: fmt.Append(nil, "flow ", n)}
			client.Produce(context.WithoutCancel(ctx), record, f.answered)
			time.Sleep(2 * time.Millisecond)
		}
		if err := client.Flush(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("flush: %v", err)
		}
	})
	t.Cleanup(f.stop)
	return f
}

func (f *flow) answered(record *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed++
		return
	}
	f.acked = append(f.acked, record)
}

// stop ends the flow when everything has been answered.
func (f *flow) stop() {
	f.cancel()
	f.done.Wait()
}

// more waits until n more records have been acknowledged.
func (f *flow) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.acked)
	}
	want := count() + n
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		if now := count(); now < want {
			return fmt.Errorf("%d acknowledged, want %d", now, want)
		}
		return nil
	})
}

// isArchived holds every acknowledged record against the histories of its
// partitions.
func (f *flow) isArchived(t *testing.T, histories []*verify.Held) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := map[int32]map[int64]string{}
	for partition, h := range histories {
		rows[int32(partition)] = map[int64]string{}
		for _, row := range h.Rows {
			rows[int32(partition)][row.Offset] = string(row.Value)
		}
	}
	for _, record := range f.acked {
		if got := rows[record.Partition][record.Offset]; got != string(record.Value) {
			t.Fatalf("partition %d offset %d: %q was acknowledged, %q is archived", record.Partition, record.Offset, record.Value, got)
		}
	}
	t.Logf("%d records acknowledged, %d refused", len(f.acked), f.failed)
	if len(f.acked) == 0 {
		t.Error("nothing was acknowledged")
	}
}

// TestBrokerIsKilled: kill -9 while records are written and archived, and the
// same broker again.
func TestBrokerIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, broker.Start(t, broker.Options{}))
	s := r.topic(t, "killed", 2, nil)
	a, _ := r.archive(t, nil)
	f := r.flow(t, s, 2)
	f.more(t, 100)
	for range 2 {
		r.cluster.Node(1).Kill(t)
		time.Sleep(300 * time.Millisecond)
		r.cluster.Node(1).Restart(t)
		f.more(t, 100)
		_, err := a.Seal(t.Context(), false)
		must(t, err)
	}
	f.stop()
	must(t, a.CatchUp(t.Context()))
	histories := []*verify.Held{r.archived(t, a, s), r.archived(t, a, at(s, 1))}
	f.isArchived(t, histories)
	r.indexed(t, histories...)
	well(t, a)
}

// TestRollingRestart: three nodes, one after the other, with nothing lost and
// nobody asked.
func TestRollingRestart(t *testing.T) {
	instance.Long(t)
	r := newRig(t, three.of(t))
	s := r.topic(t, "rolling", 3, map[string]string{"min.insync.replicas": "2"})
	a, _ := r.archive(t, nil)
	f := r.flow(t, s, 3)
	f.more(t, 100)
	for _, node := range r.cluster.Nodes() {
		node.Stop(t)
		f.more(t, 100)
		node.Restart(t)
		r.insync(t, s, 3)
		f.more(t, 100)
	}
	f.stop()
	must(t, a.CatchUp(t.Context()))
	var histories []*verify.Held
	for partition := range int32(3) {
		histories = append(histories, r.archived(t, a, at(s, partition)))
	}
	f.isArchived(t, histories)
	r.indexed(t, histories...)
	well(t, a)
}

// insync waits until every partition of a topic has so many replicas in sync.
func (r *rig) insync(t *testing.T, s schema.Stream, n int) {
	t.Helper()
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		r.client.ForceMetadataRefresh()
		listed, err := r.admin.ListTopics(t.Context(), s.Topic)
		if err != nil {
			return err
		}
		for _, p := range listed[s.Topic].Partitions {
			if len(p.ISR) < n {
				return fmt.Errorf("partition %d has %v in sync", p.Partition, p.ISR)
			}
		}
		return nil
	})
}

// leader asks who leads a partition.
func (r *rig) leader(t *testing.T, s schema.Stream) int32 {
	t.Helper()
	leader := int32(-1)
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		r.client.ForceMetadataRefresh()
		listed, err := r.admin.ListTopics(t.Context(), s.Topic)
		if err != nil {
			return err
		}
		if leader = listed[s.Topic].Partitions[s.Partition].Leader; leader < 0 {
			return fmt.Errorf("nobody leads %s", s)
		}
		return nil
	})
	return leader
}

// TestLeaderIsKilled: kill -9 of the node that leads; what it acknowledged with
// its followers is in the archive.
func TestLeaderIsKilled(t *testing.T) {
	instance.Long(t)
	r := newRig(t, three.of(t))
	s := r.topic(t, "led", 3, map[string]string{"min.insync.replicas": "2"})
	a, _ := r.archive(t, nil)
	f := r.flow(t, s, 3)
	f.more(t, 100)
	killed := r.leader(t, s)
	r.cluster.Node(killed).Kill(t)
	f.more(t, 200)
	r.cluster.Node(killed).Restart(t)
	f.more(t, 100)
	f.stop()
	must(t, a.CatchUp(t.Context()))
	var histories []*verify.Held
	for partition := range int32(3) {
		histories = append(histories, r.archived(t, a, at(s, partition)))
	}
	f.isArchived(t, histories)
	epochs := histories[0].Commits[len(histories[0].Commits)-1].LeaderEpochs
	if rows := histories[0].Rows; rows[len(rows)-1].LeaderEpoch == 0 {
		t.Errorf("the leader died, and its epoch lives: %v", epochs)
	}
	r.insync(t, s, 3)
	r.indexed(t, histories...)
	well(t, a)
}
