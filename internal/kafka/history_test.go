package kafka_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// history starts a broker with ten records, the last five of leader epoch 1.
func history(t *testing.T) (*embedded.Kafka, *kafka.Admin, schema.Stream) {
	t.Helper()
	k := embeddedtest.MemoryKafka(t)
	admin, err := kafka.NewAdmin(kafka.Options{
		Brokers: []string{k.Addr()}, ClientID: "test",
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: k.User(), Password: k.Password()},
	})
	must(t, err)
	t.Cleanup(admin.Close)
	id, err := admin.CreateTopic(t.Context(), "log", 1, nil)
	must(t, err)
	client := embeddedtest.KafkaClient(t, k, kgo.DefaultProduceTopic("log"))
	for i := range 10 {
		if i == 5 {
			must(t, k.Cluster().MoveTopicPartition("log", 0, k.Cluster().LeaderFor("log", 0)))
		}
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Key: []byte{byte(i)}, Headers: []kgo.RecordHeader{{Key: "h"}}}).FirstErr())
	}
	return k, admin, schema.Stream{Topic: "log", TopicID: id}
}

func TestWhereALeaderEpochEnds(t *testing.T) {
	_, admin, s := history(t)
	leader, err := admin.Leader(t.Context(), s.Topic, 0)
	must(t, err)
	if leader.TopicID != s.TopicID || leader.Epoch != 1 {
		t.Fatalf("leader %+v", leader)
	}
	for epoch, want := range map[int32]kafka.EpochEnd{0: {Epoch: 0, End: 5}, 1: {Epoch: 1, End: 10}, 7: {Epoch: -1, End: -1}} {
		got, err := admin.EpochEnd(t.Context(), s.Topic, 0, leader, epoch)
		must(t, err)
		if got != want || got.Known() != (epoch < 2) {
			t.Errorf("epoch %d: %+v, want %+v", epoch, got, want)
		}
	}
	leader.Epoch = 0 // another has been elected since
	if _, err := admin.EpochEnd(t.Context(), s.Topic, 0, leader, 0); schema.KindOf(err) != schema.Unavailable {
		t.Errorf("an answer to a question about a past leader: %v", err)
	}
	if _, err := admin.Page(t.Context(), s, leader, 0, 1000); schema.KindOf(err) != schema.Unavailable {
		t.Errorf("a page of a past leader: %v", err)
	}
	if _, err := admin.Leader(t.Context(), "nowhere", 0); schema.KindOf(err) != schema.Unavailable {
		t.Errorf("the leader of no topic: %v", err)
	}
}

func TestPage(t *testing.T) {
	k, admin, s := history(t)
	leader, err := admin.Leader(t.Context(), s.Topic, 0)
	must(t, err)
	page, err := admin.Page(t.Context(), s, leader, 4, 1<<20)
	must(t, err)
	if len(page.Records) != 6 || page.HighWatermark != 10 || page.LogStart != 0 {
		t.Fatalf("%d records, bounds %d–%d", len(page.Records), page.LogStart, page.HighWatermark)
	}
	if r := page.Records[1]; r.Offset != 5 || r.LeaderEpoch != 1 || r.Key[0] != 5 || r.TopicID != s.TopicID || len(r.Headers) != 1 {
		t.Errorf("%+v", r)
	}
	if page, err = admin.Page(t.Context(), s, leader, 4, 1); err != nil || len(page.Records) != 1 {
		t.Errorf("at least the first batch, no more: %d records, %v", len(page.Records), err)
	}
	if page, err = admin.Page(t.Context(), s, leader, 10, 1); err != nil || len(page.Records) != 0 {
		t.Errorf("the log's end: %d records, %v", len(page.Records), err)
	}
	if _, err = admin.Page(t.Context(), s, leader, 11, 1); !errors.Is(err, kafka.ErrOffsetOutOfRange) {
		t.Errorf("behind the log's end: %v", err)
	}
	other := s
	other.TopicID[0]++
	if _, err = admin.Page(t.Context(), other, leader, 4, 1); !errors.Is(err, kafka.ErrTopicGone) || schema.KindOf(err) != schema.NotFound {
		t.Errorf("another incarnation: %v", err)
	}
	k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed})
	if _, err = admin.Page(t.Context(), s, leader, 4, 1); schema.KindOf(err) != schema.Permission {
		t.Errorf("without the right to read: %v", err)
	}
}
