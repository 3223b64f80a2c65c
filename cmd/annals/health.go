package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/kafka"
)

// health asks the dependencies every two seconds, so that a probe waits for
// nothing.
type health struct {
	parts    *parts
	admin    *kafka.Admin
	archiver *archiver.Archiver // nil where this process does not archive

	mu    sync.Mutex
	state map[string]string // by dependency, what is wrong with it; "" where it is well
}

func newHealth(p *parts, admin *kafka.Admin, a *archiver.Archiver) *health {
	const notYet = "not asked yet"
	return &health{
		parts: p, admin: admin, archiver: a,
		state: map[string]string{"kafka": notYet, "store": notYet, "index": notYet},
	}
}

// now is the last answer.
func (h *health) now() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.state)
}

func (h *health) watch(ctx context.Context) {
	ticks := time.NewTicker(2 * time.Second)
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

func (h *health) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	said := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	state := map[string]string{
		"kafka": said(h.admin.Ping(ctx)), "store": said(h.parts.store.Ping(ctx)), "index": said(h.parts.index.Ping(ctx)),
	}
	if h.archiver != nil {
		for what, trouble := range h.archiver.Health() {
			if state[what] == "" {
				state[what] = trouble
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = state
}
