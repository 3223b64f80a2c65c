package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

const (
	batch      = 10_000 // records of one insert: what an archiver puts into one
	perSegment = 2500
	perInsert  = 256 // commits whose rows go together
)

// indexer puts records into an index as an archiver does: extracted, in batches,
// and their segments when all their rows are there.
type indexer struct {
	index *index.Index
	rules *extract.Rules

	rows    []index.Row
	sealed  []index.SegmentRow
	streams map[schema.Stream]*index.SegmentRow // open segments
}

func newIndexer(x *index.Index, rules *extract.Rules) *indexer {
	return &indexer{index: x, rules: rules, streams: map[schema.Stream]*index.SegmentRow{}}
}

func streamOf(r *schema.Record) schema.Stream {
	return schema.Stream{Cluster: "bench", Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition}
}

// add extracts a record and keeps it until there is a batch.
func (i *indexer) add(ctx context.Context, r *schema.Record) (*schema.Extraction, error) {
	x := &schema.Extraction{}
	i.rules.Extract(r, x)
	s := streamOf(r)
	open := i.streams[s]
	if open == nil {
		open = &index.SegmentRow{
			Stream: s, Kind: schema.KindSegment, Seq: r.Offset/perSegment + 1, Base: r.Offset, Version: index.Fresh,
			HighWatermark: -1, MinTimestamp: r.Timestamp, Summary: index.NewSummary(), SealedAt: began,
			Key: fmt.Sprintf("data/%s/%d/%d.parquet", r.Topic, r.Partition, r.Offset),
		}
		i.streams[s] = open
	}
	open.Next, open.MaxTimestamp = r.Offset+1, r.Timestamp
	open.Records.Committed++
	open.Summary.Add(r, x)
	i.rows = append(i.rows, index.Row{Record: r, Extraction: x})
	if len(i.rows) == batch {
		return x, i.flush(ctx)
	}
	return x, nil
}

// cut ends a stream's open segment, which takes what more is known of it.
func (i *indexer) cut(s schema.Stream) *index.SegmentRow {
	open := i.streams[s]
	delete(i.streams, s)
	i.sealed = append(i.sealed, *open)
	return &i.sealed[len(i.sealed)-1]
}

// full tells whether the stream's open segment is as large as they become.
func (i *indexer) full(s schema.Stream) bool {
	return i.streams[s].Records.Committed >= perSegment
}

func (i *indexer) flush(ctx context.Context) error {
	err := i.index.InsertRecords(ctx, i.rows, began)
	clear(i.rows)
	i.rows = i.rows[:0]
	if err != nil || len(i.sealed) < perInsert {
		return err
	}
	return i.seal(ctx)
}

// seal inserts the segments whose records are all in.
func (i *indexer) seal(ctx context.Context) error {
	err := i.index.InsertSegments(ctx, i.sealed)
	i.sealed = nil
	return err
}

// end indexes and seals what is left.
func (i *indexer) end(ctx context.Context) error {
	if err := i.flush(ctx); err != nil {
		return err
	}
	return i.seal(ctx)
}

// archive writes segments and commits beside the index.
type archive struct {
	*indexer
	store *objstore.Store
	book  *ledger.Ledger
	open  map[schema.Stream]*chain
}

// chain is a partition's, with the segment that is open.
type chain struct {
	head   ledger.Head
	body   bytes.Buffer
	writer *segment.Writer // nil: none is open
	commit *schema.Commit
}

func (a *archive) add(ctx context.Context, r schema.Record) error {
	s := streamOf(&r)
	c := a.open[s]
	if c == nil {
		c = &chain{}
		a.open[s] = c
		genesis := measure.CommitAfter(c.head, s, schema.KindGenesis)
		genesis.Start = &schema.Start{Policy: "earliest"}
		if err := a.append(ctx, c, genesis); err != nil {
			return err
		}
		a.sealed = append(a.sealed, index.SegmentOf(genesis))
	}
	if c.writer == nil {
		c.commit = measure.CommitAfter(c.head, s, schema.KindSegment)
		c.body.Reset()
		var err error
		if c.writer, err = segment.NewWriter(&c.body, segment.Options{Stream: s, Rows: perSegment}); err != nil {
			return err
		}
	}
	x, err := a.indexer.add(ctx, &r)
	if err != nil {
		return err
	}
	if err := c.writer.Append(&r, x); err != nil {
		return err
	}
	c.commit.Next = r.Offset + 1
	if !a.full(s) {
		return nil
	}
	return a.cut(ctx, s, c)
}

func (a *archive) append(ctx context.Context, c *chain, commit *schema.Commit) (err error) {
	c.head, err = a.book.Append(ctx, c.head, commit)
	return err
}

// cut seals a stream's open segment.
func (a *archive) cut(ctx context.Context, s schema.Stream, c *chain) error {
	sum, err := c.writer.Close()
	if err != nil {
		return err
	}
	c.writer = nil
	commit := c.commit
	commit.Records, commit.LeaderEpochs = sum.Counts, sum.LeaderEpochs
	commit.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: schema.SegmentKey(s, commit.Base, commit.Next, sum.SHA256), SHA256: sum.SHA256, Bytes: sum.Bytes},
		RecordRoot: sum.RecordRoot, MinTimestamp: sum.MinTimestamp, MaxTimestamp: sum.MaxTimestamp,
	}
	if _, err := a.store.Put(ctx, commit.Segment.Key, c.body.Bytes()); err != nil {
		return err
	}
	if err := a.append(ctx, c, commit); err != nil {
		return err
	}
	row := a.indexer.cut(s)
	summary := row.Summary
	*row = index.SegmentOf(commit)
	row.Summary, row.Version = summary, index.Fresh
	return nil
}

// end seals what is open.
func (a *archive) end(ctx context.Context) error {
	for s, c := range a.open {
		if c.writer != nil {
			if err := a.cut(ctx, s, c); err != nil {
				return err
			}
		}
	}
	return a.indexer.end(ctx)
}

// archive archives and indexes the records of which all others are copies.
func (b *bench) archive(ctx context.Context, records int64) error {
	a := &archive{indexer: newIndexer(b.all.index, b.rules), store: b.store, book: ledger.New(b.store, nil), open: map[schema.Stream]*chain{}}
	m := newMaker(1)
	err := m.history(records, span/copies, func(list []schema.Record) error {
		for _, r := range list {
			if err := a.add(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.loaded.Archived = m.made
	for _, next := range m.next {
		b.loaded.Stride = max(b.loaded.Stride, next)
	}
	return a.end(ctx)
}
