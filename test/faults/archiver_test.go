package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/verify"
)

// role tells a re-executed test binary what it is.
const role = "ANNALS_TEST_FAULT_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "archiver":
		asChild(runArchiver)
	case "replay":
		asChild(runReplay)
	case "worker":
		asChild(workOnReplays)
	case "compact":
		asChild(runCompact)
	case "":
		os.Exit(m.Run())
	default:
		fmt.Fprintln(os.Stderr, "unknown role "+os.Getenv(role))
		os.Exit(2)
	}
}

// engines say where a child finds what the parent runs.
type engines struct {
	Kafka                                        string
	KafkaUser, KafkaPassword                     string
	S3, Region, Bucket, Prefix, Access, Secret   string
	ClickHouse, Database, IndexUser, IndexSecret string
	Point                                        string
	Target                                       string // a replay's target prefix
	Spool                                        string // the archiver's folder; empty: it has none
}

func startEngines(t *testing.T) (engines, *kgo.Client) {
	broker := embeddedtest.Kafka(t)
	store := embeddedtest.S3(t)
	addr, user, password := embeddedtest.ClickHouse(t)
	return engines{
		Kafka: broker.Addr(), KafkaUser: broker.User(), KafkaPassword: broker.Password(),
		S3: store.Endpoint, Region: store.Region, Bucket: store.Bucket, Prefix: store.Prefix, Access: store.AccessKey, Secret: store.SecretKey,
		ClickHouse: addr, Database: embeddedtest.Database(t), IndexUser: user, IndexSecret: password,
	}, embeddedtest.KafkaClient(t, broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
}

func (e engines) kafka() kafka.Options {
	return kafka.Options{
		Brokers: []string{e.Kafka}, ClientID: "fault", MetadataMaxAge: time.Second, Logger: slog.New(slog.DiscardHandler),
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: e.KafkaUser, Password: e.KafkaPassword},
	}
}

func (e engines) open() (*objstore.Store, *index.Index, error) {
	store, err := objstore.Open(objstore.Options{
		Endpoint: e.S3, Region: e.Region, Bucket: e.Bucket, Prefix: e.Prefix, PathStyle: true, AccessKey: e.Access, SecretKey: e.Secret,
	})
	if err != nil {
		return nil, nil, err
	}
	x, err := index.Open(index.Options{Addr: e.ClickHouse, Database: e.Database, User: e.IndexUser, Password: e.IndexSecret, Partition: "years"})
	return store, x, err
}

// asChild runs as a process of its own, whose exit code tells how it ended.
func asChild(run func() error) {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runArchiver archives until everything that Kafka holds is sealed and
// indexed, or until its point.
func runArchiver() error {
	var e engines
	if err := json.NewDecoder(os.Stdin).Decode(&e); err != nil {
		return err
	}
	point, err := ParsePoint(e.Point)
	if err != nil {
		return err
	}
	store, x, err := e.open()
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	k := newKiller(point)
	rules, err := extract.New(extract.Options{})
	if err != nil {
		return err
	}
	o := archiver.Options{
		Kafka: e.kafka(), Tail: kafka.ConsumerOptions{Group: "annals-archiver", InstanceID: "one"},
		Discovery: 200 * time.Millisecond, Cut: archiver.Cut{Bytes: 8 << 10}, Feed: archiver.Feed{Rows: 50, Every: 20 * time.Millisecond},
		Writer: "fault", Build: "test", Logger: log,
	}
	if e.Spool != "" { // half a round fills the memory
		o.Memory, o.Spool, o.Cut = 24<<10, archiver.Spool{Dir: e.Spool, Bytes: 64 << 20}, archiver.Cut{Bytes: 64 << 20}
	}
	a, err := archiver.New(o, killStore{store, k}, killLedger{ledger.New(store, log), k}, killIndex{x, k}, rules)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return errors.Join(errors.New("the archiver ended by itself"), err)
		case <-time.After(50 * time.Millisecond):
		}
		if a.CatchUp(ctx) != nil {
			continue
		}
		if _, err := a.Seal(ctx, true); err != nil {
			return err
		}
		if len(a.Topics().Topics) > 0 {
			if err := a.Indexed(ctx); err != nil {
				return err
			}
			stop()
			return <-done
		}
	}
}

// The durable steps of the commit protocol.
const (
	putSegment    = "put segment"
	putBatch      = "put raw batch"
	putLetter     = "put dead letter"
	putCommit     = "put commit"
	insertFresh   = "insert records"
	insertSegment = "insert segment"
)

type killStore struct {
	archiver.Store
	k *killer
}

func (s killStore) Put(ctx context.Context, key string, body []byte) (o objstore.Object, err error) {
	step := putSegment
	if strings.HasSuffix(key, ".batch") {
		step = putBatch
	}
	err = s.k.step(step, func() error { o, err = s.Store.Put(ctx, key, body); return err })
	return o, err
}

