package archiver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
)

// dependency names what a trouble comes from, as the readiness probe does.
type dependency string

const (
	onKafka dependency = "kafka"
	onStore dependency = "store"
	onIndex dependency = "index"
	onSpool dependency = "spool"
)

// cause is one thing that can go wrong, and pass.
type cause struct {
	from dependency
	what string
	of   kafka.TopicPartition // the partition that it concerns; zero: it is not one's
}

// trouble notes that something stands in the way; it is logged once, until it
// has passed. Needs mu.
func (a *Archiver) trouble(c cause, err error) { a.troubleIn(context.Background(), c, err) }

// troubleIn is trouble for what is traced. Needs mu.
func (a *Archiver) troubleIn(ctx context.Context, c cause, err error) {
	if a.troubles[c] == "" {
		a.log.ErrorContext(ctx, "trouble", a.about(c, "with", c.what, "err", err)...)
	}
	a.troubles[c] = err.Error()
}

// about names the partition that a cause concerns, and where its ledger ends:
// the first offset that the trouble keeps from being archived. Needs mu.
func (a *Archiver) about(c cause, more ...any) []any {
	if c.of.Topic == "" {
		return more
	}
	offset := int64(-1) // it is not open
	if p := a.partitions[c.of]; p != nil {
		offset = p.head.Next
	}
	return append([]any{"topic", c.of.Topic, "partition", c.of.Partition, "offset", offset}, more...)
}

// clear notes that it has passed. Needs mu.
func (a *Archiver) clear(c cause) { a.clearIn(context.Background(), c) }

// clearIn is clear for what is traced. Needs mu.
func (a *Archiver) clearIn(ctx context.Context, c cause) {
	if a.troubles[c] != "" {
		a.log.InfoContext(ctx, "recovered", a.about(c, "with", c.what)...)
		delete(a.troubles, c)
	}
}

// causeOfSealing and causeOfReading are a partition's own: they pass when it is
// dropped.
func causeOfSealing(p *partition) cause {
	return cause{onStore, "sealing " + p.stream.String(), kafkaKey(p.stream)}
}

func causeOfReading(key kafka.TopicPartition) cause {
	return cause{onKafka, "reading " + key.String(), key}
}

// lettersHeldUp says that dead letters cannot be kept now, or, with nil, that
// they can.
func (a *Archiver) lettersHeldUp(err error) {
	what := cause{from: onStore, what: "keeping dead letters"}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.clear(what)
		return
	}
	a.trouble(what, err)
}

// mostSaid is how many troubles with one dependency Health lists.
const mostSaid = 50

// Health returns what stands in the way now, by dependency (kafka, store,
// index, spool); empty when nothing does. What can pass is retried until it does. A
// partition that was given up is here until it could be opened again.
func (a *Archiver) Health() map[string]string {
	found := map[dependency][]string{}
	a.mu.Lock()
	for _, c := range slices.SortedFunc(maps.Keys(a.troubles), func(x, y cause) int { return strings.Compare(x.what, y.what) }) {
		found[c.from] = append(found[c.from], c.what+": "+a.troubles[c])
	}
	for _, p := range a.partitions {
		if p.stopped != "" {
			found[p.stoppedBy] = append(found[p.stoppedBy], fmt.Sprintf("%s is not archived any further: %s", p.stream, p.stopped))
		}
	}
	for _, p := range a.partitions {
		if p.aside {
			found[onKafka] = append(found[onKafka], fmt.Sprintf("%s waits at offset %d for the end of an open transaction, since %s",
				p.stream, p.expected, p.blockedSince.UTC().Format(time.RFC3339)))
		}
	}
	a.mu.Unlock()
	a.steps.late(saidAfter, func(s *step, took time.Duration) {
		if s.from != "" { // else only /healthz can say it: nothing else is ill
			found[s.from] = append(found[s.from], fmt.Sprintf("%s has not come to an end for %s", s.what, took.Round(time.Second)))
		}
	})
	if err := a.feed.trouble(); err != nil {
		found[onIndex] = append(found[onIndex], err.Error())
	}
	if err := a.catchup.damage(); err != nil {
		found[onStore] = append(found[onStore], err.Error())
	}
	out := make(map[string]string, len(found))
	for from, troubles := range found {
		text := strings.Join(troubles[:min(len(troubles), mostSaid)], "; ")
		if more := len(troubles) - mostSaid; more > 0 {
			text += fmt.Sprintf("; and %d more, which the log names", more)
		}
		out[string(from)] = text
	}
	return out
}

// giveUp stops reading and sealing a partition, until it is opened again, and
// gives its memory back: what it held is still in Kafka. Needs mu.
func (a *Archiver) giveUp(p *partition, by dependency, err error) {
	if last := p.last(); last != nil {
		p.shownLast = last // what it gave to the index is held against the log when it is opened again
	}
	a.held -= p.discard(p.head)
	p.seek, p.stopped, p.stoppedBy = false, err.Error(), by
	p.pause, p.resume = true, false
	a.clear(causeOfSealing(p))
	a.log.Error("partition is not archived any further", "topic", p.stream.Topic, "partition", p.stream.Partition,
		"offset", p.head.Next, "err", err)
}

// inTheWay counts what Health tells, by dependency.
func (a *Archiver) inTheWay() map[dependency]int {
	found := map[dependency]int{onKafka: 0, onStore: 0, onIndex: 0, onSpool: 0}
	a.mu.Lock()
	for c := range a.troubles {
		found[c.from]++
	}
	for _, p := range a.partitions {
		if p.stopped != "" {
			found[p.stoppedBy]++
		}
		if p.aside {
			found[onKafka]++
		}
	}
	a.mu.Unlock()
	a.steps.late(saidAfter, func(s *step, _ time.Duration) {
		if s.from != "" {
			found[s.from]++
		}
	})
	if a.feed.trouble() != nil {
		found[onIndex]++
	}
	if a.catchup.damage() != nil {
		found[onStore]++
	}
	return found
}
