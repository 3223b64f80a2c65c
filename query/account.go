package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/offsets"
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
	gaps map[int64]offsets.Gaps
	cut  map[cutSegment]schema.Counts
}

type cutSegment struct {
	key   string
	until int64
}

// putGaps writes sums into an account, by class.
func putGaps(a *answer.Account, s offsets.Gaps) {
	a.Classes, a.GapRanges, a.GapOffsets = nil, 0, 0
	for class, sum := range s {
		a.Classes = append(a.Classes, answer.ClassCount{Class: class, Ranges: sum.Ranges, Offsets: sum.Offsets})
		a.GapRanges += sum.Ranges
		a.GapOffsets += sum.Offsets
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
	a := &account{view: v, gaps: map[int64]offsets.Gaps{}, cut: map[cutSegment]schema.Counts{}}
	below, err := e.addGaps(ctx, a, known)
	if err != nil {
		return nil, fmt.Errorf("account for %s: %w", v.Stream, err)
	}
	sum, err := offsets.Latest(ctx, v, &viewed{e, a, known, below})
	if err != nil {
		return nil, fmt.Errorf("account for %s: %w", v.Stream, err)
	}
	a.from = sum.From
	addRows(&a.latest, sum.Rows)
	putGaps(&a.latest, sum.Gaps)
	a.latest.Purged, a.latest.Unaccounted = sum.Purged, sum.Unaccounted()
	for _, s := range v.All() {
		addRows(&a.branch(s.Branch).Account, s.Records)
	}
	for _, s := range v.Removed {
		a.branch(s.Branch).Purged += s.Records.Rows()
	}
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

// addGaps adds up the gaps of each branch, and lists the newest. It gives, by seq,
// what of each commit's is in the latest view.
func (e *Engine) addGaps(ctx context.Context, a *account, known *account) (map[int64]offsets.Gaps, error) {
	a.outline()
	below := map[int64]offsets.Gaps{}
	byBranch := map[int32]offsets.Gaps{}
	for i := len(a.view.Gapped) - 1; i >= 0; i-- {
		g := a.view.Gapped[i]
		whole := offsets.Gaps(nil)
		if known != nil {
			whole = known.gaps[g.Commit.Seq]
		}
		list := len(a.newest) < newestGaps && g.Until > g.Commit.Base
		current := offsets.Gaps{}
		if cut := g.Until < g.Commit.Next; whole == nil || cut || list {
			gaps, err := e.options.Ledger.Gaps(ctx, g.Commit)
			if err != nil {
				return nil, err
			}
			whole = offsets.Gaps{}
			for j := len(gaps) - 1; j >= 0; j-- {
				whole.Add(gaps[j].Class, 1, gaps[j].To-gaps[j].From)
				part, some := current.AddBelow(gaps[j], g.Until)
				if some && len(a.newest) < newestGaps {
					a.newest = append(a.newest, found(g.Commit, part))
				}
			}
		} else {
			current = whole
		}
		a.gaps[g.Commit.Seq], below[g.Commit.Seq] = whole, current
		if byBranch[g.Commit.Branch] == nil {
			byBranch[g.Commit.Branch] = offsets.Gaps{}
		}
		byBranch[g.Commit.Branch].AddAll(whole)
	}
	for number, sums := range byBranch {
		putGaps(&a.branch(number).Account, sums)
	}
	return below, nil
}

func found(c *schema.Commit, gap schema.Gap) answer.FoundGap {
	return answer.FoundGap{
		Topic: c.Topic, TopicID: c.TopicID, Partition: c.Partition, Branch: c.Branch, Gap: gap, Seq: c.Seq, Found: c.Written(),
	}
}

// viewed is where the account of a view comes from: what an earlier account of
// the same chain has read is not read again.
type viewed struct {
	*Engine
	account, known *account
	below          map[int64]offsets.Gaps // by seq
}

// Gaps implements [offsets.Source].
func (x *viewed) Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error) {
	return x.options.Ledger.Gaps(ctx, c)
}

// Below implements [offsets.Source].
func (x *viewed) Below(_ context.Context, g ledger.Gapped) (offsets.Gaps, error) {
	return x.below[g.Commit.Seq], nil
}

// RowsBelow implements [offsets.Source].
func (x *viewed) RowsBelow(ctx context.Context, s ledger.Segment) (schema.Counts, error) {
	at := cutSegment{s.Ref.Key, s.Until}
	if x.known != nil {
		if counts, ok := x.known.cut[at]; ok {
			x.account.cut[at] = counts
			return counts, nil
		}
	}
	reader, err := x.segments.open(ctx, x.options.Store, segmentRef{s.Ref.Key, s.Ref.Bytes})
	if err != nil {
		return schema.Counts{}, fmt.Errorf("count rows of %s: %w", s.Ref.Key, err)
	}
	counts, err := offsets.CountRows(ctx, reader, s)
	if err == nil {
		x.account.cut[at] = counts
	}
	return counts, err
}
