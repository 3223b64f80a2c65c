package archiver_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
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
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for brokers more than they compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		log.Fatal(err)
	}
	embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...)
}

// rig is a set of real engines with an archiver's parts on them.
type rig struct {
	broker  *embedded.Kafka
	client  *kgo.Client
	store   *objstore.Store
	book    *ledger.Ledger
	index   *index.Index
	through archiver.Index  // what an archiver sees of it; nil: itself
	chain   archiver.Ledger // … and of the ledger
	objects archiver.Store  // … and of the store
	rules   *extract.Rules
	log     *slog.Logger
	sql     func(t *testing.T, statement string) string // DB stands for the database
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return rigOn(t, embeddedtest.MemoryKafka(t)) // none of them restarts its broker
}

func rigOn(t *testing.T, broker *embedded.Kafka) *rig {
	t.Helper()
	log := embeddedtest.Log()
	store := objstoretest.Embedded(t)
	addr, user, password := embeddedtest.ClickHouse(t)
	database := embeddedtest.Database(t)
	x, err := index.Open(index.Options{Addr: addr, Database: database, User: user, Password: password, Partition: "years", Logger: log})
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	rules, err := extract.New(extract.Options{})
	must(t, err)
	return &rig{
		broker: broker, client: embeddedtest.KafkaClient(t, broker, kgo.RecordPartitioner(kgo.ManualPartitioner())),
		store: store, book: ledger.New(store, log), index: x, rules: rules, log: log,
		sql: func(t *testing.T, statement string) string {
			t.Helper()
			return strings.TrimSpace(embeddedtest.Exec(t, addr, user, password, strings.ReplaceAll(statement, "DB", database)))
		},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) kafka() kafka.Options {
	options := embeddedtest.KafkaOptions(r.broker)
	options.Logger = r.log
	return options
}

// archive runs an archiver until stop is called, or the test ends.
func (r *rig) archive(t *testing.T, change func(*archiver.Options)) (*archiver.Archiver, func()) {
	t.Helper()
	return r.archiveBy(t, r.rules, change)
}

// archiveBy archives by other rules.
func (r *rig) archiveBy(t *testing.T, rules archiver.Rules, change func(*archiver.Options)) (*archiver.Archiver, func()) {
	t.Helper()
	options := archiver.Options{
		Kafka: r.kafka(), Tail: kafka.ConsumerOptions{Group: "annals-archiver", InstanceID: "one"},
		Discovery: 300 * time.Millisecond, Writer: "test", Build: "test", Logger: r.log,
	}
	if change != nil {
		change(&options)
	}
	objects := r.objects
	if objects == nil {
		objects = r.store
	}
	book := r.chain
	if book == nil {
		book = r.book
	}
	x := r.through
	if x == nil {
		x = r.index
	}
	a, err := archiver.New(options, objects, book, x, rules)
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
	t.Cleanup(stop)
	return a, stop
}

func (r *rig) topic(t *testing.T, name string, partitions int32) schema.TopicID {
	t.Helper()
	created, err := kadm.NewClient(r.client).CreateTopic(t.Context(), partitions, 1, nil, name)
	must(t, err)
	return schema.TopicID(created.ID)
}

// produce writes awkward records: null and empty keys and values, headers with
// duplicate names and bytes that are not UTF-8.
func (r *rig) produce(t *testing.T, topic string, partition int32, n int) []*kgo.Record {
	t.Helper()
	var sent []*kgo.Record
	for i := range n {
		rec := &kgo.Record{
			Topic: topic, Partition: partition, Key: []byte(fmt.Sprint("k", i)),
			Value:     fmt.Appendf(nil, `{"eventId":"e-%d","traceId":"%032x","n":%d}`, i, i/3+1, i),
			Timestamp: time.UnixMilli(1_600_000_000_000 + int64(i)),
			Headers:   []kgo.RecordHeader{{Key: "h", Value: []byte{0xff, 0}}, {Key: "h", Value: nil}, {Key: "", Value: []byte{}}},
		}
		switch i % 7 {
		case 1:
			rec.Key = nil
		case 2:
			rec.Value = nil
		case 3:
			rec.Value, rec.Key = []byte{}, []byte{}
		case 4:
			rec.Headers = nil
		}
		sent = append(sent, rec)
	}
	must(t, r.client.ProduceSync(t.Context(), sent...).FirstErr())
	return sent
}

// rows reads a stream's segments back with the independent Parquet reader,
// after checking the chain, and holds the chain's promise: every offset once.
func (r *rig) rows(t *testing.T, s schema.Stream) []segment.Row {
	t.Helper()
	var rows []segment.Row
	next := int64(-1)
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		c := entry.Commit
		if next < 0 {
			next = c.Base
		}
		if c.Base != next {
			t.Fatalf("commit %d begins at %d, expected %d", c.Seq, c.Base, next)
		}
		next = c.Next
		if c.Segment == nil {
			continue
		}
		body, _, err := r.store.Get(t.Context(), c.Segment.Key, 1<<30)
		must(t, err)
		rows = append(rows, segmenttest.Read(t, body)...)
	}
	return rows
}

