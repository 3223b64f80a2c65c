package replay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Why a worker lets go of a job.
var (
	errCancelled = errors.New("the job was cancelled")
	errPaused    = errors.New("the job is paused")
	errStopped   = errors.New("all replays are stopped")
	errLost      = errors.New("another worker holds the job")
)

// Work finds jobs that nobody works on, and works on them until ctx ends; then
// it gives its jobs back, within some seconds. It returns nil.
func (s *Service) Work(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	slots := make(chan struct{}, s.options.Jobs)
	seen := sightings{}
	for {
		if err := s.look(ctx, slots, seen, &working); err != nil && ctx.Err() == nil {
			s.log.Warn("replays cannot be looked for", "err", err, "again_in", s.options.Poll)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.nudge:
		case <-time.After(retry.Spread(s.options.Poll)): // so that processes do not look all at once
		}
	}
}

// sightings are how jobs looked when this process looked last, by ID.
type sightings map[string]sighting

type sighting struct {
	etag  string
	since time.Time // when it looked so first, by this process's own clock
	ended bool
}

// note tells for how long a state has not changed. A worker changes it several
// times a lease: one that does not is gone, whatever its clock says of when the
// lease expires.
func (s sightings) note(st *state) time.Duration {
	if last := s[st.ID]; last.etag == st.etag {
		return time.Since(last.since)
	}
	s[st.ID] = sighting{st.etag, time.Now(), st.isEnded()}
	return 0
}

// look starts work on jobs that are free, as many as there are slots and as their
// users may have.
func (s *Service) look(ctx context.Context, slots chan struct{}, seen sightings, working *sync.WaitGroup) error {
	if stop, err := s.loadStop(ctx); err != nil || stop.isStopped() {
		return err
	}
	found, taken, damaged := s.unfinished(ctx, seen)
	found = slices.DeleteFunc(found, func(st *state) bool { return !taken[st.ID] && !s.knows(st) })
	free, busy := s.options.Limits.queue(found, func(st *state) bool { return taken[st.ID] })
	s.mu.Lock()
	s.busy = busy
	s.mu.Unlock()
	for _, st := range free {
		if s.awaits(st, time.Now()) {
			damaged = errors.Join(damaged, s.hold(ctx, st))
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			return damaged // Work is woken when a slot is free
		}
		c, err := s.claim(ctx, st)
		if err != nil {
			<-slots
			if schema.KindOf(err) != schema.Conflict {
				damaged = errors.Join(damaged, err)
			}
			continue
		}
		working.Go(func() {
			defer func() { <-slots; s.wake() }()
			s.work(ctx, c)
		})
	}
	return damaged
}

// unfinished reads the jobs that have not ended, and tells on which of them somebody
// works.
func (s *Service) unfinished(ctx context.Context, seen sightings) (found []*state, taken map[string]bool, damaged error) {
	objects, err := s.states(ctx)
	if err != nil {
		return nil, nil, err
	}
	taken = map[string]bool{}
	for _, object := range objects {
		id := idOf(object)
		s.mu.Lock()
		mine := s.held[id]
		s.mu.Unlock()
		if mine != nil {
			found, taken[id] = append(found, mine.state()), true
			continue
		}
		if seen[id].ended && seen[id].etag == object.ETag {
			continue
		}
		st, err := s.loadState(ctx, id)
		if err != nil {
			damaged = errors.Join(damaged, err)
			continue
		}
		s.clock(st)
		unchanged := seen.note(st)
		found, taken[id] = append(found, st), st.isLeased(time.Now()) && unchanged < s.options.Lease
	}
	return found, taken, damaged
}

// claim is one worker's hold on a job. The state is written through update alone;
// mu guards which one it is, and is not held while the store is waited for.
type claim struct {
	service *Service
	id      string
	holder  string
	user    string // who asked for it
	planned int64
	cancel  context.CancelCauseFunc
	kick    chan struct{}

	writing sync.Mutex // one update at a time; taken before mu
	mu      sync.Mutex
	st      *state // as last written

	pace        atomic.Pointer[answer.ReplayPace] // as last seen; never nil
	repaced     chan struct{}                     // wakes who waits for a record's time; holds at most one
	sent, acked lateness

	stopped            atomic.Pointer[string] // who stopped all replays, in words
	stepTo             atomic.Int64           // pause when so many are produced; 0: do not
	produced, readBack atomic.Int64
	base               atomic.Int64 // produced when delivery began, or its pace was changed
	began              atomic.Int64 // and when that was, in Unix nanoseconds; 0: not yet
	ends               atomic.Int64 // when the last record is due by the clock, likewise; 0: not known
}

