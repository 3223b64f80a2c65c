package archiver

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
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

// Compact joins the small segments of closed days, of all partitions that are
// this process's own. It returns when nothing is left to join, with what it
// did until the first error.
func (a *Archiver) Compact(ctx context.Context) (Compacted, error) {
	a.upkeep.mu.Lock()
	defer a.upkeep.mu.Unlock()
	var total Compacted
	for _, s := range a.owned() {
		done, err := a.compactStream(ctx, s)
		total.Joined += done.Joined
		total.Segments += done.Segments
		total.Rows += done.Rows
		total.Bytes += done.Bytes
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// compactStream joins until nothing is left. After every compaction it plans
// anew: the chain may have moved in any way.
func (a *Archiver) compactStream(ctx context.Context, s schema.Stream) (Compacted, error) {
	var done Compacted
	damaged := cause{onStore, "compacting " + s.String(), kafka.TopicPartition{Topic: s.Topic, Partition: s.Partition}}
	var view *ledger.View
	for conflicts := 0; a.owns(s); {
		var err error
		if view, err = a.ledger.View(ctx, s, view); err != nil {
			return done, err
		}
		groups := a.upkeep.compact.plan(view)
		if len(groups) == 0 {
			break
		}
		group := groups[0]
		err = a.rewrite(ctx, s, group)
		for schema.KindOf(err) == schema.Exhausted && err != nil && len(group) >= 2*minJoined {
			group = group[:len(group)/2] // more than one segment holds
			err = a.rewrite(ctx, s, group)
		}
		a.mu.Lock()
		if schema.KindOf(err) == schema.Corrupt {
			a.trouble(damaged, err)
		} else {
			a.clear(damaged)
		}
		a.mu.Unlock()
		if schema.KindOf(err) == schema.Conflict && err != nil && conflicts < maxConflicts {
			a.metrics.joins.WithLabelValues("lost").Inc()
			conflicts++
			continue
		}
		if err != nil {
			a.metrics.joins.WithLabelValues("failed").Inc()
			return done, err
		}
		a.metrics.joins.WithLabelValues("joined").Inc()
		done.Joined++
		for _, old := range group {
			done.Segments++
			done.Rows += old.Records.Rows()
			done.Bytes += old.Ref.Bytes
		}
	}
	a.metrics.joined.Add(float64(done.Segments))
	a.metrics.joinedBytes.Add(float64(done.Bytes))
	return done, nil
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
	// maxReplacedBytes is what the list of the replaced may take of a commit.
	maxReplacedBytes = 40 << 10
)

// plan groups the current segments that are worth joining: neighbours on the
// newest branch, sealed on one closed day in UTC, together at most the target.
// Older branches are left as they are: nothing is added to them any more.
func (c Compact) plan(v *ledger.View) [][]ledger.Segment {
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
			s.Sealed.Before(closed) && s.Ref.Bytes <= c.Target/2
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
		r.commit+replacedBytes(s) <= maxReplacedBytes && r.parts+s.Parts() <= segment.MaxParts
}

func (r *room) add(s ledger.Segment) {
	r.segments = append(r.segments, s)
	r.bytes += s.Ref.Bytes
	r.rows += s.Records.Rows()
	r.commit += replacedBytes(s)
	r.parts += s.Parts()
	r.sealedOn = s.Sealed.UTC().Truncate(day)
}

// replacedBytes is about what an object's name takes in a commit.
func replacedBytes(s ledger.Segment) int64 {
	n := len(s.Ref.Key) + 64 + 80
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
