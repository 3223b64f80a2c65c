package archiver

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// A row can be archived before the marker that decided it: a cut may end
// between them, and behind a skim it always does. If the log loses the marker
// and keeps the row, the verdict is of another history, though every archived
// record is still there. So each commit names the marker behind it, a guard
// asks for it, and a branch begins no higher than the first row it decided.

// note keeps that a marker decided rows, the first at From.
func (p *partition) note(d schema.Decider) { p.verdicts = append(p.verdicts, d) }

// decidedBy joins the markers at or above an offset that decided rows below it:
// the greatest, since a log that has it has the others too, and the first row.
// Nil: there is none.
func decidedBy(list []schema.Decider, at int64) *schema.Decider {
	var all *schema.Decider
	for _, d := range list {
		if d.From >= at || d.Offset < at {
			continue
		}
		if all == nil {
			all = &d
			continue
		}
		from := min(all.From, d.From)
		if d.Offset > all.Offset {
			all = &d
		}
		all.From = from
	}
	return all
}

// markersAhead are markers that are still to come, ascending; usually none.
type markersAhead struct {
	gave []schema.Decider // verdicts to rows that are held or archived
	will []ending         // give verdicts to rows that come: they were skimmed
}

func (p *partition) markersAhead() markersAhead {
	m := markersAhead{will: p.known.from(p.expected)}
	for _, d := range p.verdicts {
		if d.Offset >= p.expected {
			m.gave = append(m.gave, d)
		}
	}
	slices.SortFunc(m.gave, func(x, y schema.Decider) int { return cmp.Compare(x.Offset, y.Offset) })
	return m
}

// deniedBy tells why a log that has this record does not have the markers up to
// its offset, or "", and leaves these out.
func (m *markersAhead) deniedBy(came *schema.Record) (why string) {
	for why == "" && len(m.gave) > 0 && m.gave[0].Offset <= came.Offset {
		why = denied(m.gave[0], came)
		m.gave = m.gave[1:]
	}
	for why == "" && len(m.will) > 0 && m.will[0].offset <= came.Offset {
		why = denied(m.will[0].decider(), came)
		m.will = m.will[1:]
	}
	return why
}

// denied tells why a log that has this record does not have a marker at its
// offset or below it, or "". Where the marker should be there is another record,
// or, if nothing is served there, one of an older leader epoch comes behind it:
// epochs do not fall in one log.
func denied(d schema.Decider, came *schema.Record) (why string) {
	field := ""
	switch {
	case came.Offset == d.Offset:
		field = otherMarker(&d, came)
	case came.LeaderEpoch < d.LeaderEpoch:
		field = "leader epoch"
	}
	if field == "" {
		return ""
	}
	return fmt.Sprintf("a %s marker of leader epoch %d was read at %d, and offset %d has another %s", d.Verdict, d.LeaderEpoch, d.Offset, came.Offset, field)
}

// otherMarker names in what a record at a marker's offset differs from it; "":
// in nothing.
func otherMarker(d *schema.Decider, came *schema.Record) string {
	verdict, _ := verdictOf(kafka.MarkerOf(came.Key))
	switch {
	case came.Status != schema.Control || verdict.String() != d.Verdict:
		return "verdict"
	case came.ProducerID != d.ProducerID:
		return "producer ID"
	case came.LeaderEpoch != d.LeaderEpoch:
		return "leader epoch"
	default:
		return ""
	}
}

// lostMarker tells whether the log does not hold the marker that decided what
// is held or archived. Where the broker's answers prove nothing it counts as
// held, as a record does.
func (g *guard) lostMarker(ctx context.Context, d *schema.Decider) (bool, error) {
	if d == nil {
		return false, nil
	}
	if g.leader.Epoch < d.LeaderEpoch {
		if err := g.behind(g.leader, d.LeaderEpoch); err != nil {
			return false, err
		}
	}
	ours := schema.Record{Offset: d.Offset, LeaderEpoch: d.LeaderEpoch, ProducerID: d.ProducerID, Status: schema.Control}
	h, err := g.holds(ctx, &ours, func(_, theirs *schema.Record) string { return otherMarker(d, theirs) })
	if err != nil {
		return false, err
	}
	lost := h.outcome == outcomeDiverged || h.outcome == "" && h.end.Known()
	if lost {
		g.log.Warn("the log does not hold a marker that gave verdicts", "offset", d.Offset, "producer_id", d.ProducerID, "found", h.evidence)
	}
	return lost, nil
}

