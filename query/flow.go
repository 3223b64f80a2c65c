package query

import (
	"context"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a flow. What they cut is said.
const (
	maxFlowSteps = 8                                // from the trace that was asked for
	flowHub      = 100                              // records that one id or trace may lead to
	flowReads    = 2000                             // payloads read for ids
	flowSpan     = int64(92 * 24 * time.Hour / 1e6) // before and after the trace, milliseconds
)

// reach is how a record was come to.
type reach struct {
	how  string
	id   string
	from schema.Position
	step int
}

// flow is a trace while it is followed beyond its trace id.
type flow struct {
	*graph
	engine *Engine
	facts  bool // nothing is followed that is a guess
	limit  int
	window index.Window
	have   map[schema.Position]bool
	traces map[string]bool // whose records were all asked for
	asked  map[index.ID]bool
	reads  int // payloads read
	cuts   []answer.FlowCut
	steps  int
}

// follow adds to a trace's hits the records of other traces that belong with it:
// those that its records name, those that name them, those that forwarded trace
// headers tie to them, those that share a correlation or business id, and of each
// the rest of its trace. It goes on from these, step by step.
func (e *Engine) follow(ctx context.Context, g *graph, request answer.TraceRequest) error {
	g.reached = map[schema.Position]reach{}
	f := &flow{
		graph: g, engine: e, facts: request.FactsOnly, limit: request.Limit,
		window: index.Window{From: g.hits[0].Timestamp - flowSpan, To: g.hits[len(g.hits)-1].Timestamp + flowSpan},
		have:   map[schema.Position]bool{}, traces: map[string]bool{}, asked: map[index.ID]bool{},
	}
	fresh := slices.Clone(g.hits)
	for i := range fresh {
		f.have[fresh[i].Position] = true
		f.traces[fresh[i].TraceID] = true
	}
	for len(fresh) > 0 && f.steps < maxFlowSteps && !g.truncate {
		f.steps++
		next, err := f.step(ctx, fresh)
		if err != nil {
			return err
		}
		fresh = next
	}
	switch {
	case g.truncate:
		f.cut(answer.FlowCutLimit, "", "", len(g.hits))
	case len(fresh) > 0:
		f.cut(answer.FlowCutSteps, "", "", len(fresh))
	}
	slices.SortFunc(g.hits, oldestFirst)
	g.flow = &answer.Flow{
		Steps: f.steps, Cuts: f.cuts,
		From: time.UnixMilli(f.window.From), To: time.UnixMilli(f.window.To),
	}
	return nil
}

func (f *flow) cut(why, how, id string, records int) {
	for i := range f.cuts {
		if c := &f.cuts[i]; c.Why == why && c.ID == id && c.How == how {
			c.Records = max(c.Records, records)
			return
		}
	}
	f.cuts = append(f.cuts, answer.FlowCut{Why: why, How: how, ID: id, Records: records})
}

// clue is an id that leads on from a record.
type clue struct {
	index.ID
	how  string
	from schema.Position
	text string // the id as the answer shows it
}

// step gives the records that are one step from some.
func (f *flow) step(ctx context.Context, from []index.Hit) ([]index.Hit, error) {
	own, others := f.clues(ctx, from)
	scope := f.catalog.scope(f.who)
	index := f.engine.options.Index
	found, more, err := index.ResolveWhole(ctx, idsOf(own), &f.window, scope)
	if err != nil {
		return nil, err
	}
	named, moreNamed, err := index.Lookup(ctx, idsOf(others), &f.window, scope)
	if err != nil {
		return nil, err
	}
	if more || moreNamed {
		f.cut(answer.FlowCutLookup, "", "", len(found)+len(named))
	}
	fresh, err := f.take(ctx, append(found, named...), append(own, others...))
	if err != nil || f.truncate {
		return fresh, err
	}
	mates, err := f.mates(ctx, fresh)
	return append(fresh, mates...), err
}

func idsOf(clues []clue) []index.ID {
	ids := make([]index.ID, len(clues))
	for i := range clues {
		ids[i] = clues[i].ID
	}
	return ids
}

// clues gives what leads on from records: own are ids of the records themselves
// that are looked for, others are ids by which these may be referred to, or that
// they share.
func (f *flow) clues(ctx context.Context, from []index.Hit) (own, others []clue) {
	add := func(list *[]clue, at *index.Hit, how string, kind schema.IDKind, id, text string) {
		key := index.ID{Kind: kind, Text: id}
		if id != "" && !f.asked[key] {
			f.asked[key] = true
			*list = append(*list, clue{key, how, at.Position, text})
		}
	}
	for i := range from {
		h := &from[i]
		for _, cause := range h.Causes {
			switch cause.Kind {
			case schema.CauseEvent:
				add(&own, h, answer.FlowCause, schema.IDEvent, cause.ID, cause.String())
			case schema.CauseRecord, schema.CauseCopy:
				add(&own, h, answer.FlowCause, schema.IDRecord, cause.ID, cause.String())
			}
		}
		add(&others, h, answer.FlowEffect, schema.RefEvent, h.EventID, "event:"+h.EventID)
		at := h.Coordinates().String()
		add(&others, h, answer.FlowEffect, schema.RefRecord, at, "record:"+at)
		add(&others, h, answer.FlowForwarded, schema.RefTrace, h.TraceID, h.TraceID)
	}
	reads := from[:min(len(from), flowReads-f.reads)]
	f.reads += len(reads)
	if left := len(from) - len(reads); left > 0 {
		f.cut(answer.FlowCutReads, "", "", left)
	}
	contents := f.engine.contents(ctx, f.catalog, reads, segment.Payload)
	unread := 0
	for i := range reads {
		h := &reads[i]
		c := contents[h.Position]
		if c.err != nil || c.raw == nil {
			unread++
			continue
		}
		var x schema.Extraction
		f.engine.options.Extract.Extract(c.raw, &x)
		for _, id := range x.Identifiers {
			switch id.Kind {
			case schema.RefSpan: // the publish span of the record whose headers were forwarded
				add(&others, h, answer.FlowForwarded, schema.IDSpan, id.ID, id.ID)
			case schema.IDCorrelation:
				if !f.facts {
					add(&others, h, answer.FlowSharedID, schema.IDCorrelation, id.ID, id.ID)
				}
			}
		}
	}
	if unread > 0 {
		f.cut(answer.FlowCutUnread, "", "", unread)
	}
	return own, others
}

// take keeps what was found and is new. An id that leads to too many records is a
// hub, such as a customer or a constant: it is said, and leads nowhere.
func (f *flow) take(ctx context.Context, found []index.Found, clues []clue) ([]index.Hit, error) {
	byID := make(map[index.ID]*clue, len(clues))
	for i := range clues {
		byID[clues[i].ID] = &clues[i]
	}
	count := map[index.ID]int{}
	for i := range found {
		count[found[i].ID]++
	}
	var hits []index.Hit
	for i := range found {
		h, c := &found[i].Hit, byID[found[i].ID]
		if n := count[found[i].ID]; n > flowHub {
			f.cut(answer.FlowCutHub, c.how, c.text, n)
			continue
		}
		if h.Status != schema.Committed || f.have[h.Position] {
			continue
		}
		if _, ok := f.reached[h.Position]; !ok {
			f.reached[h.Position] = reach{how: c.how, id: c.text, from: c.from, step: f.steps}
		}
		hits = append(hits, *h)
	}
	return f.admit(ctx, hits)
}

// admit adds records to the flow, as many as there is room for.
func (f *flow) admit(ctx context.Context, hits []index.Hit) ([]index.Hit, error) {
	hits, err := f.engine.counting(ctx, f.catalog, hits)
	if err != nil {
		return nil, err
	}
	var fresh []index.Hit
	for i := range hits {
		switch {
		case f.have[hits[i].Position]:
		case len(f.hits) >= f.limit:
			f.truncate = true
		default:
			f.have[hits[i].Position] = true
			f.hits = append(f.hits, hits[i])
			fresh = append(fresh, hits[i])
		}
	}
	return fresh, nil
}

// mates gives the rest of the traces of records that were come to. A trace of very
// many records is a batch of what has little in common: it is said, and its rest
// left out.
func (f *flow) mates(ctx context.Context, fresh []index.Hit) ([]index.Hit, error) {
	var ids []string
	first := map[string]schema.Position{}
	for i := range fresh {
		if id := fresh[i].TraceID; id != "" && !f.traces[id] {
			f.traces[id], first[id] = true, fresh[i].Position
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found, more, err := f.engine.options.Index.Trace(ctx, ids, f.catalog.scope(f.who), index.MaxTrace)
	if err != nil {
		return nil, err
	}
	if more {
		f.cut(answer.FlowCutLookup, answer.FlowTrace, "", len(found))
	}
	count := map[string]int{}
	for i := range found {
		count[found[i].TraceID]++
	}
	var hits []index.Hit
	for i := range found {
		h := &found[i]
		if n := count[h.TraceID]; n > flowHub {
			f.cut(answer.FlowCutHub, answer.FlowTrace, h.TraceID, n)
			continue
		}
		if h.Timestamp < f.window.From || h.Timestamp > f.window.To || f.have[h.Position] {
			continue
		}
		f.reached[h.Position] = reach{how: answer.FlowTrace, id: h.TraceID, from: first[h.TraceID], step: f.steps}
		hits = append(hits, *h)
	}
	return f.admit(ctx, hits)
}

// inferEach infers within each trace of a flow.
func (e *Engine) inferEach(ctx context.Context, g *graph, known *feeds) {
	places := map[string][]int{}
	var traces []string
	for i := range g.hits {
		id := g.hits[i].TraceID
		if id == "" {
			continue
		}
		if places[id] == nil {
			traces = append(traces, id)
		}
		places[id] = append(places[id], i)
	}
	declared := g.edges
	for _, id := range traces {
		part := &graph{catalog: g.catalog, who: g.who, bytes: g.bytes}
		at := make(map[int]int, len(places[id])) // place in the part
		for to, from := range places[id] {
			at[from] = to
			part.hits = append(part.hits, g.hits[from])
		}
		for _, edge := range declared {
			if child, ok := at[edge.Child]; ok {
				edge.Child = child
				if parent, inside := at[edge.Parent]; inside {
					edge.Parent = parent
				} else {
					edge.Parent = -1 // of another trace: nothing is inferred for the child
				}
				part.edges = append(part.edges, edge)
			}
		}
		own := len(part.edges)
		e.infer(ctx, part, known)
		for _, edge := range part.edges[own:] {
			edge.Child, edge.Parent = places[id][edge.Child], places[id][edge.Parent]
			g.edges = append(g.edges, edge)
		}
		g.notInferred += part.notInferred
		for key := range part.missed {
			g.miss(key)
		}
	}
}

// reachedBy tells how a hop was come to; nil for those of the trace itself.
func (g *graph) reachedBy(hop int, place map[schema.Position]int) *answer.Reached {
	r, ok := g.reached[g.hits[hop].Position]
	if !ok {
		return nil
	}
	from, known := place[r.from]
	if !known {
		from = -1
	}
	return &answer.Reached{How: r.how, ID: r.id, From: from, Step: r.step, Inferred: r.how == answer.FlowSharedID}
}

// sumFlow fills in which traces a flow has.
func (g *graph) sumFlow() *answer.Flow {
	if g.flow == nil {
		return nil
	}
	for i := range g.hits {
		if id := g.hits[i].TraceID; id != "" && !slices.Contains(g.flow.Traces, id) {
			g.flow.Traces = append(g.flow.Traces, id)
		}
	}
	return g.flow
}
