package replay_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The offset map names, both ways, exactly the pairs that an independent walk
// over source and target gives, and nothing else.
func TestOffsetMap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 300, 100)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: start.Add(9 * time.Second)})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	at := func(topic string, partition int32, source, target *int64) (*answer.OffsetPair, error) {
		return s.MapOffset(t.Context(), everybody, plan.ID[:8], answer.OffsetQuery{Topic: topic, Partition: partition, Source: source, Target: target})
	}
	one := int64(1)
	if _, err := at("orders", 0, &one, nil); schema.KindOf(err) != schema.Conflict {
		t.Errorf("before its receipt: %v", err)
	}
	work(t, s)
	job := until(t, s, plan.ID, answer.JobDone)
	if job.Receipt.Read != plan.Records || job.Receipt.Partitions[1].Read == 0 {
		t.Errorf("receipt %+v", job.Receipt)
	}
	target := plan.Topics[0].Target
	for partition, records := range archived {
		got := r.target(t, target, partition)
		taken := map[int64]bool{}
		for i, want := range committed(records, start.Add(9*time.Second).UnixMilli(), 1<<62) {
			taken[want.Offset] = true
			pair, err := at("orders", partition, &want.Offset, nil)
			if err != nil || pair.TargetOffset != got[i].Offset || pair.SourceOffset != want.Offset || pair.Target != target {
				t.Fatalf("source %d of %d: %+v, %v; want %d", want.Offset, partition, pair, err, got[i].Offset)
			}
			back, err := at(target, partition, nil, &got[i].Offset)
			if err != nil || *back != *pair {
				t.Fatalf("target %d of %d: %+v, %v; want %+v", got[i].Offset, partition, back, err, pair)
			}
		}
		for offset := range int64(310) {
			if _, err := at("orders", partition, &offset, nil); !taken[offset] && schema.KindOf(err) != schema.NotFound {
				t.Fatalf("source %d of %d was not replayed: %v", offset, partition, err)
			}
		}
	}
	some, err := policy.Topics("rates")
	must(t, err)
	if _, err := s.MapOffset(t.Context(), policy.Principal{Name: "stranger", Topics: some}, plan.ID, answer.OffsetQuery{Topic: "orders", Source: &one}); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := at("orders", 0, &one, &one); schema.KindOf(err) != schema.Invalid {
		t.Errorf("both sides: %v", err)
	}
	pieces, err := filepath.Glob(filepath.Join(r.folder, "jobs", "replay", plan.ID, "offsets", "*.json"))
	must(t, err)
	for _, piece := range pieces {
		raw, err := os.ReadFile(piece)
		must(t, err)
		must(t, os.WriteFile(piece, []byte(strings.Replace(string(raw), "[", " [", 1)), 0o600))
	}
	if _, err := at("orders", 0, &committed(archived[0], 0, 1<<62)[40].Offset, nil); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a damaged piece: %v", err)
	}
}

// A dry run reads what the receipt will have, produces nothing, and says what
// speaks against the plan.
func TestDryRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 2, 200, 50)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "x."})
	must(t, err)
	dry, err := s.DryRun(t.Context(), everybody, plan.ID)
	must(t, err)
	if !dry.Matches || dry.Records != plan.Records || dry.Bytes != plan.Bytes || dry.Planned != plan.Records || len(dry.Problems) != 0 {
		t.Errorf("%+v", dry)
	}
	live, err := r.cluster.Cluster(t.Context())
	must(t, err)
	if len(live.Topics) != 0 {
		t.Errorf("a dry run made %+v", live.Topics)
	}
	if _, err := s.Get(t.Context(), everybody, plan.ID); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a dry run made a job: %v", err)
	}
	stop := work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	for i, line := range until(t, s, plan.ID, answer.JobDone).Receipt.Partitions {
		if line.PlannedHash != dry.Partitions[i].Hash || line.Read != dry.Partitions[i].Records {
			t.Errorf("the receipt says %+v, the dry run %+v", line, dry.Partitions[i])
		}
	}
	stop()
	plan, err = s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "y."})
	must(t, err)
	_, err = r.cluster.CreateTopic(t.Context(), "y.orders", 2, nil)
	must(t, err)
	files, err := filepath.Glob(filepath.Join(r.folder, "data", "orders", "*", "00001", "*.parquet"))
	must(t, err)
	body, err := os.ReadFile(files[1])
	must(t, err)
	body[len(body)/3] ^= 1
	must(t, os.WriteFile(files[1], body, 0o600))
	must(t, os.Remove(files[2]))
	dry, err = s.DryRun(t.Context(), everybody, plan.ID)
	must(t, err)
	said := strings.Join(dry.Problems, "\n")
	if dry.Matches || dry.Records >= dry.Planned || !strings.Contains(said, "y.orders exists") || !strings.Contains(said, "is not there") || !strings.Contains(said, filepath.Base(files[1])) {
		t.Errorf("problems %q of %+v", dry.Problems, dry)
	}
	some, err := policy.Topics("rates")
	must(t, err)
	if _, err := s.DryRun(t.Context(), policy.Principal{Name: "stranger", Topics: some}, plan.ID); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a stranger: %v", err)
	}
}

