package archiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// failing are rules that panic on some values.
type failing struct{ archiver.Rules }

func (f failing) Extract(r *schema.Record, into *schema.Extraction) {
	f.Rules.Extract(r, into)
	if r.Offset == 3 {
		panic("index out of range, say")
	}
}

// refusing is an index that takes everything but one row.
type refusing struct {
	archiver.Index
	offset int64
}

func (x refusing) InsertRecords(ctx context.Context, rows []index.Row, at time.Time) error {
	for _, row := range rows {
		if row.Record.Offset == x.offset {
			return fmt.Errorf("insert records: %w", errors.New("code 999: no"))
		}
	}
	return x.Index.InsertRecords(ctx, rows, at)
}

// TestWhatFailsBecomesADeadLetter: a record on which the rules panic, and one
// whose row the index refuses, are archived as they are; everything else is
// indexed, and what failed is listed with its context.
func TestWhatFailsBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "poison", 1)
	s := r.stream("poison", id, 0)
	sent := r.produce(t, "poison", 0, 10)
	r.through = refusing{r.index, 7}
	registry := prometheus.NewRegistry()
	a, stop := r.archiveBy(t, failing{r.rules}, func(o *archiver.Options) { o.Registerer = registry })
	r.sealed(t, a, s, 10)
	must(t, a.Indexed(t.Context()))
	same(t, r.rows(t, s), sent)

	engine, err := query.New(query.Options{Index: r.index, Store: r.store, Ledger: r.book, Extract: r.rules})
	must(t, err)
	var page *answer.DeadLetterPage
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if page, err = engine.DeadLetters(t.Context(), policy.Everything(), answer.DeadLetterRequest{}); err != nil || page.Total < 2 {
			return fmt.Errorf("%+v, %w", page, err)
		}
		return nil
	})
	stop()
	for i, want := range []schema.DeadLetter{
		{Component: schema.LetterExtraction, From: 3, To: 4, Error: "the rules failed: index out of range, say"},
		{Component: schema.LetterIndex, From: 7, To: 8, Error: "insert records: code 999: no"},
	} {
		l := page.Letters[i]
		if l.Component != want.Component || l.From != want.From || l.To != want.To || l.Error != want.Error ||
			l.Topic != "poison" || l.TopicID != id || l.Cluster != s.Cluster || l.Attempts < 1 || l.First == "" || l.Writer != "test" {
			t.Errorf("letter %d: %+v", i, l)
		}
	}
	if n := strings.TrimSpace(r.sql(t, "SELECT groupArray(offset) FROM (SELECT DISTINCT offset FROM DB.records ORDER BY offset)")); n != "[0,1,2,3,4,5,6,8,9]" {
		t.Errorf("indexed %s", n)
	}
	if health := a.Health(); len(health) > 0 {
		t.Errorf("Health says %v", health)
	}
	checkLetters(t, engine, registry)
}

// letterless is a store that takes no dead letters.
type letterless struct{ archiver.Store }

func (s letterless) PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	if strings.HasPrefix(key, schema.DeadLettersPrefix) {
		return objstore.Object{}, schema.Errorf(schema.Unavailable, "put %s: no answer", key)
	}
	return s.Store.PutIfAbsent(ctx, key, body)
}

// TestRefusedRowHasItsLetter: while the letter about a row that the index refused
// cannot be kept, the segment does not count as indexed, or nobody would come to
// that row again.
func TestRefusedRowHasItsLetter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "poison", 1)
	s := r.stream("poison", id, 0)
	r.produce(t, "poison", 0, 10)
	r.through, r.objects = refusing{r.index, 7}, letterless{r.store}
	a, stop := r.archive(t, nil)
	r.sealed(t, a, s, 10)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if health := a.Health()["index"]; !strings.Contains(health, "dead letter") {
			return fmt.Errorf("Health says %v", a.Health())
		}
		return nil
	})
	stop()
	if missing, err := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion); err != nil || missing > 1 {
		t.Errorf("the index has all commits below %d, of one a row is missing; %v", missing, err)
	}

	r.objects = nil
	a, _ = r.archive(t, nil)
	engine, err := query.New(query.Options{Index: r.index, Store: r.store, Ledger: r.book, Extract: r.rules})
	must(t, err)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		page, err := engine.DeadLetters(t.Context(), policy.Everything(), answer.DeadLetterRequest{})
		missing, missingErr := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion)
		if err != nil || missingErr != nil || page.Total != 1 || page.Letters[0].From != 7 || missing < 2 {
			return fmt.Errorf("%+v, all commits below %d, %w, health %v", page, missing, errors.Join(err, missingErr), a.Health())
		}
		return nil
	})
}

