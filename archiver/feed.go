package archiver

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// Feed is the index's pace: a fresh record waits at most Every for others to
// share its insert, and not at all once there are Rows. Zero fields take 5,000 rows and 700 ms.
// Of partitions that are read behind their end, records are not fresh: they
// wait for a full batch, feedLate × Every at most. What ClickHouse takes for an
// insert depends on how many parts it makes, more than on its rows.
type Feed struct {
	Rows  int
	Every time.Duration
}

const (
	feedDepth  = 2   // batches under way
	feedBatch  = 2   // × Rows: the largest batch
	feedBehind = 20  // × Rows: so much waiting, and reading pauses
	feedLate   = 6   // × Every: what is not fresh waits no longer
	feedTried  = 100 // rows of a batch to an index that failed
	feedSealed = 3   // × Every: a commit's row waits no longer for others
	feedHurry  = 4   // Every ÷: nor, when somebody waits for it, longer than that
	feedShare  = 0.5 // of the budget, from where on nothing waits: only what was handed over is cut
)

// feed brings decided records into the index while they are still buffered,
// and a segment's row once its commit is in the ledger: always after the
// records that were handed over before it, and later than these may be, since
// commits' rows wait for one another. What could not be inserted is left to the
// catch-up, so an index that is away holds nobody up.
type feed struct {
	pace    Feed
	kept    parsedRoom
	index   Index
	rules   Rules
	letters *letters
	catchup *catchup
	metrics *metrics
	log     *slog.Logger
	tracer  *telemetry.Tracer
	// unreadable is told of frames that could not be read.
	unreadable func(held heldFrame, err error)
	// readable is told when all frames of a batch were; nil: nobody is.
	readable func()
	// local and remote note a step that may never return; nil: nobody looks.
	local, remote func(from dependency, what string) (end func())

	queue chan item
	slots chan struct{}
	hurry chan struct{} // somebody waits for the commits' rows

	packed []byte // what is kept, before its size is known; extract's own

	mu       sync.Mutex
	progress map[schema.StreamKey]inserted // of each stream
	waiting  int                           // rows decided, not handed over
	oldest   time.Time                     // since when some wait; zero: none do
	fresh    time.Time                     // since when fresh ones do
	pending  int                           // items in the queue or in hand
	failed   error
	lost     bool // rows were not inserted, and wait to be handed over again
	retryAt  time.Time
	pauses   retry.Pauses // of failed
}

// span is a range of offsets, to exclusive.
type span struct{ from, to int64 }

// inserted is what of a branch is in the index without a hole.
type inserted struct {
	span
	branch int32
}

// extractions are a batch's rows. There are as many of these as batches under
// way, and they are used again: their slices were most of the feed's garbage.
type extractions struct {
	rows []index.Row
	list []schema.Extraction
}

func (e *extractions) grow(n int) {
	e.rows = e.rows[:0]
	e.list = slices.Grow(e.list[:0], n)[:n]
}

// empty lets go of all texts and keeps the slices that hold them.
func (e *extractions) empty() {
	clear(e.rows)
	for i := range e.list {
		x := &e.list[i]
		clear(x.Causes)
		clear(x.Errors)
		clear(x.Identifiers)
		x.Reset()
		if cap(x.Causes)+cap(x.Errors)+cap(x.Identifiers) > keptTexts {
			*x = schema.Extraction{}
		}
	}
}

// keptTexts bounds what one row's extraction keeps for the next.
const keptTexts = 256

// item is a batch of fresh rows, or commits' rows.
type item struct {
	into    *extractions
	records []*schema.Record
	frames  []heldFrame // rows that are in the spool
	spans   []streamSpan
	lost    map[schema.StreamKey]bool // streams of which a frame could not be read
	commits []sealedRow
}

// fresh tells that it is a batch of rows.
func (i *item) fresh() bool { return i.commits == nil }

