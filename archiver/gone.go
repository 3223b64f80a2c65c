package archiver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// settledFormat names this version of the note that a topic is settled.
const settledFormat = "annals.settled/1"

const (
	// goneEvery is how often topics that nobody archives are looked for.
	goneEvery = 10 * time.Minute
	// settleAfter is how long a topic has been gone, and how old its newest commit
	// is, before nobody is expected to add to it any more.
	settleAfter = recheckSpan
)

// gone settles the streams that no archiver opens, of topics that were deleted
// or are not archived any further: an archiver that died between a commit and
// its index rows has no next owner that would notice. Every archiver does it,
// since inserts are idempotent. And it ends the chains of those that were deleted,
// while an archiver ran or while none did (end.go).
//
// Of each topic that has a chain and is not archived it asks, once a start, for
// the note that it is settled: one GET. Without it, each stream's chain is held
// against the index at once, and again every goneEvery until a look has found
// nothing to insert, this process has known the topic gone for settleAfter, and
// the newest commit is as old or an end: a LIST a topic, and two GETs, four LISTs
// and one query of the index a stream, and a request to each broker a topic. Then
// the note is written, if all of its chains have ended; it is, once for each
// version of the extraction, the end of the cost. Finding the topics is one LIST for a thousand of them, every
// goneEvery and when a topic leaves the listing.
//
// An archiver that commits to a topic that is still in Kafka, later than settleAfter
// behind its leaving the listing, and dies at once, is not noticed: annals reindex is
// for that.
type gone struct {
	a    *Archiver
	wake chan struct{}

	mu   sync.Mutex
	left map[schema.TopicID]bool       // left the listing since they were looked at
	ours map[schema.StreamKey]departed // read by this process, which has nothing left of them

	// The rest is run's own.
	had   map[schema.TopicID]bool      // were in the listing: an older note does not speak of them
	over  map[schema.TopicID]bool      // settled, as far as this process can know
	since map[schema.TopicID]time.Time // known to be gone and not settled
	// absent is since when every broker says of a topic that there is none, and soon
	// when one is to be asked again; 0: with the next look.
	absent map[schema.TopicID]time.Time
	soon   time.Duration
}

func newGone(a *Archiver) *gone {
	return &gone{
		a: a, wake: make(chan struct{}, 1), left: map[schema.TopicID]bool{}, ours: map[schema.StreamKey]departed{},
		had: map[schema.TopicID]bool{}, over: map[schema.TopicID]bool{}, since: map[schema.TopicID]time.Time{}, absent: map[schema.TopicID]time.Time{},
	}
}

// leaves notes that a topic is not archived any further.
func (g *gone) leaves(id schema.TopicID) {
	g.mu.Lock()
	g.left[id] = true
	g.mu.Unlock()
	g.look()
}

// look asks for a look soon; the first, when topics were listed, begins it all.
func (g *gone) look() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *gone) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-g.wake:
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := retry.Between(time.Second, goneEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
			pause(ctx, time.Second) // several become one
		case <-timer.C:
		}
		g.take()
		g.soon = 0
		if g.all(ctx) > 0 {
			g.again(failing.Next())
		} else {
			failing.Reset()
		}
		g.again(retry.Spread(goneEvery))
		timer.Reset(g.soon)
	}
}

// take forgets what was known of topics that left the listing since.
func (g *gone) take() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.left {
		delete(g.over, id)
		delete(g.since, id)
		delete(g.absent, id)
		g.had[id] = true
	}
	clear(g.left)
}

// all looks at every topic that has a chain and is not settled, and returns how
// many could not be looked at.
func (g *gone) all(ctx context.Context) int {
	var ids []schema.TopicID
	for id, err := range g.a.ledger.Topics(ctx, g.a.topics.cluster) {
		if err != nil {
			if ctx.Err() == nil {
				g.a.log.Warn("no answer to which topics are archived; the index of those that are gone waits", "err", err)
			}
			return 1
		}
		if !g.over[id] {
			ids = append(ids, id)
		}
	}
	return g.several(ctx, ids)
}

func (g *gone) several(ctx context.Context, ids []schema.TopicID) (failed int) {
	pauses := retry.Between(time.Second, 30*time.Second)
	for _, id := range ids {
		if ctx.Err() != nil {
			return failed
		}
		if g.a.topics.archives(id) {
			g.back(id)
			continue
		}
		over, err := g.topic(ctx, id)
		if over {
			g.over[id] = true
			delete(g.since, id)
			delete(g.absent, id)
		}
		if err == nil {
			pauses.Reset()
			continue
		}
		if ctx.Err() != nil {
			return failed
		}
		failed++
		g.a.log.Warn("topic that is not archived any further is not settled; it is tried again", "topic_id", id.String(), "err", err)
		pause(ctx, pauses.Next()) // the others have the same store and index
	}
	return failed
}

