package web

import (
	"context"
	"maps"
	"sync"
	"time"
)

// How often dependencies are asked, and how long an answer may take.
const (
	healthEvery = 2 * time.Second
	healthWait  = 3 * time.Second
)

// Health keeps asking dependencies how they are, so that a probe waits for
// nothing: its Now is [Services].Health. Make it with [NewHealth].
type Health struct {
	// Also names what else is wrong, by dependency; it is asked with the pings
	// and counts where those are well. Set it before Watch.
	Also func() map[string]string

	pings map[string]func(context.Context) error

	mu    sync.Mutex
	state map[string]string
}

// NewHealth takes a ping for each dependency. Until Watch has asked, none is
// well.
func NewHealth(pings map[string]func(context.Context) error) *Health {
	h := &Health{pings: pings, state: map[string]string{}}
	for name := range pings {
		h.state[name] = "not asked yet"
	}
	return h
}

// Now is the last answer: by dependency what is wrong with it, "" where it is
// well.
func (h *Health) Now() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.state)
}

// Watch asks every two seconds, until ctx ends.
func (h *Health) Watch(ctx context.Context) {
	ticks := time.NewTicker(healthEvery)
	defer ticks.Stop()
	for {
		h.ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

func (h *Health) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	state := map[string]string{}
	var mu sync.Mutex // of state
	var asking sync.WaitGroup
	for name, ping := range h.pings {
		asking.Go(func() { // at once: one that hangs says nothing of the others
			said := ""
			if err := ping(ctx); err != nil {
				said = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			state[name] = said
		})
	}
	asking.Wait()
	if h.Also != nil {
		for name, trouble := range h.Also() {
			if state[name] == "" {
				state[name] = trouble
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = state
}
