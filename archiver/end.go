package archiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// The chains of a topic that was deleted are ended, each by an end commit
// (docs/formats/commit.md, section 10), since nothing more of it comes
// and it must not look as if something were missing. An end is not taken back, so it
// takes certainty: every broker was asked by the topic's ID and knows none, twice,
// Options.EndAfter apart, the second time just before the commit. Whoever read the
// partition ends its chain when it has sealed what it held of it; of other chains
// nobody knows who may be about to add to them, and they wait for strangersAfter.
//
// Two that end a chain at once are harmless, as with any commit: one takes the seq,
// and the other finds an ended chain. Whoever dies before it or does not hear of it
// leaves it to the next look, of any archiver.
//
// If it proves wrong all the same, because a cluster was taken back to before the
// topic and has it again under its ID, the guard begins a branch behind the end when
// the partition is opened (diverge.go), and nothing is lost.

// strangersAfter is how long chains that this process did not read wait for their
// end: whoever read one may have records of it that a store withholds, and Kafka
// does not have them any more. Nothing else waits for the end.
const strangersAfter = time.Hour

// endAttempts bounds how often an end is tried behind commits that others place.
const endAttempts = 3

// sealed notes that this process has nothing left of a partition that it read, and
// may end its chain.
func (g *gone) sealed(s schema.Stream, d departed) {
	g.mu.Lock()
	g.ours[s.Key()] = d
	g.mu.Unlock()
	g.look()
}

// listed forgets what this process had of a topic that is listed again: it may be
// read again, by whomever.
func (g *gone) listed(id schema.TopicID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.ours {
		if key.TopicID == id {
			delete(g.ours, key)
		}
	}
}

// back forgets that a topic was gone.
func (g *gone) back(id schema.TopicID) {
	delete(g.absent, id)
	delete(g.since, id)
	g.listed(id)
}

// mine gives what this process knows of a partition that it had.
func (g *gone) mine(s schema.Stream) (departed, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, ok := g.ours[s.Key()]
	return d, ok
}

// presence is what the brokers say of a topic, asked once a look.
type presence uint8

const (
	unasked presence = iota
	there            // some broker has it
	missing          // none has, and that was not heard for long enough
	deleted          // none has had for EndAfter
)

// present asks the brokers for a topic.
func (g *gone) present(ctx context.Context, name string, id schema.TopicID) (presence, error) {
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	began := time.Now()
	gone, err := g.a.admin.Gone(asking, name, id)
	switch {
	case err != nil:
		return unasked, err
	case !gone:
		delete(g.absent, id)
		return there, nil
	case g.absent[id].IsZero():
		g.absent[id] = time.Now()
	}
	if left := g.a.options.EndAfter - began.Sub(g.absent[id]); left > 0 {
		g.again(left)
		return missing, nil
	}
	return deleted, nil
}

// again has a look made after a while.
func (g *gone) again(after time.Duration) {
	if g.soon == 0 || after < g.soon {
		g.soon = after
	}
}

// mayEnd tells whether nobody has anything to add to a chain: this process read
// the partition and has sealed what it held, or it is long since anybody can have.
func (g *gone) mayEnd(s schema.Stream, head ledger.Head, now time.Time) bool {
	g.a.mu.Lock()
	departing := g.a.departing[s.Key()] != nil
	g.a.mu.Unlock()
	if departing {
		return false
	}
	_, ours := g.mine(s)
	return ours || now.Sub(g.since[s.TopicID]) > strangersAfter && now.Sub(head.Commit.Written()) > strangersAfter
}

// end ends a chain, and returns its head. One that moved on meanwhile is left to
// the next look: whoever moved it may not be done.
func (g *gone) end(ctx context.Context, s schema.Stream, head ledger.Head) (ledger.Head, error) {
	known, _ := g.mine(s)
	for n := 1; ; n++ {
		c := g.a.commit(schema.KindEnd, s, head)
		seen := known.seen
		if seen.HighWatermark == nil { // nobody knows what came behind the chain's newest commit
			seen = head.Seen
			if seen.HighWatermark != nil && *seen.HighWatermark <= head.Next {
				seen.HighWatermark = nil
			}
		}
		c.HighWatermark, c.LastStableOffset, c.LogStart = seen.HighWatermark, seen.LastStable, seen.LogStart
		c.TopicConfigSHA256 = known.config
		now, err := g.a.ledger.Append(ctx, head, c)
		if err == nil {
			g.a.ended(s, now)
			return now, nil
		}
		var lost *ledger.LostError
		if !errors.As(err, &lost) {
			return head, fmt.Errorf("end its chain: %w", err)
		}
		before := head
		if head, err = g.a.ledger.Head(ctx, s); err != nil || head.Ended || head.Next != before.Next || head.Commit.Branch != before.Commit.Branch || n == endAttempts {
			return head, err
		}
	}
}

// ended is what follows an end commit.
func (a *Archiver) ended(s schema.Stream, head ledger.Head) {
	attrs := []any{"topic", s.Topic, "topic_id", s.TopicID.String(), "partition", s.Partition, "offset", head.Next}
	seen := head.Commit.HighWatermark
	switch {
	case seen == nil:
		a.log.Warn("topic was deleted, its chain has ended; how far Kafka's log went is not known", attrs...)
	case *seen > head.Next:
		a.log.Error("topic was deleted, its chain has ended; offsets went with it that are not archived", append(attrs, "to", *seen, "offsets", *seen-head.Next)...)
	default:
		a.log.Info("topic was deleted, its chain has ended; everything that was seen of it is archived", attrs...)
	}
	a.rollup(s, head)
}
