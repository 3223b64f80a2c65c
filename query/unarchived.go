package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// notArchived names the topics that are known not to be archived, and says
// what cannot be known here. topic "" is every topic.
func (e *Engine) notArchived(ctx context.Context, who policy.Principal, topic string) (list []answer.TopicState, notes []string, err error) {
	states, notes, err := e.states(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range states {
		if !s.Archived && who.Topics.Allows(s.Topic) && (topic == "" || s.Topic == topic) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b answer.TopicState) int { return strings.Compare(a.Topic, b.Topic) })
	return list, notes, nil
}

// states are Kafka's topics: as this process's archiver knows them, or else by
// what the brokers tell this process, which says nothing of the archiver's own
// rights.
func (e *Engine) states(ctx context.Context) ([]answer.TopicState, []string, error) {
	if e.options.Archiver != nil {
		listing := e.options.Archiver()
		var notes []string
		if listing.Hidden != "" {
			notes = append(notes, listing.Hidden)
		}
		return listing.Topics, notes, nil
	}
	if e.options.Broker == nil {
		return nil, []string{"this process knows no Kafka: topics that are not archived are unknown here"}, nil
	}
	streams, err := e.allStreams(ctx)
	if err != nil {
		return nil, nil, err
	}
	archived := map[schema.TopicID]bool{}
	for _, s := range streams {
		archived[s.TopicID] = true
	}
	asking, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	cluster, err := e.options.Broker.Cluster(asking)
	if err != nil {
		e.logger.Warn("Kafka does not answer: topics that are not archived are unknown", "err", err)
		return nil, []string{"Kafka does not answer: topics that are not archived are unknown"}, nil
	}
	var states []answer.TopicState
	for _, t := range cluster.Topics {
		states = append(states, answer.TopicState{
			Topic: t.Name, TopicID: t.ID, Archived: archived[t.ID] && !t.ID.IsZero(), Reason: reasonHere(&t),
		})
	}
	return states, []string{
		"this process does not archive: why a topic is not archived, and which topics the archiver may not see, is unknown here; ask the process that archives",
	}, nil
}

// reasonHere is what a process that does not archive can say of a topic without
// a chain.
func reasonHere(t *kafka.Topic) string {
	const unknown = "whether the archiver's user may is unknown here"
	switch {
	case t.Internal:
		return internalReason
	case t.Access == kafka.NoDescribe:
		return "no Describe: this process's Kafka user may not see it; " + unknown
	case t.Access == kafka.NoRead:
		return "no Read: this process's Kafka user may not read it; " + unknown
	case t.Err != nil:
		return fmt.Sprintf("the brokers answer: %v", t.Err)
	default:
		return "nothing of it is archived; why is unknown here"
	}
}
