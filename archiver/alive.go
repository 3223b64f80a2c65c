package archiver

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// StillAfter is how long the loop, or a step of those who work for it, may stand
// still before Alive says so. What they wait for in an orderly way, a store that
// is away, a full budget, a rebalance, counts as moving.
const StillAfter = 3 * time.Minute

// remoteSteps is how many times StillAfter one request may take whose client has
// timeouts and attempts of its own: beyond it, it has lost count.
const remoteSteps = 10

// saidAfter is the share of StillAfter after which Health names a step.
const saidAfter = 6

// pulse tells when the loop moved last. It needs no mutex, since one that is
// never given back is among what it is to find.
type pulse struct{ at atomic.Int64 }

func (p *pulse) beat() { p.at.Store(time.Now().UnixNano()) }

// steps are what goroutines are at that may never return: reads and writes of the
// spool's disk, rules, encoders, single requests. Whoever looks waits for none of
// them.
type steps struct{ under sync.Map } // *step → nil

// step is one of them.
type step struct {
	from  dependency // what it comes from; empty: this process
	what  string
	since time.Time
	most  time.Duration
}

// local and remote note a step that begins, and return how it ends.
func (a *Archiver) local(from dependency, what string) (end func()) {
	return a.steps.begin(from, what, a.options.StillAfter)
}

func (a *Archiver) remote(from dependency, what string) (end func()) {
	return a.steps.begin(from, what, remoteSteps*a.options.StillAfter)
}

func (s *steps) begin(from dependency, what string, most time.Duration) (end func()) {
	at := &step{from, what, time.Now(), most}
	s.under.Store(at, nil)
	return func() { s.under.Delete(at) }
}

// late calls do with each step that takes longer than a share of its time.
func (s *steps) late(share int, do func(*step, time.Duration)) {
	s.under.Range(func(key, _ any) bool {
		at := key.(*step)
		if took := time.Since(at.since); took > at.most/time.Duration(share) {
			do(at, took)
		}
		return true
	})
}

// Alive returns an error when the loop has stood still for StillAfter, or a step
// that one of its workers is at has: then only a restart helps. It waits for
// nothing. Before Run, and after it, there is nothing to stand still.
func (a *Archiver) Alive() error {
	at := a.pulse.at.Load()
	if at == 0 {
		return nil
	}
	if still := time.Since(time.Unix(0, at)); still > a.options.StillAfter {
		return fmt.Errorf("the archiver's loop has not moved for %s", still.Round(time.Second))
	}
	var worst *step
	a.steps.late(1, func(s *step, _ time.Duration) {
		if worst == nil || s.since.Before(worst.since) {
			worst = s
		}
	})
	if worst != nil {
		return fmt.Errorf("%s has not come to an end for %s", worst.what, time.Since(worst.since).Round(time.Second))
	}
	return nil
}
