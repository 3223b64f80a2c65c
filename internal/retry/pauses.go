package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Pauses are the waits between attempts at one thing. Make them with [Between].
type Pauses struct{ intervals backoff.ExponentialBackOff }

// Between makes pauses of at most first, then at most twice that and so on up
// to most. None is shorter than half of its bound.
func Between(first, most time.Duration) Pauses {
	// The library draws around an interval's middle, ours are bounds: 3/4 of
	// them, give or take a third, is their upper half.
	return Pauses{backoff.ExponentialBackOff{
		InitialInterval: first / 4 * 3, MaxInterval: most / 4 * 3, Multiplier: 2, RandomizationFactor: 1.0 / 3,
	}}
}

// Next gives the pause before the next attempt.
func (p *Pauses) Next() time.Duration { return p.intervals.NextBackOff() }

// Reset begins again with the first pause: something succeeded.
func (p *Pauses) Reset() { p.intervals.Reset() }

// Wait sleeps for the next pause, or returns ctx's error as soon as it ends.
func (p *Pauses) Wait(ctx context.Context) error { return Sleep(ctx, p.Next()) }

// Spread draws a pause from the upper half of d, for whoever keeps the growth
// elsewhere.
func Spread(d time.Duration) time.Duration { return d - rand.N(d/2+1) }

// Sleep sleeps, or returns ctx's error as soon as it ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
