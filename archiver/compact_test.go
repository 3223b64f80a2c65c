package archiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// raced runs a hook before the first compaction's commit.
type raced struct {
	archiver.Ledger
	once sync.Once
	hook func(c *schema.Commit)
}

func (l *raced) Append(ctx context.Context, head ledger.Head, c *schema.Commit) (ledger.Head, error) {
	if c.Kind == schema.KindCompaction && l.hook != nil {
		l.once.Do(func() { l.hook(c) })
	}
	return l.Ledger.Append(ctx, head, c)
}

// smallSegments archives six segments of one partition by a clock of the week
// after next.
func smallSegments(t *testing.T, hook func(r *rig, s schema.Stream, c *schema.Commit)) (*rig, *archiver.Archiver, schema.Stream, int) {
	t.Helper()
	return smallSegmentsSaid(t, nil, hook)
}

// smallSegmentsSaid gives the archiver's metrics to a registry too.
func smallSegmentsSaid(t *testing.T, registry prometheus.Registerer, hook func(r *rig, s schema.Stream, c *schema.Commit)) (*rig, *archiver.Archiver, schema.Stream, int) {
	t.Helper()
	r := newRig(t)
	s := r.stream("days", r.topic(t, "days", 1), 0)
	book := &raced{Ledger: r.book}
	if hook != nil {
		book.hook = func(c *schema.Commit) { hook(r, s, c) }
	}
	r.chain = book
	a, _ := r.archive(t, func(o *archiver.Options) {
		o.Registerer = registry
		o.Compact = archiver.Compact{Every: time.Hour, Now: func() time.Time { return time.Now().Add(14 * 24 * time.Hour) }}
	})
	sent := 0
	for range 6 {
		sent += len(r.produce(t, "days", 0, 20))
		r.sealed(t, a, s, int64(sent))
	}
	must(t, a.Indexed(t.Context()))
	return r, a, s, sent
}

// kinds writes a chain's kinds of commits.
func (r *rig) kinds(t *testing.T, s schema.Stream) string {
	t.Helper()
	var all []string
	for e, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		all = append(all, string(e.Commit.Kind))
	}
	return strings.Join(all, " ")
}

const sealedOnly = "genesis segment segment segment segment segment segment"

// jobs reads the compaction jobs of a stream.
func (r *rig) jobs(t *testing.T, s schema.Stream) (keys, etags []string, bodies []map[string]any) {
	t.Helper()
	for o, err := range r.store.List(t.Context(), schema.CompactionJobPrefix(s), "") {
		must(t, err)
		raw, object, err := r.store.Get(t.Context(), o.Key, 1<<20)
		must(t, err)
		var body map[string]any
		must(t, json.Unmarshal(raw, &body))
		keys, etags, bodies = append(keys, o.Key), append(etags, object.ETag), append(bodies, body)
	}
	return keys, etags, bodies
}

// takeSeq commits a hold, as another process might, where the archiver would.
func (r *rig) takeSeq(t *testing.T, s schema.Stream) {
	t.Helper()
	r.another(t, s, schema.KindHold, func(c *schema.Commit) { c.Authority = &schema.Authority{Reason: "test", RequestedBy: "test"} })
}

// another commits, as another process might, what moves nothing.
func (r *rig) another(t *testing.T, s schema.Stream, kind schema.CommitKind, edit func(*schema.Commit)) {
	t.Helper()
	head, err := r.book.Head(t.Context(), s)
	must(t, err)
	c := *head.Commit
	c.Kind, c.Attempt, c.Seq, c.Previous = kind, "another's", head.Commit.Seq+1, &head.Digest
	c.Base, c.Next, c.Segment, c.Records = head.Next, head.Next, nil, schema.Counts{}
	c.Start, c.LeaderEpochs = nil, nil
	edit(&c)
	_, err = r.book.Append(t.Context(), head, &c)
	must(t, err)
}

