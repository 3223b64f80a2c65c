package archiver_test

import (
	"crypto/sha256"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
)

// A topic was compacted, and then deleted in Kafka and made again under its name.
// Nobody compacts what is left of the first, and no archiver collects of it;
// a collection that is asked for does, of that topic alone where it is named,
// and leaves what the ledger needs: every row can still be read, and the archive
// verified. Its chain stays where it is.
func TestDeletedTopicIsCollectedWhenAsked(t *testing.T) {
	t.Parallel()
	r, a, gone, sent := smallSegments(t, nil)
	_, err := a.Compact(t.Context())
	must(t, err)
	for range 3 { // sealed since, and small
		sent += len(r.produce(t, "days", 0, 20))
		r.sealed(t, a, gone, int64(sent))
	}
	orphan := schema.SegmentKey(gone, 0, 7, schema.Digest(sha256.Sum256([]byte("an orphan"))))
	_, err = r.store.Put(t.Context(), orphan, []byte("an orphan"))
	must(t, err)
	chain := r.kinds(t, gone)

	_, err = kadm.NewClient(r.client).DeleteTopic(t.Context(), "days")
	must(t, err)
	r.client.PurgeTopicsFromClient("days")
	now := r.stream("days", r.topic(t, "days", 1), 0)
	if now.TopicID == gone.TopicID {
		t.Fatal("the topic has its old ID")
	}
	again := len(r.produce(t, "days", 0, 30))
	r.sealed(t, a, now, int64(again))
	must(t, a.Indexed(t.Context()))

	// Its archiver's clock is two weeks ahead: all is old enough, and not its own.
	done, err := a.Compact(t.Context())
	must(t, err)
	left, err := a.Collect(t.Context(), false)
	must(t, err)
	if done.Joined != 0 || len(left) > 0 || r.kinds(t, gone) != chain {
		t.Errorf("compacted %+v, collected %+v, the chain is %s, was %s", done, left, r.kinds(t, gone), chain)
	}

	const week = 8 * 24 * time.Hour
	other := archiver.CollectOptions{Delete: true, Topics: func(name string) bool { return name == "other" }}
	if _, some, err := r.collectAll(t, week, other); err != nil || len(some) > 0 {
		t.Errorf("of another topic: %+v, %v", some, err)
	}
	would, listed, err := r.collectAll(t, week, archiver.CollectOptions{})
	must(t, err)
	if _, _, err := r.store.Get(t.Context(), orphan, 100); err != nil || len(listed) != 8 || would.Gone["replaced"].Count != 6 {
		t.Errorf("without being told to delete: %d objects, %+v, %v", len(listed), would, err)
	}
	asked := archiver.CollectOptions{Delete: true, Topics: func(name string) bool { return name == "days" }}
	did, some, err := r.collectAll(t, week, asked)
	must(t, err)
	if len(some) != 8 || did.Streams != 2 || len(did.Left) > 0 {
		t.Errorf("collected %d objects, %+v", len(some), did)
	}
	if _, _, err := r.store.Get(t.Context(), orphan, 100); schema.KindOf(err) != schema.NotFound {
		t.Errorf("the orphan: %v", err)
	}
	if r.kinds(t, gone) != chain {
		t.Errorf("the chain is %s, was %s", r.kinds(t, gone), chain)
	}

	for s, want := range map[schema.Stream]int{gone: sent, now: again} {
		if n := r.currentRows(t, s); n != want {
			t.Errorf("%s: %d rows can be read, want %d", s, n, want)
		}
	}
	report, err := custody.VerifyArchive(t.Context(), r.store, r.book, custody.ArchiveOptions{})
	must(t, err)
	if report.Result != custody.OK || report.Chains != 2 || report.Orphans > 0 {
		t.Errorf("%s: %+v %+v", report.Result, report, report.Findings)
	}
	if _, some, err := r.collectAll(t, week, asked); err != nil || len(some) > 0 {
		t.Errorf("a second time: %+v, %v", some, err)
	}
}

// currentRows reads every row that a stream's view has, and counts them.
func (r *rig) currentRows(t *testing.T, s schema.Stream) (n int) {
	t.Helper()
	view, err := r.book.View(t.Context(), s, nil)
	must(t, err)
	for _, of := range view.Current() {
		raw, err := io.ReadAll(io.NewSectionReader(r.store.ReaderAt(t.Context(), of.Ref.Key, of.Ref.Bytes), 0, of.Ref.Bytes))
		must(t, err)
		for _, row := range segmenttest.Read(t, raw) {
			if row.Offset != int64(n) {
				t.Fatalf("%s: offset %d stands where %d should", s, row.Offset, n)
			}
			n++
		}
	}
	return n
}
