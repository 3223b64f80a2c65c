package query

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of what is learned of how records of a topic and type name parents.
const (
	maxPatterns     = 10_000
	patternAge      = 10 * time.Minute
	patternTraces   = 24   // read for one topic and type
	patternHits     = 1000 // among which they are found
	patternHops     = 500  // of a trace to learn from: longer ones are left out
	patternChildren = 60   // enough to know by
	fewChildren     = 3    // too few to know anything by
)

// patternPatience is how long one request learns, all that it does. Tests wait
// longer: what they measure is not how busy a machine is.
var patternPatience = 3 * time.Second

// pattern is what records of one topic and type, that declare their parents, have
// shown of them: each way of choosing was held against what they declare. It does
// not change.
type pattern struct {
	children int // that declare a parent in their trace
	outside  int // parents that they and others of the type declare in other traces
	feeds    []feedPattern
}

// feedPattern is a pattern's part about parents of one topic and type.
type feedPattern struct {
	parent topicType
	used   int // children that declare a parent of it
	scores [ways]score
}

// score counts what a way said of edges that were declared.
type score struct{ claimed, right, declared int }

func (s *score) add(chosen, declared []int) {
	s.claimed += len(chosen)
	s.declared += len(declared)
	for _, i := range chosen {
		if slices.Contains(declared, i) {
			s.right++
		}
	}
}

// precision is how often the way was right, nearer to a half the less often it
// was tried.
func (s *score) precision() float64 { return float64(s.right+1) / float64(s.claimed+2) }

// merit is the harmonic mean of precision and recall.
func (s *score) merit() float64 {
	if s.claimed+s.declared == 0 {
		return 0
	}
	return 2 * float64(s.right) / float64(s.claimed+s.declared)
}

// leastPrecision is what a way must have shown for anything to be claimed by it;
// asGood by how much less merit a way may have that need not read payloads.
const (
	leastPrecision = 0.5
	asGood         = 0.02
)

// way gives the best way, and false if none is good enough.
func (f *feedPattern) way() (way, bool) {
	best, merit := ways, 0.0
	for w := range ways {
		s := &f.scores[w]
		if s.precision() <= leastPrecision {
			continue
		}
		better := s.merit() > merit
		if best < ways && w.reads() && !best.reads() {
			better = s.merit() > merit+asGood
		}
		if better {
			best, merit = w, s.merit()
		}
	}
	return best, best < ways
}

// knownPatterns remembers patterns.
type knownPatterns struct {
	learning sync.Mutex // held while one is learned: the same traces teach all who wait
	mu       sync.Mutex
	known    map[topicType]knownPattern
}

type knownPattern struct {
	*pattern      // nil: nothing
	missed   bool // nothing was learned that could have been
	until    time.Time
}

func (k *knownPatterns) get(t topicType) (have knownPattern, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	have, ok = k.known[t]
	return have, ok && time.Now().Before(have.until)
}

func (k *knownPatterns) set(t topicType, p *pattern, missed bool, age time.Duration) knownPattern {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= maxPatterns {
		k.known = map[topicType]knownPattern{}
	}
	have := knownPattern{p, missed, time.Now().Add(age)}
	k.known[t] = have
	return have
}

// patternsOf gives what is known of the topics and types of hops that declare no
// parent, and learns what is not. It is a help only: what cannot be learned in
// time, or is beyond maxLearn, is inferred without it, and the graph says so. Like the
// topology it is of all topics: it only chooses between records that the principal
// sees anyhow.
func (e *Engine) patternsOf(ctx context.Context, g *graph, f *feeds) map[topicType]*pattern {
	bounded, cancel := context.WithTimeout(ctx, patternPatience)
	defer cancel()
	known := map[topicType]*pattern{}
	for child, declared := range g.declared() {
		h := &g.hits[child]
		key := topicType{h.Topic, h.EventType}
		if _, done := known[key]; done || declared || !g.mayBeInferred(child) || len(f.types[key]) == 0 {
			continue
		}
		if len(known) == maxLearn {
			g.miss(key)
			continue
		}
		p, ok := e.patterns.get(key)
		if !ok {
			p = e.learnPattern(bounded, g.catalog, f, key)
		}
		if known[key] = p.pattern; p.missed {
			g.miss(key)
		}
	}
	return known
}

// miss notes that hops of a topic and type are inferred without what could be known of
// others.
func (g *graph) miss(key topicType) {
	if g.missed == nil {
		g.missed = map[topicType]bool{}
	}
	g.missed[key] = true
}

func (e *Engine) learnPattern(ctx context.Context, c *catalog, f *feeds, key topicType) knownPattern {
	e.patterns.learning.Lock()
	defer e.patterns.learning.Unlock()
	before, ok := e.patterns.get(key)
	if ok {
		return before
	}
	p, err := e.readPattern(ctx, c, f, key)
	switch {
	case err == nil:
		return e.patterns.set(key, p, false, patternAge)
	case ctx.Err() != nil && p != nil && p.children >= fewChildren: // it is of fewer traces
		return e.patterns.set(key, p, false, lateAge)
	case ctx.Err() != nil:
		return e.patterns.set(key, before.pattern, before.pattern == nil, lateAge)
	default:
		e.logger.Debug("how parents are named was not learned", "topic", key.topic, "event_type", key.eventType, "err", err)
		return e.patterns.set(key, before.pattern, before.pattern == nil, retryAge)
	}
}