// TestDamagedLetterStopsNothing: what stands where a letter about a gap belongs is
// damaged. The offsets are archived all the same, and the gap has what the letter
// would have said.
func TestDamagedLetterStopsNothing(t *testing.T) {
	t.Parallel()
	for name, there := range map[string][]byte{"not a letter": []byte("x"), "too large for one": bytes.Repeat([]byte("x"), schema.MaxDeadLetterBytes+1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			s := r.stream("kept", r.topic(t, "kept", 1), 0)
			l := schema.DeadLetter{Component: schema.LetterReading, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, From: 0, To: 1}
			_, err := r.store.Put(t.Context(), l.Key(), there)
			must(t, err)
			r.produceLarge(t, "kept", bytes.Repeat([]byte("0"), 64<<20))
			r.produce(t, "kept", 0, 3)
			registry := prometheus.NewRegistry()
			a, _ := r.archive(t, func(o *archiver.Options) { o.Registerer = registry })
			r.sealed(t, a, s, 4)
			if n := measured(t, registry, "annals_archiver_dead_letters_total"); n != 2 { // of reading, and lost
				t.Errorf("%.0f letters are counted, health %v", n, a.Health())
			}
			r.verify(t, s, 1)
		})
	}
}

// checkLetters filters, pages and counts.
func checkLetters(t *testing.T, engine *query.Engine, registry *prometheus.Registry) {
	t.Helper()
	first, err := engine.DeadLetters(t.Context(), policy.Everything(), answer.DeadLetterRequest{Limit: 1})
	must(t, err)
	if first.Total != 2 || len(first.Letters) != 1 || first.NextCursor == "" {
		t.Fatalf("first page %+v", first)
	}
	second, err := engine.DeadLetters(t.Context(), policy.Everything(), answer.DeadLetterRequest{Limit: 1, Cursor: first.NextCursor})
	must(t, err)
	if len(second.Letters) != 1 || second.Letters[0].ID() == first.Letters[0].ID() || second.NextCursor != "" {
		t.Errorf("second page %+v", second)
	}
	for name, request := range map[string]answer.DeadLetterRequest{
		"id": {ID: second.Letters[0].ID()}, "component": {Component: schema.LetterIndex},
	} {
		page, err := engine.DeadLetters(t.Context(), policy.Everything(), request)
		must(t, err)
		if page.Total != 1 || page.Letters[0].Component != schema.LetterIndex || len(page.Counts) != 2 || page.Counts[1] != (answer.DeadLetterCount{Topic: "poison", Component: schema.LetterIndex, Letters: 1}) {
			t.Errorf("by %s: %+v", name, page)
		}
	}
	topics, err := policy.Topics("other*")
	must(t, err)
	hidden, err := engine.DeadLetters(t.Context(), policy.Principal{Name: "x", Topics: topics}, answer.DeadLetterRequest{})
	must(t, err)
	if hidden.Total != 0 || len(hidden.Letters) != 0 || len(hidden.Counts) != 0 {
		t.Errorf("who may not see the topic sees %+v", hidden)
	}
	families, err := registry.Gather()
	must(t, err)
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "annals_archiver_dead_letters_total" {
			for _, m := range f.GetMetric() {
				counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if counted["extraction"] < 1 || counted["index"] < 1 || counted["lost"] > 0 {
		t.Errorf("counted %v", counted)
	}
}

// TestCollectorKeepsWhatGapsName: a raw batch that a gap names stays, one that
// nothing names goes, each at any age.
func TestCollectorKeepsWhatGapsName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "kept", 1)
	s := r.stream("kept", id, 0)
	large := bytes.Repeat([]byte("0"), 64<<20)
	r.produceLarge(t, "kept", large)
	r.topic(t, "letters", 1)
	r.produce(t, "kept", 0, 3)
	a, _ := r.archive(t, func(o *archiver.Options) {
		o.Compact.Off, o.LetterTopic = true, "letters"
		o.Topics = func(name string) bool { return name == "kept" }
		o.Compact.Now = func() time.Time { return time.Now().Add(30 * 24 * time.Hour) }
	})
	r.sealed(t, a, s, 4)
	orphan := schema.BatchKey(s, 0, 1, schema.Digest{1})
	_, err := r.store.Put(t.Context(), orphan, []byte("nobody's"))
	must(t, err)
	gone, err := a.Collect(t.Context(), false)
	must(t, err)
	if len(gone) != 1 || gone[0].Key != orphan {
		t.Errorf("collected %v", gone)
	}
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		for _, g := range entry.Commit.Gaps {
			if _, err := r.store.Stat(t.Context(), g.Object.Key); err != nil || g.Class != schema.GapUnreadable || g.From != 0 || g.To != 1 {
				t.Errorf("gap %+v: %v", g, err)
			}
		}
	}
	r.verify(t, s, 1)
	r.listed(t, orphan)

	reader := embeddedtest.KafkaClient(t, r.broker, kgo.ConsumeTopics("letters"))
	waiting, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	produced := reader.PollFetches(waiting).Records()
	if len(produced) == 0 {
		t.Fatal("no letter was produced")
	}
	told := produced[0]
	l, err := schema.ParseDeadLetter(told.Value)
	if err != nil || string(told.Key) != l.Key() || l.From != 0 || l.Raw == nil || len(told.Headers) != 6 {
		t.Errorf("produced %s: %s, %v", told.Key, told.Value, err)
	}
}

