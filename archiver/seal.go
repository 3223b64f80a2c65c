package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// Sealed says what a Seal did.
type Sealed struct {
	Partitions int
	Records    int64
}

// Seal asks for a cut of everything that is held and decided now. With wait it
// returns when all of it is in the ledger, or when ctx ends.
func (a *Archiver) Seal(ctx context.Context, wait bool) (Sealed, error) {
	stop := a.wakeAt(ctx)
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	var asked Sealed
	targets := map[*partition]target{}
	for _, p := range a.partitions {
		if p.cutEnd(p.decided) > p.head.Next { // also what is doubted now
			p.sealTo = p.cutEnd(p.decided)
			targets[p] = target{p.sealTo, p.branch()}
			asked.Partitions++
			asked.Records += int64(p.decided)
		}
	}
	a.cutDue(time.Now())
	for wait && ctx.Err() == nil {
		done, err := a.reached(targets)
		if done || err != nil {
			return asked, err
		}
		a.changed.Wait()
	}
	if wait && ctx.Err() != nil {
		return asked, schema.Errorf(schema.Unavailable, "wait for the seal: %w", ctx.Err())
	}
	return asked, nil
}

// enqueue hands a cut to the sealers. It needs mu and does not wait; there is
// at most one cut a partition, so the backlog is bounded by what is buffered.
func (a *Archiver) enqueue(j *job) {
	a.backlog = append(a.backlog, j)
	a.changed.Broadcast()
}

// dispatch moves the backlog to the sealers.
func (a *Archiver) dispatch(ctx context.Context) {
	stop := a.wakeAt(ctx)
	defer stop()
	for {
		a.mu.Lock()
		for len(a.backlog) == 0 && ctx.Err() == nil {
			a.changed.Wait()
		}
		var next *job
		if len(a.backlog) > 0 {
			next = a.backlog[0]
			a.backlog = a.backlog[1:]
		}
		a.mu.Unlock()
		if next == nil {
			return
		}
		select {
		case a.jobs <- next:
		case <-ctx.Done():
			return
		}
	}
}

func (a *Archiver) sealer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-a.jobs:
			started := time.Now()
			tracing, span := a.traceJob(ctx, j, started)
			head, row, err := a.seal(tracing, j)
			span.End(err)
			if ctx.Err() != nil {
				return
			}
			a.settle(j, head, row, err, time.Since(started))
		}
	}
}

// traceJob begins the span of a segment's way, with what is over of it: reading
// the buffer full, and waiting for a sealer.
func (a *Archiver) traceJob(ctx context.Context, j *job, now time.Time) (context.Context, *telemetry.Span) {
	t := a.options.Tracer
	if t == nil {
		return ctx, nil
	}
	s := j.p.stream
	ctx, span := t.StartAt(ctx, j.since, "archive segment",
		slog.String("topic", s.Topic), slog.Int("partition", int(s.Partition)), slog.String("topic_id", s.TopicID.String()),
		slog.Int64("base", j.base), slog.Int64("next", j.next), slog.Int("records", j.count()), slog.String("reason", j.reason))
	t.Past(ctx, "fetch", j.since, j.cutAt)
	t.Past(ctx, "wait for a sealer", j.cutAt, now)
	j.trace = telemetry.PlaceOf(ctx)
	return ctx, span
}