// claim takes the lease. Conflict: somebody else was quicker.
func (s *Service) claim(ctx context.Context, st *state) (*claim, error) {
	c := &claim{service: s, id: st.ID, holder: s.options.Worker + " " + rand.Text(), user: st.RequestedBy, planned: st.Plan.Records, st: st, kick: make(chan struct{}, 1), repaced: make(chan struct{}, 1)}
	c.repace(st.Pace)
	c.extend(st)
	if st.Approval != nil {
		taken := *st.Approval
		taken.Taken = true
		st.Approval = &taken
	}
	if err := s.save(ctx, st); err != nil {
		return nil, err
	}
	c.produced.Store(st.Produced)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[st.ID] = c
	return c, nil
}

// hold has a job that may not be begun wait for a second person. Somebody who
// changes it meanwhile is right.
func (s *Service) hold(ctx context.Context, st *state) error {
	by := st.RequestedBy
	if st.Approval != nil {
		by = st.Approval.AskedBy
	}
	st.await(by, time.Now().UTC())
	err := s.save(ctx, st)
	if schema.KindOf(err) == schema.Conflict {
		return nil
	}
	if err == nil {
		s.log.Info("replay awaits an approval", "replay", st.ID, "requested_by", st.RequestedBy)
	}
	return err
}

func (c *claim) extend(st *state) {
	st.Lease = &lease{Holder: c.holder, Expires: time.Now().UTC().Add(c.service.options.Lease)}
}

// state gives a copy of the state as last written.
func (c *claim) state() *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := *c.st
	return &st
}

// update changes the state and renews the lease. A change that somebody else
// made meanwhile is kept; errLost if that was taking the job.
func (c *claim) update(ctx context.Context, change func(*state)) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		next := c.state()
		c.extend(next)
		change(next)
		err := c.service.save(ctx, next)
		if err == nil {
			c.wrote(next)
			return nil
		}
		if schema.KindOf(err) != schema.Conflict {
			return err
		}
		there, err := c.service.loadState(ctx, c.id)
		if err != nil {
			return err
		}
		if there.isEnded() || there.Lease == nil || there.Lease.Holder != c.holder {
			c.cancel(errLost)
			return fmt.Errorf("write state of replay %s: %w", c.id, errLost)
		}
		c.wrote(there)
	}
}

// wrote takes up the state that stands in the store.
func (c *claim) wrote(st *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.st = st
}

func (c *claim) kicked() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// repace takes up a pace that somebody asked for.
func (c *claim) repace(pace answer.ReplayPace) {
	if pace.Mode == "" {
		pace.Mode = answer.PaceFast // of a state that was written before there were paces
	}
	if now := c.pace.Load(); now != nil && *now == pace {
		return
	}
	c.pace.Store(&pace)
	select {
	case c.repaced <- struct{}{}:
	default:
	}
}

// lateness is nil if nothing was paced.
func (c *claim) lateness() *answer.ReplayLateness {
	out := answer.ReplayLateness{Sent: c.sent.report(), Acked: c.acked.report(), Interval: float64(c.service.options.Interval.Microseconds()) / 1000}
	if out.Sent.Records == 0 {
		return nil
	}
	return &out
}

// keep renews the lease and passes on what others ask, until ctx ends.
func (c *claim) keep(ctx context.Context) {
	every := time.NewTicker(min(2*time.Second, c.service.options.Lease/4))
	defer every.Stop()
	for {
		st := c.state()
		if st.isEnded() {
			return
		}
		if st.Cancel {
			c.cancel(errCancelled)
			return
		}
		if st.Pause {
			c.cancel(errPaused)
			return
		}
		c.repace(st.Pace)
		if time.Now().After(st.Lease.Expires) {
			c.cancel(errLost)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.kick:
		case <-every.C:
		}
		if stop := c.renew(ctx, st.Lease.Expires); stop != "" {
			c.stopped.Store(&stop)
			c.cancel(errStopped)
			return
		}
	}
}

// leastRenewal is how long a renewal may take though the lease expires meanwhile: while
// the state can be written nobody has taken the job, and a store that is slow must not
// have it begun again and again.
const leastRenewal = 5 * time.Second

// renew renews the lease until it expires, or leastRenewal has passed, and not longer: a
// store that hangs must not keep a worker at a job that others may take. It gives why all
// replays are stopped.
func (c *claim) renew(ctx context.Context, expires time.Time) (stopped string) {
	ctx, cancel := context.WithTimeout(ctx, max(time.Until(expires), leastRenewal))
	defer cancel()
	if stop, err := c.service.loadStop(ctx); err == nil && stop.isStopped() { // else the lease tells
		return stop.why()
	}
	if err := c.update(ctx, c.progressed); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		c.service.log.Warn("the lease of a replay is not renewed", "replay", c.id, "err", err)
	}
	return ""
}

// work takes a job to its end, or until it must let go.
func (s *Service) work(ctx context.Context, c *claim) {
	working, cancel := context.WithCancelCause(ctx)
	c.cancel = cancel
	var keeper sync.WaitGroup
	keeper.Add(1)
	go func() {
		defer keeper.Done()
		c.keep(working)
	}()
	s.metrics.working.Inc()
	err := s.persist(working, c)
	cause := context.Cause(working)
	cancel(nil)
	keeper.Wait()
	s.finish(ctx, c, err, cause)
	s.metrics.working.Dec()
	s.mu.Lock()
	delete(s.held, c.id)
	s.mu.Unlock()
}

