package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// Segment is one segment object and which of its rows are current.
type Segment struct {
	Ref    schema.SegmentRef
	Branch int32
	// Base and Next bound the offsets the object holds, Next exclusive.
	Base, Next int64
	// Until is where the latest view of the stream leaves it: rows at Until
	// and above were superseded by a later branch. Next: all rows are current;
	// Base: none is.
	Until   int64
	Records schema.Counts
	// LeaderEpochs are those of its rows, as the commit has them. Not to be changed.
	LeaderEpochs []schema.LeaderEpoch
	// Extract is the version of the rules that its extracted columns are from.
	Extract int32
	// Seq is the commit that put the object in place.
	Seq int64
	// Sealed is when the newest of its rows was, by the clock of the commit that
	// archived it; zero if that cannot be read. A rewrite does not change it.
	Sealed time.Time

	roots []schema.Digest // of the segments that were joined, by offset
}

// Went tells which offsets went with a topic that was deleted: Kafka had those
// from the chain's next to below end when the partition was last seen, and they
// are not archived. It may have had more. known is false where nothing was seen,
// and where the chain goes on.
func (v *View) Went() (end int64, known bool) {
	if v.End == nil || v.End.HighWatermark == nil {
		return v.Head.Next, false
	}
	return max(v.Head.Next, *v.End.HighWatermark), true
}

// IsCurrent tells whether any row belongs to the latest view.
func (s Segment) IsCurrent() bool { return s.Until > s.Base }

// Parts is how many segments were joined into it; 1 if it was sealed so.
func (s Segment) Parts() int { return len(s.roots) }

// JoinedRoot is the record root of the segment that some, by offset, are
// joined into.
func JoinedRoot(segments []Segment) schema.Digest {
	return proof.RootOfSubtrees(rootsOf(slices.Clone(segments)))
}

// Gapped is one commit that names gaps. Until is as in [Segment].
type Gapped struct {
	Commit *schema.Commit
	Until  int64
}

// Branch says where a branch leaves the ones before it. Branch 0 begins at the
// genesis.
type Branch struct {
	Number int32
	Point  int64 // the first offset on the branch
	Seq    int64
}

// View is what a chain makes current, as of Head. It does not change.
type View struct {
	// Stream has the topic's name from the genesis.
	Stream   schema.Stream
	Genesis  *schema.Commit
	Head     Head
	Branches []Branch
	// Gapped are the commits with gaps, by seq. Ledger.Gaps reads their lists.
	Gapped []Gapped
	// Purged are the commits that took ranges away, by seq.
	Purged []*schema.Commit
	// Removed are the segments that purges took away, as they were then.
	Removed []Segment
	// End is the commit that ended the chain, since the topic was deleted. Nil: it
	// goes on, or on again behind a divergence.
	End *schema.Commit

	segments []Segment // by base, then branch
}

// Current returns the segments with rows in the latest view, by offset. From
// Base to Until they do not overlap; between them are gaps, purged ranges or
// nothing yet.
func (v *View) Current() []Segment {
	current := make([]Segment, 0, len(v.segments))
	for _, s := range v.segments {
		if s.IsCurrent() {
			current = append(current, s)
		}
	}
	return current
}

// Superseded tells whether an offset of a branch is no longer in the latest
// view, because a later branch begins at it or below.
func (v *View) Superseded(branch int32, offset int64) bool {
	return slices.ContainsFunc(v.Branches, func(b Branch) bool { return b.Number > branch && offset >= b.Point })
}

// All returns every segment that was not replaced or purged, also what later
// branches superseded: it was observed, and stays readable.
func (v *View) All() []Segment { return slices.Clone(v.segments) }

// Holding gives the segment, not replaced or purged, whose range has an offset
// on a branch: after a compaction that is another object than the one the
// offset was sealed in.
func (v *View) Holding(branch int32, offset int64) (Segment, bool) {
	for _, s := range v.segments { // by base
		if s.Base > offset {
			break
		}
		if s.Branch == branch && offset < s.Next {
			return s, true
		}
	}
	return Segment{}, false
}

