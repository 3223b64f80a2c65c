package custody

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Indexed is the index as a verification reads it. *index.Index is one.
type Indexed interface {
	Named(ctx context.Context, s schema.Stream, from int64) (map[int64]index.Range, error)
	Entries(ctx context.Context, table string, spans []index.Span, take func(index.Entry)) error
	CountIn(ctx context.Context, table string, spans []index.Span) ([]int64, error)
	Held(ctx context.Context, table string) ([]index.Held, error)
	Summed(ctx context.Context, s schema.Stream) (map[int64]int64, error)
	Kept(ctx context.Context, now time.Time) (since int64, err error)
}

// Book is the ledger as a verification of the index reads it. *ledger.Ledger is one.
type Book interface {
	Folders(ctx context.Context) iter.Seq2[schema.Stream, error]
	Commits(ctx context.Context, s schema.Stream, fromSeq int64) iter.Seq2[ledger.Entry, error]
	View(ctx context.Context, s schema.Stream, known *ledger.View) (*ledger.View, error)
}

// IndexOptions say how an index is verified.
type IndexOptions struct {
	// Topics tells which topics; nil: all, and that the index has no others.
	Topics func(name string) bool
	// Again is how long after a first look what differed is looked at again: what an
	// archiver seals meanwhile is in the ledger a moment before it is in the index.
	Again time.Duration
	// Now is the moment by which rows have expired; zero: the clock's.
	Now time.Time
	// Progress, if set, is called after each partition, from one goroutine at a time.
	Progress func(IndexProgress)
}

// IndexProgress is how far the verification of an index is.
type IndexProgress struct {
	Streams, Chains int
	Records         int64 // compared
}

// maxCompared is about how many records of a partition are held in memory at once.
const maxCompared = 500_000

// VerifyIndex holds an index against the archive that it is made from: each of its
// tables has every sealed record of the archive, once, with the record's time and
// status, under the version that counts, and no other. It reads times and status
// from all segments, and of each partition all that the index has of its topic. An
// error says that the verification was cut short; the report has what was found
// until then.
func VerifyIndex(ctx context.Context, store Ranges, book Book, x Indexed, o IndexOptions) (*IndexReport, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	v := &indexVerifier{
		store: store, book: book, index: x, options: o,
		known:  map[branch]bool{},
		report: IndexReport{Result: OK, Findings: []IndexFinding{}, Unknown: []IndexFinding{}},
	}
	err := v.run(ctx)
	v.report.explain(err)
	return &v.report, err
}

type indexVerifier struct {
	store   Ranges
	book    Book
	index   Indexed
	options IndexOptions
	since   int64 // least record time that the index must have

	mu     sync.Mutex
	known  map[branch]bool
	report IndexReport
	at     IndexProgress
}

// branch is one branch of a partition.
type branch struct {
	topicID   schema.TopicID
	partition int32
	number    int32
}

func (v *indexVerifier) run(ctx context.Context) (err error) {
	if v.since, err = v.index.Kept(ctx, v.options.Now); err != nil {
		return err
	}
	v.report.Since = v.since
	var streams []schema.Stream
	for s, err := range v.book.Folders(ctx) {
		switch {
		case err == nil:
			streams = append(streams, s)
		case schema.KindOf(err) == schema.Corrupt:
			v.report.unknown(s, err)
		default:
			return err
		}
	}
	if streams, err = v.own(ctx, streams); err != nil {
		return err
	}
	v.at.Chains = len(streams)
	doubtful, err := v.each(ctx, streams, false)
	if err != nil {
		return err
	}
	if len(doubtful) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(v.options.Again):
		}
		if _, err := v.each(ctx, doubtful, true); err != nil {
			return err
		}
	}
	if v.options.Topics == nil {
		return v.strangers(ctx)
	}
	return nil
}

