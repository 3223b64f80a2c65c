package kafka

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
)

// Reader reads bounded ranges once: the payload of a record that is not sealed
// yet, or what a replay produced. Safe for concurrent use; each range has a
// connection of its own.
type Reader struct {
	options Options
	// Silence bounds the wait for the next record of a range.
	silence time.Duration
}

// NewReader checks the options; nothing is dialled yet.
func NewReader(options Options) (*Reader, error) {
	client, err := options.client()
	if err != nil {
		return nil, err
	}
	client.Close()
	return &Reader{options: options, silence: 10 * time.Second}, nil
}

// Isolation is the fetch's isolation level (KIP-98).
type Isolation bool

// The levels.
const (
	ReadUncommitted Isolation = false
	ReadCommitted   Isolation = true
)

// Range yields the records of [from, to) that the broker still serves, control
// records included, in order of offset. It ends after the record to-1, or with
// an Unavailable error when nothing came for ten seconds: what is compacted
// away cannot be told from a slow broker. A topic that is another incarnation
// than the stream's is NotFound. The record is the caller's to keep.
func (r *Reader) Range(ctx context.Context, s schema.Stream, from, to int64, isolation Isolation) iter.Seq2[*schema.Record, error] {
	return func(yield func(*schema.Record, error) bool) {
		if from >= to {
			return
		}
		level := kgo.ReadUncommitted()
		if isolation == ReadCommitted {
			level = kgo.ReadCommitted()
		}
		client, err := r.options.client(
			kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(level), kgo.KeepControlRecords(),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Topic: {s.Partition: kgo.NewOffset().At(from)}}),
			kgo.FetchMaxBytes(8<<20), kgo.FetchMaxWait(250*time.Millisecond),
		)
		if err != nil {
			yield(nil, err)
			return
		}
		defer client.Close()
		for {
			batches, err := r.poll(ctx, client, s)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, b := range batches {
				for i := range b.Records {
					record := &b.Records[i]
					if record.Offset >= to || !yield(record, nil) || record.Offset == to-1 {
						return
					}
				}
			}
		}
	}
}

func (r *Reader) poll(ctx context.Context, client *kgo.Client, s schema.Stream) ([]Batch, error) {
	waiting, cancel := context.WithTimeout(ctx, r.silence)
	defer cancel()
	consumer := Consumer{client: client, names: names{}}
	batches, err := consumer.Poll(waiting, -1)
	if err != nil {
		return nil, err
	}
	for _, b := range batches {
		switch {
		case b.Err != nil && errors.Is(b.Err, ErrOffsetOutOfRange):
			return nil, schema.Errorf(schema.NotFound, "read %s from Kafka: %w", s, b.Err)
		case b.Err != nil:
			return nil, unavailable("read "+s.String()+" from Kafka", b.Err)
		case !b.TopicID.IsZero() && b.TopicID != s.TopicID:
			return nil, schema.Errorf(schema.NotFound, "read %s from Kafka: the topic is another incarnation now, %s", s, b.TopicID)
		}
	}
	if len(batches) == 0 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, schema.Errorf(schema.Unavailable, "read %s from Kafka: nothing more came within %s", s, r.silence)
	}
	return batches, nil
}

// Record reads one record from Kafka, or NotFound if the broker no longer
// serves that offset.
func (r *Reader) Record(ctx context.Context, s schema.Stream, offset int64) (*schema.Record, error) {
	for record, err := range r.Range(ctx, s, offset, offset+1, ReadUncommitted) {
		if err != nil {
			return nil, err
		}
		if record.Offset == offset {
			return record, nil
		}
	}
	return nil, schema.Errorf(schema.NotFound, "read %s offset %d from Kafka: not served any more", s, offset)
}
