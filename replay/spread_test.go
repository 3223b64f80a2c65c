package replay_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// keyed is a topic whose keys come again, in all of its partitions.
func (r *rig) keyed(t *testing.T, topic string, partitions int32, n int) map[int32][]schema.Record {
	t.Helper()
	all := map[int32][]schema.Record{}
	for partition := range partitions {
		s := schema.Stream{Cluster: "source", Topic: topic, TopicID: schema.TopicID{9, topic[0]}, Partition: partition}
		for i := range n {
			record := awkward(s, i)
			if record.Status == schema.Committed && record.Key != nil {
				record.Key = fmt.Append(nil, "k", i%13)
			}
			all[partition] = append(all[partition], record)
		}
		replaytest.Archive(t, r.store, s, all[partition], 70)
	}
	return all
}

// goes is the naive reading of where a record goes.
func goes(q *answer.ReplayRequest, r *schema.Record, partitions int32) int32 {
	n := q.TargetPartitions
	if n == 0 {
		n = partitions
	}
	if q.Partitioning == answer.PartitionByKey && r.Key != nil {
		return kafka.KeyPartition(r.Key, n)
	}
	return r.Partition % n
}

// isSpread fails unless a target has every committed record once, in the partition
// where it belongs, those of one source partition in its order.
func (r *rig) isSpread(t *testing.T, q *answer.ReplayRequest, target string, source map[int32][]schema.Record) {
	t.Helper()
	n := q.TargetPartitions
	if n == 0 {
		n = int32(len(source))
	}
	type pair struct{ from, to int32 }
	want, got := map[pair][]schema.Record{}, map[pair][]schema.Record{}
	for partition, records := range source {
		for _, record := range committed(records, 0, 1<<62) {
			at := pair{partition, goes(q, &record, int32(len(source)))}
			want[at] = append(want[at], record)
		}
	}
	for partition := range n {
		for _, record := range r.target(t, target, partition) {
			at := len(record.Headers) - 5
			if at < 0 || record.Headers[at].Name != extract.HeaderReplayID {
				t.Fatalf("%s/%d offset %d does not name its original", target, partition, record.Offset)
			}
			from, err := strconv.Atoi(string(record.Headers[at+3].Value))
			must(t, err)
			record.Headers = record.Headers[:at]
			got[pair{int32(from), partition}] = append(got[pair{int32(from), partition}], record)
		}
	}
	for at := range got {
		if want[at] == nil {
			t.Errorf("%d records of %d are in %d", len(got[at]), at.from, at.to)
		}
	}
	for at := range want {
		same(t, fmt.Sprintf("from %d to %d", at.from, at.to), got[at], want[at])
	}
}

// A replay may choose other partitions: each record is once in the one where it
// belongs, in its source's order, whenever workers are stopped and however many there
// are; the receipt says so and the offset map leads there and back.
func TestOtherPartitions(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]answer.ReplayRequest{
		"by key":               {Partitioning: answer.PartitionByKey},
		"by key, more":         {Partitioning: answer.PartitionByKey, TargetPartitions: 7},
		"by key, one":          {Partitioning: answer.PartitionByKey, TargetPartitions: 1},
		"fewer":                {TargetPartitions: 2},
		"more than the source": {TargetPartitions: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			source := r.keyed(t, "orders", 3, 200)
			q.Topics, q.TargetPrefix = []string{"orders"}, "n."
			plan, err := r.service(t, nil, nil, nil).Plan(t.Context(), everybody, q)
			must(t, err)
			if want := max(q.TargetPartitions, 3); q.TargetPartitions > 0 && q.TargetPartitions != int32(plan.Topics[0].Partitions) || q.TargetPartitions == 0 && plan.Topics[0].Partitions != int(want) {
				t.Errorf("%+v", plan.Topics)
			}
			if !says(plan.Warnings, "headers that name the original record are added") || !plan.Request.ProvenanceHeaders {
				t.Errorf("%v", plan.Warnings)
			}
			r.stopOften(t, plan.ID)
			job := until(t, r.service(t, nil, nil, nil), plan.ID, answer.JobDone)
			if !job.Receipt.Matches || !job.Receipt.Exclusive || job.Receipt.ReadBack != plan.Records {
				t.Fatalf("%+v", job.Receipt)
			}
			r.isSpread(t, &q, "n.orders", source)
			r.isMapped(t, &q, plan.ID, source)
		})
	}
}

