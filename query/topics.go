package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Topics lists every topic that is archived or in Kafka, each incarnation by
// itself, by name; of those that are not archived it says why.
func (e *Engine) Topics(ctx context.Context, who policy.Principal) (*answer.Topics, error) {
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	byID := map[schema.TopicID]*answer.Topic{}
	var names []string
	for i := range c.branches {
		b := &c.branches[i]
		if !who.Topics.Allows(b.Stream.Topic) {
			continue
		}
		t := byID[b.Stream.TopicID]
		if t == nil {
			t = &answer.Topic{
				Cluster: b.Stream.Cluster, Topic: b.Stream.Topic, TopicID: b.Stream.TopicID, Archived: true,
				Partitions: int(c.parts[b.Stream.TopicID]),
			}
			byID[b.Stream.TopicID] = t
			if c.newest[t.Topic] == t.TopicID {
				names = append(names, t.Topic)
			} else {
				t.Detail = "an older topic of this name"
			}
		}
		addBranch(t, b)
	}
	c.addRates(byID)
	c.addEnds(byID)
	e.addKafka(ctx, who, c, byID, names)
	all := &answer.Topics{}
	for _, t := range byID {
		all.Topics = append(all.Topics, *t)
	}
	if err := e.addRefused(ctx, who, c, all); err != nil {
		return nil, err
	}
	slices.SortFunc(all.Topics, func(a, b answer.Topic) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), slices.Compare(a.TopicID[:], b.TopicID[:]))
	})
	return all, nil
}

// addRefused says of every topic that is not archived why, and of one that no
// longer is. Kafka's own topics are left out where nothing of them is archived.
func (e *Engine) addRefused(ctx context.Context, who policy.Principal, c *catalog, all *answer.Topics) error {
	refused, notes, err := e.notArchived(ctx, who, "")
	if err != nil {
		return err
	}
	all.Notes = notes
	rows := map[string]int{}
	for i := range all.Topics {
		t := &all.Topics[i]
		if newest, ok := c.newest[t.Topic]; !ok || newest == t.TopicID {
			rows[t.Topic] = i
		}
	}
	for _, r := range refused {
		i, there := rows[r.Topic]
		switch {
		case there && all.Topics[i].Archived:
			all.Topics[i].Detail = "no longer archived: " + r.Reason
		case there:
			all.Topics[i].Detail = r.Reason
		case r.Reason != internalReason:
			all.Topics = append(all.Topics, answer.Topic{Topic: r.Topic, TopicID: r.TopicID, Detail: r.Reason})
		}
	}
	return nil
}

// internalReason is why Kafka's own topics are not archived.
const internalReason = "internal to Kafka"

func addBranch(t *answer.Topic, b *index.Branch) {
	t.SealedRecords += b.Records.Committed
	t.FreshRecords += b.FreshNext - b.Next
	t.Bytes += b.Bytes
	t.Segments += int(b.Segments)
	if b.Segments == 0 {
		return
	}
	first, last := time.UnixMilli(b.MinTimestamp), time.UnixMilli(b.MaxTimestamp)
	if t.First.IsZero() || first.Before(t.First) {
		t.First = first
	}
	if last.After(t.Last) {
		t.Last = last
	}
}

// addRates compares the catalog with an earlier one.
func (c *catalog) addRates(byID map[schema.TopicID]*answer.Topic) {
	before := c.before
	if before == nil {
		return
	}
	seconds := c.at.Sub(before.at).Seconds()
	if seconds <= 0 {
		return
	}
	then := map[schema.Position]int64{}
	for i := range before.branches {
		b := &before.branches[i]
		then[schema.Position{TopicID: b.Stream.TopicID, Partition: b.Stream.Partition, Branch: b.Branch}] = b.FreshNext
	}
	for i := range c.branches {
		b := &c.branches[i]
		was, ok := then[schema.Position{TopicID: b.Stream.TopicID, Partition: b.Stream.Partition, Branch: b.Branch}]
		if t := byID[b.Stream.TopicID]; t != nil && ok {
			t.RatePerSecond += float64(b.FreshNext-was) / seconds
		}
	}
}

// addEnds says of topics that were deleted that their chains have ended, and what
// went with them.
func (c *catalog) addEnds(byID map[schema.TopicID]*answer.Topic) {
	for id, t := range byID {
		ended, went, unknown := 0, int64(0), 0
		for key, list := range c.streams {
			if key.TopicID != id || !list[len(list)-1].Ended {
				continue
			}
			if ended++; list[len(list)-1].Went < 0 {
				unknown++
			}
			went += max(0, list[len(list)-1].Went)
		}
		if ended == 0 {
			continue
		}
		said := "deleted in Kafka, its archive has ended"
		if ended < t.Partitions {
			said = fmt.Sprintf("deleted in Kafka, the archive of %d of %d partitions has ended", ended, t.Partitions)
		}
		if went > 0 {
			said += fmt.Sprintf("; %d offsets went with it unarchived", went)
		}
		if unknown > 0 {
			said += fmt.Sprintf("; what went with %d partitions is not known", unknown)
		}
		if t.Detail != "" {
			said = t.Detail + "; " + said
		}
		t.Detail = said
	}
}

// addKafka adds lag, and topics that are not archived.
func (e *Engine) addKafka(ctx context.Context, who policy.Principal, c *catalog, byID map[schema.TopicID]*answer.Topic, names []string) {
	if e.options.Broker == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	cluster, err := e.options.Broker.Cluster(ctx)
	if err != nil {
		e.logger.Warn("Kafka does not answer: topics go without lag", "err", err)
		for _, t := range byID {
			if t.Detail == "" {
				t.Detail = "Kafka does not answer: the lag is unknown"
			}
		}
		return
	}
	there := map[schema.TopicID]bool{}
	for _, k := range cluster.Topics {
		there[k.ID] = true
		if t := byID[k.ID]; t != nil {
			t.Partitions = max(t.Partitions, len(k.Partitions))
			continue
		}
		if !who.Topics.Allows(k.Name) || k.Internal {
			continue
		}
		detail := "nothing of it is archived yet"
		byID[k.ID] = &answer.Topic{Cluster: cluster.ID, Topic: k.Name, TopicID: k.ID, Partitions: len(k.Partitions), Detail: detail}
	}
	for id, t := range byID {
		if there[id] || t.Detail != "" {
			continue
		}
		t.Detail = "no longer in Kafka"
		if t.Cluster != "" && t.Cluster != cluster.ID {
			t.Detail = "of cluster " + t.Cluster + ", which this process is not connected to: the lag is unknown"
		}
	}
	marks := e.watermarks(ctx, names)
	for key, o := range marks {
		t := byID[key.TopicID]
		if t == nil {
			continue
		}
		reached := o.LogStart
		for _, b := range c.streams[key] {
			if reached = b.FreshNext; b.Ended {
				reached = o.HighWatermark // it is not waited for
			}
		}
		t.Lag += max(0, o.HighWatermark-reached)
	}
}