// heldFrame is a frame that is held until its rows were read.
type heldFrame struct {
	*frame
	stream schema.Stream
}

// sealedRow is a commit's row.
type sealedRow struct {
	row     index.SegmentRow
	rowsEnd int64 // behind the segment's last row
	trace   telemetry.Place
}

type streamSpan struct {
	stream schema.Stream
	span
	branch int32
	parsed *parsed // of those of the span's rows that are in memory; filled when they are read; nil: none are
}

func newFeed(pace Feed, x Index, rules Rules, ls *letters, c *catchup, m *metrics, log *slog.Logger) *feed {
	if pace.Rows == 0 {
		pace.Rows = 5000
	}
	if pace.Every == 0 {
		pace.Every = 700 * time.Millisecond
	}
	return &feed{
		pace: pace, kept: newParsedRoom(0), index: x, rules: rules, letters: ls, catchup: c, metrics: m, log: log,
		queue: make(chan item, 4096), slots: make(chan struct{}, feedDepth), hurry: make(chan struct{}, 1), progress: map[schema.StreamKey]inserted{},
		pauses: retry.Between(500*time.Millisecond, 15*time.Second),
	}
}

// feedFresh hands decided rows over, when enough are waiting or the oldest has
// waited long enough. It needs the Archiver's mutex and does not wait.
func (a *Archiver) feedFresh(now time.Time) {
	f := a.feed
	if f.again(now) {
		for _, p := range a.partitions {
			p.fed, p.parsed = 0, nil
		}
	}
	var w waiting
	for _, p := range a.partitions {
		if p.guard == passed && p.decided > p.fed {
			w.rows += p.decided - p.fed
			w.fresh = w.fresh || p.expected >= p.highWatermark
			w.pressing = w.pressing || !a.more && a.cutAt.due(p, p.decided, now) != "" // a cut takes what was handed over
		}
	}
	w.pressing = w.pressing || a.held > int64(feedShare*float64(a.options.Memory))
	if !f.ready(w, now) {
		return
	}
	skip := f.away(now)
	batch := feeding{room: f.most(), bytes: feedSpooled}
	for _, p := range a.partitions {
		if p.fed == p.decided || p.guard != passed {
			continue
		}
		if skip {
			p.fed = p.decided
			p.shown = max(p.shown, p.fedTo())
			continue
		}
		if batch.room <= 0 {
			break
		}
		batch.take(p)
	}
	if skip {
		f.skipped()
		return
	}
	if len(batch.next.spans) > 0 {
		f.submit(batch.next)
	}
}

// feedSpooled is how much a batch may hold of rows that are read from the spool.
const feedSpooled = 8 << 20

// feeding is a batch in the making.
type feeding struct {
	next  item
	room  int   // rows
	bytes int64 // of spooled ones
}

// take hands decided rows of a buffer over, frames whole.
func (b *feeding) take(p *partition) {
	from, was := p.fedTo(), p.fed
	var read *parsed
	for p.fed < min(p.inFrames, p.decided) && b.room > 0 && b.bytes > 0 {
		f := p.frames[p.frameAt(p.fed)]
		f.Hold()
		b.next.frames = append(b.next.frames, heldFrame{f, p.stream})
		p.fed += f.Rows
		b.room -= f.Rows
		b.bytes -= f.cost
	}
	if p.fed >= p.inFrames && p.fed < p.decided && b.room > 0 {
		to := min(p.decided, p.fed+b.room)
		b.room -= to - p.fed
		read = &parsed{from: p.first + int64(p.fed), to: p.first + int64(to)}
		for ; p.fed < to; p.fed++ {
			b.next.records = append(b.next.records, p.row(p.fed))
		}
		p.parsed = append(p.parsed, read)
	}
	if p.fed == was {
		return
	}
	p.shown = max(p.shown, p.fedTo())
	b.next.spans = append(b.next.spans, streamSpan{p.stream, span{from, p.fedTo()}, p.branch(), read})
}

