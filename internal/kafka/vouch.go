package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// Vouched tells of which partitions their leaders say, asked after the call, that
// the topic of that name still has that ID. No other topic gets an ID again, so what
// a partition's leader gave before is of that topic. Leaders are asked themselves:
// whoever serves a topic that was made anew has heard that the one before is gone,
// and another broker may not have. It takes one request to any broker, and one to
// each leader.
func (a *Admin) Vouched(ctx context.Context, of map[TopicPartition]schema.TopicID) (map[TopicPartition]bool, error) {
	const doing = "ask the leaders for topic IDs"
	topics := map[string]bool{}
	for key := range of {
		topics[key.Topic] = true
	}
	request := kmsg.NewPtrMetadataRequest()
	request.Topics, request.AllowAutoTopicCreation = asked(topics), false
	anybody, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return nil, unavailable(doing, err)
	}
	leads := map[int32]map[string]bool{}
	eachPartition(anybody, func(key TopicPartition, _ schema.TopicID, leader int32) {
		if _, is := of[key]; !is || leader < 0 {
			return
		}
		if leads[leader] == nil {
			leads[leader] = map[string]bool{}
		}
		leads[leader][key.Topic] = true
	})
	vouched := make(map[TopicPartition]bool, len(of))
	for node, topics := range leads {
		answer, err := a.describeAt(ctx, node, asked(topics)...)
		if err != nil {
			return nil, unavailable(doing, err)
		}
		eachPartition(answer, func(key TopicPartition, id schema.TopicID, leader int32) {
			if want, is := of[key]; is && leader == node && id == want {
				vouched[key] = true
			}
		})
	}
	return vouched, nil
}

func asked(topics map[string]bool) (list []kmsg.MetadataRequestTopic) {
	for name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		list = append(list, topic)
	}
	return list
}

func eachPartition(answer *kmsg.MetadataResponse, do func(key TopicPartition, id schema.TopicID, leader int32)) {
	for i := range answer.Topics {
		t := &answer.Topics[i]
		if t.Topic == nil || t.ErrorCode != 0 {
			continue
		}
		for _, p := range t.Partitions {
			do(TopicPartition{*t.Topic, p.Partition}, t.TopicID, p.Leader)
		}
	}
}