func (r *rig) stream(topic string, id schema.TopicID, partition int32) schema.Stream {
	return schema.Stream{Cluster: r.broker.ClusterID(), Topic: topic, TopicID: id, Partition: partition}
}

// sealed waits until the stream's ledger has reached an offset.
func (r *rig) sealed(t *testing.T, a *archiver.Archiver, s schema.Stream, next int64) {
	t.Helper()
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if _, err := a.Seal(t.Context(), true); err != nil {
			return err
		}
		head, err := r.book.Head(t.Context(), s)
		if err == nil && head.Next < next {
			err = fmt.Errorf("%s is sealed to %d, want %d", s, head.Next, next)
		}
		return err
	})
}

func same(t *testing.T, rows []segment.Row, sent []*kgo.Record) {
	t.Helper()
	if len(rows) != len(sent) {
		t.Fatalf("%d rows, %d records were produced", len(rows), len(sent))
	}
	for i, row := range rows {
		want := sent[i]
		if row.Offset != want.Offset || row.Timestamp != want.Timestamp.UnixMilli() ||
			!identical(row.Key, want.Key) || !identical(row.Value, want.Value) || len(row.Headers) != len(want.Headers) {
			t.Fatalf("row %d differs:\n%+v\n%+v", i, row, want)
		}
		for j, h := range row.Headers {
			if h.Name != want.Headers[j].Key || !identical(h.Value, want.Headers[j].Value) {
				t.Fatalf("row %d, header %d: %+v, want %+v", i, j, h, want.Headers[j])
			}
		}
	}
}

// identical tells null from empty.
func identical(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func TestArchivesExactly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "orders", 2)
	sent := [][]*kgo.Record{r.produce(t, "orders", 0, 50), r.produce(t, "orders", 1, 50)}
	a, stop := r.archive(t, nil)
	for partition := range int32(2) {
		s := r.stream("orders", id, partition)
		r.sealed(t, a, s, 50)
		same(t, r.rows(t, s), sent[partition])
	}
	late := r.topic(t, "found.later", 1) // while it runs
	records := r.produce(t, "found.later", 0, 9)
	r.sealed(t, a, r.stream("found.later", late, 0), 9)
	same(t, r.rows(t, r.stream("found.later", late, 0)), records)
	stop()

	more := r.produce(t, "orders", 0, 20) // while nobody reads
	a, _ = r.archive(t, nil)
	s := r.stream("orders", id, 0)
	r.sealed(t, a, s, 70)
	same(t, r.rows(t, s), append(sent[0], more...))
}

func TestDecidesTransactions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "ledger", 1)
	a, _ := r.archive(t, nil)
	var want []schema.Status
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		client := embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID(fmt.Sprint("tx", i)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		must(t, client.BeginTransaction())
		for range 3 {
			must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "ledger", Value: []byte("x")}).FirstErr())
			want = append(want, map[kgo.TransactionEndTry]schema.Status{kgo.TryCommit: schema.Committed, kgo.TryAbort: schema.Aborted}[commit])
		}
		must(t, client.EndTransaction(t.Context(), commit))
		want = append(want, schema.Control)
	}
	hanging := embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID("hanging"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, hanging.BeginTransaction())
	must(t, hanging.ProduceSync(t.Context(), &kgo.Record{Topic: "ledger", Value: []byte("undecided")}).FirstErr())
	r.produce(t, "ledger", 0, 2) // behind the undecided record: must wait
	s := r.stream("ledger", id, 0)
	r.sealed(t, a, s, int64(len(want)))
	time.Sleep(300 * time.Millisecond)
	r.sealed(t, a, s, int64(len(want)))
	rows := r.rows(t, s)
	if len(rows) != len(want) {
		t.Fatalf("%d rows are sealed, want %d: nothing undecided, nothing behind it", len(rows), len(want))
	}
	for i, row := range rows {
		if row.Status != want[i] {
			t.Errorf("offset %d is %s, want %s", row.Offset, row.Status, want[i])
		}
	}
	must(t, hanging.EndTransaction(t.Context(), kgo.TryAbort))
	r.sealed(t, a, s, int64(len(want))+4)
}

func TestRecordsWhatKafkaDeletedFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "short", 1)
	a, stop := r.archive(t, nil)
	r.produce(t, "short", 0, 10)
	s := r.stream("short", id, 0)
	r.sealed(t, a, s, 10)
	stop()
	r.produce(t, "short", 0, 20)
	offsets := kadm.Offsets{}
	offsets.AddOffset("short", 0, 25, -1)
	_, err := kadm.NewClient(r.client).DeleteRecords(t.Context(), offsets)
	must(t, err)
	a, _ = r.archive(t, nil)
	r.sealed(t, a, s, 30)
	var gaps []schema.Gap
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		gaps = append(gaps, entry.Commit.Gaps...)
	}
	if len(gaps) != 1 || gaps[0].Class != schema.GapBeforeLogStart || gaps[0].From != 10 || gaps[0].To != 25 ||
		gaps[0].Evidence == nil || !strings.Contains(*gaps[0].Evidence, "log start 25") {
		t.Fatalf("gaps: %+v, want before_log_start 10–25 with the broker's log start", gaps)
	}
}

func TestRecreatedTopicIsAnotherStream(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.topic(t, "again", 1)
	a, _ := r.archive(t, nil)
	before := r.produce(t, "again", 0, 5)
	r.sealed(t, a, r.stream("again", first, 0), 5)
	_, err := kadm.NewClient(r.client).DeleteTopic(t.Context(), "again")
	must(t, err)
	r.client.PurgeTopicsFromClient("again")
	second := r.topic(t, "again", 1)
	after := r.produce(t, "again", 0, 3)
	r.sealed(t, a, r.stream("again", second, 0), 3)
	same(t, r.rows(t, r.stream("again", first, 0)), before)
	same(t, r.rows(t, r.stream("again", second, 0)), after)
}

// Two archivers that both believe to own the partitions: different groups, so
// that no broker keeps them apart. The chain must come out as if there were
// one.
func TestTwoOwnersAreHarmless(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "shared", 1)
	small := func(group string) func(*archiver.Options) {
		return func(o *archiver.Options) {
			o.Tail = kafka.ConsumerOptions{Group: group}
			o.Writer = group
			o.Cut = archiver.Cut{Bytes: 3000}
		}
	}
	a, _ := r.archive(t, small("one"))
	b, _ := r.archive(t, small("two"))
	var sent []*kgo.Record
	for range 30 {
		sent = append(sent, r.produce(t, "shared", 0, 10+rand.IntN(20))...)
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
	s := r.stream("shared", id, 0)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		for _, x := range []*archiver.Archiver{a, b} {
			if _, err := x.Seal(t.Context(), false); err != nil {
				return err
			}
		}
		head, err := r.book.Head(t.Context(), s)
		if err == nil && head.Next < int64(len(sent)) {
			err = fmt.Errorf("sealed to %d of %d", head.Next, len(sent))
		}
		return err
	})
	same(t, r.rows(t, s), sent)
}

func TestMemoryStaysWithinTheBudget(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "big", 4)
	for partition := range int32(4) {
		var records []*kgo.Record
		for range 200 {
			records = append(records, &kgo.Record{Topic: "big", Partition: partition, Value: bytes.Repeat([]byte("x"), 50_000)})
		}
		must(t, r.client.ProduceSync(t.Context(), records...).FirstErr())
	}
	a, _ := r.archive(t, func(o *archiver.Options) { o.Memory = 8 << 20 })
	for partition := range int32(4) {
		s := r.stream("big", id, partition)
		r.sealed(t, a, s, 200)
		if rows := r.rows(t, s); len(rows) != 200 {
			t.Errorf("partition %d: %d rows", partition, len(rows))
		}
	}
}