// listed asks for the raw batches as annals files --raw does: those that a gap
// names, not the orphan, and none unless asked.
func (r *rig) listed(t *testing.T, orphan string) {
	t.Helper()
	engine, err := query.New(query.Options{Index: r.index, Store: r.store, Ledger: r.book, Extract: r.rules, Bucket: r.store.Bucket(), Prefix: r.store.Prefix()})
	must(t, err)
	list, err := engine.Segments(t.Context(), policy.Everything(), answer.SegmentRequest{Topic: "kept", Raw: true})
	must(t, err)
	if len(list.Batches) != 1 || list.Batches[0].From != 0 || list.Batches[0].To != 1 || list.Batches[0].Evidence == nil {
		t.Fatalf("raw batches %+v", list.Batches)
	}
	key, ok := strings.CutPrefix(list.Batches[0].Key, r.store.Prefix())
	object, err := r.store.Stat(t.Context(), key)
	if !ok || key == orphan || err != nil || object.Size != list.Batches[0].Bytes {
		t.Errorf("raw batch %+v: %v", list.Batches[0], err)
	}
	if list, err = engine.Segments(t.Context(), policy.Everything(), answer.SegmentRequest{Topic: "kept"}); err != nil || len(list.Batches) != 0 || len(list.Segments) == 0 {
		t.Errorf("without asking: %+v, %v", list, err)
	}
}

// produceLarge sends one record that no segment holds.
func (r *rig) produceLarge(t *testing.T, topic string, value []byte) {
	t.Helper()
	client := embeddedtest.KafkaClient(t, r.broker, kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(90<<20))
	must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 0, Value: value}).FirstErr())
}

// verify recounts a stream, hashes its objects, and wants so many raw batches.
func (r *rig) verify(t *testing.T, s schema.Stream, batches int64) {
	t.Helper()
	report, err := r.book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings > 0 || report.Batches != batches {
		t.Errorf("%s: %d raw batches, findings %+v", s, report.Batches, report.Listed)
	}
}
