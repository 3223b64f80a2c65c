package archiver

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// Archive is what a reindex needs of the ledger. ledger.Ledger is one.
type Archive interface {
	Chains
	// Folders yields what has a chain, sound or not; see ledger.Ledger.
	Folders(ctx context.Context) iter.Seq2[schema.Stream, error]
	Head(ctx context.Context, s schema.Stream) (ledger.Head, error)
	Genesis(ctx context.Context, s schema.Stream) (*schema.Commit, error)
}

// ReindexProgress is how far a reindex is. Offsets are those that the commits
// done account for, of Total, which is known before the first of them.
type ReindexProgress struct {
	Reindexed
	Chains         int // of all
	Offsets, Total int64
}

// Damage is a commit whose records a reindex could not read, or, with Seq −1, a
// chain.
type Damage struct {
	Stream schema.Stream
	Seq    int64
	Err    error
}

// Reindex rebuilds the index of every stream of every cluster from S3 alone.
// What is damaged is left out and given back, and the rest is indexed; any other
// error ends it, with what was done. progress, if not nil, is told after each
// commit, from one goroutine at a time.
func Reindex(ctx context.Context, store Segments, book Archive, x Index, rules Rules, log *slog.Logger, progress func(ReindexProgress)) (ReindexProgress, []Damage, error) {
	ls := newLetters(log) // logged only: a reindex writes nothing to the archive
	r := reindex{book: book, progress: progress, catchup: newCatchup(store, book, x, careful{rules, ls}, ls, log)}
	r.catchup.reached, r.catchup.passes = r.reached, r.damaged
	streams, err := r.survey(ctx)
	if err != nil {
		return r.at, r.found, err
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, s := range streams {
		group.Go(func() error { return r.stream(working, s) })
	}
	err = group.Wait()
	return r.at, r.found, err
}

type reindex struct {
	book     Archive
	catchup  *catchup
	progress func(ReindexProgress)

	mu    sync.Mutex
	at    ReindexProgress
	found []Damage
}

// damages tells an archive that is damaged from a store or an index that gives
// no answer.
func damages(err error) bool {
	kind := schema.KindOf(err)
	return err != nil && (kind == schema.Corrupt || kind == schema.NotFound)
}

// survey finds the chains and how many offsets they account for: a few requests
// for each, so that everybody can be told how long the rest takes.
func (r *reindex) survey(ctx context.Context) ([]schema.Stream, error) {
	var streams []schema.Stream
	for s, err := range r.book.Folders(ctx) {
		switch {
		case damages(err):
			r.found = append(r.found, Damage{Stream: s, Seq: -1, Err: err})
		case err != nil:
			return nil, fmt.Errorf("list streams: %w", err)
		default:
			streams = append(streams, s)
		}
	}
	r.at.Chains = len(streams)
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, s := range streams {
		group.Go(func() error {
			span, err := r.span(asking, s)
			if err != nil && !damages(err) { // that is said when it is read
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.at.Total += span
			return nil
		})
	}
	return streams, group.Wait()
}

func (r *reindex) span(ctx context.Context, s schema.Stream) (int64, error) {
	head, err := r.book.Head(ctx, s)
	if err != nil {
		return 0, err
	}
	genesis, err := r.book.Genesis(ctx, s)
	if err != nil {
		return 0, err
	}
	return head.Next - genesis.Next, nil
}

func (r *reindex) stream(ctx context.Context, s schema.Stream) error {
	_, err := r.catchup.from(ctx, s, 0)
	r.mu.Lock()
	defer r.mu.Unlock()
	if damages(err) {
		r.found = append(r.found, Damage{Stream: s, Seq: -1, Err: err})
		err = nil
	}
	if err == nil {
		r.at.Streams++
		r.tell()
	}
	return err
}

func (r *reindex) reached(c *schema.Commit, records int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at.Commits++
	if c.Segment != nil {
		r.at.Segments++
		r.at.Records += records
	}
	if c.Kind == schema.KindSegment || c.Kind == schema.KindGap {
		r.at.Offsets += c.Next - c.Base
	}
	r.tell()
}

func (r *reindex) damaged(c *schema.Commit, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, Damage{Stream: c.Stream(), Seq: c.Seq, Err: err})
}

// tell needs the mutex.
func (r *reindex) tell() {
	if r.progress != nil {
		r.progress(r.at)
	}
}
