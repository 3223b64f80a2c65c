package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// topicsByID is from which version on brokers take a metadata request that names
// topics by their IDs (KIP-516).
const topicsByID = 12

// Gone tells whether a topic was deleted. True is certain as far as the cluster's
// own word goes: each broker that it lists was asked, and each says that it knows
// no topic of that ID. (What a principal may not Describe is refused, and there.)
// A broker too old to be asked by ID says of the name that no topic, or one of
// another ID, has it. False: some broker has it. Unavailable when a broker gives no
// answer, or another one.
func (a *Admin) Gone(ctx context.Context, name string, id schema.TopicID) (bool, error) {
	doing := fmt.Sprintf("ask whether topic %s (%s) was deleted", name, id)
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // none: the brokers alone
	cluster, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return false, unavailable(doing, err)
	}
	if len(cluster.Brokers) == 0 {
		return false, schema.Errorf(schema.Unavailable, "%s: the cluster lists no broker", doing)
	}
	for _, broker := range cluster.Brokers {
		gone, err := a.goneAt(ctx, broker.NodeID, name, id)
		if err != nil {
			return false, schema.Errorf(schema.Unavailable, "%s: broker %d: %w", doing, broker.NodeID, err)
		}
		if !gone {
			return false, nil
		}
	}
	return true, nil
}

func (a *Admin) goneAt(ctx context.Context, node int32, name string, id schema.TopicID) (bool, error) {
	byID := kmsg.NewMetadataRequestTopic()
	byID.TopicID = [16]byte(id)
	answer, err := a.describeAt(ctx, node, byID)
	if err != nil {
		return false, err
	}
	if answer.Version >= topicsByID {
		return saysGone(answer, id)
	}
	byName := kmsg.NewMetadataRequestTopic()
	byName.Topic = &name
	if answer, err = a.describeAt(ctx, node, byName); err != nil {
		return false, err
	}
	return saysGone(answer, id)
}

func (a *Admin) describeAt(ctx context.Context, node int32, topics ...kmsg.MetadataRequestTopic) (*kmsg.MetadataResponse, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics, request.AllowAutoTopicCreation = topics, false
	answer, err := a.client.Broker(int(node)).RetriableRequest(ctx, request)
	if err != nil {
		return nil, err
	}
	response, ok := answer.(*kmsg.MetadataResponse)
	if !ok {
		return nil, errors.New("the answer is about something else")
	}
	return response, nil
}

// saysGone reads one broker's answer about one topic.
func saysGone(answer *kmsg.MetadataResponse, id schema.TopicID) (bool, error) {
	if len(answer.Topics) != 1 {
		return false, errors.New("the answer is not about one topic")
	}
	t := &answer.Topics[0]
	switch err := kerr.ErrorForCode(t.ErrorCode); {
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		return true, nil
	case err == nil && schema.TopicID(t.TopicID).IsZero():
		return false, errors.New("the broker reports no topic ID")
	case err == nil:
		return schema.TopicID(t.TopicID) != id, nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), schema.TopicID(t.TopicID) == id:
		return false, nil // it is there
	default:
		return false, err
	}
}