// A worker that is gone for longer than its lease has lost the job: the next
// one fences it, and what it still sends is not delivered. A clock that is
// ahead on the lost worker's machine does not keep others waiting.
func TestLostWorkerIsFenced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 300, 100)
	var commits atomic.Int64
	stuck, release := make(chan struct{}), make(chan struct{})
	lost, err := replay.New(replay.Options{PositionTopic: positions, Worker: "lost", Lease: time.Second, Poll: 50 * time.Millisecond, Batch: 2 << 10, Logger: r.log},
		watched{Brokers: r.cluster, commit: func(context.Context) {
			if commits.Add(1) == 4 {
				close(stuck)
				<-release
			}
		}}, severed{r.store, stuck, time.Hour}, r.book, nil)
	must(t, err)
	plan := planned(t, lost, "orders")
	work(t, lost)
	<-stuck
	next := r.service(t, nil, nil, nil)
	began := time.Now()
	work(t, next)
	job := until(t, next, plan.ID, answer.JobDone)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the job was taken over and done after %s, its lease is one second", took)
	}
	close(release)
	time.Sleep(200 * time.Millisecond)
	r.isExact(t, plan, archived)
	if !job.Receipt.Matches || !job.Receipt.Exclusive {
		t.Errorf("%+v", job.Receipt)
	}
}

// TestReceiptPage: the page is kept with the job, escapes what others wrote, says
// who approved the job, and is not given if it is not what was kept.
func TestReceiptPage(t *testing.T) {
	t.Parallel()
	r, s := approving(t, nil)
	r.topic(t, "orders", 2, 60, 100)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, Keys: [][]byte{[]byte("<b>k7"), []byte("k7"), []byte("k8")}})
	must(t, err)
	_, err = s.Run(t.Context(), named(t, "alice <i>"), plan.ID, nil)
	must(t, err)
	_, err = s.Receipt(t.Context(), everybody, plan.ID)
	refused(t, "a receipt before the end", err, schema.Conflict, "no receipt")
	_, err = s.Approve(t.Context(), named(t, "bob"), plan.ID, "<script>alert(1)</script> & more")
	must(t, err)
	work(t, s)
	until(t, s, plan.ID, answer.JobDone)
	page, err := s.Receipt(t.Context(), everybody, plan.ID[:8])
	must(t, err)
	for _, want := range []string{
		plan.ID, "Everything matches", "alice &lt;i&gt;", "approved by", "bob", "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more", "&lt;b&gt;k7", "orders", "default-src 'none'",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "<b>", "<i>", "src=", "href=", "@import", "url("} {
		if strings.Contains(string(page), never) {
			t.Errorf("the page has %q", never)
		}
	}
	var keys []string
	for object, err := range r.store.List(t.Context(), schema.ReplayPrefix+plan.ID+"/receipts/", "") {
		must(t, err)
		keys = append(keys, object.Key)
	}
	if len(keys) != 1 {
		t.Fatalf("kept %v", keys)
	}
	kept, _, err := r.store.Get(t.Context(), keys[0], 1<<20)
	must(t, err)
	if string(kept) != string(page) {
		t.Error("another page than the one that is kept")
	}
	_, err = r.store.Put(t.Context(), keys[0], append(kept, ' '))
	must(t, err)
	_, err = s.Receipt(t.Context(), everybody, plan.ID)
	refused(t, "a changed page", err, schema.Corrupt, "not what was kept")
}

