package kafka

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// Open is a transaction whose end was not read.
type Open struct {
	Producer int64
	From     int64 // an offset of it
}

// Ended asks the leader how transactions ended whose markers stand at an offset or
// behind it, perhaps in what cannot be read, by producer ID: true is committed. It
// does not go by the log's bytes: the last stable offset says that one has ended,
// and the aborted transactions that come with a read-committed answer, how. One
// that is open still is not in the answer.
//
// The error is Unavailable while an older transaction is open: nothing above its
// first offset is known to have ended until it does. It is ErrOffsetOutOfRange once
// the offset is deleted: the markers may be too, and what has none passes for
// committed. ErrTopicGone is as of Page.
func (a *Admin) Ended(ctx context.Context, s schema.Stream, leader Leader, at int64, open []Open) (map[int64]bool, error) {
	if len(open) == 0 {
		return nil, nil
	}
	bounds, err := a.OffsetsOf(ctx, s.Topic, s.Partition)
	if err != nil {
		return nil, err
	}
	if bounds.LogStart > at {
		return nil, schema.Errorf(schema.Unavailable, "how transactions of %s ended is not known: %w: the log starts at %d, behind %d", s, ErrOffsetOutOfRange, bounds.LogStart, at)
	}
	open = slices.SortedFunc(slices.Values(open), func(x, y Open) int { return cmp.Compare(x.From, y.From) })
	committed := map[int64]bool{}
	for i, o := range open {
		switch {
		case o.From == bounds.LastStable && i == len(open)-1:
			return committed, nil // the oldest that is open
		case o.From >= bounds.LastStable:
			return nil, schema.Errorf(schema.Unavailable, "how the transaction of producer %d at %d of %s ended is known when the one at %d has, which is open",
				open[len(open)-1].Producer, open[len(open)-1].From, s, bounds.LastStable)
		}
		got, err := a.fetchAs(ctx, readCommitted, s, leader, max(o.From, bounds.LogStart), 1)
		if err != nil {
			return nil, err
		}
		committed[o.Producer] = !slices.ContainsFunc(got.AbortedTransactions, func(t kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
			return t.ProducerID == o.Producer && t.FirstOffset <= o.From
		})
	}
	return committed, nil
}