// seal encodes and stores the segment and commits it (steps 5 to 7 of the
// commit protocol, docs/formats/commit.md). What can pass is retried until it
// passes or ctx ends. It fails with a LostError when the seq is another's and
// the chain no longer stands where the buffer begins; any other error means
// that these rows cannot be sealed by this process.
func (a *Archiver) seal(ctx context.Context, j *job) (ledger.Head, index.SegmentRow, error) {
	a.explain(ctx, j)
	a.mu.Lock()
	head, p := j.p.head, j.p
	c := a.commit(schema.KindGap, p.stream, head)
	c.Base, c.Next, c.DecidedBy = j.base, j.next, j.decidedBy
	hwm, lso, logStart := p.highWatermark, p.lastStable, p.logStart
	c.TopicConfigSHA256 = p.config
	a.mu.Unlock()
	c.HighWatermark, c.LastStableOffset, c.LogStart = known(hwm), known(lso), known(logStart)
	if err := a.patiently(ctx, j, func() error { return a.ledger.PlaceGaps(ctx, c, j.gaps) }); err != nil {
		return head, index.SegmentRow{}, err
	}
	var summary *index.Summary
	if j.count() > 0 {
		summary = index.NewSummary()
		var (
			body    *bytes.Buffer
			written segment.Summary
		)
		err := a.options.Tracer.Do(ctx, "encode", func(ctx context.Context) (err error) {
			body, written, err = a.encode(ctx, j, summary)
			return err
		})
		if err != nil {
			return head, index.SegmentRow{}, err
		}
		defer a.giveBack(body)
		defer a.shipped(j)
		c.Kind, c.Records, c.LeaderEpochs = schema.KindSegment, written.Counts, written.LeaderEpochs
		c.Segment = &schema.SegmentRef{
			ObjectRef: schema.ObjectRef{
				Key: schema.SegmentKey(p.stream, j.base, j.next, written.SHA256), SHA256: written.SHA256, Bytes: written.Bytes,
			},
			RecordRoot: written.RecordRoot, MinTimestamp: written.MinTimestamp, MaxTimestamp: written.MaxTimestamp,
		}
		err = a.options.Tracer.Do(ctx, "put", func(ctx context.Context) error {
			return a.patiently(ctx, j, func() error {
				object, err := a.store.Put(ctx, c.Segment.Key, body.Bytes())
				if err == nil && object.VersionID != "" {
					c.Segment.VersionID = &object.VersionID
				}
				return err
			})
		})
		if err != nil {
			return head, index.SegmentRow{}, err
		}
	}
	if err := a.writeUnread(ctx, j, c); err != nil {
		return head, index.SegmentRow{}, err
	}
	err := a.options.Tracer.Do(ctx, "commit", func(ctx context.Context) (err error) {
		head, err = a.append(ctx, j, head, c)
		return err
	})
	row := index.SegmentOf(c)
	row.Summary = summary
	return head, row, err
}

// append commits. When somebody else took the seq, and only the seq — the
// chain stands where our buffer begins, on the same branch, and has not ended, and
// the log is the one that was read: same topic ID, no later leader epoch — it is tried
// again at the next one, as a new attempt.
func (a *Archiver) append(ctx context.Context, j *job, head ledger.Head, c *schema.Commit) (ledger.Head, error) {
	for {
		var now ledger.Head
		err := a.patiently(ctx, j, func() error {
			var err error
			now, err = a.ledger.Append(ctx, head, c)
			return err
		})
		var lost *ledger.LostError
		if !errors.As(err, &lost) {
			return now, err
		}
		newest, headErr := a.newestHead(ctx, j)
		if headErr != nil {
			return head, headErr
		}
		if newest.Ended || newest.Next != c.Base || newest.Commit.Branch != c.Branch || !a.sameLog(j) {
			return newest, err
		}
		digest := newest.Digest
		head, c.Attempt, c.Seq, c.Previous = newest, uuid.NewString(), newest.Commit.Seq+1, &digest
	}
}

// sameLog tells whether a cut's partition is still ours, of the topic in force,
// and was not doubted since.
func (a *Archiver) sameLog(j *job) bool {
	s := j.p.stream
	id, listed := a.topics.idOf(s.Topic)
	a.mu.Lock()
	defer a.mu.Unlock()
	if departs := a.departing[s.Key()] == j.p; !departs && (!listed || id != s.TopicID) {
		return false // one that departs was read while its topic was in force
	}
	return a.holds(j.p) && j.p.guard == passed && j.p.epoch == j.epoch
}

func (a *Archiver) newestHead(ctx context.Context, j *job) (ledger.Head, error) {
	var head ledger.Head
	err := a.patiently(ctx, j, func() error {
		var err error
		head, err = a.ledger.Head(ctx, j.p.stream)
		return err
	})
	return head, err
}

