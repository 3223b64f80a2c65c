package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// What is paced: 5,000 records a second over 64 partitions, one of each partition
// at a time.
const (
	pacedPartitions = 64
	pacedEach       = 2000
	pacedEnough     = 100_000
	pacedEvery      = 64 / 5.0 // milliseconds
	pacedCommit     = time.Second
)

// inMemory is where files are in memory.
const inMemory = "/dev/shm"

// paced measures lateness twice: with the broker's files where the others' are, and
// in memory. The embedded broker syncs every append before it answers, one after the
// other; Apache Kafka's appends wait for no disk, and so do those in memory. Beside
// either stands a bare client that produces as many records at the same moments.
func (b *bench) paced(ctx context.Context) (err error) {
	if err := b.pacedOn(ctx, "paced", false); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(inMemory, "annals-bench-")
	if err != nil {
		b.figures.NotRun("paced_in_memory_lateness_acked_p99", "ms", err.Error())
		return nil
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	there := *b
	there.dir = filepath.Join(dir, "data")
	engines, up, err := measure.Engines(ctx, there.dir, b.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engines.Stop()) }()
	if err := there.use(up); err != nil {
		return err
	}
	defer there.store.Close()
	return there.pacedOn(ctx, "paced_in_memory", true)
}

func (b *bench) pacedOn(ctx context.Context, name string, limited bool) error {
	if err := b.archive(ctx, "paced", pacedPartitions, pacedEach, pacedEach, pacedEvery); err != nil {
		return err
	}
	bare, err := b.barePaced(ctx)
	if err != nil {
		return err
	}
	if _, err := b.worker(ctx, name); err != nil {
		return err
	}
	defer func() { _ = b.stop() }() // what it had to say was measured
	return b.planner(func(s *replay.Service) error {
		job, err := begin(ctx, s, "paced", "paced.", &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 1})
		if err != nil {
			return err
		}
		_, err = b.until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return j.Lateness != nil && j.Lateness.Acked.Records >= pacedEnough })
		if err != nil {
			return err
		}
		if job, err = s.Cancel(ctx, everybody, job.ID); err != nil {
			return err
		}
		if job.Lateness == nil {
			return schema.Errorf(schema.Internal, "no lateness was kept")
		}
		late := job.Lateness
		b.figures.Add(name+"_lateness_sent_p50", late.Sent.P50, "ms")
		b.figures.Add(name+"_lateness_sent_p99", late.Sent.P99, "ms")
		b.figures.Add(name+"_lateness_acked_p50", late.Acked.P50, "ms")
		b.figures.Add(name+"_bare_lateness_acked_p50", bare.Median(), "ms")
		b.figures.Add(name+"_bare_lateness_acked_p99", bare.Quantile(0.99), "ms")
		b.figures.Add(name+"_lateness_acked_p99_over_bare", late.Acked.P99/bare.Quantile(0.99), "×")
		if limited {
			b.figures.AtMost(name+"_lateness_acked_p99", late.Acked.P99, "ms", 20)
		} else {
			b.figures.Add(name+"_lateness_acked_p99", late.Acked.P99, "ms")
		}
		b.figures.Add(name+"_commit_interval", late.Interval, "ms")
		return nil
	})
}

// barePaced produces the records that are paced from memory, each when it is due,
// in transactions of the same length, and gives how late they were acknowledged, in
// milliseconds.
func (b *bench) barePaced(ctx context.Context) (measure.Spread, error) {
	const topic = "barepaced"
	records := make([][]schema.Record, pacedPartitions)
	for partition := range records {
		for i := range pacedEnough / pacedPartitions {
			records[partition] = append(records[partition], record(schema.Stream{Topic: topic, Partition: int32(partition)}, i, pacedEvery))
		}
	}
	p, done, err := b.bareProducer(ctx, topic, pacedPartitions)
	if err != nil {
		return nil, err
	}
	defer done()
	late := &acked{}
	began, opened, open := time.Now(), time.Time{}, false
	for i := range records[0] {
		due := began.Add(time.Duration(float64(i) * pacedEvery * float64(time.Millisecond)))
		time.Sleep(time.Until(due))
		for partition := range records {
			if open && time.Since(opened) >= pacedCommit {
				if err := p.Commit(ctx); err != nil {
					return nil, fmt.Errorf("commit: %w", err)
				}
				open = false
			}
			if !open {
				if err := p.Begin(ctx); err != nil {
					return nil, fmt.Errorf("begin: %w", err)
				}
				open, opened = true, time.Now()
			}
			p.Produce(ctx, topic, int32(partition), &records[partition][i], func() { late.add(time.Since(due)) })
		}
	}
	if err := p.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return late.all, nil
}

// acked are the latenesses of records.
type acked struct {
	mu  sync.Mutex
	all measure.Spread
}

func (a *acked) add(late time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all.Add(float64(late.Microseconds()) / 1000)
}
