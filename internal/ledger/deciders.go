package ledger

import (
	"context"

	"github.com/fx-risk-ai/annals/schema"
)

// Boundary is where a commit of the latest view left the chain, and the marker
// behind it that had decided rows below it; nil: none had.
type Boundary struct {
	Next      int64
	DecidedBy *schema.Decider
}

// Deciders gives the boundaries of the latest view, ascending. It reads the
// whole chain.
func (l *Ledger) Deciders(ctx context.Context, s schema.Stream) ([]Boundary, error) {
	var list []Boundary
	for e, err := range l.Commits(ctx, s, 0) {
		if err != nil {
			return nil, err
		}
		if !e.Commit.Kind.MovesNext() {
			continue
		}
		for len(list) > 0 && list[len(list)-1].Next >= e.Commit.Next {
			list = list[:len(list)-1]
		}
		list = append(list, Boundary{Next: e.Commit.Next, DecidedBy: e.Commit.DecidedBy})
	}
	return list, nil
}
