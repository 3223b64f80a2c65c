package archiver

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// Store is where segments go. objstore.Store is one.
type Store interface {
	// Preflight tries, once at the start, whether the conditional writes can be
	// relied on. objstore.ErrNotAtomic says no, and ends the archiver; after any
	// other error it asks again, for as long as it takes.
	Preflight(ctx context.Context) error
	// Put writes body, whatever was under key. After nil it is durable and seen
	// by every reader. The store repeats what passes a bounded number of times;
	// after Unavailable, Permission or objstore.ErrFull the archiver sends the
	// same bytes again, for as long as it takes. Concurrent calls are fine.
	Put(ctx context.Context, key string, body []byte) (objstore.Object, error)
	// PutIfAbsent is sent once: Conflict when something is under key,
	// Unavailable when that is not known.
	PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error)
	Segments
	Rewrites
}

// Ledger is where a segment becomes archived. ledger.Ledger is one.
type Ledger interface {
	// Head is the newest commit of a stream, or an older one: an append to that
	// is lost, never wrong. NotFound without a chain; Corrupt stops the
	// partition; what passes the archiver retries.
	Head(ctx context.Context, s schema.Stream) (ledger.Head, error)
	// Append puts c behind head: after nil it is durable and archived. Conflict
	// is a *ledger.LostError: c will never be in the chain. Unavailable with
	// ledger.ErrUncertain: it may be, so only the same c is sent again. Any
	// number of processes may append to a stream; one of them wins.
	Append(ctx context.Context, head ledger.Head, c *schema.Commit) (ledger.Head, error)
	// PlaceGaps sets c's gaps and writes a list that is too long for it beside
	// it, durably, before it is named. It may be repeated.
	PlaceGaps(ctx context.Context, c *schema.Commit, gaps []schema.Gap) error
	// WriteRollup repeats a full thousand of commits in one object; Invalid if it
	// is not full. Readers do without one that is missing, so nobody retries.
	WriteRollup(ctx context.Context, s schema.Stream, thousand int64) error
	// Topics are the IDs of those of a cluster that have chains, and StreamsOf one
	// topic's streams.
	Topics(ctx context.Context, cluster string) iter.Seq2[schema.TopicID, error]
	StreamsOf(ctx context.Context, cluster string, id schema.TopicID) iter.Seq2[schema.Stream, error]
	// Others are those of some topic IDs that belong to another cluster, by which
	// one began to be archived first.
	Others(ctx context.Context, cluster string, ids map[schema.TopicID]bool) (map[schema.TopicID]string, error)
	// HasStreams tells whether anything of a cluster is archived.
	HasStreams(ctx context.Context, cluster string) (bool, error)
	Tail(ctx context.Context, s schema.Stream, head ledger.Head) ([]ledger.Segment, error)
	Epochs(ctx context.Context, s schema.Stream) ([]schema.LeaderEpoch, error)
	Deciders(ctx context.Context, s schema.Stream) ([]ledger.Boundary, error)
	Chains
}

// Index is where records are found. index.Index is one. It may lose everything
// without a loss to the archive: after Unavailable or Exhausted the feed hands
// rows over again, and the catch-up reads them from S3. Both inserts are
// idempotent, and may be called from many goroutines.
type Index interface {
	// InsertRecords makes rows findable. An error may leave some of them in.
	InsertRecords(ctx context.Context, rows []index.Row, archivedAt time.Time) error
	// InsertSegments makes the rows of commits count as sealed; it is called
	// when the ledger has the commits and the index all of their rows. An error
	// may leave some of them in.
	InsertSegments(ctx context.Context, rows []index.SegmentRow) error
	// FirstMissing is the lowest seq whose commit is not in the index under this
	// version of the rules; everything below is complete.
	FirstMissing(ctx context.Context, s schema.Stream, extractVersion int32) (int64, error)
	// Named is what the index has of a stream's segment commits, from a seq on.
	Named(ctx context.Context, s schema.Stream, from int64) (map[int64]index.Range, error)
	// Summarised is which commits of a stream have summaries, named or not, from a
	// seq on.
	Summarised(ctx context.Context, s schema.Stream, from int64) (map[int64]bool, error)
	// Claim takes a version under which a run reads a stream again, and nobody
	// else does.
	Claim(ctx context.Context, s schema.Stream, run string) (index.Version, error)
	// Forget has rows of earlier versions than their range names deleted. They do
	// not count anyhow.
	Forget(ctx context.Context, ranges []index.Range) error
}