// mostAttempts bounds the attempts without progress, besides Options.Patience.
const mostAttempts = 200

// mostReconciles bounds the attempts at reading back: what is missing from a
// target cannot be told from a slow broker.
const mostReconciles = 20

// persist makes attempts until one ends the job, or what went wrong is not to
// be mended by another.
func (s *Service) persist(ctx context.Context, c *claim) error {
	reconciles, attempts, since := 0, 0, time.Time{}
	for pauses := retry.Between(250*time.Millisecond, 30*time.Second); ; {
		before := c.produced.Load()
		err := s.attempt(ctx, c)
		if err == nil || ctx.Err() != nil || !passes(err) {
			return err
		}
		if c.state().State == answer.JobReconciling {
			if reconciles++; reconciles == mostReconciles {
				return fmt.Errorf("gave up after %d attempts: %w", reconciles, err)
			}
		}
		if c.produced.Load() > before {
			pauses.Reset()
			attempts = 0
		}
		if attempts == 0 {
			since = time.Now()
		}
		wait := pauses.Next()
		if attempts++; attempts == mostAttempts || time.Since(since)+wait > s.options.Patience {
			return schema.Errorf(schema.KindOf(err), "gave up after %d attempts and %s without progress, run it again to go on: %w", attempts, time.Since(since).Round(time.Second), err)
		}
		s.log.Warn("replay is held up", "replay", c.id, "err", err, "again_in", wait)
		said := inWords(err)
		if err := c.update(ctx, func(st *state) { st.Error = "waiting: " + said }); err != nil && ctx.Err() == nil {
			s.log.Warn("the state of a replay is not written", "replay", c.id, "err", err)
		}
		if retry.Sleep(ctx, wait) != nil {
			return err
		}
	}
}

// inWords is an error, and what to do about it where that is known.
func inWords(err error) string {
	var e *schema.Error
	for at := err; errors.As(at, &e); at = e.Err {
		if e.Hint != "" {
			return err.Error() + ": " + e.Hint
		}
	}
	return err.Error()
}

// passes tells whether another attempt may succeed.
func passes(err error) bool {
	kinds := []schema.Kind{schema.Unavailable, schema.Exhausted}
	return slices.Contains(kinds, schema.KindOf(err)) || errors.Is(err, context.DeadlineExceeded)
}

// finish writes how the work ended. ctx may have ended; what is written then
// gives the job back.
func (s *Service) finish(ctx context.Context, c *claim, err, cause error) {
	if c.state().isEnded() { // the attempt has said so itself
		s.ended(c)
		return
	}
	if errors.Is(cause, errLost) {
		s.log.Warn("replay is somebody else's now", "replay", c.id)
		return
	}
	writing, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	failed := err
	if cause != nil {
		failed = nil // it was told to stop: what fails then says nothing of the job
	}
	err = c.update(writing, func(st *state) {
		c.progressed(st)
		st.let(failed)
		st.Lease = nil
		if why := c.stopped.Load(); why != nil && !st.isHeld() {
			st.Error = "waiting: " + *why
		}
		if st.isEnded() {
			st.Finished = time.Now().UTC()
		}
	})
	if err != nil {
		s.log.Warn("the end of a replay is not written; it is taken up again when its lease ends", "replay", c.id, "err", err)
		return
	}
	s.ended(c)
}

// let says what becomes of a job whose worker lets go of it, by what is asked of
// the job as it stands now: who stops it, or lets it go on, may have asked while
// the worker was ending what it had begun. failed is why the job cannot go on;
// nil gives it back to whoever looks for jobs.
func (st *state) let(failed error) {
	switch {
	case st.Cancel || errors.Is(failed, errCancelled):
		st.State, st.Error = answer.JobCancelled, ""
	case failed != nil:
		st.State, st.Error = answer.JobFailed, inWords(failed)
	case st.Pause:
		st.State, st.Error = answer.JobPaused, ""
	}
	st.Pause = false
}

// progressed notes how far the job is.
func (c *claim) progressed(st *state) {
	st.Produced, st.ReadBack, st.ETA = c.produced.Load(), c.readBack.Load(), c.eta()
	if late := c.lateness(); late != nil {
		st.Lateness = late
	}
}

func (s *Service) ended(c *claim) {
	st := c.state()
	if !st.isEnded() {
		s.log.Info("replay given back", "replay", c.id, "produced", st.Produced)
		return
	}
	s.clock(st)
	s.metrics.ended.WithLabelValues(st.State).Inc()
	s.log.Info("replay ended", "replay", c.id, "state", st.State, "produced", st.Produced, "planned", st.Plan.Records, "err", st.Error)
}
