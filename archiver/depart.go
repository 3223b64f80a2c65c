package archiver

import (
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// A partition whose topic left the listing, deleted, with another one under its
// name, or out of this process's Kafka user's sight, departs: it is no longer the
// group's, and not read, but what was read and decided is sealed first. Kafka may not
// have it any more: dropped, it would be lost. If the listing was wrong, what was
// sealed is as sound as any, and whoever opens the partition again goes on behind it.
//
// What cannot be sealed is lost, and said to be: rows that wait for the marker of
// their transaction, which nobody will write, with those behind them, and in the
// spool those that share a frame with them; those of a partition that is doubted, of
// which nobody can ask any more whether they continue the archive; and those behind a
// segment that another archiver sealed meanwhile, of which the same holds.

// departed is what is known of a partition that this process has read, and has
// nothing left of.
type departed struct {
	seen   ledger.Seen
	config *schema.Digest
}

// depart takes partitions out of the group's hands. Needs mu.
func (a *Archiver) depart(list []kafka.TopicPartition) {
	for _, key := range list {
		p := a.partitions[key]
		if p == nil {
			continue
		}
		if p.stream.TopicID.IsZero() || a.departing[p.stream.Key()] != nil {
			a.drop([]kafka.TopicPartition{key}, "topic gone") // it could not be opened, or its rows are being sealed
			continue
		}
		delete(a.partitions, key)
		p.seek, p.pause, p.resume, p.sealTo = false, false, false, 0
		a.clear(causeOfReading(key))
		a.clear(causeOfGuard(key))
		a.clear(causeOfCompacting(p))
		a.departing[p.stream.Key()] = p
	}
	a.sealDeparting(time.Now())
	a.changed.Broadcast()
}

// sealDeparting cuts what departing partitions have decided, one segment after the
// other, and lets go of those that have nothing to be sealed any more. Needs mu.
func (a *Archiver) sealDeparting(now time.Time) {
	for _, p := range a.departing {
		switch {
		case p.sealing:
		case p.stopped == "" && p.cuttable(p.whole(p.decided)):
			a.enqueue(p.cut(cutGone, p.most(p.decided, a.cutAt.Bytes), now))
		default:
			a.gotAway(p)
		}
	}
}

// abandonDeparting says what a process that stops leaves of topics that are gone.
func (a *Archiver) abandonDeparting() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.departing {
		p.stopped = "the archiver stopped before they were sealed"
		a.gotAway(p)
	}
}

// gotAway lets go of a departing partition. Needs mu.
func (a *Archiver) gotAway(p *partition) {
	key := kafkaKey(p.stream)
	delete(a.departing, p.stream.Key())
	if left := p.count(); left > 0 || p.stopped != "" {
		why := p.stopped
		switch {
		case why != "":
		case p.guard != passed:
			why = "it was not known whether they continue the archive: " + p.why
		default:
			why = "their transaction had not ended"
		}
		a.log.Error("records of a topic that is gone, or not to be read any more, were read, and are not archived", "topic", key.Topic, "partition", key.Partition,
			"topic_id", p.stream.TopicID.String(), "offset", p.head.Next, "to", p.expected, "records", left, "why", why)
	}
	gone := departed{config: p.config}
	if p.highWatermark >= 0 { // else nothing was fetched, and all that is known is what the chain says
		gone.seen = ledger.Seen{HighWatermark: known(p.marks.end()), LastStable: known(p.lastStable), LogStart: known(p.logStart)}
	}
	a.leave(p)
	a.held -= p.abandon()
	a.clear(causeOfSealing(p))
	a.bury(p)
	a.gone.sealed(p.stream, gone)
	a.log.Info("partition dropped", "topic", key.Topic, "partition", key.Partition, "why", "topic gone", "offset", p.head.Next)
	a.changed.Broadcast()
}

// holds tells whether a partition is still this process's to seal. Needs mu.
func (a *Archiver) holds(p *partition) bool {
	return a.partitions[kafkaKey(p.stream)] == p || a.departing[p.stream.Key()] == p
}
