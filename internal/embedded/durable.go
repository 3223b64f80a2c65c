package embedded

import "sync"

// groupSync makes writes durable for many callers at once. A call to wait
// returns after a sync that began after the call did; all callers that arrive
// while one sync runs share the next. So two syncs cover any number of
// concurrent writers, and nobody waits for more than two.
//
// After a failed sync nothing can be promised any more: the kernel has dropped
// the dirty pages it could not write and will not report them again. Every
// later wait fails with the same error, until the store is opened anew.
type groupSync struct {
	sync func() error

	turn sync.Mutex // held while a sync runs

	mu        sync.Mutex
	gathering *syncRound // not begun yet; nil if nobody waits for one
	broken    error
}

type syncRound struct {
	done chan struct{}
	err  error
}

// wait returns nil when everything written before the call is durable. It
// takes no context: the write has happened, and whoever leads a round does so
// for others too.
func (g *groupSync) wait() error {
	g.mu.Lock()
	if g.broken != nil {
		defer g.mu.Unlock()
		return g.broken
	}
	round, leads := g.gathering, false
	if round == nil {
		round, leads = &syncRound{done: make(chan struct{})}, true
		g.gathering = round
	}
	g.mu.Unlock()
	if leads {
		g.lead(round)
	}
	<-round.done
	return round.err
}

// failed returns the error of the sync that failed, nil if none did.
func (g *groupSync) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

func (g *groupSync) lead(round *syncRound) {
	g.turn.Lock()
	defer g.turn.Unlock()

	g.mu.Lock()
	g.gathering = nil // later callers wrote too late for this sync
	round.err = g.broken
	g.mu.Unlock()

	if round.err == nil {
		round.err = g.sync()
	}
	if round.err != nil {
		g.mu.Lock()
		g.broken = round.err
		g.mu.Unlock()
	}
	close(round.done)
}
