package archiver_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// Two archivers, of groups that do not know each other, find the same.
func TestTwoFindTheDivergence(t *testing.T) {
	t.Parallel()
	w := newTwoHistories(t)
	w.keep(t)
	w.say(t, "first", only)
	a, stop := w.run(t)
	w.archivesWhatIsServed(t, a)
	stop()
	w.setBack(t)
	w.say(t, "second", 30)
	a, _ = w.run(t)
	_, _ = w.archive(t, func(o *archiver.Options) {
		o.Tail.Group, o.Tail.InstanceID, o.Writer = "another", "", "another"
	})
	if got := points(w.archivesWhatIsServed(t, a)); got != "10" {
		t.Errorf("branches at %q", got)
	}
}

// dying is a ledger under which an archiver dies at its first commit of a kind:
// before the commit is placed, or right after.
type dying struct {
	archiver.Ledger
	at    schema.CommitKind
	after bool
	once  sync.Once
	dead  chan struct{}
}

func (d *dying) Append(ctx context.Context, head ledger.Head, c *schema.Commit) (ledger.Head, error) {
	if c.Kind != d.at {
		return d.Ledger.Append(ctx, head, c)
	}
	if d.after {
		if _, err := d.Ledger.Append(ctx, head, c); err != nil {
			return ledger.Head{}, err
		}
	}
	d.once.Do(func() { close(d.dead) })
	<-ctx.Done() // nothing follows
	return ledger.Head{}, ctx.Err()
}

// Whoever comes after a crash at the divergence finishes it, or finds it done.
func TestDivergenceSurvivesACrash(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwoHistories(t)
			w.keep(t)
			w.say(t, "first", only)
			a, stop := w.run(t)
			w.archivesWhatIsServed(t, a)
			stop()
			w.setBack(t)
			w.say(t, "second", 30)
			d := &dying{Ledger: w.book, at: schema.KindDivergence, after: after, dead: make(chan struct{})}
			w.chain = d
			_, stop = w.run(t)
			select {
			case <-d.dead:
			case <-time.After(20 * time.Second):
				t.Fatal("no divergence was found")
			}
			stop()
			_, _, view := w.archivedRows(t)
			if got := len(view.Branches) > 1; got != after {
				t.Fatalf("branches at %q", points(view.Branches))
			}
			w.chain = nil
			a, _ = w.run(t)
			if got := points(w.archivesWhatIsServed(t, a)); got != "10" {
				t.Errorf("branches at %q", got)
			}
			if n := w.metric(t, "annals_archiver_guards_total", "diverged"); (n == 0) != after {
				t.Errorf("%.0f divergences were committed after the crash", n)
			}
		})
	}
}
