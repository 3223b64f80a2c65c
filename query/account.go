package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// account is what one view of a chain adds up to. It does not change.
type account struct {
	view     *ledger.View
	from     int64 // the first offset that the latest view accounts for
	latest   answer.Account
	branches []answer.BranchCoverage
	newest   []answer.FoundGap

	// What later accounts of the same chain need not read again: of commits,
	// their gaps by class; of segments that a branch cut, their rows below it.
	gaps map[int64]gapSums
	cut  map[cutSegment]schema.Counts
}

type cutSegment struct {
	key   string
	until int64
}

// gapSums are ranges and offsets by class.
type gapSums map[schema.GapClass]classSum

type classSum struct{ ranges, offsets int64 }

func (s gapSums) add(class schema.GapClass, ranges, offsets int64) {
	at := s[class]
	s[class] = classSum{at.ranges + ranges, at.offsets + offsets}
}

func (s gapSums) addAll(other gapSums) {
	for class, sum := range other {
		s.add(class, sum.ranges, sum.offsets)
	}
}

// put writes the sums into an account, by class.
func (s gapSums) put(a *answer.Account) {
	a.Classes, a.GapRanges, a.GapOffsets = nil, 0, 0
	for class, sum := range s {
		a.Classes = append(a.Classes, answer.ClassCount{Class: class, Ranges: sum.ranges, Offsets: sum.offsets})
		a.GapRanges += sum.ranges
		a.GapOffsets += sum.offsets
	}
	slices.SortFunc(a.Classes, func(x, y answer.ClassCount) int { return cmp.Compare(x.Class, y.Class) })
}

func addRows(a *answer.Account, c schema.Counts) {
	a.Committed += c.Committed
	a.Aborted += c.Aborted
	a.Marker += c.Control
}

// sumOf is every offset that an account knows of.
func sumOf(a *answer.Account) int64 {
	return a.Committed + a.Aborted + a.Marker + a.Purged + a.GapOffsets
}

// accountFor adds up a view. known is an earlier account of the same chain, or
// nil.
func (e *Engine) accountFor(ctx context.Context, v *ledger.View, known *account) (*account, error) {
	if known != nil && known.view == v {
		return known, nil
	}
	a := &account{view: v, from: beginning(v), gaps: map[int64]gapSums{}, cut: map[cutSegment]schema.Counts{}}
	if err := e.addGaps(ctx, a, known); err != nil {
		return nil, fmt.Errorf("account for %s: %w", v.Stream, err)
	}
	if err := e.addSegments(ctx, a, known); err != nil {
		return nil, fmt.Errorf("account for %s: %w", v.Stream, err)
	}
	a.latest.Unaccounted = v.Head.Next - a.from - sumOf(&a.latest)
	for i := range a.branches {
		b := &a.branches[i]
		b.Unaccounted = b.To - b.From - sumOf(&b.Account)
	}
	return a, nil
}

// outline makes the branches' ranges. A branch ends where the divergence that
// ended it found the chain, and the last at the chain's next.
func (a *account) outline() {
	v := a.view
	for i, b := range v.Branches {
		from := b.Point
		if i == 0 {
			from = v.Genesis.Next
		}
		until := v.Head.Next
		for _, later := range v.Branches[i+1:] {
			until = min(until, later.Point)
		}
		a.branches = append(a.branches, answer.BranchCoverage{Branch: b.Number, From: from, Until: max(until, from), To: from})
	}
	reach := func(branch int32, next int64) {
		b := a.branch(branch)
		b.To = max(b.To, next)
	}
	for _, s := range v.All() {
		reach(s.Branch, s.Next)
	}
	for _, s := range v.Removed {
		reach(s.Branch, s.Next)
	}
	for _, g := range v.Gapped {
		reach(g.Commit.Branch, g.Commit.Next)
	}
}

func (a *account) branch(number int32) *answer.BranchCoverage {
	i := slices.IndexFunc(a.branches, func(b answer.BranchCoverage) bool { return b.Branch == number })
	return &a.branches[i] // a view has every branch that its segments and commits name
}

