package kafka_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/kafka"
)

// A leader that answers where its log starts, and then not where it ends, has not
// said that it ends at 0: taken for an answer, that is a log that was cut off.
func TestBoundsThatWereNotAnsweredAreNone(t *testing.T) {
	for name, answer := range map[string]func(*kmsg.ListOffsetsRequest) (kmsg.Response, error){
		"the connection breaks": func(*kmsg.ListOffsetsRequest) (kmsg.Response, error) { return nil, errors.New("broken") },
		"an error for the partition": func(request *kmsg.ListOffsetsRequest) (kmsg.Response, error) {
			response := request.ResponseKind().(*kmsg.ListOffsetsResponse)
			for _, topic := range request.Topics {
				of := kmsg.NewListOffsetsResponseTopic()
				of.Topic = topic.Topic
				for _, p := range topic.Partitions {
					one := kmsg.NewListOffsetsResponseTopicPartition()
					one.Partition, one.ErrorCode = p.Partition, kerr.LeaderNotAvailable.Code
					of.Partitions = append(of.Partitions, one)
				}
				response.Topics = append(response.Topics, of)
			}
			return response, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(2, "orders"))
			must(t, err)
			t.Cleanup(cluster.Close)
			must(t, cluster.MoveTopicPartition("orders", 0, 0))
			must(t, cluster.MoveTopicPartition("orders", 1, 1))
			options := kafka.Options{Brokers: cluster.ListenAddrs(), ClientID: "test"}
			client, err := kgo.NewClient(kgo.SeedBrokers(options.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			must(t, err)
			defer client.Close()
			must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("v")}, &kgo.Record{Topic: "orders", Partition: 1}).FirstErr())
			cluster.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				asked := request.(*kmsg.ListOffsetsRequest)
				end := func(p kmsg.ListOffsetsRequestTopicPartition) bool { return p.Partition == 0 && p.Timestamp == -1 }
				if asked.IsolationLevel != 0 || !slices.ContainsFunc(asked.Topics, func(t kmsg.ListOffsetsRequestTopic) bool { return slices.ContainsFunc(t.Partitions, end) }) {
					return nil, nil, false
				}
				response, err := answer(asked)
				return response, err, true
			})
			admin, err := kafka.NewAdmin(options)
			must(t, err)
			defer admin.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			bounds, err := admin.Offsets(ctx, "orders")
			must(t, err)
			if o := bounds["orders"][1]; o.HighWatermark != 1 || o.LastStable != 1 || o.Err != nil {
				t.Errorf("of the other partition: %+v", o)
			}
			if o := bounds["orders"][0]; o.Err == nil {
				t.Errorf("without an answer to where it ends: %+v", o)
			}
		})
	}
}