// TestReceiptPageOfADifference says where the target differs.
func TestReceiptPageOfADifference(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 40, 100)
	s := r.service(t, nil, watched{Brokers: r.cluster, read: func(_ schema.Stream, record *schema.Record) bool { return record.Offset != 20 }}, nil)
	plan := planned(t, s, "orders")
	work(t, s)
	fails(t, s, plan.ID)
	page, err := s.Receipt(t.Context(), everybody, plan.ID)
	must(t, err)
	if !strings.Contains(string(page), "differs from the plan") || strings.Contains(string(page), "Everything matches") || !strings.Contains(string(page), "none was needed") {
		t.Errorf("%s", page)
	}
}

// TestReceiptPageOfAllThatWasAsked names what chose the records, and what of them is
// not as in the source: else they would pass for all there are, and for the same.
func TestReceiptPageOfAllThatWasAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	source := schema.Stream{Cluster: "source", Topic: "mixed", TopicID: schema.TopicID{7}, Partition: 0}
	var records []schema.Record
	var extractions []schema.Extraction
	for i := range 40 {
		records = append(records, awkward(source, i))
		extractions = append(extractions, schema.Extraction{EventTime: records[i].Timestamp * 1000, HasEventTime: true})
	}
	replaytest.ArchiveExtracted(t, r.store, source, records, extractions, 60)
	s := r.service(t, nil, nil, nil)
	work(t, s)
	page := func(q answer.ReplayRequest) string {
		t.Helper()
		q.Topics = []string{"mixed"}
		plan, err := s.Plan(t.Context(), everybody, q)
		must(t, err)
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		until(t, s, plan.ID, answer.JobDone)
		page, err := s.Receipt(t.Context(), everybody, plan.ID)
		must(t, err)
		return string(page)
	}
	has := func(what, page string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q", what, want)
			}
		}
	}
	filtered := page(answer.ReplayRequest{Filter: `has(value.n) && value.n >= 0`, FilterErrors: answer.FilterSkip})
	has("a filter", filtered, "has(value.n) &amp;&amp; value.n &gt;= 0", "of which the filter cannot tell", "left out", "the records are byte-identical")
	timed := page(answer.ReplayRequest{EventFrom: start.Add(-time.Hour), EventTo: start.Add(1000 * time.Hour), TargetPrefix: "timed."})
	has("event times", timed, "Event times", start.Add(-time.Hour).UTC().Format(time.RFC3339), start.Add(1000*time.Hour).UTC().Format(time.RFC3339))
	shifted := page(answer.ReplayRequest{Timestamps: answer.TimestampsShift, ShiftMillis: 3_600_000})
	has("shifted", shifted, "Timestamps", "1h0m0s")
	now := page(answer.ReplayRequest{Timestamps: answer.TimestampsNow})
	has("now", now, "Timestamps", "of producing")
	spread := page(answer.ReplayRequest{Partitioning: answer.PartitionByKey, TargetPartitions: 5})
	has("by key", spread, "by key", "0 → 4", "5 partitions")
	for what, page := range map[string]string{"shifted": shifted, "now": now, "by key": spread} {
		if strings.Contains(page, "the records are byte-identical") {
			t.Errorf("%s: the page says that the records are byte-identical", what)
		}
	}
}

// forgetful is a cluster in which a topic loses records before it is read back.
type forgetful struct {
	replay.Brokers
	topic  string
	forget func()
}

func (f forgetful) Range(ctx context.Context, s schema.Stream, from, to int64, isolation kafka.Isolation) iter.Seq2[*schema.Record, error] {
	if s.Topic == f.topic {
		f.forget()
	}
	return f.Brokers.Range(ctx, s, from, to, isolation)
}

// A target that deletes records before they are read back, as retention does with old
// ones, has no receipt: the job says that, and that all was produced.
func TestTargetForgetsBeforeTheReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 60, 100)
	admin := kadm.NewClient(embeddedtest.KafkaClient(t, r.broker))
	cluster := forgetful{Brokers: r.cluster, topic: "f.orders", forget: func() {
		offsets := kadm.Offsets{}
		offsets.AddOffset("f.orders", 0, 5, -1)
		_, err := admin.DeleteRecords(t.Context(), offsets)
		must(t, err)
	}}
	s := r.service(t, nil, cluster, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "f."})
	must(t, err)
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	if job := fails(t, s, plan.ID); job.Produced != plan.Records || job.Receipt != nil || !strings.Contains(job.Error, "everything was produced, and cannot be compared: f.orders/0 has deleted records from offset 0 on") {
		t.Errorf("%d of %d produced: %s", job.Produced, plan.Records, job.Error)
	}
}