// Rules read contract fields from a record. extract.Rules are some.
type Rules interface {
	// Extract fills into, which the caller has reset, and never fails: what is
	// malformed is among its errors. It keeps nothing of record, and may be
	// called from many goroutines.
	Extract(record *schema.Record, into *schema.Extraction)
}

// Archiver tails topics into the archive. See the package comment.
type Archiver struct {
	options Options
	cutAt   Cut
	store   Store
	ledger  Ledger
	rules   Rules
	admin   *kafka.Admin
	log     *slog.Logger
	metrics *metrics
	feed    *feed
	catchup *catchup
	topics  *topics
	gone    *gone
	letters *letters
	upkeep  upkeep

	mu         sync.Mutex
	changed    *sync.Cond // on mu: heads, verdicts or health changed
	consumer   *kafka.Consumer
	partitions map[kafka.TopicPartition]*partition
	departing  map[schema.StreamKey]*partition // of topics that are gone: what is left is sealed
	held       int64                           // bytes of all buffers, and of what was skimmed
	boundsAt   time.Time                       // bounds are not asked for before
	boundsWait retry.Pauses                    // while they are not answered
	unbounded  int                             // how often they were not, in a row
	leavesBy   time.Time                       // who stops waits no longer for what is to be sealed; zero: it does not stop
	heldBack   bool                            // a poll was held back since the last look for silence
	outsider   time.Time                       // that this process is no member of its group; zero: it is one
	troubles   map[cause]string
	jobs       chan *job
	encoders   chan *encoder
	bodies     chan *bytes.Buffer // of encoded segments, kept for the next
	rollups    sync.WaitGroup
	rolling    context.Context // of the rollups
	guards     sync.WaitGroup
	asking     int  // guards that run
	examining  int  // examinations that run
	large      bool // one of them is of what is too large to be archived
	left       map[schema.StreamKey]leftover
	past       map[string]tally // of partitions that are no longer ours, by topic; "": of all other topics
	backlog    []*job           // cuts that no sealer has taken yet
	more       bool             // buffers are due that did not find room in it
	spool      spooling
	pulse      pulse
	steps      steps
}

// How many segments are encoded at once, which takes CPU and memory, and how
// many are on their way to the store or the ledger, which takes time: two PUTs
// one after the other for each. With a thousand partitions, segments are small
// and that time is most of it.
const (
	encoders = 2
	sealers  = 16
)

// mostWriter bounds the writer's name, as a host's is: a commit has room for its
// gaps and leader epochs beside it.
const mostWriter = 255

