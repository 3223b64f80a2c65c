package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The durable steps of a compaction and of a collection.
const (
	putJob       = "put job"
	putJoined    = "put joined"
	commitJoined = "commit compaction"
	insertJoined = "insert compaction"
	deleteObject = "delete"
)

func (s killStore) PutIfAbsent(ctx context.Context, key string, body []byte) (o objstore.Object, err error) {
	if strings.HasPrefix(key, schema.DeadLettersPrefix) {
		err = s.k.step(putLetter, func() error { o, err = s.Store.PutIfAbsent(ctx, key, body); return err })
		return o, err
	}
	if !strings.HasPrefix(key, schema.CompactionPrefix) {
		return s.Store.PutIfAbsent(ctx, key, body)
	}
	err = s.k.step(putJob, func() error { o, err = s.Store.PutIfAbsent(ctx, key, body); return err })
	return o, err
}

func (s killStore) PutFile(ctx context.Context, key string, f io.ReadSeeker, size int64, sha schema.Digest) (o objstore.Object, err error) {
	err = s.k.step(putJoined, func() error { o, err = s.Store.PutFile(ctx, key, f, size, sha); return err })
	return o, err
}

func (s killStore) Delete(ctx context.Context, key string) error {
	return s.k.step(deleteObject, func() error { return s.Store.Delete(ctx, key) })
}

// later is a clock by which everything that was written is old.
func later() time.Time { return time.Now().Add(30 * 24 * time.Hour) }

// joinable is from how many small segments on a compaction joins them.
const joinable = 4

// runCompact archives what Kafka holds, in enough segments to be worth a
// compaction of each partition, joins them, and collects what was replaced,
// until it is done or until its point.
func runCompact() error {
	var e engines
	parent := bufio.NewReader(os.Stdin)
	line, err := parent.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &e); err != nil {
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
	a, err := archiver.New(e.compacting(), killStore{store, k}, killLedger{ledger.New(store, log), k}, killIndex{x, k}, rules)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for n := range joinable {
		if n > 0 {
			if err := askFor(parent); err != nil {
				return err
			}
		}
		for a.CatchUp(ctx) != nil || len(a.Topics().Topics) == 0 {
			select {
			case err := <-done:
				return errors.Join(errors.New("the archiver ended by itself"), err)
			case <-time.After(20 * time.Millisecond):
			}
		}
		// How many segments records come to depends on how they arrive, unless
		// each round is sealed.
		if _, err := a.Seal(ctx, true); err != nil {
			return err
		}
	}
	if _, err := a.Compact(ctx); err != nil {
		return err
	}
	if err := a.Indexed(ctx); err != nil {
		return err
	}
	if _, err := a.Collect(ctx, false); err != nil {
		return err
	}
	stop()
	return <-done
}

func (e engines) compacting() archiver.Options {
	return archiver.Options{
		Kafka: e.kafka(), Tail: kafka.ConsumerOptions{Group: "annals-archiver", InstanceID: "one"},
		Discovery: 200 * time.Millisecond, Cut: archiver.Cut{Bytes: 1 << 20}, Feed: archiver.Feed{Rows: 50, Every: 20 * time.Millisecond},
		Topics:  func(name string) bool { return name == "orders" }, // a replay's target is not asked about
		Compact: archiver.Compact{Now: later, Rate: 1 << 30, Every: time.Hour},
		Writer:  "fault", Build: "test", Logger: slog.New(slog.DiscardHandler),
	}
}

// TestCompactionSurvivesKills kills the archiver twice on either side of every
// durable step of compactions and collections, while records arrive.
func TestCompactionSurvivesKills(t *testing.T) {
	t.Parallel()
	e, client := startEngines(t)
	store, x, err := e.open()
	must(t, err)
	t.Cleanup(store.Close)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	created, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, nil, "orders")
	must(t, err)
	p := producer{client: client, topic: "orders", kafka: e, each: 8}
	more := func() { p.some(t) }
	histogram := killAtEveryStep(t, 2, []string{putJob, putJoined, commitJoined, insertJoined, deleteObject}, func(point Point) bool {
		more()
		e.Point = point.String()
		return child(t, "compact", e, more)
	})
	e.Point = ""
	more()
	if child(t, "compact", e, more) {
		t.Fatal("the last run was killed")
	}
	histogram.print(t)
	book := ledger.New(store, slog.New(slog.DiscardHandler))
	total, joined := 0, 0
	for partition := range int32(2) {
		s := schema.Stream{Cluster: clusterID(t, client), Topic: "orders", TopicID: schema.TopicID(created.ID), Partition: partition}
		parts := checkJoined(t, store, book, s, p.sent[partition])
		joined += parts
		total += len(p.sent[partition])
	}
	if joined == 0 {
		t.Error("nothing was joined")
	}
	for _, table := range []string{"records", "records_by_trace"} {
		sql := fmt.Sprintf("SELECT uniqExact(topic_id, partition, branch, offset) FROM %s.%s", e.Database, table)
		if got := strings.TrimSpace(embeddedtest.Exec(t, e.ClickHouse, e.IndexUser, e.IndexSecret, sql)); got != fmt.Sprint(total) {
			t.Errorf("%s finds %s records, want %d", table, got, total)
		}
	}
}