// Segments returns the segments with rows in a stream's latest view; see
// [View.Current]. It reads the whole chain: who asks often keeps a View.
func (l *Ledger) Segments(ctx context.Context, s schema.Stream) ([]Segment, error) {
	v, err := l.View(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	return v.Current(), nil
}

// View resolves a stream's chain. With an earlier View of the same stream only
// the commits behind it are read, and known itself is returned when there are
// none; nil reads the whole chain. Errors are those of Commits, and Corrupt
// when the chain no longer leads on from known.
func (l *Ledger) View(ctx context.Context, s schema.Stream, known *View) (*View, error) {
	head, err := l.Head(ctx, s)
	if err != nil {
		return nil, err
	}
	w := walk{ledger: l, stream: s, end: head}
	v := &View{}
	if known != nil {
		if head.Commit.Seq <= known.Head.Commit.Seq {
			return known, l.stillThere(ctx, s, known.Head)
		}
		w.at = known.Head
		v = known.clone()
	}
	for e, err := range w.entries(ctx) {
		if err != nil {
			return nil, err
		}
		if err := v.apply(e); err != nil {
			return nil, fmt.Errorf("resolve %s: %w", s, err)
		}
	}
	return v, nil
}

// stillThere checks that a head seen before is still part of the chain.
func (l *Ledger) stillThere(ctx context.Context, s schema.Stream, head Head) error {
	e, err := l.commit(ctx, s, head.Commit.Seq)
	if err != nil {
		return missing(err, s, head.Commit.Seq)
	}
	if e.Digest != head.Digest {
		return schema.Errorf(schema.Corrupt, "commit %d of %s is another than it was", head.Commit.Seq, s)
	}
	return nil
}

func (v *View) clone() *View {
	c := *v
	c.Branches, c.Gapped, c.Purged = slices.Clone(v.Branches), slices.Clone(v.Gapped), slices.Clone(v.Purged)
	c.Removed, c.segments = slices.Clone(v.Removed), slices.Clone(v.segments)
	return &c
}

// apply adds the commit behind v.Head, whose place in the chain was checked.
func (v *View) apply(e Entry) error {
	c := e.Commit
	v.Head = v.Head.behind(c, e.Digest)
	if c.GapOffsets > 0 && (c.Kind == schema.KindSegment || c.Kind == schema.KindGap) {
		v.Gapped = append(v.Gapped, Gapped{Commit: c, Until: c.Next})
	}
	switch c.Kind {
	case schema.KindGenesis:
		v.Stream, v.Genesis = c.Stream(), c
		v.Branches = []Branch{{Point: c.Next, Seq: c.Seq}}
	case schema.KindSegment:
		v.add(segmentOf(c, c.Branch, c.Next))
	case schema.KindDivergence:
		v.diverge(c)
	case schema.KindCompaction, schema.KindRedaction, schema.KindPurge:
		return v.replace(c)
	case schema.KindEnd:
		v.End = c
	case schema.KindGap, schema.KindHold:
	}
	return nil
}

func segmentOf(c *schema.Commit, branch int32, until int64) Segment {
	return Segment{
		Ref: *c.Segment, Branch: branch, Base: c.Base, Next: c.Next, Until: until,
		Records: c.Records, LeaderEpochs: c.LeaderEpochs, Extract: c.Versions.Extract, Seq: c.Seq,
		Sealed: c.Written(), roots: []schema.Digest{c.Segment.RecordRoot},
	}
}

func (v *View) add(s Segment) {
	at, _ := slices.BinarySearchFunc(v.segments, s, func(a, b Segment) int {
		return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.Branch, b.Branch))
	})
	v.segments = slices.Insert(v.segments, at, s)
}

// diverge cuts everything before at the branch point. A chain that had ended goes on.
func (v *View) diverge(c *schema.Commit) {
	v.End = nil
	v.Branches = append(v.Branches, Branch{Number: c.Branch, Point: c.Next, Seq: c.Seq})
	for _, list := range [][]Segment{v.segments, v.Removed} {
		for i := range list {
			s := &list[i]
			s.Until = min(s.Until, max(s.Base, c.Next))
		}
	}
	for i := range v.Gapped {
		g := &v.Gapped[i]
		g.Until = min(g.Until, max(g.Commit.Base, c.Next))
	}
}

// replace takes segments away, and for a rewrite puts its one segment in their
// place: the same range, the same rows by status, on the branch they are on.
// A compaction's record root follows from those of the segments it joins, so
// that the chain alone tells that it changed no row.
func (v *View) replace(c *schema.Commit) error {
	var old []Segment
	for _, ref := range c.Replaced {
		at := slices.IndexFunc(v.segments, func(s Segment) bool { return s.Ref.Key == ref.Key && s.Ref.SHA256 == ref.SHA256 })
		if at < 0 {
			return schema.Errorf(schema.Corrupt, "commit %d replaces %s, which is not there", c.Seq, ref.Key)
		}
		old = append(old, v.segments[at])
		v.segments = slices.Delete(v.segments, at, at+1)
	}
	if c.Kind == schema.KindPurge {
		v.Purged, v.Removed = append(v.Purged, c), append(v.Removed, old...)
		return nil
	}
	base, next, until := old[0].Base, old[0].Next, int64(-1)
	var records schema.Counts
	for _, s := range old {
		if s.Branch != old[0].Branch {
			return schema.Errorf(schema.Corrupt, "commit %d rewrites segments of branches %d and %d as one", c.Seq, old[0].Branch, s.Branch)
		}
		base, next = min(base, s.Base), max(next, s.Next)
		if s.IsCurrent() {
			until = max(until, s.Until)
		}
		records.Committed += s.Records.Committed
		records.Aborted += s.Records.Aborted
		records.Control += s.Records.Control
	}
	if c.Base != base || c.Next != next || c.Records != records {
		return schema.Errorf(schema.Corrupt, "commit %d rewrites %d–%d with %d rows as %d–%d with %d rows",
			c.Seq, base, next, records.Rows(), c.Base, c.Next, c.Records.Rows())
	}
	joined := segmentOf(c, old[0].Branch, max(until, base))
	joined.Sealed = latest(old)
	roots := rootsOf(old)
	switch root := proof.RootOfSubtrees(roots); {
	case root == c.Segment.RecordRoot:
		joined.roots = roots
	case c.Kind == schema.KindCompaction:
		return schema.Errorf(schema.Corrupt, "commit %d joins segments whose record roots give %s, it says %s", c.Seq, root, c.Segment.RecordRoot)
	}
	v.add(joined)
	return nil
}

// latest is when the newest rows of some segments were sealed.
func latest(segments []Segment) time.Time {
	return slices.MaxFunc(segments, func(a, b Segment) int { return a.Sealed.Compare(b.Sealed) }).Sealed
}

// rootsOf gives the record roots of what segments were joined of, by offset.
func rootsOf(segments []Segment) []schema.Digest {
	slices.SortFunc(segments, func(a, b Segment) int { return cmp.Compare(a.Base, b.Base) })
	var roots []schema.Digest
	for _, s := range segments {
		roots = append(roots, s.roots...)
	}
	return roots
}
