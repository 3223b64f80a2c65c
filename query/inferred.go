package query

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// How sure an inferred edge is. None reaches a declared one; fed raises those
// where declared edges elsewhere say that the one topic feeds the other.
const (
	likeKey   = 0.75
	likeRank  = 0.55
	likeOrder = 0.30
	fed       = 0.10
)

// feeds is which topics feed which, as declared edges have shown.
type feeds struct {
	parents map[string]map[string]bool // of a child's topic
}

// feedsAge is how old a topology may be.
const feedsAge = 30 * time.Second

type knownFeeds struct {
	mu   sync.Mutex
	at   time.Time
	last *feeds
}

// topology gives what feeds what, over all topics: it only chooses between
// records that the principal sees anyhow.
func (e *Engine) topology(ctx context.Context) (*feeds, error) {
	k := &e.feeds
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && time.Since(k.at) < feedsAge {
		return k.last, nil
	}
	list, err := e.options.Index.Topology(ctx)
	if err != nil {
		return nil, err
	}
	next := &feeds{parents: map[string]map[string]bool{}}
	for _, f := range list {
		next.add(f.ParentTopic, f.ChildTopic)
	}
	k.at, k.last = time.Now(), next
	return next, nil
}

func (f *feeds) add(parent, child string) {
	if parent == child {
		return
	}
	if f.parents[child] == nil {
		f.parents[child] = map[string]bool{}
	}
	f.parents[child][parent] = true
}

// with gives the topology with a trace's own declared edges added.
func (f *feeds) with(g *graph) *feeds {
	own := &feeds{parents: make(map[string]map[string]bool, len(f.parents))}
	for child, parents := range f.parents {
		for parent := range parents {
			own.add(parent, child)
		}
	}
	for i := range g.edges {
		if edge := &g.edges[i]; edge.Parent >= 0 && !isCopy(&g.hits[edge.Child]) {
			own.add(g.hits[edge.Parent].Topic, g.hits[edge.Child].Topic)
		}
	}
	return own
}

// isUpstream tells whether events of a topic flow, over any hops, into another.
func (f *feeds) isUpstream(topic, of string) bool {
	seen := map[string]bool{of: true}
	queue := []string{of}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for parent := range f.parents[at] {
			if parent == topic {
				return true
			}
			if !seen[parent] {
				seen[parent] = true
				queue = append(queue, parent)
			}
		}
	}
	return false
}

// infer gives each hop without a declared parent the likeliest earlier one of
// its trace, on a topic that feeds its own, else on one that could. Dead
// letters and copies are left alone: their original is named or unknown.
//
// Among the candidates decides, in this order: the same key (if payloads were
// read), the same rank in partitions that run in parallel (a consumer that
// makes one event of each keeps their order), the latest.
func (g *graph) infer(known *feeds) {
	declared := make([]bool, len(g.hits))
	for _, edge := range g.edges {
		declared[edge.Child] = true
	}
	f := known.with(g)
	lanes := g.lanes()
	var inferred []Edge
	for child := range g.hits {
		h := &g.hits[child]
		if declared[child] || isCopy(h) || h.Stage == schema.StageDeadLetter || h.Stage == schema.StageIngestion {
			continue
		}
		candidates, feeding := g.candidates(child, f)
		if edge, ok := g.likeliest(child, candidates, feeding, lanes); ok {
			inferred = append(inferred, edge)
		}
	}
	g.edges = append(g.edges, inferred...)
}

// isCopy tells whether a record names another that it repeats.
func isCopy(h *index.Hit) bool {
	return slices.ContainsFunc(h.Causes, func(c schema.Cause) bool { return c.Kind == schema.CauseCopy })
}

