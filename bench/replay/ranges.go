package main

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// counted is the store with the bytes of segments that are read from it.
type counted struct {
	*objstore.Store
	read *atomic.Int64
}

func (c counted) ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt {
	return countedReader{c.Store.ReaderAt(ctx, key, size), c.read}
}

type countedReader struct {
	io.ReaderAt
	read *atomic.Int64
}

func (r countedReader) ReadAt(p []byte, from int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, from)
	r.read.Add(int64(n))
	return n, err
}

// ranges reads two ranges of times out of three segments: one that lies in a
// segment, and one of a segment and parts of two more. What is read until the last
// commit, the check of the segments' hashes included, stands beside the share of
// the objects' bytes that the selected records have.
func (b *bench) ranges(ctx context.Context) (err error) {
	const perSegment = 100_000 // of a record a millisecond
	if err := b.archive(ctx, "ranged", 1, 3*perSegment, perSegment, 1); err != nil {
		return err
	}
	cluster, err := replay.Connect(b.kafka)
	if err != nil {
		return err
	}
	defer cluster.Close()
	read := &atomic.Int64{}
	s, err := replay.New(replay.Options{PositionTopic: positions, Worker: "ranges"}, cluster, counted{b.store, read}, ledger.New(b.store, nil), nil)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Work(working) }()
	defer func() { stop(); <-ended }()
	for _, one := range []struct {
		name     string
		from, to int64 // milliseconds after the first record
	}{{"time_range_within_a_segment", 130_000, 160_000}, {"time_range_over_segments", 50_000, 250_000}} {
		for _, way := range []struct {
			name string
			pace *answer.ReplayPace
		}{{"", nil}, {"_paced", &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 1e9}}} {
			read.Store(0)
			plan, err := s.Plan(ctx, everybody, answer.ReplayRequest{
				Topics: []string{"ranged"}, From: time.UnixMilli(start + one.from), To: time.UnixMilli(start + one.to), TargetPrefix: one.name + way.name + ".",
			})
			if err != nil {
				return err
			}
			planned := float64(read.Swap(0))
			delivered, err := b.delivered(ctx, s, plan.ID, way.pace, read)
			if err != nil {
				return err
			}
			selected := float64(b.rangedBytes(ctx)) * float64(plan.Records) / (3 * perSegment)
			if way.pace == nil {
				b.figures.AtMost(one.name+"_planning_over_selected", planned/selected, "×", 2)
				b.figures.AtMost(one.name+"_plan_and_job_over_selected", (planned+delivered)/selected, "×", 2)
			}
			b.figures.AtMost(one.name+way.name+"_read_over_selected", delivered/selected, "×", 2)
		}
	}
	return nil
}

// delivered runs a job and gives the bytes that were read until its last commit.
func (b *bench) delivered(ctx context.Context, s *replay.Service, id string, pace *answer.ReplayPace, read *atomic.Int64) (float64, error) {
	if _, err := s.Run(ctx, everybody, id, pace); err != nil {
		return 0, err
	}
	var bytes int64
	_, err := b.until(ctx, s, id, func(j *answer.ReplayJob) bool {
		bytes = read.Load()
		return j.Produced == j.Planned // before it begins to read back
	})
	if err == nil {
		_, err = b.until(ctx, s, id, isDone)
	}
	return float64(bytes), err
}

// rangedBytes are those of the segments of ranges.
func (b *bench) rangedBytes(ctx context.Context) (sum int64) {
	for object, err := range b.store.List(ctx, "data/ranged/", "") {
		if err == nil {
			sum += object.Size
		}
	}
	return sum
}