// own leaves out, and says, the chains of topic IDs that belong to another cluster:
// the index could not tell their records apart, and has none of them.
func (v *indexVerifier) own(ctx context.Context, streams []schema.Stream) ([]schema.Stream, error) {
	clusters := map[schema.TopicID]string{}
	shared := map[schema.TopicID]bool{}
	for _, s := range streams {
		if c, ok := clusters[s.TopicID]; ok && c != s.Cluster {
			shared[s.TopicID] = true
		}
		clusters[s.TopicID] = s.Cluster
	}
	if len(shared) == 0 {
		return streams, nil
	}
	owners := map[schema.TopicID]*schema.Commit{}
	for _, s := range streams {
		if !shared[s.TopicID] {
			continue
		}
		view, err := v.book.View(ctx, s, nil)
		if damaged(err) {
			continue // it is said when it is compared
		}
		if err != nil {
			return nil, err
		}
		g, o := view.Genesis, owners[s.TopicID]
		if o == nil || ledger.First(g.Cluster, g.Written(), o.Cluster, o.Written()) == g.Cluster {
			owners[s.TopicID] = g
		}
	}
	return slices.DeleteFunc(streams, func(s schema.Stream) bool {
		o := owners[s.TopicID]
		if o == nil || o.Cluster == s.Cluster {
			return false
		}
		s.Topic = o.Topic
		v.report.unknown(s, ledger.TwoClusters(o.Topic, s.TopicID, o.Cluster, s.Cluster))
		return true
	}), nil
}

// each compares streams, and gives those that differ, of which nothing is reported
// unless this is the last look.
func (v *indexVerifier) each(ctx context.Context, streams []schema.Stream, last bool) (doubtful []schema.Stream, err error) {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, s := range streams {
		group.Go(func() error {
			found, err := v.stream(working, s)
			v.mu.Lock()
			defer v.mu.Unlock()
			switch {
			case err != nil && damaged(err):
				v.report.unknown(s, err)
			case err != nil:
				return err
			case found == nil: // of a topic that was not asked for
				v.at.Chains--
				return nil
			case len(found.findings) > 0 && !last:
				doubtful = append(doubtful, s)
				return nil
			default:
				v.report.add(found)
			}
			v.at.Streams++
			if v.at.Records = v.report.Records; v.options.Progress != nil {
				v.options.Progress(v.at)
			}
			return nil
		})
	}
	err = group.Wait()
	return doubtful, err
}

// damaged tells an archive that cannot be read from engines that give no answer.
func damaged(err error) bool {
	kind := schema.KindOf(err)
	return kind == schema.Corrupt || kind == schema.NotFound
}

// strangers are rows of branches that the archive does not have.
func (v *indexVerifier) strangers(ctx context.Context) error {
	for _, table := range index.RecordTables {
		held, err := v.index.Held(ctx, table)
		if err != nil {
			return err
		}
		for _, h := range held {
			if v.known[branch{h.TopicID, h.Partition, h.Branch}] {
				continue
			}
			v.report.find(IndexFinding{
				TopicID: h.TopicID, Partition: h.Partition, Branch: h.Branch, Table: table, Base: h.Base, Next: h.Next, Seq: -1,
				Extra: h.Records, First: h.Base, What: "the archive has no such partition or branch",
			})
		}
	}
	return nil
}

// unit is what one commit sealed.
type unit struct {
	seq        int64
	branch     int32
	base, next int64
	rows       int64
	least      int64 // record time
	version    index.Version
	named      bool
}

// compared is what was found of one stream.
type compared struct {
	commits, records, expired, stale, unsealed int64
	findings                                   []IndexFinding
}

