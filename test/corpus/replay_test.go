package corpus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/verify"
)

// checkReplay replays every family into a topic of its own, and reads that as any consumer
// does: what went through archive and replay is what was produced.
func checkReplay(t *testing.T, r *rig, all []*sent) {
	t.Helper()
	cluster, err := replay.Connect(r.kafka())
	must(t, err)
	t.Cleanup(cluster.Close)
	service, err := replay.New(replay.Options{PositionTopic: "__annals_replay_positions", Worker: "test", Logger: r.log}, cluster, r.store, r.book, nil)
	must(t, err)
	request := answer.ReplayRequest{TargetTopics: map[string]string{}}
	for _, f := range all {
		request.Topics = append(request.Topics, f.stream.Topic)
		request.TargetTopics[f.stream.Topic] = "replayed." + f.family
	}
	plan, err := service.Plan(t.Context(), policy.Everything(), request)
	must(t, err)
	_, err = service.Run(t.Context(), policy.Everything(), plan.ID, nil)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Work(ctx) }()
	defer func() { stop(); must(t, <-done) }()
	embeddedtest.Eventually(t, time.Minute, func() error {
		job, err := service.Get(t.Context(), policy.Everything(), plan.ID)
		if err == nil && (job.State != answer.JobDone || !job.Receipt.Matches || !job.Receipt.Exclusive) {
			err = fmt.Errorf("the replay is %s, %d of %d: %s", job.State, job.Produced, job.Planned, job.Error)
		}
		return err
	})
	for _, f := range all {
		got := consume(t, r, "replayed."+f.family, len(f.records))
		for i, want := range f.records {
			if how := differ(got[i], want); how != "" {
				t.Errorf("%s, %s: replayed otherwise: %s", f.family, f.cases[i].Name, how)
			}
		}
	}
}

// consume reads so many committed records of a topic's one partition.
func consume(t *testing.T, r *rig, topic string, n int) []*kgo.Record {
	t.Helper()
	client := embeddedtest.KafkaClient(t, r.broker, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []*kgo.Record
	for len(got) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%s: %d records of %d: %v", topic, len(got), n, err)
		}
		got = append(got, fetches.Records()...)
	}
	if len(got) > n {
		t.Fatalf("%s has %d records, want %d", topic, len(got), n)
	}
	return got
}

// differ says what of a record is not as it was produced.
func differ(got *kgo.Record, want *schema.Record) string {
	switch {
	case !verify.Identical(got.Key, want.Key):
		return fmt.Sprintf("key %.60q", got.Key)
	case !verify.Identical(got.Value, want.Value):
		return fmt.Sprintf("value %.60q", got.Value)
	case got.Timestamp.UnixMilli() != want.Timestamp:
		return fmt.Sprintf("time %d, want %d", got.Timestamp.UnixMilli(), want.Timestamp)
	case len(got.Headers) != len(want.Headers):
		return fmt.Sprintf("%d headers, want %d", len(got.Headers), len(want.Headers))
	}
	for i, h := range got.Headers {
		if h.Key != want.Headers[i].Name || !verify.Identical(h.Value, want.Headers[i].Value) {
			return fmt.Sprintf("header %d is %.60q=%.60q", i, h.Key, h.Value)
		}
	}
	return ""
}
