package archiver

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// Commits' rows wait for one another, for a time that is bounded, that is
// shorter when somebody waits for them, and that ends when they are many; fresh
// rows do not wait behind them.
func TestCommitsWaitForOneAnother(t *testing.T) {
	const every = 100 * time.Millisecond
	for name, c := range map[string]struct {
		commits int           // one each 40 ms
		waited  bool          // somebody asks whether all is done, each 10 ms
		want    int           // how many go together
		after   time.Duration // when
	}{
		"one":            {1, false, 1, feedSealed * every},
		"some":           {5, false, 5, feedSealed * every},
		"late ones":      {20, false, 8, feedSealed * every},
		"somebody waits": {20, true, 1, 10*time.Millisecond + every/feedHurry},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFeed(Feed{Every: every}, nil, nil, nil, nil, nil, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for range c.commits {
					f.sealed(index.SegmentRow{}, 0, telemetry.Place{})
					time.Sleep(40 * time.Millisecond)
				}
			}()
			go func() {
				for c.waited && ctx.Err() == nil {
					time.Sleep(10 * time.Millisecond)
					f.idle()
				}
			}()
			began := time.Now()
			got, ok := f.next(ctx, new(gathering))
			if !ok || got.fresh() || len(got.commits) != c.want || time.Since(began) != c.after {
				t.Errorf("%s: %d commits after %s, want %d after %s", name, len(got.commits), time.Since(began), c.want, c.after)
			}
			cancel()
			time.Sleep(time.Second) // both senders end
		})
	}
}

// Fresh rows overtake commits' rows; what is many does not wait; and what has
// been gathered is not lost by either.
func TestFreshRowsDoNotWaitBehindCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(Feed{}, nil, nil, nil, nil, nil, slog.New(slog.DiscardHandler))
		for range mostCommits - 1 {
			f.sealed(index.SegmentRow{}, 0, telemetry.Place{})
		}
		f.submit(item{spans: []streamSpan{{}}})
		f.sealed(index.SegmentRow{}, 0, telemetry.Place{})
		var g gathering
		began := time.Now()
		first, _ := f.next(t.Context(), &g)
		second, _ := f.next(t.Context(), &g)
		if !first.fresh() || len(second.commits) != mostCommits || time.Since(began) != 0 {
			t.Errorf("fresh %v, then %d commits, after %s", first.fresh(), len(second.commits), time.Since(began))
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := f.next(ended, &g); ok {
			t.Error("something came after the end")
		}
	})
}

// After a divergence the rows of two branches have the same offsets. That those
// of one were inserted does not make a commit of the other's complete: it is
// compared with what the index has.
func TestACommitIsOfTheBranchWhoseRowsWereInserted(t *testing.T) {
	c := newCrowd(t, 1, 1<<20, 0)
	s := c.partitions[c.keys[0]].stream
	c.feed.progress[s.Key()] = inserted{span{0, 10}, 1}
	row := index.SegmentRow{Stream: s, Branch: 0, Kind: schema.KindSegment, Base: 0, Next: 10, Records: schema.Counts{Committed: 10}}
	c.feed.index = nil // nothing is sent to it
	c.feed.insertSegments(t.Context(), []sealedRow{{row: row, rowsEnd: 10}})
	if c.catchup.idle() {
		t.Error("a commit of branch 0 is taken for inserted by the rows of branch 1")
	}
}