// New checks the options. Nothing runs until Run.
func New(options Options, store Store, book Ledger, x Index, rules Rules) (*Archiver, error) {
	if options.Tail.Group == "" || options.Writer == "" {
		return nil, schema.Errorf(schema.Invalid, "an archiver needs a consumer group and a writer name")
	}
	if len(options.Writer) > mostWriter {
		return nil, schema.Errorf(schema.Invalid, "a writer name of %d bytes: it stands in every commit, and has at most %d", len(options.Writer), mostWriter)
	}
	if options.Memory == 0 {
		options.Memory = 80 << 20
	}
	if options.Discovery == 0 {
		options.Discovery = 10 * time.Second
	}
	if options.StaleLeader == 0 {
		options.StaleLeader = 30 * time.Second
	}
	if options.EndAfter == 0 {
		options.EndAfter = time.Minute
	}
	if options.Silence == 0 {
		options.Silence = 30 * time.Second
	}
	if options.Outside == 0 {
		options.Outside = 90 * time.Second
	}
	if options.StillAfter == 0 {
		options.StillAfter = StillAfter
	}
	if options.Poll == 0 {
		options.Poll = 200 * time.Millisecond
	}
	admin, err := kafka.NewAdmin(options.Kafka)
	if err != nil {
		return nil, err
	}
	a := &Archiver{
		options: options, cutAt: options.Cut.orDefault(), upkeep: upkeep{compact: options.Compact.orDefault(), collect: options.Collect.orDefault()}, store: store, ledger: book, rules: rules, admin: admin,
		log:        options.Logger.With("component", "archiver"),
		partitions: map[kafka.TopicPartition]*partition{}, departing: map[schema.StreamKey]*partition{}, troubles: map[cause]string{}, left: map[schema.StreamKey]leftover{},
		past: map[string]tally{},
		jobs: make(chan *job), encoders: make(chan *encoder, encoders), bodies: make(chan *bytes.Buffer, encoders),
	}
	for range encoders {
		a.encoders <- new(encoder)
	}
	a.spool.work, a.spool.pauses = make(chan []*spill, 1), retry.Between(time.Second, time.Minute)
	a.spool.distrust = retry.Between(distrustFirst, distrustMost)
	a.boundsWait = retry.Between(askEvery, 15*time.Second)
	a.changed = sync.NewCond(&a.mu)
	a.letters = newLetters(a.log)
	a.letters.store, a.letters.writer, a.letters.build = store, options.Writer, options.Build
	a.letters.cluster = func() string { return a.topics.cluster }
	a.letters.trouble = func(err error) { a.lettersHeldUp(err) }
	rules = careful{rules, a.letters}
	a.rules = rules
	a.metrics = newMetrics()
	a.catchup = newCatchup(store, book, x, rules, a.letters, a.log)
	a.catchup.recheck = options.Recheck
	a.feed = newFeed(options.Feed, x, rules, a.letters, a.catchup, a.metrics, a.log)
	a.feed.tracer, a.feed.kept, a.feed.unreadable = options.Tracer, newParsedRoom(options.Memory), a.frameLost
	a.feed.local, a.feed.remote, a.feed.readable = a.local, a.remote, a.framesRead
	a.catchup.inserted = func() { a.feed.outcome(context.Background(), nil) } // without new records the feed would not notice
	a.topics = newTopics(a)
	a.gone = newGone(a)
	if options.Registerer != nil {
		a.metrics.register(a, options.Registerer)
	}
	return a, nil
}