// readPattern reads traces of the last records of a topic and type that declared
// their parents. With an error comes what was read until then; nil: nothing.
func (e *Engine) readPattern(ctx context.Context, c *catalog, f *feeds, key topicType) (*pattern, error) {
	until := f.newest[key] + 1
	filter := index.Filter{Topics: []index.Incarnation{{Topic: key.topic, TopicID: c.newest[key.topic]}}, EventType: key.eventType, To: &until}
	hits, _, err := e.options.Index.Search(ctx, filter, index.Scope{All: true}, patternHits)
	if err != nil {
		return nil, err
	}
	var traces []string
	seen := map[string]bool{"": true}
	for i := range hits {
		if id := hits[i].TraceID; !seen[id] {
			seen[id] = true
			traces = append(traces, id)
		}
	}
	p := &pattern{}
	// Of many, some of the whole span: the last ones may be of one odd hour.
	step := max(1, len(traces)/patternTraces)
	for i := 0; i < len(traces) && p.children < patternChildren; i += step {
		if err = e.learnFromTrace(ctx, c, key, traces[i], p); err != nil {
			break
		}
	}
	slices.SortFunc(p.feeds, func(a, b feedPattern) int {
		return cmp.Or(b.used-a.used, cmp.Compare(a.parent.topic, b.parent.topic), cmp.Compare(a.parent.eventType, b.parent.eventType))
	})
	return p, err
}

// learnFromTrace holds each way against what records of one trace declare.
func (e *Engine) learnFromTrace(ctx context.Context, c *catalog, key topicType, trace string, into *pattern) error {
	found, more, err := e.options.Index.Trace(ctx, []string{trace}, index.Scope{All: true}, patternHops)
	if err != nil || more { // of a part of a trace nothing is learned
		return err
	}
	g := &graph{catalog: c, who: policy.Everything()}
	if g.hits, err = e.counting(ctx, c, found); err != nil {
		return err
	}
	g.declare()
	e.findAside(g)
	declared, outside := map[int][]int{}, 0
	for i := range g.edges {
		edge := &g.edges[i]
		h := &g.hits[edge.Child]
		switch {
		case h.Topic != key.topic || h.EventType != key.eventType || g.aside[edge.Child]:
		case edge.Parent < 0:
			outside++
		default:
			declared[edge.Child] = append(declared[edge.Child], edge.Parent)
		}
	}
	if len(declared) == 0 {
		into.outside += outside
		return nil
	}
	parents := into.addFeeds(g, declared)
	var wanted []index.Hit
	for i := range g.hits {
		h := &g.hits[i]
		if kind := (topicType{h.Topic, h.EventType}); kind == key || parents[kind] {
			wanted = append(wanted, *h)
		}
	}
	g.bytes = e.contents(ctx, c, wanted, segment.Payload)
	if err := ctx.Err(); err != nil {
		return err // of payloads that were not read nothing is learned
	}
	into.outside += outside
	lanes := g.lanes()
	for child, of := range declared {
		into.children++
		for i := range into.feeds {
			into.feeds[i].hold(g, child, of, lanes)
		}
	}
	return nil
}

// addFeeds adds the topics and types of declared parents, and gives all that the
// pattern has.
func (p *pattern) addFeeds(g *graph, declared map[int][]int) map[topicType]bool {
	all := map[topicType]bool{}
	for i := range p.feeds {
		all[p.feeds[i].parent] = true
	}
	for _, parents := range declared {
		for _, i := range parents {
			of := topicType{g.hits[i].Topic, g.hits[i].EventType}
			if !all[of] && len(all) < maxLearn {
				all[of] = true
				p.feeds = append(p.feeds, feedPattern{parent: of})
			}
		}
	}
	return all
}

// hold counts what each way says of one child whose parents are declared.
func (f *feedPattern) hold(g *graph, child int, declared []int, lanes map[schema.StreamKey][]int) {
	var own []int
	for _, parent := range declared {
		if h := &g.hits[parent]; h.Topic == f.parent.topic && h.EventType == f.parent.eventType {
			own = append(own, parent)
		}
	}
	if len(own) == 0 {
		return // of which feed a child is, is judged by how often each is used
	}
	f.used++
	candidates := g.ofType(child, f.parent)
	for w := range ways {
		f.scores[w].add(g.choose(w, child, candidates, lanes), own)
	}
}

// ofType are the hops of a topic and type that could be a child's parents: no
// later than it, and no copies.
func (g *graph) ofType(child int, of topicType) (candidates []int) {
	h := &g.hits[child]
	for _, i := range g.earlier(child) {
		p := &g.hits[i]
		if p.Topic == of.topic && p.EventType == of.eventType && p.Topic != h.Topic && !g.aside[i] {
			candidates = append(candidates, i)
		}
	}
	return candidates
}

// mayBeInferred tells whether a parent is looked for where none is declared.
func (g *graph) mayBeInferred(hop int) bool {
	return !g.aside[hop] && g.hits[hop].Stage != schema.StageIngestion
}
