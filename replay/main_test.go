package replay_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m) }

const positions = "__annals_replay_positions"

// rig is a broker and a store with replay services on them.
type rig struct {
	broker  *embedded.Kafka
	kafka   kafka.Options
	cluster *replay.Connection
	reader  *kafka.Reader
	store   *objstore.Store
	folder  string // of the store's objects
	book    *ledger.Ledger
	log     *slog.Logger
}

func newRig(t *testing.T) *rig {
	t.Helper()
	log := embeddedtest.Log()
	broker := embeddedtest.MemoryKafka(t)
	store, folder := objstoretest.EmbeddedIn(t)
	options := embeddedtest.KafkaOptions(broker)
	cluster, err := replay.Connect(options)
	must(t, err)
	t.Cleanup(cluster.Close)
	return &rig{broker: broker, kafka: options, cluster: cluster, reader: cluster.Reader, store: store, folder: folder, book: ledger.New(store, log), log: log}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// service makes a Service that does not work yet.
func (r *rig) service(t *testing.T, change func(*replay.Options), cluster replay.Brokers, traces replay.Traces) *replay.Service {
	t.Helper()
	options := replay.Options{
		PositionTopic: positions, Worker: "test", Lease: time.Second, Poll: 50 * time.Millisecond, Batch: 2 << 10, Logger: r.log,
	}
	if change != nil {
		change(&options)
	}
	if cluster == nil {
		cluster = r.cluster
	}
	s, err := replay.New(options, cluster, r.store, r.book, traces)
	must(t, err)
	return s
}

// work runs a Service's workers until stop is called, or the test ends.
func work(t *testing.T, s *replay.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Work(ctx) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		must(t, <-done)
	}
	t.Cleanup(stop)
	return stop
}

var everybody = policy.Everything()

// until waits for a job to end.
func until(t *testing.T, s *replay.Service, id string, states ...string) *answer.ReplayJob {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		job, err := s.Get(t.Context(), everybody, id)
		must(t, err)
		for _, state := range states {
			if job.State == state {
				return job
			}
		}
		if time.Now().After(deadline) || job.State == answer.JobFailed || job.State == answer.JobCancelled {
			t.Fatalf("replay is %s, %d of %d: %s; wanted %v", job.State, job.Produced, job.Planned, job.Error, states)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// topic is an archived topic. Its records are awkward: null and empty keys and
// values, headers with duplicate names and bytes that are not UTF-8; aborted
// ones and markers between them.
func (r *rig) topic(t *testing.T, name string, partitions int32, each, perSegment int) map[int32][]schema.Record {
	t.Helper()
	id := schema.TopicID{1, byte(len(name))}
	copy(id[2:], name)
	all := map[int32][]schema.Record{}
	for partition := range partitions {
		stream := schema.Stream{Cluster: "source", Topic: name, TopicID: id, Partition: partition}
		var records []schema.Record
		for i := range each {
			records = append(records, awkward(stream, i))
		}
		replaytest.Archive(t, r.store, stream, records, perSegment)
		all[partition] = records
	}
	return all
}

// start is the time of every stream's first record.
var start = time.Date(1999, 1, 4, 0, 0, 0, 0, time.UTC)

func awkward(s schema.Stream, i int) schema.Record {
	r := schema.Record{
		Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Offset: int64(i), LeaderEpoch: 1,
		Timestamp: start.UnixMilli() + int64(i*1000), ProducerID: -1, ProducerEpoch: -1, Status: schema.Committed,
		Key: fmt.Append(nil, "k", i), Value: fmt.Append(nil, `{"n":`, i, `,"pad":"`, strings.Repeat("x", i%97), `"}`),
		Headers: []schema.Header{{Name: "h", Value: []byte{0xff, 0}}, {Name: "h"}, {Name: "", Value: []byte{}}, {Name: "\xfe", Value: []byte("v")}},
	}
	switch i % 11 {
	case 1:
		r.Key = nil
	case 2:
		r.Key, r.Value = []byte{}, nil
	case 3:
		r.Value, r.Headers = []byte{}, nil
	case 4:
		r.Status = schema.Aborted
	case 5:
		r.Status, r.Key, r.Value, r.Headers = schema.Control, []byte{0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 0}, nil
	case 6:
		r.Timestamp -= 5000 // not monotonic
	}
	return r
}

// committed keeps the records that a replay of a time range must deliver.
func committed(records []schema.Record, from, to int64) []schema.Record {
	var kept []schema.Record
	for _, r := range records {
		if r.Status == schema.Committed && r.Timestamp >= from && r.Timestamp < to {
			kept = append(kept, r)
		}
	}
	return kept
}

// target reads a partition as readers of committed records get it.
func (r *rig) target(t testing.TB, topic string, partition int32) []schema.Record {
	t.Helper()
	return readTarget(t, r.cluster, topic, partition)
}

func readTarget(t testing.TB, c *replay.Connection, topic string, partition int32) []schema.Record {
	t.Helper()
	live, err := c.Cluster(t.Context())
	must(t, err)
	bounds, err := c.Offsets(t.Context(), topic)
	must(t, err)
	b := bounds[topic][partition]
	if b.LastStable != b.HighWatermark {
		t.Errorf("%s/%d: a transaction is open at %d of %d", topic, partition, b.LastStable, b.HighWatermark)
	}
	var records []schema.Record
	for _, one := range live.Topics {
		if one.Name != topic {
			continue
		}
		stream := schema.Stream{Topic: topic, TopicID: one.ID, Partition: partition}
		for record, err := range c.Range(t.Context(), stream, 0, b.LastStable, kafka.ReadCommitted) {
			must(t, err)
			if record.Status != schema.Control {
				records = append(records, *record)
			}
		}
	}
	return records
}

// same compares what the producer sends, byte for byte, null told from empty.
func same(t testing.TB, where string, got, want []schema.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, want %d", where, len(got), len(want))
	}
	for i := range want {
		g, w := &got[i], &want[i]
		if line(g) != line(w) {
			t.Fatalf("%s: record %d of source offset %d is\n%s, want\n%s", where, i, w.Offset, line(g), line(w))
		}
	}
}

func line(r *schema.Record) string {
	out := fmt.Sprintf("%d %#v %#v", r.Timestamp, r.Key, r.Value)
	for _, h := range r.Headers {
		out += fmt.Sprintf(" %q=%#v", h.Name, h.Value)
	}
	return out
}

// archive puts n plain records into a stream.
func (r *rig) archive(t testing.TB, s schema.Stream, n int) []schema.Record {
	t.Helper()
	var records []schema.Record
	for i := range n {
		record := awkward(s, i)
		record.Status = schema.Committed
		records = append(records, record)
	}
	r.put(t, s, records)
	return records
}

func (r *rig) put(t testing.TB, s schema.Stream, records []schema.Record) {
	t.Helper()
	replaytest.Archive(t, r.store, s, records, 1000)
}

func deleteTopic(t *testing.T, client *kgo.Client, name string) {
	t.Helper()
	_, err := kadm.NewClient(client).DeleteTopic(t.Context(), name)
	must(t, err)
}
