package archiver_test

import (
	"context"
	"crypto/sha256"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// later is a store, and with After a machine, whose clock is that much ahead.
type later struct {
	*objstore.Store
	by time.Duration
}

func (s later) Clock(ctx context.Context, key string) (time.Time, error) {
	at, err := s.Store.Clock(ctx, key)
	return at.Add(s.by), err
}

func (s later) now() time.Time { return time.Now().Add(s.by) }

// collectAll collects of a rig's whole archive, as a command does.
func (r *rig) collectAll(t *testing.T, by time.Duration, o archiver.CollectOptions) (archiver.CollectReport, []archiver.Collected, error) {
	t.Helper()
	var some []archiver.Collected
	s := later{r.store, by}
	o.Now, o.Each = s.now, func(_ schema.Stream, c archiver.Collected) { some = append(some, c) }
	report, err := archiver.CollectAll(t.Context(), s, r.book, r.log, o)
	return report, some, err
}

// Without an archiver, an archive is collected as one does it: what would go is
// said first, and is then what goes; what is too young stays and is counted; a
// chain that is damaged is left alone, and the others are not.
func TestWholeArchiveIsCollected(t *testing.T) {
	t.Parallel()
	r, a, s, _ := smallSegments(t, nil)
	_, err := a.Compact(t.Context())
	must(t, err)
	put := func(of schema.Stream, base, next int64, word string) string {
		key := schema.SegmentKey(of, base, next, schema.Digest(sha256.Sum256([]byte(word))))
		_, err := r.store.Put(t.Context(), key, []byte(word))
		must(t, err)
		return key
	}
	orphan := put(s, 0, 7, "an orphan")
	ahead := put(s, 1_000_000, 1_000_007, "of somebody who has not committed yet")
	other := r.stream("others", r.topic(t, "others", 1), 0)
	sent := r.produce(t, "others", 0, 5)
	r.sealed(t, a, other, int64(len(sent)))
	broken := other
	broken.TopicID[3] ^= 1
	_, err = r.store.Put(t.Context(), schema.CommitKey(broken, 0), []byte("no commit"))
	must(t, err)

	young, none, err := r.collectAll(t, time.Hour, archiver.CollectOptions{Delete: true})
	must(t, err)
	if len(none) > 0 || young.Waiting["orphan"].Count != 1 || young.Waiting["replaced"].Count != 6 || young.Streams != 2 {
		t.Errorf("an hour later %v go: %+v", none, young)
	}
	if until := time.Until(young.From); until < 6*24*time.Hour || until > 7*24*time.Hour {
		t.Errorf("the first can go in %s", until)
	}
	if len(young.Left) != 1 || young.Left[0].Stream.TopicID != broken.TopicID {
		t.Errorf("left alone: %+v", young.Left)
	}

	const week = 8 * 24 * time.Hour
	would, listed, err := r.collectAll(t, week, archiver.CollectOptions{})
	must(t, err)
	_, _, err = r.store.Get(t.Context(), orphan, 100)
	must(t, err) // a dry run
	did, gone, err := r.collectAll(t, week, archiver.CollectOptions{Delete: true})
	must(t, err)
	if len(listed) != 8 || len(gone) != 8 || would.Gone["orphan"] != did.Gone["orphan"] || would.Gone["replaced"] != did.Gone["replaced"] || did.Gone["job"].Count != 1 {
		t.Fatalf("said %+v, did %+v", would, did)
	}
	for i := range listed {
		if listed[i] != gone[i] || listed[i].Since.IsZero() {
			t.Errorf("said %+v, did %+v", listed[i], gone[i])
		}
	}
	if _, _, err := r.store.Get(t.Context(), orphan, 100); schema.KindOf(err) != schema.NotFound {
		t.Errorf("the orphan: %v", err)
	}
	_, _, err = r.store.Get(t.Context(), ahead, 100)
	must(t, err)
	must(t, a.Indexed(t.Context()))
}

// An age below the least, a topic that was not asked for, and a machine that
// believes to be in next week delete nothing.
func TestNothingYoungIsCollected(t *testing.T) {
	t.Parallel()
	r, a, _, _ := smallSegments(t, nil)
	_, err := a.Compact(t.Context())
	must(t, err)
	if _, _, err := r.collectAll(t, 0, archiver.CollectOptions{Delete: true, After: time.Hour}); schema.KindOf(err) != schema.Invalid || err == nil {
		t.Errorf("an age of an hour: %v", err)
	}
	report, gone, err := r.collectAll(t, 8*24*time.Hour, archiver.CollectOptions{Delete: true, Topics: func(name string) bool { return name != "days" }})
	if err != nil || len(gone) > 0 || report.Streams != 0 {
		t.Errorf("of no topic: %v, %+v, %v", gone, report, err)
	}
	wrong := archiver.CollectOptions{Delete: true, Now: func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }}
	said, err := archiver.CollectAll(t.Context(), r.store, r.book, r.log, wrong)
	if err == nil || !strings.Contains(err.Error(), "clock") || len(said.Gone) > 0 {
		t.Errorf("with a clock of next week: %v, %+v", err, said)
	}
}

// puttingAgain is a store of which an object is put again when its stream's
// folder has been listed.
type puttingAgain struct {
	later
	key  string
	body []byte
}

func (s puttingAgain) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		for o, err := range s.later.List(ctx, prefix, after) {
			if !yield(o, err) {
				return
			}
		}
		if strings.HasPrefix(s.key, prefix) && s.key != prefix {
			if _, err := s.Put(ctx, s.key, s.body); err != nil {
				yield(objstore.Object{}, err)
			}
		}
	}
}

// A raw batch that nobody names has the name of one that somebody keeps now: what
// was put again since it was listed stays, as a commit may name it by then.
func TestOrphanPutAgainIsKept(t *testing.T) {
	t.Parallel()
	r, _, s, _ := smallSegments(t, nil)
	body := []byte("as fetched")
	key := schema.BatchKey(s, 0, 7, sha256.Sum256(body))
	_, err := r.store.Put(t.Context(), key, body)
	must(t, err)
	time.Sleep(1100 * time.Millisecond) // stores date objects in seconds
	store := puttingAgain{later{r.store, 8 * 24 * time.Hour}, key, body}
	for _, c := range []struct {
		store archiver.Dated
		gone  int64
	}{{store, 0}, {store.later, 1}} {
		report, err := archiver.CollectAll(t.Context(), c.store, r.book, r.log, archiver.CollectOptions{Delete: true, Now: store.now})
		if err != nil || report.Gone["orphan"].Count != c.gone {
			t.Errorf("%+v, %v: want %d orphans gone", report, err, c.gone)
		}
	}
}
