package replay_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// planned makes a job over everything in a topic, not yet worked on.
func planned(t *testing.T, s *replay.Service, topic string) *answer.ReplayPlan {
	t.Helper()
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{topic}})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	return plan
}

func (r *rig) isExact(t *testing.T, plan *answer.ReplayPlan, archived map[int32][]schema.Record) {
	t.Helper()
	for partition, records := range archived {
		same(t, plan.Topics[0].Target, r.target(t, plan.Topics[0].Target, partition), committed(records, -1<<62, 1<<62))
	}
}

// TestTwoWorkersAtOnce: neither sees the other's lease, so that each takes the
// job from the other again and again, in the midst of its transactions.
func TestTwoWorkersAtOnce(t *testing.T) {
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 600, 100)
	var commits atomic.Int64
	slow := watched{Brokers: r.cluster, commit: func(context.Context) { commits.Add(1); time.Sleep(3 * time.Millisecond) }}
	fight := time.Now().Add(3 * time.Second) // then one of them may come to the end
	var services []*replay.Service
	for _, name := range []string{"one", "two"} {
		s, err := replay.New(replay.Options{
			PositionTopic: positions, Worker: name, Lease: 2 * time.Second, Poll: 40 * time.Millisecond, Batch: 2 << 10, Logger: r.log,
		}, slow, blind{r.store, fight}, r.book, nil)
		must(t, err)
		services = append(services, s)
	}
	plan := planned(t, services[0], "orders")
	for _, s := range services {
		work(t, s)
	}
	job := until(t, services[0], plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
	if !job.Receipt.Matches || !job.Receipt.Exclusive {
		t.Errorf("receipt %+v", job.Receipt)
	}
	t.Logf("%d commits tried", commits.Load())
}

// TestGoesOnAfterStops stops the worker after every few transactions.
func TestGoesOnAfterStops(t *testing.T) {
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 400, 100)
	plan := planned(t, r.service(t, nil, nil, nil), "orders")
	last := int64(0)
	for stops := 0; ; stops++ {
		var commits atomic.Int64
		enough := make(chan struct{})
		s := r.service(t, nil, watched{Brokers: r.cluster, commit: func(context.Context) {
			if commits.Add(1) == 4 {
				close(enough)
				time.Sleep(20 * time.Millisecond)
			}
		}}, nil)
		stop := work(t, s)
		select {
		case <-enough:
		case <-time.After(2 * time.Second):
		}
		stop()
		job, err := s.Get(t.Context(), everybody, plan.ID)
		must(t, err)
		if job.Produced < last {
			t.Fatalf("went back from %d to %d", last, job.Produced)
		}
		if last = job.Produced; job.State == answer.JobDone {
			if stops < 3 {
				t.Errorf("done after %d stops", stops)
			}
			break
		}
	}
	r.isExact(t, plan, archived)
}

func TestCancel(t *testing.T) {
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 600, 1000)
	slow := watched{Brokers: r.cluster, commit: func(context.Context) { time.Sleep(20 * time.Millisecond) }}
	s := r.service(t, nil, slow, nil)
	plan := planned(t, s, "orders")
	work(t, s)
	for job := until(t, s, plan.ID, answer.JobRunning); job.Produced == 0; job = until(t, s, plan.ID, answer.JobRunning) {
		time.Sleep(5 * time.Millisecond)
	}
	job, err := s.Cancel(t.Context(), everybody, plan.ID)
	must(t, err)
	if job.State != answer.JobCancelled || job.Produced == 0 || job.Produced == job.Planned || job.Finished.IsZero() {
		t.Fatalf("%+v", job)
	}
	got := r.target(t, plan.Topics[0].Target, 0)
	same(t, "delivered", got, committed(archived[0], -1<<62, 1<<62)[:job.Produced])
	if _, err := s.Run(t.Context(), everybody, plan.ID, nil); schema.KindOf(err) != schema.Conflict {
		t.Errorf("run after cancel: %v", err)
	}
	if again, err := s.Cancel(t.Context(), everybody, plan.ID); err != nil || again.State != answer.JobCancelled {
		t.Errorf("cancelled again: %+v, %v", again, err)
	}
	some, err := policy.Topics("rates")
	must(t, err)
	stranger := policy.Principal{Name: "stranger", Topics: some}
	for name, ask := range map[string]func() (*answer.ReplayJob, error){
		"get":    func() (*answer.ReplayJob, error) { return s.Get(t.Context(), stranger, plan.ID) },
		"run":    func() (*answer.ReplayJob, error) { return s.Run(t.Context(), stranger, plan.ID, nil) },
		"cancel": func() (*answer.ReplayJob, error) { return s.Cancel(t.Context(), stranger, plan.ID) },
	} {
		if _, err := ask(); schema.KindOf(err) != schema.NotFound {
			t.Errorf("%s by somebody who may not see the topic: %v", name, err)
		}
	}
	if jobs, err := s.List(t.Context(), stranger); err != nil || len(jobs.Jobs) != 0 || len(jobs.Notes) != 0 {
		t.Errorf("a stranger lists %+v, %v", jobs, err)
	}
}

