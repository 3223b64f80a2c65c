package replay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// mostRecords bounds a transaction, besides Options.Batch.
const mostRecords = 10_000

// recordOverhead is what a record takes in memory besides its bytes.
const recordOverhead = 64

// batch is some records, in the order in which they are produced. As fast as
// possible one is one transaction, and after is where the job stands then.
type batch struct {
	records []placed
	bytes   int64
	after   *cursor
	room    room     // where the records are, if the batch is used again
	pages   [][]byte // what records refer to that are not copied
}

// empty makes a batch ready for others. Nobody may use its records any more.
func (b *batch) empty() {
	b.records, b.bytes, b.after = b.records[:0], 0, nil
	b.room.empty()
}

// aheadBatches are read while one is written: what the next segment takes, which is
// fetched and hashed as a whole before its first row is read, does not hold up the
// producer. They and the one that is being filled are in memory.
const aheadBatches = 4

// placed is a record and where it goes. offset is its source's.
type placed struct {
	lane   *lane
	index  int // of the lane
	offset int64
	size   int64
	clock  int64 // of a merge, in milliseconds
	record *schema.Record
}

// deliver reads the planned records from a position on, and produces them in
// transactions, at the pace that is asked for now.
func (a *attempt) deliver(ctx context.Context, from cursor) error {
	at := from.progress(a.lanes)
	for {
		pace := a.claim.pace.Load()
		err := a.deliverAt(ctx, pace, at)
		if !errors.Is(err, errRepaced) {
			return err
		}
		a.claim.measure()
		a.log.Info("the pace of a replay was changed", "replay", a.claim.id, "pace", a.claim.pace.Load().Mode)
	}
}

func (a *attempt) deliverAt(ctx context.Context, pace *answer.ReplayPace, at *progress) error {
	chunks, used := make(chan *batch, aheadBatches-1), make(chan *batch, aheadBatches+2)
	if isMerged(pace) {
		chunks = make(chan *batch, 2)
	}
	began := *at
	began.next = slices.Clone(at.next)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(chunks)
		if isMerged(pace) {
			return a.merge(ctx, &began, chunks)
		}
		return a.read(ctx, &began, chunks, used)
	})
	group.Go(func() error {
		if isMerged(pace) {
			return (&paced{attempt: a, clock: clock{pace: pace}, last: a.doc.lastTime(), allowed: allowance{claim: a.claim}, at: at}).run(ctx, chunks)
		}
		return a.transactions(ctx, at, chunks, used)
	})
	return group.Wait()
}

// transactions produces a batch a transaction, and hands back what is in the target
// to be filled anew.
func (a *attempt) transactions(ctx context.Context, at *progress, batches <-chan *batch, used chan<- *batch) error {
	allowed := &allowance{claim: a.claim}
	for b := range batches {
		if err := allowed.wait(ctx, len(b.records), b.bytes-int64(len(b.records))*recordOverhead); err != nil {
			return err
		}
		if err := a.transact(ctx, b); err != nil {
			return err
		}
		*at = *b.after.progress(a.lanes)
		b.empty()
		used <- b // there are not more of them than it has room for
		if isMerged(a.claim.pace.Load()) {
			return errRepaced
		}
	}
	return nil
}

// read fills batches, a lane after another.
func (a *attempt) read(ctx context.Context, at *progress, out chan<- *batch, used <-chan *batch) error {
	into := &memory{pages: &segment.Kept{}}
	fresh := func() *batch {
		select {
		case b := <-used:
			into.pages.GiveBack(b.pages)
			b.pages = b.pages[:0]
			return b
		default:
			return &batch{}
		}
	}
	current := fresh()
	flush := func() error {
		// What the next batch refers to, too, goes with that: they end in this order.
		current.after, current.pages = at.cursor(), into.pages.Take(current.pages)
		err := send(ctx, out, current)
		current = fresh()
		return err
	}
	for i := range a.lanes {
		l := &a.lanes[i]
		if at.next[i] >= at.ends[i] {
			continue
		}
		err := a.each(ctx, l, at.next[i], into, func(row *segment.Row) error {
			size := row.Bytes() + recordOverhead
			if len(current.records) > 0 && (current.bytes+size > a.options.Batch || len(current.records) == mostRecords) {
				if err := flush(); err != nil {
					return err
				}
			}
			keep := current.room.keep // the row's memory is the reader's, and lives until the next one
			if into.stays {
				keep = current.room.refer
			}
			current.records = append(current.records, placed{lane: l, index: i, offset: row.Offset, size: size, record: a.outgoing(keep(&row.Record, true))})
			current.bytes += size
			at.next[i] = row.Offset + 1
			at.produced++
			return nil
		})
		if err != nil {
			return err
		}
		at.passed(i)
	}
	return flush()
}

// transact delivers one batch: the records and the new position, or neither.
func (a *attempt) transact(ctx context.Context, b *batch) (err error) {
	ctx, span := a.options.Tracer.Start(ctx, "transaction",
		slog.Int("records", len(b.records)), slog.Int64("bytes", b.bytes), slog.String("replay", a.claim.id))
	if n := len(b.records); n > 0 {
		first, last := b.records[0], b.records[n-1]
		span.Set(slog.String("topic", first.lane.target), slog.Int("partition", int(first.lane.stream.Partition)),
			slog.Int("last_partition", int(last.lane.stream.Partition)))
	}
	defer func() { span.End(err) }()
	writing, stop := lingering(ctx)
	defer stop()
	if err := a.producer.Begin(writing); err != nil {
		return err
	}
	for _, p := range b.records {
		a.produce(writing, &p, nil)
	}
	return a.commit(writing, b.after, len(b.records), b.bytes)
}

// commit ends the open transaction of n records with the position behind them.
func (a *attempt) commit(ctx context.Context, after *cursor, n int, bytes int64) error {
	position, err := after.record()
	if err != nil {
		return err
	}
	place := a.claim.state().Position
	a.producer.Produce(ctx, place.Topic, place.Partition, position, nil)
	if err := a.producer.Commit(ctx); err != nil {
		a.metrics.transactions.WithLabelValues("unknown").Inc()
		if !errors.Is(err, kafka.ErrFenced) { // then it is somebody else's to end
			a.takeBack(ctx)
		}
		return err
	}
	a.metrics.transactions.WithLabelValues("committed").Inc()
	a.metrics.records.Add(float64(n))
	a.metrics.bytes.Add(float64(bytes))
	a.claim.produced.Store(after.Produced)
	return a.registerProducer(ctx, answer.JobRunning)
}

// takeBack ends what a failed commit may have left open, so that readers of
// the target need not wait for the broker's timeout. The next attempt's
// producer would do the same; there may be none for a while.
func (a *attempt) takeBack(ctx context.Context) {
	aborting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.producer.Abort(aborting); err != nil {
		a.log.Info("a replay's transaction is left to the broker", "replay", a.claim.id, "err", err)
	}
}

// lingering outlives ctx by stopWait: what was begun is ended rather than left
// to a timeout.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(stopWait)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}
