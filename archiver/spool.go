package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/schema"
)

// Spool is where buffers go that memory does not hold.
type Spool struct {
	Dir   string // annals-spool in it is ours, and nobody else's
	Bytes int64  // the most that its files may have; 0: there is none
}

// Shares of the budget in memory: above the first, buffers are spooled, the
// largest first, down to the second, but no more at a time than the third, so
// that a disk that does not answer holds no more than that.
const (
	spillAbove = 0.5
	spillDown  = 0.35
	spillMost  = 0.25
)

// spoolPatience is how long memory waits for a write instead of cutting: a pause
// of milliseconds costs less than a small segment.
const spoolPatience = 2 * time.Second

// How long a disk that did not give back what was written to it is left alone:
// after the first time, and at most.
const (
	distrustFirst = 5 * time.Minute
	distrustMost  = time.Hour
)

// spooling is what the archiver knows of its spool, guarded by its mutex. The
// disk can be full, slow or broken: then buffers are cut as if there were none.
type spooling struct {
	disk     *spool.Spool // nil: there is none, or it could not be opened yet
	work     chan []*spill
	underWay int64     // bytes of memory whose rows are being written
	began    time.Time // when
	retryAt  time.Time // after a failure
	full     int64     // there was no room when so much was used; 0: there was
	pauses   retry.Pauses

	damaged  int       // buffers that could not be read back since the last that could
	suspect  time.Time // after a damage: until then nothing is written
	distrust retry.Pauses
	bodies   int64 // bytes of segments that were made of spooled rows and are not stored yet
}

// onTheWay is what will be free of memory in a moment.
func (s *spooling) onTheWay(now time.Time) int64 {
	if s.underWay == 0 || now.Sub(s.began) > spoolPatience {
		return 0
	}
	return s.underWay
}

var (
	causeOfSpool       = cause{from: onSpool, what: "spooling"}
	causeOfReadingBack = cause{from: onSpool, what: "reading back what was spooled"}
	causeOfSweep       = cause{from: onSpool, what: "deleting what was spooled"}
)

// openSpool opens the folder. Only what somebody has to change is an error: that
// another process has it, or that others may read it. A disk that does not
// answer is in Health, and tried again.
func (a *Archiver) openSpool() error {
	o := a.options.Spool
	disk, err := spool.Open(o.Dir, o.Bytes)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case errors.Is(err, spool.ErrInUse) || schema.KindOf(err) == schema.Invalid:
		return err
	case err != nil:
		a.spoolFailed(err)
		return nil
	}
	a.spool.disk = disk
	a.clear(causeOfSpool)
	left := disk.Leftover()
	a.log.Info("spool opened", "dir", disk.Dir(), "bytes", o.Bytes, "discarded_files", left.Files, "discarded_bytes", left.Bytes)
	return nil
}

// spoolFailed says so and leaves the disk alone for a while. Needs mu.
func (a *Archiver) spoolFailed(err error) {
	a.metrics.spoolFailures.Inc()
	a.trouble(causeOfSpool, fmt.Errorf("%w; buffers are cut from memory meanwhile", err))
	a.spool.retryAt = time.Now().Add(a.spool.pauses.Next())
}

// spiller writes what the loop gives it, and deletes files, until ctx ends.
func (a *Archiver) spiller(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case batch := <-a.spool.work:
			a.spillAll(batch)
		case now := <-tick.C:
			a.reopenSpool(now)
		}
		a.sweepSpool()
	}
}

func (a *Archiver) reopenSpool(now time.Time) {
	a.mu.Lock()
	wait := a.spool.disk != nil || now.Before(a.spool.retryAt)
	a.mu.Unlock()
	if wait {
		return
	}
	if err := a.openSpool(); err != nil { // it was broken, and now it is another's
		a.mu.Lock()
		defer a.mu.Unlock()
		a.spoolFailed(err)
	}
}