// fedTo is the offset up to which the index was given what there is.
func (p *partition) fedTo() int64 {
	if p.fed == 0 {
		return p.head.Next
	}
	return p.offsetBehind(p.fed)
}

// waiting is what was not handed over yet.
type waiting struct {
	rows     int
	fresh    bool // some are of partitions that were read to their end
	pressing bool // the budget is short, or a cut is due
}

// ready tells whether a batch should be made now.
func (f *feed) ready(w waiting, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = w.rows
	if w.rows == 0 {
		f.oldest, f.fresh = time.Time{}, time.Time{}
		return false
	}
	if f.oldest.IsZero() {
		f.oldest = now
	}
	full := f.pace.Rows
	switch {
	case !w.fresh:
		f.fresh = time.Time{}
		full *= feedBatch
	case f.fresh.IsZero():
		f.fresh = now
	}
	late := now.Sub(f.oldest) >= feedLate*f.pace.Every || w.fresh && now.Sub(f.fresh) >= f.pace.Every
	if w.rows < full && !late && !w.pressing || len(f.slots) == cap(f.slots) {
		return false
	}
	f.oldest, f.fresh = time.Time{}, time.Time{}
	return true
}

// skipped notes that rows were not handed over.
func (f *feed) skipped() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = true
}

// again tells whether everything that is still buffered should be handed over
// once more: the index failed some of it, and it is time to try. Without this,
// rows of a quiet topic would stay unfound until their segment is sealed.
func (f *feed) again(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lost || f.failed != nil && now.Before(f.retryAt) {
		return false
	}
	f.lost = false
	return true
}

// behind tells whether so much waits for a healthy index that reading on would
// be in vain.
func (f *feed) behind() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting > feedBehind*f.pace.Rows && f.failed == nil
}

// most is how many rows go into a batch. One to an index that failed is a
// question: what is read and encoded for it is likely in vain.
func (f *feed) most() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return feedTried
	}
	return feedBatch * f.pace.Rows
}

// away tells whether the index failed lately, so that nothing is sent.
func (f *feed) away(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed != nil && now.Before(f.retryAt)
}

func (f *feed) trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// idle tells whether nothing is left to be inserted. Who asks waits for that,
// so commits' rows do not wait for others any more.
func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending == 0 {
		return true
	}
	select {
	case f.hurry <- struct{}{}:
	default: // somebody else does, too
	}
	return false
}

// submit queues an item. A fresh batch takes a slot, which ready has seen free.
func (f *feed) submit(next item) {
	if next.fresh() {
		f.slots <- struct{}{}
	}
	f.mu.Lock()
	f.pending++
	f.mu.Unlock()
	select {
	case f.queue <- next:
	default: // full of segment rows: what was not inserted is found by comparing
		if next.fresh() {
			<-f.slots
		}
		for _, held := range next.frames {
			held.Drop()
		}
		f.done(1)
		for _, s := range next.spans {
			f.catchup.compare(s.stream)
		}
	}
}

// sealed queues a commit's row. When the queue is full the catch-up finds the
// commit in the ledger instead.
func (f *feed) sealed(row index.SegmentRow, rowsEnd int64, trace telemetry.Place) {
	f.mu.Lock()
	f.pending++
	f.mu.Unlock()
	select {
	case f.queue <- item{commits: []sealedRow{{row, rowsEnd, trace}}}:
	default:
		f.done(1)
		f.catchup.compare(row.Stream)
	}
}

// done counts that so many items are no longer pending.
func (f *feed) done(n int) {
	f.mu.Lock()
	f.pending -= n
	f.mu.Unlock()
}

// restart forgets what was inserted of a stream whose buffer was dropped.
func (f *feed) restart(s schema.Stream, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress[s.Key()] = inserted{span: span{at, at}}
}

