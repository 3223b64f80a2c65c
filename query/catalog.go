package query

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// catalog is what the index knew at one moment of every stream. It does not
// change.
type catalog struct {
	at       time.Time
	branches []index.Branch // by topic, topic ID, partition, branch
	streams  map[schema.StreamKey][]*index.Branch
	newest   map[string]schema.TopicID // of each name
	names    map[schema.TopicID]string
	parts    map[schema.TopicID]int32 // partitions seen
	before   *catalog                 // an older one, for rates, itself without one; nil: none
}

// rateSpan is what rates are over at least, once known.
const rateSpan = 10 * time.Second

// follow keeps what rates are counted from: the last catalog's own, or the last
// one where that has grown old.
func (c *catalog) follow(last *catalog) {
	if last == nil {
		return
	}
	c.before = last.before
	if c.before == nil || c.at.Sub(c.before.at) > rateSpan {
		alone := *last
		alone.before = nil
		c.before = &alone
	}
}

// catalogAge is how old a catalog may be: what was sealed since is shown as
// fresh for that long. From half of it on a new one is read while the old one
// still answers: waiting for it would be a third of a look-up's time.
const catalogAge = time.Second

// catalogs keeps the newest catalog. One caller at a time asks for a new one;
// those who cannot do with the old one wait for it.
type catalogs struct {
	asking  sync.Mutex // held while a catalog is read
	mu      sync.Mutex // of what follows
	current *catalog
}

// catalog gives one that is at most catalogAge old.
func (e *Engine) catalog(ctx context.Context) (*catalog, error) {
	now := time.Now()
	current := e.catalogs.latest()
	if current == nil || now.Sub(current.at) > catalogAge {
		return e.catalogSince(ctx, now.Add(-catalogAge))
	}
	if now.Sub(current.at) > catalogAge/2 && e.catalogs.asking.TryLock() {
		go func() {
			defer e.catalogs.asking.Unlock()
			// Without the asker's time limit: it is for those who come next. If it
			// fails they ask again, and are told.
			_, _ = e.readCatalog(context.WithoutCancel(ctx))
		}()
	}
	return current, nil
}

// catalogSince is a catalog that is not older than a time: a record that was
// indexed a moment ago may be of a partition that the last one does not know.
func (e *Engine) catalogSince(ctx context.Context, oldest time.Time) (*catalog, error) {
	c := &e.catalogs
	c.asking.Lock()
	defer c.asking.Unlock()
	if current := c.latest(); current != nil && !current.at.Before(oldest) {
		return current, nil
	}
	return e.readCatalog(ctx)
}

