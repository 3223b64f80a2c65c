package archiver_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
)

// beginAtEnd archives the log from its end on until the chain is there.
func (w *twoHistories) beginAtEnd(t *testing.T) (*archiver.Archiver, func()) {
	t.Helper()
	a, stop := w.archive(t, func(o *archiver.Options) {
		o.StartLatest, o.StaleLeader, o.Silence = true, 100*time.Millisecond, time.Second
	})
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		_, err := w.book.Head(t.Context(), w.stream)
		return err
	})
	return a, stop
}

// TestLogCutOffBelowTheGenesis: an archive begins at the end of a log; before
// anything of it is archived, an election takes away what was below, and new records
// get these offsets. They are archived, on a branch that begins where the log was
// cut off, whether the log is shorter than it was or longer by now, and whether an
// archiver runs or looks later.
func TestLogCutOffBelowTheGenesis(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{false, true} {
		for name, c := range map[string]struct {
			more int
			want string
		}{
			"shorter": {5, "10"}, "as long": {only, "10"}, "longer": {30, "10"}, "nothing new": {0, "10"},
		} {
			t.Run(fmt.Sprintf("%s, running %t", name, running), func(t *testing.T) {
				t.Parallel()
				w := newTwoHistories(t)
				w.keep(t)
				w.say(t, "first", only)
				a, stop := w.beginAtEnd(t)
				must(t, a.CatchUp(t.Context()))
				if !running {
					stop()
				}
				w.setBack(t)
				w.elect(t)
				w.say(t, "second", c.more)
				if !running {
					a, _ = w.beginAtEnd(t)
				}
				w.cutOffAt(t, a, c.more, c.want)
				w.say(t, "third", 3)
				w.cutOffAt(t, a, c.more+3, c.want)
			})
		}
	}
}

// cutOffAt waits until so many records behind those of both histories are archived,
// and holds them against what is served.
func (w *twoHistories) cutOffAt(t *testing.T, a *archiver.Archiver, n int, want string) {
	t.Helper()
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if err := a.CatchUp(t.Context()); err != nil {
			return err
		}
		if _, err := a.Seal(t.Context(), true); err != nil {
			return err
		}
		view, err := w.book.View(t.Context(), w.stream, nil)
		if err != nil {
			return err
		}
		if got := points(view.Branches); got != want || view.Head.Next != int64(shared+n) {
			err = fmt.Errorf("archived up to %d with branches at %q, want %d and %q", view.Head.Next, got, shared+n, want)
		}
		return err
	})
	current, _, _ := w.archivedRows(t)
	same(t, current, w.served(t)[shared:])
	if n := count(current, "first"); n != 0 {
		t.Errorf("%d records that are out of scope", n)
	}
}

// TestElectionBeforeTheFirstRecord: an election that takes nothing away begins no
// branch, though the archive has no row that could be compared.
func TestElectionBeforeTheFirstRecord(t *testing.T) {
	t.Parallel()
	w := newTwoHistories(t)
	a, stop := w.beginAtEnd(t)
	must(t, a.CatchUp(t.Context()))
	w.elect(t)
	w.say(t, "second", 4)
	w.cutOffAt(t, a, 4, "")
	stop()
	genesis := w.view(t, w.stream).Genesis
	if len(genesis.LeaderEpochs) != 1 || genesis.LeaderEpochs[0] != (schema.LeaderEpoch{Epoch: 0, Start: shared}) {
		t.Errorf("the genesis was answered under %+v", genesis.LeaderEpochs)
	}
}