// checkJoined holds the current segments against what was produced, and the
// chain against its objects. It returns how many segments are joined ones.
func checkJoined(t *testing.T, store *objstore.Store, book *ledger.Ledger, s schema.Stream, sent []expected) int {
	t.Helper()
	report, err := book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings > 0 {
		t.Fatalf("%s: %+v", s, report.Listed)
	}
	view, err := book.View(t.Context(), s, nil)
	must(t, err)
	at, joined := 0, 0
	for _, part := range view.Current() {
		body, _, err := store.Get(t.Context(), part.Ref.Key, 1<<30)
		must(t, err)
		if part.Parts() > 1 {
			joined++
		}
		for _, row := range segmenttest.Read(t, body) {
			if at == len(sent) || row.Offset != sent[at].offset || row.Status != sent[at].status || row.Status != schema.Control && string(row.Value) != sent[at].value {
				t.Fatalf("%s: row %d is offset %d, %s", s, at, row.Offset, row.Status)
			}
			at++
		}
	}
	if at != len(sent) {
		t.Fatalf("%s: %d rows for %d records", s, at, len(sent))
	}
	return joined
}

// asked is everything that answers questions about an archive.
type asked struct {
	engine *query.Engine
	store  *objstore.Store
	book   *ledger.Ledger
}

func ask(t *testing.T, store *objstore.Store, x *index.Index) asked {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	rules, err := extract.New(extract.Options{})
	must(t, err)
	book := ledger.New(store, log)
	engine, err := query.New(query.Options{Index: x, Store: store, Ledger: book, Extract: rules})
	must(t, err)
	return asked{engine, store, book}
}

// warm has the engine compute the stages that it shows once it knows them.
func (q asked) warm(t *testing.T, sent [2][]expected) asked {
	t.Helper()
	q.answers(t, sent)
	return q
}

// answers writes down what the readers say of the topic, but for where rows
// are and how many commits there are.
func (q asked) answers(t *testing.T, sent [2][]expected) string {
	t.Helper()
	var out strings.Builder
	encode := json.NewEncoder(&out)
	who := policy.Everything()
	page, err := q.engine.Search(t.Context(), who, answer.SearchRequest{Topics: []string{"orders"}, Limit: 1000})
	must(t, err)
	must(t, encode.Encode(page.Records))
	trace, err := q.engine.Trace(t.Context(), who, answer.TraceRequest{TraceID: fmt.Sprintf("%032x", 2), Diffs: true})
	must(t, err)
	must(t, encode.Encode([]any{trace.Hops, trace.Edges}))
	coverage, err := q.engine.Coverage(t.Context(), who, "orders")
	must(t, err)
	for _, c := range coverage.Partitions {
		c.Segments, c.Commits, c.LastSealed = 0, 0, time.Time{}
		must(t, encode.Encode(c))
	}
	for partition := range sent {
		for i := 0; i < len(sent[partition]); i += 5 {
			want := sent[partition][i]
			at := schema.Coordinates{Topic: "orders", Partition: int32(partition), Offset: want.offset}
			record, err := q.engine.Record(t.Context(), who, answer.RecordRequest{Coordinates: at})
			must(t, err)
			must(t, encode.Encode([]any{record.Hit, record.Record, record.Extraction}))
		}
	}
	fmt.Fprint(&out, q.export(t, q.store))
	return out.String()
}

