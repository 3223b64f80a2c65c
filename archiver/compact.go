package archiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Compacted counts what compactions did.
type Compacted struct {
	Joined   int // compactions
	Segments int // that they put out of use
	Rows     int64
	Bytes    int64 // of those segments
}

func (c *Compacted) add(more Compacted) {
	c.Joined += more.Joined
	c.Segments += more.Segments
	c.Rows += more.Rows
	c.Bytes += more.Bytes
}

// Compact joins the small segments of closed days, of all partitions that are
// this process's own. It returns when nothing is left to join, with what it did
// until the first error. Segments that cannot be read are passed over, and stay
// as they are; in the end there is an error all the same.
func (a *Archiver) Compact(ctx context.Context) (Compacted, error) {
	a.upkeep.mu.Lock()
	defer a.upkeep.mu.Unlock()
	var total Compacted
	var damage error
	for _, s := range a.owned() {
		done, err := a.compactStream(ctx, s)
		total.add(done)
		var left leftOver
		switch {
		case errors.As(err, &left):
			damage = errors.Join(damage, err)
		case err != nil:
			return total, errors.Join(err, damage)
		}
	}
	return total, damage
}

// unjoinable is a segment that the store does not give as it was committed.
type unjoinable struct {
	key string
	err error
}

// Error implements error.
func (u *unjoinable) Error() string { return fmt.Sprintf("segment %s: %v", u.key, u.err) }

// Unwrap gives what was wrong with it.
func (u *unjoinable) Unwrap() error { return u.err }

// mostUngiven is how many segments in a row the store may not give: of more of
// them it is not the segments, and the partition is tried again later.
const mostUngiven = 3

// compactStream joins until nothing is left. After every compaction it plans
// anew: the chain may have moved in any way. A segment that cannot be read is
// passed over, so that what is behind it is joined all the same; the error, a
// leftOver, says so in the end.
func (a *Archiver) compactStream(ctx context.Context, s schema.Stream) (done Compacted, err error) {
	over := map[string]error{}
	defer func() { a.passedOver(s, over, err) }()
	var view *ledger.View
	for conflicts, ungiven := 0, 0; a.owns(s); {
		if view, err = a.ledger.View(ctx, s, view); err != nil {
			return done, err
		}
		groups := a.upkeep.compact.plan(view, over)
		if len(groups) == 0 {
			return done, unjoined(over)
		}
		group, err := a.rewriteAsFits(ctx, s, groups[0])
		kind := schema.KindOf(err)
		var bad *unjoinable
		switch {
		case err == nil:
			a.metrics.joins.WithLabelValues("joined").Inc()
			done.add(a.joined(group))
			ungiven = 0
		case ctx.Err() != nil:
			return done, err
		case kind == schema.Conflict && conflicts < maxConflicts:
			a.metrics.joins.WithLabelValues("lost").Inc()
			conflicts++
		case errors.As(err, &bad) && (damages(err) || ungiven < mostUngiven && (kind == schema.Unavailable || kind == schema.Permission)):
			a.metrics.joins.WithLabelValues("passed over").Inc()
			over[bad.key] = bad.err
			if !damages(err) {
				ungiven++
			}
		case kind == schema.Corrupt: // each is whole, and together they are not what was committed
			a.metrics.joins.WithLabelValues("passed over").Inc()
			for _, old := range group {
				over[old.Ref.Key] = err
			}
		default:
			a.metrics.joins.WithLabelValues("failed").Inc()
			return done, err
		}
	}
	return done, unjoined(over)
}

// rewriteAsFits halves a group that one segment does not hold, and returns what
// it tried last.
func (a *Archiver) rewriteAsFits(ctx context.Context, s schema.Stream, group []ledger.Segment) ([]ledger.Segment, error) {
	err := a.rewrite(ctx, s, group)
	for schema.KindOf(err) == schema.Exhausted && err != nil && len(group) >= 2*minJoined {
		group = group[:len(group)/2]
		err = a.rewrite(ctx, s, group)
	}
	return group, err
}

// joined counts what a compaction put out of use.
func (a *Archiver) joined(group []ledger.Segment) Compacted {
	done := Compacted{Joined: 1, Segments: len(group)}
	for _, old := range group {
		done.Rows += old.Records.Rows()
		done.Bytes += old.Ref.Bytes
	}
	a.metrics.joined.Add(float64(done.Segments))
	a.metrics.joinedBytes.Add(float64(done.Bytes))
	return done
}

// leftOver is the error of a compaction that did everything else.
type leftOver struct {
	error
	damaged bool // it is the same the next time, as long as nobody mends it
}

// Unwrap gives the kind and the hint.
func (l leftOver) Unwrap() error { return l.error }

