package custody

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// fetch copies the object that holds a segment's rows. Since the export was
// planned the segment may have been joined with others, and its own object
// collected: then it is the one that the chain names now. Its rows, their seed
// and their record root are the same.
func (j *export) fetch(ctx context.Context, part ledger.Segment) (*spoolFile, error) {
	spooled, err := j.spool.fetch(ctx, j.options.Store, part)
	if schema.KindOf(err) != schema.NotFound {
		return spooled, err
	}
	for _, s := range j.plan.streams {
		if !s.holds(part) {
			continue
		}
		now, viewErr := j.options.Ledger.View(ctx, s.view.Stream, s.view)
		if viewErr != nil {
			return nil, viewErr
		}
		if holding, ok := now.Holding(part.Branch, part.Base); ok && holding.Ref.Key != part.Ref.Key {
			return j.spool.fetch(ctx, j.options.Store, holding)
		}
	}
	return nil, err
}

func (s *selection) holds(part ledger.Segment) bool {
	for i := range s.picks {
		if s.picks[i].part.Ref.Key == part.Ref.Key {
			return true
		}
	}
	return false
}

// takenParts counts which parts of a segment go into the bag.
type takenParts struct {
	parts []segment.Part
	taken []int64
	at    int
}

// partsOf holds a file against the commit of a segment whose rows it has: the
// file is the segment's own, or one that it was joined into.
func partsOf(f *segment.Footer, part ledger.Segment) (*takenParts, error) {
	parts := f.PartsIn(part.Base, part.Next)
	var rows int64
	for i := range parts {
		rows += parts[i].Rows
	}
	if len(parts) == 0 || segment.RecordRoot(parts) != part.Ref.RecordRoot || rows != part.Records.Rows() || f.Branch != part.Branch {
		return nil, schema.Errorf(schema.Corrupt, "segment %s: the footer of the object with its rows is not what commit %d says", part.Ref.Key, part.Seq)
	}
	return &takenParts{parts: parts, taken: make([]int64, len(parts))}, nil
}

// count notes a row that was taken; offsets rise.
func (t *takenParts) count(offset int64) {
	for t.at+1 < len(t.parts) && offset > t.parts[t.at].LastOffset {
		t.at++
	}
	t.taken[t.at]++
}

// disclose gives the seeds of what was taken as a whole.
func (t *takenParts) disclose(s *source) {
	any := false
	list := make([]sourcePart, len(t.parts))
	for i := range t.parts {
		p := &t.parts[i]
		list[i] = sourcePart{FirstOffset: p.FirstOffset, LastOffset: p.LastOffset, Rows: p.Rows, RecordRoot: p.RecordRoot}
		if t.taken[i] == p.Rows {
			list[i].Seed, any = &p.Seed, true
		}
	}
	switch {
	case len(list) == 1:
		s.Seed = list[0].Seed
	case any:
		s.Parts = list
	}
}

// openPart is a part with what was found of it.
type openPart struct {
	sourcePart
	tree proof.Tree
}

// checkParts holds a source's parts against its commit. It returns what does
// not fit.
func (s *source) checkParts(c *schema.Commit) string {
	if len(s.Parts) == 0 {
		return ""
	}
	if s.Seed != nil {
		return "has a seed both for the whole and for its parts"
	}
	roots := make([]schema.Digest, len(s.Parts))
	var rows int64
	next := c.Base
	for i, p := range s.Parts {
		if p.FirstOffset < next || p.LastOffset < p.FirstOffset || p.LastOffset >= c.Next || p.Rows < 1 || p.Rows > c.Records.Rows() {
			return fmt.Sprintf("cannot have the part from offset %d to %d", p.FirstOffset, p.LastOffset)
		}
		next = p.LastOffset + 1
		roots[i] = p.RecordRoot
		rows += p.Rows
	}
	if rows != c.Records.Rows() || proof.RootOfSubtrees(roots) != c.Segment.RecordRoot {
		return "joins other rows than " + scopeFile + " says"
	}
	return ""
}

func openParts(s *source, c *schema.Commit) []openPart {
	var open []openPart
	if s.Seed != nil {
		return []openPart{{sourcePart: sourcePart{
			FirstOffset: s.Base, LastOffset: s.Until - 1, Rows: c.Records.Rows(), RecordRoot: c.Segment.RecordRoot, Seed: s.Seed,
		}}}
	}
	for _, p := range s.Parts {
		open = append(open, openPart{sourcePart: p})
	}
	return open
}

// leaf adds a row to its part's tree. It returns what is wrong with it.
func (s *openSource) leaf(hasher *proof.Hasher, r *schema.Record) string {
	for i := range s.parts {
		p := &s.parts[i]
		if r.Offset > p.LastOffset {
			continue
		}
		if r.Offset < p.FirstOffset {
			return "lies in no part of its segment"
		}
		if p.Seed != nil {
			p.tree.Append(hasher.Leaf(*p.Seed, r))
		}
		return ""
	}
	if len(s.parts) > 0 {
		return "lies in no part of its segment"
	}
	return ""
}
