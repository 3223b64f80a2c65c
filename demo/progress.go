package demo

import (
	"sync"
	"time"
)

// Phase says what ecb-gateway is doing.
type Phase string

// Phases of ecb-gateway.
const (
	PhaseHistory Phase = "history" // publishing days at full speed
	PhaseLive    Phase = "live"    // publishing a day at a time
	PhaseDone    Phase = "done"    // every day is published; the live days may be run again
)

// Progress says how far a service is. Counts are of committed records since
// the topics were created, so they go on where a killed process left off.
type Progress struct {
	Service string `json:"service"`
	// Day is the newest fixing day that the service has handled; "" for none.
	Day string `json:"day,omitempty"`
	// In, Out and Dead count the records consumed, produced, and given up as
	// dead letters. For ecb-gateway, In counts cells of the file.
	In   int64 `json:"in"`
	Out  int64 `json:"out"`
	Dead int64 `json:"dead,omitempty"`

	// The rest is ecb-gateway's.

	Phase Phase `json:"phase,omitempty"`
	Run   int   `json:"run,omitempty"`
	// Days of TotalDays are published in this phase.
	Days      int `json:"days,omitempty"`
	TotalDays int `json:"total_days,omitempty"`
	// HistoryDays is how many days of history there are to load.
	HistoryDays int `json:"history_days,omitempty"`
}

// reporter passes progress on, at most once an interval and never losing the
// last word: flush sends what was held back.
type reporter struct {
	to       func(Progress)
	interval time.Duration

	mu   sync.Mutex
	last time.Time
	held *Progress
}

func newReporter(to func(Progress)) *reporter {
	return &reporter{to: to, interval: time.Second}
}

func (r *reporter) report(p Progress) {
	if r.to == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.last) < r.interval {
		r.held = &p
		return
	}
	r.last, r.held = time.Now(), nil
	r.to(p)
}

// flush sends what report has held back.
func (r *reporter) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		return
	}
	p := *r.held
	r.last, r.held = time.Now(), nil
	r.to(p)
}
