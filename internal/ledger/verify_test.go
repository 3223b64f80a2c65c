package ledger_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

// archive appends a genesis and n segments whose objects exist.
func archive(t testing.TB, l *ledger.Ledger, store *objstore.Store, s schema.Stream, n int) []*schema.Commit {
	t.Helper()
	head := grow(t, l, s, 0)
	var all []*schema.Commit
	for range n {
		c := segment(s, head, 10)
		if _, err := store.Put(t.Context(), c.Segment.Key, body(c)); err != nil {
			t.Fatal(err)
		}
		head = appended(t, l, head, c)
		all = append(all, c)
	}
	return all
}

func TestVerifyCountsAndFinds(t *testing.T) {
	l, store := open(t)
	s := stream(0)
	all := archive(t, l, store, s, 12)
	verify := func(deep bool) ledger.Report {
		t.Helper()
		calls := 0
		report, err := l.Verify(t.Context(), s, ledger.VerifyOptions{Deep: deep, Progress: func(ledger.Report) { calls++ }})
		if err != nil || calls == 0 {
			t.Fatalf("%d calls for progress, %v", calls, err)
		}
		return report
	}
	good := verify(true)
	if good.Findings != 0 || good.Commits != 13 || good.Segments != 12 || good.Rows.Rows() != 120 || good.Hashed != good.Bytes || good.Bytes == 0 {
		t.Fatalf("%+v", good)
	}
	if shallow := verify(false); shallow.Findings != 0 || shallow.Hashed != 0 || shallow.Bytes != good.Bytes {
		t.Fatalf("%+v", shallow)
	}
	// The same size and other bytes: only reading them tells.
	flipped := body(all[4])
	flipped[3] ^= 1
	put(t, store, all[4].Segment.Key, flipped)
	if r := verify(false); r.Findings != 0 {
		t.Errorf("sizes tell of a flipped bit: %+v", r.Listed)
	}
	if r := verify(true); r.Findings != 1 || r.Listed[0].Seq != 5 || r.Listed[0].Key != all[4].Segment.Key {
		t.Errorf("a flipped bit: %+v", r.Listed)
	}
	put(t, store, all[4].Segment.Key, flipped[1:])
	if err := store.Delete(t.Context(), all[7].Segment.Key); err != nil {
		t.Fatal(err)
	}
	if r := verify(false); r.Findings != 2 {
		t.Errorf("one too short, one gone: %+v", r.Listed)
	}
	if err := store.Delete(t.Context(), schema.CommitKey(s, 3)); err != nil {
		t.Fatal(err)
	}
	if r := verify(false); r.Findings != 1 || r.Listed[0].Seq != 3 || schema.KindOf(r.Listed[0].Err) != schema.Corrupt || r.Commits != 3 {
		t.Errorf("a commit gone: %d commits, %+v", r.Commits, r.Listed)
	}
	if _, err := l.Verify(t.Context(), stream(5), ledger.VerifyOptions{}); schema.KindOf(err) != schema.NotFound {
		t.Errorf("no chain: %v", err)
	}
}