// skimHolds tells whether all that was skimmed, over several leader epochs, is
// in this one log.
func (g *guard) skimHolds(ctx context.Context) (bool, error) {
	if g.skimmed == nil {
		return false, nil
	}
	for _, last := range g.skimmed.runs {
		h, err := g.holds(ctx, &schema.Record{Offset: last.offset, LeaderEpoch: last.epoch}, otherEpoch)
		if err != nil || h.outcome != outcomeSame && h.outcome != outcomeEpoch {
			return false, err
		}
	}
	return true, nil
}

// lower takes a branch point down below every row whose marker is not shared:
// at shared or above. It does not go below floor, from where on nothing is
// served that could take a row's place. kept is what the branch still relies
// on: markers below shared, above the point, that decided rows below it.
func (g *guard) lower(ctx context.Context, shared, floor int64) (point int64, kept *schema.Decider, err error) {
	boundaries, err := g.a.ledger.Deciders(ctx, g.stream)
	if err != nil {
		return 0, nil, err
	}
	for point = shared; ; {
		spans, err := g.across(ctx, boundaries, point)
		if err != nil {
			return 0, nil, err
		}
		from := point
		var below []schema.Decider
		for _, d := range spans {
			if d.Offset < shared {
				below = append(below, d)
			} else {
				from = min(from, max(d.From, floor))
			}
		}
		if from == point {
			return point, decidedBy(below, point), nil
		}
		point = from
	}
}

// across finds the markers at or above an offset that decided current rows
// below it: what the commits say whose next is the nearest on either side, and
// what the rows between them say.
func (g *guard) across(ctx context.Context, boundaries []ledger.Boundary, at int64) ([]schema.Decider, error) {
	var spans []schema.Decider
	low, high := int64(0), int64(-1)
	for _, b := range boundaries {
		if b.Next <= at {
			low, spans = b.Next, spans[:0]
		}
		if b.DecidedBy != nil {
			spans = append(spans, *b.DecidedBy)
		}
		if b.Next >= at {
			high = b.Next
			break
		}
	}
	if low < at && high > at {
		inside, err := g.inside(ctx, low, high, at)
		if err != nil {
			return nil, err
		}
		spans = append(spans, inside...)
	}
	crossing := spans[:0]
	for _, d := range spans {
		if d.From < at && d.Offset >= at {
			crossing = append(crossing, d)
		}
	}
	return crossing, nil
}

// inside finds those of which both, row and marker, are in [low, high). Who
// never had a marker behind its rows is no transactional producer, or was
// decided from behind high.
func (g *guard) inside(ctx context.Context, low, high, at int64) ([]schema.Decider, error) {
	var spans []schema.Decider
	open := map[int64]schema.Decider{}
	err := g.archived.each(ctx, low, high, segment.Broker, func(r *schema.Record) {
		first, waits := open[r.ProducerID]
		switch {
		case r.Status != schema.Control:
			if r.Offset < at && r.ProducerID >= 0 && !waits {
				open[r.ProducerID] = schema.Decider{ProducerID: r.ProducerID, Verdict: r.Status.String(), From: r.Offset}
			}
		case waits:
			if delete(open, r.ProducerID); r.Offset >= at {
				first.Offset, first.LeaderEpoch = r.Offset, r.LeaderEpoch
				spans = append(spans, first)
			}
		}
	})
	if kind := schema.KindOf(err); kind == schema.Corrupt || kind == schema.NotFound {
		g.log.Error("the archive is damaged; the branch begins below what is damaged", "offset", low, "err", err)
		return []schema.Decider{{From: low, Offset: math.MaxInt64}}, nil
	}
	return spans, err
}
