package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readPatience is how long a read of records that are known to exist may see
// nothing new. It is longer than a transaction may stay open, which hides them.
const readPatience = 45 * time.Second

// span is a range of offsets: from is included, to is not.
type span struct{ from, to int64 }

// partition names a partition.
type partition struct {
	topic  string
	number int32
}

// readCommitted calls each with the committed records of the spans, in order
// within a partition. The offset before a span's end must be a record or a
// transaction marker, or the read waits for it in vain and fails.
func readCommitted(ctx context.Context, cfg Config, name string, spans map[partition]span, each func(*kgo.Record)) error {
	offsets := map[string]map[int32]kgo.Offset{}
	open := 0
	for p, s := range spans {
		if s.from >= s.to {
			continue
		}
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.Offset{}
		}
		offsets[p.topic][p.number] = kgo.NewOffset().At(s.from)
		open++
	}
	if open == 0 {
		return nil
	}
	opts, err := cfg.client(name)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(offsets), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())...)
	if err != nil {
		return fmt.Errorf("open reader: %w", err)
	}
	defer cl.Close()
	for open > 0 {
		pollCtx, cancel := context.WithTimeout(ctx, readPatience)
		fetches := cl.PollFetches(pollCtx)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, context.DeadlineExceeded) {
				return fmt.Errorf("read %s: nothing came for %s although records are missing: was the topic deleted and created again?", describe(spans), readPatience)
			}
			return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			p := partition{r.Topic, r.Partition}
			s, wanted := spans[p]
			if !wanted || r.Offset >= s.to || s.from >= s.to {
				return
			}
			if !r.Attrs.IsControl() {
				each(r)
			}
			s.from = r.Offset + 1
			spans[p] = s
			if s.from >= s.to {
				open--
				cl.PauseFetchPartitions(map[string][]int32{r.Topic: {r.Partition}})
			}
		})
	}
	return nil
}

// describe names what is still to be read.
func describe(spans map[partition]span) string {
	for p, s := range spans {
		if s.from < s.to {
			return fmt.Sprintf("%s/%d from offset %d to %d", p.topic, p.number, s.from, s.to)
		}
	}
	return "nothing"
}

// newest returns the last committed record of every partition of a topic that
// wanted takes, in no particular order.
func newest(ctx context.Context, cfg Config, name string, cl *kgo.Client, topic string, wanted func(*kgo.Record) bool) ([]*kgo.Record, error) {
	admin := kadm.NewClient(cl)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list start offsets of %s: %w", topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	last := map[int32]*kgo.Record{}
	// An aborted transaction, or somebody else's records, may end a partition:
	// look further back until a record is found or the partition's start is
	// reached.
	searched := map[int32]int64{} // from which offset on there is nothing
	for back := int64(64); ; back *= 16 {
		spans := map[partition]span{}
		ends.Each(func(end kadm.ListedOffset) {
			start, _ := starts.Lookup(topic, end.Partition)
			until, again := searched[end.Partition]
			if !again {
				until = end.Offset
			}
			if last[end.Partition] == nil && start.Offset < until {
				from := max(start.Offset, end.Offset-back)
				spans[partition{topic, end.Partition}] = span{from, end.Offset}
				searched[end.Partition] = from
			}
		})
		if len(spans) == 0 {
			break
		}
		if err := readCommitted(ctx, cfg, name, spans, func(r *kgo.Record) {
			if wanted(r) {
				last[r.Partition] = r
			}
		}); err != nil {
			return nil, err
		}
	}
	records := make([]*kgo.Record, 0, len(last))
	for _, r := range last {
		records = append(records, r)
	}
	return records, nil
}