// Run archives until ctx ends, then finishes the segments under way and
// leaves. It retries what can pass and says so in Health; an error means that
// it cannot go on.
func (a *Archiver) Run(ctx context.Context) error {
	defer a.admin.Close()
	if err := a.tryStore(ctx); err != nil {
		return err
	}
	if err := a.topics.connect(ctx); err != nil {
		return err
	}
	if a.options.Spool.Bytes > 0 {
		if err := a.openSpool(); err != nil {
			return err
		}
		defer a.closeSpool()
	}
	if a.options.LetterTopic != "" {
		sender, err := kafka.NewSender(a.options.Kafka, a.options.LetterTopic)
		if err != nil {
			return err
		}
		defer sender.Close()
		a.letters.topic, a.letters.send = a.options.LetterTopic, sender.Send
	}
	consumer, err := kafka.NewConsumer(a.options.Kafka, a.options.Tail, assignments{a})
	if err != nil {
		return err
	}
	a.consumer = consumer

	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	rolling, stopRollups := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRollups()
	a.rolling = rolling
	var work errgroup.Group
	work.Go(func() error { a.dispatch(working); return nil })
	for range sealers {
		work.Go(func() error { a.sealer(working); return nil })
	}
	if a.options.Spool.Bytes > 0 {
		work.Go(func() error { a.spiller(working); return nil })
	}
	work.Go(func() error { return a.feed.run(working) })
	work.Go(func() error { return a.catchup.run(working) })
	work.Go(func() error { a.letters.run(working); return nil })
	group, tailing := errgroup.WithContext(ctx)
	group.Go(func() error { return a.topics.watch(tailing) })
	group.Go(func() error { return a.tail(tailing) })
	group.Go(func() error { a.advise(tailing); return nil })
	group.Go(func() error { a.listen(tailing); return nil })
	group.Go(func() error { a.keepUp(tailing); return nil })
	group.Go(func() error { a.gone.run(tailing); return nil })
	err = group.Wait()

	a.guards.Wait()
	a.finish()
	consumer.Close()
	stopWork()
	if workErr := work.Wait(); err == nil {
		err = workErr
	}
	a.abandonDeparting()
	time.AfterFunc(time.Until(a.sealBy()), stopRollups)
	a.rollups.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// sealBy is until when what is taken from this process may still be sealed: for as
// long as the group waits, and where it stops, no longer than that in all.
func (a *Archiver) sealBy() time.Time {
	by := time.Now().Add(a.options.Tail.RevokedWithin())
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.leavesBy.IsZero() && a.leavesBy.Before(by) {
		return a.leavesBy
	}
	return by
}

// finish waits, for a bounded time, until the segments under way are
// committed. The other half of the time is for what is cut when the group takes the
// partitions. What is still buffered is read again by whoever comes next; but not what
// is of topics that are gone, which may have all of the time.
func (a *Archiver) finish() {
	within := a.options.Tail.RevokedWithin()
	began := time.Now()
	half, all := began.Add(within/2), began.Add(within)
	a.mu.Lock()
	a.leavesBy = all
	a.mu.Unlock()
	departs := false
	for now := time.Now(); now.Before(half) || departs && now.Before(all); now = time.Now() {
		a.mu.Lock()
		a.sealDeparting(now)
		departs = len(a.departing) > 0
		busy := len(a.backlog) > 0 || departs
		for _, p := range a.partitions {
			busy = busy || p.sealing
		}
		a.mu.Unlock()
		if !busy && a.feed.idle() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	a.log.Warn("stopped with segments under way", "waited", time.Since(began).Round(time.Millisecond).String(),
		"consequence", "they are read from Kafka again at the next start")
}

// pollRecords is what a poll may take beyond the budget.
const pollRecords = 5_000

// tail is the loop. Between a poll that brought something and Allow no
// rebalance happens, so positions change only here and in assignments.
func (a *Archiver) tail(ctx context.Context) error {
	pauses := retry.Between(250*time.Millisecond, 2*time.Second) // cuts and ages are looked at in between
	defer a.pulse.at.Store(0)
	for ctx.Err() == nil {
		a.pulse.beat()
		a.waitForRoom(ctx)
		waiting, cancel := context.WithTimeout(ctx, a.options.Poll)
		batches, err := a.consumer.Poll(waiting, pollRecords)
		cancel()
		batches = a.vouched(ctx, batches)
		a.mu.Lock()
		if err == nil {
			a.clear(cause{from: onKafka, what: "poll"})
		} else if ctx.Err() == nil {
			a.trouble(cause{from: onKafka, what: "poll"}, err)
		}
		now := time.Now()
		a.belong(now)
		for i := range batches {
			a.takeIn(&batches[i], now)
		}
		a.feedFresh(now)
		a.cutDue(now)
		a.sealDeparting(now)
		a.askGuards(ctx, now)
		a.examine(ctx, now)
		a.reopen(ctx, now)
		a.changed.Broadcast()
		a.mu.Unlock()
		a.askBounds(ctx)
		a.reposition()
		a.consumer.Allow()
		if err != nil {
			pause(ctx, pauses.Next())
		} else {
			pauses.Reset()
		}
	}
	return nil
}

// waitForRoom holds the poll back while the budget is used up, and while the
// index is well but behind: reading on would only make it read from S3 later.
func (a *Archiver) waitForRoom(ctx context.Context) {
	for ctx.Err() == nil {
		a.mu.Lock()
		full := a.held >= a.options.Memory
		a.mu.Unlock()
		if !full && !a.feed.behind() {
			return
		}
		a.metrics.held(full)
		a.pulse.beat()
		pause(ctx, 5*time.Millisecond)
		a.mu.Lock()
		a.heldBack = true
		a.feedFresh(time.Now())
		a.cutDue(time.Now())
		a.askGuards(ctx, time.Now())
		a.examine(ctx, time.Now())
		a.mu.Unlock()
	}
}

// takeIn adds one fetch's part of a partition to its buffer.
func (a *Archiver) takeIn(b *kafka.Batch, now time.Time) {
	p := a.partitions[b.TopicPartition]
	if p != nil && errors.Is(b.Err, kafka.ErrTruncated) {
		a.doubt(p, b.Err.Error()) // said once, whatever else goes on
	}
	if p == nil || p.stopped != "" || p.aside || p.seek || p.suspect != nil || p.guard != passed {
		return // a batch from before a seek would look like a jump
	}
	if !b.TopicID.IsZero() && b.TopicID != p.stream.TopicID {
		a.topics.look() // recreated: discovery will purge and add it
		return
	}
	switch {
	case len(b.Records) == 0:
	case p.skim != nil:
		a.clear(causeOfReading(b.TopicPartition))
		a.skimmed(p, b)
	case p.stoodStill(now):
		a.reread(p, now)
		return
	default:
		a.clear(causeOfReading(b.TopicPartition))
		n, why := p.trusted(b.Records)
		rest := b.Records[n:]
		b.Records = b.Records[:n]
		large, whyLarge := tooLarge(b.Records)
		if large >= 0 {
			at := b.Records[large].Offset
			b.Records, rest, b.Err = b.Records[:large], nil, nil
			defer a.suspect(p, suspicion{at: at, err: whyLarge, large: true, next: at + 1})
		}
		a.held += p.take(b, now)
		p.tally.took(b, a.metrics.took(b))
		if len(rest) > 0 {
			a.doubt(p, why)
			return
		}
	}
	if b.Err != nil {
		a.fetchFailed(p, b)
	}
}

// counted makes a change to what a partition takes of the budget, and counts it.
// Needs mu.
func (a *Archiver) counted(p *partition, change func()) {
	held := p.memory()
	change()
	a.held += p.memory() - held
}

// reposition performs the pauses, resumptions and seeks that became necessary.
// The client ends a seek when no fetch of before it is under way any more, which
// can be as long as a broker takes to answer: the mutex is not held meanwhile.
func (a *Archiver) reposition() {
	var pauses, resumptions []kafka.TopicPartition
	seeks, sought := map[kafka.TopicPartition]kafka.Start{}, map[kafka.TopicPartition]*partition{}
	a.mu.Lock()
	for key, p := range a.partitions {
		if p.pause {
			pauses = append(pauses, key)
			p.pause = false
		}
		if p.resume {
			resumptions = append(resumptions, key)
			p.resume = false
		}
		if p.seek && p.stopped == "" && !p.aside && p.suspect == nil && p.guard == passed {
			seeks[key], sought[key] = kafka.Start{Offset: p.position(), LeaderEpoch: -1}, p
			p.seek = false // who wants another position from here on is heard in the next round
		}
	}
	a.mu.Unlock()
	a.consumer.Pause(pauses...)
	a.consumer.Resume(resumptions...)
	unread := a.consumer.Seek(seeks)
	if len(unread) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range unread { // again, when the client reads it
		if p := sought[key]; a.partitions[key] == p {
			p.seek = true
		}
	}
}

// wakeAt wakes everybody who waits for changed when ctx ends. It takes the
// mutex, or a wake-up between a check and its Wait would be lost.
func (a *Archiver) wakeAt(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.changed.Broadcast()
	})
}

// pause sleeps; whoever calls it looks at ctx next.
func pause(ctx context.Context, d time.Duration) { _ = retry.Sleep(ctx, d) }
