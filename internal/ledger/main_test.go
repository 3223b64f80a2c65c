package ledger_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for pauses more than they compute.
	if err := flag.Set("test.parallel", "16"); err != nil {
		log.Fatal(err)
	}
	embeddedtest.VerifyNoLeaks(m)
}

// open opens a ledger on a fresh prefix of the embedded store.
func open(t testing.TB, edits ...func(*objstore.Options)) (*ledger.Ledger, *objstore.Store) {
	t.Helper()
	store := objstoretest.Embedded(t, edits...)
	return ledger.New(store, nil), store
}

func stream(partition int32) schema.Stream {
	return schema.Stream{Cluster: "test-cluster", Topic: "fx.rates", TopicID: schema.TopicID{7, 1}, Partition: partition}
}

// commit makes a commit of a kind behind head, with what every kind needs. It
// leaves what the kind itself needs to edit.
func commit(s schema.Stream, head ledger.Head, kind schema.CommitKind, edits ...func(*schema.Commit)) *schema.Commit {
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind,
		Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition,
		Attempt: uuid.NewString(), Writer: "test",
		Base: head.Next, Next: head.Next,
		Versions: schema.Versions{Segment: "annals.segment/1", Extract: 1, Build: "test"},
		Clock:    "2026-01-02T03:04:05.000000006Z",
	}
	if !head.IsZero() {
		previous := head.Digest
		c.Seq, c.Previous, c.Branch = head.Commit.Seq+1, &previous, head.Commit.Branch
	}
	if kind == schema.KindGenesis {
		c.Start = &schema.Start{Policy: "earliest"}
	}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

// segment makes a commit of n rows behind head, whose object need not exist.
func segment(s schema.Stream, head ledger.Head, n int64, edits ...func(*schema.Commit)) *schema.Commit {
	c := commit(s, head, schema.KindSegment)
	c.Next = c.Base + n
	c.Records = schema.Counts{Committed: n}
	body := body(c)
	sha := schema.Digest(sha256.Sum256(body))
	c.Segment = &schema.SegmentRef{ObjectRef: schema.ObjectRef{
		Key: schema.SegmentKey(s, c.Base, c.Next, sha), SHA256: sha, Bytes: int64(len(body)),
	}}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

// body stands for a segment's bytes: to the ledger they are opaque.
func body(c *schema.Commit) []byte {
	return fmt.Appendf(nil, "rows %d to %d of %s, attempt %s", c.Base, c.Next, c.Stream(), c.Attempt)
}

// grow appends a genesis and n segments of 10 rows.
func grow(t testing.TB, l *ledger.Ledger, s schema.Stream, n int) ledger.Head {
	t.Helper()
	head := appended(t, l, ledger.Head{}, commit(s, ledger.Head{}, schema.KindGenesis))
	for range n {
		head = appended(t, l, head, segment(s, head, 10))
	}
	return head
}

func appended(t testing.TB, l *ledger.Ledger, head ledger.Head, c *schema.Commit) ledger.Head {
	t.Helper()
	next, err := l.Append(t.Context(), head, c)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// chain reads a whole chain.
func chain(t testing.TB, l *ledger.Ledger, s schema.Stream, from int64) ([]ledger.Entry, error) {
	t.Helper()
	var all []ledger.Entry
	for e, err := range l.Commits(t.Context(), s, from) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// putAll writes a chain's commits behind the ledger's back, some at a time.
func putAll(t testing.TB, store *objstore.Store, s schema.Stream, raws [][]byte) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for seq, raw := range raws {
		group.Go(func() error {
			_, err := store.Put(t.Context(), schema.CommitKey(s, int64(seq)), raw)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
