package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// Leader is who leads a partition now, and of which incarnation of the topic
// it is. What is asked of it carries its epoch, so that two answers given the
// same Leader are of one log: a leader does not truncate itself (KIP-320).
type Leader struct {
	TopicID schema.TopicID
	Node    int32
	Epoch   int32
}

// Leader asks for a partition's leader by a request that is sent after the
// call, never from a cache; those who ask at once for partitions of one topic
// share it. Unavailable when there is none, or the partition is not known (yet);
// Permission when the principal may not see the topic.
func (a *Admin) Leader(ctx context.Context, topic string, partition int32) (Leader, error) {
	doing := "ask for the leader of " + named(topic, partition)
	response, err := a.leaders.ask(ctx, topic, func(ctx context.Context) (*kmsg.MetadataResponse, error) {
		request := kmsg.NewPtrMetadataRequest()
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, asked)
		return request.RequestWith(ctx, a.client)
	})
	if err != nil {
		return Leader{}, unavailable(doing, err)
	}
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return Leader{}, historyError(doing, err)
		}
		for _, p := range t.Partitions {
			if p.Partition != partition {
				continue
			}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil && !errors.Is(err, kerr.ReplicaNotAvailable) {
				return Leader{}, historyError(doing, err)
			}
			return Leader{TopicID: t.TopicID, Node: p.Leader, Epoch: p.LeaderEpoch}, nil
		}
	}
	return Leader{}, schema.Errorf(schema.Unavailable, "%s: the partition is not known", doing)
}

// EpochEnd is the leader's answer to where a leader epoch ends: the largest
// epoch it knows that is not above the one asked for, and the offset behind
// its last record. Epoch and End are -1 where the leader does not know.
type EpochEnd struct {
	Epoch int32
	End   int64
}

// Known tells whether the answer says anything.
func (e EpochEnd) Known() bool { return e.Epoch >= 0 && e.End >= 0 }

// EpochEnd asks a partition's leader where an epoch ends (OffsetForLeaderEpoch,
// KIP-101 and KIP-320). The request names the topic, not its ID: compare
// Leader.TopicID. Unavailable when the leadership moved meanwhile.
func (a *Admin) EpochEnd(ctx context.Context, topic string, partition int32, leader Leader, epoch int32) (EpochEnd, error) {
	doing := fmt.Sprintf("ask where leader epoch %d of %s ends", epoch, named(topic, partition))
	request := kmsg.NewPtrOffsetForLeaderEpochRequest()
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, leader.Epoch, epoch
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	answer, err := a.client.Broker(int(leader.Node)).RetriableRequest(ctx, request)
	if err != nil {
		return EpochEnd{}, unavailable(doing, err)
	}
	response, ok := answer.(*kmsg.OffsetForLeaderEpochResponse)
	if !ok || len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return EpochEnd{}, schema.Errorf(schema.Unavailable, "%s: the answer is not about this partition", doing)
	}
	got := response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return EpochEnd{}, historyError(doing, err)
	}
	return EpochEnd{Epoch: got.LeaderEpoch, End: got.EndOffset}, nil
}

// Page is what one fetch brought: whole batches, from the offset asked for on.
type Page struct {
	Records       []schema.Record
	HighWatermark int64
	LogStart      int64
}

// Page reads once, read uncommitted, from an offset on, what stands below the
// high watermark now: at most about most bytes, but the first batch whole. No
// records is an answer. It uses the Admin's own connections and does not wait.
//
// ErrOffsetOutOfRange when the log does not have the offset, ErrTopicGone when
// the leader has another incarnation than the stream's; Unavailable when the
// leadership moved meanwhile; Corrupt when a batch cannot be decoded, with the
// records before it.
func (a *Admin) Page(ctx context.Context, s schema.Stream, leader Leader, from int64, most int32) (Page, error) {
	got, err := a.fetch(ctx, s, leader, from, most)
	if err != nil {
		return Page{}, err
	}
	return decodePage(fmt.Sprintf("read %s at %d", s, from), s, from, got)
}

func decodePage(doing string, s schema.Stream, from int64, got *kmsg.FetchResponseTopicPartition) (Page, error) {
	decoded, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: from, IsolationLevel: kgo.ReadUncommitted(), Topic: s.Topic, Partition: s.Partition,
	}, got, kgo.DefaultDecompressor(), nil)
	page := Page{HighWatermark: got.HighWatermark, LogStart: got.LogStartOffset}
	room, known := headersOf(decoded.Records), names{}
	for _, r := range decoded.Records {
		var record schema.Record
		record, room = convert(r, s.TopicID, known, room)
		page.Records = append(page.Records, record)
	}
	if decoded.Err != nil {
		return page, schema.Errorf(schema.Corrupt, "%s: %w", doing, decoded.Err)
	}
	return page, nil
}

// historyError gives a broker's answer its kind. What a moved leadership, or a
// broker that is behind, causes passes.
func historyError(doing string, err error) error {
	classed := classify(err)
	switch {
	case errors.Is(classed, ErrOffsetOutOfRange):
		return schema.Errorf(schema.NotFound, "%s: %w", doing, classed)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
		return schema.Errorf(schema.NotFound, "%s: %w", doing, classed)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return schema.Errorf(schema.Permission, "%s: %w", doing, err)
	default:
		return schema.Errorf(schema.Unavailable, "%s: %w", doing, classed)
	}
}
