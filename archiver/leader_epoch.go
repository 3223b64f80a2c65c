package archiver

import (
	"cmp"
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// entry names one record of a log. Two logs that have the same entry are the
// same up to it (KIP-101): a leader writes no offset twice in its own epoch.
type entry struct {
	offset int64
	epoch  int32
}

// What archivedEpoch is where it is no leader epoch; -1 is that of records
// older than leader epochs.
const (
	nothingHeld  int32 = -2 // no row is archived: nothing can be contradicted
	epochUnknown int32 = -3 // the next record is asked about, whatever it is
)

// lastEpoch is the leader epoch of the newest record that is held or archived.
func (p *partition) lastEpoch() int32 {
	switch {
	case p.rows.len() > 0:
		return p.rows.at(p.rows.len() - 1).LeaderEpoch
	case len(p.frames) > 0:
		return p.frames[len(p.frames)-1].Epoch
	default:
		return p.archivedEpoch
	}
}

// trusted is how many of the records follow, beyond doubt, what is held: each
// is of the leader epoch of the record before it. Of the same epoch they are
// one leader's, and a log that has the second has the first. Of another one,
// lower or higher, they may be of two histories: an election can bring back a
// replica with records of an older epoch that nobody else had. Such a record
// is taken only if a guard has found it, and what is held, in one log. The same
// goes for a record where a marker should be that gave verdicts ahead: it may be
// of the epoch of the record before it, and the marker not in this log.
func (p *partition) trusted(records []schema.Record) (n int, why string) {
	last, ahead := p.lastEpoch(), p.markersAhead()
	for i := range records {
		came := entry{records[i].Offset, records[i].LeaderEpoch}
		if came.offset < p.expected {
			continue // a repetition after a seek, left out
		}
		if why = ahead.deniedBy(&records[i]); last == nothingHeld {
			why = cmp.Or(why, p.otherSince(came.epoch))
		}
		if last != nothingHeld && came.epoch != last {
			why = fmt.Sprintf("a record of leader epoch %d comes behind one of %d", came.epoch, last)
		}
		if why != "" && (p.approved == nil || came != *p.approved) {
			p.hand, p.atLeast = &came, came.epoch
			return i, why
		}
		last = came.epoch
	}
	return len(records), ""
}

// ledBy doubts the partitions of a listed topic that another leader leads than
// the one whose log was last held against the archive: it may have truncated
// the log, and no record need come to tell. Where nothing is archived or held
// there is nothing to contradict, and the leader is noted, unless the chain says
// under which leader epoch it began.
func (a *Archiver) ledBy(listed kafka.Topic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, number := range listed.Partitions {
		p := a.partitions[kafka.TopicPartition{Topic: listed.Name, Partition: number}]
		epoch := listed.LeaderEpochs[i]
		switch {
		case epoch < 0, p == nil, p.stopped != "", p.guard != passed, p.stream.TopicID != listed.ID, p.epoch == epoch:
		case p.lastEpoch() == nothingHeld && !p.saysBegan():
			p.epoch = epoch
		default:
			p.hand, p.atLeast = nil, max(p.epoch, epoch)
			a.doubt(p, fmt.Sprintf("its leader epoch was %d and is %d", p.epoch, epoch))
		}
	}
}

// approve asks the same leader for the record that came: only if its log has
// both, what is held and this one, is it taken. Else it is dropped, as it was
// left unread, and whatever stands there now is read.
func (g *guard) approve(ctx context.Context, found *finding) error {
	if g.hand == nil || found.lose || found.commit != nil {
		return nil
	}
	h, err := g.holds(ctx, &schema.Record{Offset: g.hand.offset, LeaderEpoch: g.hand.epoch}, otherEpoch)
	if err != nil {
		return err
	}
	found.approved = h.outcome == outcomeSame || h.outcome == outcomeEpoch
	if !found.approved {
		g.log.Debug("the record that came is not in the log of who leads now; it is read again", "offset", g.hand.offset, "found", h.evidence)
	}
	return nil
}

// otherEpoch compares what is known of a record by its entry.
func otherEpoch(ours, theirs *schema.Record) string {
	if ours.LeaderEpoch != theirs.LeaderEpoch {
		return "leader epoch"
	}
	return ""
}