// stopOften runs a plan with workers that are stopped in the midst of it, two at a
// time, until it is done.
func (r *rig) stopOften(t *testing.T, id string) {
	t.Helper()
	_, err := r.service(t, nil, nil, nil).Run(t.Context(), everybody, id, nil)
	must(t, err)
	for range 40 {
		var commits atomic.Int64
		enough := make(chan struct{})
		watch := watched{Brokers: r.cluster, commit: func(context.Context) {
			if commits.Add(1) == 4 {
				close(enough)
			}
		}}
		one, other := r.service(t, nil, watch, nil), r.service(t, func(o *replay.Options) { o.Worker = "other" }, watch, nil)
		stopOne, stopOther := work(t, one), work(t, other)
		select {
		case <-enough:
		case <-time.After(5 * time.Second): // it is over, or the machine is slow
		}
		stopOne()
		stopOther()
		if job, err := one.Get(t.Context(), everybody, id); err != nil || job.State == answer.JobDone {
			must(t, err)
			return
		}
	}
	t.Fatal("it does not end")
}

// isMapped follows the offset map of each source record there and back.
func (r *rig) isMapped(t *testing.T, q *answer.ReplayRequest, id string, source map[int32][]schema.Record) {
	t.Helper()
	s := r.service(t, nil, nil, nil)
	for partition, records := range source {
		for i := range committed(records, 0, 1<<62) {
			if i%17 != 0 {
				continue
			}
			record := committed(records, 0, 1<<62)[i]
			pair, err := s.MapOffset(t.Context(), everybody, id, answer.OffsetQuery{Topic: "orders", Partition: partition, Source: &record.Offset})
			must(t, err)
			if pair.TargetPartition != goes(q, &record, int32(len(source))) {
				t.Fatalf("%+v", pair)
			}
			back, err := s.MapOffset(t.Context(), everybody, id, answer.OffsetQuery{Topic: "n.orders", Partition: pair.TargetPartition, Target: &pair.TargetOffset})
			if err != nil || *back != *pair {
				t.Fatalf("%+v, and back %+v, %v", pair, back, err)
			}
		}
	}
}

// skewed is a cluster whose producer does something else with one record.
type skewed struct {
	replay.Brokers
	at  int
	how string
}

func (s skewed) Producer(o kafka.ProducerOptions) (replay.Producer, error) {
	p, err := s.Brokers.Producer(o)
	return &skewedProducer{Producer: p, skewed: s}, err
}

type skewedProducer struct {
	replay.Producer
	skewed
	n int
}

func (p *skewedProducer) Produce(ctx context.Context, topic string, partition int32, r *schema.Record, acked func()) {
	if topic == positions {
		p.Producer.Produce(ctx, topic, partition, r, acked)
		return
	}
	if p.n++; p.n == p.at {
		switch p.how {
		case "lost":
			return
		case "twice":
			p.Producer.Produce(ctx, topic, partition, r, nil)
		case "elsewhere":
			partition = (partition + 1) % 3
		case "changed":
			other := *r
			other.Value = []byte("x")
			r = &other
		}
	}
	p.Producer.Produce(ctx, topic, partition, r, acked)
}

// The receipt of other partitions finds what is not as planned.
func TestReceiptOfOtherPartitionsTells(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"lost", "twice", "elsewhere", "changed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.keyed(t, "orders", 3, 60)
			s := r.service(t, nil, skewed{Brokers: r.cluster, at: 50, how: how}, nil)
			work(t, s)
			plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, Partitioning: answer.PartitionByKey})
			must(t, err)
			_, err = s.Run(t.Context(), everybody, plan.ID, nil)
			must(t, err)
			isTold(t, s, plan.ID)
		})
	}
}

// TestOthersBesideAReplayByKey: a partition into which a record could have gone, and
// none did, is not the replay's alone when others write there.
func TestOthersBesideAReplayByKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.keyed(t, "orders", 2, 200)
	s := r.service(t, nil, nil, nil)
	q := answer.ReplayRequest{Topics: []string{"orders"}, Keys: [][]byte{[]byte("k3")}, Partitioning: answer.PartitionByKey, TargetPartitions: 4, TargetPrefix: "n."}
	plan, err := s.Plan(t.Context(), everybody, q)
	must(t, err)
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 5})
	must(t, err)
	for produced := int64(0); produced == 0; time.Sleep(20 * time.Millisecond) {
		job, err := s.Get(t.Context(), everybody, plan.ID)
		must(t, err)
		produced = job.Produced
	}
	own := goes(&q, &schema.Record{Key: []byte("k3")}, 2)
	client := embeddedtest.KafkaClient(t, r.broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for partition := range int32(4) {
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "n.orders", Partition: partition, Value: []byte("another's")}).FirstErr())
	}
	_, err = s.SetPace(t.Context(), everybody, plan.ID, answer.ReplayPace{Mode: answer.PaceFast})
	must(t, err)
	receipt := until(t, s, plan.ID, answer.JobDone).Receipt
	if !receipt.Matches || receipt.Exclusive || len(receipt.Notes) != 4 {
		t.Errorf("exclusive %v, %q, of own partition %d", receipt.Exclusive, receipt.Notes, own)
	}
	for partition := range int32(4) {
		if !says(receipt.Notes, fmt.Sprintf("1 records of other producers stand in n.orders/%d ", partition)) {
			t.Errorf("no note of partition %d: %q", partition, receipt.Notes)
		}
	}
}

