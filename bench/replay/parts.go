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

// How often a job is asked how far it is.
const (
	often  = 20 * time.Millisecond
	seldom = 100 * time.Millisecond
)

// worker starts a worker.
func (b *bench) worker(ctx context.Context, name string) (*measure.Program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	b.working, err = measure.Start(exec.CommandContext(ctx, self, workerCommand, "-data-dir", b.dir, "-name", name, "-profile", b.profile), nil)
	return b.working, err
}

// stop ends the worker that was started last.
func (b *bench) stop() error {
	worker := b.working
	b.working = nil
	return worker.Stop()
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

// until waits for a job, and for what is asked of it, while the worker lives.
func (b *bench) until(ctx context.Context, s *replay.Service, id string, enough func(*answer.ReplayJob) bool) (*answer.ReplayJob, error) {
	for {
		job, err := s.Get(ctx, everybody, id)
		if err != nil {
			return nil, err
		}
		if enough(job) {
			return job, nil
		}
		if b.working != nil {
			if err := b.working.Alive(); err != nil {
				return nil, err
			}
		}
		if job.State == answer.JobFailed || job.State == answer.JobCancelled {
			return nil, schema.Errorf(schema.Internal, "the replay is %s: %s", job.State, job.Error)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(b.asked):
		}
	}
}

func isDone(job *answer.ReplayJob) bool { return job.State == answer.JobDone }

// fast compares a replay with the bare client, round by round, on four
// partitions.
func (b *bench) fast(ctx context.Context) error {
	const partitions = 4
	each := b.records / partitions
	b.asked = seldom // a question takes the store and this process some milliseconds of the same cores
	defer func() { b.asked = often }()
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
			job, spent, err := b.finish(ctx, s, worker, job.ID)
			if err != nil {
				return err
			}
			ownCPU.Add(float64(spent.Microseconds()) / float64(job.Produced))
			delivered := job.Delivered.Sub(job.Started).Seconds()
			rates.Add(float64(job.Produced) / delivered)
			bares.Add(float64(job.Produced) / bare.Seconds())
			ratios.Add(bare.Seconds() / delivered)
			readBacks.Add(float64(job.ReadBack) / job.Finished.Sub(job.Delivered).Seconds())
			return nil
		})
		resident = max(resident, worker.Resident())
		if stopErr := b.stop(); err == nil {
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
	defer func() { _ = b.stop() }() // what it had to say was measured
	return b.planner(func(s *replay.Service) error {
		job, err := begin(ctx, s, "merged", "quick.", &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 1e9})
		if err != nil {
			return err
		}
		job, spent, err := b.finish(ctx, s, worker, job.ID)
		if err != nil {
			return err
		}
		b.figures.Add("merged_64_partitions", float64(job.Produced)/job.Delivered.Sub(job.Started).Seconds(), "records/s")
		b.figures.Add("merged_64_partitions_cpu", float64(spent.Microseconds())/float64(job.Produced), "µs/record")
		b.figures.AtMost("merged_64_partitions_memory", float64(worker.Resident())/mib, "MiB", 256)
		return nil
	})
}

// finish waits for a job whose receipt matches, and gives the CPU of its worker up to
// the last commit.
func (b *bench) finish(ctx context.Context, s *replay.Service, worker *measure.Program, id string) (job *answer.ReplayJob, spent time.Duration, err error) {
	if _, err = b.until(ctx, s, id, func(j *answer.ReplayJob) bool { return !j.Delivered.IsZero() }); err != nil {
		return nil, 0, err
	}
	if spent, err = worker.CPU(); err != nil {
		return nil, 0, err
	}
	if job, err = b.until(ctx, s, id, isDone); err == nil && !job.Receipt.Matches {
		err = schema.Errorf(schema.Internal, "the receipt does not match")
	}
	return job, spent, err
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
		if job, err = b.until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return j.Produced > 2000 }); err != nil {
			return err
		}
		if _, err := b.worker(ctx, "second"); err != nil {
			return err
		}
		defer func() { _ = b.stop() }()
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
		if _, err := b.until(ctx, s, job.ID, func(j *answer.ReplayJob) bool { return j.Produced > left+2500 }); err != nil {
			return err
		}
		b.figures.AtMost("takeover_of_a_dead_workers_job", time.Since(killed).Seconds(), "s", 30)
		_, err = s.Cancel(ctx, everybody, job.ID)
		return err
	})
}
