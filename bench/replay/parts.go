package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

const mib = 1 << 20

// worker starts a worker.
func (b *bench) worker(ctx context.Context, name string) (*measure.Program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return measure.Start(exec.CommandContext(ctx, self, workerCommand, "-data-dir", b.dir, "-name", name, "-profile", b.profile), nil)
}

// planner plans and asks; it works on nothing.
func (b *bench) planner(do func(*replay.Service) error) error {
	cluster, err := replay.Connect(b.kafka)
	if err != nil {
		return err
	}
	defer cluster.Close()
	s, err := service(cluster, b.store, "planner")
	if err != nil {
		return err
	}
	return do(s)
}

var everybody = policy.Everything()

// start plans a topic and runs it.
func begin(ctx context.Context, s *replay.Service, topic, prefix string, pace *answer.ReplayPace) (*answer.ReplayJob, error) {
	plan, err := s.Plan(ctx, everybody, answer.ReplayRequest{Topics: []string{topic}, TargetPrefix: prefix})
	if err != nil {
		return nil, err
	}
	return s.Run(ctx, everybody, plan.ID, pace)
}

// until waits for a job, and for what is asked of it.
func until(ctx context.Context, s *replay.Service, id string, enough func(*answer.ReplayJob) bool) (*answer.ReplayJob, error) {
	for {
		job, err := s.Get(ctx, everybody, id)
		if err != nil {
			return nil, err
		}
		if enough(job) {
			return job, nil
		}
		if job.State == answer.JobFailed || job.State == answer.JobCancelled {
			return nil, schema.Errorf(schema.Internal, "the replay is %s: %s", job.State, job.Error)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func isDone(job *answer.ReplayJob) bool { return job.State == answer.JobDone }

// fast compares a replay with the bare client, round by round, on four
// partitions.
func (b *bench) fast(ctx context.Context) error {
	const partitions = 4
	each := b.records / partitions
	if err := b.archive(ctx, "fast", partitions, each, 150_000, 1); err != nil {
		return err
	}
	var ratios, rates, bares, readBacks, ownCPU, bareCPU measure.Spread
	var resident int64
	for round := range b.rounds {
		records := make([][]schema.Record, partitions)
		for partition := range records {
			s := schema.Stream{Cluster: "bench", Topic: "fast", Partition: int32(partition)}
			for i := range each {
				records[partition] = append(records[partition], record(s, i, 1))
			}
		}
		before := ownTime()
		bare, err := b.bare(ctx, fmt.Sprintf("bare%d", round), partitions, records)
		if err != nil {
			return err
		}
		bareCPU.Add(float64((ownTime() - before).Microseconds()) / float64(each*partitions))
		records = nil
		worker, err := b.worker(ctx, "fast")
		if err != nil {
			return err
		}
		err = b.planner(func(s *replay.Service) error {
			job, err := begin(ctx, s, "fast", fmt.Sprintf("r%d.", round), nil)
			if err != nil {
				return err
			}
			if job, err = until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return !j.Delivered.IsZero() }); err != nil {
				return err
			}
			spent, err := worker.CPU()
			if err != nil {
				return err
			}
			ownCPU.Add(float64(spent.Microseconds()) / float64(job.Produced))
			if job, err = until(ctx, s, job.ID, isDone); err != nil {
				return err
			}
			if !job.Receipt.Matches {
				return schema.Errorf(schema.Internal, "the receipt does not match")
			}
			delivered := job.Delivered.Sub(job.Started).Seconds()
			rates.Add(float64(job.Produced) / delivered)
			bares.Add(float64(job.Produced) / bare.Seconds())
			ratios.Add(bare.Seconds() / delivered)
			readBacks.Add(float64(job.ReadBack) / job.Finished.Sub(job.Delivered).Seconds())
			return nil
		})
		resident = max(resident, worker.Resident())
		if stopErr := worker.Stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			return err
		}
	}
	b.figures.Around("bare_transactional_produce", bares, "records/s")
	b.figures.Around("replay_produce", rates, "records/s")
	b.figures.Around("replay_read_back", readBacks, "records/s")
	b.figures.Around("bare_cpu", bareCPU, "µs/record")
	b.figures.Around("replay_cpu", ownCPU, "µs/record")
	b.figures.AtLeast("replay_over_bare", ratios.Median(), "×", 0.8)
	b.figures.AtMost("replay_memory", float64(resident)/mib, "MiB", 256)
	return nil
}

