package query

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// How sure an inferred edge is where nothing was learned of its kind. None
// reaches a declared one; fed raises those where declared edges elsewhere say
// that the one topic feeds the other. Where something was learned, it is as sure
// as the way was right about declared edges, up to likeLearned.
const (
	likeKey     = 0.75
	likeShared  = 0.65
	likeRank    = 0.55
	likeOrder   = 0.30
	fed         = 0.10
	likeLearned = 0.89
)

// maxCandidates bounds how many earlier hops are considered for one, and
// maxEvidence how many payloads are read only to infer by.
const (
	maxCandidates = 2000
	maxEvidence   = 1000
)

// required is the share of children that name a parent of a topic and type from
// which on each is taken to have one.
const required = 0.8

// infer gives each hop without a declared parent those that it likely has among
// the earlier ones of its trace. Where others of its topic and type declare
// theirs, by the way that finds those best; else the likeliest one, on a topic
// that feeds its own, else on one that could. Dead letters and copies are left
// alone: their original is named or unknown.
func (e *Engine) infer(ctx context.Context, g *graph, known *feeds) {
	f := known.with(g)
	e.findAside(g)
	patterns := e.patternsOf(ctx, g, f)
	e.readEvidence(ctx, g, patterns)
	lanes := g.lanes()
	declared := g.declared()
	var inferred []answer.Edge
	for child := range g.hits {
		h := &g.hits[child]
		if declared[child] || !g.mayBeInferred(child) {
			continue
		}
		p := patterns[topicType{h.Topic, h.EventType}]
		if p != nil && p.children >= fewChildren {
			edges := g.byPattern(child, p, lanes)
			inferred = append(inferred, edges...)
			g.notInferred += p.elsewhere()
			continue
		}
		topics, feeding := g.candidates(child, f)
		if edge, ok := g.likeliest(child, topics, feeding, lanes); ok {
			inferred = append(inferred, edge)
		}
	}
	g.edges = append(g.edges, inferred...)
}

// elsewhere is how many parents in other traces a record of the kind has, as
// those say that declare them. Nothing leads there.
func (p *pattern) elsewhere() int {
	return (p.outside + p.children/2) / p.children
}

// declared tells which hops have a declared parent.
func (g *graph) declared() []bool {
	declared := make([]bool, len(g.hits))
	for i := range g.edges {
		declared[g.edges[i].Child] = true
	}
	return declared
}

// findAside finds the hops that repeat another record or report that it failed:
// neither leads on to the next step.
func (e *Engine) findAside(g *graph) {
	g.aside = make([]bool, len(g.hits))
	for i := range g.hits {
		h := &g.hits[i]
		g.aside[i] = isCopy(h) || h.Stage == schema.StageDeadLetter || e.hasDeadLetters(h.Topic)
	}
}

// isCopy tells whether a record names another that it repeats.
func isCopy(h *index.Hit) bool {
	return slices.ContainsFunc(h.Causes, func(c schema.Cause) bool { return c.Kind == schema.CauseCopy })
}

// readEvidence reads what must be known of payloads where they were not asked
// for, and nothing else tells parents apart as well.
func (e *Engine) readEvidence(ctx context.Context, g *graph, patterns map[topicType]*pattern) {
	if g.bytes != nil {
		return
	}
	wanted := map[topicType]bool{}
	for child, p := range patterns {
		if p == nil || p.children < fewChildren {
			continue
		}
		for i := range p.feeds {
			if w, ok := p.feeds[i].way(); ok && w.reads() {
				wanted[child], wanted[p.feeds[i].parent] = true, true
			}
		}
	}
	var hits []index.Hit
	for i := range g.hits {
		if h := &g.hits[i]; wanted[topicType{h.Topic, h.EventType}] && len(hits) < maxEvidence {
			hits = append(hits, *h)
		}
	}
	if len(hits) > 0 {
		g.evidence = e.contents(ctx, g.catalog, hits, segment.Payload)
	}
}

// byPattern gives a child's parents as others of its kind have theirs: of each
// topic and type that nearly all of them name, and, where that gives none, of
// the first of the others that gives any.
func (g *graph) byPattern(child int, p *pattern, lanes map[schema.StreamKey][]int) (edges []answer.Edge) {
	for i := range p.feeds {
		f := &p.feeds[i]
		always := float64(f.used) >= required*float64(p.children)
		w, ok := f.way()
		if !ok || !always && len(edges) > 0 {
			continue
		}
		s := &f.scores[w]
		for _, parent := range g.choose(w, child, g.ofType(child, f.parent), lanes) {
			edges = append(edges, answer.Edge{
				Child: child, Parent: parent, Kind: answer.Inferred, Rule: wayRules[w], Confidence: min(likeLearned, s.precision()),
				Evidence: fmt.Sprintf("right in %d of %d edges from %s to %s that are declared", s.right, s.claimed, f.parent.topic, g.hits[child].Topic),
			})
		}
	}
	return edges
}

// earlier are the hops with a record time that is not after a hop's, the last
// maxCandidates of them.
func (g *graph) earlier(child int) []int {
	h := &g.hits[child]
	end := sort.Search(len(g.hits), func(i int) bool { return g.hits[i].Timestamp > h.Timestamp })
	list := make([]int, 0, min(end, maxCandidates))
	for i := max(0, end-maxCandidates); i < end; i++ {
		list = append(list, i)
	}
	return list
}

// candidates are the earlier hops by topic, the topic that came last before the
// child first: those on topics that feed the child's; if there are none, on all
// that it does not feed itself and that are not joined with it. feeding tells
// which of the two it was.
func (g *graph) candidates(child int, f *feeds) (topics [][]int, feeding bool) {
	h := &g.hits[child]
	var feeders, near []int
	for _, i := range g.earlier(child) {
		p := &g.hits[i]
		if p.Topic == h.Topic || g.aside[i] || f.isUpstream(h.Topic, p.Topic) {
			continue
		}
		if f.parents[h.Topic][p.Topic] {
			feeders = append(feeders, i)
		}
		if before(p, h) && !f.areBeside(p.Topic, h.Topic) {
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

// likeliest gives the one parent that a child likely has where nothing was
// learned. Among the candidates decides, in this order: the same key or a shared
// id (if payloads were read), the same rank in partitions that run in parallel
// (a consumer that makes one event of each keeps their order), the latest.
func (g *graph) likeliest(child int, topics [][]int, feeding bool, lanes map[schema.StreamKey][]int) (answer.Edge, bool) {
	if len(topics) == 0 {
		return answer.Edge{}, false
	}
	latest := topics[0]
	edge := answer.Edge{
		Child: child, Kind: answer.Inferred, Parent: latest[len(latest)-1],
		Rule: wayRules[wayLatest], Confidence: likeOrder,
	}
	ways := []struct {
		way
		like float64
	}{{waySameKey, likeKey}, {wayShared, likeShared}, {wayRank, likeRank}}
search:
	for _, candidates := range topics {
		for _, w := range ways {
			if found := g.choose(w.way, child, candidates, lanes); len(found) > 0 {
				edge.Parent, edge.Rule, edge.Confidence = found[len(found)-1], wayRules[w.way], w.like
				break search
			}
		}
	}
	edge.Evidence = g.hits[edge.Parent].Topic + " came before"
	if feeding {
		edge.Confidence += fed
		edge.Evidence = g.hits[edge.Parent].Topic + " feeds " + g.hits[child].Topic + ", as declared edges show"
	}
	return edge, true
}
