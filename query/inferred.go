package query

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// How sure an inferred edge is. None reaches a declared one; fed raises those
// where declared edges elsewhere say that the one topic feeds the other.
const (
	likeKey   = 0.75
	likeRank  = 0.55
	likeOrder = 0.30
	fed       = 0.10
)

// maxCandidates bounds how many earlier hops are considered for one.
const maxCandidates = 2000

// feeds is which topics feed which, as declared edges have shown.
type feeds struct {
	parents  map[string]map[string]bool // of a child's topic
	upstream map[[2]string]bool         // what isUpstream found out; of a trace's own topology only
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
	own := &feeds{parents: make(map[string]map[string]bool, len(f.parents)), upstream: map[[2]string]bool{}}
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
	key := [2]string{topic, of}
	is, ok := f.upstream[key]
	if !ok {
		is = f.leadsTo(topic, of)
		f.upstream[key] = is
	}
	return is
}

func (f *feeds) leadsTo(topic, of string) bool {
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
	var inferred []answer.Edge
	for child := range g.hits {
		h := &g.hits[child]
		if declared[child] || isAside(h) || h.Stage == schema.StageIngestion {
			continue
		}
		topics, feeding := g.candidates(child, f)
		if edge, ok := g.likeliest(child, topics, feeding, lanes); ok {
			inferred = append(inferred, edge)
		}
	}
	g.edges = append(g.edges, inferred...)
}

// isAside tells whether a record repeats another or reports that it failed:
// neither leads on to the next step.
func isAside(h *index.Hit) bool {
	return isCopy(h) || h.Stage == schema.StageDeadLetter || isDeadLetterTopic(h.Topic)
}

// isCopy tells whether a record names another that it repeats.
func isCopy(h *index.Hit) bool {
	return slices.ContainsFunc(h.Causes, func(c schema.Cause) bool { return c.Kind == schema.CauseCopy })
}

// candidates are the earlier hops by topic, the topic that came last before the
// child first: those on topics that feed the child's; if there are none, on all
// that it does not feed itself. feeding tells which of the two it was.
func (g *graph) candidates(child int, f *feeds) (topics [][]int, feeding bool) {
	h := &g.hits[child]
	var feeders, near []int
	end := sort.Search(len(g.hits), func(i int) bool { return g.hits[i].Timestamp > h.Timestamp })
	for i := max(0, end-maxCandidates); i < end; i++ {
		p := &g.hits[i]
		if p.Topic == h.Topic || isAside(p) || f.isUpstream(h.Topic, p.Topic) {
			continue
		}
		if f.parents[h.Topic][p.Topic] {
			feeders = append(feeders, i)
		}
		if before(p, h) {
			near = append(near, i)
		}
	}
	if len(feeders) > 0 {
		return g.byTopic(feeders), true
	}
	return g.byTopic(near), false
}

// byTopic groups hops, which are in the order of their times; the topic of the
// last one comes first.
func (g *graph) byTopic(hops []int) [][]int {
	var topics [][]int
	at := map[schema.TopicID]int{}
	for _, i := range slices.Backward(hops) {
		id := g.hits[i].TopicID
		if _, ok := at[id]; !ok {
			at[id] = len(topics)
			topics = append(topics, nil)
		}
		topics[at[id]] = append(topics[at[id]], i)
	}
	for _, list := range topics {
		slices.Reverse(list)
	}
	return topics
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

func (g *graph) likeliest(child int, topics [][]int, feeding bool, lanes map[lane][]int) (answer.Edge, bool) {
	if len(topics) == 0 {
		return answer.Edge{}, false
	}
	latest := topics[0]
	edge := answer.Edge{
		Child: child, Kind: answer.Inferred, Parent: latest[len(latest)-1],
		Rule: "latest earlier event of the trace", Confidence: likeOrder,
	}
	for _, candidates := range topics {
		if same := g.sameKey(child, candidates); len(same) > 0 {
			edge.Parent, edge.Rule, edge.Confidence = same[len(same)-1], "same key in the trace", likeKey
			break
		}
		if parent := g.sameRank(child, candidates, lanes); parent >= 0 {
			edge.Parent, edge.Rule, edge.Confidence = parent, "same place in a partition that runs in parallel", likeRank
			break
		}
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
