package archiver

import (
	"context"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
)

// A broker can hold records and the client bring none of them, nor an error: of
// a batch whose lengths lie it makes nothing, and asks for it again for ever.
// So what is silent is held against the end of its log, by asking the brokers.

// listen looks for silent partitions until ctx ends.
func (a *Archiver) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if pause(ctx, a.options.Silence); ctx.Err() != nil {
			return
		}
		asked := a.silent()
		topics := a.unheard(time.Now().Add(-a.options.Silence))
		for key := range asked {
			topics[key.Topic] = true
		}
		if len(topics) == 0 {
			continue
		}
		var names []string
		for name := range topics {
			names = append(names, name)
		}
		bounded, cancel := context.WithTimeout(ctx, a.options.Silence)
		sent := time.Now()
		bounds, err := a.admin.Offsets(bounded, names...)
		cancel()
		if err != nil {
			continue // the poll and the listing say that Kafka is away
		}
		a.measure(bounds, sent)
		a.hear(asked, bounds)
	}
}

// unheard gives the topics of partitions of whose log's end nothing was heard
// since: nothing comes of them, or they are not read. How far behind they are
// is measured all the same.
func (a *Archiver) unheard(since time.Time) map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	topics := map[string]bool{}
	for key, p := range a.partitions {
		if n := len(p.marks); n == 0 || p.marks[n-1].last < since.UnixNano() {
			topics[key.Topic] = true
		}
	}
	return topics
}

// measure notes where the logs end, by answers to requests that were sent then;
// what was heard of a log since is newer.
func (a *Archiver) measure(bounds map[string]map[int32]kafka.Offsets, sent time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for key, p := range a.partitions {
		n := len(p.marks)
		if b, ok := bounds[key.Topic][key.Partition]; ok && b.Err == nil && (n == 0 || p.marks[n-1].last < sent.UnixNano()) {
			p.marks.note(b.HighWatermark, now)
		}
	}
}

// silent gives the partitions that should bring something and have not since
// the last look, each with the offset that it waits for. Where the loop was
// held back meanwhile, silence is its own doing and says nothing.
func (a *Archiver) silent() map[kafka.TopicPartition]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := map[kafka.TopicPartition]int64{}
	held := a.heldBack
	a.heldBack = false
	for key, p := range a.partitions {
		if held {
			p.quietAt, p.overdue = -1, time.Time{}
			continue
		}
		waits := p.stopped == "" && !p.aside && !p.ask && p.suspect == nil && p.guard == passed
		if waits && p.quietAt == p.position() {
			found[key] = p.position()
		}
		p.quietAt = p.position()
	}
	return found
}

// hear says which of the silent partitions have something to bring. One that
// was silent at two looks, with records to read at both, is in trouble.
func (a *Archiver) hear(asked map[kafka.TopicPartition]int64, bounds map[string]map[int32]kafka.Offsets) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, at := range asked {
		p := a.partitions[key]
		b, ok := bounds[key.Topic][key.Partition]
		if p == nil || !ok || b.Err != nil || p.position() != at || b.HighWatermark <= at || b.LogStart > at {
			if p != nil && !p.overdue.IsZero() {
				p.overdue = time.Time{}
				a.clear(causeOfReading(key))
			}
			continue
		}
		if p.overdue.IsZero() {
			p.overdue = time.Now() // it may have been produced a moment ago
			continue
		}
		err := fmt.Errorf("the log goes on to %d and nothing comes from offset %d on, since %s: what stands there may be damaged",
			b.HighWatermark, at, p.overdue.UTC().Format(time.RFC3339))
		if _, said := a.troubles[causeOfReading(key)]; !said { // else, more to the point
			a.trouble(causeOfReading(key), err)
		}
		a.suspect(p, suspicion{at: at, err: err, next: -1})
	}
}
