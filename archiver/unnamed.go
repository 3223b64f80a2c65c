package archiver

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// Brokers before Kafka 3.1 answer a fetch by the topic's name alone. If the topic
// was deleted and made anew since it was listed, the records are the new one's, and
// nothing in them tells: the offset that was asked for may be there, of the same
// leader epoch. So whoever leads is asked for the topic's ID after they came, and
// they are taken only under the stream's.

// vouched leaves out the batches of which it is not known which topic they are of:
// they are asked for again.
func (a *Archiver) vouched(ctx context.Context, batches []kafka.Batch) []kafka.Batch {
	unnamed := map[kafka.TopicPartition]schema.TopicID{}
	a.mu.Lock()
	for i := range batches {
		b := &batches[i]
		if p := a.partitions[b.TopicPartition]; p != nil && b.TopicID.IsZero() && len(b.Records) > 0 && p.stopped == "" {
			unnamed[b.TopicPartition] = p.stream.TopicID
		}
	}
	a.mu.Unlock()
	if len(unnamed) == 0 {
		return batches
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	known, err := a.admin.Vouched(asking, unnamed)
	what := cause{from: onKafka, what: "asking of which topics the records are that came"}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.clear(what)
	} else if ctx.Err() == nil {
		a.trouble(what, err)
	}
	kept := batches[:0]
	for i := range batches {
		b := &batches[i]
		id, is := unnamed[b.TopicPartition]
		switch {
		case !is:
		case known[b.TopicPartition]:
			b.TopicID = id
			for j := range b.Records {
				b.Records[j].TopicID = id
			}
		default:
			a.topics.look() // recreated: discovery will purge and add it
			if p := a.partitions[b.TopicPartition]; p != nil {
				p.seek = true
			}
			continue
		}
		kept = append(kept, *b)
	}
	return kept
}
