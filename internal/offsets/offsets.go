package offsets

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Source reads what a view does not hold.
type Source interface {
	// Gaps gives a commit's gaps, by offset.
	Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error)
	// Below adds up a commit's gaps as far as the latest view has them: see
	// [Gaps.AddBelow].
	Below(ctx context.Context, g ledger.Gapped) (Gaps, error)
	// RowsBelow counts the rows of a segment from its base to its until: its
	// commit counts all of them. See [CountRows].
	RowsBelow(ctx context.Context, s ledger.Segment) (schema.Counts, error)
}

// Class sums the gaps of one class.
type Class struct{ Ranges, Offsets int64 }

// Gaps are ranges and offsets that were not served, by class.
type Gaps map[schema.GapClass]Class

// Add adds so many ranges and offsets of a class.
func (s Gaps) Add(class schema.GapClass, ranges, offsets int64) {
	at := s[class]
	s[class] = Class{at.Ranges + ranges, at.Offsets + offsets}
}

// AddAll adds other sums.
func (s Gaps) AddAll(other Gaps) {
	for class, sum := range other {
		s.Add(class, sum.Ranges, sum.Offsets)
	}
}

// AddBelow adds a gap as far as it lies below an offset, and gives that part of it,
// if there is any.
func (s Gaps) AddBelow(gap schema.Gap, until int64) (part schema.Gap, any bool) {
	if gap.To = min(gap.To, until); gap.From >= gap.To {
		return gap, false
	}
	s.Add(gap.Class, 1, gap.To-gap.From)
	return gap, true
}

// Offsets are those of all classes.
func (s Gaps) Offsets() (n int64) {
	for _, sum := range s {
		n += sum.Offsets
	}
	return n
}

// Sum accounts for the offsets of a view, from From to before To.
type Sum struct {
	From, To int64
	Rows     schema.Counts
	Gaps     Gaps
	Purged   int64 // rows that were taken away
}

// Unaccounted is what is left over; anything but 0 is an alarm, and below it
// something was counted twice.
func (s Sum) Unaccounted() int64 {
	return s.To - s.From - s.Rows.Rows() - s.Gaps.Offsets() - s.Purged
}

// Beginning is the first offset that a chain accounts for: a divergence below
// the first in scope moves it down.
func Beginning(v *ledger.View) int64 {
	from := v.Genesis.Next
	for _, b := range v.Branches {
		from = min(from, b.Point)
	}
	return from
}

// Latest adds up what the latest view of a chain holds. An error is the source's.
func Latest(ctx context.Context, v *ledger.View, source Source) (Sum, error) {
	sum := Sum{From: Beginning(v), To: v.Head.Next, Gaps: Gaps{}}
	for _, s := range v.All() {
		rows := s.Records
		if s.Until < s.Next {
			rows = schema.Counts{}
			if s.IsCurrent() {
				var err error
				if rows, err = source.RowsBelow(ctx, s); err != nil {
					return sum, err
				}
			}
		}
		sum.Rows.Committed += rows.Committed
		sum.Rows.Aborted += rows.Aborted
		sum.Rows.Control += rows.Control
	}
	for _, g := range v.Gapped {
		below, err := source.Below(ctx, g)
		if err != nil {
			return sum, err
		}
		sum.Gaps.AddAll(below)
	}
	for _, s := range v.Removed {
		rows, err := removed(ctx, v, s, source)
		if err != nil {
			return sum, err
		}
		sum.Purged += rows
	}
	return sum, nil
}

// removed counts the rows that a purged segment had in the latest view. Its object
// is gone: what is no gap was a row.
func removed(ctx context.Context, v *ledger.View, s ledger.Segment, source Source) (int64, error) {
	if s.Until == s.Next {
		return s.Records.Rows(), nil
	}
	rows := s.Until - s.Base
	for _, g := range v.Gapped {
		if g.Commit.Branch != s.Branch || g.Commit.Next <= s.Base || g.Commit.Base >= s.Until {
			continue
		}
		gaps, err := source.Gaps(ctx, g.Commit)
		if err != nil {
			return 0, err
		}
		for _, gap := range gaps {
			rows -= max(0, min(gap.To, s.Until)-max(gap.From, s.Base))
		}
	}
	return rows, nil
}

// CountRows counts the rows of a segment that is open from its base to its until.
func CountRows(ctx context.Context, r *segment.Reader, s ledger.Segment) (schema.Counts, error) {
	var counts schema.Counts
	for row, err := range r.Rows(ctx, s.Base, s.Until, segment.Broker) {
		if err != nil {
			return counts, fmt.Errorf("count rows of %s: %w", s.Ref.Key, err)
		}
		switch row.Status {
		case schema.Aborted:
			counts.Aborted++
		case schema.Control:
			counts.Control++
		case schema.Undecided, schema.Committed:
			counts.Committed++
		}
	}
	return counts, nil
}