// patiently repeats what can pass, with growing pauses, and says so in Health. A
// limit of ours does not: the same is too large the next time.
func (a *Archiver) patiently(ctx context.Context, j *job, do func() error) error {
	what := causeOfSealing(j.p)
	for pauses := retry.Between(250*time.Millisecond, 15*time.Second); ; pause(ctx, pauses.Next()) {
		end := a.remote(onStore, "sealing "+j.p.stream.String())
		err := do()
		end()
		kind := schema.KindOf(err)
		passing := err != nil && (kind == schema.Unavailable || kind == schema.Permission || errors.Is(err, objstore.ErrFull))
		if passing && ctx.Err() == nil {
			a.metrics.retries.Inc()
		}
		a.mu.Lock()
		if passing && ctx.Err() == nil {
			j.p.tally.retries++
			a.troubleIn(ctx, what, err)
		} else {
			a.clearIn(ctx, what)
		}
		a.mu.Unlock()
		if !passing || ctx.Err() != nil {
			return err
		}
	}
}

// beyond tells whether a limit of the format, or of ours, was reached, and not one
// of the store. Cuts are made so that none is: see sayable.
func beyond(err error) bool {
	return err != nil && schema.KindOf(err) == schema.Exhausted && !errors.Is(err, objstore.ErrFull)
}

// encoder is what encoding a segment needs, kept between segments: made anew
// for every one, its buffers were a quarter of the archiver's garbage.
type encoder struct {
	writer     *segment.Writer // nil before the first segment
	reader     spool.Reader
	extraction schema.Extraction
}

// keptBody is the largest encoded segment whose buffer is kept for the next.
const keptBody = 32 << 20

// takeBody gives an empty buffer for an encoded segment. How many there are at
// a time follows from the budget: their records count in it until the commit.
func (a *Archiver) takeBody() *bytes.Buffer {
	select {
	case body := <-a.bodies:
		return body
	default:
		return new(bytes.Buffer)
	}
}

func (a *Archiver) giveBack(body *bytes.Buffer) {
	if body.Cap() > keptBody {
		return
	}
	body.Reset()
	select {
	case a.bodies <- body:
	default:
	}
}

// encode makes the segment, when one of the encoders is free, and there is room
// for what is made of spooled rows.
func (a *Archiver) encode(ctx context.Context, j *job, summary *index.Summary) (*bytes.Buffer, segment.Summary, error) {
	if err := a.roomFor(ctx, j); err != nil {
		return nil, segment.Summary{}, err
	}
	var e *encoder
	select {
	case e = <-a.encoders:
		defer func() { a.encoders <- e }()
	case <-ctx.Done():
		a.shipped(j)
		return nil, segment.Summary{}, ctx.Err()
	}
	body := a.takeBody()
	from := dependency("")
	if len(j.frames) > 0 {
		from = onSpool
	}
	end := a.local(from, "making a segment of "+j.p.stream.String())
	written, err := e.encode(body, j, a.rules, a.letters, summary)
	end()
	if err == nil && len(j.frames) > 0 {
		a.framesRead()
	}
	a.made(j, int64(body.Len()))
	for _, f := range j.frames {
		a.metrics.spoolRead.WithLabelValues("segment").Add(float64(f.Bytes()))
	}
	if err != nil {
		a.shipped(j)
		a.giveBack(body)
		return nil, written, fmt.Errorf("encode segment of %s at %d: %w", j.p.stream, j.base, err)
	}
	return body, written, nil
}

func (e *encoder) encode(body *bytes.Buffer, j *job, rules Rules, to *letters, summary *index.Summary) (written segment.Summary, err error) {
	o := segment.Options{Stream: j.p.stream, Branch: j.branch, Rows: j.count()}
	if e.writer == nil {
		e.writer, err = segment.NewWriter(body, o)
	} else {
		err = e.writer.Reset(body, o)
	}
	if err != nil {
		return written, err
	}
	number := j.first
	err = j.each(&e.reader, func(r *schema.Record) error {
		e.extraction.Reset()
		if !find(j.parsed, number, &e.extraction) {
			rules.Extract(r, &e.extraction)
		}
		number++
		j.breaches(&e.extraction)
		summary.Add(r, &e.extraction)
		err := e.writer.Append(r, &e.extraction)
		if schema.KindOf(err) == schema.Exhausted && segment.Holds(r) == nil && o.Rows < segment.MaxRows {
			// What was extracted is too large; the record is not, and is what counts.
			to.add(to.of(schema.LetterExtraction, r, 1, err))
			e.extraction.Reset()
			e.extraction.Errors = append(e.extraction.Errors, "extraction too large")
			err = e.writer.Append(r, &e.extraction)
		}
		return err
	})
	if err != nil {
		return written, err
	}
	return e.writer.Close()
}

