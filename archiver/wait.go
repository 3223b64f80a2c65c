package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// CatchUp returns when everything that Kafka held at the call, of the
// archived topics, has been taken in by this process: it is for the only
// archiver of a group.
func (a *Archiver) CatchUp(ctx context.Context) error {
	stop := a.wakeAt(ctx)
	defer stop()
	bounds, err := a.heldByKafka(ctx)
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

// heldByKafka asks what Kafka holds of the archived topics until every partition of
// them is answered for: what a partition without a leader holds nobody knows.
func (a *Archiver) heldByKafka(ctx context.Context) (map[string]map[int32]kafka.Offsets, error) {
	pauses := retry.Between(time.Second, 15*time.Second)
	for {
		// The brokers are asked, not the last listing: a topic made since counts.
		cluster, err := a.admin.Cluster(ctx)
		if err != nil {
			return nil, err
		}
		names := a.topics.wanted(cluster)
		bounds, err := a.admin.Offsets(ctx, names...)
		if err != nil {
			return nil, err
		}
		unknown := unanswered(cluster, names, bounds)
		if unknown == nil {
			return bounds, nil
		}
		a.log.Warn("what a partition holds is not known, which is waited for", "err", unknown)
		if pauses.Wait(ctx) != nil {
			return nil, schema.Errorf(schema.Unavailable, "wait for the archiver to catch up: %w", unknown)
		}
	}
}

// unanswered names a partition of some topics whose offsets were not told; nil:
// all were.
func unanswered(cluster kafka.Cluster, names []string, bounds map[string]map[int32]kafka.Offsets) error {
	asked := make(map[string]bool, len(names))
	for _, name := range names {
		asked[name] = true
	}
	for _, topic := range cluster.Topics {
		if !asked[topic.Name] {
			continue
		}
		for _, number := range topic.Partitions {
			if b, ok := bounds[topic.Name][number]; !ok || b.Err != nil {
				return fmt.Errorf("the offsets of partition %d of %s: %w", number, topic.Name, cmp.Or(b.Err, errors.New("no broker answers for it")))
			}
		}
	}
	return nil
}

// Indexed returns when the index has every commit that this process has made
// or has found that the index missed, but for those whose segments are damaged,
// which Health names.
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
		ours := a.holds(p)
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