// topic looks at one topic's streams and tells whether they need no other look.
func (g *gone) topic(ctx context.Context, id schema.TopicID) (over bool, err error) {
	note := schema.TopicSettledKey(id, g.a.topics.cluster, schema.ExtractVersion)
	if !g.had[id] {
		_, _, err = g.a.store.Get(ctx, note, maxSettledBytes)
		if err == nil {
			return true, nil
		}
		if schema.KindOf(err) != schema.NotFound {
			return false, err
		}
	}
	now := g.a.upkeep.compact.Now()
	if g.since[id].IsZero() {
		g.since[id] = now // an archiver that does not know yet may still add to it
	}
	found := settled{Format: settledFormat, Cluster: g.a.topics.cluster, TopicID: id, ExtractVersion: schema.ExtractVersion}
	quiet, all := now.Sub(g.since[id]) > settleAfter, true
	var said presence
	for s, err := range g.a.ledger.StreamsOf(ctx, g.a.topics.cluster, id) {
		if err != nil {
			return false, err
		}
		head, err := g.close(ctx, s, now, &said)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s, err)
		}
		calm, err := g.stream(ctx, s, head)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s, err)
		}
		quiet, all = quiet && calm, all && head.Ended
		found.Topic, found.Heads = s.Topic, append(found.Heads, settledHead{s.Partition, head.Commit.Seq})
	}
	switch {
	case !quiet:
		return false, nil
	case len(found.Heads) == 0:
		return true, nil
	case !all:
		return said == there, nil // one that may come back is looked at again when it leaves again, or at the next start
	}
	return true, g.put(ctx, note, &found)
}

// close gives a stream's head, behind its end if it may be ended now. said is what
// the brokers say of its topic, asked when the first stream needs it.
func (g *gone) close(ctx context.Context, s schema.Stream, now time.Time, said *presence) (ledger.Head, error) {
	if err := g.a.paced(ctx, 0); err != nil {
		return ledger.Head{}, err
	}
	head, err := g.a.ledger.Head(ctx, s)
	if err != nil || head.Ended || !g.mayEnd(s, head, now) {
		return head, err
	}
	if *said == unasked {
		if *said, err = g.present(ctx, s.Topic, s.TopicID); err != nil {
			return head, err
		}
	}
	if *said != deleted {
		return head, nil
	}
	return g.end(ctx, s, head)
}

// stream holds one chain against the index. calm tells that it has ended, or that
// nothing was missing and nothing is expected to come.
func (g *gone) stream(ctx context.Context, s schema.Stream, head ledger.Head) (calm bool, err error) {
	done, err := g.a.catchup.stream(ctx, s)
	if done.Commits > 0 {
		g.a.log.Info("index of a topic that is not archived any further caught up from the archive", "topic", s.Topic, "topic_id", s.TopicID.String(),
			"partition", s.Partition, "offset", done.to, "segments", done.Segments, "records", done.Records)
		g.a.catchup.inserted()
	}
	return head.Ended || done.Commits == 0 && g.a.upkeep.compact.Now().Sub(head.Commit.Written()) > settleAfter, err
}

// settled is the note that the chains of a deleted topic have ended, and that the
// index has all of them. It only saves work: without it the topic is looked at again.
type settled struct {
	Format         string         `json:"format"`
	Cluster        string         `json:"cluster"`
	Topic          string         `json:"topic"`
	TopicID        schema.TopicID `json:"topic_id"`
	ExtractVersion int32          `json:"extract_version"`
	Heads          []settledHead  `json:"heads"`
	Writer         string         `json:"writer"`
	Clock          string         `json:"clock"`
}

type settledHead struct {
	Partition int32 `json:"partition"`
	Seq       int64 `json:"seq,string"`
}

// maxSettledBytes is enough for 100,000 partitions.
const maxSettledBytes = 8 << 20

// unsettle takes the note of a topic back that is there again, before its chain
// goes on: it says nothing of what comes, and whoever starts when the topic is gone
// once more would believe it. Without the right to delete the chain goes on all the
// same.
func (g *gone) unsettle(ctx context.Context, s schema.Stream) error {
	key := schema.TopicSettledKey(s.TopicID, g.a.topics.cluster, schema.ExtractVersion)
	err := g.a.store.Delete(ctx, key)
	if schema.KindOf(err) == schema.Permission {
		g.a.log.Error("a note that a topic is settled is wrong and may not be deleted; delete it, or annals reindex when the topic is gone again",
			"topic", s.Topic, "topic_id", s.TopicID.String(), "key", key, "err", err)
		return nil
	}
	return err
}

func (g *gone) put(ctx context.Context, key string, found *settled) error {
	found.Writer, found.Clock = g.a.options.Writer, time.Now().UTC().Format(time.RFC3339Nano)
	return g.a.topics.note(ctx, key, found)
}

// archives tells whether a topic is archived, by the last listing.
func (t *topics) archives(id schema.TopicID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.known {
		if known.id == id {
			return true
		}
	}
	return false
}
