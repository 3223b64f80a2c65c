package query

import (
	"context"
	"slices"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// How sure a declared edge is: coordinates name one record, an event id should,
// a span id is the producer's own bookkeeping.
const (
	sureCoordinates = 1.00
	sureEvent       = 0.99
	sureSpan        = 0.90
)

// maxOutside bounds the parents that a trace has looked up in other traces.
const maxOutside = 10_000

// outsideCause is an edge whose parent is not among the hits.
type outsideCause struct {
	edge int
	id   index.ID
}

// members finds hits of the trace by what names them.
type members struct {
	events, spans, coordinates map[string][]int
}

func (g *graph) members() members {
	m := members{map[string][]int{}, map[string][]int{}, map[string][]int{}}
	for i := range g.hits {
		h := &g.hits[i]
		if h.EventID != "" {
			m.events[h.EventID] = append(m.events[h.EventID], i)
		}
		if h.SpanID != "" {
			m.spans[h.SpanID] = append(m.spans[h.SpanID], i)
		}
		at := h.Coordinates().String()
		m.coordinates[at] = append(m.coordinates[at], i)
	}
	return m
}

// declare makes an edge of every cause that a producer declared. Parents that
// are not in the trace are left for resolveOutside. A span that no record has
// is left out, since most spans are no records, and so is a record's own name.
func (g *graph) declare() {
	m := g.members()
	for child := range g.hits {
		for _, cause := range g.hits[child].Causes {
			edge := answer.Edge{Child: child, Parent: -1, Declared: true, Evidence: cause.String()}
			var named []int
			id := index.ID{Text: cause.ID}
			switch cause.Kind {
			case schema.CauseEvent:
				edge.Kind, edge.Rule, edge.Confidence = answer.CausedBy, "causation id", sureEvent
				named, id.Kind = m.events[cause.ID], schema.IDEvent
			case schema.CauseSpan:
				edge.Kind, edge.Rule, edge.Confidence = answer.CausedBy, "parent span id", sureSpan
				named = m.spans[cause.ID]
			case schema.CauseRecord:
				edge.Kind, edge.Rule, edge.Confidence = answer.DerivedFrom, "input coordinates", sureCoordinates
				named, id.Kind = m.coordinates[cause.ID], schema.IDRecord
			case schema.CauseCopy:
				edge.Kind, edge.Rule, edge.Confidence = copyKind(g.hits[child].Stage), "original's coordinates", sureCoordinates
				named, id.Kind = m.coordinates[cause.ID], schema.IDRecord
			}
			edge.Parent = g.original(child, named)
			if edge.Parent < 0 && (cause.Kind == schema.CauseSpan || len(named) > 0) {
				continue
			}
			if edge.Parent < 0 {
				edge.Outside = &answer.Outside{Ghost: true, ID: cause.ID}
				if len(g.outside) < maxOutside {
					g.outside = append(g.outside, outsideCause{edge: len(g.edges), id: id})
				} else {
					g.truncate = true
				}
			}
			g.edges = append(g.edges, edge)
		}
	}
}

func copyKind(stage schema.Stage) string {
	switch stage {
	case schema.StageDeadLetter:
		return answer.DeadLetter
	case schema.StageReplay:
		return answer.ReplayOf
	default:
		return answer.CopyOf
	}
}

// original picks the parent when several records bear the name, as copies do:
// the earliest that is no copy, on the newest branch; -1 if there is none.
func (g *graph) original(child int, named []int) int {
	best := -1
	for _, i := range named {
		if i == child || best >= 0 && !g.better(i, best) {
			continue
		}
		best = i
	}
	return best
}

func (g *graph) better(i, than int) bool {
	a, b := &g.hits[i], &g.hits[than]
	if isCopy(a) != isCopy(b) {
		return isCopy(b)
	}
	if a.Coordinates() == b.Coordinates() {
		return g.newer(a, b)
	}
	return a.Timestamp < b.Timestamp
}

// newer tells which of two records with the same coordinates a name means: the
// one of the topic's newest incarnation, on the newest branch.
func (g *graph) newer(a, b *index.Hit) bool {
	if a.TopicID != b.TopicID {
		return g.catalog.newest[a.Topic] == a.TopicID
	}
	return a.Branch > b.Branch
}

// lookBack is how long before a trace its parents in other traces are looked
// for first: joins over windows reach back weeks. What is not found there is
// looked for in all of the index, which costs more.
const lookBack = 92 * 24 * 3600 * 1000

// resolveOutside looks up the parents that are not in the trace. Those that
// the principal may not see, or nobody archived, stay ghosts.
func (e *Engine) resolveOutside(ctx context.Context, g *graph) error {
	if len(g.outside) == 0 {
		return nil
	}
	scope := g.catalog.scope(g.who)
	within := &index.Window{From: g.hits[0].Timestamp - lookBack, To: g.hits[len(g.hits)-1].Timestamp + 24*3600*1000}
	missing := g.outside
	for _, window := range []*index.Window{within, nil} {
		ids := make([]index.ID, len(missing))
		for i, cause := range missing {
			ids[i] = cause.id
		}
		found, more, err := e.options.Index.Resolve(ctx, ids, window, scope)
		if err != nil {
			return err
		}
		g.truncate = g.truncate || more
		missing = g.settle(missing, found)
		if len(missing) == 0 {
			return nil
		}
	}
	return nil
}

// settle fills in the parents that were found and gives the causes left.
func (g *graph) settle(causes []outsideCause, found []index.Found) (missing []outsideCause) {
	best := make(map[index.ID]*index.Hit, len(found))
	for i := range found {
		h := &found[i].Hit
		if _, counts := g.catalog.isSealed(h.Position); !counts || h.Status != schema.Committed {
			continue
		}
		have, ok := best[found[i].ID]
		if !ok || (have.Coordinates() == h.Coordinates() && g.newer(h, have)) ||
			(have.Coordinates() != h.Coordinates() && h.Timestamp < have.Timestamp) {
			best[found[i].ID] = h
		}
	}
	for _, cause := range causes {
		h, ok := best[cause.id]
		if !ok {
			missing = append(missing, cause)
			continue
		}
		g.edges[cause.edge].Outside = &answer.Outside{
			ID: cause.id.Text, Timestamp: h.Timestamp, TraceID: h.TraceID, EventType: h.EventType,
			Coordinates: &answer.Place{Topic: h.Topic, TopicID: h.TopicID, Partition: h.Partition, Branch: h.Branch, Offset: h.Offset},
		}
	}
	return missing
}

// choosePrimary marks, of each hop's parents in the trace, the one that the
// step is compared with: what it is a copy of, else the newest.
func (g *graph) choosePrimary() {
	best := make([]int, len(g.hits)) // place of the edge + 1
	for i := range g.edges {
		edge := &g.edges[i]
		if edge.Parent < 0 {
			continue
		}
		have := best[edge.Child]
		if have == 0 || g.closer(edge, &g.edges[have-1]) {
			best[edge.Child] = i + 1
		}
	}
	for _, at := range best {
		if at > 0 {
			g.edges[at-1].Primary = true
		}
	}
}

func (g *graph) closer(a, b *answer.Edge) bool {
	copies := []string{answer.DeadLetter, answer.ReplayOf, answer.CopyOf}
	if slices.Contains(copies, a.Kind) != slices.Contains(copies, b.Kind) {
		return slices.Contains(copies, a.Kind)
	}
	return g.hits[a.Parent].Timestamp > g.hits[b.Parent].Timestamp
}
