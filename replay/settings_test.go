package replay_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestLargeSelections are planned without being read, counted by the ledger
// where a segment is selected as a whole, and replayed all the same.
func TestLargeSelections(t *testing.T) {
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 300, 100)
	s := r.service(t, func(o *replay.Options) { o.Exact = 1 }, nil, nil)
	from := start.Add(150 * time.Second)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: from})
	must(t, err)
	want := committed(archived[0], from.UnixMilli(), 1<<62)
	if plan.Records != int64(len(want)) || plan.Bytes == 0 || plan.Segments != 2 || len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "estimated") {
		t.Errorf("%+v, want %d records", plan, len(want))
	}
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	same(t, "orders", r.target(t, plan.Topics[0].Target, 0), want)
}

// TestTargetIsConfiguredAsItsSource: by the newest configuration that the
// archive has, but for what would lose or change records.
func TestTargetIsConfiguredAsItsSource(t *testing.T) {
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 20, 100)
	id := archived[0][0].TopicID
	for at, compression := range []string{"gzip", "lz4"} {
		raw, err := json.Marshal(map[string]any{"configs": []kafka.ConfigEntry{
			{Key: "compression.type", Value: compression, Dynamic: true},
			{Key: "cleanup.policy", Value: "compact", Dynamic: true},
			{Key: "retention.ms", Value: "1000", Dynamic: true},
			{Key: "message.timestamp.type", Value: "LogAppendTime", Dynamic: true},
			{Key: "some.vendor.setting", Value: "x", Dynamic: true},
			{Key: "segment.ms", Value: "77", Dynamic: false},
			{Key: "max.message.bytes", Value: "100", Dynamic: true}, // smaller than a record alone and uncompressed
		}})
		must(t, err)
		_, err = r.store.PutIfAbsent(t.Context(), schema.TopicConfigKey(id, int64(at)), raw)
		must(t, err)
	}
	s := r.service(t, nil, nil, nil)
	plan := planned(t, s, "orders")
	work(t, s)
	until(t, s, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
	entries, err := r.cluster.Config(t.Context(), plan.Topics[0].Target)
	must(t, err)
	got := map[string]string{}
	for _, e := range entries {
		got[e.Key] = e.Value
	}
	for key, want := range map[string]string{
		"compression.type": "lz4", "cleanup.policy": "delete", "retention.ms": "-1", "message.timestamp.type": "CreateTime", "segment.ms": "604800000",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

// TestPositionTopicThatForgets is not used: a job that outlives its positions
// would begin again.
func TestPositionTopicThatForgets(t *testing.T) {
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	_, err := r.cluster.CreateTopic(t.Context(), positions, 1, map[string]string{"cleanup.policy": "delete"})
	must(t, err)
	s := r.service(t, nil, nil, nil)
	plan := planned(t, s, "orders")
	work(t, s)
	if job := fails(t, s, plan.ID); !strings.Contains(job.Error, "cleanup.policy") || job.Produced != 0 {
		t.Errorf("%+v", job)
	}
}

// TestWaitsForOpenTransactions: somebody else's open transaction hides the
// end of the position topic. The job waits; it does not begin anew.
func TestWaitsForOpenTransactions(t *testing.T) {
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 200, 100)
	stopAt := make(chan struct{})
	first := r.service(t, nil, watched{Brokers: r.cluster, commit: func(context.Context) {
		select {
		case <-stopAt:
		default:
			close(stopAt)
			time.Sleep(30 * time.Millisecond)
		}
	}}, nil)
	plan := planned(t, first, "orders")
	stop := work(t, first)
	<-stopAt
	stop()
	client := embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID("other"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, client.BeginTransaction())
	for partition := range int32(8) {
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: positions, Partition: partition, Value: []byte("open")}).FirstErr())
	}
	second := r.service(t, nil, nil, nil)
	work(t, second)
	time.Sleep(500 * time.Millisecond)
	if job, err := second.Get(t.Context(), everybody, plan.ID); err != nil || job.State != answer.JobRunning {
		t.Errorf("while it must wait: %+v, %v", job, err)
	}
	must(t, client.EndTransaction(t.Context(), kgo.TryAbort))
	until(t, second, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
}

// TestTargetDeletedMeanwhile ends the job rather than filling another topic.
func TestTargetDeletedMeanwhile(t *testing.T) {
	r := newRig(t)
	r.topic(t, "orders", 1, 100, 100)
	var s *replay.Service
	begun := make(chan struct{})
	s = r.service(t, nil, watched{Brokers: r.cluster, commit: func(context.Context) {
		select {
		case <-begun:
		default:
			close(begun)
			time.Sleep(30 * time.Millisecond)
		}
	}}, nil)
	plan := planned(t, s, "orders")
	stop := work(t, s)
	<-begun
	stop()
	client := embeddedtest.KafkaClient(t, r.broker)
	deleteTopic(t, client, plan.Topics[0].Target)
	_, err := r.cluster.CreateTopic(t.Context(), plan.Topics[0].Target, 1, nil)
	must(t, err)
	again := r.service(t, nil, nil, nil)
	work(t, again)
	if job := fails(t, again, plan.ID); !strings.Contains(job.Error, "made again") {
		t.Errorf("%+v", job)
	}
}