func TestCancelBeforeAnybodyWorks(t *testing.T) {
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	plan := planned(t, s, "orders")
	job, err := s.Cancel(t.Context(), everybody, plan.ID)
	must(t, err)
	if job.State != answer.JobCancelled {
		t.Fatalf("%+v", job)
	}
}

// TestDamagedSegment: one flipped byte, found before any of its records is
// produced; mended, the job goes on where it stopped.
func TestDamagedSegment(t *testing.T) {
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 300, 100)
	s := r.service(t, nil, nil, nil)
	plan := planned(t, s, "orders")
	files, err := filepath.Glob(filepath.Join(r.folder, "data", "orders", "*", "00000", "*.parquet"))
	must(t, err)
	if len(files) != 3 {
		t.Fatalf("%v", files)
	}
	body, err := os.ReadFile(files[1])
	must(t, err)
	damaged := append([]byte{}, body...)
	damaged[len(body)/3] ^= 1
	must(t, os.WriteFile(files[1], damaged, 0o600))
	work(t, s)
	job := fails(t, s, plan.ID)
	if !strings.Contains(job.Error, filepath.Base(files[1])) || job.Receipt != nil {
		t.Fatalf("failed so: %q", job.Error)
	}
	if n := len(r.target(t, plan.Topics[0].Target, 0)); n != len(committed(archived[0][:100], -1<<62, 1<<62)) && n >= 100 {
		t.Errorf("%d records of the damaged segment are out", n)
	}
	must(t, os.WriteFile(files[1], body, 0o600))
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)

	must(t, os.Remove(files[2]))
	_, err = s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "b."})
	if schema.KindOf(err) != schema.Corrupt || !strings.Contains(err.Error(), filepath.Base(files[2])) {
		t.Errorf("a missing segment: %v", err)
	}
}

