package kafka_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
)

// fromStart owns partitions and reads all of each.
type fromStart struct{}

func (fromStart) Assigned(_ context.Context, partitions []kafka.TopicPartition) (map[kafka.TopicPartition]kafka.Start, error) {
	at := map[kafka.TopicPartition]kafka.Start{}
	for _, p := range partitions {
		at[p] = kafka.Start{LeaderEpoch: -1}
	}
	return at, nil
}

func (fromStart) Revoked(context.Context, []kafka.TopicPartition) {}

func (fromStart) Lost(context.Context, []kafka.TopicPartition) {}

// A seek to where the client is already drops what it has fetched there: a
// partition that brings nothing, or what should not be there, is begun anew by it.
func TestSeekToTheSamePlace(t *testing.T) {
	k, _, _ := history(t)
	client := embeddedtest.KafkaClient(t, k, kgo.DefaultProduceTopic("log"))
	consumer, err := kafka.NewConsumer(kafka.Options{
		Brokers: []string{k.Addr()}, ClientID: "test",
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: k.User(), Password: k.Password()},
	}, kafka.ConsumerOptions{Group: "g"}, fromStart{})
	must(t, err)
	t.Cleanup(func() { consumer.Allow(); consumer.Close() })
	consumer.Add("log")
	poll := func(within time.Duration) (batches []kafka.Batch) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		consumer.Allow()
		batches, err := consumer.Poll(ctx, 100)
		must(t, err)
		return batches
	}
	read := int64(0)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		for _, b := range poll(100 * time.Millisecond) {
			read += int64(len(b.Records))
		}
		if read < 10 {
			return errors.New("not all is read")
		}
		return nil
	})
	log := kafka.TopicPartition{Topic: "log"}
	end := map[kafka.TopicPartition]kafka.Start{log: {Offset: 10, LeaderEpoch: -1}}
	other := kafka.TopicPartition{Topic: "other"}
	if unread := consumer.Seek(map[kafka.TopicPartition]kafka.Start{log: end[log], other: {}}); len(unread) != 1 || unread[0] != other {
		t.Errorf("%v are not read, %v is the one that is not", unread, other)
	}
	must(t, client.ProduceSync(t.Context(), &kgo.Record{Value: []byte("fetched, and not polled")}).FirstErr())
	time.Sleep(500 * time.Millisecond) // it is in the client
	must(t, client.ProduceSync(t.Context(), &kgo.Record{Value: []byte("behind it")}).FirstErr())
	before := kadm.Offsets{}
	before.AddOffset("log", 0, 11, -1)
	_, err = kadm.NewClient(client).DeleteRecords(t.Context(), before)
	must(t, err)
	consumer.Seek(end)
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		for _, b := range poll(100 * time.Millisecond) {
			for i := range b.Records {
				if b.Records[i].Offset == 10 {
					t.Fatal("offset 10 comes, which was deleted before the last seek")
				}
			}
			if errors.Is(b.Err, kerr.OffsetOutOfRange) || errors.Is(b.Err, kafka.ErrOffsetOutOfRange) {
				return nil
			}
		}
		return errors.New("nothing says that offset 10 is not there")
	})
}
