package archiver

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// A chain without rows has nothing that a log could contradict, and yet the log may
// be another one than it began in: an unclean election takes away what was below
// the first offset in scope, and gives these offsets to records that are new. So
// the commit that begins such a chain, a genesis or a divergence, names the leader
// epoch under which its next was answered. Where records of that epoch and of those
// before it end in another leader's log below next, that log was cut off there: all
// below next was theirs (KIP-101).

// beganAt is the leader epoch under which a chain without rows begins, and where; ok
// is false where its newest commit does not say.
func beganAt(c *schema.Commit) (at schema.LeaderEpoch, ok bool) {
	if c.Kind != schema.KindGenesis && c.Kind != schema.KindDivergence || len(c.LeaderEpochs) != 1 {
		return schema.LeaderEpoch{}, false
	}
	return c.LeaderEpochs[0], true
}

func (p *partition) saysBegan() bool {
	_, ok := beganAt(p.head.Commit)
	return ok
}

// beganUnder says so in a commit, where the broker knows leader epochs.
func beganUnder(c *schema.Commit, leader kafka.Leader) {
	if leader.Epoch >= 0 {
		c.LeaderEpochs = []schema.LeaderEpoch{{Epoch: leader.Epoch, Start: c.Next}}
	}
}

// boundsUnder asks where a stream's log begins and ends, and under which leader that was
// answered, of the topic that the stream is of: its name may have another by now.
func (a *Archiver) boundsUnder(ctx context.Context, s schema.Stream) (kafka.Offsets, kafka.Leader, error) {
	before, err := a.leaderOf(ctx, s)
	if err != nil {
		return kafka.Offsets{}, before, err
	}
	bounds, err := a.admin.OffsetsOf(ctx, s.Topic, s.Partition)
	if err != nil {
		return bounds, before, err
	}
	after, err := a.leaderOf(ctx, s)
	if err == nil && after != before {
		err = schema.Errorf(schema.Unavailable, "begin %s: the leadership moved while it was asked; it is asked again", s)
	}
	return bounds, after, err
}

func (a *Archiver) leaderOf(ctx context.Context, s schema.Stream) (kafka.Leader, error) {
	leader, err := a.admin.Leader(ctx, s.Topic, s.Partition)
	if err == nil && leader.TopicID != s.TopicID {
		a.topics.look() // recreated: discovery will purge and add it
		err = schema.Errorf(schema.Unavailable, "begin %s: %w: the ID is %s now", s, kafka.ErrTopicGone, leader.TopicID)
	}
	return leader, err
}

// cutBelowNext tells whether the log was cut off below where a chain without rows
// begins, and has or will have new records there.
func (g *guard) cutBelowNext(ctx context.Context, h *holding) (bool, error) {
	at, ok := beganAt(g.head.Commit)
	if !ok {
		return false, nil
	}
	if g.leader.Epoch < at.Epoch {
		if err := g.behind(g.leader, at.Epoch); err != nil {
			return false, err
		}
	}
	end, err := g.admin.EpochEnd(ctx, g.stream.Topic, g.stream.Partition, g.leader, at.Epoch)
	if err != nil || !end.Known() || end.End >= g.head.Next {
		return false, err
	}
	h.end, h.cut = end, true
	h.add("the chain began at offset %d under leader epoch %d; asked where that ends, the leader of epoch %d said %d (of epoch %d)",
		g.head.Next, at.Epoch, g.leader.Epoch, end.End, end.Epoch)
	return true, nil
}

// otherSince is why a record of a leader epoch is not taken into a chain without
// rows before a guard has asked that leader; "": it may be.
func (p *partition) otherSince(epoch int32) string {
	if _, ok := beganAt(p.head.Commit); !ok || epoch <= p.epoch {
		return ""
	}
	return fmt.Sprintf("the first record is of leader epoch %d, and the archive began under %d", epoch, p.epoch)
}