// newestGaps is how many gaps an account lists; Engine.Gaps gives them all.
const newestGaps = 50

func (e *Engine) addGaps(ctx context.Context, a *account, known *account) error {
	a.outline()
	latest := gapSums{}
	byBranch := map[int32]gapSums{}
	for i := len(a.view.Gapped) - 1; i >= 0; i-- {
		g := a.view.Gapped[i]
		whole := gapSums(nil)
		if known != nil {
			whole = known.gaps[g.Commit.Seq]
		}
		list := len(a.newest) < newestGaps && g.Until > g.Commit.Base
		current := gapSums{}
		if cut := g.Until < g.Commit.Next; whole == nil || cut || list {
			gaps, err := e.options.Ledger.Gaps(ctx, g.Commit)
			if err != nil {
				return err
			}
			whole = gapSums{}
			for j := len(gaps) - 1; j >= 0; j-- {
				gap := gaps[j]
				whole.add(gap.Class, 1, gap.To-gap.From)
				if gap.To = min(gap.To, g.Until); gap.From >= gap.To {
					continue
				}
				current.add(gap.Class, 1, gap.To-gap.From)
				if len(a.newest) < newestGaps {
					a.newest = append(a.newest, found(g.Commit, gap))
				}
			}
		} else {
			current = whole
		}
		a.gaps[g.Commit.Seq] = whole
		if byBranch[g.Commit.Branch] == nil {
			byBranch[g.Commit.Branch] = gapSums{}
		}
		byBranch[g.Commit.Branch].addAll(whole)
		latest.addAll(current)
	}
	latest.put(&a.latest)
	for number, sums := range byBranch {
		sums.put(&a.branch(number).Account)
	}
	return nil
}

func found(c *schema.Commit, gap schema.Gap) answer.FoundGap {
	return answer.FoundGap{
		Topic: c.Topic, TopicID: c.TopicID, Partition: c.Partition, Branch: c.Branch, Gap: gap, Seq: c.Seq, Found: clockOf(c),
	}
}

func (e *Engine) addSegments(ctx context.Context, a *account, known *account) error {
	for _, s := range a.view.All() {
		addRows(&a.branch(s.Branch).Account, s.Records)
		rows := s.Records
		if s.Until < s.Next {
			var err error
			if rows, err = e.rowsBelow(ctx, a, known, s); err != nil {
				return err
			}
		}
		addRows(&a.latest, rows)
	}
	for _, s := range a.view.Removed {
		a.branch(s.Branch).Purged += s.Records.Rows()
		if s.Until == s.Next {
			a.latest.Purged += s.Records.Rows()
			continue
		}
		// Its object is gone: what is no gap was a row.
		rows := s.Until - s.Base
		for _, g := range a.view.Gapped {
			if g.Commit.Branch != s.Branch || g.Commit.Next <= s.Base || g.Commit.Base >= s.Until {
				continue
			}
			gaps, err := e.options.Ledger.Gaps(ctx, g.Commit)
			if err != nil {
				return err
			}
			for _, gap := range gaps {
				rows -= max(0, min(gap.To, s.Until)-max(gap.From, s.Base))
			}
		}
		a.latest.Purged += rows
	}
	return nil
}

// rowsBelow counts the rows of a segment below the branch that cut it: its
// commit counts all of them.
func (e *Engine) rowsBelow(ctx context.Context, a, known *account, s ledger.Segment) (schema.Counts, error) {
	var counts schema.Counts
	if s.Until <= s.Base {
		return counts, nil
	}
	at := cutSegment{s.Ref.Key, s.Until}
	if known != nil {
		if counts, ok := known.cut[at]; ok {
			a.cut[at] = counts
			return counts, nil
		}
	}
	reader, err := e.segments.open(ctx, e.options.Store, segmentRef{s.Ref.Key, s.Ref.Bytes})
	if err != nil {
		return counts, fmt.Errorf("count rows of %s: %w", s.Ref.Key, err)
	}
	for row, err := range reader.Rows(ctx, s.Base, s.Until, segment.Broker) {
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
	a.cut[at] = counts
	return counts, nil
}