func (a *Archiver) sweepSpool() {
	a.mu.Lock()
	disk := a.spool.disk
	a.mu.Unlock()
	if disk == nil {
		return
	}
	end := a.local(onSpool, "deleting from the spool's disk")
	err := disk.Sweep()
	end()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.clear(causeOfSweep)
	} else {
		a.trouble(causeOfSweep, err)
	}
}

// closeSpool gives the folder back, empty, when nothing needs it any more.
func (a *Archiver) closeSpool() {
	a.mu.Lock()
	disk := a.spool.disk
	a.spool.disk = nil
	a.mu.Unlock()
	if disk == nil {
		return
	}
	if err := disk.Close(); err != nil {
		a.log.Warn("spool not cleared; the next start does it", "err", err)
	}
}

// spillAll writes, and puts what is written in the place of its rows. After a
// failure the rest of the batch stays in memory.
func (a *Archiver) spillAll(batch []*spill) {
	var failed error
	for _, s := range batch {
		if failed == nil {
			end := a.local(onSpool, "writing to the spool's disk")
			failed = s.write()
			end()
		}
		a.mu.Lock()
		a.spool.underWay -= s.bytes
		a.held -= s.p.spooledBy(s, time.Now())
		for _, f := range s.written {
			a.metrics.spoolWritten.Add(float64(f.Bytes()))
		}
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case failed == nil:
		a.clear(causeOfSpool)
		a.spool.pauses.Reset()
	case errors.Is(failed, spool.ErrFull): // as it may be: the largest are cut
		a.metrics.spoolFull.Inc()
		a.spool.full = a.spool.disk.Used()
	case errors.Is(failed, spool.ErrTooLarge): // no write that memory could wait for
		a.spoolFailed(fmt.Errorf("%w: archive.spool.bytes is too small for it", failed))
	default:
		a.spoolFailed(failed)
	}
}

// candidate is a buffer of which n rows in memory could be spooled.
type candidate struct {
	p     *partition
	n     int
	bytes int64
}

// spillDue gives the spiller the largest buffers while memory is tight: of them
// what the index was given, since the rest will be asked for in a moment; where
// that is not enough, what waits for a marker too. Needs mu.
func (a *Archiver) spillDue(now time.Time, away bool) {
	s := &a.spool
	if s.disk == nil || s.underWay > 0 || now.Before(s.retryAt) || now.Before(s.suspect) {
		return
	}
	share := func(of float64) int64 { return int64(of * float64(a.options.Memory)) }
	tight := a.held - a.sealingBytes()
	if tight <= share(spillAbove) || s.full > 0 && s.disk.Used() >= s.full {
		return
	}
	s.full = 0
	batch, freed := a.largest(nil, min(tight-share(spillDown), share(spillMost)), now, func(p *partition) int { return p.settledRows(away) })
	if more := tight - share(spillAbove); freed < more {
		rest, also := a.largest(batch, more-freed, now, func(p *partition) int { return p.allRows(away) })
		batch, freed = rest, freed+also
	}
	if len(batch) == 0 {
		return
	}
	s.underWay, s.began = freed, now
	s.work <- batch // there is room: nothing was under way
}

