package replay

import (
	"context"
	"math"
	"math/bits"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// checkPace refuses what cannot be kept, and fills in what was left out. nil is
// as fast as possible.
func checkPace(p *answer.ReplayPace) (answer.ReplayPace, error) {
	if p == nil {
		return answer.ReplayPace{Mode: answer.PaceFast}, nil
	}
	out := *p
	given := func(field string, v float64) error {
		if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			return schema.InvalidField(field, "%v is not a positive number", v)
		}
		return nil
	}
	for field, v := range map[string]float64{
		"records_per_second": p.RecordsPerSecond, "bytes_per_second": p.BytesPerSecond, "speed": p.Speed, "max_wait_seconds": p.MaxWaitSeconds,
	} {
		if err := given(field, v); err != nil {
			return out, err
		}
	}
	rated := p.RecordsPerSecond > 0 || p.BytesPerSecond > 0
	switch p.Mode {
	case answer.PaceFast:
		if p.FastUntil != 0 {
			return out, schema.InvalidField("fast_until", "as fast as possible waits for nothing: give a rate or a speed to go on with")
		}
		if rated || p.Speed > 0 || p.MaxWaitSeconds > 0 {
			return out, schema.InvalidField("mode", "fast has neither a rate nor a speed")
		}
	case answer.PaceRate:
		if !rated || p.Speed > 0 || p.MaxWaitSeconds > 0 {
			return out, schema.InvalidField("mode", "rate needs records_per_second or bytes_per_second, and has no speed")
		}
	case answer.PaceOriginal:
		if rated {
			return out, schema.InvalidField("mode", "original has a speed, not a rate")
		}
		if out.Speed == 0 {
			out.Speed = 1
		}
	default:
		return out, schema.InvalidField("mode", "%.32q is none of fast, rate, original", p.Mode)
	}
	return out, nil
}

// isMerged tells whether records are taken in the order of one clock over all
// partitions rather than partition by partition.
func isMerged(p *answer.ReplayPace) bool { return p.Mode != answer.PaceFast }

// clock says when records are due. It belongs to one goroutine.
type clock struct {
	pace *answer.ReplayPace
	// original: the record of the time at is due at wall.
	wall time.Time
	at   int64 // milliseconds; valid once anchored
	// rate: when the next record is due.
	next     time.Time
	anchored bool
}

// burst is how far a rate may lag behind and be made up for.
const burst = 100 * time.Millisecond

// due is when a record should be produced. at is the merged clock's time of it
// in milliseconds, which never falls. A pace that was not kept up with, because
// a broker was away, is made up for: at the original pace wholly, at a rate for
// what fits into a burst.
func (c *clock) due(now time.Time, at, bytes int64) time.Time {
	if at < c.pace.FastUntil {
		return now
	}
	switch c.pace.Mode {
	case answer.PaceRate:
		due := c.next
		if due.IsZero() || now.Sub(due) > burst {
			due = now
		}
		cost := 0.0
		if c.pace.RecordsPerSecond > 0 {
			cost = 1 / c.pace.RecordsPerSecond
		}
		if c.pace.BytesPerSecond > 0 {
			cost = max(cost, float64(bytes)/c.pace.BytesPerSecond)
		}
		c.next = due.Add(seconds(cost))
		return due
	case answer.PaceOriginal:
		if !c.anchored {
			c.wall, c.at, c.anchored = now, at, true
		}
		due := c.wall.Add(seconds(float64(at-c.at) / 1000 / c.pace.Speed))
		if most := seconds(c.pace.MaxWaitSeconds); most > 0 && due.Sub(now) > most {
			c.wall = c.wall.Add(-(due.Sub(now) - most))
			due = now.Add(most)
		}
		return due
	default:
		return now
	}
}

// seconds is a duration that does not overflow: a century is as good as for ever.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 100*365*24*3600) * float64(time.Second))
}

// lateness counts how much later than due records were. Safe for concurrent use.
type lateness struct {
	mu      sync.Mutex
	n       int64
	most    time.Duration
	buckets [46 * 8]int64 // eight of each power of two of microseconds
}

