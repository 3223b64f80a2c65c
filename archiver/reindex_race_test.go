package archiver_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// interrupted is an index that is as it is, but for one call, before which
// something happens.
type interrupted struct {
	archiver.Index
	call string // InsertRecords, InsertSegments, Forget
	once sync.Once
	do   func() error
}

func (x *interrupted) before(call string) (err error) {
	if call == x.call {
		x.once.Do(func() { err = x.do() })
	}
	return err
}

func (x *interrupted) InsertRecords(ctx context.Context, rows []index.Row, at time.Time) error {
	return errors.Join(x.before("InsertRecords"), x.Index.InsertRecords(ctx, rows, at))
}

func (x *interrupted) InsertSegments(ctx context.Context, rows []index.SegmentRow) error {
	return errors.Join(x.before("InsertSegments"), x.Index.InsertSegments(ctx, rows))
}

func (x *interrupted) Forget(ctx context.Context, ranges []index.Range) error {
	return errors.Join(x.before("Forget"), x.Index.Forget(ctx, ranges))
}

// reindexed runs a reindex by the plain rules, to its end.
func (r *rig) reindexed(ctx context.Context) error {
	_, damaged, err := archiver.Reindex(ctx, r.store, r.book, r.index, r.rules, r.log, archiver.ReindexOptions{})
	if err == nil && len(damaged) > 0 {
		err = fmt.Errorf("damaged: %+v", damaged)
	}
	return errors.Join(err, r.undeleted(ctx))
}

// undeleted waits until what was to be deleted is gone.
func (r *rig) undeleted(ctx context.Context) error {
	for range 200 {
		if left, err := r.index.Deleting(ctx); err != nil || left == 0 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("deletions do not end")
}

const plainTrace = "00000000000000000000000000000001" // of offset 0, by the plain rules

// Of two reindexes at once, by rules that differ, the one that came last is what
// the index has in the end, wherever it overtook the other: no row of its is
// deleted by the other, and none of the other's counts.
func TestReindexesThatRaceLeaveTheLaterOne(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"InsertRecords", "InsertSegments", "Forget"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			s := r.stream("orders", r.topic(t, "orders", 1), 0)
			a, stop := r.archive(t, nil)
			for next := int64(10); next <= 20; next += 10 {
				r.produce(t, "orders", 0, 10)
				r.sealed(t, a, s, next)
			}
			must(t, a.Indexed(t.Context()))
			stop()
			want := "20 20; 20 " + plainTrace + "; 20; 20 6"
			if got := r.indexed(t, "orders"); got != want {
				t.Fatalf("at first: got  %s\nwant %s", got, want)
			}

			other, err := extract.New(extract.Options{Topics: []extract.TopicRule{{Topic: "orders", TraceID: "/eventId"}}})
			must(t, err)
			x := &interrupted{Index: r.index, call: call, do: func() error { return r.reindexed(t.Context()) }}
			_, damaged, err := archiver.Reindex(t.Context(), r.store, r.book, x, other, r.log, archiver.ReindexOptions{})
			must(t, err)
			if len(damaged) > 0 {
				t.Errorf("damaged: %+v", damaged)
			}
			must(t, r.undeleted(t.Context()))
			if got := r.indexed(t, "orders"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if named, err := r.index.Named(t.Context(), s, 0); err != nil || len(named) != 2 {
				t.Errorf("named %+v, %v", named, err)
			}
		})
	}
}

// A catch-up that is slow to delete what earlier rules had read takes nothing
// from a reindex that overtook it.
func TestReindexThatOvertakesACatchUp(t *testing.T) {
	t.Parallel()
	r, s, want := rigByRulesOne(t)
	x := &interrupted{Index: r.index, call: "Forget", do: func() error { return r.reindexed(t.Context()) }}
	r.through = x
	a, stop := r.archive(t, nil)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if missing, err := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion); err != nil || missing < 2 {
			return fmt.Errorf("commit %d is not read again: %w", missing, err)
		}
		return nil
	})
	must(t, a.Indexed(t.Context()))
	stop()
	must(t, r.undeleted(t.Context()))
	if got := r.indexed(t, "orders"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
