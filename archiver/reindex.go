package archiver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
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

// ReindexOptions choose what is read again. The zero value is everything.
type ReindexOptions struct {
	// Topics tells which topics; nil: all.
	Topics func(name string) bool
	// From leaves out segments that hold only records before it, by their
	// timestamps, if the index has them under these rules.
	From time.Time
	// Progress, if not nil, is told after each commit, from one goroutine at a
	// time.
	Progress func(ReindexProgress)
}

// ReindexProgress is how far a reindex is. Offsets are those that the commits
// done account for, of Total, which is known before the first of them; what From
// leaves out is taken off Total as it is met.
type ReindexProgress struct {
	Reindexed
	Chains         int // of the topics that are read
	Offsets, Total int64
}

// Damage is a commit whose records a reindex could not read, or, with Seq −1, a
// chain.
type Damage struct {
	Stream schema.Stream
	Seq    int64
	Err    error
}

// Reindex reads streams of every cluster from S3 alone and brings what the rules
// read from them into the index: what it lacks, and what it has, under another
// version, since a topic's rules may be others now. Rows of the version before
// count until all of a segment are there; then they are deleted.
//
// What is damaged is left as the index has it and given back, and so are chains
// whose topic ID belongs to another cluster (ledger.TwoClusters); the rest is
// read; any other error ends it, with what was done. A chain whose first commit
// is too damaged to name its topic is given back whatever Topics says.
//
// A reindex may be stopped at any time and run again. Several may run at once,
// and beside archivers: of what they read, the rows of the one that came to a
// stream last count, whole commits at a time, and none that count are deleted
// (index.Claim, index.Forget). Only what is archived while it runs, and the
// summaries of a commit that two name at the same moment, are by the same rules
// only if all have the same.
func Reindex(ctx context.Context, store Segments, book Archive, x Index, rules Rules, log *slog.Logger, options ReindexOptions) (ReindexProgress, []Damage, error) {
	ls := newLetters(log) // logged only: a reindex writes nothing to the archive
	r := reindex{
		book: book, index: x, options: options, run: uuid.NewString(),
		catchup: newCatchup(store, book, x, careful{rules, ls}, ls, log),
	}
	chains, err := r.survey(ctx)
	if err != nil {
		return r.at, r.found, err
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, s := range chains {
		group.Go(func() error { return r.stream(working, s) })
	}
	err = group.Wait()
	r.catchup.forget(ctx, 1)
	return r.at, r.found, err
}

type reindex struct {
	book    Archive
	index   Index
	catchup *catchup
	options ReindexOptions
	run     string // what its claims are made by

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

// survey finds the chains to read and how many offsets they account for: a few
// requests for each, so that everybody can be told how long the rest takes.
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
	var chains []surveyed
	owners := map[schema.TopicID]began{} // of all, whatever is read
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, s := range streams {
		group.Go(func() error {
			genesis, err := r.book.Genesis(asking, s)
			if err != nil && !damages(err) {
				return err
			}
			if err == nil {
				r.mu.Lock()
				mine := began{s.Cluster, genesis.Written()}
				if o, ok := owners[s.TopicID]; !ok || mine.before(o) {
					owners[s.TopicID] = mine
				}
				r.mu.Unlock()
				if r.options.Topics != nil && !r.options.Topics(genesis.Topic) {
					return nil
				}
				s.Topic = genesis.Topic
			}
			var span int64
			if err == nil {
				span, err = r.span(asking, s, genesis)
			}
			if err != nil && !damages(err) { // that is said when it is read
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			chains = append(chains, surveyed{s, span})
			return nil
		})
	}
	err := group.Wait()
	return r.own(chains, owners), err
}

// surveyed is a chain, and how many offsets it accounts for.
type surveyed struct {
	schema.Stream
	span int64
}

// began is the first commit of a topic ID's chains.
type began struct {
	cluster string
	at      time.Time
}

func (b began) before(o began) bool {
	if b.cluster == o.cluster {
		return b.at.Before(o.at)
	}
	return ledger.First(b.cluster, b.at, o.cluster, o.at) == b.cluster
}

// own leaves out, as damage, the chains of topic IDs that belong to another
// cluster: the index could not tell their records apart.
func (r *reindex) own(chains []surveyed, owners map[schema.TopicID]began) []schema.Stream {
	var list []schema.Stream
	for _, c := range chains {
		if o, ok := owners[c.TopicID]; ok && o.cluster != c.Cluster {
			r.found = append(r.found, Damage{Stream: c.Stream, Seq: -1, Err: ledger.TwoClusters(c.Topic, c.TopicID, o.cluster, c.Cluster)})
			continue
		}
		r.at.Chains++
		r.at.Total += c.span
		c.Topic = ""
		list = append(list, c.Stream)
	}
	return list
}

func (r *reindex) span(ctx context.Context, s schema.Stream, genesis *schema.Commit) (int64, error) {
	head, err := r.book.Head(ctx, s)
	if err != nil {
		return 0, err
	}
	return head.Next - genesis.Next, nil
}

func (r *reindex) stream(ctx context.Context, s schema.Stream) error {
	claimed, err := r.index.Claim(ctx, s, r.run)
	if err != nil {
		return err
	}
	named, err := r.index.Named(ctx, s, 0)
	if err != nil {
		return err
	}
	p := &passage{
		catchup: r.catchup, named: named, claimed: claimed, since: r.options.From.UnixMilli(),
		reached: r.reached, left: r.left, passes: r.damaged,
	}
	_, err = r.catchup.read(ctx, s, 0, p)
	unnamed := p.flush(ctx) // of what was read before the damage, too
	r.mu.Lock()
	defer r.mu.Unlock()
	if damages(err) {
		r.found = append(r.found, Damage{Stream: s, Seq: -1, Err: err})
		err = nil
	}
	if err = errors.Join(err, unnamed); err == nil {
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

func (r *reindex) left(c *schema.Commit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at.Total -= c.Next - c.Base
	r.tell()
}

func (r *reindex) damaged(c *schema.Commit, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, Damage{Stream: c.Stream(), Seq: c.Seq, Err: err})
}

// tell needs the mutex.
func (r *reindex) tell() {
	if r.options.Progress != nil {
		r.options.Progress(r.at)
	}
}
