package replay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// mostRecords bounds a transaction, besides Options.Batch.
const mostRecords = 10_000

// batch is what one transaction delivers. after is where the job stands then.
type batch struct {
	records []placed
	bytes   int64
	after   cursor
}

type placed struct {
	lane   *lane
	record *schema.Record
}

// deliver reads the planned records from a position on, and produces them in
// transactions. One batch is read ahead while another is written.
func (a *attempt) deliver(ctx context.Context, from cursor) error {
	batches := make(chan *batch)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		return a.read(ctx, from, batches)
	})
	group.Go(func() error {
		for b := range batches {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := a.transact(ctx, b); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// read fills batches.
func (a *attempt) read(ctx context.Context, at cursor, out chan<- *batch) error {
	current := &batch{after: at}
	send := func() error {
		select {
		case out <- current:
			current = &batch{after: current.after}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i := at.Lane; i < len(a.lanes); i++ {
		l := &a.lanes[i]
		from := int64(0)
		if i == at.Lane {
			from = at.Next
		}
		err := a.each(ctx, l, &a.doc.Selection, from, true, func(row *segment.Row) error {
			size := row.Bytes() + 64
			if len(current.records) > 0 && (current.bytes+size > a.options.Batch || len(current.records) == mostRecords) {
				if err := send(); err != nil {
					return err
				}
			}
			// The row's memory is the reader's, and lives until the next one.
			current.records = append(current.records, placed{l, a.doc.outgoing(a.claim.id, &row.Clone().Record)})
			current.bytes += size
			current.after.Lane, current.after.Next = i, row.Offset+1
			current.after.Produced++
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(current.records) == 0 {
		return nil
	}
	return send()
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
	position, err := b.after.record()
	if err != nil {
		return err
	}
	place := a.claim.state().Position
	writing, stop := lingering(ctx)
	defer stop()
	if err := a.producer.Begin(writing); err != nil {
		return err
	}
	for _, p := range b.records {
		a.producer.Produce(writing, p.lane.target, p.lane.stream.Partition, p.record)
	}
	a.producer.Produce(writing, place.Topic, place.Partition, position)
	if err := a.producer.Commit(writing); err != nil {
		a.metrics.transactions.WithLabelValues("unknown").Inc()
		if !errors.Is(err, kafka.ErrFenced) { // then it is somebody else's to end
			a.takeBack(ctx)
		}
		return err
	}
	a.metrics.transactions.WithLabelValues("committed").Inc()
	a.metrics.records.Add(float64(len(b.records)))
	a.metrics.bytes.Add(float64(b.bytes))
	a.claim.produced.Store(b.after.Produced)
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
