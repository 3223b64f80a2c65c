package archiver_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// The chain goes on behind a gap, or has no row at all, and the log is set back to
// end below: no row contradicts it, and what comes there must be archived, even if
// the log is longer again when somebody looks.
func TestLogThatEndsBelowAGap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		latest bool // no row: genesis is at the log's end
		second int  // records that come there
		want   string
	}{
		"no rows": {latest: true, second: 3, want: "13"}, "a gap": {second: 3, want: "10"}, "a gap, and the log is longer again": {second: only + 5, want: "10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			w := newTwoHistories(t)
			options := func(o *archiver.Options) { o.StartLatest, o.StaleLeader = c.latest, 100*time.Millisecond }
			if !c.latest {
				a, stop := w.archive(t, options)
				w.sealed(t, a, w.stream, shared)
				stop()
			}
			w.keep(t)
			w.say(t, "first", only)
			if !c.latest {
				to := kadm.Offsets{}
				to.AddOffset("log", 0, shared+only, -1)
				_, err := kadm.NewClient(w.client).DeleteRecords(t.Context(), to)
				must(t, err)
			}
			a, stop := w.archive(t, options)
			w.sealed(t, a, w.stream, shared+only)
			if !c.latest { // else it finds out as it reads
				stop()
			}
			w.setBack(t)
			w.say(t, "second", c.second)
			if !c.latest {
				a, _ = w.archive(t, options)
			}
			w.endsAt(t, a, shared+int64(c.second))
			_, _, view := w.archivedRows(t)
			got := points(view.Branches)
			early := c.latest && got == "10" // it looked when the log had been set back and the second three were not there
			if got != c.want && !early {
				t.Errorf("branches at %q, want %q", got, c.want)
			}
			w.say(t, "third", 4)
			w.endsAt(t, a, shared+int64(c.second)+4)
			current, _, _ := w.archivedRows(t)
			want := c.second // below a genesis at the log's end it is out of scope
			if c.latest && !early {
				want = 0
			}
			if count(current, "third") != 4 || count(current, "second") != want {
				t.Errorf("%d and %d rows of what came last are current", count(current, "second"), count(current, "third"))
			}
		})
	}
}

// endsAt waits until the ledger ends at an offset, which may be below where it
// ended before.
func (w *twoHistories) endsAt(t *testing.T, a *archiver.Archiver, next int64) {
	t.Helper()
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, sealed := a.Seal(ctx, true)
		head, err := w.book.Head(t.Context(), w.stream)
		if err == nil && head.Next != next {
			err = fmt.Errorf("archived up to %d, want %d: %w, %v", head.Next, next, sealed, a.Health())
		}
		return err
	})
}