// stream compares one partition; nil if its topic was not asked for.
func (v *indexVerifier) stream(ctx context.Context, s schema.Stream) (*compared, error) {
	view, err := v.book.View(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	s = view.Stream
	v.mu.Lock()
	for _, b := range view.Branches {
		v.known[branch{s.TopicID, s.Partition, b.Number}] = true
	}
	v.mu.Unlock()
	if v.options.Topics != nil && !v.options.Topics(s.Topic) {
		return nil, nil
	}
	units, ends, err := v.units(ctx, s)
	if err != nil {
		return nil, err
	}
	c := &comparison{indexVerifier: v, Stream: s, view: view, units: units}
	if err := c.names(ctx); err != nil {
		return nil, err
	}
	for part := range chunks(units) {
		if err := c.rows(ctx, part); err != nil {
			return nil, err
		}
	}
	return &c.compared, c.behind(ctx, ends)
}

// units gives what a stream's commits sealed, by branch and offset, and where its
// branches end: the last one only if the topic was deleted, else it is left out.
func (v *indexVerifier) units(ctx context.Context, s schema.Stream) (units []unit, ends map[int32]int64, err error) {
	ends = map[int32]int64{}
	for e, err := range v.book.Commits(ctx, s, 0) {
		if err != nil {
			return nil, nil, err
		}
		switch c := e.Commit; c.Kind {
		case schema.KindSegment:
			units = append(units, unit{seq: c.Seq, branch: c.Branch, base: c.Base, next: c.Next, rows: c.Records.Rows(), least: c.Segment.MinTimestamp})
		case schema.KindDivergence:
			ends[c.Branch-1] = c.Divergence.ArchivedNext
		case schema.KindEnd:
			ends[c.Branch] = c.Next
		}
	}
	slices.SortFunc(units, func(a, b unit) int { return cmp.Or(cmp.Compare(a.branch, b.branch), cmp.Compare(a.base, b.base)) })
	return units, ends, nil
}

// chunks are units of one branch each, of about maxCompared records.
func chunks(units []unit) func(func([]unit) bool) {
	return func(yield func([]unit) bool) {
		from, rows := 0, int64(0)
		for i := range units {
			if i > from && (units[i].branch != units[from].branch || rows >= maxCompared) {
				if !yield(units[from:i]) {
					return
				}
				from, rows = i, 0
			}
			rows += units[i].rows
		}
		if from < len(units) {
			yield(units[from:])
		}
	}
}

// comparison is one stream while it is compared.
type comparison struct {
	*indexVerifier
	schema.Stream
	view  *ledger.View
	units []unit
	compared
}

func (c *comparison) find(f IndexFinding) {
	f.Topic, f.TopicID, f.Partition = c.Topic, c.TopicID, c.Partition
	c.findings = append(c.findings, f)
}

// names holds the commits, and what is summed up of each, against the ledger's.
func (c *comparison) names(ctx context.Context) error {
	named, err := c.index.Named(ctx, c.Stream, 0)
	if err != nil {
		return err
	}
	sums, err := c.index.Summed(ctx, c.Stream)
	if err != nil {
		return err
	}
	c.commits = int64(len(c.units))
	for i := range c.units {
		u := &c.units[i]
		f := IndexFinding{Branch: u.branch, Table: "segments", Seq: u.seq, Base: u.base, Next: u.next}
		r, ok := named[u.seq]
		delete(named, u.seq)
		switch {
		case !ok:
			f.What = "the commit is not in the index"
		case r.Branch != u.branch || r.Base != u.base || r.Next != u.next:
			f.What = fmt.Sprintf("the index has it as offsets %d to %d of branch %d", r.Base, r.Next, r.Branch)
		default:
			u.named, u.version = true, r.Version
		}
		if f.What != "" {
			c.find(f)
		}
		if sum := sums[u.seq]; u.named && sum != u.rows && u.least >= c.since {
			f.Table, f.What = "rollups", fmt.Sprintf("they count %d records, the commit has %d", sum, u.rows)
			c.find(f)
		}
	}
	for seq, r := range named {
		if seq <= c.view.Head.Commit.Seq { // what is behind it was committed meanwhile
			c.find(IndexFinding{Branch: r.Branch, Table: "segments", Seq: seq, Base: r.Base, Next: r.Next, What: "the ledger's commit of that number seals nothing"})
		}
	}
	return nil
}

// present is a record as the archive and the index have it.
type present struct {
	offset, timestamp int64
	status            schema.Status
	version           index.Version
}

// rows holds the rows of some commits of one branch against those of each table.
func (c *comparison) rows(ctx context.Context, units []unit) error {
	archived, err := c.archived(ctx, units)
	if err != nil {
		return err
	}
	c.records += int64(len(archived))
	span := index.Span{
		Topic: c.Topic, TopicID: c.TopicID, Partition: c.Partition, Branch: units[0].branch, Base: units[0].base, Next: units[len(units)-1].next,
	}
	for _, table := range index.RecordTables {
		var indexed []present
		err := c.index.Entries(ctx, table, []index.Span{span}, func(e index.Entry) {
			if !index.Expires(e.Timestamp, c.since) {
				indexed = append(indexed, present{e.Offset, e.Timestamp, e.Status, e.Version})
			}
		})
		if err != nil {
			return err
		}
		slices.SortFunc(indexed, func(a, b present) int { return cmp.Compare(a.offset, b.offset) })
		c.hold(table, span, units, archived, indexed)
	}
	return nil
}

// archived reads from the segments what the index must have, by offset.
func (c *comparison) archived(ctx context.Context, units []unit) (list []present, err error) {
	var (
		open   *segment.Reader
		opened string
	)
	for i := range units {
		u := &units[i]
		for at := u.base; at < u.next; {
			s, ok := c.view.Holding(u.branch, at)
			if !ok {
				break // it was purged: the index must have nothing of it
			}
			if opened != s.Ref.Key {
				if open, err = segment.Open(ctx, c.store.ReaderAt(ctx, s.Ref.Key, s.Ref.Bytes), s.Ref.Bytes); err != nil {
					return nil, fmt.Errorf("open segment %s: %w", s.Ref.Key, err)
				}
				opened = s.Ref.Key
			}
			until := min(u.next, s.Next)
			for row, err := range open.Rows(ctx, at, until, segment.Times, segment.Status) {
				if err != nil {
					return nil, fmt.Errorf("read segment %s: %w", s.Ref.Key, err)
				}
				if index.Expires(row.Timestamp, c.since) {
					c.expired++
					continue
				}
				list = append(list, present{row.Offset, row.Timestamp, row.Status, u.version})
			}
			at = until
		}
	}
	return list, nil
}

// hold compares what the archive has of some commits with what a table has; both are
// sorted by offset.
func (c *comparison) hold(table string, span index.Span, units []unit, archived, indexed []present) {
	f := IndexFinding{Branch: span.Branch, Table: table, Seq: -1, Base: span.Base, Next: span.Next, First: -1}
	tell := func(count *int64, offset int64) {
		if *count++; f.First < 0 {
			f.First = offset
		}
	}
	at := 0
	for _, want := range archived {
		for ; at < len(indexed) && indexed[at].offset < want.offset; at++ {
			c.beside(table, &indexed[at], units, func(offset int64) { tell(&f.Extra, offset) })
		}
		found, same := false, true
		for ; at < len(indexed) && indexed[at].offset == want.offset; at++ {
			got := &indexed[at]
			if got.version != want.version {
				c.old(table)
				continue
			}
			found = true
			same = same && got.timestamp == want.timestamp && (got.status == want.status || got.status == 0)
		}
		switch {
		case !found:
			tell(&f.Missing, want.offset)
		case !same:
			tell(&f.Differ, want.offset)
		}
	}
	for ; at < len(indexed); at++ {
		c.beside(table, &indexed[at], units, func(offset int64) { tell(&f.Extra, offset) })
	}
	if f.Missing+f.Extra+f.Differ > 0 {
		c.find(f)
	}
}

// beside judges a row of which the archive has no record: it counts where its version
// is the one that its commit is named by, or where no commit is.
func (c *comparison) beside(table string, e *present, units []unit, extra func(offset int64)) {
	i, ok := slices.BinarySearchFunc(units, e.offset, func(u unit, offset int64) int {
		switch {
		case offset < u.base:
			return 1
		case offset >= u.next:
			return -1
		default:
			return 0
		}
	})
	if ok && units[i].named && units[i].version != e.version {
		c.old(table)
		return
	}
	extra(e.offset)
}

// old counts a row of an earlier version, once for all tables.
func (c *comparison) old(table string) {
	if table == "records" {
		c.stale++
	}
}

// behind looks for rows where no commit of a branch can have any: before its first
// offset, and behind its end. What is behind the newest commit waits to be sealed.
func (c *comparison) behind(ctx context.Context, ends map[int32]int64) error {
	var spans []index.Span
	for _, b := range c.view.Branches {
		s := index.Span{Topic: c.Topic, TopicID: c.TopicID, Partition: c.Partition, Branch: b.Number, Base: math.MinInt64, Next: b.Point}
		if b.Number == 0 {
			s.Next = c.view.Genesis.Next
		}
		spans = append(spans, s)
		s.Base, s.Next = c.view.Head.Next, math.MaxInt64
		if end, ok := ends[b.Number]; ok {
			s.Base = end
		}
		spans = append(spans, s)
	}
	for _, table := range index.RecordTables {
		counts, err := c.index.CountIn(ctx, table, spans)
		if err != nil {
			return err
		}
		for i, n := range counts {
			s := spans[i]
			_, ended := ends[s.Branch]
			switch {
			case n == 0:
			case s.Next == math.MaxInt64 && !ended:
				if table == "records" {
					c.unsealed += n
				}
			default:
				what := "they lie before the first offset of the branch"
				if s.Next == math.MaxInt64 {
					what = "they were never sealed, and never will be"
				}
				c.find(IndexFinding{Branch: s.Branch, Table: table, Seq: -1, Base: s.Base, Next: s.Next, Extra: n, First: -1, What: what})
			}
		}
	}
	return nil
}
