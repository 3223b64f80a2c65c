package archiver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// forgetful is an index that loses what it is given while it is told to, as one
// does for whoever dies between a commit and its rows. It notes which streams
// were held against it.
type forgetful struct {
	archiver.Index
	loses atomic.Bool
	mu    sync.Mutex
	asked map[schema.TopicID]int
}

func (x *forgetful) InsertRecords(ctx context.Context, rows []index.Row, at time.Time) error {
	if x.loses.Load() {
		return nil
	}
	return x.Index.InsertRecords(ctx, rows, at)
}

func (x *forgetful) InsertSegments(ctx context.Context, rows []index.SegmentRow) error {
	if x.loses.Load() {
		return nil
	}
	return x.Index.InsertSegments(ctx, rows)
}

func (x *forgetful) FirstMissing(ctx context.Context, s schema.Stream, version int32) (int64, error) {
	x.mu.Lock()
	x.asked[s.TopicID]++
	x.mu.Unlock()
	return x.Index.FirstMissing(ctx, s, version)
}

// noted notes which topics were asked for whether they are settled.
type noted struct {
	*objstore.Store
	asked chan string
}

func (s *noted) Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error) {
	if strings.HasPrefix(key, schema.TopicsPrefix) {
		s.asked <- key
	}
	return s.Store.Get(ctx, key, limit)
}

// TestTopicsThatAreGoneAreSettled: what the index misses of a topic that was
// deleted, while an archiver ran or while none did, is inserted, though nobody
// opens its partitions again. That it was is noted once it has stayed so, and
// then nobody looks again.
func TestTopicsThatAreGoneAreSettled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := &forgetful{Index: r.index, asked: map[schema.TopicID]int{}}
	r.through = x
	remove := func(topic string) {
		t.Helper()
		_, err := kadm.NewClient(r.client).DeleteTopic(t.Context(), topic)
		must(t, err)
	}
	indexed := func(s schema.Stream, want string) {
		t.Helper()
		embeddedtest.Eventually(t, 20*time.Second, func() error {
			head, err := r.book.Head(t.Context(), s)
			must(t, err)
			missing, err := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion)
			if err == nil && missing <= head.Commit.Seq {
				err = fmt.Errorf("commit %d of %s is not indexed", missing, s)
			}
			return err
		})
		if n := r.sql(t, "SELECT uniqExact(topic_id, offset) FROM DB.records"); n != want {
			t.Fatalf("%s records are indexed, want %s", n, want)
		}
	}
	archive := func(topic string, n int) (schema.Stream, func()) {
		t.Helper()
		s := r.stream(topic, r.topic(t, topic, 1), 0)
		r.produce(t, topic, 0, n)
		x.loses.Store(true)
		a, stop := r.archive(t, nil)
		r.sealed(t, a, s, int64(n))
		must(t, a.Indexed(t.Context()))
		x.loses.Store(false)
		return s, stop
	}

	first, stop := archive("while-one-runs", 20)
	remove("while-one-runs")
	r.topic(t, "while-one-runs", 1)
	indexed(first, "20")
	stop()
	second, stop := archive("while-none-runs", 10)
	stop()
	remove("while-none-runs")
	_, stop = r.archive(t, nil)
	indexed(second, "30")
	stop()
	notes := []string{settledKey(first), settledKey(second)}
	slices.Sort(notes)
	for _, note := range notes {
		if _, _, err := r.store.Get(t.Context(), note, 1<<20); schema.KindOf(err) != schema.NotFound {
			t.Errorf("%s is there, though commits may be under way: %v", note, err)
		}
	}

	another := r.settle(t, notes)

	store := &noted{r.store, make(chan string, 10)}
	r.objects = store
	clear(x.asked)
	r.archive(t, nil)
	asked := []string{<-store.asked, <-store.asked, <-store.asked}
	// One topic after the other: what is asked of all but the last has been.
	for _, s := range []schema.Stream{first, second} {
		x.mu.Lock()
		if slices.Contains(asked[:2], settledKey(s)) && x.asked[s.TopicID] > 0 {
			t.Errorf("%s is settled and was held against the index again", s)
		}
		x.mu.Unlock()
	}
	notes = append(notes, settledKey(another))
	slices.Sort(notes)
	if slices.Sort(asked); !slices.Equal(asked, notes) {
		t.Errorf("asked for %q, want %q", asked, notes)
	}
}

// settle runs an archiver until the notes are there, and gives one more topic's
// stream, that is gone and is not settled. Its clock is an hour ahead,
// so that the newest commits are old; but archivers that do not know yet that
// the topics are gone may be about to add to them, so it must have known it for
// a while itself: another hour passes, and the leaving of a topic of which
// nothing is archived makes it look again.
func (r *rig) settle(t *testing.T, notes []string) schema.Stream {
	t.Helper()
	another := r.stream("another", r.topic(t, "another", 1), 0)
	var hours atomic.Int64
	hours.Store(1)
	a, stop := r.archive(t, func(o *archiver.Options) {
		o.EndAfter = time.Millisecond
		o.Compact = archiver.Compact{Off: true, Now: func() time.Time {
			return time.Now().Add(time.Duration(hours.Load()) * time.Hour)
		}}
	})
	r.produce(t, "another", 0, 1)
	r.sealed(t, a, another, 1)
	time.Sleep(2 * time.Second) // the first look; what it wrongly wrote would be seen
	for _, note := range notes {
		if _, _, err := r.store.Get(t.Context(), note, 1<<20); schema.KindOf(err) != schema.NotFound {
			t.Errorf("%s is there at the first look: %v", note, err)
		}
	}
	hours.Store(2)
	_, err := kadm.NewClient(r.client).DeleteTopic(t.Context(), "another")
	must(t, err)
	for _, note := range notes {
		embeddedtest.Eventually(t, 20*time.Second, func() error { _, _, err := r.store.Get(t.Context(), note, 1<<20); return err })
	}
	stop()
	return another
}

func settledKey(s schema.Stream) string {
	return schema.TopicSettledKey(s.TopicID, s.Cluster, schema.ExtractVersion)
}

// TestNoteThatProvedWrong: a topic was settled, was there again, and was deleted
// while no archiver ran. Its chain is ended all the same.
func TestNoteThatProvedWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 5)
	a, stop := r.archive(t, endsSoon)
	must(t, a.CatchUp(t.Context()))
	show := r.hide(t, true)
	ended := r.hasEnded(t, s, 5)
	// As an archiver writes it an hour later.
	_, err := r.store.Put(t.Context(), settledKey(s), fmt.Appendf(nil,
		`{"format":"annals.settled/1","cluster":%q,"topic":"orders","topic_id":%q,"extract_version":%d,"heads":[{"partition":0,"seq":"%d"}],"writer":"test","clock":"2026-01-01T00:00:00Z"}`,
		s.Cluster, s.TopicID.String(), schema.ExtractVersion, ended.Head.Commit.Seq))
	must(t, err)
	show()
	r.produce(t, "orders", 0, 5)
	r.sealed(t, a, s, 10)
	stop()
	r.deleteTopic(t, "orders")
	r.hasEndedLater(t, s, 10)
}
