package main

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// files replays a topic into files of each format.
func (b *bench) files(ctx context.Context) error {
	const partitions = 4
	b.asked = seldom
	defer func() { b.asked = often }()
	if err := b.archive(ctx, "files", partitions, b.records/partitions, 150_000, 1); err != nil {
		return err
	}
	for _, format := range []string{answer.FileNDJSON, answer.FileParquet} {
		if err := b.file(ctx, format); err != nil {
			return err
		}
	}
	return nil
}

// file takes one format, with a worker of its own, whose memory is that format's.
func (b *bench) file(ctx context.Context, format string) error {
	worker, err := b.worker(ctx, format)
	if err != nil {
		return err
	}
	defer func() { _ = b.stop() }() // what it had to say was measured
	return b.planner(func(s *replay.Service) error {
		plan, err := s.Plan(ctx, everybody, answer.ReplayRequest{Topics: []string{"files"}, TargetFile: format})
		if err != nil {
			return err
		}
		job, err := s.Run(ctx, everybody, plan.ID, nil)
		if err != nil {
			return err
		}
		job, spent, err := b.finish(ctx, s, worker, job.ID)
		if err != nil {
			return err
		}
		rate := func(from, to time.Time) float64 { return float64(job.Produced) / to.Sub(from).Seconds() }
		b.figures.Add("files_"+format, rate(job.Started, job.Delivered), "records/s")
		b.figures.Add("files_"+format+"_cpu", float64(spent.Microseconds())/float64(job.Produced), "µs/record")
		b.figures.Add("files_"+format+"_read_back", rate(job.Delivered, job.Finished), "records/s")
		b.figures.AtMost("files_"+format+"_memory", float64(worker.Resident())/mib, "MiB", 256)
		return nil
	})
}
