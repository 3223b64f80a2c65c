package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// leastOfOSO is the bar: a replay's records/s over those of OSO kafka-backup's
// restore of the same topic, on the same broker, store and cores; aim: 2.
const leastOfOSO = 1.5

const (
	overOSO   = "peers_replay_over_oso"
	oso       = "oso"
	osoBinary = "kafka-backup"
	ofPeers   = "annals-replay" // our prefix in the harness' bucket
)

// peers restores the harness' topic with OSO kafka-backup, from a backup that it has
// just made, and replays the same records from an archive in the same store, round by
// round. The time of either begins when its process does; a replay's ends with its
// last commit, as a restore's does, and reading back comes besides.
func (b *bench) peers(ctx context.Context) (err error) {
	dir := os.Getenv("PEERS_DIR")
	if dir == "" {
		b.figures.NotRun(overOSO, "×", "PEERS_DIR names no harness")
		return nil
	}
	h, err := measure.OpenHarness(ctx, dir, b.peer)
	if err != nil {
		return err
	}
	if !h.Has(osoBinary) {
		b.figures.NotRun(overOSO, "×", "the harness has no bin/"+osoBinary)
		return nil
	}
	records, stop, err := h.Serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	there, leave, err := b.at(h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	defer func() { err = errors.Join(err, there.forget(h)) }()
	if err := there.archiveTopic(ctx, h); err != nil {
		return err
	}
	stamp := time.Now().UTC().Format("20060102T150405Z")
	if _, err := h.Run(ctx, oso, "backup", stamp); err != nil {
		return err
	}
	var others, ours restores
	for round := range b.rounds {
		label := fmt.Sprintf("%s-%d", stamp, round+1)
		r, err := h.Run(ctx, oso, "restore", label)
		if err != nil {
			return err
		}
		others.rate.Add(r.Rate)
		others.cpu.Add(r.CPU / r.Records * 1e6)
		others.memory.Add(r.Memory)
		if err := there.restore(ctx, h, records, label, &ours); err != nil {
			return err
		}
	}
	b.figures.All("peers_oso_restore", others.rate, "records/s")
	b.figures.Add("peers_oso_restore_cpu", others.cpu.Median(), "µs CPU/record")
	b.figures.Add("peers_oso_restore_resident", others.memory.Median(), "MiB")
	b.figures.All("peers_replay", ours.rate, "records/s")
	b.figures.Add("peers_replay_cpu", ours.cpu.Median(), "µs CPU/record")
	b.figures.Add("peers_replay_resident", ours.memory.Median(), "MiB")
	b.figures.AtLeast(overOSO, ours.rate.Median()/others.rate.Median(), "×", leastOfOSO)
	return nil
}

// restores are one program's rounds.
type restores struct{ rate, cpu, memory measure.Spread }

// at is this bench on the harness' broker and store, which a worker is told by the up
// file of a folder that this process holds.
func (b *bench) at(h *measure.Harness) (_ *bench, leave func() error, err error) {
	there := *b
	there.asked = seldom
	there.dir = filepath.Join(filepath.Dir(b.dir), "peers")
	lock, err := embedded.LockDataDir(there.dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Unlock())
		}
	}()
	up := h.Up()
	up.PID, up.S3.Prefix = os.Getpid(), ofPeers
	if err := embedded.WriteUpFile(there.dir, up); err != nil {
		return nil, nil, err
	}
	if err := there.use(up); err != nil {
		return nil, nil, err
	}
	leave = func() error {
		there.store.Close()
		return lock.Unlock()
	}
	return &there, leave, there.forget(h) // of a run that was cut short
}

// forget removes what this bench has stored.
func (b *bench) forget(h *measure.Harness) error {
	if err := os.RemoveAll(filepath.Join(h.Set["S3_DIR"], h.Set["S3_BUCKET"], ofPeers)); err != nil {
		return fmt.Errorf("remove what was stored: %w", err)
	}
	return nil
}

// archiveTopic archives the harness' topic, in segments of as much as the archiver's.
func (b *bench) archiveTopic(ctx context.Context, h *measure.Harness) error {
	admin, err := kafka.NewAdmin(b.kafka)
	if err != nil {
		return err
	}
	defer admin.Close()
	reader, err := kafka.NewReader(b.kafka)
	if err != nil {
		return err
	}
	topic := h.Set["TOPIC"]
	live, err := admin.Cluster(ctx)
	if err != nil {
		return err
	}
	bounds, err := admin.Offsets(ctx, topic)
	if err != nil {
		return err
	}
	for _, t := range live.Topics {
		if t.Name != topic {
			continue
		}
		for _, partition := range t.Partitions {
			s := schema.Stream{Cluster: "bench", Topic: topic, TopicID: t.ID, Partition: partition}
			end := bounds[topic][partition].HighWatermark
			if err := b.seal(ctx, s, 150_000, reader.Range(ctx, s, 0, end, kafka.ReadCommitted)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("the harness has no topic %s", topic)
}

// restore replays the topic once, with a worker of its own.
func (b *bench) restore(ctx context.Context, h *measure.Harness, records int64, label string, into *restores) error {
	return b.planner(func(s *replay.Service) error {
		job, err := begin(ctx, s, h.Set["TOPIC"], label+".", nil)
		if err != nil {
			return err
		}
		began := time.Now()
		worker, err := b.worker(ctx, "peers")
		if err != nil {
			return err
		}
		defer func() { _ = b.stop() }() // what it had to say was measured
		var spent time.Duration
		job, err = b.until(ctx, s, job.ID, func(j *answer.ReplayJob) bool {
			if j.Delivered.IsZero() {
				return false
			}
			spent, err = worker.CPU()
			return true
		})
		if err != nil {
			return err
		}
		if job, err = b.until(ctx, s, job.ID, isDone); err != nil {
			return err
		}
		if !job.Receipt.Matches || job.Produced != records {
			return schema.Errorf(schema.Internal, "%d of %d records were replayed, and the receipt says matches: %t", job.Produced, records, job.Receipt.Matches)
		}
		into.rate.Add(float64(records) / job.Delivered.Sub(began).Seconds())
		into.cpu.Add(float64(spent.Microseconds()) / float64(records))
		into.memory.Add(float64(worker.Resident()) / mib)
		return h.Delete(ctx, label+"."+h.Set["TOPIC"])
	})
}
