package archiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// assignments are the Archiver's answers to the group.
type assignments struct{ a *Archiver }

// openers is how many partitions are opened at once: each costs two LISTs.
const openers = 32

// Assigned opens partitions: the ledger's head, or a genesis, says where to
// read. It goes on trying until ctx ends: without the ledger nothing may be
// read, and the member keeps its place meanwhile.
func (as assignments) Assigned(ctx context.Context, list []kafka.TopicPartition) (map[kafka.TopicPartition]kafka.Start, error) {
	a := as.a
	a.topics.prepare(ctx, list)
	opened := make([]*partition, len(list))
	group, opening := errgroup.WithContext(ctx)
	group.SetLimit(openers)
	for i, key := range list {
		group.Go(func() error {
			p, err := a.openPatiently(opening, key)
			opened[i] = p
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	starts := make(map[kafka.TopicPartition]kafka.Start, len(list))
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, key := range list {
		if old := a.partitions[key]; old != nil {
			a.leave(old)
			a.held -= old.abandon()
			opened[i].tally, opened[i].unjoined = old.tally, old.unjoined
		}
		a.takeUp(opened[i])
		// It may have been given up, or doubted, when it was ours before.
		opened[i].resume = opened[i].stopped == "" && opened[i].guard == passed
		a.partitions[key] = opened[i]
		starts[key] = kafka.Start{Offset: opened[i].expected, LeaderEpoch: -1}
		if opened[i].stopped != "" {
			continue
		}
		if !opened[i].begun {
			a.catchup.compare(opened[i].stream)
		}
		a.log.Info("partition opened", "topic", key.Topic, "partition", key.Partition,
			"topic_id", opened[i].stream.TopicID.String(), "offset", opened[i].expected)
	}
	return starts, nil
}

func (a *Archiver) openPatiently(ctx context.Context, key kafka.TopicPartition) (*partition, error) {
	opening := cause{onStore, "opening " + key.String(), key}
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.clear(opening) // opened, or no longer ours to open
	}()
	for pauses := retry.Between(250*time.Millisecond, 10*time.Second); ; {
		p, err := a.open(ctx, key)
		a.pulse.beat() // it waits for the store, and is not stuck
		a.mu.Lock()
		if err == nil {
			a.clear(opening)
		} else if ctx.Err() == nil {
			a.trouble(opening, err)
		}
		a.mu.Unlock()
		if err == nil {
			return p, nil
		}
		if schema.KindOf(err) == schema.Corrupt {
			return a.unopened(key, err), nil // the others must not wait for it
		}
		if ended := pauses.Wait(ctx); ended != nil {
			return nil, fmt.Errorf("open partition %s: %w", key, errors.Join(ended, err))
		}
	}
}

// unopened is a partition whose chain does not hold: it is not read, and stays in
// Health until it can be opened.
func (a *Archiver) unopened(key kafka.TopicPartition, err error) *partition {
	p := newPartition(schema.Stream{Cluster: a.topics.cluster, Topic: key.Topic, Partition: key.Partition}, ledger.Head{Commit: &schema.Commit{}})
	p.stopped, p.stoppedBy, p.pause = err.Error(), onStore, true
	a.log.Error("partition is not archived: its chain does not hold", "topic", key.Topic, "partition", key.Partition, "offset", -1, "err", err)
	return p
}

func (a *Archiver) open(ctx context.Context, key kafka.TopicPartition) (*partition, error) {
	topic, err := a.topics.get(ctx, key.Topic)
	if err != nil {
		return nil, err
	}
	stream := schema.Stream{Cluster: a.topics.cluster, Topic: key.Topic, TopicID: topic.id, Partition: key.Partition}
	head, err := a.ledger.Head(ctx, stream)
	begun := schema.KindOf(err) == schema.NotFound
	if begun {
		head, err = a.genesis(ctx, stream, topic)
	}
	if err != nil {
		return nil, err
	}
	p := newPartition(stream, head)
	p.compacted, p.config, p.begun = topic.compacted, topic.config, begun
	p.retention = topic.retention
	p.epoch = a.topics.epochOf(key)
	at, under := beganAt(head.Commit)
	elected := under && !begun && p.epoch != at.Epoch
	if under {
		p.epoch = at.Epoch
	}
	if head.Commit.Kind != schema.KindGenesis || elected {
		p.guard, p.pause, p.why, p.doubtedAt = doubted, true, "opened", time.Now()
	}
	return p, nil
}

// genesis begins a stream's chain. Whoever loses the race takes the winner's.
func (a *Archiver) genesis(ctx context.Context, stream schema.Stream, topic topic) (ledger.Head, error) {
	bounds, leader, err := a.boundsUnder(ctx, stream)
	if err != nil {
		return ledger.Head{}, err
	}
	policy, at := "earliest", bounds.LogStart
	if stream.Partition < topic.latestBelow {
		policy, at = "latest", bounds.HighWatermark
	}
	c := a.commit(schema.KindGenesis, stream, ledger.Head{})
	c.Base, c.Next = at, at
	c.Start = &schema.Start{Policy: policy, LogStart: bounds.LogStart}
	beganUnder(c, leader)
	c.HighWatermark, c.LastStableOffset, c.LogStart = &bounds.HighWatermark, &bounds.LastStable, &bounds.LogStart
	c.TopicConfigSHA256 = topic.config
	head, err := a.ledger.Append(ctx, ledger.Head{}, c)
	var lost *ledger.LostError
	if errors.As(err, &lost) {
		a.catchup.compare(stream)
		return a.ledger.Head(ctx, stream)
	}
	if err == nil {
		a.feed.sealed(index.SegmentOf(c), at, telemetry.Place{})
	}
	return head, err
}

// commit fills what every commit says.
func (a *Archiver) commit(kind schema.CommitKind, stream schema.Stream, head ledger.Head) *schema.Commit {
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind,
		Cluster: stream.Cluster, Topic: stream.Topic, TopicID: stream.TopicID, Partition: stream.Partition,
		Attempt: uuid.NewString(), Writer: a.options.Writer,
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: a.options.Build},
		Clock:    time.Now().UTC().Format(time.RFC3339Nano),
	}
	if head.Commit != nil {
		digest := head.Digest
		c.Branch, c.Seq, c.Previous = head.Commit.Branch, head.Commit.Seq+1, &digest
		c.Base, c.Next = head.Next, head.Next
	}
	return c
}

