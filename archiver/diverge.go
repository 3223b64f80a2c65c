package archiver

import (
	"context"
	"math"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// maxEvidence bounds the text in a commit.
const maxEvidence = 4 << 10

// diverge finds the branch point and commits it. ours is the newest archived
// record, or none; the log does not hold it, or not the marker that gave
// verdicts, it ends below next, or it serves what was deleted.
func (g *guard) diverge(ctx context.Context, ours *schema.Record, h *holding) (finding, error) {
	view, err := g.a.ledger.View(ctx, g.stream, nil)
	if err != nil {
		return finding{}, err
	}
	if view.Head.Digest != g.head.Digest {
		return finding{}, schema.Errorf(schema.Unavailable, "guard %s: the chain went on meanwhile; it is asked again", g.stream)
	}
	g.archived.segments = view.Current()
	bounds, err := g.bounds(ctx)
	if err != nil {
		return finding{}, err
	}
	floor := max(view.Genesis.Next, bounds.LogStart)
	shared := g.head.Next
	if bounds.HighWatermark < shared || h.reread { // of the gap behind the newest row, what the log may serve now is read
		shared = min(bounds.HighWatermark, max(ours.Offset+1, floor))
	}
	if h.cut {
		shared = min(max(min(h.end.End, bounds.HighWatermark), bounds.LogStart), g.head.Next)
	}
	if h.outcome == outcomeDiverged {
		if shared, err = g.sharedBelow(ctx, ours, h, floor); err != nil {
			return finding{}, err
		}
	}
	point, kept, err := g.lower(ctx, shared, floor)
	if err != nil {
		return finding{}, err
	}
	if point < shared {
		h.add("rows from offset %d on were decided by markers at %d or above", point, shared)
	}
	c := g.branch(point)
	c.DecidedBy = kept
	c.Divergence.LeaderEpoch = ours.LeaderEpoch
	if h.end.Known() {
		c.Divergence.EpochEnd = &h.end.End
	}
	c.Divergence.Evidence = h.evidence[:min(len(h.evidence), maxEvidence)]
	c.HighWatermark, c.LastStableOffset, c.LogStart = &bounds.HighWatermark, &bounds.LastStable, &bounds.LogStart
	if ours.Offset < 0 {
		beganUnder(c, g.leader)
	}
	epoch, err := g.epochBelow(ctx, point)
	if err != nil {
		return finding{}, err
	}
	found, err := g.commit(ctx, c)
	found.archived, found.epoch = true, epoch
	return found, err
}

// sharedBelow is the first offset that is not proven to be shared.
func (g *guard) sharedBelow(ctx context.Context, ours *schema.Record, h *holding, floor int64) (int64, error) {
	var err error
	w := walk{probe: func(from, below int64) (overlap, error) {
		o, _, err := g.probe(ctx, from, below)
		return o, err
	}, floor: floor, top: h.upper, vouched: -1}
	if h.end.Known() {
		if w.vouched, err = g.sharedTo(ctx, ours, h); err != nil {
			return 0, err
		}
		w.top = min(w.top, w.vouched)
	}
	w.top = min(w.top, g.head.Next)
	point, err := w.point()
	if err != nil {
		return 0, err
	}
	switch {
	case w.same >= 0:
		h.add("offset %d is the same, the last that could be compared", w.same)
	default:
		h.add("no archived offset from %d on is the same", w.floor)
	}
	if w.differ >= 0 {
		h.add("offset %d differs", w.differ)
	}
	return point, nil
}

// epochBelow is the leader epoch of the newest row below an offset.
func (g *guard) epochBelow(ctx context.Context, offset int64) (int32, error) {
	last, err := g.archived.newest(ctx, offset)
	switch kind := schema.KindOf(err); {
	case kind == schema.Corrupt || kind == schema.NotFound:
		return epochUnknown, nil
	case err != nil:
		return epochUnknown, err
	case last == nil:
		return nothingHeld, nil
	}
	return last.LeaderEpoch, nil
}

// Why a branch begins at next, with nothing archived taken back.
const (
	// On the next branch, rows above next that the index was given cannot be taken for
	// what is archived at their offsets.
	shownInVain = "what is archived is in the log; what was read and indexed behind it, and not archived, is not in it any more"
	// An end is not taken back: the branch says that the chain goes on behind it.
	endedWrongly = "the chain had ended, since every broker said that the topic was no more; it is there again under its ID, and nothing archived contradicts it"
)

// raise begins a branch at next; rowless tells that nothing is archived.
func (g *guard) raise(ctx context.Context, why string, rowless bool) (finding, error) {
	c := g.branch(g.head.Next)
	c.DecidedBy = g.head.DecidedBy
	c.Divergence.LeaderEpoch = g.leader.Epoch
	if g.buffered != nil {
		c.Divergence.LeaderEpoch = g.buffered.LeaderEpoch
	}
	c.Divergence.Evidence = why
	if rowless {
		beganUnder(c, g.leader)
	}
	return g.commit(ctx, c)
}

func (g *guard) branch(point int64) *schema.Commit {
	c := g.a.commit(schema.KindDivergence, g.stream, g.head)
	c.Branch++
	c.Base, c.Next = point, point
	c.Divergence = &schema.Divergence{ArchivedNext: g.head.Next, BranchPoint: point}
	return c
}

// commit places the divergence, if the one who answered still leads the same
// topic: then all answers were of one log.
func (g *guard) commit(ctx context.Context, c *schema.Commit) (finding, error) {
	now, err := g.admin.Leader(ctx, g.stream.Topic, g.stream.Partition)
	if err != nil {
		return finding{}, err
	}
	if now != g.leader {
		return finding{}, schema.Errorf(schema.Unavailable, "guard %s: the leadership moved while it was asked; it is asked again", g.stream)
	}
	if g.head.Ended {
		if err := g.a.gone.unsettle(ctx, g.stream); err != nil {
			return finding{}, err
		}
	}
	head, err := g.a.ledger.Append(ctx, g.head, c)
	if err != nil {
		return finding{}, err
	}
	what := "the log holds another history than was archived; it is read on as a new branch"
	if g.head.Ended {
		what = "a topic whose chain had ended is there again; it is read on as a new branch"
	}
	g.log.Error(what, "branch", c.Branch,
		"offset", c.Next, "archived_next", c.Divergence.ArchivedNext, "evidence", c.Divergence.Evidence)
	g.head = head
	return finding{outcome: outcomeDiverged, note: c.Divergence.Evidence, commit: c}, nil
}

// feedDivergence tells the index. Needs mu.
func (a *Archiver) feedDivergence(g *guard, found finding) {
	a.feed.sealed(index.SegmentOf(found.commit), found.commit.Next, telemetry.Place{})
	a.rollup(g.stream, g.head)
}

// sharedTo is the offset up to which the leader's answer says that both have
// the same: min(where the answer's epoch ends, where it ends with us).
func (g *guard) sharedTo(ctx context.Context, ours *schema.Record, h *holding) (int64, error) {
	if h.end.Epoch >= ours.LeaderEpoch {
		return h.end.End, nil
	}
	epochs, err := g.a.ledger.Epochs(ctx, g.stream)
	if err != nil {
		return 0, err
	}
	return min(h.end.End, endOf(epochs, h.end.Epoch)), nil
}

// endOf is where the rows of leader epochs up to one end.
func endOf(epochs []schema.LeaderEpoch, epoch int32) int64 {
	for _, e := range epochs {
		if e.Epoch > epoch {
			return e.Start
		}
	}
	return math.MaxInt64
}

// walk looks for the branch point: down from top, twice as far each time,
// until a record is the same, then between it and the first that is not.
// Nothing below floor can be compared: it is not served, or not in scope.
type walk struct {
	probe   func(from, below int64) (overlap, error)
	floor   int64
	top     int64 // nothing from here on is shared
	vouched int64 // by the leader epochs, up to here; -1: they say nothing

	same   int64 // the last archived offset that is the same; -1: none
	differ int64 // the first that is not; -1: none was seen
}

// point is the first offset that is not proven to be shared. Where the epochs
// vouch for everything below top, and no record denies it, it is top, also
// when the records just below are not served any more.
func (w *walk) point() (int64, error) {
	w.same, w.differ = -1, -1
	low, high := w.floor-1, w.top // low: the same, or below floor
	for step := int64(1); high > w.floor; step *= 2 {
		from := max(w.floor, w.top-step)
		if from < high {
			if err := w.look(from, &low, &high); err != nil {
				return 0, err
			}
		}
		if w.same >= 0 || from == w.floor {
			break
		}
	}
	for high-low > 1 {
		if err := w.look(low+(high-low)/2, &low, &high); err != nil {
			return 0, err
		}
	}
	switch {
	case w.top <= w.floor, w.vouched == w.top && w.differ < 0:
		return w.top, nil
	default:
		return low + 1, nil
	}
}

// look probes [from, high) and narrows the range: to what is behind the last
// record that is the same, and below from if none is.
func (w *walk) look(from int64, low, high *int64) error {
	o, err := w.probe(from, *high)
	if err != nil {
		return err
	}
	if o.differ >= 0 && (w.differ < 0 || o.differ < w.differ) {
		w.differ = o.differ
	}
	switch {
	case o.same >= 0:
		w.same = max(w.same, o.same)
		*low = max(*low, o.same)
		if o.differ >= 0 {
			*high = min(*high, o.differ)
		}
	default:
		*high = min(*high, from)
	}
	return nil
}
