package archiver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Chains is what the catch-up needs of the ledger.
type Chains interface {
	Commits(ctx context.Context, s schema.Stream, fromSeq int64) iter.Seq2[ledger.Entry, error]
	// Gaps gives a commit's gaps, from wherever they stand.
	Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error)
	Streams(ctx context.Context) iter.Seq2[schema.Stream, error]
	View(ctx context.Context, s schema.Stream, known *ledger.View) (*ledger.View, error)
}

// Segments is what the catch-up needs of the store.
type Segments interface {
	ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt
}

// catchup makes the index equal to the ledger, stream by stream, from S3. It
// keeps only the set of streams to compare.
type catchup struct {
	store   Segments
	book    Chains
	index   Index
	rules   Rules
	letters *letters
	log     *slog.Logger

	recheck  bool   // an unclean stop: see Options.Recheck
	inserted func() // told when the index has taken commits; nil: nobody is

	mu      sync.Mutex
	dirty   map[schema.StreamKey]schema.Stream
	checked map[schema.StreamKey]bool // rechecked since the start
	damaged map[string]error          // segments that cannot be read, or do not match their commit, by key
	stale   []index.Range             // rows of other rules there are to be deleted
	busy    bool                      // a stream is being compared
	wake    chan struct{}
}

func newCatchup(store Segments, book Chains, x Index, rules Rules, ls *letters, log *slog.Logger) *catchup {
	return &catchup{
		store: store, book: book, index: x, rules: rules, letters: ls, log: log,
		dirty: map[schema.StreamKey]schema.Stream{}, checked: map[schema.StreamKey]bool{}, damaged: map[string]error{}, wake: make(chan struct{}, 1),
	}
}

// compare asks for a stream's index to be held against its chain.
func (c *catchup) compare(s schema.Stream) {
	c.mu.Lock()
	c.dirty[s.Key()] = s
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *catchup) take() (schema.Stream, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	for key, s := range c.dirty {
		delete(c.dirty, key)
		c.busy = true
		return s, true
	}
	return schema.Stream{}, false
}

// idle tells whether nothing is left to compare.
func (c *catchup) idle() bool { return c.left() == 0 }

// left is how many streams are to be compared.
func (c *catchup) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.dirty)
	if c.busy {
		n++
	}
	return n
}

func (c *catchup) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		pause(ctx, time.Second) // several requests become one
		c.drain(ctx)
	}
}

func (c *catchup) drain(ctx context.Context) {
	pauses := retry.Between(time.Second, 30*time.Second)
	for ctx.Err() == nil {
		s, ok := c.take()
		if !ok {
			c.forget(ctx, 1)
			return
		}
		done, err := c.stream(ctx, s)
		if err != nil {
			wait := pauses.Next()
			if ctx.Err() == nil {
				c.log.Warn("index is behind the ledger", "topic", s.Topic, "partition", s.Partition, "offset", done.to,
					"retry_in", wait.String(), "err", err)
			}
			c.compare(s)
			pause(ctx, wait)
			continue
		}
		pauses.Reset()
		if done.Commits > 0 && c.inserted != nil {
			c.inserted()
		}
		c.forget(ctx, staleBatch)
		if done.Segments > 0 {
			c.log.Info("index caught up from the archive", "topic", s.Topic, "partition", s.Partition,
				"offset", done.to, "segments", done.Segments, "records", done.Records)
		}
	}
}

// Reindexed counts what was read from S3 and inserted.
type Reindexed struct {
	Streams  int
	Commits  int64
	Segments int64
	Records  int64

	to int64 // the offset behind the last commit; -1: there was none
}

// stream inserts the commits from the first that the index misses.
func (c *catchup) stream(ctx context.Context, s schema.Stream) (Reindexed, error) {
	done := Reindexed{Streams: 1, to: -1}
	from, err := c.index.FirstMissing(ctx, s, schema.ExtractVersion)
	if err != nil {
		return done, err
	}
	missing := from
	if c.recheck && !c.wasChecked(s) {
		if from, err = c.hashAgain(ctx, s, from); err != nil {
			return done, err
		}
	}
	done, err = c.from(ctx, s, from, from == missing)
	if err == nil && c.recheck {
		c.mu.Lock()
		c.checked[s.Key()] = true
		c.mu.Unlock()
	}
	return done, err
}

