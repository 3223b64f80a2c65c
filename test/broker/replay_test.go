package broker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/verify"
)

// counted is a cluster that tells of every transaction before it is committed.
type counted struct {
	replay.Brokers
	commit func()
}

func (c counted) Producer(o kafka.ProducerOptions) (replay.Producer, error) {
	p, err := c.Brokers.Producer(o)
	return countedProducer{p, c.commit}, err
}

type countedProducer struct {
	replay.Producer
	commit func()
}

func (p countedProducer) Commit(ctx context.Context) error {
	p.commit()
	return p.Producer.Commit(ctx)
}

// TestReplay archives a topic and replays it into another one, while the worker
// is stopped in the midst of transactions, again and again: every committed
// record is in the target once, in order, byte for byte.
func TestReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "source", 2, map[string]string{"retention.ms": "-1"})
	for partition := range int32(2) {
		r.produce(t, at(s, partition), 1500)
		var list []*kgo.Record
		for _, record := range odd(s.Topic, partition, int(partition)) {
			if record.Timestamp.Year() < 2100 {
				list = append(list, record)
			}
		}
		must(t, r.client.ProduceSync(t.Context(), list...).FirstErr())
		tx := r.transactional(t, fmt.Sprint("tx", partition), time.Minute)
		put(t, tx, at(s, partition), "aborted", 20)
		end(t, tx, kgo.TryAbort)
		must(t, tx.BeginTransaction())
		put(t, tx, at(s, partition), "committed", 20)
		end(t, tx, kgo.TryCommit)
	}
	a, stop := r.archive(t, nil)
	sources := []*verify.Held{r.archived(t, a, s), r.archived(t, a, at(s, 1))}
	stop()

	cluster, err := replay.Connect(r.kafka())
	must(t, err)
	t.Cleanup(cluster.Close)
	planner := r.replayer(t, cluster, "planner")
	everybody := policy.Everything()
	plan, err := planner.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{s.Topic}, TargetPrefix: "replayed."})
	must(t, err)
	_, err = planner.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	stops, job := 0, &answer.ReplayJob{}
	deadline := time.Now().Add(time.Minute)
	for job.State != answer.JobDone {
		if job.State == answer.JobFailed || time.Now().After(deadline) {
			t.Fatalf("the replay is %s, %d of %d: %s", job.State, job.Produced, job.Planned, job.Error)
		}
		var commits atomic.Int64
		ctx, kill := context.WithCancel(t.Context())
		worker := r.replayer(t, counted{cluster, func() {
			if commits.Add(1) == 4 && stops < 3 {
				kill() // records of this transaction are out, and its commit is not
			}
		}}, fmt.Sprint("worker", stops))
		done := make(chan error, 1)
		go func() { done <- worker.Work(ctx) }()
		for {
			job, err = planner.Get(t.Context(), everybody, plan.ID)
			must(t, err)
			if ctx.Err() != nil || job.State == answer.JobDone || job.State == answer.JobFailed || time.Now().After(deadline) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		kill()
		must(t, <-done)
		stops++
	}
	if stops < 3 {
		t.Errorf("the worker was stopped %d times", stops)
	}
	if !job.Receipt.Matches || !job.Receipt.Exclusive {
		t.Errorf("receipt %+v", job.Receipt)
	}
	for partition, source := range sources {
		r.isReplayed(t, plan.Topics[0].Target, int32(partition), source.Rows)
	}
}

// replayer makes a replay service of small transactions.
func (r *rig) replayer(t *testing.T, cluster replay.Brokers, worker string) *replay.Service {
	t.Helper()
	service, err := replay.New(replay.Options{
		PositionTopic: positionTopic, Worker: worker, Lease: time.Second, Poll: 50 * time.Millisecond, Batch: 16 << 10, Logger: r.log,
	}, cluster, r.store, r.book, nil)
	must(t, err)
	return service
}

// isReplayed reads a target as consumers of committed records do.
func (r *rig) isReplayed(t *testing.T, topic string, partition int32, rows []segment.Row) {
	t.Helper()
	var want []segment.Row
	for _, row := range rows {
		if row.Status == schema.Committed {
			want = append(want, row)
		}
	}
	var got []*kgo.Record
	for _, record := range r.served(t, schema.Stream{Topic: topic, Partition: partition}, kgo.ReadCommitted()) {
		if !record.Attrs.IsControl() {
			got = append(got, record)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s/%d holds %d records, %d were planned", topic, partition, len(got), len(want))
	}
	for i, record := range got {
		row := want[i]
		if record.Timestamp.UnixMilli() != row.Timestamp || !verify.Identical(record.Key, row.Key) || !verify.Identical(record.Value, row.Value) || len(record.Headers) != len(row.Headers) {
			t.Fatalf("%s/%d: record %d differs from offset %d:\n%+v\n%+v", topic, partition, i, row.Offset, record, row.Record)
		}
		for j, h := range record.Headers {
			if h.Key != row.Headers[j].Name || !verify.Identical(h.Value, row.Headers[j].Value) {
				t.Fatalf("%s/%d: record %d, header %d is %+v, want %+v", topic, partition, i, j, h, row.Headers[j])
			}
		}
	}
}
