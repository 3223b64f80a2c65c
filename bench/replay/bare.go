package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// A replay's transactions: its defaults.
const (
	transactionBytes   = 4 << 20
	transactionRecords = 10_000
)

// bare produces records from memory, partition by partition, in transactions of
// the size of a replay's, and returns how long it took from the first to the last
// commit.
func (b *bench) bare(ctx context.Context, topic string, partitions int32, records [][]schema.Record) (time.Duration, error) {
	p, done, err := b.bareProducer(ctx, topic, partitions)
	if err != nil {
		return 0, err
	}
	defer done()
	began, n, size := time.Now(), 0, int64(0)
	for partition := range records {
		for i := range records[partition] {
			r := &records[partition][i]
			if n > 0 && (n == transactionRecords || size+r.Bytes()+64 > transactionBytes) {
				if err := p.Commit(ctx); err != nil {
					return 0, fmt.Errorf("commit: %w", err)
				}
				n, size = 0, 0
			}
			if n == 0 {
				if err := p.Begin(ctx); err != nil {
					return 0, fmt.Errorf("begin: %w", err)
				}
			}
			p.Produce(ctx, topic, int32(partition), r, nil)
			n, size = n+1, size+r.Bytes()+64
		}
	}
	if n > 0 {
		if err := p.Commit(ctx); err != nil {
			return 0, fmt.Errorf("commit: %w", err)
		}
	}
	return time.Since(began), nil
}

// bareProducer makes a topic and a producer that is ready.
func (b *bench) bareProducer(ctx context.Context, topic string, partitions int32) (*kafka.Producer, func(), error) {
	admin, err := kafka.NewAdmin(b.kafka)
	if err != nil {
		return nil, nil, err
	}
	defer admin.Close()
	if _, err := admin.CreateTopic(ctx, topic, partitions, nil); err != nil {
		return nil, nil, err
	}
	p, err := kafka.NewProducer(b.kafka, kafka.ProducerOptions{TransactionalID: "bare-" + topic})
	if err != nil {
		return nil, nil, err
	}
	if _, err := p.Init(ctx); err != nil {
		p.Close()
		return nil, nil, err
	}
	return p, p.Close, nil
}
