//go:build synctests

package simulation

import (
	"math/rand/v2"
	"sync"
	"time"
)

// dice are a seed's draws. Those of the script are its own, so that what the
// script does is a function of the seed; those of the network are asked by many
// goroutines, in the order that they happen to run.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newDice(seed, stream uint64) *dice { return &dice{rng: rand.New(rand.NewPCG(seed, stream))} }

func (d *dice) chance(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Float64() < p
}

// below is in [0, n).
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// within is in [low, high].
func (d *dice) within(low, high int) int { return low + d.below(high-low+1) }

func (d *dice) time(low, high time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return low + time.Duration(d.rng.Int64N(int64(high-low)+1))
}

func oneOf[T any](d *dice, of []T) T { return of[d.below(len(of))] }