// After an unclean stop the index is filled again where it lost rows without
// knowing, and a segment whose bytes changed is named.
func TestRechecksAfterAnUncleanStop(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "orders", 1)
	r.produce(t, "orders", 0, 20)
	s := r.stream("orders", id, 0)
	a, stop := r.archive(t, nil)
	r.sealed(t, a, s, 20)
	must(t, a.Indexed(t.Context()))
	stop()
	r.sql(t, "ALTER TABLE DB.records DELETE WHERE offset < 10 SETTINGS mutations_sync = 2")
	var key string
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		if entry.Commit.Segment != nil {
			key = entry.Commit.Segment.Key
		}
	}

	a, stop = r.archive(t, func(o *archiver.Options) { o.Recheck = true })
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if n := r.sql(t, "SELECT uniqExact(offset) FROM DB.records"); n != "20" {
			return fmt.Errorf("%s of 20 records are indexed", n)
		}
		return nil
	})
	if trouble := a.Health()["store"]; trouble != "" {
		t.Fatalf("sound, and yet: %s", trouble)
	}
	stop()

	body, _, err := r.store.Get(t.Context(), key, 1<<20)
	must(t, err)
	body[len(body)/2] ^= 1
	_, err = r.store.Put(t.Context(), key, body)
	must(t, err)
	a, _ = r.archive(t, func(o *archiver.Options) { o.Recheck = true })
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if trouble := a.Health()["store"]; !strings.Contains(trouble, key) {
			return fmt.Errorf("the damage to %s is not named: %q", key, trouble)
		}
		return nil
	})
}

// A transaction larger than the whole budget must not stop the archiver: it is
// set aside until it ends, while the other partitions go on.
func TestTransactionLargerThanTheBudget(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "wide", 2)
	a, _ := r.archive(t, func(o *archiver.Options) { o.Memory = 2 << 20 })
	tx := embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID("wide"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, tx.BeginTransaction())
	value := bytes.Repeat([]byte("x"), 20_000)
	for range 400 { // 8 MB
		tx.Produce(t.Context(), &kgo.Record{Topic: "wide", Value: value}, nil)
	}
	must(t, tx.Flush(t.Context()))
	time.Sleep(2 * time.Second) // the buffers are full of it by now
	sent := r.produce(t, "wide", 1, 30)
	other := r.stream("wide", id, 1)
	r.sealed(t, a, other, 30)
	same(t, r.rows(t, other), sent)
	must(t, tx.EndTransaction(t.Context(), kgo.TryCommit))
	wide := r.stream("wide", id, 0)
	r.sealed(t, a, wide, 401)
	if rows := r.rows(t, wide); len(rows) != 401 || rows[399].Status != schema.Committed {
		t.Fatalf("%d rows", len(rows))
	}
	if trouble := a.Health(); len(trouble) > 0 {
		t.Errorf("all is well, and yet: %v", trouble)
	}
}

// Only what was there when a cluster was first archived begins at its end.
func TestPartitionsAddedLaterBeginAtTheirStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "grows", 1)
	r.produce(t, "grows", 0, 10)
	a, _ := r.archive(t, func(o *archiver.Options) { o.StartLatest = true })
	embeddedtest.Eventually(t, 30*time.Second, func() error { _, err := r.book.Head(t.Context(), r.stream("grows", id, 0)); return err })
	_, err := kadm.NewClient(r.client).CreatePartitions(t.Context(), 1, "grows")
	must(t, err)
	r.client.ForceMetadataRefresh()
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		return r.client.ProduceSync(t.Context(), &kgo.Record{Topic: "grows", Partition: 1, Value: []byte("first")}).FirstErr()
	})
	added := r.stream("grows", id, 1)
	r.sealed(t, a, added, 1)
	if rows := r.rows(t, added); len(rows) == 0 {
		t.Error("what was produced before the partition was found is not archived")
	}
	if rows := r.rows(t, r.stream("grows", id, 0)); len(rows) != 0 {
		t.Errorf("%d rows of before the start are archived", len(rows))
	}
}
