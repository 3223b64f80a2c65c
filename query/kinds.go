package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// knownVolumes are those that searches by stage go by: a page after the other asks.
type knownVolumes struct {
	mu   sync.Mutex
	at   time.Time
	list []index.TypeVolume
	more bool
}

// volumes gives what is sealed of each type, over all topics, at most feedsAge old.
func (e *Engine) volumes(ctx context.Context) ([]index.TypeVolume, bool, error) {
	k := &e.sealed
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.at.IsZero() && time.Since(k.at) < feedsAge {
		return k.list, k.more, nil
	}
	list, more, err := e.options.Index.Volumes(ctx, nil, index.Scope{All: true})
	if err != nil {
		return nil, false, err
	}
	k.at, k.list, k.more = time.Now(), list, more
	return list, more, nil
}

// learnKinds looks into the topics and types that a search by stage asks about, and of
// whose stage nothing is known, however old their records are: one of each, those of
// most records first. It tells of how many there was no time, or no room, to.
func (e *Engine) learnKinds(ctx context.Context, c *catalog, who policy.Principal, f *index.Filter, patience time.Duration) (late int, err error) {
	volumes, more, err := e.volumes(ctx)
	if err != nil {
		return 0, err
	}
	if more {
		late++ // at least
	}
	records := map[topicType]int64{}
	at := map[topicType]index.Incarnation{}
	for i := range volumes {
		v := &volumes[i]
		key := topicType{v.Topic, v.EventType}
		if !who.Topics.Allows(v.Topic) {
			continue
		}
		if known, ok := e.stages.get(key); ok || known != schema.StageUnknown || e.hasDeadLetters(v.Topic) || !asksFor(f, v) {
			continue
		}
		records[key] += v.Records
		at[key] = index.Incarnation{Topic: v.Topic, TopicID: v.TopicID}
	}
	var kinds []topicType
	for key := range records {
		kinds = append(kinds, key)
	}
	slices.SortFunc(kinds, func(a, b topicType) int {
		return cmp.Or(cmp.Compare(records[b], records[a]), cmp.Compare(a.topic, b.topic), cmp.Compare(a.eventType, b.eventType))
	})
	if len(kinds) > maxLearn {
		late += len(kinds) - maxLearn
		kinds = kinds[:maxLearn]
	}
	var some []index.Hit
	for _, key := range kinds {
		hits, _, err := e.options.Index.Search(ctx, index.Filter{Topics: []index.Incarnation{at[key]}, EventType: key.eventType}, c.scope(who), learnFrom)
		if err != nil {
			return late, err
		}
		one := slices.IndexFunc(hits, func(h index.Hit) bool {
			return h.EventType == key.eventType && h.TraceID != "" && h.Stage == schema.StageUnknown
		})
		if one < 0 { // none is in a trace: there is nothing to know
			e.stages.set(key, schema.StageUnknown, retryAge)
			continue
		}
		some = append(some, hits[one])
	}
	_, lateNow := e.learn(ctx, who, some, patience)
	return late + lateNow, nil
}

// asksFor tells whether a filter may give records of a volume.
func asksFor(f *index.Filter, v *index.TypeVolume) bool {
	at := index.Incarnation{Topic: v.Topic, TopicID: v.TopicID}
	return (len(f.Topics) == 0 || slices.Contains(f.Topics, at)) &&
		(f.EventType == "" || f.EventType == v.EventType) && strings.HasPrefix(v.EventType, f.TypePrefix) &&
		(f.Service == "" || f.Service == v.Service) && strings.HasPrefix(v.Service, f.ServicePrefix) &&
		(f.Version == "" || f.Version == v.EventVersion)
}
