package index

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/schema"
)

// Row is one record to be indexed, with what the rules read from it. The index
// keeps no reference to either after the call.
type Row struct {
	Record     *schema.Record
	Extraction *schema.Extraction
	Version    Version // zero: Fresh
}

// Bounds of one insert. ClickHouse refuses a block that reaches into more than
// 100 partitions; rows bound the memory of a block on both sides.
const (
	maxBlockPartitions = 50
	maxBlockRecords    = 50_000
	maxBlockIDs        = 300_000
)

// keptBlocks is how many blocks keep their memory between inserts: the feed's
// and the catch-up's. A sync.Pool would let go of them at every collection,
// which are many where memory is short.
const keptBlocks = 2

func (x *Index) takeBlock() *block {
	select {
	case b := <-x.blocks:
		return b
	default:
		return new(block)
	}
}

// giveBack empties a block before it is kept: its texts may point into a
// fetch's buffers.
func (x *Index) giveBack(b *block) {
	b.reset()
	select {
	case x.blocks <- b:
	default:
	}
}

// InsertRecords puts records into records, records_by_trace and id_index.
// archivedAt is when the archiver read them; it is no part of a row's
// identity. Rows may be of any streams and times, in any order; large calls
// are cut into blocks. Best are 5,000 rows or more at a time.
//
// The call is idempotent: after an error, or a crash, the same rows are sent
// again. An error may leave some of them inserted. Invalid, before anything
// is sent, for a row that no segment could hold.
func (x *Index) InsertRecords(ctx context.Context, rows []Row, archivedAt time.Time) error {
	for _, row := range rows {
		if err := checkRow(row); err != nil {
			return err
		}
	}
	order := x.inPartitionOrder(rows)
	b := x.takeBlock()
	defer x.giveBack(b)
	partitions, last := 0, uint32(0)
	at := archivedAt.UnixMilli()
	for i := range rows {
		row := rows[i]
		if order != nil {
			row = rows[order[i].row]
			if partitions == 0 || order[i].partition != last {
				partitions++
				last = order[i].partition
			}
		}
		if partitions > maxBlockPartitions || len(b.topic) >= maxBlockRecords || len(b.idHash) >= maxBlockIDs {
			if err := x.sendBlock(ctx, b); err != nil {
				return err
			}
			partitions = min(partitions, 1)
		}
		b.add(row, at)
	}
	if err := x.sendBlock(ctx, b); err != nil {
		return err
	}
	return x.insertPositions(ctx, rows, at)
}

func checkRow(row Row) error {
	switch r := row.Record; {
	case r == nil || row.Extraction == nil:
		return schema.Errorf(schema.Invalid, "insert records: a row without record or extraction")
	case r.TopicID.IsZero():
		return schema.Errorf(schema.Invalid, "insert records: %s/%d/%d has no topic ID", r.Topic, r.Partition, r.Offset)
	case r.Status != schema.Committed && r.Status != schema.Aborted && r.Status != schema.Control:
		return schema.Errorf(schema.Invalid, "insert records: %s/%d/%d is %s: only what is decided is indexed", r.Topic, r.Partition, r.Offset, r.Status)
	}
	return nil
}

// place is where a row goes.
type place struct {
	partition uint32
	row       int
}

// inPartitionOrder sorts row numbers by table partition, and gives nil when
// all rows belong to one.
func (x *Index) inPartitionOrder(rows []Row) []place {
	if len(rows) == 0 {
		return nil
	}
	period := *x.period.Load()
	order := make([]place, len(rows))
	several := false
	for i, row := range rows {
		order[i] = place{period.of(row.Record.Timestamp), i}
		several = several || order[i].partition != order[0].partition
	}
	if !several {
		return nil
	}
	slices.SortStableFunc(order, func(a, b place) int { return int(a.partition) - int(b.partition) })
	return order
}

// sendBlock inserts what was gathered into the three tables and empties the
// block.
func (x *Index) sendBlock(ctx context.Context, b *block) error {
	defer b.reset()
	if len(b.topic) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return x.send(ctx, idsTable, b.idColumns()) })
	group.Go(func() error {
		if err := x.send(ctx, tracesTable, b.traceColumns()); err != nil {
			return err
		}
		return x.send(ctx, recordsTable, b.recordColumns())
	})
	return group.Wait()
}