func (c *catalogs) latest() *catalog {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// readCatalog makes the next catalog; the caller holds asking.
func (e *Engine) readCatalog(ctx context.Context) (*catalog, error) {
	now := time.Now()
	branches, err := e.options.Index.Branches(index.WithTurn(ctx, index.Shared)) // whoever asked: all wait for it
	if err != nil {
		return nil, err
	}
	next := newCatalog(now, branches)
	c := &e.catalogs
	c.mu.Lock()
	defer c.mu.Unlock()
	next.follow(c.current)
	c.current = next
	return next, nil
}

func newCatalog(at time.Time, branches []index.Branch) *catalog {
	c := &catalog{
		at: at, branches: branches,
		streams: make(map[schema.StreamKey][]*index.Branch), newest: map[string]schema.TopicID{},
		names: map[schema.TopicID]string{}, parts: map[schema.TopicID]int32{},
	}
	seen := map[string]time.Time{}
	for i := range branches {
		b := &branches[i]
		id := b.Stream.TopicID
		key := b.Stream.Key()
		c.streams[key] = append(c.streams[key], b)
		c.names[id] = b.Stream.Topic
		c.parts[id] = max(c.parts[id], b.Stream.Partition+1)
		began := b.Genesis
		if began.IsZero() {
			began = b.IndexedAt
		}
		if _, ok := c.newest[b.Stream.Topic]; !ok || began.After(seen[b.Stream.Topic]) {
			c.newest[b.Stream.Topic], seen[b.Stream.Topic] = id, began
		}
	}
	return c
}

// scope is what a principal may see.
func (c *catalog) scope(who policy.Principal) index.Scope {
	if who.Topics.IsAll() {
		return index.Scope{All: true}
	}
	var scope index.Scope
	for id, name := range c.names {
		if who.Topics.Allows(name) {
			scope.Topics = append(scope.Topics, id)
		}
	}
	slices.SortFunc(scope.Topics, func(a, b schema.TopicID) int { return slices.Compare(a[:], b[:]) })
	return scope
}

// searched sums up what a principal's look-up covers.
func (c *catalog) searched(who policy.Principal) answer.Searched {
	var s answer.Searched
	topics := map[schema.TopicID]bool{}
	for i := range c.branches {
		b := &c.branches[i]
		if !who.Topics.Allows(b.Stream.Topic) {
			continue
		}
		topics[b.Stream.TopicID] = true
		s.Records += b.Records.Committed
		if list := c.streams[b.Stream.Key()]; b == list[len(list)-1] {
			s.Records += b.FreshNext - b.Next // of a branch that ended they do not count
		}
		if b.IndexedAt.After(s.FreshTo) {
			s.FreshTo = b.IndexedAt
		}
		if b.SealedAt.After(s.SealedTo) {
			s.SealedTo = b.SealedAt
		}
	}
	s.Topics = len(topics)
	return s
}

// branch gives what is known of a position's branch, and of the branch after
// it; nil where there is none.
func (c *catalog) branch(p schema.Position) (own, after *index.Branch) {
	for _, b := range c.streams[schema.StreamKey{TopicID: p.TopicID, Partition: p.Partition}] {
		switch {
		case b.Branch == p.Branch:
			own = b
		case b.Branch > p.Branch && after == nil:
			after = b
		}
	}
	return own, after
}

// isSealed tells whether the ledger has the position, and counts whether its
// row is worth showing: a record that was indexed while it was buffered, on a
// branch that ended before it could be sealed, is not.
func (c *catalog) isSealed(p schema.Position) (sealed, counts bool) {
	own, after := c.branch(p)
	if own == nil {
		return false, true // indexed since the catalog was made
	}
	sealed = own.Commits > 0 && p.Offset < own.Next
	return sealed, sealed || after == nil
}

// hit makes an answer's hit of an index's.
func (c *catalog) hit(h *index.Hit) answer.Hit {
	sealed, _ := c.isSealed(h.Position)
	return answer.Hit{
		Topic: h.Topic, TopicID: h.TopicID, Partition: h.Partition, Branch: h.Branch, Offset: h.Offset,
		Timestamp: h.Timestamp, EventTime: h.EventTime, HasEventTime: h.HasEventTime, Status: h.Status, Sealed: sealed,
		Stage: h.Stage, EventType: h.EventType, EventVersion: h.EventVersion, Service: h.Service,
		TraceID: h.TraceID, EventID: h.EventID, SpanID: h.SpanID, Errors: h.Errors, Bytes: h.Bytes,
	}
}

// counting leaves out rows that do not count: those never sealed on a branch
// that ended, those of other extraction rules than their segment names, and
// second copies.
func (e *Engine) counting(ctx context.Context, c *catalog, hits []index.Hit) ([]index.Hit, error) {
	var doubtful []schema.Position
	for i := range hits {
		own, _ := c.branch(hits[i].Position)
		if own != nil && own.Versions[0] != own.Versions[1] {
			doubtful = append(doubtful, hits[i].Position)
		}
	}
	segments, err := e.options.Index.Covering(ctx, doubtful)
	if err != nil {
		return nil, err
	}
	seen := make(map[schema.Position]bool, len(hits))
	kept := hits[:0]
	for _, h := range hits {
		_, counts := c.isSealed(h.Position)
		if !counts || seen[h.Position] || h.Version != c.version(h.Position, segments) {
			continue
		}
		seen[h.Position] = true
		kept = append(kept, h)
	}
	return kept, nil
}

// lost tells whether a record was found and none of its rows count, though the
// record does.
func (c *catalog) lost(found, counting []index.Hit) bool {
	kept := make(map[schema.Position]bool, len(counting))
	for i := range counting {
		kept[counting[i].Position] = true
	}
	return slices.ContainsFunc(found, func(h index.Hit) bool {
		_, counts := c.isSealed(h.Position)
		return counts && !kept[h.Position]
	})
}

// version is the one that a row at a position must have to count.
func (c *catalog) version(p schema.Position, segments map[schema.Position]index.SegmentRow) index.Version {
	if s, ok := segments[p]; ok {
		return s.Version
	}
	if own, _ := c.branch(p); own != nil && p.Offset < own.Next && own.Versions[1] != 0 {
		return own.Versions[1]
	}
	return index.Fresh
}

// incarnation resolves a topic's name to its newest incarnation that the
// principal may see, or takes the one asked for by ID.
func (c *catalog) incarnation(who policy.Principal, topic string, id *schema.TopicID) (index.Incarnation, bool) {
	if !who.Topics.Allows(topic) {
		return index.Incarnation{}, false
	}
	if id != nil {
		return index.Incarnation{Topic: topic, TopicID: *id}, c.names[*id] == topic
	}
	newest, ok := c.newest[topic]
	return index.Incarnation{Topic: topic, TopicID: newest}, ok
}

// chosen gives the topics of which something holds.
func (c *catalog) chosen(holds func(topic string) bool) []string {
	var topics []string
	for topic := range c.newest {
		if holds(topic) {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	return topics
}
