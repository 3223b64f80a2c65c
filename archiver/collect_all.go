package archiver

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Book is what a collection of a whole archive needs of the ledger.
// ledger.Ledger is one.
type Book interface {
	Chains
	Folders(ctx context.Context) iter.Seq2[schema.Stream, error]
	Genesis(ctx context.Context, s schema.Stream) (*schema.Commit, error)
}

// Dated is a store that tells its time: that of its answer to a read of key.
type Dated interface {
	Collectable
	Clock(ctx context.Context, key string) (time.Time, error)
}

// CollectOptions choose what a collection of an archive deletes. The zero value
// deletes nothing, and says what would go of everything.
type CollectOptions struct {
	// Delete has it deleted; without, it is only said.
	Delete bool
	// Topics tells which topics; nil: all.
	Topics func(name string) bool
	// After is how old an object is by then; 7 days if zero. Less than
	// MinCollect is Invalid.
	After time.Duration
	// Now is this machine's clock; nil: the system's.
	Now func() time.Time
	// Each, if not nil, is told of every object that went, or would.
	Each func(schema.Stream, Collected)
}

// CollectReport adds up a collection of an archive.
type CollectReport struct {
	Streams int                  // that were gone through
	Gone    map[string]Objects   // went, or would, by why
	Waiting map[string]Objects   // are of no use, and too young
	From    time.Time            // when the first of those is old enough
	Left    []Damage             // streams of which nothing more was deleted, and why
	Clock   map[string]time.Time // "machine" and "store", when it began
}

// Objects are some objects.
type Objects struct {
	Count, Bytes int64
}

func (o Objects) with(bytes int64) Objects { return Objects{o.Count + 1, o.Bytes + bytes} }

// mostAhead is how far this machine's clock may be ahead of the store's, by
// which the ages of objects are known: no more than the answers' own inexactness
// and what a commit's clock may be off.
const mostAhead = time.Minute

// CollectAll goes through the chains of every cluster in a bucket, those of
// deleted topics too, and deletes what nothing needs any more by the rule of an
// archiver's own collection, or only says it. It may run beside archivers and be
// interrupted at any time. A stream that is damaged, or whose folder is not its
// own alone, is left as it is and said in the report; an error of the store ends
// it, with the report of what was done by then.
func CollectAll(ctx context.Context, store Dated, book Book, log *slog.Logger, o CollectOptions) (CollectReport, error) {
	c := Collect{After: o.After}.orDefault()
	if o.After != 0 && o.After < MinCollect {
		return CollectReport{}, schema.InvalidField("after", "an age of %s: at least %s, so that nothing goes that a writer has put and will commit yet, or that a reader has looked up", o.After, MinCollect)
	}
	clock := o.Now
	if clock == nil {
		clock = time.Now
	}
	all := collectAll{
		book: book, options: o, report: CollectReport{Gone: map[string]Objects{}, Waiting: map[string]Objects{}},
		each: collecting{
			store: store, book: book, log: log, clock: clock, age: c.After, dry: !o.Delete,
			may: func(schema.Stream) error { return nil }, pace: func(ctx context.Context, _ int64) error { return ctx.Err() }, gone: func(Collected) {},
		},
	}
	for s, err := range book.Folders(ctx) {
		if err == nil {
			err = all.stream(ctx, store, s)
		}
		switch kind := schema.KindOf(err); {
		case err == nil:
		case kind == schema.Corrupt, kind == schema.NotFound, kind == schema.Conflict:
			all.report.Left = append(all.report.Left, Damage{Stream: s, Seq: -1, Err: err})
		default:
			return all.report, err
		}
	}
	return all.report, nil
}

// collectAll is one collection of an archive.
type collectAll struct {
	book    Book
	options CollectOptions
	each    collecting
	report  CollectReport
}

func (c *collectAll) stream(ctx context.Context, store Dated, s schema.Stream) error {
	genesis, err := c.book.Genesis(ctx, s)
	if err != nil {
		return err
	}
	if s = genesis.Stream(); c.options.Topics != nil && !c.options.Topics(s.Topic) {
		return nil
	}
	if c.report.Clock == nil {
		if err := c.clocks(ctx, store, s); err != nil {
			return err
		}
	}
	g := garbage{collecting: c.each, stream: s}
	err = g.run(ctx)
	for _, o := range g.done {
		c.report.Gone[o.Why] = c.report.Gone[o.Why].with(o.Bytes)
		if c.options.Each != nil {
			c.options.Each(s, o)
		}
	}
	if err != nil {
		return err
	}
	c.report.Streams++
	for _, w := range g.waiting {
		c.report.Waiting[w.Why] = c.report.Waiting[w.Why].with(w.Bytes)
		if c.report.From.IsZero() || w.until.Before(c.report.From) {
			c.report.From = w.until
		}
	}
	return nil
}

// clocks refuses a machine whose clock is ahead of the store's: everything would
// be older than it is.
func (c *collectAll) clocks(ctx context.Context, store Dated, s schema.Stream) error {
	shown, err := store.Clock(ctx, schema.CommitKey(s, 0))
	if err != nil {
		return fmt.Errorf("ask for the store's clock: %w", err)
	}
	here := c.each.clock()
	c.report.Clock = map[string]time.Time{"machine": here, "store": shown}
	if ahead := here.Sub(shown); ahead > mostAhead {
		return schema.WithHint(schema.Errorf(schema.Unavailable, "this machine's clock is %s ahead of the store's: what is young would seem old, so nothing is deleted", ahead.Round(time.Second)),
			"let this machine follow a time server (NTP); annals doctor shows both clocks")
	}
	return nil
}
