package archiver_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// second places a commit of another writer behind the head.
func (w *twoHistories) second(t *testing.T, kind schema.CommitKind, fill func(*schema.Commit)) ledger.Head {
	t.Helper()
	head, err := w.book.Head(t.Context(), w.stream)
	must(t, err)
	digest := head.Digest
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind, Cluster: w.stream.Cluster, Topic: w.stream.Topic, TopicID: w.stream.TopicID,
		Branch: head.Commit.Branch, Seq: head.Commit.Seq + 1, Previous: &digest, Attempt: uuid.NewString(), Writer: "second",
		Base: head.Next, Next: head.Next, Versions: schema.Versions{Segment: "annals.segment/1", Extract: 1, Build: "test"},
		Clock: time.Now().UTC().Format(time.RFC3339Nano),
	}
	fill(c)
	placed, err := w.book.Append(t.Context(), head, c)
	must(t, err)
	return placed
}

// While records are buffered another writer commits. What archives nothing,
// and takes nothing back, costs one more attempt and no reading; a branch
// costs the buffer.
func TestCommitOfAnotherWriterBetween(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between func(t *testing.T, w *twoHistories)
		again   bool
	}{
		"a hold": {between: func(t *testing.T, w *twoHistories) {
			w.second(t, schema.KindHold, func(c *schema.Commit) { c.Authority = &schema.Authority{Reason: "case", RequestedBy: "second"} })
		}},
		"a compaction": {between: func(t *testing.T, w *twoHistories) {
			segments, err := w.book.Segments(t.Context(), w.stream)
			must(t, err)
			old := segments[0]
			w.second(t, schema.KindCompaction, func(c *schema.Commit) {
				c.Base, c.Next, c.Records = old.Base, old.Next, old.Records
				c.Segment, c.Replaced = &old.Ref, []schema.ObjectRef{old.Ref.ObjectRef}
			})
		}},
		"a branch": {again: true, between: func(t *testing.T, w *twoHistories) {
			w.second(t, schema.KindDivergence, func(c *schema.Commit) {
				c.Branch++
				c.Divergence = &schema.Divergence{ArchivedNext: c.Next, BranchPoint: c.Next, Evidence: "test"}
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwoHistories(t)
			w.metrics = prometheus.NewRegistry()
			a, _ := w.archive(t, func(o *archiver.Options) { o.Registerer = w.metrics })
			w.archivesWhatIsServed(t, a)
			w.say(t, "more", only)
			embeddedtest.Eventually(t, 30*time.Second, func() error {
				if n := w.metric(t, "annals_archiver_unsealed_records", ""); n != only {
					return fmt.Errorf("%.0f records are buffered", n)
				}
				return nil
			})
			c.between(t, w)
			branches := w.archivesWhatIsServed(t, a)
			if (len(branches) > 1) != c.again {
				t.Errorf("%d branches", len(branches))
			}
			want := float64(shared + only)
			if c.again {
				want += only
			}
			if n := w.metric(t, "annals_archiver_records_total", ""); n != want {
				t.Errorf("%.0f records were read, want %.0f", n, want)
			}
		})
	}
}

// counted counts the ranged reads of a store.
type counted struct {
	archiver.Store
	reads atomic.Int64
}

type countedReader struct {
	io.ReaderAt
	reads *atomic.Int64
}

func (c *counted) ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt {
	return countedReader{c.Store.ReaderAt(ctx, key, size), &c.reads}
}

func (r countedReader) ReadAt(p []byte, at int64) (int, error) {
	r.reads.Add(1)
	return r.ReaderAt.ReadAt(p, at)
}

// To open a partition whose newest segment is of some size costs few requests,
// and none where nothing is archived.
func TestGuardCostsFewRequests(t *testing.T) {
	t.Parallel()
	w := newTwoHistories(t)
	random := rand.NewChaCha8([32]byte{})
	var records []*kgo.Record
	for range 4000 {
		value := make([]byte, 500)
		_, _ = random.Read(value) // never fails
		records = append(records, &kgo.Record{Topic: "log", Key: value[:16], Value: value, Headers: []kgo.RecordHeader{{Key: "h", Value: value[:30]}}})
	}
	count := &counted{Store: w.store}
	w.objects = count
	a, stop := w.run(t)
	must(t, a.CatchUp(t.Context()))
	if n := count.reads.Load(); n != 0 {
		t.Errorf("%d reads where nothing was archived", n)
	}
	must(t, w.client.ProduceSync(t.Context(), records...).FirstErr())
	w.archivesWhatIsServed(t, a)
	must(t, a.Indexed(t.Context())) // or the index would read segments, too
	stop()
	count.reads.Store(0)
	a, _ = w.run(t)
	w.archivesWhatIsServed(t, a)
	n := count.reads.Load()
	t.Logf("%d reads", n)
	if same := w.metric(t, "annals_archiver_guards_total", "same"); same != 1 || n < 1 || n > 3 {
		t.Errorf("%d reads for %.0f guards, at most 3", n, same)
	}
}
