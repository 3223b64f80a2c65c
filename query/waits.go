package query

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// knownWaits remembers since when partitions stand still.
type knownWaits struct {
	mu    sync.Mutex
	since map[schema.StreamKey]wait
}

type wait struct {
	next  int64
	since time.Time
}

// standing tells since when a partition is at an offset with more behind it.
func (k *knownWaits) standing(key schema.StreamKey, next int64, behind bool) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.since == nil {
		k.since = map[schema.StreamKey]wait{}
	}
	if !behind {
		delete(k.since, key)
		return time.Time{}
	}
	if have, ok := k.since[key]; ok && have.next == next {
		return have.since
	}
	k.since[key] = wait{next, time.Now()}
	return k.since[key].since
}

// lag finds partitions with records that are indexed and not sealed for too long,
// and partitions that are not read any further though Kafka has more.
func (a *anomalies) lag(ctx context.Context) error {
	e := a.engine
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool { return a.who.Topics.Allows(s.Topic) })
	if err != nil {
		return err
	}
	marks := e.bounds(ctx, views, a.c)
	judged, unsure := 0, 0
	old := time.Now().Add(-a.rules.Lag).UnixMilli()
	for _, v := range views {
		if v.End != nil || a.c.newest[v.Stream.Topic] != v.Stream.TopicID {
			continue
		}
		key := v.Stream.Key()
		next, branch := v.Head.Next, int32(0)
		if list := a.c.streams[key]; len(list) > 0 {
			next, branch = max(next, list[len(list)-1].FreshNext), list[len(list)-1].Branch
		}
		waiting := int64(0)
		if next > v.Head.Next {
			tail := []index.Tail{{Stream: v.Stream, Branch: branch, Next: v.Head.Next}}
			if waiting, err = e.options.Index.CountBehind(ctx, tail, nil, &old); err != nil {
				return err
			}
		}
		o, heard := marks[key]
		since := e.waits.standing(key, next, heard && o.HighWatermark > next)
		stood := time.Duration(0)
		if !since.IsZero() {
			stood = time.Since(since)
		}
		switch {
		case waiting > 0:
			judged++
			err = a.add(ctx, a.late(v.Stream, float64(waiting), fmt.Sprintf("%d records, with times more than %s ago, are indexed and not sealed", waiting, a.rules.Lag)), index.Filter{})
		case stood > a.rules.Lag:
			judged++
			err = a.add(ctx, a.late(v.Stream, float64(o.HighWatermark-next), fmt.Sprintf("Kafka has %d records more, and nothing was read for %s", o.HighWatermark-next, stood.Round(time.Second))), index.Filter{})
		case !heard || !since.IsZero():
			unsure++ // not for how long
		default:
			judged++
		}
		if err != nil {
			return err
		}
	}
	a.check(answer.LagAnomaly, judged, unsure, noted(unsure, "partitions of which Kafka says nothing, or that have more for a time that is not known yet"))
	return nil
}

func (a *anomalies) late(s schema.Stream, records float64, evidence string) answer.Anomaly {
	partition := s.Partition
	return answer.Anomaly{
		Kind: answer.LagAnomaly, Topic: s.Topic, Partition: &partition, Component: "archiver", From: a.At.Add(-a.rules.Lag), To: a.At,
		Value: records, Evidence: evidence,
	}
}