type killLedger struct {
	archiver.Ledger
	k *killer
}

func (l killLedger) Append(ctx context.Context, head ledger.Head, c *schema.Commit) (h ledger.Head, err error) {
	step := putCommit
	if c.Kind == schema.KindCompaction {
		step = commitJoined
	}
	err = l.k.step(step, func() error { h, err = l.Ledger.Append(ctx, head, c); return err })
	return h, err
}

type killIndex struct {
	archiver.Index
	k *killer
}

func (x killIndex) InsertRecords(ctx context.Context, rows []index.Row, at time.Time) error {
	return x.k.step(insertFresh, func() error { return x.Index.InsertRecords(ctx, rows, at) })
}

func (x killIndex) InsertSegments(ctx context.Context, rows []index.SegmentRow) error {
	step := insertSegment
	if slices.ContainsFunc(rows, func(row index.SegmentRow) bool { return row.Kind == schema.KindCompaction }) {
		step = insertJoined
	}
	return x.k.step(step, func() error { return x.Index.InsertSegments(ctx, rows) })
}

// child runs this test binary again in a role and tells whether it was killed.
// Whenever it asks, more is called before it goes on.
func child(t *testing.T, as string, e engines, more ...func()) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+as)
	var said bytes.Buffer
	cmd.Stderr = &said
	input, err := cmd.StdinPipe()
	must(t, err)
	output, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	must(t, json.NewEncoder(input).Encode(e))
	for asks := bufio.NewScanner(output); asks.Scan(); {
		for _, f := range more {
			f()
		}
		if _, err := fmt.Fprintln(input); err != nil {
			break // killed while it waited: its end says so
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil {
		t.Fatalf("%s child at %q: %v\n%s", as, e.Point, err, said.String())
	}
	return false
}

// askFor has a child wait until the test has done what it does meanwhile.
func askFor(more *bufio.Reader) error {
	fmt.Println("more")
	_, err := more.ReadByte()
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestArchiverSurvivesKills kills the archiver three times on either side of
// every durable step, while records and transactions arrive. Every other one has
// what it holds in a spool, and the next one with a spool finds that.
func TestArchiverSurvivesKills(t *testing.T) {
	t.Parallel()
	e, client := startEngines(t)
	store, x, err := e.open()
	must(t, err)
	t.Cleanup(store.Close)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	created, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, nil, "orders")
	must(t, err)

	p := producer{client: client, topic: "orders", kafka: e, each: 30}
	spool, left := t.TempDir(), 0
	histogram := killAtEveryStep(t, 3, []string{putSegment, putCommit, insertFresh, insertSegment}, func(point Point) bool {
		p.some(t)
		e.Point, e.Spool = point.String(), []string{"", spool}[p.rounds%2]
		killed := child(t, "archiver", e)
		if e.Spool != "" && killed && len(spooledIn(t, spool)) > 0 {
			left++
		}
		return killed
	})
	if t.Logf("%d were killed with records in the spool", left); left == 0 {
		t.Error("none was killed with records in the spool")
	}
	e.Point, e.Spool = "", spool
	p.some(t)
	if child(t, "archiver", e) {
		t.Fatal("the last run was killed")
	}
	histogram.print(t)
	if found := spooledIn(t, spool); len(found) > 0 {
		t.Errorf("the last one ended in peace, and left %v in its spool", found)
	}
	total := 0
	for partition := range int32(2) {
		s := schema.Stream{Cluster: clusterID(t, client), Topic: "orders", TopicID: schema.TopicID(created.ID), Partition: partition}
		total += checkStream(t, store, s, p.sent[partition])
	}
	checkIndex(t, e, total)
}

// spooledIn lists the files that have frames, or had them.
func spooledIn(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "annals-spool", "*.frames"))
	must(t, err)
	return found
}

// histogram counts the kills by step and side.
type histogram map[string]int

// killAtEveryStep kills on either side of every step, so many times each: at
// its first occurrence in a run, at the second, and so on in turn. A run that
// performs the step fewer times, or goes on with what a killed one left and has
// it behind it, lives; the next one begins anew and must come to the first.
// With ANNALS_TEST_LONG=1 each moment comes ten times, in any order.
func killAtEveryStep(t *testing.T, times int, steps []string, run func(Point) bool) histogram {
	t.Helper()
	long := os.Getenv("ANNALS_TEST_LONG") != ""
	if long {
		times = 10
	}
	var points []Point
	for n := range times {
		for _, step := range steps {
			points = append(points, Point{step, false, 1 + n%2}, Point{step, true, 1 + n%2})
		}
	}
	if long {
		rand.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	}
	counts := histogram{}
	for _, point := range points {
		if !run(point) {
			point.N = 1
			came := false
			for tries := 0; tries < 2 && !came; tries++ {
				came = run(point)
			}
			if !came {
				t.Fatalf("%s never came", point)
			}
		}
		counts[point.Step+", "+strings.Split(point.String(), "/")[1]]++
	}
	return counts
}

