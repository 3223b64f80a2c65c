package query

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// EventTypes is the event catalog: what is known of each event type in the
// topics that the principal may see, from the index, completed by contracts and
// consumer groups; of one type, with its schema and a sample, if it is named.
// NotFound if that is none.
func (e *Engine) EventTypes(ctx context.Context, who policy.Principal, eventType string) (*answer.EventTypes, error) {
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	var only *string
	if eventType != "" {
		only = &eventType
	}
	volumes, more, err := e.options.Index.Volumes(ctx, only, c.scope(who))
	if err != nil {
		return nil, err
	}
	all := &answer.EventTypes{More: more}
	types := map[string]*answer.EventType{}
	for i := range volumes {
		if v := &volumes[i]; v.EventType != "" {
			addVolume(typeOf(types, v.EventType), v)
		}
	}
	e.addContracts(types, who, eventType)
	if len(types) == 0 && eventType != "" {
		return nil, e.missing(c, who, "no event of type %q is sealed, and no contract of it is registered", eventType)
	}
	e.addConsumers(ctx, types, all)
	for _, name := range slices.Sorted(maps.Keys(types)) {
		all.Types = append(all.Types, *e.settled(types[name]))
	}
	if eventType != "" && len(all.Types) == 1 {
		return all, e.detail(ctx, c, who, &all.Types[0])
	}
	return all, nil
}

func typeOf(types map[string]*answer.EventType, name string) *answer.EventType {
	if types[name] == nil {
		types[name] = &answer.EventType{Type: name}
	}
	return types[name]
}

// addVolume adds what the index has.
func addVolume(t *answer.EventType, v *index.TypeVolume) {
	t.Records, t.Bytes, t.Errors = t.Records+v.Records, t.Bytes+v.Bytes, t.Errors+v.Errors
	t.First, t.Last = spanning(t.First, t.Last, v.First, v.Last)
	version := versionOf(t, v.EventVersion)
	version.Records += v.Records
	version.First, version.Last = spanning(version.First, version.Last, v.First, v.Last)
	if v.Service != "" {
		producerOf(t, v.Service).Records += v.Records
	}
	topicOf(t, v.Topic).Records += v.Records
}

// spanning joins two spans of time; zero times are none.
func spanning(first, last, from, to time.Time) (time.Time, time.Time) {
	if first.IsZero() || from.Before(first) {
		first = from
	}
	if to.After(last) {
		last = to
	}
	return first, last
}

func versionOf(t *answer.EventType, version string) *answer.EventVersion {
	return oneOf(&t.Versions, answer.EventVersion{Version: version}, func(v *answer.EventVersion) string { return v.Version })
}

func producerOf(t *answer.EventType, service string) *answer.EventProducer {
	return oneOf(&t.Producers, answer.EventProducer{Service: service}, func(p *answer.EventProducer) string { return p.Service })
}

func topicOf(t *answer.EventType, topic string) *answer.EventTopic {
	return oneOf(&t.Topics, answer.EventTopic{Topic: topic}, func(o *answer.EventTopic) string { return o.Topic })
}

// oneOf gives the item of a list that has a name, which is added if none has it.
func oneOf[T any](list *[]T, named T, name func(*T) string) *T {
	for i := range *list {
		if name(&(*list)[i]) == name(&named) {
			return &(*list)[i]
		}
	}
	*list = append(*list, named)
	return &(*list)[len(*list)-1]
}

// addContracts adds what contracts say of types that were seen, and those of
// which every record is yet to come. What is of topics that the principal does
// not see stays hidden.
func (e *Engine) addContracts(types map[string]*answer.EventType, who policy.Principal, only string) {
	for _, c := range e.options.Contracts.All() {
		if only != "" && c.Type != only || types[c.Type] == nil && !seen(c, who) {
			continue
		}
		t := typeOf(types, c.Type)
		versionOf(t, c.Version).Contract = c.File
		t.Description, t.SLA, t.MaxDelay = cmp.Or(c.Description, t.Description), cmp.Or(c.SLA.Description, t.SLA), cmp.Or(c.SLA.MaxDelay, t.MaxDelay)
		for _, service := range c.Producers {
			producerOf(t, service).Declared = true
		}
		for _, topic := range c.Topics {
			if who.Topics.Allows(topic) {
				topicOf(t, topic).Declared = true
			}
		}
	}
}

// seen tells whether a contract is of a topic that the principal sees.
func seen(c *contract.Contract, who policy.Principal) bool {
	return who.Topics.IsAll() || slices.ContainsFunc(c.Topics, who.Topics.Allows)
}

// addConsumers adds the consumer groups of the types' topics.
func (e *Engine) addConsumers(ctx context.Context, types map[string]*answer.EventType, all *answer.EventTypes) {
	if e.options.Consumers == nil {
		all.Notes = append(all.Notes, "consumers are not known: this process does not ask Kafka for consumer groups")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	byTopic, hidden, err := e.options.Consumers(ctx)
	if err != nil {
		e.logger.Warn("consumer groups are not known", "err", err)
		note := "consumers are not known: Kafka does not answer"
		switch schema.KindOf(err) {
		case schema.Permission:
			note = "consumers are not known: this user may not Describe consumer groups"
		case schema.Exhausted:
			note = "consumers are not known: there are more consumer groups than can be asked"
		}
		all.Notes = append(all.Notes, note)
		return
	}
	if hidden > 0 {
		all.Notes = append(all.Notes, fmt.Sprintf("%d consumer groups could not be asked which topics they read", hidden))
	}
	for _, t := range types {
		t.ConsumersKnown = true
		groups := map[string][]string{}
		for _, o := range t.Topics {
			for _, group := range byTopic[o.Topic] {
				groups[group] = append(groups[group], o.Topic)
			}
		}
		for group, topics := range groups {
			slices.Sort(topics)
			t.Consumers = append(t.Consumers, answer.EventConsumer{Group: group, Topics: topics})
		}
	}
}

// settled puts lists into order and names the team.
func (e *Engine) settled(t *answer.EventType) *answer.EventType {
	slices.SortFunc(t.Versions, func(a, b answer.EventVersion) int { return contract.CompareVersions(a.Version, b.Version) })
	slices.SortFunc(t.Producers, func(a, b answer.EventProducer) int { return strings.Compare(a.Service, b.Service) })
	slices.SortFunc(t.Consumers, func(a, b answer.EventConsumer) int { return strings.Compare(a.Group, b.Group) })
	slices.SortFunc(t.Topics, func(a, b answer.EventTopic) int { return strings.Compare(a.Topic, b.Topic) })
	var topics []string
	for _, o := range t.Topics {
		topics = append(topics, o.Topic)
	}
	t.Team, t.TeamBy = e.team(t.Type, topics)
	return t
}

// detail adds the schema and the newest record.
func (e *Engine) detail(ctx context.Context, c *catalog, who policy.Principal, t *answer.EventType) error {
	for _, one := range slices.Backward(e.options.Contracts.Of(t.Type)) {
		if one.Schema != nil {
			t.Schema = one.Schema
			break
		}
	}
	hits, _, err := e.options.Index.Search(ctx, index.Filter{EventType: t.Type}, c.scope(who), matchRecords)
	if err != nil {
		return err
	}
	if hits, err = e.counting(ctx, c, hits); err != nil {
		return err
	}
	if len(hits) > 0 {
		newest := c.hit(&hits[0])
		e.name(&newest)
		t.Sample = &newest
	}
	return nil
}