// isTold waits for a receipt, which must not match.
func isTold(t *testing.T, s *replay.Service, id string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		job, err := s.Get(t.Context(), everybody, id)
		must(t, err)
		if job.State == answer.JobFailed {
			if job.Receipt == nil || job.Receipt.Matches {
				t.Fatalf("%+v", job)
			}
			return
		}
		if job.State == answer.JobDone || time.Now().After(deadline) {
			t.Fatalf("%s: %+v", job.State, job.Receipt)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Timestamps are shifted, or those of producing; a target that stamps by itself takes
// only these.
func TestOtherTimestamps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	source := r.topic(t, "orders", 2, 80, 50)
	s := r.service(t, nil, nil, nil)
	work(t, s)
	run := func(q answer.ReplayRequest) *answer.ReplayPlan {
		t.Helper()
		q.Topics = []string{"orders"}
		plan, err := s.Plan(t.Context(), everybody, q)
		must(t, err)
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches {
			t.Fatalf("%+v", job.Receipt)
		}
		return plan
	}
	shifted := run(answer.ReplayRequest{Timestamps: answer.TimestampsShift, ShiftMillis: -86_400_123})
	before := time.Now().UnixMilli()
	now := run(answer.ReplayRequest{Timestamps: answer.TimestampsNow})
	_, err := r.cluster.CreateTopic(t.Context(), "stamps", 2, map[string]string{"message.timestamp.type": "LogAppendTime"})
	must(t, err)
	stamps := answer.ReplayRequest{TargetTopics: map[string]string{"orders": "stamps"}, AllowExisting: true, Timestamps: answer.TimestampsNow}
	if plan := run(stamps); !says(plan.Warnings, "stamps", "LogAppendTime") {
		t.Errorf("%v", plan.Warnings)
	}
	stamps.Timestamps, stamps.Topics = "", []string{"orders"}
	if _, err := s.Plan(t.Context(), everybody, stamps); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "LogAppendTime") {
		t.Errorf("kept, into LogAppendTime: %v", err)
	}
	for partition, records := range source {
		want := committed(records, 0, 1<<62)
		for i := range want {
			want[i].Timestamp -= 86_400_123
		}
		same(t, "shifted", r.target(t, shifted.Topics[0].Target, partition), want)
		got := r.target(t, now.Topics[0].Target, partition)
		for i := range got {
			if got[i].Timestamp < before || got[i].Timestamp > time.Now().UnixMilli() {
				t.Fatalf("offset %d is of %d", got[i].Offset, got[i].Timestamp)
			}
			got[i].Timestamp = want[i].Timestamp
		}
		same(t, "now", got, want)
	}
}

func TestOtherPartitionsAndTimestampsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 3, 20, 100)
	_, err := r.cluster.CreateTopic(t.Context(), "four", 4, nil)
	must(t, err)
	s := r.service(t, nil, nil, nil)
	four := map[string]string{"orders": "four"}
	for name, c := range map[string]struct {
		request answer.ReplayRequest
		kind    schema.Kind
		says    string
	}{
		"no partitioning":    {answer.ReplayRequest{Partitioning: "round"}, schema.Invalid, "none of source, key"},
		"negative":           {answer.ReplayRequest{TargetPartitions: -1}, schema.Invalid, "want 1 to"},
		"more than a target": {answer.ReplayRequest{TargetPartitions: 5, TargetTopics: four, AllowExisting: true}, schema.Conflict, "four has 4 partitions, the replay writes to 5"},
		"among fewer by key": {answer.ReplayRequest{Partitioning: answer.PartitionByKey, TargetTopics: four, AllowExisting: true}, schema.Conflict, "among all of them by key"},
		"no timestamps":      {answer.ReplayRequest{Timestamps: "then"}, schema.Invalid, "none of keep, now, shift"},
		"no shift":           {answer.ReplayRequest{Timestamps: answer.TimestampsShift}, schema.Invalid, "go together"},
		"shift alone":        {answer.ReplayRequest{ShiftMillis: 5}, schema.Invalid, "go together"},
		"far":                {answer.ReplayRequest{Timestamps: answer.TimestampsShift, ShiftMillis: 1 << 43}, schema.Invalid, "a hundred years"},
	} {
		c.request.Topics = []string{"orders"}
		if _, err := s.Plan(t.Context(), everybody, c.request); schema.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
