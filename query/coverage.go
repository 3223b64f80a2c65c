package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of coverage.
const (
	rateSpan    = 10 * time.Second // rates are over at least this, once known
	streamsAge  = 10 * time.Second // how old the list of streams may be
	maxViews    = 20_000           // resolved chains that are kept
	parallelism = 8
)

// knownViews keeps resolved chains: a chain that was read once is read on from
// there.
type knownViews struct {
	mu       sync.Mutex
	views    map[chainKey]*ledger.View
	accounts map[chainKey]*account
	streams  []schema.Stream
	at       time.Time
}

// chainKey is what one chain is of. Two clusters may have the same topic ID, as
// after one was copied from the other.
type chainKey struct {
	cluster string
	streamKey
}

func chainOf(s schema.Stream) chainKey {
	return chainKey{s.Cluster, streamKey{s.TopicID, s.Partition}}
}

// allStreams gives every stream that has a chain.
func (e *Engine) allStreams(ctx context.Context) ([]schema.Stream, error) {
	k := &e.views
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.at) < streamsAge {
		return k.streams, nil
	}
	var streams []schema.Stream
	for s, err := range e.options.Ledger.Streams(ctx) {
		if err != nil {
			return nil, err
		}
		streams = append(streams, s)
	}
	k.streams, k.at = streams, time.Now()
	return streams, nil
}

// view resolves a stream's chain.
func (e *Engine) view(ctx context.Context, s schema.Stream) (*ledger.View, error) {
	k := &e.views
	key := chainOf(s)
	k.mu.Lock()
	known := k.views[key]
	k.mu.Unlock()
	v, err := e.options.Ledger.View(ctx, s, known)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.views == nil || len(k.views) >= maxViews {
		k.views, k.accounts = map[chainKey]*ledger.View{}, map[chainKey]*account{}
	}
	k.views[key] = v
	return v, nil
}

// account adds up a view.
func (e *Engine) account(ctx context.Context, v *ledger.View) (*account, error) {
	k := &e.views
	key := chainOf(v.Stream)
	k.mu.Lock()
	known := k.accounts[key]
	k.mu.Unlock()
	a, err := e.accountFor(ctx, v, known)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.views[key] == v {
		k.accounts[key] = a
	}
	return a, nil
}

// viewsOf resolves the chains of the streams that f wants.
func (e *Engine) viewsOf(ctx context.Context, f func(schema.Stream) bool) ([]*ledger.View, error) {
	streams, err := e.allStreams(ctx)
	if err != nil {
		return nil, err
	}
	var wanted []schema.Stream
	for _, s := range streams {
		if f(s) {
			wanted = append(wanted, s)
		}
	}
	views := make([]*ledger.View, len(wanted))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for i, s := range wanted {
		group.Go(func() (err error) {
			views[i], err = e.view(ctx, s)
			return err
		})
	}
	return views, group.Wait()
}

// Coverage says of each partition what became of every offset, by the ledger;
// how far the index is ahead of it; and how far Kafka is; and which topics are
// not archived, and why. topic "" is every topic. A partition that was indexed
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
		e.logger.Warn("the index does not answer: coverage goes without what is fresh", "error", err)
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
type watermarks map[streamKey]kafka.Offsets

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
		e.logger.Warn("Kafka does not answer: lag is unknown", "error", err)
		return nil
	}
	ids := map[string]schema.TopicID{}
	for _, t := range cluster.Topics {
		ids[t.Name] = t.ID
	}
	topics = slices.DeleteFunc(topics, func(topic string) bool { return ids[topic].IsZero() })
	offsets, err := e.options.Broker.Offsets(ctx, topics...)
	if err != nil {
		e.logger.Warn("Kafka does not answer: lag is unknown", "error", err)
		return nil
	}
	marks := watermarks{}
	for topic, partitions := range offsets {
		for partition, o := range partitions {
			if o.Err == nil {
				marks[streamKey{ids[topic], partition}] = o
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
		Segments: len(v.Current()), Commits: v.Head.Commit.Seq + 1, LastSealed: clockOf(v.Head.Commit), Ended: v.Ended,
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
	for _, b := range c.streams[streamKey{s.TopicID, s.Partition}] {
		if b.Branch == p.Branch {
			p.FreshTo = max(p.FreshTo, b.FreshNext)
		}
	}
	if o, ok := marks[streamKey{s.TopicID, s.Partition}]; ok {
		p.HighWatermark = o.HighWatermark
		p.Lag = max(0, o.HighWatermark-p.FreshTo)
	}
	return p, nil
}

// Segments gives the current segments of a topic: what an SQL user should read,
// since data/ also holds what was replaced. Of several topics of the name, from
// one cluster or more, it is the one whose archive began last, unless another is
// asked for. Raw batches of what a later branch took the place of are among those
// that may be asked for.
func (e *Engine) Segments(ctx context.Context, who policy.Principal, request answer.SegmentRequest) (*answer.Segments, error) {
	topic, id := request.Topic, request.TopicID
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool {
		return s.Topic == topic && who.Topics.Allows(topic) && (id == nil || *id == s.TopicID)
	})
	if err != nil {
		return nil, err
	}
	if len(views) == 0 {
		return nil, schema.Errorf(schema.NotFound, "no topic %q is archived", topic)
	}
	newest := slices.MaxFunc(views, func(a, b *ledger.View) int { return clockOf(a.Genesis).Compare(clockOf(b.Genesis)) })
	list := &answer.Segments{Cluster: newest.Stream.Cluster, Topic: topic, TopicID: newest.Stream.TopicID, Bucket: e.options.Bucket}
	for _, v := range views {
		if v.Stream.TopicID != newest.Stream.TopicID || v.Stream.Cluster != newest.Stream.Cluster {
			continue
		}
		for _, s := range v.Current() {
			list.Segments = append(list.Segments, answer.Segment{
				Key: e.options.Prefix + s.Ref.Key, SHA256: s.Ref.SHA256, Bytes: s.Ref.Bytes, TopicID: v.Stream.TopicID,
				Partition: v.Stream.Partition, Branch: s.Branch, Base: s.Base, Next: s.Next, Until: s.Until, Rows: s.Records.Rows(),
				MinTimestamp: time.UnixMilli(s.Ref.MinTimestamp), MaxTimestamp: time.UnixMilli(s.Ref.MaxTimestamp),
			})
		}
		if !request.Raw {
			continue
		}
		if list.Batches, err = e.rawBatches(ctx, v, list.Batches); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list.Segments, func(a, b answer.Segment) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Base, b.Base))
	})
	return list, nil
}

// rawBatches adds what gaps of a stream keep raw, by commit.
func (e *Engine) rawBatches(ctx context.Context, v *ledger.View, list []answer.RawBatch) ([]answer.RawBatch, error) {
	for _, g := range v.Gapped {
		gaps, err := e.options.Ledger.Gaps(ctx, g.Commit)
		if err != nil {
			return nil, err
		}
		for _, gap := range gaps {
			if gap.Object == nil {
				continue
			}
			list = append(list, answer.RawBatch{
				Key: e.options.Prefix + gap.Object.Key, SHA256: gap.Object.SHA256, Bytes: gap.Object.Bytes,
				Partition: v.Stream.Partition, Branch: g.Commit.Branch, From: gap.From, To: gap.To, Evidence: gap.Evidence,
			})
		}
	}
	return list, nil
}
