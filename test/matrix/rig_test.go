package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/verify"
)

// place is an index that all cases share: topic IDs keep them apart.
type place struct {
	addr, user, password, database string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{}
	p.addr, p.user, p.password = embeddedtest.ClickHouse(t)
	p.database = embeddedtest.Database(t)
	x := p.open(t, p.addr)
	must(t, x.Migrate(t.Context()))
	return p
}

func (p *place) open(t *testing.T, addr string) *index.Index {
	t.Helper()
	x, err := index.Open(index.Options{Addr: addr, Database: p.database, User: p.user, Password: p.password, Partition: "years"})
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	return x
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	topic      = "orders"
	partitions = 2
)

// rig is a case's own Kafka, its own part of the shared store and index, and
// what stands before them.
type rig struct {
	place  *place
	broker *embedded.Kafka
	wire   *wire
	at     objstore.Options // the store itself
	store  *objstore.Store  // on it
	s3     *proxy
	search *proxy

	client, tx *kgo.Client
	streams    [partitions]schema.Stream
	produced   [partitions]*verify.Produced
	rounds     int
}

func newRig(t *testing.T, p *place) *rig {
	t.Helper()
	at := embeddedtest.S3(t)
	r := &rig{
		place: p, broker: embeddedtest.MemoryKafka(t), wire: &wire{},
		at: objstore.Options{
			Endpoint: at.Endpoint, Region: at.Region, Bucket: at.Bucket, Prefix: at.Prefix, PathStyle: true,
			AccessKey: at.AccessKey, SecretKey: at.SecretKey,
		},
		s3: newProxy(t, at.Endpoint), search: newProxy(t, p.addr),
	}
	r.store = r.open(t, at.Endpoint)
	r.client = embeddedtest.KafkaClient(t, r.broker, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	r.tx = embeddedtest.KafkaClient(t, r.broker, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("orders"))
	made, err := kadm.NewClient(r.client).CreateTopic(t.Context(), partitions, 1, nil, topic)
	must(t, err)
	for i := range r.streams {
		r.streams[i] = schema.Stream{Cluster: r.broker.ClusterID(), Topic: topic, TopicID: schema.TopicID(made.ID), Partition: int32(i)}
		r.produced[i] = &verify.Produced{Stream: r.streams[i]}
	}
	return r
}

// patience of the object store's client: what is slow is well within it.
const patience = 1500 * time.Millisecond

func (r *rig) open(t *testing.T, endpoint string) *objstore.Store {
	t.Helper()
	options := r.at
	options.Endpoint, options.Timeout = endpoint, patience
	store, err := objstore.Open(options)
	must(t, err)
	t.Cleanup(store.Close)
	return store
}

// some produces to every partition: plain records, awkward ones among them, a
// transaction that is committed and one that is aborted.
func (r *rig) some(t *testing.T) {
	t.Helper()
	r.rounds++
	r.produce(t, r.client, 40, schema.Committed)
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		status := schema.Aborted
		if commit {
			status = schema.Committed
		}
		must(t, r.tx.BeginTransaction())
		r.produce(t, r.tx, 5, status)
		must(t, r.tx.EndTransaction(t.Context(), commit))
		for _, p := range r.produced {
			p.End++ // the marker
		}
	}
	r.produce(t, r.client, 10, schema.Committed)
}

// produce sends n records to every partition and notes what was acknowledged.
func (r *rig) produce(t *testing.T, client *kgo.Client, n int, status schema.Status) {
	t.Helper()
	var batch []*kgo.Record
	for number := range int32(partitions) {
		for i := range n {
			batch = append(batch, r.record(number, i))
		}
	}
	must(t, client.ProduceSync(t.Context(), batch...).FirstErr())
	for _, sent := range batch {
		p := r.produced[sent.Partition]
		row := schema.Record{
			Topic: topic, TopicID: p.Stream.TopicID, Partition: sent.Partition, Offset: sent.Offset,
			Timestamp: sent.Timestamp.UnixMilli(), Key: sent.Key, Value: sent.Value, Status: status,
		}
		for _, h := range sent.Headers {
			row.Headers = append(row.Headers, schema.Header{Name: h.Key, Value: h.Value})
		}
		p.Records = append(p.Records, row)
		p.End = sent.Offset + 1
	}
}