// settle is what follows a commit (step 8), or a failure to make one.
func (a *Archiver) settle(j *job, head ledger.Head, row index.SegmentRow, err error, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.changed.Broadcast()
	defer j.letGo()
	p := j.p
	ours := a.holds(p)
	if err == nil {
		a.metrics.sealed(j.reason, took)
		a.sealedJob(j, row.Bytes, ours)
		a.feed.sealed(row, j.rowsEnd(), j.trace)
		a.rollup(p.stream, head)
	}
	if !ours {
		return
	}
	rows := j.count()
	var lost *ledger.LostError
	switch departs := a.departing[p.stream.Key()] == p; {
	case err == nil:
		if a.held -= p.release(rows, head); departs {
			a.sealDeparting(time.Now())
		}
	case departs: // what it held cannot be read again
		if p.sealing = false; errors.As(err, &lost) && head.Next >= p.expected {
			a.held -= p.discard(head) // whoever won has it
		} else {
			p.stopped = err.Error()
		}
		a.gotAway(p)
	case errors.As(err, &lost):
		a.log.Warn("another archiver committed first; starting again from its commit", "topic", p.stream.Topic,
			"partition", p.stream.Partition, "offset", j.base, "writer", lost.Winner.Commit.Writer)
		a.feed.restart(p.stream, head.Next)
		a.catchup.compare(p.stream) // the winner may have died before it told the index
		a.held -= p.discard(head)
		a.doubt(p, "another archiver committed first")
	case errors.Is(err, spool.ErrUnreadable):
		a.readAgain(p, err)
	case beyond(err):
		a.giveUp(p, onStore, fmt.Errorf("%w; lower archive.cut.bytes and archive.cut.max_age, so that a cut is smaller, and start again", err))
	default:
		a.giveUp(p, onStore, err)
	}
	if a.more && len(a.backlog) < sealers {
		a.cutDue(time.Now())
	}
}

// rollup repeats the last thousand commits in one object, once they are full.
func (a *Archiver) rollup(s schema.Stream, head ledger.Head) {
	if head.Commit.Seq%1000 != 999 {
		return
	}
	a.rollups.Go(func() {
		ctx, cancel := context.WithTimeout(a.rolling, time.Minute)
		defer cancel()
		if err := a.ledger.WriteRollup(ctx, s, head.Commit.Seq/1000); err != nil {
			a.log.Warn("rollup not written; verify and reindex read the commits one by one", "topic", s.Topic, "partition", s.Partition,
				"offset", head.Next, "err", err)
		}
	})
}

func known(v int64) *int64 {
	if v < 0 {
		return nil
	}
	return &v
}

// advise tells Kafka every few seconds how far the ledger is, for its lag
// dashboards.
func (a *Archiver) advise(ctx context.Context) {
	told := map[kafka.TopicPartition]int64{}
	for ctx.Err() == nil {
		pause(ctx, 5*time.Second)
		next := map[kafka.TopicPartition]int64{}
		a.mu.Lock()
		for key, p := range a.partitions {
			if told[key] != p.head.Next {
				next[key] = p.head.Next
			}
		}
		a.mu.Unlock()
		if len(next) == 0 || ctx.Err() != nil {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := a.consumer.Commit(bounded, next)
		cancel()
		if err != nil {
			a.log.Debug("advisory offsets not committed", "err", err)
			continue
		}
		for key, offset := range next {
			told[key] = offset
		}
	}
}