func (c *catchup) wasChecked(s schema.Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checked[s.Key()]
}

// recheckSpan is how far before its newest commit a stream is rechecked.
const recheckSpan = 10 * time.Minute

// hashAgain holds the newest segments against their commits and returns the
// seq from which on the index is filled again, at most from.
func (c *catchup) hashAgain(ctx context.Context, s schema.Stream, from int64) (int64, error) {
	var recent []*schema.Commit
	replaced := map[string]bool{} // may have been collected
	for entry, err := range c.book.Commits(ctx, s, 0) {
		if err != nil {
			return from, err
		}
		now := entry.Commit.Written()
		recent = slices.DeleteFunc(recent, func(old *schema.Commit) bool { return now.Sub(old.Written()) > recheckSpan })
		recent = append(recent, entry.Commit)
		for _, ref := range entry.Commit.Replaced {
			replaced[ref.Key] = true
		}
	}
	for _, commit := range recent {
		from = min(from, commit.Seq)
		named, err := c.named(ctx, commit)
		if err != nil {
			return from, err
		}
		for _, ref := range named {
			if replaced[ref.Key] {
				continue
			}
			if err := c.hash(ctx, commit, ref); err != nil {
				return from, err
			}
		}
	}
	return from, nil
}

// named are the objects that a commit put: its segment, and raw batches.
func (c *catchup) named(ctx context.Context, commit *schema.Commit) ([]schema.ObjectRef, error) {
	var refs []schema.ObjectRef
	if commit.Segment != nil {
		refs = append(refs, commit.Segment.ObjectRef)
	}
	gaps, err := c.book.Gaps(ctx, commit)
	for _, g := range gaps {
		if g.Object != nil {
			refs = append(refs, *g.Object)
		}
	}
	return refs, err
}

// hash reads a whole object. Damage is said, loudly and in Health, and does
// not keep the rest from being indexed.
func (c *catchup) hash(ctx context.Context, commit *schema.Commit, ref schema.ObjectRef) error {
	sum := sha256.New()
	_, err := io.Copy(sum, io.NewSectionReader(c.store.ReaderAt(ctx, ref.Key, ref.Bytes), 0, ref.Bytes))
	if err != nil && schema.KindOf(err) != schema.NotFound && schema.KindOf(err) != schema.Corrupt {
		return err
	}
	if err == nil && schema.Digest(sum.Sum(nil)) == ref.SHA256 {
		return nil
	}
	c.found(commit, ref, schema.Errorf(schema.Corrupt, "%s does not match its commit: %w", ref.Key, errors.Join(errors.New("other bytes than were archived"), err)))
	return nil
}

// found notes an object that is damaged.
func (c *catchup) found(commit *schema.Commit, ref schema.ObjectRef, damage error) {
	c.log.Error("the archive is damaged", "topic", commit.Topic, "partition", commit.Partition, "offset", commit.Base, "key", ref.Key, "err", damage)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.damaged[ref.Key] = damage
}

// damage returns what was found damaged, or nil.
func (c *catchup) damage() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []error
	for _, key := range slices.Sorted(maps.Keys(c.damaged)) {
		found = append(found, c.damaged[key])
	}
	return errors.Join(found...)
}

// from reads a stream's commits from a seq on; lacking leaves out those that the
// index has. A segment that is damaged does not keep those behind it from the
// index: it is said, in Health too, and tried again when the stream is compared
// again.
func (c *catchup) from(ctx context.Context, s schema.Stream, seq int64, lacking bool) (Reindexed, error) {
	named, err := c.index.Named(ctx, s, seq)
	if err != nil {
		return Reindexed{Streams: 1, to: -1}, err
	}
	p := &passage{catchup: c, named: named, lacking: lacking}
	p.passes = func(commit *schema.Commit, err error) { c.found(commit, commit.Segment.ObjectRef, err) }
	done, err := c.read(ctx, s, seq, p)
	return done, errors.Join(err, p.flush(ctx))
}