// largest adds spills of the largest buffers to a batch until they have so many
// bytes, or nothing is left.
func (a *Archiver) largest(batch []*spill, want int64, now time.Time, rows func(*partition) int) (all []*spill, freed int64) {
	var list []candidate
	for _, p := range a.partitions {
		if p.sealing || p.spilling != nil || p.stopped != "" {
			continue
		}
		if n := rows(p); n > 0 {
			c := candidate{p: p, n: n}
			head := p.rows.head(n)
			for _, row := range head.all() {
				c.bytes += cost(row)
			}
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(x, y candidate) int { return cmp.Compare(y.bytes, x.bytes) })
	for _, c := range list {
		if freed >= want {
			break
		}
		batch = append(batch, c.p.spill(a.spool.disk, c.n, now))
		freed += c.bytes
	}
	return batch, freed
}

// settledRows is how many rows in memory nobody will ask for until the cut.
func (p *partition) settledRows(indexAway bool) int {
	if indexAway {
		return max(0, p.decided-p.inFrames)
	}
	return max(0, p.fed-p.inFrames)
}

// allRows is how many may be spooled at all.
func (p *partition) allRows(indexAway bool) int {
	if !indexAway && p.fed < p.decided {
		return 0
	}
	return p.rows.len()
}

// cutSpool queues the largest buffers while the spool is used beyond its share.
// Needs mu.
func (a *Archiver) cutSpool(now time.Time, away bool) {
	if a.spool.disk == nil {
		return
	}
	limit, used := int64(budgetShare*float64(a.spool.disk.Limit())), a.spool.disk.Used()
	if used <= limit {
		return
	}
	var list []*partition
	for _, p := range a.partitions {
		switch {
		case p.sealing:
			used -= p.disk
		case p.disk > 0 && p.whole(p.ready(away)) > 0:
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(x, y *partition) int { return cmp.Compare(y.disk, x.disk) })
	for _, p := range list {
		if used <= limit || len(a.backlog) >= mostBacklog {
			return
		}
		used -= p.disk
		a.cut(p, cutBudget, away, now)
	}
}

// readAgain drops a buffer of which the spool does not give a part: Kafka has
// it. Needs mu.
func (a *Archiver) readAgain(p *partition, err error) {
	a.metrics.spoolDamaged.Inc()
	a.distrustSpool(time.Now(), err)
	a.log.Error("what was spooled cannot be read back; it is read from Kafka again", "topic", p.stream.Topic, "partition", p.stream.Partition,
		"offset", p.head.Next, "records", p.count(), "err", err)
	last := p.last()
	a.feed.restart(p.stream, p.head.Next)
	a.held -= p.discard(p.head)
	if p.shown > p.head.Next {
		p.shownLast = last
	}
	a.doubt(p, "what was read of it is lost, and may have been given to the index")
}

// distrustSpool keeps a disk from being used for a while that does not give back
// what was written to it: read from Kafka again and spooled again, the same
// records could go round for ever. Needs mu.
func (a *Archiver) distrustSpool(now time.Time, err error) {
	s := &a.spool
	s.damaged++
	if now.After(s.suspect) {
		s.suspect = now.Add(s.distrust.Next())
	}
	a.trouble(causeOfReadingBack, fmt.Errorf("%d buffers could not be read back and are read from Kafka again, nothing is spooled until %s: %w",
		s.damaged, s.suspect.UTC().Format(time.RFC3339), err))
}

// framesRead notes that what was spooled was read back, whole.
func (a *Archiver) framesRead() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := &a.spool; s.damaged > 0 && time.Now().After(s.suspect) {
		s.damaged = 0
		s.distrust.Reset()
		a.clear(causeOfReadingBack)
	}
}

// frameLost is for the feed: it found a frame that cannot be read.
func (a *Archiver) frameLost(held heldFrame, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.partitions[kafkaKey(held.stream)]
	if p != nil && !p.sealing && slices.Contains(p.frames, held.frame) { // else whoever seals it finds the same
		a.readAgain(p, err)
	}
}

// roomFor waits until a segment that is made of spooled rows has room: what
// bounds the others, that their rows are in the budget until the commit, does
// not bound these. One goes ahead whatever its size.
func (a *Archiver) roomFor(ctx context.Context, j *job) error {
	if len(j.frames) == 0 {
		return nil
	}
	var want int64 = 1
	for _, f := range j.frames {
		want += f.cost / 4
	}
	stop := a.wakeAt(ctx)
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.spool.bodies > 0 && a.spool.bodies+want > a.options.Memory/2 {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for room: %w", ctx.Err())
		}
		a.changed.Wait()
	}
	a.spool.bodies += want
	j.body = want
	return nil
}

// made says how large the segment became.
func (a *Archiver) made(j *job, bytes int64) {
	if j.body == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spool.bodies += bytes + 1 - j.body
	j.body = bytes + 1
}

// shipped gives the room back.
func (a *Archiver) shipped(j *job) {
	if j.body == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spool.bodies -= j.body
	j.body = 0
	a.changed.Broadcast()
}
