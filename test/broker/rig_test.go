package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/broker"
	"github.com/fx-risk-ai/annals/test/verify"
)

// rig is a cluster with an archive beside it: a store, its ledger, an index.
// Topics whose names begin with name are the test's.
type rig struct {
	name    string
	cluster *broker.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	id      string // of the cluster
	s3      objstore.Options
	store   *objstore.Store
	into    archiver.Store // what archivers write to: the store, or something before it
	book    *ledger.Ledger
	index   *index.Index
	rules   *extract.Rules
	log     *slog.Logger
	sql     func(statement string) string // DB stands for the database
}

// rigs counts them: with go test -count a name comes again.
var rigs atomic.Int64

func newRig(t *testing.T, c *broker.Cluster) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("ANNALS_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	at := embeddedtest.S3(t)
	s3 := objstore.Options{
		Endpoint: at.Endpoint, Region: at.Region, Bucket: at.Bucket, Prefix: at.Prefix, PathStyle: true,
		AccessKey: at.AccessKey, SecretKey: at.SecretKey,
	}
	store, err := objstore.Open(s3)
	must(t, err)
	t.Cleanup(store.Close)
	addr, user, password := embeddedtest.ClickHouse(t)
	database := embeddedtest.Database(t)
	x, err := index.Open(index.Options{Addr: addr, Database: database, User: user, Password: password, Partition: "years", Logger: log})
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	rules, err := extract.New(extract.Options{})
	must(t, err)
	client := c.Client(t)
	admin := kadm.NewClient(client)
	metadata, err := admin.BrokerMetadata(t.Context())
	must(t, err)
	return &rig{
		name: fmt.Sprintf("%s-%d", strings.ToLower(strings.ReplaceAll(t.Name(), "/", ".")), rigs.Add(1)), cluster: c, client: client, admin: admin, id: metadata.Cluster,
		s3: s3, store: store, into: store, book: ledger.New(store, log), index: x, rules: rules, log: log,
		sql: func(statement string) string {
			return strings.TrimSpace(embeddedtest.Exec(t, addr, user, password, strings.ReplaceAll(statement, "DB", database)))
		},
	}
}

// topic creates one of the test's topics and returns its first partition.
func (r *rig) topic(t *testing.T, suffix string, partitions int32, configs map[string]string) schema.Stream {
	t.Helper()
	name := r.name + "." + suffix
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	created, err := r.admin.CreateTopic(t.Context(), partitions, int16(len(r.cluster.Nodes())), values, name)
	must(t, err)
	return schema.Stream{Cluster: r.id, Topic: name, TopicID: schema.TopicID(created.ID)}
}

// at is another partition of a stream's topic.
func at(s schema.Stream, partition int32) schema.Stream {
	s.Partition = partition
	return s
}

func (r *rig) kafka() kafka.Options {
	return kafka.Options{
		Brokers: r.cluster.Addrs(), ClientID: "annals-test", MetadataMaxAge: time.Second, Logger: r.log,
	}
}

// archive runs an archiver over the test's topics until stop is called, or the
// test ends.
func (r *rig) archive(t *testing.T, change func(*archiver.Options)) (*archiver.Archiver, func()) {
	t.Helper()
	options := archiver.Options{
		Kafka: r.kafka(), Tail: kafka.ConsumerOptions{Group: r.name, InstanceID: "one"},
		Topics:    func(name string) bool { return strings.HasPrefix(name, r.name+".") },
		Discovery: 300 * time.Millisecond, Writer: "test", Build: "test", Logger: r.log,
	}
	if change != nil {
		change(&options)
	}
	a, err := archiver.New(options, r.into, r.book, r.index, r.rules)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("archiver: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what stands in the archiver's way: %v", a.Health())
		}
		stop()
	})
	return a, stop
}

// sealed waits until the stream's ledger has reached an offset.
func (r *rig) sealed(t *testing.T, a *archiver.Archiver, s schema.Stream, next int64) {
	t.Helper()
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		bounded, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := a.Seal(bounded, true); err != nil {
			return err
		}
		head, err := r.book.Head(t.Context(), s)
		if err == nil && head.Next < next {
			err = fmt.Errorf("%s is sealed to %d, want %d", s, head.Next, next)
		}
		return err
	})
}

// produce writes n plain records one after another and returns them.
func (r *rig) produce(t *testing.T, s schema.Stream, n int) []*kgo.Record {
	t.Helper()
	var sent []*kgo.Record
	for i := range n {
		sent = append(sent, &kgo.Record{
			Topic: s.Topic, Partition: s.Partition, Key: fmt.Append(nil, "k", i%10),
			Value: fmt.Appendf(nil, `{"eventId":"e-%d","traceId":"%032x","n":%d}`, i, i/3+1, i),
		})
	}
	must(t, r.client.ProduceSync(t.Context(), sent...).FirstErr())
	return sent
}

// well fails the test if anything stands in the archiver's way.
func well(t *testing.T, a *archiver.Archiver) {
	t.Helper()
	if trouble := a.Health(); len(trouble) > 0 {
		t.Errorf("all is well, and yet: %v", trouble)
	}
}

// alter sets a topic's configuration, and waits until the broker has it.
func (r *rig) alter(t *testing.T, topic string, configs map[string]string) {
	t.Helper()
	var changes []kadm.AlterConfig
	for key, value := range configs {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
	}
	answers, err := r.admin.AlterTopicConfigs(t.Context(), changes, topic)
	must(t, err)
	must(t, answers[0].Err)
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		described, err := r.admin.DescribeTopicConfigs(t.Context(), topic)
		if err != nil {
			return err
		}
		open := maps.Clone(configs)
		for _, c := range described[0].Configs {
			if want, ok := open[c.Key]; ok && c.MaybeValue() == want {
				delete(open, c.Key)
			}
		}
		if len(open) > 0 {
			return fmt.Errorf("%v is not in force", open)
		}
		return nil
	})
}

// archived seals a stream up to what is decided of it and holds it against the
// log: see equals.
func (r *rig) archived(t *testing.T, a *archiver.Archiver, s schema.Stream, before ...*kgo.Record) *verify.Held {
	t.Helper()
	_, end := r.bounds(t, s, kgo.ReadCommitted())
	r.sealed(t, a, s, end)
	return r.equals(t, s, before...)
}

// dynamic makes an archiver a member without a name of its own in the group.
func dynamic(writer string) func(*archiver.Options) {
	return func(o *archiver.Options) { o.Tail.InstanceID, o.Writer = "", writer }
}
