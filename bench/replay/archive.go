package main

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// start is the first record's time.
const start = 1_600_000_000_000

// record makes the i-th record of a stream. every is the time between two in
// milliseconds.
func record(s schema.Stream, i int, every float64) schema.Record {
	const ofPartition = 1 << 32 // no two partitions have a record alike
	order := measure.Order(int64(s.Partition)*ofPartition+int64(i), 1)
	r := schema.Record{
		Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Offset: int64(i), LeaderEpoch: 1, ProducerID: -1, ProducerEpoch: -1,
		Status: schema.Committed, Timestamp: start + int64(float64(i)*every), Key: order.Key, Value: order.Value,
	}
	for _, h := range order.Headers {
		r.Headers = append(r.Headers, schema.Header{Name: h.Key, Value: h.Value})
	}
	return r
}

// archive fills streams of a topic with records, in segments of so many.
func (b *bench) archive(ctx context.Context, topic string, partitions int32, each, perSegment int, every float64) error {
	id := schema.TopicID(uuid.New())
	for partition := range partitions {
		s := schema.Stream{Cluster: "bench", Topic: topic, TopicID: id, Partition: partition}
		made := func(yield func(*schema.Record, error) bool) {
			for i := range each {
				r := record(s, i, every)
				if !yield(&r, nil) {
					return
				}
			}
		}
		if err := b.seal(ctx, s, perSegment, made); err != nil {
			return err
		}
	}
	return nil
}

// seal begins a stream's chain and archives its records, in segments of so many.
func (b *bench) seal(ctx context.Context, s schema.Stream, perSegment int, records iter.Seq2[*schema.Record, error]) error {
	book := ledger.New(b.store, nil)
	head, err := book.Head(ctx, s)
	if schema.KindOf(err) != schema.NotFound {
		return fmt.Errorf("%s is there already: %w", s, err)
	}
	genesis := measure.CommitAfter(head, s, schema.KindGenesis)
	genesis.Start = &schema.Start{Policy: "earliest"}
	if head, err = book.Append(ctx, head, genesis); err != nil {
		return err
	}
	one := &sealing{bench: b, book: book, head: head, stream: s, perSegment: perSegment}
	for r, err := range records {
		if err != nil {
			return fmt.Errorf("read %s: %w", s, err)
		}
		if err := one.add(ctx, r); err != nil {
			return err
		}
	}
	return one.cut(ctx)
}

// sealing writes a stream's segments, one after another.
type sealing struct {
	*bench
	book       *ledger.Ledger
	head       ledger.Head
	stream     schema.Stream
	perSegment int

	body    bytes.Buffer
	writer  *segment.Writer // nil: no segment is open
	commit  *schema.Commit
	n       int
	extract schema.Extraction
}

func (s *sealing) add(ctx context.Context, r *schema.Record) (err error) {
	if s.writer == nil {
		s.commit = measure.CommitAfter(s.head, s.stream, schema.KindSegment)
		s.body.Reset()
		if s.writer, err = segment.NewWriter(&s.body, segment.Options{Stream: s.stream, Branch: s.commit.Branch, Rows: s.perSegment}); err != nil {
			return err
		}
	}
	s.rules.Extract(r, &s.extract)
	if err := s.writer.Append(r, &s.extract); err != nil {
		return err
	}
	s.commit.Next = r.Offset + 1
	if s.n++; s.n == s.perSegment {
		return s.cut(ctx)
	}
	return nil
}

// cut seals the open segment, if there is one.
func (s *sealing) cut(ctx context.Context) error {
	if s.writer == nil {
		return nil
	}
	sum, err := s.writer.Close()
	if err != nil {
		return err
	}
	s.writer, s.n = nil, 0
	c := s.commit
	c.Records, c.LeaderEpochs = sum.Counts, sum.LeaderEpochs
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: schema.SegmentKey(s.stream, c.Base, c.Next, sum.SHA256), SHA256: sum.SHA256, Bytes: sum.Bytes},
		RecordRoot: sum.RecordRoot, MinTimestamp: sum.MinTimestamp, MaxTimestamp: sum.MaxTimestamp,
	}
	if _, err := s.store.Put(ctx, c.Segment.Key, s.body.Bytes()); err != nil {
		return err
	}
	s.head, err = s.book.Append(ctx, s.head, c)
	return err
}
