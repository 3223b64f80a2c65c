package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The pipeline's topics. Rates and volatilities are keyed by currency,
// exposures by portfolio, alerts by either.
const (
	TopicReceived   = "fx.rates.received"
	TopicRejected   = "fx.rates.received.dlq"
	TopicEnriched   = "fx.rates.enriched"
	TopicVolatility = "fx.risk.volatility"
	TopicExposure   = "fx.risk.exposure"
	TopicAlerts     = "fx.risk.alerts"
)

// deadLetters is where records of a topic go that cannot be processed.
func deadLetters(topic string) string { return topic + ".dlq" }

func partitions(topic string) int32 {
	switch topic {
	case TopicReceived, TopicEnriched, TopicVolatility:
		return 4
	default:
		return 3
	}
}

// ensureTopics creates the topics that do not exist yet. They keep everything:
// their records' timestamps are decades old, and any time limit would delete
// them at once.
func ensureTopics(ctx context.Context, cl *kgo.Client, topics ...string) error {
	limitless := "-1"
	policy := "delete"
	admin := kadm.NewClient(cl)
	for _, topic := range topics {
		_, err := admin.CreateTopic(ctx, partitions(topic), -1, map[string]*string{
			"cleanup.policy":  &policy,
			"retention.ms":    &limitless,
			"retention.bytes": &limitless,
		}, topic)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	return nil
}
