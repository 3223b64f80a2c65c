package archiver

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// CatchUp returns when everything that Kafka held at the call, of the
// archived topics, has been taken in by this process: it is for the only
// archiver of a group.
func (a *Archiver) CatchUp(ctx context.Context) error {
	stop := a.wakeAt(ctx)
	defer stop()
	// The brokers are asked, not the last listing: a topic made since counts.
	cluster, err := a.admin.Cluster(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range cluster.Topics {
		if a.topics.refusal(t) == "" {
			names = append(names, t.Name)
		}
	}
	bounds, err := a.admin.Offsets(ctx, names...)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.tookIn(bounds) {
		if ctx.Err() != nil {
			return schema.Errorf(schema.Unavailable, "wait for the archiver to catch up: %w", ctx.Err())
		}
		a.changed.Wait()
	}
	return nil
}

// Indexed returns when the index has every commit that this process has made
// or has found that the index missed.
func (a *Archiver) Indexed(ctx context.Context) error {
	for !a.feed.idle() || !a.catchup.idle() {
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return schema.Errorf(schema.Unavailable, "wait for the index: %w", ctx.Err())
		}
	}
	return nil
}

func (a *Archiver) tookIn(bounds map[string]map[int32]kafka.Offsets) bool {
	for topic, partitions := range bounds {
		for number, b := range partitions {
			p := a.partitions[kafka.TopicPartition{Topic: topic, Partition: number}]
			if p == nil || p.stopped == "" && (p.expected < b.HighWatermark || p.guard != passed) {
				return false
			}
		}
	}
	return true
}

// target is what a Seal waits for.
type target struct {
	next   int64
	branch int32
}

// reached tells whether every partition has been sealed so far as was asked. A
// partition that was given up, or taken away, before that is an error.
func (a *Archiver) reached(targets map[*partition]target) (bool, error) {
	done := true
	for p, target := range targets {
		if p.head.Next >= target.next && p.branch() == target.branch {
			continue
		}
		ours := a.partitions[kafka.TopicPartition{Topic: p.stream.Topic, Partition: p.stream.Partition}] == p
		switch {
		case !ours:
			return false, schema.Errorf(schema.Unavailable, "%s went to another archiver before it was sealed; ask again", p.stream)
		case p.branch() != target.branch:
			return false, schema.Errorf(schema.Unavailable, "%s: Kafka holds another history than was read, it is archived as branch %d; ask again", p.stream, p.branch())
		case p.stopped != "":
			return false, schema.Errorf(schema.Unavailable, "%s is not archived any further: %s", p.stream, p.stopped)
		}
		done = false
	}
	return done, nil
}