// A seq that is another's is no reason to write 128 MiB again: the job says the
// next one, and the commit is made there.
func TestCompactionThatLosesItsSeqTakesTheNext(t *testing.T) {
	t.Parallel()
	r, a, s, sent := smallSegments(t, func(r *rig, s schema.Stream, _ *schema.Commit) { r.takeSeq(t, s) })
	done, err := a.Compact(t.Context())
	must(t, err)
	if got := r.kinds(t, s); got != sealedOnly+" hold compaction" || done.Joined != 1 || done.Rows != int64(sent) {
		t.Fatalf("%+v: %s", done, got)
	}
	_, _, jobs := r.jobs(t, s)
	if len(jobs) != 1 || jobs[0]["seq"] != "8" {
		t.Errorf("jobs %v", jobs)
	}
	// The sealer goes on behind the compaction.
	sent += len(r.produce(t, "days", 0, 20))
	r.sealed(t, a, s, int64(sent))
	must(t, a.Indexed(t.Context()))
	view, err := r.book.View(t.Context(), s, nil)
	must(t, err)
	if current := view.Current(); len(current) != 2 || current[0].Parts() != 6 || current[1].Next != int64(sent) {
		t.Errorf("%d segments", len(current))
	}
	if got := r.sql(t, "SELECT count() FROM DB.segments FINAL WHERE kind = 'compaction' AND base = 0 AND seq = 8"); got != "1" {
		t.Errorf("the index has %s rows of the compaction", got)
	}
	if trouble := a.Health(); len(trouble) > 0 {
		t.Errorf("all is well, and yet: %v", trouble)
	}
}

// A job that a collector has ended is over: its output may be gone already.
func TestCompactionWhoseJobWasEndedGivesUp(t *testing.T) {
	t.Parallel()
	r, a, s, _ := smallSegments(t, func(r *rig, s schema.Stream, _ *schema.Commit) {
		r.takeSeq(t, s)
		keys, etags, jobs := r.jobs(t, s)
		jobs[0]["state"] = "ended"
		raw, err := json.Marshal(jobs[0])
		must(t, err)
		_, err = r.store.PutIfMatch(t.Context(), keys[0], etags[0], raw)
		must(t, err)
	})
	done, err := a.Compact(t.Context())
	must(t, err)
	// What gave up is planned anew, under another job.
	if got := r.kinds(t, s); got != sealedOnly+" hold compaction" || done.Joined != 1 {
		t.Fatalf("%+v: %s", done, got)
	}
	head, err := r.book.Head(t.Context(), s)
	must(t, err)
	_, _, jobs := r.jobs(t, s)
	for _, job := range jobs {
		if ended := job["state"] == "ended"; ended == (job["output"] == head.Commit.Segment.Key) {
			t.Errorf("job %v, committed %s", job, head.Commit.Segment.Key)
		}
	}
	if len(jobs) != 2 {
		t.Errorf("%d jobs", len(jobs))
	}
}

// Bytes that are not those that were committed are not carried on.
func TestDamagedSegmentIsNotJoined(t *testing.T) {
	t.Parallel()
	r, a, s, _ := smallSegments(t, nil)
	view, err := r.book.View(t.Context(), s, nil)
	must(t, err)
	key := view.Current()[3].Ref.Key
	raw, _, err := r.store.Get(t.Context(), key, 1<<20)
	must(t, err)
	raw[len(raw)/3] ^= 1
	_, err = r.store.Put(t.Context(), key, raw)
	must(t, err)
	if _, err := a.Compact(t.Context()); schema.KindOf(err) != schema.Corrupt || err == nil {
		t.Fatalf("%v", err)
	}
	if got := r.kinds(t, s); got != sealedOnly {
		t.Errorf("committed %s", got)
	}
	if _, _, jobs := r.jobs(t, s); len(jobs) > 0 {
		t.Errorf("jobs %v", jobs)
	}
	if said := a.Health()["store"]; !strings.Contains(said, key) {
		t.Errorf("Health says %q", said)
	}
}