// export unpacks and verifies a bag, and gives its lines and how many records
// are tied to a commit.
func (q asked) export(t *testing.T, store custody.Store) string {
	t.Helper()
	exporter, err := custody.New(custody.Options{Store: store, Ledger: q.book, TempDir: t.TempDir()})
	must(t, err)
	var bag bytes.Buffer
	must(t, exporter.Export(t.Context(), policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}, &bag))
	dir := t.TempDir() + "/bag"
	must(t, custody.Unpack(t.Context(), &bag, dir))
	report, err := custody.Verify(t.Context(), dir, nil)
	must(t, err)
	if report.Result != custody.OK || report.Records == 0 || report.Tied == 0 {
		t.Fatalf("the bag: %+v", report)
	}
	lines, err := os.ReadFile(dir + "/data/records/records.jsonl")
	must(t, err)
	return fmt.Sprintf("%d of %d records tied\n%s", report.Tied, report.Records, lines)
}

// once reads the segments that annals files lists and fails unless they have
// every offset once: neither both the joined one and what it replaced, nor
// neither.
func (q asked) once(sent [2][]expected) error {
	list, err := q.engine.Segments(context.Background(), policy.Everything(), answer.SegmentRequest{Topic: "orders"})
	if err != nil {
		return err
	}
	var next [2]int64
	for _, s := range list.Segments {
		if s.Base != next[s.Partition] {
			return fmt.Errorf("partition %d: a segment begins at %d, the one before ends at %d", s.Partition, s.Base, next[s.Partition])
		}
		next[s.Partition] = s.Next
		if _, err := q.store.Stat(context.Background(), s.Key); err != nil {
			return err
		}
	}
	for partition := range sent {
		all := sent[partition]
		if want := all[len(all)-1].offset + 1; next[partition] != want {
			return fmt.Errorf("partition %d: segments end at %d, want %d", partition, next[partition], want)
		}
		for _, i := range []int{0, len(all) / 2, len(all) - 1} {
			at := schema.Coordinates{Topic: "orders", Partition: int32(partition), Offset: all[i].offset}
			record, err := q.engine.Record(context.Background(), policy.Everything(), answer.RecordRequest{Coordinates: at})
			if err != nil {
				return err
			}
			if all[i].status != schema.Control && string(record.Record.Value) != all[i].value {
				return fmt.Errorf("%s: other bytes", at)
			}
		}
	}
	return nil
}

// meanwhile repeats a check until stop is called, which gives the first error
// and how often it was done.
func meanwhile(check func() error) (stop func() (int, error)) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	var first error
	n := 0
	done.Go(func() {
		for first == nil {
			select {
			case <-quit:
				return
			default:
				first = check()
				n++
			}
		}
	})
	return func() (int, error) { close(quit); done.Wait(); return n, first }
}

// TestReadersAnswerTheSameAfterCompaction asks before, while and after segments
// are joined, after the replaced ones are gone, and of an index rebuilt then.
func TestReadersAnswerTheSameAfterCompaction(t *testing.T) {
	t.Parallel()
	e, client := startEngines(t)
	store, x, err := e.open()
	must(t, err)
	t.Cleanup(store.Close)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, nil, "orders")
	must(t, err)
	p := producer{client: client, topic: "orders", kafka: e, each: 30}
	rules, err := extract.New(extract.Options{})
	must(t, err)
	book := ledger.New(store, slog.New(slog.DiscardHandler))
	a, err := archiver.New(e.compacting(), store, book, x, rules)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	running := make(chan error, 1)
	go func() { running <- a.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-running) })
	for range 5 {
		p.some(t)
		for a.CatchUp(t.Context()) != nil || len(a.Topics().Topics) == 0 {
			time.Sleep(50 * time.Millisecond)
		}
		_, err := a.Seal(t.Context(), true)
		must(t, err)
	}
	must(t, a.Indexed(t.Context()))
	time.Sleep(1100 * time.Millisecond) // the catalog's age
	q := ask(t, store, x).warm(t, p.sent)
	before := q.answers(t, p.sent)
	jobs, plan := planReplay(t, e, book, store)

	stop := meanwhile(func() error { return q.once(p.sent) })
	done, err := a.Compact(t.Context())
	must(t, err)
	n, err := stop()
	if err != nil {
		t.Fatalf("while segments were joined: %v", err)
	}
	t.Logf("%+v, asked %d times meanwhile", done, n)
	if done.Joined < 2 || n == 0 {
		t.Fatalf("%+v, asked %d times", done, n)
	}
	must(t, a.Indexed(t.Context()))
	differs(t, "after compaction", before, q.answers(t, p.sent))

	// An export that planned on what is joined and collected under it.
	same := q.export(t, &lateStore{Store: store, late: func() { collectAll(t, a) }})
	if !strings.HasSuffix(before, same) {
		t.Error("an export during the collection differs")
	}
	differs(t, "after the collection", before, q.answers(t, p.sent))
	checkBucket(t, store, book)
	finishReplay(t, jobs, plan)

	// An index that never heard of the compaction, and one made from S3 alone.
	exec := func(sql string) {
		embeddedtest.Exec(t, e.ClickHouse, e.IndexUser, e.IndexSecret, strings.ReplaceAll(sql, "DB", e.Database))
	}
	exec("DELETE FROM DB.segments WHERE kind = 'compaction'")
	differs(t, "of an index that is behind", before, ask(t, store, x).warm(t, p.sent).answers(t, p.sent))
	other := e
	other.Database = embeddedtest.Database(t)
	_, fresh, err := other.open()
	must(t, err)
	t.Cleanup(func() { must(t, fresh.Close()) })
	must(t, fresh.Migrate(t.Context()))
	_, damaged, err := archiver.Reindex(t.Context(), store, book, fresh, rules, slog.New(slog.DiscardHandler), archiver.ReindexOptions{})
	if err != nil || len(damaged) > 0 {
		t.Fatalf("reindex: %v, %+v", err, damaged)
	}
	differs(t, "of an index made anew", before, ask(t, store, fresh).warm(t, p.sent).answers(t, p.sent))
}

