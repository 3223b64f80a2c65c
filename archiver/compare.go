package archiver

import (
	"context"
	"errors"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// holding is what one of our records is worth against the log: outcomeSame,
// outcomeEpoch, outcomeDiverged, outcomeUnknown, or "" when the log does not
// have the offset and the leader epoch's end speaks against it.
type holding struct {
	outcome  string
	end      kafka.EpochEnd
	upper    int64 // diverged: an offset from which on nothing is shared
	logStart int64
	logEnd   int64
	reread   bool // what the log has behind the record is read again, whatever is archived of it
	evidence string
	cut      bool // a chain without rows begins above where the log was cut off, which end says
}

func (h *holding) add(format string, args ...any) {
	if h.evidence != "" {
		h.evidence += "; "
	}
	h.evidence += fmt.Sprintf(format, args...)
}

// vouches tells whether the leader has our record's epoch beyond the record:
// then everything up to it is the same (KIP-101).
func (h *holding) vouches(ours *schema.Record) bool {
	return h.end.Known() && h.end.Epoch == ours.LeaderEpoch && h.end.End > ours.Offset
}

// holds asks for the end of the record's leader epoch and for the record. What
// differs names the field in which two records differ, of those that are known
// of ours, its leader epoch among them. The record decides: one that is the
// same, leader epoch included, means that all before it is.
func (g *guard) holds(ctx context.Context, ours *schema.Record, differs func(ours, theirs *schema.Record) string) (holding, error) {
	h := holding{end: kafka.EpochEnd{Epoch: -1, End: -1}}
	if ours.LeaderEpoch >= 0 {
		end, err := g.admin.EpochEnd(ctx, g.stream.Topic, g.stream.Partition, g.leader, ours.LeaderEpoch)
		if err != nil {
			return h, err
		}
		h.end = end
	}
	switch {
	case h.end.Known():
		h.add("asked where leader epoch %d ends, the leader of epoch %d said %d (of epoch %d)", ours.LeaderEpoch, g.leader.Epoch, h.end.End, h.end.Epoch)
	default:
		h.add("asked where leader epoch %d ends, the leader of epoch %d did not know", ours.LeaderEpoch, g.leader.Epoch)
	}
	page, err := g.admin.Page(ctx, g.stream, g.leader, ours.Offset, pageBytes)
	switch {
	case errors.Is(err, kafka.ErrOffsetOutOfRange):
	case schema.KindOf(err) == schema.Corrupt:
		h.add("offset %d cannot be decoded", ours.Offset)
	case err != nil:
		return h, err
	}
	h.logStart, h.logEnd = page.LogStart, page.HighWatermark
	if len(page.Records) > 0 && page.Records[0].Offset == ours.Offset {
		h.outcome = outcomeSame
		if field := differs(ours, &page.Records[0]); field != "" {
			h.outcome, h.upper = outcomeDiverged, ours.Offset
			h.add("offset %d has another %s than was read before", ours.Offset, field)
		}
		return h, nil
	}
	err = g.holdWithout(ctx, ours, len(page.Records) == 0, &h)
	return h, err
}

// holdWithout decides without the record: the log ends below it, or has it no
// more.
func (g *guard) holdWithout(ctx context.Context, ours *schema.Record, empty bool, h *holding) error {
	if empty {
		// The high watermark of a fetch may be behind after an election;
		// ListOffsets answers only when it is not (KIP-207).
		bounds, err := g.bounds(ctx)
		if err != nil {
			return err
		}
		h.logStart, h.logEnd = bounds.LogStart, bounds.HighWatermark
	}
	h.add("the log has offsets %d to %d", h.logStart, h.logEnd)
	if h.logEnd <= ours.Offset {
		if h.vouches(ours) {
			return schema.Errorf(schema.Unavailable, "guard %s: the high watermark %d is behind offset %d, which the leader has", g.stream, h.logEnd, ours.Offset)
		}
		h.outcome, h.upper = outcomeDiverged, h.logEnd
		return nil
	}
	h.add("offset %d is not served any more", ours.Offset)
	switch {
	case h.vouches(ours):
		h.outcome = outcomeEpoch
	case !h.end.Known() && h.logStart > ours.Offset:
		h.outcome = outcomeUnknown
	}
	return nil
}

func (g *guard) bounds(ctx context.Context) (kafka.Offsets, error) {
	all, err := g.admin.Offsets(ctx, g.stream.Topic)
	if err != nil {
		return kafka.Offsets{}, err
	}
	bounds, ok := all[g.stream.Topic][g.stream.Partition]
	if !ok || bounds.Err != nil {
		return bounds, schema.Errorf(schema.Unavailable, "ask where %s begins and ends: %w", g.stream, errors.Join(bounds.Err, errors.New("no answer for this partition")))
	}
	return bounds, nil
}

// How far back, in offsets, a record is looked for that the archive and a
// compacted log both have, and how many pages are read for it.
const (
	lookBackFirst = 64
	lookBackPages = 4
)

// lookBack goes on with older records, since the log has not got the newest:
// the last one that both have decides.
func (g *guard) lookBack(ctx context.Context, ours *schema.Record, h *holding) error {
	found, from := overlap{same: -1, differ: -1}, ours.Offset
	for pages, width := 0, int64(lookBackFirst); pages < lookBackPages && from > h.logStart && found.same < 0 && found.differ < 0; width *= 16 {
		from = max(h.logStart, ours.Offset-width)
		for at := from; pages < lookBackPages && at < ours.Offset && found.differ < 0; pages++ {
			o, next, err := g.probe(ctx, at, ours.Offset)
			if err != nil {
				return err
			}
			found.same, found.differ, found.field = max(found.same, o.same), o.differ, o.field
			if next <= at {
				break
			}
			at = next
		}
	}
	against := h.end.Known() && !h.vouches(ours)
	switch {
	case found.differ >= 0:
		h.outcome, h.upper = outcomeDiverged, found.differ
		h.add("offset %d has another %s than was read before", found.differ, found.field)
	case against: // the epoch's end lies below our record, whatever else is the same
		h.outcome, h.upper = outcomeDiverged, ours.Offset
	case found.same >= 0:
		h.outcome = outcomeSame
		h.add("offset %d is the same", found.same)
	case h.outcome == "":
		h.outcome = outcomeUnknown
		h.add("no offset back to %d is served that is archived", from)
	}
	return nil
}