// One segment that is damaged, one that is gone: what is before, between and
// behind them is joined, and both are said until they are mended.
func TestCompactionPassesOverWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	r, a, s, sent := smallSegmentsSaid(t, registry, nil)
	for range 8 {
		sent += len(r.produce(t, "days", 0, 20))
		r.sealed(t, a, s, int64(sent))
	}
	must(t, a.Indexed(t.Context()))
	view, err := r.book.View(t.Context(), s, nil)
	must(t, err)
	current := view.Current()
	damaged, gone := current[4].Ref.Key, current[9].Ref.Key
	whole := map[string][]byte{}
	for _, key := range []string{damaged, gone} {
		whole[key], _, err = r.store.Get(t.Context(), key, 1<<20)
		must(t, err)
	}
	raw := bytes.Clone(whole[damaged])
	raw[len(raw)/3] ^= 1
	_, err = r.store.Put(t.Context(), damaged, raw)
	must(t, err)
	must(t, r.store.Delete(t.Context(), gone))

	done, err := a.Compact(t.Context())
	if schema.KindOf(err) != schema.Corrupt || err == nil || !strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), gone) {
		t.Errorf("%v", err)
	}
	if got := r.kinds(t, s); done.Joined != 3 || done.Segments != 12 || !strings.HasSuffix(got, " segment compaction compaction compaction") {
		t.Errorf("%+v: %s", done, got)
	}
	if said := a.Health()["store"]; !strings.Contains(said, damaged) || !strings.Contains(said, gone) {
		t.Errorf("Health says %q", said)
	}
	if got := gauged(t, registry, "annals_archiver_unjoined_segments"); got != 2 {
		t.Errorf("the metrics say that %v are passed over", got)
	}

	for key, body := range whole {
		_, err = r.store.Put(t.Context(), key, body)
		must(t, err)
	}
	done, err = a.Compact(t.Context())
	must(t, err)
	if done.Joined != 1 || done.Segments != 5 {
		t.Errorf("after they were mended: %+v", done)
	}
	if said := a.Health(); len(said) > 0 || gauged(t, registry, "annals_archiver_unjoined_segments") != 0 {
		t.Errorf("mended, and Health says %v", said)
	}
}

// gauged is the value of a gauge without labels.
func gauged(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// The last copy is never deleted: before a replaced segment goes, the joined
// one is read.
func TestReplacedSegmentsStayWhileTheJoinedOneIsDamaged(t *testing.T) {
	t.Parallel()
	r, a, s, _ := smallSegments(t, nil)
	_, err := a.Compact(t.Context())
	must(t, err)
	head, err := r.book.Head(t.Context(), s)
	must(t, err)
	key := head.Commit.Segment.Key
	raw, _, err := r.store.Get(t.Context(), key, 1<<20)
	must(t, err)
	raw[10] ^= 1
	_, err = r.store.Put(t.Context(), key, raw)
	must(t, err)
	if did, err := a.Collect(t.Context(), false); schema.KindOf(err) != schema.Corrupt || err == nil || len(did) > 0 {
		t.Fatalf("%v, %v", did, err)
	}
	raw[10] ^= 1
	_, err = r.store.Put(t.Context(), key, raw)
	must(t, err)
	did, err := a.Collect(t.Context(), false)
	must(t, err)
	if len(did) != 7 { // six segments and the job
		t.Fatalf("%v", did)
	}
	// Nobody else's objects, and none of the ledger's.
	for _, o := range did {
		if !strings.HasPrefix(o.Key, "data/") && !strings.HasPrefix(o.Key, "jobs/compact/") {
			t.Errorf("deleted %s", o.Key)
		}
	}
	report, err := r.book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings > 0 {
		t.Errorf("%+v", report.Listed)
	}
}

// Where another cluster's chain has the same topic ID, the folder is not ours
// alone.
func TestNothingIsCollectedBesideAnotherChain(t *testing.T) {
	t.Parallel()
	r, a, s, _ := smallSegments(t, nil)
	_, err := a.Compact(t.Context())
	must(t, err)
	other := s
	other.Cluster = "another"
	_, err = r.store.Put(t.Context(), schema.CommitKey(other, 0), []byte("a genesis"))
	must(t, err)
	if did, err := a.Collect(t.Context(), false); schema.KindOf(err) != schema.Conflict || err == nil || len(did) > 0 {
		t.Errorf("%v, %v", did, err)
	}
}