func (f *feed) run(ctx context.Context) error {
	extracted := make(chan item, 1)
	free := make(chan *extractions, feedDepth)
	for range feedDepth {
		free <- new(extractions)
	}
	go func() {
		defer close(extracted)
		var gathered gathering
		for {
			next, ok := f.next(ctx, &gathered)
			if !ok {
				return
			}
			if next.fresh() {
				select {
				case next.into = <-free:
				case <-ctx.Done():
					return
				}
				f.extract(&next)
			}
			select {
			case extracted <- next:
			case <-ctx.Done():
				return
			}
		}
	}()
	for next := range extracted {
		if !next.fresh() {
			f.insertSegments(ctx, next.commits)
		} else {
			f.insertFresh(ctx, next)
			next.into.empty()
			free <- next.into
			<-f.slots
		}
		f.done(max(1, len(next.commits)))
	}
	return nil
}

// at notes a step that may never return.
func (f *feed) at(kind func(dependency, string) func(), from dependency, what string) (end func()) {
	if kind == nil {
		return func() {}
	}
	return kind(from, what)
}

func (f *feed) extract(next *item) {
	f.load(next)
	defer f.at(f.local, "", "reading contract fields for the index")()
	next.into.grow(len(next.records))
	for i, record := range next.records {
		x := &next.into.list[i]
		f.rules.Extract(record, x)
		next.into.rows = append(next.into.rows, index.Row{Record: record, Extraction: x})
	}
	from := int64(0) // those in memory come first, as their spans do
	for _, s := range next.spans {
		if s.parsed == nil {
			continue
		}
		to := from + s.parsed.to - s.parsed.from
		f.packed = f.kept.fill(s.parsed, next.into.list[from:to], f.packed)
		from = to
	}
}

// load reads the rows that are in the spool. What cannot be read is left out.
func (f *feed) load(next *item) {
	if len(next.frames) == 0 {
		return
	}
	defer f.at(f.local, onSpool, "reading from the spool's disk for the index")()
	for _, held := range next.frames {
		var reader spool.Reader // its memory is the rows', until they are inserted
		rows, err := held.read(&reader)
		if err != nil {
			if next.lost == nil {
				next.lost = map[schema.StreamKey]bool{}
			}
			next.lost[held.stream.Key()] = true
			f.unreadable(held, err)
		}
		f.metrics.spoolRead.WithLabelValues("index").Add(float64(held.Bytes()))
		for i := range rows {
			next.records = append(next.records, &rows[i])
		}
		held.Drop()
	}
	if len(next.lost) == 0 && f.readable != nil {
		f.readable()
	}
}

func (f *feed) insertFresh(ctx context.Context, next item) {
	started := time.Now()
	defer f.at(f.remote, onIndex, "inserting fresh records into the index")()
	err := f.tracer.Do(ctx, "index fresh records", func(ctx context.Context) error {
		return f.letters.insert(ctx, f.index, next.into.rows, started)
	})
	f.outcome(ctx, err)
	f.metrics.indexed(len(next.into.rows), time.Since(started), err)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range next.spans {
		key := s.stream.Key()
		have := f.progress[key]
		switch {
		case err != nil || next.lost[key]:
			f.progress[key] = inserted{span{s.to, s.to}, s.branch}
		case have.branch == s.branch && have.to == s.from && have.to > have.from:
			f.progress[key] = inserted{span{have.from, s.to}, s.branch}
		default:
			f.progress[key] = inserted{s.span, s.branch}
		}
	}
}

func (f *feed) outcome(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil && f.failed != nil:
		f.log.InfoContext(ctx, "recovered", "with", "index")
		f.failed = nil
		f.pauses.Reset()
	case err != nil:
		if f.failed == nil {
			f.log.ErrorContext(ctx, "index does not take records; archiving goes on, search is behind", "err", err)
		}
		f.failed, f.lost = err, true
		f.retryAt = time.Now().Add(f.pauses.Next())
	}
}
