package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The durable steps of a replay, and what lies between them.
const (
	putPlan        = "put plan"
	putState       = "put state"
	createTopic    = "create topic"
	beginReplay    = "begin"
	produceRecord  = "produce"
	putPosition    = "position record"
	commitReplay   = "commit transaction"
	readReconciled = "reconcile read"
)

const replayPositions = "__annals_replay_positions"

// runReplay plans, runs and works until the job is done, or until its point.
func runReplay() error {
	var e engines
	if err := json.NewDecoder(os.Stdin).Decode(&e); err != nil {
		return err
	}
	point, err := ParsePoint(e.Point)
	if err != nil {
		return err
	}
	store, err := e.openStore()
	if err != nil {
		return err
	}
	defer store.Close()
	brokers, err := replay.Connect(e.kafka())
	if err != nil {
		return err
	}
	defer brokers.Close()
	k, log := newKiller(point), slog.New(slog.DiscardHandler)
	s, err := replay.New(replay.Options{
		PositionTopic: replayPositions, Worker: "fault", Lease: 150 * time.Millisecond, Poll: 20 * time.Millisecond, Batch: 2 << 10, Logger: log,
	}, killBrokers{brokers, k}, killReplayStore{store, k}, ledger.New(store, log), nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	plan, err := s.Plan(ctx, policy.Everything(), answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: e.Target})
	if err != nil {
		return err
	}
	if _, err := s.Run(ctx, policy.Everything(), plan.ID, nil); err != nil {
		return err
	}
	working, finish := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Work(working) }()
	for {
		job, err := s.Get(ctx, policy.Everything(), plan.ID)
		switch {
		case err != nil:
			finish()
			return errors.Join(err, <-done)
		case job.State == answer.JobDone:
			finish()
			return <-done
		case job.State == answer.JobFailed:
			finish()
			return errors.Join(errors.New(job.Error), <-done)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (e engines) openStore() (*objstore.Store, error) {
	return objstore.Open(objstore.Options{
		Endpoint: e.S3, Region: e.Region, Bucket: e.Bucket, Prefix: e.Prefix, PathStyle: true, AccessKey: e.Access, SecretKey: e.Secret,
	})
}

type killReplayStore struct {
	replay.Store
	k *killer
}

func (s killReplayStore) PutIfAbsent(ctx context.Context, key string, body []byte) (o objstore.Object, err error) {
	step := putState
	if strings.HasSuffix(key, "/plan.json") {
		step = putPlan
	}
	err = s.k.step(step, func() error { o, err = s.Store.PutIfAbsent(ctx, key, body); return err })
	return o, err
}

func (s killReplayStore) PutIfMatch(ctx context.Context, key, etag string, body []byte) (o objstore.Object, err error) {
	err = s.k.step(putState, func() error { o, err = s.Store.PutIfMatch(ctx, key, etag, body); return err })
	return o, err
}

type killBrokers struct {
	replay.Brokers
	k *killer
}

func (b killBrokers) CreateReplicated(ctx context.Context, name string, partitions int32, replication int16, configs map[string]string) (id schema.TopicID, err error) {
	err = b.k.step(createTopic, func() error {
		id, err = b.Brokers.CreateReplicated(ctx, name, partitions, replication, configs)
		return err
	})
	return id, err
}

func (b killBrokers) Range(ctx context.Context, s schema.Stream, from, to int64, isolation kafka.Isolation) iter.Seq2[*schema.Record, error] {
	if s.Topic == replayPositions {
		return b.Brokers.Range(ctx, s, from, to, isolation)
	}
	return func(yield func(*schema.Record, error) bool) {
		for r, err := range b.Brokers.Range(ctx, s, from, to, isolation) {
			more := true
			_ = b.k.step(readReconciled, func() error { more = yield(r, err); return err })
			if !more {
				return
			}
		}
	}
}

func (b killBrokers) Producer(options kafka.ProducerOptions) (replay.Producer, error) {
	p, err := b.Brokers.Producer(options)
	return killProducer{p, b.k}, err
}

type killProducer struct {
	replay.Producer
	k *killer
}

func (p killProducer) Begin(ctx context.Context) error {
	return p.k.step(beginReplay, func() error { return p.Producer.Begin(ctx) })
}

func (p killProducer) Produce(ctx context.Context, topic string, partition int32, r *schema.Record, acked func()) {
	step := produceRecord
	if topic == replayPositions {
		step = putPosition
	}
	_ = p.k.step(step, func() error { p.Producer.Produce(ctx, topic, partition, r, acked); return nil })
}

func (p killProducer) Commit(ctx context.Context) error {
	return p.k.step(commitReplay, func() error { return p.Producer.Commit(ctx) })
}

// TestReplaySurvivesKills kills a replay twice on either side of every
// step. A killed job is taken up by the next child, until it is done; then
// comes another one. Every target holds each planned record once, in order.
func TestReplaySurvivesKills(t *testing.T) {
	t.Parallel()
	broker, store := embeddedtest.MemoryKafka(t), embeddedtest.S3(t)
	e := engines{
		Kafka: broker.Addr(), KafkaUser: broker.User(), KafkaPassword: broker.Password(),
		S3: store.Endpoint, Region: store.Region, Bucket: store.Bucket, Prefix: store.Prefix, Access: store.AccessKey, Secret: store.SecretKey,
	}
	objects, err := e.openStore()
	must(t, err)
	t.Cleanup(objects.Close)
	archived := archiveOrders(t, objects)

	jobs, kills := 1, map[int]int{}
	e.Target = "r1."
	steps := []string{putPlan, putState, createTopic, beginReplay, produceRecord, putPosition, commitReplay, readReconciled}
	histogram := killAtEveryStep(t, 2, steps, func(point Point) bool {
		e.Point = point.String()
		if child(t, "replay", e) {
			kills[jobs]++
			return true
		}
		jobs++
		e.Target = fmt.Sprintf("r%d.", jobs)
		return false
	})
	e.Point = ""
	if child(t, "replay", e) {
		t.Fatal("the last run was killed")
	}
	histogram.print(t)
	brokers, err := replay.Connect(e.kafka())
	must(t, err)
	defer brokers.Close()
	for n := 1; n <= jobs; n++ {
		for partition, want := range archived {
			checkTarget(t, brokers, fmt.Sprintf("r%d.orders", n), partition, want)
		}
	}
	t.Logf("%d jobs of %d records; kills by job %v", jobs, len(archived[0])+len(archived[1]), kills)
}

func archiveOrders(t *testing.T, store *objstore.Store) map[int32][]schema.Record {
	t.Helper()
	archived := map[int32][]schema.Record{}
	for partition := range int32(2) {
		s := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{1}, Partition: partition}
		var records []schema.Record
		for i := range 100 {
			records = append(records, schema.Record{
				Topic: s.Topic, TopicID: s.TopicID, Partition: partition, Offset: int64(i), LeaderEpoch: 1, ProducerID: -1, ProducerEpoch: -1,
				Timestamp: 915_408_000_000 + int64(i), Status: schema.Committed, Value: fmt.Appendf(nil, "%d/%d %s", partition, i, strings.Repeat("x", 100)),
			})
		}
		replaytest.Archive(t, store, s, records, 40)
		archived[partition] = records
	}
	return archived
}

// checkTarget reads a partition as readers of committed records do.
func checkTarget(t *testing.T, brokers *replay.Connection, topic string, partition int32, want []schema.Record) {
	t.Helper()
	live, err := brokers.Cluster(t.Context())
	must(t, err)
	bounds, err := brokers.Offsets(t.Context(), topic)
	must(t, err)
	s := schema.Stream{Topic: topic, Partition: partition}
	for _, one := range live.Topics {
		if one.Name == topic {
			s.TopicID = one.ID
		}
	}
	end, n := bounds[topic][partition], 0
	if end.LastStable != end.HighWatermark {
		t.Errorf("%s/%d: a transaction is open at %d of %d", topic, partition, end.LastStable, end.HighWatermark)
	}
	for r, err := range brokers.Range(t.Context(), s, 0, end.LastStable, kafka.ReadCommitted) {
		must(t, err)
		if r.Status == schema.Control {
			continue
		}
		if n >= len(want) || string(r.Value) != string(want[n].Value) || r.Timestamp != want[n].Timestamp {
			t.Fatalf("%s/%d: record %d is %.20q at offset %d", topic, partition, n, r.Value, r.Offset)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%s/%d: %d records, want %d", topic, partition, n, len(want))
	}
}