// read goes through a stream's commits from a seq on. The passage's flush is the
// caller's, whatever the error.
func (c *catchup) read(ctx context.Context, s schema.Stream, seq int64, p *passage) (Reindexed, error) {
	done := Reindexed{Streams: 1, to: -1}
	for entry, err := range c.book.Commits(ctx, s, seq) {
		if err != nil {
			return done, err
		}
		if p.leaves(entry.Commit) {
			if p.left != nil {
				p.left(entry.Commit)
			}
			continue
		}
		records, err := c.commit(ctx, entry.Commit, p)
		if p.passes != nil && entry.Commit.Segment != nil && damages(err) {
			p.passes(entry.Commit, err)
			continue
		}
		if err != nil {
			return done, err
		}
		if p.reached != nil {
			p.reached(entry.Commit, records)
		}
		done.Commits++
		done.to = entry.Commit.Next
		if entry.Commit.Segment != nil {
			done.Segments++
			done.Records += records
		}
	}
	return done, nil
}

// chunk is how many records are extracted and inserted at once.
const chunk = 10_000

// commit inserts what a commit archived. A compaction archives nothing: its
// rows and their counts are those of the commits before it, so only the place
// of the rows changes.
func (c *catchup) commit(ctx context.Context, commit *schema.Commit, p *passage) (int64, error) {
	row := index.SegmentOf(commit)
	row.Version = p.version(commit)
	if commit.Segment == nil || commit.Kind == schema.KindCompaction {
		return 0, c.index.InsertSegments(ctx, []index.SegmentRow{row})
	}
	count, err := c.segment(ctx, commit, row, commit.Segment.ObjectRef, p)
	if schema.KindOf(err) != schema.NotFound {
		return count, err
	}
	// It was joined with others, and collected: the chain knows with which.
	view, viewErr := c.book.View(ctx, commit.Stream(), nil)
	if viewErr != nil {
		return 0, viewErr
	}
	now, ok := view.Holding(commit.Branch, commit.Base)
	if !ok || now.Ref.Key == commit.Segment.Key {
		return 0, err
	}
	return c.segment(ctx, commit, row, now.Ref.ObjectRef, p)
}

// segment inserts the rows of a segment commit from the object that holds them.
func (c *catchup) segment(ctx context.Context, commit *schema.Commit, row index.SegmentRow, ref schema.ObjectRef, p *passage) (int64, error) {
	reader, err := segment.Open(ctx, c.store.ReaderAt(ctx, ref.Key, ref.Bytes), ref.Bytes)
	if err != nil {
		return 0, fmt.Errorf("open segment %s: %w", ref.Key, err)
	}
	if footer := reader.Footer(); !footer.Holds(commit.Segment.RecordRoot, commit.Base, commit.Next) {
		return 0, schema.Errorf(schema.Corrupt, "segment %s does not hold the record root of commit %d", ref.Key, commit.Seq)
	}
	row.Summary = index.NewSummary()
	read := time.Now()
	var count int64
	records := make([]schema.Record, 0, chunk)
	extractions := make([]schema.Extraction, chunk)
	rows := make([]index.Row, 0, chunk)
	flush := func() error {
		rows = rows[:0]
		for i := range records {
			extractions[i].Reset()
			c.rules.Extract(&records[i], &extractions[i])
			row.Summary.Add(&records[i], &extractions[i])
			rows = append(rows, index.Row{Record: &records[i], Extraction: &extractions[i], Version: row.Version})
		}
		count += int64(len(records))
		records = records[:0]
		return c.letters.insert(ctx, c.index, rows, read)
	}
	for r, err := range reader.Rows(ctx, commit.Base, commit.Next) {
		if err != nil {
			return count, fmt.Errorf("read segment %s: %w", ref.Key, err)
		}
		records = append(records, cloned(&r.Record))
		if len(records) == chunk {
			if err := flush(); err != nil {
				return count, err
			}
		}
	}
	if err := flush(); err != nil {
		return count, err
	}
	if count != commit.Records.Rows() {
		return count, schema.Errorf(schema.Corrupt, "segment %s holds %d rows, its commit says %d", ref.Key, count, commit.Records.Rows())
	}
	return count, p.done(ctx, row)
}

// cloned copies a row that the reader lends.
func cloned(r *schema.Record) schema.Record {
	c := *r
	c.Key, c.Value = clone(r.Key), clone(r.Value)
	c.Headers = make([]schema.Header, len(r.Headers))
	for i, h := range r.Headers {
		c.Headers[i] = schema.Header{Name: h.Name, Value: clone(h.Value)}
	}
	return c
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
