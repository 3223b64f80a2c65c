package query

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// DefaultTraceHops bounds a trace's answer where the request does not.
const DefaultTraceHops = 2000

// graph is a trace while it is put together. Edges name hops by their place in
// hits; the answer's order comes last.
type graph struct {
	traceID  string
	catalog  *catalog
	who      policy.Principal
	hits     []index.Hit
	edges    []answer.Edge
	bytes    map[schema.Position]*content // nil: payloads were not asked for
	evidence map[schema.Position]*content // what was read only to infer by
	ids      map[int]map[string]bool      // what idsOf found out
	aside    []bool                       // what findAside found
	stages   []stageOf
	diffs    []*answer.Diff
	outside  []outsideCause
	truncate bool

	notInferred int                // as answer.Trace.NotInferred
	missed      map[topicType]bool // kinds of which patternsOf learned nothing, in time or beyond maxLearn

	reached map[schema.Position]reach // of a flow: how records beyond the trace were come to
	flow    *answer.Flow              // nil: only the trace was asked for
	archive *answer.ArchiveLook       // nil: the index was asked
}

// Trace gives every committed record of a trace that the principal may see,
// with the edges between them; a limit of 0 is DefaultTraceHops. An
// *answer.NotFoundError says what was searched if there is none.
func (e *Engine) Trace(ctx context.Context, who policy.Principal, request answer.TraceRequest) (*answer.Trace, error) {
	g, err := e.graphOf(ctx, who, request)
	if err != nil {
		return nil, err
	}
	return g.trace(), nil
}

// graphOf reads a trace and puts it together.
func (e *Engine) graphOf(ctx context.Context, who policy.Principal, request answer.TraceRequest) (*graph, error) {
	spellings := extract.NormalizeID(request.TraceID)
	if len(spellings) == 0 {
		return nil, badTraceID(request.TraceID)
	}
	if request.Limit < 0 || request.Limit > answer.MaxTraceHops {
		return nil, schema.InvalidField("limit", "limit %d: want 1 to %d", request.Limit, answer.MaxTraceHops)
	}
	if request.Limit == 0 {
		request.Limit = DefaultTraceHops
	}
	if request.Archive {
		return e.archiveGraph(ctx, who, spellings, request)
	}
	if !request.From.IsZero() || !request.To.IsZero() {
		return nil, schema.InvalidField("from", "a range of time goes with a look into the archive itself; the index gives all of a trace")
	}
	g, err := e.hitsOf(ctx, who, spellings, request.Limit)
	if schema.KindOf(err) == schema.Unavailable {
		return nil, schema.WithHint(err, "without the index a trace is read from the archive itself, slower: annals trace --archive --from … --to …")
	}
	if err != nil {
		return nil, err
	}
	if len(g.hits) == 0 {
		return nil, g.catalog.noTrace(who, request.TraceID)
	}
	g.traceID = g.hits[0].TraceID
	if request.Flow {
		if err := e.follow(ctx, g, request); err != nil {
			return nil, err
		}
	}
	if err := e.connect(ctx, g, request); err != nil {
		return nil, err
	}
	e.decideStages(ctx, g)
	return g, nil
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	return t.UTC().Format(time.RFC3339)
}

// hitsOf reads the trace's rows and, at the same time, the catalog.
func (e *Engine) hitsOf(ctx context.Context, who policy.Principal, spellings []string, limit int) (*graph, error) {
	g := &graph{who: who}
	if !who.Topics.IsAll() {
		// What may be seen must be known before anything is read.
		c, err := e.catalog(ctx)
		if err != nil {
			return nil, err
		}
		g.catalog = c
		g.hits, g.truncate, err = e.options.Index.Trace(ctx, spellings, c.scope(who), limit)
		if err != nil {
			return nil, err
		}
	} else {
		group, both := errgroup.WithContext(ctx)
		group.Go(func() (err error) {
			g.catalog, err = e.catalog(both)
			return err
		})
		group.Go(func() (err error) {
			g.hits, g.truncate, err = e.options.Index.Trace(both, spellings, index.Scope{All: true}, limit)
			return err
		})
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	var err error
	g.hits, err = e.counting(ctx, g.catalog, g.hits)
	return g, err
}

// connect finds the edges, and with diffs what they changed.
func (e *Engine) connect(ctx context.Context, g *graph, request answer.TraceRequest) error {
	g.declare()
	group, all := errgroup.WithContext(ctx)
	group.Go(func() error { return e.resolveOutside(all, g) })
	var feeds *feeds
	if !request.FactsOnly {
		group.Go(func() (err error) {
			feeds, err = e.topology(all)
			return err
		})
	}
	if request.Diffs {
		group.Go(func() error {
			g.bytes = e.contents(all, g.catalog, g.hits, segment.Payload)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	switch {
	case request.FactsOnly:
	case g.flow != nil:
		e.inferEach(ctx, g, feeds)
	default:
		e.infer(ctx, g, feeds)
	}
	g.choosePrimary()
	if request.Diffs {
		g.compare()
	}
	return nil
}

// trace puts hops into causal order and sums up.
func (g *graph) trace() *answer.Trace {
	order, depth := g.causalOrder()
	place := make([]int, len(order))
	positions := make(map[schema.Position]int, len(g.reached))
	for to, from := range order {
		place[from] = to
		if g.flow != nil {
			positions[g.hits[from].Position] = to
		}
	}
	t := &answer.Trace{
		TraceID: g.traceID, Flow: g.sumFlow(), Archive: g.archive, Hops: make([]answer.Hop, len(order)), Edges: g.edges,
		NotInferred: g.notInferred, NotLearned: len(g.missed), Truncated: g.truncate, Searched: g.catalog.searched(g.who),
	}
	for to, from := range order {
		hop := answer.Hop{Hit: g.catalog.hit(&g.hits[from]), Depth: depth[from]}
		hop.Stage, hop.StageRule = g.stages[from].stage, g.stages[from].rule
		hop.Reached = g.reachedBy(from, positions)
		if c := g.bytes[hop.Position()]; c != nil && c.err == nil && !slices.Contains(c.withheld, "key") {
			hop.Key, hop.HasKey = c.record.Key, true
		}
		if d := g.diffs; d != nil && d[from] != nil {
			hop.Diff = d[from]
			hop.Diff.Parent = place[hop.Diff.Parent]
		}
		t.Hops[to] = hop
		addHit(t, &hop.Hit)
	}
	for i := range t.Edges {
		edge := &t.Edges[i]
		edge.Child = place[edge.Child]
		switch {
		case edge.Parent >= 0:
			edge.Parent = place[edge.Parent]
		case edge.Outside.Ghost:
			t.Ghosts++
		default:
			t.OutsideParents++
		}
	}
	slices.SortStableFunc(t.Edges, func(a, b answer.Edge) int { return a.Child - b.Child })
	slices.Sort(t.Topics)
	slices.Sort(t.Services)
	return t
}

func addHit(t *answer.Trace, h *answer.Hit) {
	if !slices.Contains(t.Topics, h.Topic) {
		t.Topics = append(t.Topics, h.Topic)
	}
	if h.Service != "" && !slices.Contains(t.Services, h.Service) {
		t.Services = append(t.Services, h.Service)
	}
	if h.Sealed {
		t.Sealed++
	}
	at := time.UnixMilli(h.Timestamp)
	if t.From.IsZero() || at.Before(t.From) {
		t.From = at
	}
	if t.To.IsZero() || at.After(t.To) {
		t.To = at
	}
}
