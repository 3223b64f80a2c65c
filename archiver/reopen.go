package archiver

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/retry"
)

// A partition that was given up is opened again after a while, as if it had been
// assigned anew: what was damaged may have been so on its way, or been mended
// since. Where it was not, it is given up again.

const (
	firstReopen = 5 * time.Second
	mostReopen  = 5 * time.Minute
)

// revival is what is done about a partition that was given up.
type revival struct {
	pauses  retry.Pauses
	at      time.Time  // not opened before
	opening bool       // it is being opened
	opened  *partition // and what came of it
}

// reopen opens what was given up, each at its time, and takes in those that are
// open by now. It belongs to the loop, which alone moves positions. Needs mu.
func (a *Archiver) reopen(ctx context.Context, now time.Time) {
	for key, p := range a.partitions {
		if p.stopped == "" {
			continue
		}
		if p.revival == nil {
			p.revival = &revival{pauses: retry.Between(firstReopen, mostReopen)}
			p.revival.at = now.Add(p.revival.pauses.Next())
		}
		switch r := p.revival; {
		case r.opened != nil:
			a.revive(key, p, r.opened)
		case !r.opening && !p.sealing && !now.Before(r.at):
			r.opening = true
			a.guards.Go(func() { a.tryOpen(ctx, key, p) })
		}
	}
}

// tryOpen opens a partition beside the loop.
func (a *Archiver) tryOpen(ctx context.Context, key kafka.TopicPartition, p *partition) {
	fresh, err := a.open(ctx, key)
	a.mu.Lock()
	defer a.mu.Unlock()
	r := p.revival
	if r.opening = false; err == nil {
		r.opened = fresh
		return
	}
	wait := r.pauses.Next()
	r.at = time.Now().Add(wait)
	if ctx.Err() == nil && a.partitions[key] == p {
		a.log.Warn("partition that was given up cannot be opened yet", "topic", key.Topic, "partition", key.Partition,
			"offset", p.head.Next, "retry_in", wait.Round(time.Millisecond).String(), "err", err)
	}
}

// revive puts an opened partition in the place of the one that was given up. If
// it is given up again, the next attempt comes after a longer pause. Needs mu.
func (a *Archiver) revive(key kafka.TopicPartition, p, fresh *partition) {
	a.leave(p)
	a.held -= p.abandon()
	fresh.tally, fresh.revival = p.tally, p.revival
	fresh.revival.opened = nil
	fresh.revival.at = time.Now().Add(fresh.revival.pauses.Next())
	a.takeUp(fresh)
	fresh.seek, fresh.resume = true, fresh.guard == passed
	a.partitions[key] = fresh
	if !fresh.begun {
		a.catchup.compare(fresh.stream)
	}
	a.log.Info("partition that was given up is archived again", "topic", key.Topic, "partition", key.Partition, "offset", fresh.expected)
}
