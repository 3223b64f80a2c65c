package ledger

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/schema"
)

// perRollup is how many commits one folder of a chain, and one rollup, holds.
const perRollup = 1000

// Single commits are read perBatch at once, inFlight of them at a time: at
// most 4 MiB.
const (
	perBatch = 64
	inFlight = 16
)

// Commits yields a stream's commits from fromSeq to the head found when the
// iteration began, checked: each follows from the one before it, no seq is
// missing, and the last is the head. Full thousands are read from their rollup
// where one is there. The first error ends it: NotFound when the stream has no
// chain, Corrupt when the chain does not hold. A fromSeq behind the head yields
// nothing.
//
// With fromSeq > 0 the commit before it is read too, but not what is before
// that.
func (l *Ledger) Commits(ctx context.Context, s schema.Stream, fromSeq int64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		head, err := l.Head(ctx, s)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		w := walk{ledger: l, stream: s, end: head}
		if err := w.begin(ctx, fromSeq); err != nil {
			yield(Entry{}, err)
			return
		}
		w.entries(ctx)(yield)
	}
}

// walk goes along a chain. at is the commit passed last, end the head at which
// it stops.
type walk struct {
	ledger *Ledger
	stream schema.Stream
	at     Head
	end    Head
	// without is 1 + the thousand that was found to have no rollup.
	without int64
	// singly reads no rollups at all.
	singly bool
}

// entries yields what is between at and end, checked.
func (w *walk) entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for w.at.seq() <= w.end.Commit.Seq {
			batch, err := w.batch(ctx)
			for _, e := range batch {
				if err := w.step(e); err != nil {
					yield(Entry{}, err)
					return
				}
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
		}
	}
}

// begin stands the walk before fromSeq.
func (w *walk) begin(ctx context.Context, fromSeq int64) error {
	if fromSeq < 0 {
		return schema.InvalidField("from_seq", "read commits of %s: seq %d is negative", w.stream, fromSeq)
	}
	if fromSeq == 0 {
		return nil
	}
	if fromSeq > w.end.Commit.Seq {
		w.at = w.end
		return nil
	}
	before, err := w.ledger.commit(ctx, w.stream, fromSeq-1)
	if err != nil {
		return fmt.Errorf("read commits: %w", missing(err, w.stream, fromSeq-1))
	}
	w.at, err = w.ledger.headAt(ctx, w.stream, before)
	if err != nil {
		return fmt.Errorf("read commits: %w", err)
	}
	return nil
}

// step checks that e is the next of the chain, and goes there.
func (w *walk) step(e Entry) error {
	if err := w.at.follow(e.Commit); err != nil {
		return fmt.Errorf("read commits: %w", err)
	}
	w.at = w.at.behind(e.Commit, e.Digest)
	if e.Commit.Seq == w.end.Commit.Seq && e.Digest != w.end.Digest {
		return schema.Errorf(schema.Corrupt, "read commits: commit %d of %s is not the one that is the head", e.Commit.Seq, w.stream)
	}
	return nil
}

// batch reads what comes next: the rest of a full thousand from its rollup,
// else some single commits. Entries before an error are good.
func (w *walk) batch(ctx context.Context) ([]Entry, error) {
	seq := w.at.seq()
	thousand := seq / perRollup
	last := min((thousand+1)*perRollup-1, w.end.Commit.Seq)
	full := last%perRollup == perRollup-1
	if full && !w.singly && w.without != thousand+1 && last-seq >= perBatch {
		batch, err := w.rollup(ctx, seq, last)
		if err != nil || batch != nil {
			return batch, err
		}
		w.without = thousand + 1
	}
	batch, err := w.ledger.several(ctx, w.stream, seq, min(last, seq+perBatch-1))
	if err != nil {
		err = fmt.Errorf("read commits: %w", err)
	}
	return batch, err
}

// several reads the commits from first to last from their own objects, some at
// a time. It returns those before the first that could not be read, and why;
// a missing one is Corrupt.
func (l *Ledger) several(ctx context.Context, s schema.Stream, first, last int64) ([]Entry, error) {
	entries := make([]Entry, last-first+1)
	errs := make([]error, len(entries))
	var group errgroup.Group
	group.SetLimit(inFlight)
	for i := range entries {
		group.Go(func() error {
			entries[i], errs[i] = l.commit(ctx, s, first+int64(i))
			return nil // every error has its place in the order
		})
	}
	_ = group.Wait()
	for i, err := range errs {
		if err != nil {
			return entries[:i], missing(err, s, first+int64(i))
		}
	}
	return entries, nil
}