// unjoined is the error that says which segments were passed over; nil: none.
// It is of kind Corrupt if any is damaged or gone, else Unavailable.
func unjoined(over map[string]error) error {
	if len(over) == 0 {
		return nil
	}
	const named = 3
	kind, text, damaged := schema.Unavailable, "", true
	for i, key := range slices.Sorted(maps.Keys(over)) {
		if damages(over[key]) {
			kind = schema.Corrupt
		} else {
			damaged = false
		}
		if i < named {
			text += fmt.Sprintf("; %s: %v", key, over[key])
		}
	}
	if more := len(over) - named; more > 0 {
		text += fmt.Sprintf("; and %d more, which the log names", more)
	}
	return leftOver{schema.WithHint(schema.Errorf(kind, "%d segments cannot be read as they were committed, and are not joined with others%s", len(over), text),
		"annals verify tells what is damaged; a copy of the object with the same bytes mends it"), damaged}
}

// passedOver says which segments a compaction passed over, in the log, in Health
// and in the metrics; none: what was said before has passed.
func (a *Archiver) passedOver(s schema.Stream, over map[string]error, err error) {
	for _, key := range slices.Sorted(maps.Keys(over)) {
		a.log.Error("segment cannot be joined with others; it is passed over", "topic", s.Topic, "partition", s.Partition,
			"offset", a.nextOf(s), "key", key, "err", over[key])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := kafkaKey(s)
	p := a.partitions[key]
	switch {
	case p == nil || p.stream != s: // it went to another archiver, which finds the same
	case len(over) > 0:
		p.unjoined = len(over)
		a.trouble(causeOfCompacting(p), unjoined(over))
	case err == nil:
		p.unjoined = 0
		a.clear(causeOfCompacting(p))
	}
}

func causeOfCompacting(p *partition) cause {
	return cause{onStore, "compacting " + p.stream.String(), kafkaKey(p.stream)}
}

// maxConflicts is how often a pass plans a partition anew because others
// changed the chain.
const maxConflicts = 5

const day = 24 * time.Hour

// closed is the end of the last day that is closed.
func (c Compact) closed() time.Time { return c.Now().UTC().Add(-c.After).Truncate(day) }

// The rule of what is worth a rewrite: at least minJoined segments become one,
// none of which has more than half the target. So a byte is rewritten about
// once, and twice where a day had more segments than one commit can name.
const (
	minJoined = 4
	// maxJoinedBytes is what the segments that are joined may take of a commit.
	maxJoinedBytes = 40 << 10
)

// plan groups the current segments that are worth joining: neighbours on the
// newest branch, sealed on one closed day in UTC, together at most the target.
// Older branches are left as they are: nothing is added to them any more. What is
// passed over is joined with nothing.
func (c Compact) plan(v *ledger.View, over map[string]error) [][]ledger.Segment {
	branch := v.Branches[len(v.Branches)-1].Number
	closed := c.closed()
	var groups [][]ledger.Segment
	var group room
	end := func() {
		if len(group.segments) >= minJoined {
			groups = append(groups, group.segments)
		}
		group = room{}
	}
	for _, s := range v.Current() {
		fits := s.Branch == branch && s.Until == s.Next && !s.Sealed.IsZero() &&
			s.Sealed.Before(closed) && s.Ref.Bytes <= c.Target/2 && over[s.Ref.Key] == nil
		if !fits {
			end()
			continue
		}
		if !group.takes(s, c.Target) || purgedBetween(v, group, s) {
			end()
		}
		group.add(s)
	}
	end()
	return groups
}

// room is what a group has taken of what one segment and one commit hold.
type room struct {
	segments            []ledger.Segment
	bytes, rows, commit int64
	parts               int
	sealedOn            time.Time
}

func (r *room) takes(s ledger.Segment, target int64) bool {
	return len(r.segments) == 0 || s.Sealed.UTC().Truncate(day).Equal(r.sealedOn) &&
		r.bytes+s.Ref.Bytes <= target && r.rows+s.Records.Rows() <= segment.MaxRows &&
		r.commit+r.commitBytes(s) <= maxJoinedBytes && r.parts+s.Parts() <= segment.MaxParts
}

func (r *room) add(s ledger.Segment) {
	r.bytes += s.Ref.Bytes
	r.rows += s.Records.Rows()
	r.commit += r.commitBytes(s)
	r.segments = append(r.segments, s)
	r.parts += s.Parts()
	r.sealedOn = s.Sealed.UTC().Truncate(day)
}

// commitBytes is about what a joined segment takes in a commit: its name among the
// replaced, and its leader epochs.
func (r *room) commitBytes(s ledger.Segment) int64 {
	epochs := s.LeaderEpochs
	if n := len(r.segments); n > 0 && len(epochs) > 0 {
		if last := r.segments[n-1].LeaderEpochs; len(last) > 0 && last[len(last)-1].Epoch == epochs[0].Epoch {
			epochs = epochs[1:] // it goes on
		}
	}
	n := len(s.Ref.Key) + 64 + 80 + epochBytes*len(epochs)
	if s.Ref.VersionID != nil {
		n += len(*s.Ref.VersionID)
	}
	return int64(n)
}

// purgedBetween tells whether rows were taken away between a group and what
// comes next: a joined segment's range must not cover them.
func purgedBetween(v *ledger.View, group room, s ledger.Segment) bool {
	if len(group.segments) == 0 {
		return false
	}
	last := group.segments[len(group.segments)-1]
	for _, purge := range v.Purged {
		if purge.Base < s.Base && purge.Next > last.Next {
			return true
		}
	}
	return false
}
