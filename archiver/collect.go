package archiver

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// Why an object is collected, as the metric names it.
const (
	WhyReplaced = "replaced" // a compaction put it out of use
	WhyOrphan   = "orphan"   // no commit names it, and none can any more
	WhyJob      = "job"      // a compaction's job that is over
)

// Collected is one object that was deleted, or would be.
type Collected struct {
	Key   string
	Bytes int64
	Why   string
	Since time.Time // since when it is of no use, by the clocks that its age is reckoned by
}

// Collectable is what a collection needs of the store. Delete is for it alone:
// nothing else in Annals takes objects away.
type Collectable interface {
	Segments
	PutIfMatch(ctx context.Context, key, etag string, body []byte) (objstore.Object, error)
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Object, error]
	Folders(ctx context.Context, prefix, after string) iter.Seq2[string, error]
	Delete(ctx context.Context, key string) error
}

// collecting is what the collections of all streams have in common, whoever asks
// for them.
type collecting struct {
	store Collectable
	book  Chains
	log   *slog.Logger
	clock func() time.Time
	age   time.Duration
	dry   bool
	may   func(schema.Stream) error                // asked before each object goes
	pace  func(ctx context.Context, n int64) error // before n bytes are read
	gone  func(Collected)                          // told after it went
}

// Collect deletes what nothing needs any more of all partitions that are this
// process's own, and says what; with dryRun it only says it. It deletes below
// data/ and jobs/compact/, never anything else.
func (a *Archiver) Collect(ctx context.Context, dryRun bool) ([]Collected, error) {
	a.upkeep.mu.Lock()
	defer a.upkeep.mu.Unlock()
	var all []Collected
	for _, s := range a.owned() {
		some, err := a.collectStream(ctx, s, dryRun)
		all = append(all, some...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// evidence is what is known of a stream when it is decided what is collected.
// The objects and the jobs are listed before the chain is read: so a commit
// that took its seq by then is in it.
type evidence struct {
	now      time.Time
	after    time.Duration
	head     ledger.Head
	named    map[string]bool      // keys that any commit names
	current  map[string]bool      // keys that the view needs
	replaced map[string]time.Time // keys that a compaction put out of use, and when
	into     map[string]string    // and the keys of what it joined them into
	claims   []*claim
}

// verdict tells whether, and why, an object may go. This is the rule of
// docs/formats/objects.md: every condition stands for a writer that may still
// be under way, or a reader.
func (e *evidence) verdict(o objstore.Object, base int64) (why string, ok bool) {
	if e.current[o.Key] {
		return "", false
	}
	if at, ok := e.replaced[o.Key]; ok {
		// Whoever looked the object up before the compaction may still read.
		// A hold, once there are any, is one more reason to keep it.
		return WhyReplaced, e.old(at)
	}
	if e.named[o.Key] || !e.old(o.Modified) || base >= e.head.Next {
		return "", false
	}
	for _, c := range e.claims {
		if c.Output == o.Key && c.State == claimOpen {
			return "", false
		}
	}
	return WhyOrphan, true
}

// since tells from when on an object's age counts.
func (e *evidence) since(o objstore.Object) time.Time {
	if at, ok := e.replaced[o.Key]; ok {
		return at
	}
	return o.Modified
}

// over tells whether a claim's commit can be ruled out, or has been made: its
// seq is taken.
func (e *evidence) over(c *claim) bool { return c.Seq <= e.head.Commit.Seq }

func (e *evidence) old(at time.Time) bool { return e.now.Sub(at) > e.after }

func (a *Archiver) collectStream(ctx context.Context, s schema.Stream, dryRun bool) ([]Collected, error) {
	g := garbage{stream: s, collecting: collecting{
		store: a.store, book: a.ledger, log: a.log, clock: a.upkeep.compact.Now, age: a.upkeep.collect.After, dry: dryRun, pace: a.paced,
		may: func(s schema.Stream) error {
			if !a.owns(s) {
				return schema.Errorf(schema.Conflict, "the partition went to another archiver")
			}
			return nil
		},
		gone: func(c Collected) {
			a.metrics.collected.WithLabelValues(c.Why).Inc()
			a.metrics.freed.WithLabelValues(c.Why).Add(float64(c.Bytes))
		},
	}}
	err := g.run(ctx)
	return g.done, err
}

// garbage is one collection of one stream.
type garbage struct {
	collecting
	evidence
	stream  schema.Stream
	objects []objstore.Object
	jobs    []listedClaim
	joined  map[string]bool // outputs that were read again and are whole
	view    *ledger.View
	done    []Collected
	waiting []young // what is of no use, and too young
}

// young is an object that goes when it is old enough.
type young struct {
	Collected
	until time.Time
}

// listedClaim is a claim as it was listed.
type listedClaim struct {
	claim  *claim
	etag   string
	object objstore.Object
}

func (g *garbage) run(ctx context.Context) error {
	if err := g.collect(ctx); err != nil {
		return fmt.Errorf("collect of %s: %w", g.stream, err)
	}
	return nil
}

func (g *garbage) collect(ctx context.Context) error {
	if err := g.alone(ctx); err != nil {
		return err
	}
	if err := g.list(ctx); err != nil {
		return err
	}
	if err := g.read(ctx); err != nil {
		return err
	}
	if err := g.endClaims(ctx); err != nil {
		return err
	}
	for _, o := range g.objects {
		base, _, ok := schema.ParseDataKey(g.stream, o.Key)
		if !ok {
			continue
		}
		why, ok := g.verdict(o, base)
		if !ok {
			g.wait(o, base)
			continue
		}
		if why == WhyReplaced {
			if err := g.heldElsewhere(ctx, o.Key); err != nil {
				return err
			}
		}
		if why == WhyOrphan {
			again, err := g.putAgain(ctx, o)
			if err != nil {
				return err
			}
			if again {
				continue
			}
		}
		if err := g.delete(ctx, o, why); err != nil {
			return err
		}
	}
	return g.deleteJobs(ctx)
}

// alone refuses to collect where another cluster's chain has the same topic ID
// and partition: the folder in data/ is that one's too.
func (g *garbage) alone(ctx context.Context) error {
	for folder, err := range g.store.Folders(ctx, schema.LedgerPrefix, "") {
		if err != nil {
			return err
		}
		other := g.stream
		other.Cluster = strings.TrimSuffix(strings.TrimPrefix(folder, schema.LedgerPrefix), "/")
		if other.Cluster == g.stream.Cluster {
			continue
		}
		for _, err := range g.store.List(ctx, schema.LedgerStreamPrefix(other), "") {
			if err != nil {
				return err
			}
			return schema.Errorf(schema.Conflict, "cluster %s has a chain of the same topic ID; nothing is deleted", other.Cluster)
		}
	}
	return nil
}

func (g *garbage) list(ctx context.Context) error {
	for o, err := range g.store.List(ctx, schema.CompactionJobPrefix(g.stream), "") {
		if err != nil {
			return err
		}
		c, etag, err := readClaim(ctx, g.store, o.Key)
		if schema.KindOf(err) == schema.NotFound {
			continue // another owner collected it
		}
		if err != nil {
			return err
		}
		g.jobs = append(g.jobs, listedClaim{c, etag, o})
		g.claims = append(g.claims, c)
	}
	for o, err := range g.store.List(ctx, schema.DataStreamPrefix(g.stream), "") {
		if err != nil {
			return err
		}
		g.objects = append(g.objects, o)
	}
	return nil
}

// read goes through the chain for everything that it names.
func (g *garbage) read(ctx context.Context) error {
	g.now, g.after = g.clock(), g.age
	g.named, g.current, g.replaced = map[string]bool{}, map[string]bool{}, map[string]time.Time{}
	g.into = map[string]string{}
	var err error
	if g.view, err = g.book.View(ctx, g.stream, nil); err != nil {
		return err
	}
	g.head = g.view.Head
	modified := map[string]time.Time{}
	for _, o := range g.objects {
		modified[o.Key] = o.Modified
	}
	for entry, err := range g.book.Commits(ctx, g.stream, 0) {
		if err != nil {
			return err
		}
		gaps, err := g.book.Gaps(ctx, entry.Commit)
		if err != nil {
			return err
		}
		g.note(entry.Commit, gaps, modified)
	}
	for _, s := range g.view.All() {
		g.current[s.Ref.Key] = true
	}
	return nil
}

func (g *garbage) note(c *schema.Commit, gaps []schema.Gap, modified map[string]time.Time) {
	if c.Segment != nil {
		g.named[c.Segment.Key] = true
	}
	if c.GapsObject != nil {
		g.named[c.GapsObject.Key] = true
	}
	for _, gap := range gaps {
		if gap.Object != nil {
			g.named[gap.Object.Key] = true
		}
	}
	for _, old := range c.Replaced {
		g.named[old.Key] = true
		if c.Kind == schema.KindCompaction {
			// A writer's clock may be wrong; the store's says when the joined
			// segment was there. The later of both counts.
			at := c.Written()
			if put, ok := modified[c.Segment.Key]; ok && put.After(at) {
				at = put
			}
			g.replaced[old.Key], g.into[old.Key] = at, c.Segment.Key
		}
	}
}

// putAgain tells whether an orphan is another than was listed: a raw batch and a
// list of gaps have the same name whoever keeps them, and a commit made since the
// chain was read may name it.
func (g *garbage) putAgain(ctx context.Context, o objstore.Object) (bool, error) {
	for now, err := range g.store.List(ctx, o.Key, "") {
		return err == nil && (now.Key != o.Key || !now.Modified.Equal(o.Modified)), err
	}
	return true, nil // gone: another collector's
}

// wait notes an object that nothing but its age keeps.
func (g *garbage) wait(o objstore.Object, base int64) {
	later := g.evidence
	later.now = g.since(o).Add(g.evidence.after + time.Nanosecond)
	if why, ok := later.verdict(o, base); ok {
		g.waiting = append(g.waiting, young{Collected{Key: o.Key, Bytes: o.Size, Why: why, Since: g.since(o)}, later.now})
	}
}

// endClaims ends the claims whose commit was not made and cannot be made
// without changing them. Whoever would is refused then.
func (g *garbage) endClaims(ctx context.Context) error {
	for i := range g.jobs {
		j := &g.jobs[i]
		if j.claim.State != claimOpen || g.named[j.claim.Output] || !g.over(j.claim) || !g.old(j.object.Modified) {
			continue
		}
		ended := *j.claim
		ended.State = claimEnded
		if g.dry { // what would follow is to be seen
			j.claim.State = claimEnded
			continue
		}
		if _, err := changeClaim(ctx, g.store, &ended, j.etag); err != nil {
			g.log.Debug("a compaction's job was changed meanwhile", "key", j.object.Key, "err", err)
			continue // alive, or another collector's
		}
		j.claim.State = claimEnded
	}
	return nil
}

// deleteJobs deletes the claims that are over: what they name is in the chain,
// or they were ended.
func (g *garbage) deleteJobs(ctx context.Context) error {
	for _, j := range g.jobs {
		if g.old(j.object.Modified) && (g.named[j.claim.Output] || j.claim.State == claimEnded) {
			if err := g.delete(ctx, j.object, WhyJob); err != nil {
				return err
			}
		}
	}
	return nil
}

// heldElsewhere reads, before a replaced object goes, the joined one that has
// its rows now: it is the last other copy.
func (g *garbage) heldElsewhere(ctx context.Context, key string) error {
	for into, ok := g.into[key]; ok; into, ok = g.into[key] {
		key = into
	}
	all := g.view.All()
	at := slices.IndexFunc(all, func(s ledger.Segment) bool { return s.Ref.Key == key })
	if at < 0 || g.joined[key] {
		return nil // its rows were taken away since; or read before
	}
	now := all[at]
	if err := g.pace(ctx, now.Ref.Bytes); err != nil {
		return err
	}
	if err := fetch(ctx, g.store, now.Ref.ObjectRef, io.Discard); err != nil {
		return fmt.Errorf("the joined segment %s is not whole, what it replaced is kept: %w", now.Ref.Key, err)
	}
	if g.joined == nil {
		g.joined = map[string]bool{}
	}
	g.joined[now.Ref.Key] = true
	return nil
}

func (g *garbage) delete(ctx context.Context, o objstore.Object, why string) error {
	if !strings.HasPrefix(o.Key, schema.DataPrefix) && !strings.HasPrefix(o.Key, schema.CompactionPrefix) {
		return schema.Errorf(schema.Internal, "%s is not the collector's to delete", o.Key)
	}
	if err := g.may(g.stream); err != nil {
		return err
	}
	c := Collected{Key: o.Key, Bytes: o.Size, Why: why, Since: g.since(o)}
	if !g.dry {
		if err := g.store.Delete(ctx, o.Key); err != nil {
			return err
		}
		g.gone(c)
	}
	g.done = append(g.done, c)
	g.log.Info("collected", "topic", g.stream.Topic, "partition", g.stream.Partition, "offset", g.view.Head.Next, "key", o.Key, "why", why,
		"bytes", o.Size, "dry_run", g.dry)
	return nil
}
