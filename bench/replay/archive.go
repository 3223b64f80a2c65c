package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// start is the first record's time.
const start = 1_600_000_000_000

// record makes the i-th record of a stream: about 300 bytes, of which little
// repeats, with two headers. every is the time between two in milliseconds.
func record(s schema.Stream, i int, every float64) schema.Record {
	seed := uint64(i)*0x9e3779b97f4a7c15 ^ uint64(s.Partition)
	return schema.Record{
		Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Offset: int64(i), LeaderEpoch: 1, ProducerID: -1, ProducerEpoch: -1,
		Status: schema.Committed, Timestamp: start + int64(float64(i)*every),
		Key:   fmt.Appendf(nil, "%016x", seed),
		Value: fmt.Appendf(nil, `{"id":"%016x","account":"%016x","amount":%d.%02d,"note":"%0128x"}`, seed, seed>>7, i%100_000, i%100, seed*seed),
		Headers: []schema.Header{
			{Name: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-01", seed, seed)}, {Name: "event-type", Value: []byte("Placed")},
		},
	}
}

// archive fills streams of a topic with records, in segments of so many.
func (b *bench) archive(ctx context.Context, topic string, partitions int32, each, perSegment int, every float64) error {
	book := ledger.New(b.store, nil)
	id := schema.TopicID(uuid.New())
	for partition := range partitions {
		s := schema.Stream{Cluster: "bench", Topic: topic, TopicID: id, Partition: partition}
		head, err := book.Head(ctx, s)
		if schema.KindOf(err) != schema.NotFound {
			return fmt.Errorf("%s is there already: %w", s, err)
		}
		genesis := commitOf(head, s, schema.KindGenesis)
		genesis.Start = &schema.Start{Policy: "earliest"}
		if head, err = book.Append(ctx, head, genesis); err != nil {
			return err
		}
		for from := 0; from < each; from += perSegment {
			c := commitOf(head, s, schema.KindSegment)
			if err := b.seal(ctx, c, s, from, min(from+perSegment, each), every); err != nil {
				return err
			}
			if head, err = book.Append(ctx, head, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func commitOf(head ledger.Head, s schema.Stream, kind schema.CommitKind) *schema.Commit {
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition,
		Attempt: uuid.NewString(), Writer: "bench", Clock: time.Now().UTC().Format(time.RFC3339Nano),
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "bench"},
	}
	if head.Commit != nil {
		digest := head.Digest
		c.Branch, c.Seq, c.Previous, c.Base, c.Next = head.Commit.Branch, head.Commit.Seq+1, &digest, head.Next, head.Next
	}
	return c
}

// seal writes a segment and completes its commit.
func (b *bench) seal(ctx context.Context, c *schema.Commit, s schema.Stream, from, to int, every float64) error {
	var body bytes.Buffer
	w, err := segment.NewWriter(&body, segment.Options{Stream: s, Branch: c.Branch, Rows: to - from})
	if err != nil {
		return err
	}
	for i := from; i < to; i++ {
		r := record(s, i, every)
		if err := w.Append(&r, &schema.Extraction{EventType: "Placed"}); err != nil {
			return err
		}
	}
	sum, err := w.Close()
	if err != nil {
		return err
	}
	c.Next, c.Records, c.LeaderEpochs = int64(to), sum.Counts, sum.LeaderEpochs
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: schema.SegmentKey(s, c.Base, c.Next, sum.SHA256), SHA256: sum.SHA256, Bytes: sum.Bytes},
		RecordRoot: sum.RecordRoot, MinTimestamp: sum.MinTimestamp, MaxTimestamp: sum.MaxTimestamp,
	}
	_, err = b.store.Put(ctx, c.Segment.Key, body.Bytes())
	return err
}