func (l *lateness) add(late time.Duration) {
	us := uint64(max(late.Microseconds(), 0))
	bucket := int(us)
	if us >= 8 {
		power := bits.Len64(us) - 4
		bucket = power*8 + int(us>>power)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.most = max(l.most, late)
	l.buckets[min(bucket, len(l.buckets)-1)]++
}

// quantile is an upper bound of a share's lateness in milliseconds, an eighth
// too high at most.
func (l *lateness) quantile(share float64) float64 {
	left := int64(math.Ceil(share * float64(l.n)))
	for bucket, n := range l.buckets {
		if left -= n; left <= 0 {
			upper := float64(bucket)
			if bucket >= 16 {
				power := bucket/8 - 1
				upper = float64((uint64(bucket-power*8)+1)<<power) - 1
			}
			return min(upper/1000, float64(l.most.Microseconds())/1000)
		}
	}
	return 0
}

func (l *lateness) report() answer.Lateness {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return answer.Lateness{}
	}
	return answer.Lateness{Records: l.n, P50: l.quantile(0.5), P99: l.quantile(0.99), Max: float64(l.most.Microseconds()) / 1000}
}

// paced produces records when they are due, in transactions of the commit
// interval.
type paced struct {
	*attempt
	clock   clock
	last    int64 // time of the last planned record, in milliseconds
	allowed allowance
	at      *progress
	open    bool
	opened  time.Time
	// writing is the open transaction's: what it was given with is given up when
	// it ends.
	writing context.Context //nolint:containedctx // it lives as long as a transaction
	release context.CancelFunc
	n       int
	bytes   int64
}

// errRepaced: the new pace takes records in another order.
var errRepaced = schema.Errorf(schema.Unavailable, "the pace was changed")

// run produces what comes until there is no more.
func (p *paced) run(ctx context.Context, chunks <-chan *batch) error {
	for b := range chunks {
		for i := range b.records {
			if err := p.one(ctx, &b.records[i]); err != nil {
				return p.stop(err)
			}
		}
	}
	return p.stop(ctx.Err())
}

// stop ends the transaction that is open: what was sent in time is kept.
func (p *paced) stop(why error) error {
	if !p.open {
		return why
	}
	if err := p.commit(); err != nil {
		return err
	}
	return why
}

func (p *paced) one(ctx context.Context, r *placed) error {
	if to := p.claim.stepTo.Load(); to > 0 && p.at.produced+int64(p.n) >= to {
		if err := p.claim.stepped(ctx); err != nil {
			return err
		}
	}
	due, err := p.await(ctx, r)
	if err != nil {
		return err
	}
	if !p.open {
		p.writing, p.release = lingering(ctx)
		if err := p.producer.Begin(p.writing); err != nil {
			p.release()
			return err
		}
		p.open, p.opened = true, time.Now()
	}
	p.claim.sent.add(time.Since(due))
	p.produce(p.writing, r, func() { p.claim.acked.add(time.Since(due)) })
	p.at.next[r.index] = r.offset + 1
	p.n, p.bytes = p.n+1, p.bytes+r.size
	if p.n == mostRecords || p.bytes >= p.options.Batch {
		return p.commit()
	}
	return nil
}

// await waits until a record is due, commits what is open when its interval has
// passed, and takes up a new pace.
func (p *paced) await(ctx context.Context, r *placed) (time.Time, error) {
	allowed := p.allowed.due(1, r.size)
	due := later(p.clock.due(time.Now(), r.clock, r.size), allowed)
	p.claim.clocked(p.clock.pace, r.clock, p.last, due)
	for {
		if pace := p.claim.pace.Load(); pace != p.clock.pace {
			if !isMerged(pace) {
				return due, errRepaced
			}
			p.clock = clock{pace: pace}
			due = later(p.clock.due(time.Now(), r.clock, r.size), allowed)
			p.claim.measure()
			p.claim.clocked(pace, r.clock, p.last, due)
		}
		now := time.Now()
		until := due
		if p.open {
			if ends := p.opened.Add(p.options.Interval); !ends.After(now) {
				if err := p.commit(); err != nil {
					return due, err
				}
				continue
			} else if ends.Before(due) {
				until = ends
			}
		}
		if !due.After(now) {
			return due, ctx.Err()
		}
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return due, ctx.Err()
		case <-p.claim.repaced:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (p *paced) commit() error {
	defer p.release()
	p.at.produced += int64(p.n)
	err := p.attempt.commit(p.writing, p.at.cursor(), p.n, p.bytes)
	p.open, p.n, p.bytes = false, 0, 0
	return err
}
