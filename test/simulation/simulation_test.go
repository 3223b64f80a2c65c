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
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Seeds by default, and with ANNALS_TEST_LONG=1.
const (
	someSeeds  = 200
	manySeeds  = 10_000
	spoolSeeds = 12 // of spoolDrill, whatever else is run
)

// worlds is how many are under way at once. They share one bubble: encoders
// that libraries keep for the next one must not leave the bubble they were made
// in. While some sleep through a night, others have the processor.
const worlds = 12

// roomy has the collector run when the heap has grown to five times of what was
// left of it: a dozen small worlds leave little, and it was a quarter of the time.
const roomy = 400

// TestSeeds lives through many histories. ANNALS_SEED=n runs that one alone,
// with the archivers' logs; ANNALS_SEEDS=n the first n, ANNALS_FROM=m those from m on.
// ANNALS_DRILL=… has each end in the drill whose name has that in it.
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
	late := deadline(t)
	watch(t)
	last := first
	for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"} {
		t.Setenv(key, "") // see unsigned
	}
	defer debug.SetGCPercent(debug.SetGCPercent(roomy))
	dir := t.TempDir()
	only, err := onlyDrill()
	if err != nil {
		t.Fatal(err)
	}
	aimed := uint64(0)
	if log == nil && only == nil && os.Getenv("ANNALS_SEEDED_BUG") == "" {
		aimed = spoolSeeds
	}
	defer saw.check(t, aimed > 0)
	synctest.Test(t, func(t *testing.T) {
		lives := make(chan life)
		var group sync.WaitGroup
		for range min(worlds, n+aimed) {
			group.Go(func() {
				for l := range lives {
					l.live(t, filepath.Join(dir, l.folder()), log)
				}
			})
		}
		for seed := range aimed {
			lives <- life{1 + seed, &spoolDrill}
		}
		for ; last < first+n && !late.Load(); last++ {
			lives <- life{last, only}
		}
		close(lives)
		group.Wait()
		time.Sleep(time.Minute) // what still sleeps on a wire wakes up: the clock ends with this goroutine
	})
	if last < first+n && !t.Failed() {
		t.Errorf("the time was over after %d of %d seeds, up to %d; the rest: ANNALS_FROM=%d, or a longer -timeout", last-first, n, last-1, last)
	}
}

// reserve is what the histories may take that are under way when no more are begun.
const reserve = 90 * time.Second

// deadline becomes true when the test's own time, which is not the bubble's, is
// nearly over.
func deadline(t *testing.T) *atomic.Bool {
	t.Helper()
	var late atomic.Bool
	if end, ok := t.Deadline(); ok {
		timer := time.AfterFunc(time.Until(end)-reserve, func() { late.Store(true) })
		t.Cleanup(func() { timer.Stop() })
	}
	return &late
}

// standstill is how long no history need end, in the test's own time.
const standstill = 5 * time.Minute

// ended counts histories.
var ended atomic.Int64

// watch ends the test, with what every goroutine does, when no history ends any
// more. Virtual time stands still while anybody waits for a mutex: it did where
// one was held over a broker's answer.
func watch(t *testing.T) {
	t.Helper()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		debug.SetTraceback("all")
		for before := int64(-1); ended.Load() != before; {
			before = ended.Load()
			select {
			case <-stop:
				return
			case <-time.After(standstill):
			}
		}
		panic(fmt.Sprintf("no history has ended for %s, after %d: who waits for a mutex, and who holds it?", standstill, ended.Load()))
	}()
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

// life is a seed's history, and the drill that it ends in; nil: as it draws.
type life struct {
	seed uint64
	only *drill
}

func (l life) String() string {
	if l.only == nil {
		return fmt.Sprintf("seed %d", l.seed)
	}
	return fmt.Sprintf("seed %d, drill: %s", l.seed, l.only.name)
}

func (l life) folder() string {
	if l.only == nil {
		return fmt.Sprint(l.seed)
	}
	return fmt.Sprint("drill-", l.seed)
}

// live lives through it, beginning at midnight.
func (l life) live(t *testing.T, dir string, log io.Writer) {
	began := time.Now()
	defer ended.Add(1)
	w, err := l.begin(t, dir, log)
	if err != nil && os.Getenv("ANNALS_SEEDED_BUG") != "" && os.Getenv("ANNALS_DRILL") == "" {
		fmt.Printf("%s: %v\n", l, err)
		os.Exit(1) // it is found; what the others would do does not matter
	}
	if err != nil && w == nil {
		t.Errorf("%s: %v", l, err)
		return
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", l, err, w.history())
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
	t.Logf("%s: %s, %d archivers, %d objects", l, time.Since(began).Round(time.Second), len(w.all), len(w.bucket.keys))
}

// begin makes a world and lives through its history.
func (l life) begin(t *testing.T, dir string, log io.Writer) (*world, error) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)))
	w, err := newWorld(l.seed, l.only, dir, logger)
	if err != nil {
		return nil, err
	}
	return w, w.live(context.Background())
}
