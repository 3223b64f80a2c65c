//go:build synctests

package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Seeds by default, and with ANNALS_TEST_LONG=1.
const (
	someSeeds = 200
	manySeeds = 10_000
)

// worlds is how many are under way at once. They share one bubble: encoders
// that libraries keep for the next one must not leave the bubble they were made
// in. While some sleep through a night, others have the processor.
const worlds = 12

// TestSeeds lives through many histories. ANNALS_SEED=n runs that one alone,
// with the archivers' logs; ANNALS_SEEDS=n the first n.
func TestSeeds(t *testing.T) {
	first, n := uint64(1), uint64(someSeeds)
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		n = manySeeds
	}
	n = number(t, "ANNALS_SEEDS", n)
	var log io.Writer
	if os.Getenv("ANNALS_SEED") != "" {
		first, n = number(t, "ANNALS_SEED", 0), 1
		log = os.Stderr
	}
	t.Logf("seeds %d to %d", first, first+n-1)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		seeds := make(chan uint64)
		var group sync.WaitGroup
		var stuck atomic.Int64
		for range min(worlds, n) {
			group.Go(func() {
				for seed := range seeds {
					if one(t, seed, filepath.Join(dir, fmt.Sprint(seed)), log) {
						stuck.Add(1)
					}
				}
			})
		}
		for seed := first; seed < first+n; seed++ {
			seeds <- seed
		}
		close(seeds)
		group.Wait()
		if most := max(1, int64(n)*stuckAtMost/100); stuck.Load() > most {
			t.Errorf("%d of %d seeds were stuck once; at most %d may be", stuck.Load(), n, most)
		}
	})
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// stuckAtMost is how many seeds in a hundred may be stuck once and not again.
// About one in 200 is, after a member of the group was killed, and passes when
// it is lived through alone. In what was looked at, members waited for an answer
// to their JoinGroup; whether that is kfake's coordinator or ours to mend is not
// known. A seed that is stuck twice fails.
const stuckAtMost = 2

// one lives through one seed's history, beginning at midnight, and once more if
// it was stuck.
func one(t *testing.T, seed uint64, dir string, log io.Writer) (stuckOnce bool) {
	began := time.Now()
	w, err := lifeOf(t, seed, filepath.Join(dir, "first"), log)
	if errors.Is(err, errStuck) && os.Getenv("ANNALS_SEEDED_BUG") == "" {
		t.Logf("seed %d, once more: %v", seed, err)
		stuckOnce = true
		w, err = lifeOf(t, seed, filepath.Join(dir, "second"), log)
	}
	if err != nil && os.Getenv("ANNALS_SEEDED_BUG") != "" {
		fmt.Printf("seed %d: %v\n", seed, err)
		os.Exit(1) // it is found; what the others would do does not matter
	}
	if err != nil && w == nil {
		t.Errorf("seed %d: %v", seed, err)
		return stuckOnce
	}
	if err != nil {
		t.Errorf("seed %d: %v\n%s", seed, err, w.history())
		return stuckOnce
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
	t.Logf("seed %d: %s, %d archivers, %d objects", seed, time.Since(began).Round(time.Second), len(w.all), len(w.bucket.keys))
	return stuckOnce
}

// lifeOf makes a world and lives through its history.
func lifeOf(t *testing.T, seed uint64, dir string, log io.Writer) (*world, error) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)))
	w, err := newWorld(seed, dir, logger)
	if err != nil {
		return nil, err
	}
	return w, w.live(context.Background())
}