func differs(t *testing.T, when, before, after string) {
	t.Helper()
	if before == after {
		return
	}
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range was {
		if i >= len(is) || was[i] != is[i] {
			t.Fatalf("%s, answer %d:\n was %s\n is  %s", when, i+1, was[i], is[min(i, len(is)-1)])
		}
	}
	t.Fatalf("%s there are more answers", when)
}

// lateStore runs late at the first read of a segment.
type lateStore struct {
	custody.Store
	once sync.Once
	late func()
}

func (s *lateStore) ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt {
	s.once.Do(s.late)
	return s.Store.ReaderAt(ctx, key, size)
}

func collectAll(t *testing.T, a *archiver.Archiver) {
	t.Helper()
	would, err := a.Collect(t.Context(), true)
	must(t, err)
	did, err := a.Collect(t.Context(), false)
	must(t, err)
	if len(did) == 0 || len(would) != len(did) {
		t.Errorf("a dry run names %d objects, %d were deleted", len(would), len(did))
	}
}

// checkBucket fails unless data/ holds what the chains need, and no more.
func checkBucket(t *testing.T, store *objstore.Store, book *ledger.Ledger) {
	t.Helper()
	needed := map[string]bool{}
	for s, err := range book.Streams(t.Context()) {
		must(t, err)
		view, err := book.View(t.Context(), s, nil)
		must(t, err)
		for _, part := range view.All() {
			needed[part.Ref.Key] = true
		}
	}
	for o, err := range store.List(t.Context(), schema.DataPrefix, "") {
		must(t, err)
		if !needed[o.Key] {
			t.Errorf("%s is left", o.Key)
		}
		delete(needed, o.Key)
	}
	if len(needed) > 0 {
		t.Errorf("%d needed objects are gone", len(needed))
	}
	for o, err := range store.List(t.Context(), schema.CompactionPrefix, "") {
		must(t, err)
		t.Errorf("job %s is left", o.Key)
	}
}

// planReplay plans, but does not run yet.
func planReplay(t *testing.T, e engines, book *ledger.Ledger, store *objstore.Store) (*replay.Service, string) {
	t.Helper()
	brokers, err := replay.Connect(e.kafka())
	must(t, err)
	t.Cleanup(brokers.Close)
	s, err := replay.New(replay.Options{
		PositionTopic: replayPositions, Worker: "fault", Lease: time.Second, Poll: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}, brokers, store, book, nil)
	must(t, err)
	plan, err := s.Plan(t.Context(), policy.Everything(), answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "again."})
	must(t, err)
	return s, plan.ID
}

// finishReplay runs a plan whose segments are gone: each is read from the one
// that it was joined into.
func finishReplay(t *testing.T, s *replay.Service, plan string) {
	t.Helper()
	_, err := s.Run(t.Context(), policy.Everything(), plan, nil)
	must(t, err)
	working, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Work(working) }()
	defer func() { stop(); must(t, <-done) }()
	for range 600 {
		job, err := s.Get(t.Context(), policy.Everything(), plan)
		must(t, err)
		if job.State == answer.JobFailed {
			t.Fatalf("the replay failed: %s", job.Error)
		}
		if job.State == answer.JobDone {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the replay does not end")
}
