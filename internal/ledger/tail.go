package ledger

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/schema"
)

// lookBack bounds the commits that Tail reads one by one before it resolves
// the whole chain.
const lookBack = 4

// Tail gives the segments that hold the newest current rows of the chain that
// ends in head, the newest last: one where the head, or one of the few commits
// before it, put rows in place, at no cost where it is the head itself; else
// all current ones. None when nothing was archived. Errors are those of
// Commits.
func (l *Ledger) Tail(ctx context.Context, s schema.Stream, head Head) ([]Segment, error) {
	c := head.Commit
	for range lookBack {
		switch c.Kind {
		case schema.KindSegment:
			return []Segment{segmentOf(c, c.Branch, c.Next)}, nil
		case schema.KindGenesis:
			return nil, nil
		case schema.KindGap, schema.KindHold, schema.KindEnd:
		default: // what is current does not follow from the commits before alone
			return l.Segments(ctx, s)
		}
		before, err := l.commit(ctx, s, c.Seq-1)
		if err != nil {
			return nil, fmt.Errorf("find the newest rows: %w", missing(err, s, c.Seq-1))
		}
		if *c.Previous != before.Digest {
			return nil, schema.Errorf(schema.Corrupt, "find the newest rows: commit %d of %s names another previous commit than the one that is there", c.Seq, s)
		}
		c = before.Commit
	}
	return l.Segments(ctx, s)
}

// Epochs gives from which offset on which leader epoch's rows stand in the
// latest view, ascending (KIP-101). It reads the whole chain.
func (l *Ledger) Epochs(ctx context.Context, s schema.Stream) ([]schema.LeaderEpoch, error) {
	var epochs []schema.LeaderEpoch
	for e, err := range l.Commits(ctx, s, 0) {
		if err != nil {
			return nil, err
		}
		switch e.Commit.Kind {
		case schema.KindDivergence:
			for len(epochs) > 0 && epochs[len(epochs)-1].Start >= e.Commit.Next {
				epochs = epochs[:len(epochs)-1]
			}
		case schema.KindSegment:
			for _, next := range e.Commit.LeaderEpochs {
				if n := len(epochs); n == 0 || epochs[n-1].Epoch != next.Epoch {
					epochs = append(epochs, next)
				}
			}
		default:
		}
	}
	return epochs, nil
}
