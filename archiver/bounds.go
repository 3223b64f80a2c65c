package archiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// fetchFailed decides what an error of one partition means.
func (a *Archiver) fetchFailed(p *partition, b *kafka.Batch) {
	key := b.TopicPartition
	switch {
	case errors.Is(b.Err, kafka.ErrTruncated): // doubted already
	case errors.Is(b.Err, kafka.ErrTopicGone):
		a.topics.look()
	case errors.Is(b.Err, kafka.ErrOffsetOutOfRange):
		p.ask, p.pause = true, true // the client would repeat the error as fast as it can
	case errors.Is(b.Err, kafka.ErrTooLarge):
		a.trouble(causeOfReading(key), b.Err)
		a.suspect(p, suspicion{at: p.position(), err: b.Err, large: true, next: -1})
	default: // a batch that cannot be decoded, for one
		a.trouble(causeOfReading(key), b.Err)
		a.suspect(p, suspicion{at: p.position(), err: b.Err, next: -1})
	}
}

// askEvery is how often the bounds of partitions that wait for them are asked.
const askEvery = time.Second

// askBounds asks Kafka, without the mutex, where the logs of some partitions
// begin and end: of those whose offset is out of range, and of those that were
// set aside for an open transaction.
func (a *Archiver) askBounds(ctx context.Context) {
	names := a.waitingForBounds()
	if len(names) == 0 {
		return
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	offsets, err := a.admin.Offsets(asking, names...)
	var ours map[kafka.TopicPartition]bool
	if out := a.outOfRange(); err == nil && len(out) > 0 {
		// A topic that was made anew answers by the same name: where its log begins
		// says nothing of the one before.
		ours, err = a.admin.Vouched(asking, out)
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.boundsAnswered(ctx, err); err != nil {
		return
	}
	for key, p := range a.partitions {
		bounds, ok := offsets[key.Topic][key.Partition]
		switch {
		case !p.ask && !p.aside:
		case !ok || bounds.Err != nil:
			a.log.Warn("no answer to where the log starts and ends", "topic", key.Topic, "partition", key.Partition,
				"offset", p.expected, "err", bounds.Err)
		case bounds.HighWatermark < p.expected:
			p.ask, p.aside = false, false
			a.doubt(p, fmt.Sprintf("the log ends at %d, offset %d was reached", bounds.HighWatermark, p.expected))
		case p.ask && !ours[key]:
			a.topics.look() // it is asked again until discovery has purged it, or it is vouched for
		case p.ask:
			p.ask = false
			a.overtaken(p, bounds, now)
		case bounds.LastStable > p.expected:
			a.takeBack(p, bounds.LastStable)
		}
	}
}

// outOfRange gives the partitions whose offset is out of range, each with its topic.
func (a *Archiver) outOfRange() map[kafka.TopicPartition]schema.TopicID {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[kafka.TopicPartition]schema.TopicID{}
	for key, p := range a.partitions {
		if p.ask {
			out[key] = p.stream.TopicID
		}
	}
	return out
}

// unansweredBounds is how often nobody may answer until that is trouble: a
// moving leadership is none.
const unansweredBounds = 3

// boundsAnswered says when the bounds are asked for again. Needs mu.
func (a *Archiver) boundsAnswered(ctx context.Context, err error) {
	what := cause{from: onKafka, what: "asking where logs start and end"}
	if err == nil {
		a.unbounded = 0
		a.boundsWait.Reset()
		a.clear(what)
		return
	}
	a.boundsAt = time.Now().Add(a.boundsWait.Next())
	if a.unbounded++; a.unbounded >= unansweredBounds && ctx.Err() == nil {
		a.trouble(what, err)
	}
}

// waitingForBounds names the topics to ask for, at most every askEvery.
func (a *Archiver) waitingForBounds() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Before(a.boundsAt) {
		return nil
	}
	topics := map[string]bool{}
	var names []string
	for key, p := range a.partitions {
		if (p.ask || p.aside) && !topics[key.Topic] {
			topics[key.Topic] = true
			names = append(names, key.Topic)
		}
	}
	if len(names) > 0 {
		a.boundsAt = time.Now().Add(askEvery)
	}
	return names
}

// overtaken records the offsets that Kafka deleted before they were read, and
// reads on at log start.
func (a *Archiver) overtaken(p *partition, bounds kafka.Offsets, now time.Time) {
	p.resume, p.seek = true, true
	a.counted(p, func() { p.skim = nil })
	if bounds.LogStart > p.expected {
		a.log.Error("records were deleted before they were archived", "topic", p.stream.Topic, "partition", p.stream.Partition,
			"offset", p.expected, "to", bounds.LogStart, "class", string(schema.GapBeforeLogStart))
		p.logStart = bounds.LogStart
		a.counted(p, func() {
			p.deleted(bounds.LogStart, fmt.Sprintf("fetch: OFFSET_OUT_OF_RANGE; ListOffsets: log start %d", bounds.LogStart), now)
			p.settle(now)
		})
	}
}

// guardPatience is how long a full process waits for a guard that has not
// failed yet before it drops what the guard is about.
const guardPatience = 5 * time.Second

// makeRoom drops what can be read again when nothing more can be cut: a buffer
// whose partition is doubted, if that takes long, else one that waits for an
// open transaction. A guard takes milliseconds, and then the buffer can be cut:
// if it were dropped at once, a log with a leader epoch in every fetch would be
// read from the head for ever.
func (a *Archiver) makeRoom(now time.Time) {
	var largest *partition
	for _, p := range a.partitions {
		if p.guard == passed || p.sealing || p.buffered() == 0 {
			continue
		}
		if p.wait == 0 && now.Sub(p.doubtedAt) < guardPatience {
			return // room is on its way
		}
		if largest == nil || p.memory() > largest.memory() {
			largest = p
		}
	}
	if largest == nil {
		a.setAside(now)
		return
	}
	a.held -= largest.discard(largest.head)
	largest.resume = false
	a.feed.restart(largest.stream, largest.head.Next)
}

// setAside makes room when nothing more can be cut: of the buffer with the most
// undecided bytes, everything from the first undecided record on is dropped,
// and read again when the last stable offset has passed it.
func (a *Archiver) setAside(now time.Time) {
	if a.spool.onTheWay(now) > 0 {
		return // room is on its way
	}
	var largest *partition
	for _, p := range a.partitions {
		if p.sealing || p.decided > p.fed && a.feed.trouble() == nil {
			return // room is on its way
		}
		if undecided := p.undecidedSize(); undecided > 0 && (largest == nil || undecided > largest.undecidedSize()) {
			largest = p
		}
	}
	if largest == nil {
		return
	}
	offset, producer := largest.firstUndecided()
	a.log.Warn("an open transaction fills the buffers; its partition is set aside until it ends",
		"topic", largest.stream.Topic, "partition", largest.stream.Partition, "offset", offset, "producer_id", producer)
	a.held -= largest.truncate()
	largest.aside, largest.pause = true, true
}

// stillFor is how long nothing may come of a compacted topic before transactions
// that wait for their markers are read again. A cleaner takes a marker when it has
// taken the records, and delete.retention.ms later, a day by default.
const stillFor = 10 * time.Minute

// stoodStill tells whether markers that the partition waits for may have been
// cleaned away since it read their records: the next one of such a producer would
// be taken for theirs.
func (p *partition) stoodStill(now time.Time) bool {
	return p.compacted && len(p.open) > 0 && !p.sealing && now.Sub(p.tookAt) > stillFor
}

// reread drops what waits for its marker and has it read as the log is now.
func (a *Archiver) reread(p *partition, now time.Time) {
	a.log.Info("records of open transactions are read again: nothing came for long, and their markers may have been cleaned away meanwhile",
		"topic", p.stream.Topic, "partition", p.stream.Partition, "offset", p.offsetAt(p.decided))
	a.held -= p.truncate()
	a.counted(p, func() { p.known = nil }) // what it had to say of these was taken from it
	p.tookAt, p.seek = now, true
}

// takeBack reads a partition on that was set aside. Its transaction has ended,
// as stable says, and may be larger than the budget: so the markers first.
func (a *Archiver) takeBack(p *partition, stable int64) {
	p.aside = false
	a.counted(p, func() { p.skim, p.known = newSkim(p.expected, stable), nil })
	p.resume, p.seek = true, true
	a.log.Info("partition is read on", "topic", p.stream.Topic, "partition", p.stream.Partition, "offset", p.expected)
}

// skimmed takes what a skimming fetch brought. When it has seen enough the
// partition is read from where it was set aside.
func (a *Archiver) skimmed(p *partition, b *kafka.Batch) {
	p.skim.most = a.roomAhead(p)
	done := false
	a.counted(p, func() { done = p.skim.take(b) })
	if !done {
		return
	}
	e := &p.skim.endings
	if len(e.runs) > 1 { // of one leader epoch it is one history
		a.doubt(p, "the log was skimmed over several leader epochs")
		a.counted(p, func() { p.skimmed = e })
		return
	}
	p.seek = true
	a.counted(p, func() { p.known, p.skim = e, nil })
}

// aheadShare is the share of the budget that what was skimmed may take, of all
// partitions together: nothing of it can be cut, and rows need the rest.
const aheadShare = 0.25

// roomAhead is up to how many bytes a partition's skim may take transactions in.
// Half of the share is whose comes first; of the other half each partition has an
// equal part, whatever the others hold.
func (a *Archiver) roomAhead(p *partition) int64 {
	half := int64(aheadShare / 2 * float64(a.options.Memory))
	left := half
	for _, other := range a.partitions {
		left -= other.ahead()
	}
	return max(p.ahead()+left, half/int64(max(1, len(a.partitions))))
}