// fails waits for a job to fail.
func fails(t *testing.T, s *replay.Service, id string) *answer.ReplayJob {
	t.Helper()
	for range 1000 {
		job, err := s.Get(t.Context(), everybody, id)
		must(t, err)
		if job.State == answer.JobFailed {
			return job
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the replay did not fail")
	return nil
}

// TestReceiptTells: what is read back is not what was planned.
func TestReceiptTells(t *testing.T) {
	for name, read := range map[string]func(*schema.Record) bool{
		"changed": func(r *schema.Record) bool { r.Value = append(r.Value, 'x'); return true },
		"null":    func(r *schema.Record) bool { r.Headers = append(r.Headers, schema.Header{Name: "h"}); return true },
		"missing": func(*schema.Record) bool { return false },
		"time":    func(r *schema.Record) bool { r.Timestamp++; return true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.topic(t, "orders", 1, 40, 100)
			s := r.service(t, nil, watched{Brokers: r.cluster, read: func(_ schema.Stream, record *schema.Record) bool {
				return record.Offset != 20 || read(record)
			}}, nil)
			plan := planned(t, s, "orders")
			work(t, s)
			job := fails(t, s, plan.ID)
			if job.Receipt == nil || job.Receipt.Matches || job.Receipt.Partitions[0].Difference == "" {
				t.Fatalf("%q, receipt %+v", job.Error, job.Receipt)
			}
		})
	}
}

// TestForeignWriters: others write into the target at the same time; the
// job's own records are compared, and the receipt says that they are not alone.
func TestForeignWriters(t *testing.T) {
	r := newRig(t)
	r.topic(t, "orders", 1, 200, 100)
	_, err := r.cluster.CreateTopic(t.Context(), "shared", 2, nil)
	must(t, err)
	client := embeddedtest.KafkaClient(t, r.broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	foreign := func() {
		for partition := range int32(2) {
			must(t, client.ProduceSync(context.Background(), &kgo.Record{Topic: "shared", Partition: partition, Value: []byte("foreign")}).FirstErr())
		}
	}
	foreign()
	var once sync.Once
	s := r.service(t, nil, watched{Brokers: r.cluster, commit: func(context.Context) { once.Do(foreign) }}, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{
		Topics: []string{"orders"}, TargetTopics: map[string]string{"orders": "shared"}, AllowExisting: true,
	})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	work(t, s)
	receipt := until(t, s, plan.ID, answer.JobDone).Receipt
	if !receipt.Matches || receipt.Exclusive || len(receipt.Notes) != 2 || receipt.Partitions[0].Foreign != 1 || receipt.Partitions[0].From != 1 {
		t.Fatalf("%+v", receipt)
	}
}

// known is a trace index of the test's own.
type known []answer.Hop

func (k known) Traced(_ context.Context, _ policy.Principal, traceIDs []string) (found []answer.Traced, _ error) {
	for _, id := range traceIDs {
		one := answer.Traced{TraceID: id, Truncated: len(k) > answer.MaxTraceHops}
		for _, hop := range k[:min(answer.MaxTraceHops, len(k))] {
			one.Records = append(one.Records, hop.Hit)
		}
		found = append(found, one)
	}
	return found, nil
}

// hopOf is a sealed record as a trace names it.
func hopOf(record *schema.Record) answer.Hop {
	return answer.Hop{Hit: answer.Hit{
		Topic: record.Topic, TopicID: record.TopicID, Partition: record.Partition, Branch: record.Branch, Offset: record.Offset,
		Status: schema.Committed, Sealed: true,
	}}
}

// TestTrace replays single records of two topics, with provenance.
func TestTrace(t *testing.T) {
	r := newRig(t)
	orders, rates := r.topic(t, "orders", 3, 300, 100), r.topic(t, "rates", 1, 50, 1000)
	at := func(records []schema.Record, offset int) answer.Hop { return hopOf(&records[offset]) }
	trace := known{at(orders[2], 250), at(orders[0], 0), at(rates[0], 7), at(orders[2], 8), at(orders[2], 251)}
	s := r.service(t, nil, nil, trace)
	work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "x", ProvenanceHeaders: true, TargetPrefix: "t."})
	must(t, err)
	if plan.Records != 5 || plan.Segments != 4 || plan.Topics[0].Partitions != 3 {
		t.Fatalf("%+v", plan)
	}
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	marked := func(records []schema.Record, offsets ...string) []schema.Record {
		var want []schema.Record
		for _, record := range records {
			for _, offset := range offsets {
				if number := string(record.Key[min(1, len(record.Key)):]); number == offset {
					record.Headers = append(append([]schema.Header{}, record.Headers...),
						schema.Header{Name: extract.HeaderReplayID, Value: []byte(plan.ID)},
						schema.Header{Name: extract.HeaderSourceTopic, Value: []byte(record.Topic)},
						schema.Header{Name: extract.HeaderSourceTopicID, Value: []byte(record.TopicID.String())},
						schema.Header{Name: extract.HeaderSourcePartition, Value: []byte{'0' + byte(record.Partition)}},
						schema.Header{Name: extract.HeaderSourceOffset, Value: []byte(offset)})
					want = append(want, record)
				}
			}
		}
		return want
	}
	same(t, "orders/2", r.target(t, "t.orders", 2), marked(orders[2], "8", "250", "251"))
	same(t, "orders/1", r.target(t, "t.orders", 1), nil)
	same(t, "orders/0", r.target(t, "t.orders", 0), marked(orders[0], "0"))
	same(t, "rates/0", r.target(t, "t.rates", 0), marked(rates[0], "7"))

	trace[1].Sealed = false
	if _, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "x"}); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "1 records") {
		t.Errorf("a fresh record: %v", err)
	}
	trace[1].Sealed, trace[1].Offset = true, 5000
	if _, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "x"}); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a record that the ledger does not have: %v", err)
	}
}

// TestAnyRecord replays records as they may come: any bytes, any headers, any
// times, in any order.
func TestAnyRecord(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) []byte {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			return nil
		}
		return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")...)
	})
	one := rapid.Custom(func(t *rapid.T) schema.Record {
		r := schema.Record{
			Key: value.Draw(t, "key"), Value: value.Draw(t, "value"), LeaderEpoch: 1, ProducerID: -1, ProducerEpoch: -1,
			Timestamp: rapid.Int64Range(-1, 9_000_000_000_000).Draw(t, "time"), Status: schema.Committed,
			TimestampType: rapid.SampledFrom([]schema.TimestampType{schema.CreateTime, schema.LogAppendTime}).Draw(t, "type"),
		}
		for range rapid.SampledFrom([]int{0, 0, 1, 3, 40}).Draw(t, "headers") {
			r.Headers = append(r.Headers, schema.Header{
				Name: string(rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "name")), Value: value.Draw(t, "header"),
			})
		}
		return r
	})
	r := newRig(t)
	stream := schema.Stream{Cluster: "c", Topic: "any", TopicID: schema.TopicID{7}}
	var records []schema.Record
	seed := int(time.Now().UnixNano() & 0xffffff)
	t.Logf("seed %d", seed)
	for i := range 1500 {
		record := one.Example(seed + i)
		record.Topic, record.TopicID, record.Offset = stream.Topic, stream.TopicID, int64(i*(1+i%2))
		if n := len(records); n > 0 {
			record.Offset = records[n-1].Offset + 1 + int64(i%3)
		}
		records = append(records, record)
	}
	r.put(t, stream, records)
	s := r.service(t, func(o *replay.Options) { o.Batch = 64 << 10 }, nil, nil)
	plan := planned(t, s, "any")
	work(t, s)
	until(t, s, plan.ID, answer.JobDone)
	same(t, "any", r.target(t, plan.Topics[0].Target, 0), records)
}
