package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// parallelism is how many partitions are looked at at once.
const parallelism = 8

// Coverage says of each partition what became of every offset, by the ledger;
// how far the index is ahead of it; and how far Kafka is, or was when the topic was
// deleted; and which topics are not archived, and why. topic "" is every topic. A partition that was indexed
// and has no commit yet is not in it. Without the index FreshTo is ArchivedTo;
// without Kafka the high watermark is unknown. A topic of which nothing at all
// is known is NotFound.
func (e *Engine) Coverage(ctx context.Context, who policy.Principal, topic string) (*answer.Coverage, error) {
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool {
		return who.Topics.Allows(s.Topic) && (topic == "" || s.Topic == topic)
	})
	if err != nil {
		return nil, err
	}
	c, err := e.catalog(ctx)
	if err != nil {
		e.logger.Warn("the index does not answer: coverage goes without what is fresh", "err", err)
		c = newCatalog(time.Now(), nil)
	}
	all := &answer.Coverage{Partitions: make([]answer.PartitionCoverage, len(views))}
	if all.NotArchived, all.Notes, err = e.notArchived(ctx, who, topic); err != nil {
		return nil, err
	}
	if topic != "" && len(views) == 0 && len(all.NotArchived) == 0 {
		return nil, schema.Errorf(schema.NotFound, "no topic %q is archived", topic)
	}
	bounds := e.bounds(ctx, views, c)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for i, v := range views {
		group.Go(func() (err error) {
			all.Partitions[i], err = e.cover(ctx, v, c, bounds)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(all.Partitions, func(a, b answer.PartitionCoverage) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), slices.Compare(a.TopicID[:], b.TopicID[:]), cmp.Compare(a.Partition, b.Partition))
	})
	return all, nil
}

// watermarks are Kafka's bounds of streams that are there now.
type watermarks map[schema.StreamKey]kafka.Offsets

// bounds asks Kafka. What it does not answer is unknown, not an error.
func (e *Engine) bounds(ctx context.Context, views []*ledger.View, c *catalog) watermarks {
	var topics []string
	for _, v := range views {
		if c.newest[v.Stream.Topic] == v.Stream.TopicID && !slices.Contains(topics, v.Stream.Topic) {
			topics = append(topics, v.Stream.Topic)
		}
	}
	return e.watermarks(ctx, topics)
}

// watermarks asks for the bounds of topics, by the incarnation that Kafka has.
func (e *Engine) watermarks(ctx context.Context, topics []string) watermarks {
	if e.options.Broker == nil || len(topics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	cluster, err := e.options.Broker.Cluster(ctx)
	if err != nil {
		e.logger.Warn("Kafka does not answer: lag is unknown", "err", err)
		return nil
	}
	ids := map[string]schema.TopicID{}
	for _, t := range cluster.Topics {
		ids[t.Name] = t.ID
	}
	topics = slices.DeleteFunc(topics, func(topic string) bool { return ids[topic].IsZero() })
	offsets, err := e.options.Broker.Offsets(ctx, topics...)
	if err != nil {
		e.logger.Warn("Kafka does not answer: lag is unknown", "err", err)
		return nil
	}
	marks := watermarks{}
	for topic, partitions := range offsets {
		for partition, o := range partitions {
			if o.Err == nil {
				marks[schema.StreamKey{TopicID: ids[topic], Partition: partition}] = o
			}
		}
	}
	return marks
}

func (e *Engine) cover(ctx context.Context, v *ledger.View, c *catalog, marks watermarks) (answer.PartitionCoverage, error) {
	s := v.Stream
	p := answer.PartitionCoverage{
		Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Branch: v.Branches[len(v.Branches)-1].Number,
		ArchivedTo: v.Head.Next, FreshTo: v.Head.Next, HighWatermark: -1,
		Segments: len(v.Current()), Commits: v.Head.Commit.Seq + 1, LastSealed: v.Head.Commit.Written(), Ended: v.End != nil,
	}
	if start := v.Genesis.Start; start != nil {
		p.StartPolicy, p.LogStartAtGenesis = start.Policy, start.LogStart
	}
	a, err := e.account(ctx, v)
	if err != nil {
		return p, err
	}
	p.ArchivedFrom, p.Account, p.Gaps = a.from, a.latest, a.newest
	if len(a.branches) > 1 {
		p.Branches = a.branches
	}
	if p.Unaccounted != 0 {
		e.logger.Error("offsets are not accounted for", "topic", s.Topic, "partition", s.Partition,
			"from", p.ArchivedFrom, "to", p.ArchivedTo, "unaccounted", p.Unaccounted)
	}
	for _, b := range c.streams[s.Key()] {
		if b.Branch == p.Branch {
			p.FreshTo = max(p.FreshTo, b.FreshNext)
		}
	}
	if v.End != nil { // whatever Kafka has under this ID is not waited for
		p.FreshTo, p.EndedAt, p.Went = p.ArchivedTo, v.End.Written(), -1
		if end, known := v.Went(); known {
			p.HighWatermark, p.Went = *v.End.HighWatermark, end-p.ArchivedTo
		}
		return p, nil
	}
	if o, ok := marks[s.Key()]; ok {
		p.HighWatermark = o.HighWatermark
		p.Lag = max(0, o.HighWatermark-p.FreshTo)
	}
	return p, nil
}
