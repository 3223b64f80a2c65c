package archiver

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// Compact says which segments are joined, and how fast.
type Compact struct {
	Off bool
	// Target is the size of a joined segment; 128 MiB if zero.
	Target int64
	// After is how long after its end a day, in UTC, is closed; 24 h if zero.
	After time.Duration
	// Rate bounds the bytes a second that are read; 16 MiB if zero.
	Rate int64
	// TempDir takes the segment that is read and the one that is written, in
	// files without a name, twice Target at most; "" is the system's.
	TempDir string
	// Every is how often the partitions are gone through; 10 min if zero.
	Every time.Duration
	// Now is the clock that days and ages are reckoned by; nil: the system's.
	Now func() time.Time
}

// Collect says when objects that nothing needs any more are deleted.
type Collect struct {
	Off bool
	// After is how old they are by then; 7 days if zero. Less than MinCollect
	// is raised to it.
	After time.Duration
}

// MinCollect is the least age of what is deleted. It is far more than an
// object waits between its PUT and its commit, and than a query reads on with
// what it looked up.
const MinCollect = 24 * time.Hour

func (c Compact) orDefault() Compact {
	c.Target = cmp.Or(c.Target, 128<<20)
	c.After = cmp.Or(c.After, 24*time.Hour)
	c.Rate = cmp.Or(c.Rate, 16<<20)
	c.Every = cmp.Or(c.Every, 10*time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Collect) orDefault() Collect {
	c.After = max(cmp.Or(c.After, 7*24*time.Hour), MinCollect)
	return c
}

// Rewrites is what compaction and collection need of the store, beside what
// sealing does.
type Rewrites interface {
	Collectable
	PutFile(ctx context.Context, key string, f io.ReadSeeker, size int64, sha schema.Digest) (objstore.Object, error)
}

// upkeep is what is done besides archiving, one partition at a time.
type upkeep struct {
	compact Compact
	collect Collect

	mu sync.Mutex                     // one pass at a time in the process
	at map[schema.StreamKey]time.Time // up to which day's end a stream was gone through
}

// keepUp goes through the partitions whenever another day has closed.
func (a *Archiver) keepUp(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, a.upkeep.compact.Every)
		if ctx.Err() == nil {
			a.pass(ctx)
		}
	}
}

// pass compacts, and collects of, each partition that was not gone through
// since the last day closed. What fails is tried again in the next pass.
func (a *Archiver) pass(ctx context.Context) {
	u := &a.upkeep
	u.mu.Lock()
	defer u.mu.Unlock()
	closed := u.compact.closed()
	if u.at == nil {
		u.at = map[schema.StreamKey]time.Time{}
	}
	for _, s := range a.owned() {
		if ctx.Err() != nil {
			return
		}
		if !u.at[s.Key()].Before(closed) {
			continue
		}
		err := a.keepStream(ctx, s)
		if schema.KindOf(err) == schema.Permission && err != nil {
			a.log.Warn("upkeep of a partition is not allowed; it is tried again when another day has closed", "topic", s.Topic,
				"partition", s.Partition, "offset", a.nextOf(s), "err", err, "hint", "grant this process the right to delete below data/ and jobs/compact/, or switch archive.collect off")
			err = nil
		}
		if err != nil {
			if ctx.Err() == nil {
				a.log.Warn("upkeep of a partition failed; it is tried again", "topic", s.Topic, "partition", s.Partition,
					"offset", a.nextOf(s), "retry_in", u.compact.Every.String(), "err", err)
			}
			continue
		}
		u.at[s.Key()] = closed
	}
}

// nextOf is where a stream's ledger ends; -1: it is not ours any more.
func (a *Archiver) nextOf(s schema.Stream) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.partitions[kafkaKey(s)]; p != nil && p.stream == s {
		return p.head.Next
	}
	return -1
}

// keepStream joins and collects. What is damaged is no reason to try again before
// another day has closed: it was said, and all else was done.
func (a *Archiver) keepStream(ctx context.Context, s schema.Stream) error {
	var joined error
	if !a.upkeep.compact.Off {
		var left leftOver
		if _, joined = a.compactStream(ctx, s); errors.As(joined, &left) && left.damaged {
			joined = nil
		}
	}
	if a.upkeep.collect.Off || ctx.Err() != nil {
		return joined
	}
	_, err := a.collectStream(ctx, s, false)
	return errors.Join(joined, err)
}

// owned lists the streams that the group gives to this process and that it
// archives. Others are their owners' to look after; two at once are harmless.
func (a *Archiver) owned() []schema.Stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []schema.Stream
	for _, p := range a.partitions {
		if p.stopped == "" {
			list = append(list, p.stream)
		}
	}
	slices.SortFunc(list, func(x, y schema.Stream) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	return list
}

func (a *Archiver) owns(s schema.Stream) bool {
	return slices.Contains(a.owned(), s)
}

// What the archiver may hold, and lag behind, while it does upkeep besides.
const (
	upkeepBudget = 0.5 // of the buffers
	upkeepLag    = 100_000
)

// behind tells that archiving or the index needs the process, the store and
// the machine for itself.
func (a *Archiver) behind() bool {
	a.mu.Lock()
	tight := float64(a.held) > upkeepBudget*float64(a.options.Memory) || a.unread() > upkeepLag
	a.mu.Unlock()
	return tight || a.feed.behind() || !a.catchup.idle()
}

// paced waits until the archiver keeps up, and then as long as n bytes take at
// the allowed rate.
func (a *Archiver) paced(ctx context.Context, n int64) error {
	for a.behind() && ctx.Err() == nil {
		a.metrics.waits.WithLabelValues("upkeep").Inc()
		pause(ctx, 250*time.Millisecond)
	}
	pause(ctx, time.Duration(float64(n)/float64(a.upkeep.compact.Rate)*float64(time.Second)))
	return ctx.Err()
}