func (r *rig) record(partition int32, i int) *kgo.Record {
	id := fmt.Sprintf("%d-%d-%d", r.rounds, partition, len(r.produced[partition].Records)+i)
	rec := &kgo.Record{
		Topic: topic, Partition: partition, Key: []byte("k" + id), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
		Value:   fmt.Appendf(nil, `{"eventId":"e%s","traceId":"%032x","pad":"%s"}`, id, i/3+1, strings.Repeat("x", 100+i)),
		Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0xff, 0}}, {Key: "h"}, {Key: "", Value: []byte{}}},
	}
	switch i % 9 {
	case 3:
		rec.Key = nil
	case 5:
		rec.Value = nil
	case 7:
		rec.Key, rec.Value, rec.Headers = []byte{}, []byte{}, nil
	}
	return rec
}

// setting is how an archiver runs on a rig.
type setting struct {
	group   string
	recheck bool
	probes  bool                                  // the store is tried first, as in production
	direct  bool                                  // past the proxies
	chain   func(archiver.Ledger) archiver.Ledger // nil: the ledger itself
	spool   *spooling                             // nil: none
}

// untried is a store that need not be tried: one trial costs as much as a case.
type untried struct{ archiver.Store }

func (untried) Preflight(context.Context) error { return nil }

// options of every archiver here, in process or out of it: small cuts, short
// pauses.
func options(k kafka.Options, group, writer string, logger *slog.Logger) archiver.Options {
	return archiver.Options{
		Kafka: k, Tail: kafka.ConsumerOptions{Group: group, InstanceID: "one"}, Discovery: 200 * time.Millisecond,
		Cut: archiver.Cut{Bytes: 8 << 10}, Feed: archiver.Feed{Rows: 40, Every: 20 * time.Millisecond},
		Silence: 10 * time.Second, Writer: writer, Build: "test", Logger: logger,
	}
}

// archive runs an archiver until stop, or the test's end.
func (r *rig) archive(t *testing.T, s setting) (*archiver.Archiver, func()) {
	t.Helper()
	k := embeddedtest.KafkaOptions(r.broker)
	k.Logger = embeddedtest.Log()
	endpoint, search := r.at.Endpoint, r.place.addr
	if !s.direct {
		k.Dial, endpoint, search = r.wire.dial, r.s3.addr, r.search.addr
	}
	opened := r.open(t, endpoint)
	var store archiver.Store = opened
	if !s.probes {
		store = untried{opened}
	}
	var book archiver.Ledger = ledger.New(opened, nil)
	if s.chain != nil {
		book = s.chain(book)
	}
	rules, err := extract.New(extract.Options{})
	must(t, err)
	if s.group == "" {
		s.group = "annals-archiver"
	}
	o := options(k, s.group, s.group, embeddedtest.Log())
	o.Recheck = s.recheck
	if s.spool != nil {
		s.spool.use(&o)
	}
	a, err := archiver.New(o, store, book, r.place.open(t, search), rules)
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
			t.Errorf("the archiver ended: %v", err)
		}
	}
	t.Cleanup(stop)
	return a, stop
}

// recovery is how long an archiver may take, on a busy machine, to be done
// after a fault.
const recovery = 3 * time.Minute

// settle waits until everything that was produced is archived and, unless the
// index is away, indexed.
func (r *rig) settle(t *testing.T, a *archiver.Archiver, indexed bool) {
	t.Helper()
	book := ledger.New(r.store, nil)
	embeddedtest.Eventually(t, recovery, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := a.CatchUp(ctx); err != nil {
			return errors.Join(err, fmt.Errorf("health: %v", a.Health()))
		}
		if _, err := a.Seal(ctx, true); err != nil {
			return errors.Join(err, fmt.Errorf("health: %v", a.Health()))
		}
		for i, s := range r.streams {
			head, err := book.Head(ctx, s)
			if err != nil {
				return err
			}
			if head.Next < r.produced[i].End {
				return fmt.Errorf("%s is sealed to %d of %d", s, head.Next, r.produced[i].End)
			}
		}
		if !indexed {
			return nil
		}
		return a.Indexed(ctx)
	})
}

// verify holds ledger, segments, index and what was acknowledged against one
// another.
func (r *rig) verify(t *testing.T) error {
	t.Helper()
	return r.verifyIn(t, r.store)
}

func (r *rig) verifyIn(t *testing.T, store *objstore.Store) error {
	t.Helper()
	var held []*verify.Held
	for i, s := range r.streams {
		h, err := verify.Read(t.Context(), t, store, s)
		if err != nil {
			return err
		}
		if err := h.Equals(r.produced[i]); err != nil {
			return err
		}
		held = append(held, h)
	}
	return verify.Index{Ask: func(sql string) string { return r.sql(t, sql) }}.Equals(held...)
}

func (r *rig) sql(t *testing.T, sql string) string {
	t.Helper()
	return embeddedtest.Exec(t, r.place.addr, r.place.user, r.place.password, strings.ReplaceAll(sql, "DB", r.place.database))
}