// candidates are the earlier hops on the topics that feed the child's; if no
// such topic has any, those of the one topic that came last before it and that
// it does not feed itself. feeding tells which of the two it was.
func (g *graph) candidates(child int, f *feeds) (list []int, feeding bool) {
	h := &g.hits[child]
	var near []int
	for i := range g.hits {
		p := &g.hits[i]
		if p.Topic == h.Topic || p.Stage == schema.StageDeadLetter || isCopy(p) || f.isUpstream(h.Topic, p.Topic) {
			continue
		}
		if f.parents[h.Topic][p.Topic] && p.Timestamp <= h.Timestamp {
			list = append(list, i)
		}
		if before(p, h) {
			near = append(near, i)
		}
	}
	if len(list) > 0 {
		return list, true
	}
	if len(near) == 0 {
		return nil, false
	}
	// Hits are in the order of their times, so the last is the nearest.
	last := g.hits[near[len(near)-1]].Topic
	for _, i := range near {
		if g.hits[i].Topic == last {
			list = append(list, i)
		}
	}
	return list, false
}

// before tells whether a record is certainly earlier: by its record time, and
// if those are equal, as with services that pass times on, by event time.
func before(p, h *index.Hit) bool {
	if p.Timestamp != h.Timestamp {
		return p.Timestamp < h.Timestamp
	}
	return p.HasEventTime && h.HasEventTime && p.EventTime < h.EventTime
}

// lane is one topic's partition; lanes are the hops in each, by offset.
type lane struct {
	topicID   schema.TopicID
	partition int32
}

func (g *graph) lanes() map[lane][]int {
	lanes := map[lane][]int{}
	for i := range g.hits {
		key := lane{g.hits[i].TopicID, g.hits[i].Partition}
		lanes[key] = append(lanes[key], i)
	}
	for _, list := range lanes {
		slices.SortFunc(list, func(a, b int) int {
			return int(max(-1, min(1, g.hits[a].Offset-g.hits[b].Offset)))
		})
	}
	return lanes
}

func (g *graph) likeliest(child int, candidates []int, feeding bool, lanes map[lane][]int) (Edge, bool) {
	if len(candidates) == 0 {
		return Edge{}, false
	}
	edge := Edge{Child: child, Kind: Inferred}
	switch same := g.sameKey(child, candidates); {
	case len(same) > 0:
		edge.Parent, edge.Rule, edge.Confidence = same[len(same)-1], "same key in the trace", likeKey
	default:
		if parent := g.sameRank(child, candidates, lanes); parent >= 0 {
			edge.Parent, edge.Rule, edge.Confidence = parent, "same place in a partition that runs in parallel", likeRank
			break
		}
		edge.Parent, edge.Rule, edge.Confidence = candidates[len(candidates)-1], "latest earlier event of the trace", likeOrder
	}
	edge.Evidence = g.hits[edge.Parent].Topic + " came before"
	if feeding {
		edge.Confidence += fed
		edge.Evidence = g.hits[edge.Parent].Topic + " feeds " + g.hits[child].Topic + ", as declared edges show"
	}
	return edge, true
}

// sameKey gives the candidates with the child's key. Null keys say nothing.
func (g *graph) sameKey(child int, candidates []int) []int {
	own := g.bytes[g.hits[child].Position]
	if own == nil || own.err != nil || own.record.Key == nil {
		return nil
	}
	var same []int
	for _, i := range candidates {
		c := g.bytes[g.hits[i].Position]
		if c != nil && c.err == nil && c.record.Key != nil && bytes.Equal(c.record.Key, own.record.Key) {
			same = append(same, i)
		}
	}
	return same
}

// sameRank gives the candidate that has the child's rank in the partition of
// the same number: if both topics have as many partitions, and the trace as
// many records in both, then their keys were spread alike and their order was
// kept. -1 if that cannot be said.
func (g *graph) sameRank(child int, candidates []int, lanes map[lane][]int) int {
	h := &g.hits[child]
	parents := g.hits[candidates[len(candidates)-1]].TopicID
	if g.catalog.parts[parents] != g.catalog.parts[h.TopicID] || g.catalog.parts[parents] == 0 {
		return -1
	}
	own, theirs := lanes[lane{h.TopicID, h.Partition}], lanes[lane{parents, h.Partition}]
	rank := slices.Index(own, child)
	if len(own) != len(theirs) || rank < 0 || !slices.Contains(candidates, theirs[rank]) {
		return -1
	}
	return theirs[rank]
}