// Revoked seals what is worth it while the partition is still ours, and drops
// the rest, and what the store did not take in time: the next owner reads it again.
func (as assignments) Revoked(ctx context.Context, list []kafka.TopicPartition) {
	a := as.a
	bounded, cancel := context.WithDeadline(ctx, a.sealBy())
	defer cancel()
	stop := a.wakeAt(bounded)
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, key := range list {
		if p := a.partitions[key]; p != nil && !p.sealing && p.cuttable(p.decided) && p.decidedRaw >= a.cutAt.MinBytes {
			a.enqueue(p.cut(cutRevoked, p.most(p.decided, a.cutAt.Bytes), now))
		}
	}
	for bounded.Err() == nil && a.anySealing(list) {
		a.changed.Wait()
	}
	a.drop(list, "revoked")
}

func (a *Archiver) anySealing(list []kafka.TopicPartition) bool {
	for _, key := range list {
		if p := a.partitions[key]; p != nil && p.sealing {
			return true
		}
	}
	return false
}

// Lost drops everything at once: somebody else may be reading already.
func (as assignments) Lost(_ context.Context, list []kafka.TopicPartition) {
	as.a.mu.Lock()
	defer as.a.mu.Unlock()
	as.a.drop(list, "lost")
}

// drop forgets partitions. A segment still under way may yet be committed,
// which is harmless: whoever reads on starts from the ledger.
func (a *Archiver) drop(list []kafka.TopicPartition, why string) {
	for _, key := range list {
		if p := a.partitions[key]; p != nil {
			a.leave(p)
			a.held -= p.abandon()
			a.clear(causeOfSealing(p))
			a.clear(causeOfReading(key))
			a.clear(causeOfGuard(key))
			a.clear(causeOfCompacting(p))
			a.bury(p)
			delete(a.partitions, key)
			a.log.Info("partition dropped", "topic", key.Topic, "partition", key.Partition, "why", why, "offset", p.head.Next)
		}
	}
	a.changed.Broadcast()
}