func (h histogram) print(t *testing.T) {
	t.Helper()
	total := 0
	for _, side := range slices.Sorted(maps.Keys(h)) {
		t.Logf("  killed %-24s %s %d", side, strings.Repeat("#", h[side]), h[side])
		total += h[side]
	}
	t.Logf("%d kills", total)
	if total < 20 {
		t.Errorf("only %d kills", total)
	}
}

func clusterID(t *testing.T, client *kgo.Client) string {
	t.Helper()
	m, err := kadm.NewClient(client).BrokerMetadata(t.Context())
	must(t, err)
	return m.Cluster
}

// producer writes plain records and transactions, every third aborted, and
// remembers what became of each.
type producer struct {
	client *kgo.Client
	kafka  engines
	topic  string
	each   int // plain records a round and partition
	sent   [2][]expected
	rounds int
}

type expected struct {
	value  string
	offset int64
	status schema.Status
}

func (p *producer) some(t *testing.T) {
	t.Helper()
	p.rounds++
	for partition := range int32(2) {
		var plain []*kgo.Record
		for i := range p.each {
			value := fmt.Sprintf(`{"traceId":"%032x","eventId":"%d-%d-%d","pad":"%s"}`, p.rounds, p.rounds, partition, i, strings.Repeat("x", 300))
			plain = append(plain, &kgo.Record{Topic: p.topic, Partition: partition, Value: []byte(value)})
		}
		must(t, p.client.ProduceSync(t.Context(), plain...).FirstErr())
		for _, r := range plain {
			p.sent[partition] = append(p.sent[partition], expected{string(r.Value), r.Offset, schema.Committed})
		}
		p.transaction(t, partition, p.rounds%3 != 0)
	}
}

// transaction writes three records and ends, which writes a marker.
func (p *producer) transaction(t *testing.T, partition int32, commit bool) {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(p.kafka.Kafka), kgo.SASL(scram.Auth{User: p.kafka.KafkaUser, Pass: p.kafka.KafkaPassword}.AsSha256Mechanism()),
		kgo.TransactionalID(fmt.Sprint("tx-", partition)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, err)
	defer client.Close()
	must(t, client.BeginTransaction())
	status := schema.Aborted
	if commit {
		status = schema.Committed
	}
	for i := range 3 {
		value := fmt.Sprintf(`{"eventId":"tx-%d-%d-%d"}`, p.rounds, partition, i)
		r := &kgo.Record{Topic: p.topic, Partition: partition, Value: []byte(value)}
		must(t, client.ProduceSync(t.Context(), r).FirstErr())
		p.sent[partition] = append(p.sent[partition], expected{value, r.Offset, status})
	}
	must(t, client.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)))
	sent := p.sent[partition]
	p.sent[partition] = append(sent, expected{"", sent[len(sent)-1].offset + 1, schema.Control})
}

// checkStream verifies a stream, and holds its rows against what was produced.
func checkStream(t *testing.T, store *objstore.Store, s schema.Stream, sent []expected) int {
	t.Helper()
	held, err := verify.Read(t.Context(), t, store, s)
	must(t, err)
	if len(held.Rows) != len(sent) {
		t.Fatalf("%s: %d rows for %d records", s, len(held.Rows), len(sent))
	}
	for i, row := range held.Rows {
		if row.Offset != sent[i].offset || row.Status != schema.Control && string(row.Value) != sent[i].value || row.Status != sent[i].status {
			t.Fatalf("%s: row %d is offset %d %q", s, i, row.Offset, row.Value)
		}
	}
	return len(held.Rows)
}

// checkIndex counts what searches see and, after a full merge, what is stored.
func checkIndex(t *testing.T, e engines, want int) {
	t.Helper()
	ask := func(sql string) string {
		return strings.TrimSpace(embeddedtest.Exec(t, e.ClickHouse, e.IndexUser, e.IndexSecret, strings.ReplaceAll(sql, "DB", e.Database)))
	}
	for _, table := range []string{"records", "records_by_trace"} {
		got := ask("SELECT uniqExact(topic_id, partition, branch, offset) FROM DB." + table)
		if got != fmt.Sprint(want) {
			t.Errorf("%s finds %s records, want %d", table, got, want)
		}
		ask("OPTIMIZE TABLE DB." + table + " FINAL")
		if got := ask("SELECT count() FROM DB." + table); got != fmt.Sprint(want) {
			t.Errorf("%s holds %s rows after merging, want %d", table, got, want)
		}
	}
	sealed := ask("SELECT sum(committed + aborted + control) FROM DB.segments FINAL")
	if sealed != fmt.Sprint(want) {
		t.Errorf("segments say %s rows are sealed, want %d", sealed, want)
	}
}