// ownTime is the processor time of this process, without its children's.
func ownTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0 // it cannot fail for the process itself
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// merged takes 64 partitions by one clock, as fast as that goes.
func (b *bench) merged(ctx context.Context) error {
	const partitions, each = 64, 10_000
	if err := b.archive(ctx, "merged", partitions, each, each, 64/5.0); err != nil {
		return err
	}
	worker, err := b.worker(ctx, "merged")
	if err != nil {
		return err
	}
	defer func() { _ = worker.Stop() }() // what it had to say was measured
	return b.planner(func(s *replay.Service) error {
		job, err := begin(ctx, s, "merged", "quick.", &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 1e9})
		if err != nil {
			return err
		}
		if job, err = until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return !j.Delivered.IsZero() }); err != nil {
			return err
		}
		spent, err := worker.CPU()
		if err != nil {
			return err
		}
		if job, err = until(ctx, s, job.ID, isDone); err != nil {
			return err
		}
		b.figures.Add("merged_64_partitions", float64(job.Produced)/job.Delivered.Sub(job.Started).Seconds(), "records/s")
		b.figures.Add("merged_64_partitions_cpu", float64(spent.Microseconds())/float64(job.Produced), "µs/record")
		b.figures.AtMost("merged_64_partitions_memory", float64(worker.Resident())/mib, "MiB", 256)
		return nil
	})
}

// paced takes 64 partitions at their original pace, 5,000 records a second
// together.
func (b *bench) paced(ctx context.Context) error {
	const partitions, each, enough = 64, 2000, 100_000
	if err := b.archive(ctx, "paced", partitions, each, each, 64/5.0); err != nil {
		return err
	}
	worker, err := b.worker(ctx, "paced")
	if err != nil {
		return err
	}
	defer func() { _ = worker.Stop() }() // what it had to say was measured
	return b.planner(func(s *replay.Service) error {
		job, err := begin(ctx, s, "paced", "paced.", &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 1})
		if err != nil {
			return err
		}
		_, err = until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return j.Lateness != nil && j.Lateness.Acked.Records >= enough })
		if err != nil {
			return err
		}
		if job, err = s.Cancel(ctx, everybody, job.ID); err != nil {
			return err
		}
		if job.Lateness == nil {
			return schema.Errorf(schema.Internal, "no lateness was kept")
		}
		b.figures.Add("paced_lateness_sent_p50", job.Lateness.Sent.P50, "ms")
		b.figures.Add("paced_lateness_sent_p99", job.Lateness.Sent.P99, "ms")
		b.figures.Add("paced_lateness_acked_p50", job.Lateness.Acked.P50, "ms")
		b.figures.AtMost("paced_lateness_acked_p99", job.Lateness.Acked.P99, "ms", 20)
		b.figures.Add("paced_commit_interval", job.Lateness.Interval, "ms")
		return nil
	})
}

// takeover kills a worker in the midst of a job, with the defaults, and waits for
// another one to go on.
func (b *bench) takeover(ctx context.Context) error {
	if err := b.archive(ctx, "left", 1, 100_000, 100_000, 1); err != nil {
		return err
	}
	first, err := b.worker(ctx, "first")
	if err != nil {
		return err
	}
	return b.planner(func(s *replay.Service) error {
		job, err := begin(ctx, s, "left", "taken.", &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 1000})
		if err != nil {
			return err
		}
		if job, err = until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return j.Produced > 2000 }); err != nil {
			return err
		}
		second, err := b.worker(ctx, "second")
		if err != nil {
			return err
		}
		defer func() { _ = second.Stop() }()
		time.Sleep(6 * time.Second) // it has looked for jobs
		process, err := os.FindProcess(first.PID())
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			return err
		}
		killed := time.Now()
		<-first.Ended()
		if job, err = s.Get(ctx, everybody, job.ID); err != nil {
			return err
		}
		left := job.Produced
		if _, err := until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return j.Produced > left+2500 }); err != nil {
			return err
		}
		b.figures.AtMost("takeover_of_a_dead_workers_job", time.Since(killed).Seconds(), "s", 30)
		_, err = s.Cancel(ctx, everybody, job.ID)
		return err
	})
}