// TestRollups makes a chain over the border of a thousand. Its commits are put
// there directly, in parallel: only reading is tested.
func TestRollups(t *testing.T) {
	counter := &objstoretest.Faults{}
	l, store := open(t, func(o *objstore.Options) { o.Transport = counter })
	s := stream(0)
	raws := encoded(t, s, 1040, "test")
	putAll(t, store, s, raws)
	if err := l.WriteRollup(t.Context(), s, 1); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a rollup of a thousand that is not full: %v", err)
	}
	want, err := chain(t, l, s, 0)
	if err != nil || len(want) != 1040 {
		t.Fatalf("%d commits, %v", len(want), err)
	}
	if err := l.WriteRollup(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	for _, from := range []int64{0, 1, 400, 999, 1000, 1039} {
		counter.Reset()
		got, err := chain(t, l, s, from)
		if err != nil || len(got) != 1040-int(from) || got[0].Digest != want[from].Digest {
			t.Fatalf("from %d: %d commits, %v", from, len(got), err)
		}
		t.Logf("from %d: %d GET, %d LIST", from, counter.Count("GET"), counter.Count("LIST"))
		if counter.Count("GET") > 50 {
			t.Errorf("from %d: %d GET in spite of the rollup", from, counter.Count("GET"))
		}
	}
	rollup, _, err := store.Get(t.Context(), schema.RollupKey(s, 0), 1<<26)
	if err != nil || !bytes.Equal(rollup[:len(raws[0])], raws[0]) || bytes.Count(rollup, []byte("\n")) != 1000 {
		t.Fatalf("the rollup does not repeat the commits: %v", err)
	}
	report, err := l.Verify(t.Context(), s, ledger.VerifyOptions{})
	if err != nil || report.Rollups != 1 || report.Commits != 1040 || report.Findings != 0 || report.GapOffsets != 10390 {
		t.Fatalf("%+v, %v", report, err)
	}
	// A commit's object that is gone hides behind the rollup, but not from Verify.
	if err := store.Delete(t.Context(), schema.CommitKey(s, 500)); err != nil {
		t.Fatal(err)
	}
	if _, err := chain(t, l, s, 0); err != nil {
		t.Errorf("the rollup does not help: %v", err)
	}
	if again, err := l.Verify(t.Context(), s, ledger.VerifyOptions{}); err != nil || again.Findings != 1 || again.Listed[0].Seq != 500 {
		t.Errorf("%d findings, %v", again.Findings, err)
	}
	put(t, store, schema.CommitKey(s, 500), raws[500])
	badRollups(t, store, s, rollup, want)
}

// badRollups: whatever a rollup holds, the chain that is read is the true one.
func badRollups(t *testing.T, store *objstore.Store, s schema.Stream, good []byte, want []ledger.Entry) {
	forged := append(bytes.Join(encoded(t, s, 1000, "forger"), []byte("\n")), '\n')
	for name, bad := range map[string][]byte{
		"empty":      nil,
		"a bit less": good[:len(good)-1],
		"more":       append(bytes.Clone(good), good[:bytes.IndexByte(good, '\n')+1]...),
		"forged":     forged, // it holds in itself
	} {
		var said bytes.Buffer
		l := ledger.New(store, slog.New(slog.NewTextHandler(&said, nil)))
		put(t, store, schema.RollupKey(s, 0), bad)
		got, err := chain(t, l, s, 900)
		if err != nil || len(got) != len(want)-900 || got[50].Digest != want[950].Digest {
			t.Errorf("%s: %d commits, %v", name, len(got), err)
		}
		if !strings.Contains(said.String(), "rollup does not match") {
			t.Errorf("%s: not said: %s", name, said.String())
		}
	}
	// The forged one again, with nothing behind it that names its last commit.
	for seq := int64(1000); seq < int64(len(want)); seq++ {
		if err := store.Delete(t.Context(), schema.CommitKey(s, seq)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, store, schema.RollupKey(s, 0), forged)
	if got, err := chain(t, ledger.New(store, nil), s, 900); err != nil || len(got) != 100 || got[50].Digest != want[950].Digest {
		t.Errorf("a forged rollup up to the head: %d commits, %v", len(got), err)
	}
	report, err := ledger.New(store, nil).Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	if err != nil || report.Findings != 1 || report.Listed[0].Key != schema.RollupKey(s, 0) {
		t.Errorf("%+v, %v", report.Listed, err)
	}
}

// encoded makes the bytes of a chain of n commits, gaps of 10 offsets behind
// a genesis.
func encoded(t *testing.T, s schema.Stream, n int, writer string) [][]byte {
	t.Helper()
	var raws [][]byte
	head := ledger.Head{}
	for range n {
		c := commit(s, head, schema.KindGenesis)
		if !head.IsZero() {
			c = commit(s, head, schema.KindGap)
			c.Next += 10
			c.GapOffsets, c.Gaps = 10, []schema.Gap{{Class: schema.GapCleaned, From: c.Base, To: c.Next}}
		}
		c.Writer = writer
		raw, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, raw)
		head = ledger.Head{Commit: c, Digest: schema.CommitDigest(raw), Next: c.Next}
	}
	return raws
}
