package query

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/nearest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Policies says of each topic, archived or in Kafka, what holds for it and which
// entry of the configuration decides; of one topic alone if it is named. NotFound
// if that is no topic that the principal may see.
func (e *Engine) Policies(ctx context.Context, who policy.Principal, topic string) (*answer.TopicPolicies, error) {
	topics, err := e.Topics(ctx, who)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range topics.Topics {
		names = append(names, topics.Topics[i].Topic)
	}
	names = slices.Compact(names) // they are sorted
	if topic != "" {
		if !slices.Contains(names, topic) {
			err := schema.Errorf(schema.NotFound, "there is no topic %q", topic)
			if near := nearest.Name(topic, names); near != "" {
				err = schema.WithHint(err, "did you mean "+near+"?")
			}
			return nil, err
		}
		names = []string{topic}
	}
	all := &answer.TopicPolicies{Notes: topics.Notes}
	for _, name := range names {
		all.Topics = append(all.Topics, answer.TopicPolicy{Topic: name, Properties: e.properties(name)})
	}
	return all, nil
}

// properties are what holds for a topic.
func (e *Engine) properties(topic string) []answer.PolicyProperty {
	p := e.options.Policy.Of(topic)
	excluded := answer.PolicyProperty{Name: "excluded", Value: strconv.FormatBool(p.Excluded.Value), By: p.Excluded.By}
	if e.options.Chosen != nil && !e.options.Chosen(topic) {
		excluded.Value, excluded.By = "true", "kafka.topics"
	}
	retention := "not stated"
	if r := p.Retention.Value; r != 0 {
		retention = r.String() + " (stated, not enforced)"
		if r%(24*time.Hour) == 0 {
			retention = strconv.FormatInt(int64(r/(24*time.Hour)), 10) + "d (stated, not enforced)"
		}
	}
	return []answer.PolicyProperty{
		excluded,
		{Name: "secret", Value: strconv.FormatBool(p.Secret.Value), By: p.Secret.By},
		{Name: "personal_data", Value: several(p.Personal.Value), By: p.Personal.By},
		{Name: "index_ids", Value: string(p.IDs.Value), By: p.IDs.By},
		{Name: "index_keys", Value: strconv.FormatBool(p.MayReadKey()), By: p.Key.By},
		{Name: "index_headers", Value: several(p.Headers.Value), By: p.Headers.By},
		{Name: "dead_letters", Value: strconv.FormatBool(e.hasDeadLetters(topic)), By: p.DeadLetters.By},
		{Name: "team", Value: orNone(p.Team.Value), By: p.Team.By},
		{Name: "retention", Value: retention, By: p.Retention.By},
	}
}

func several(list []string) string { return orNone(strings.Join(list, ", ")) }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
