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
		eventually(t, 20*time.Second, func() error {
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

	later := func(o *archiver.Options) {
		o.Compact = archiver.Compact{Off: true, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	}
	_, stop = r.archive(t, later)
	for _, note := range notes {
		eventually(t, 20*time.Second, func() error { _, _, err := r.store.Get(t.Context(), note, 1<<20); return err })
	}
	stop()

	store := &noted{r.store, make(chan string, 10)}
	r.objects = store
	clear(x.asked)
	r.archive(t, later)
	asked := []string{<-store.asked, <-store.asked}
	// One topic after the other: what is asked of the first has been.
	for _, s := range []schema.Stream{first, second} {
		x.mu.Lock()
		if asked[0] == settledKey(s) && x.asked[s.TopicID] > 0 {
			t.Errorf("%s is settled and was held against the index again", s)
		}
		x.mu.Unlock()
	}
	if slices.Sort(asked); !slices.Equal(asked, notes) {
		t.Errorf("asked for %q, want %q", asked, notes)
	}
}

func settledKey(s schema.Stream) string {
	return schema.TopicSettledKey(s.TopicID, s.Cluster, schema.ExtractVersion)
}
