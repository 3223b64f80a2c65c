//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
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

// roomy has the collector run when the heap has grown to five times of what was
// left of it: a dozen small worlds leave little, and it was a quarter of the time.
const roomy = 400

// TestSeeds lives through many histories. ANNALS_SEED=n runs that one alone,
// with the archivers' logs; ANNALS_SEEDS=n the first n, ANNALS_FROM=m those from m on. ANNALS_DRILL=… has each end in the
// drill whose name has that in it.
func TestSeeds(t *testing.T) {
	first, n := uint64(1), uint64(someSeeds)
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		n = manySeeds
	}
	n = number(t, "ANNALS_SEEDS", n)
	first = number(t, "ANNALS_FROM", first)
	var log io.Writer
	if os.Getenv("ANNALS_SEED") != "" {
		first, n = number(t, "ANNALS_SEED", 0), 1
		log = os.Stderr
	}
	t.Logf("seeds %d to %d", first, first+n-1)
	for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"} {
		t.Setenv(key, "") // see unsigned
	}
	defer debug.SetGCPercent(debug.SetGCPercent(roomy))
	dir := t.TempDir()
	if os.Getenv("ANNALS_DRILL") == "" { // one drill alone does not come to see everything
		defer saw.check(t, n)
	}
	synctest.Test(t, func(t *testing.T) {
		seeds := make(chan uint64)
		var group sync.WaitGroup
		for range min(worlds, n) {
			group.Go(func() {
				for seed := range seeds {
					one(t, seed, filepath.Join(dir, fmt.Sprint(seed)), log)
				}
			})
		}
		for seed := first; seed < first+n; seed++ {
			seeds <- seed
		}
		close(seeds)
		group.Wait()
		time.Sleep(time.Minute) // what still sleeps on a wire wakes up: the clock ends with this goroutine
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

// one lives through one seed's history, beginning at midnight.
func one(t *testing.T, seed uint64, dir string, log io.Writer) {
	began := time.Now()
	w, err := lifeOf(t, seed, dir, log)
	if err != nil && os.Getenv("ANNALS_SEEDED_BUG") != "" && os.Getenv("ANNALS_DRILL") == "" {
		fmt.Printf("seed %d: %v\n", seed, err)
		os.Exit(1) // it is found; what the others would do does not matter
	}
	if err != nil && w == nil {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	if err != nil {
		t.Errorf("seed %d: %v\n%s", seed, err, w.history())
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
	t.Logf("seed %d: %s, %d archivers, %d objects", seed, time.Since(began).Round(time.Second), len(w.all), len(w.bucket.keys))
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
