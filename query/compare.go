package query

import (
	"fmt"

	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// compare gives every hop with a parent in the trace the difference between
// the two.
func (g *graph) compare() {
	g.diffs = make([]*answer.Diff, len(g.hits))
	for i := range g.edges {
		if edge := &g.edges[i]; edge.Primary {
			g.diffs[edge.Child] = g.diff(edge.Parent, edge.Child)
		}
	}
}

func (g *graph) diff(parent, child int) *answer.Diff {
	d := &answer.Diff{Parent: parent}
	from, to := g.bytes[g.hits[parent].Position], g.bytes[g.hits[child].Position]
	for _, side := range []struct {
		whose string
		c     *content
	}{{"parent's", from}, {"record's own", to}} {
		if side.c == nil {
			d.Note = fmt.Sprintf("the %s payload was not read", side.whose)
			return d
		}
		if side.c.err != nil {
			d.Note = fmt.Sprintf("the %s payload could not be read: %v", side.whose, side.c.err)
			return d
		}
		if side.c.hidesValue() {
			d.Note = fmt.Sprintf("the %s payload is withheld by its topic's policy", side.whose)
			return d
		}
	}
	result, err := payload.Diff(from.document, to.document)
	if err != nil {
		d.Note = err.Error()
		return d
	}
	d.Comparable, d.Note, d.Truncated = result.Comparable, result.Note, result.Truncated
	for _, c := range []*content{from, to} {
		if c.undecoded != "" && !d.Comparable {
			d.Note += fmt.Sprintf("; %s/%d/%d was not decoded: %s", c.raw.Topic, c.raw.Partition, c.raw.Offset, c.undecoded)
		}
	}
	d.Changes = make([]answer.Change, len(result.Changes))
	for i, c := range result.Changes {
		d.Changes[i] = answer.Change{Op: c.Op, Path: c.Path, From: c.From, To: c.To, MovedFrom: c.MovedFrom, Envelope: c.Envelope}
	}
	return d
}
