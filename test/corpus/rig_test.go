package corpus_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...) }

// rig is a set of real engines, and what archives and asks on them.
type rig struct {
	broker   *embedded.Kafka
	store    *objstore.Store
	book     *ledger.Ledger
	index    *index.Index
	rules    *extract.Rules
	engine   *query.Engine
	archiver *archiver.Archiver
	log      *slog.Logger
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{log: slog.New(slog.DiscardHandler), broker: embeddedtest.MemoryKafka(t)}
	if testing.Verbose() {
		r.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	at := embeddedtest.S3(t)
	var err error
	r.store, err = objstore.Open(objstore.Options{
		Endpoint: at.Endpoint, Region: at.Region, Bucket: at.Bucket, Prefix: at.Prefix, PathStyle: true,
		AccessKey: at.AccessKey, SecretKey: at.SecretKey,
	})
	must(t, err)
	t.Cleanup(r.store.Close)
	r.book = ledger.New(r.store, r.log)
	addr, user, password := embeddedtest.ClickHouse(t)
	r.index, err = index.Open(index.Options{
		Addr: addr, Database: embeddedtest.Database(t), User: user, Password: password, Partition: "years", Logger: r.log,
	})
	must(t, err)
	t.Cleanup(func() { must(t, r.index.Close()) })
	must(t, r.index.Migrate(t.Context()))
	r.rules, err = extract.New(extract.Options{})
	must(t, err)
	admin, err := kafka.NewAdmin(r.kafka())
	must(t, err)
	t.Cleanup(admin.Close)
	fresh, err := kafka.NewReader(r.kafka())
	must(t, err)
	r.engine, err = query.New(query.Options{
		Index: r.index, Store: r.store, Ledger: r.book, Extract: r.rules, Broker: admin, Fresh: fresh, Logger: r.log,
	})
	must(t, err)
	return r
}

func (r *rig) kafka() kafka.Options {
	return kafka.Options{
		Brokers: []string{r.broker.Addr()}, ClientID: "annals-test", MetadataMaxAge: time.Second, Logger: r.log,
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: r.broker.User(), Password: r.broker.Password()},
	}
}

// archive runs an archiver until the test ends.
func (r *rig) archive(t *testing.T) {
	t.Helper()
	var err error
	r.archiver, err = archiver.New(archiver.Options{
		Kafka: r.kafka(), Tail: kafka.ConsumerOptions{Group: "annals-archiver"},
		Discovery: 300 * time.Millisecond, Silence: time.Second, StaleLeader: time.Second, Writer: "test", Build: "test", Logger: r.log,
	}, r.store, r.book, r.index, r.rules)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.archiver.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
}

// topic makes a topic whose records may be large.
func (r *rig) topic(t *testing.T, name string, partitions int32) schema.Stream {
	t.Helper()
	client := embeddedtest.KafkaClient(t, r.broker)
	large := "16777216"
	made, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, map[string]*string{"max.message.bytes": &large}, name)
	must(t, err)
	return schema.Stream{Cluster: r.broker.ClusterID(), Topic: name, TopicID: schema.TopicID(made.ID)}
}

// codecs are all that Kafka knows.
var codecs = []kgo.CompressionCodec{
	kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
}

// produce sends records one by one, each codec in its turn, so that each is a
// batch of its own. It sets their offsets.
func (r *rig) produce(t *testing.T, s schema.Stream, records []*schema.Record) {
	t.Helper()
	clients := make([]*kgo.Client, len(codecs))
	for i, codec := range codecs {
		clients[i] = embeddedtest.KafkaClient(t, r.broker, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(12<<20))
	}
	for i, rec := range records {
		out := &kgo.Record{Topic: s.Topic, Partition: s.Partition, Key: rec.Key, Value: rec.Value, Timestamp: time.UnixMilli(rec.Timestamp)}
		for _, h := range rec.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		must(t, clients[i%len(clients)].ProduceSync(t.Context(), out).FirstErr())
		rec.Topic, rec.TopicID, rec.Partition, rec.Offset = s.Topic, s.TopicID, s.Partition, out.Offset
	}
}

// rows reads what is archived of a stream with the independent Parquet reader.
func (r *rig) rows(t *testing.T, s schema.Stream) []segment.Row {
	t.Helper()
	var rows []segment.Row
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		if c := entry.Commit; c.Segment != nil {
			body, _, err := r.store.Get(t.Context(), c.Segment.Key, 1<<30)
			must(t, err)
			rows = append(rows, segmenttest.Read(t, body)...)
		}
	}
	return rows
}

// verify recounts a stream's chain and hashes its objects.
func (r *rig) verify(t *testing.T, s schema.Stream) {
	t.Helper()
	report, err := r.book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings > 0 {
		t.Errorf("%s does not verify: %+v", s, report.Listed)
	}
}
