package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// lines writes segments as branch:base-until/next.
func lines(segments []ledger.Segment) string {
	var all []string
	for _, s := range segments {
		all = append(all, fmt.Sprintf("%d:%d-%d/%d", s.Branch, s.Base, s.Until, s.Next))
	}
	return strings.Join(all, " ")
}

func diverge(s schema.Stream, head ledger.Head, point int64) *schema.Commit {
	return commit(s, head, schema.KindDivergence, func(c *schema.Commit) {
		c.Branch++
		c.Base, c.Next = point, point
		c.Divergence = &schema.Divergence{ArchivedNext: head.Next, BranchPoint: point, Evidence: "test"}
	})
}

func TestBranchesCutWhatIsBeforeThem(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	head := grow(t, l, s, 5) // branch 0: 0 … 50
	head = appended(t, l, head, diverge(s, head, 33))
	if head.Next != 33 {
		t.Fatalf("next is %d", head.Next)
	}
	head = appended(t, l, head, segment(s, head, 10)) // branch 1: 33 … 43
	head = appended(t, l, head, segment(s, head, 10)) // 43 … 53
	if found, err := l.Head(t.Context(), s); err != nil || found.Next != 53 || found.Commit.Branch != 1 {
		t.Fatalf("head %+v, %v", found, err)
	}
	head = appended(t, l, head, diverge(s, head, 40))
	head = appended(t, l, head, segment(s, head, 5)) // branch 2: 40 … 45
	v, err := l.View(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(v.Current()), "0:0-10/10 0:10-20/20 0:20-30/30 0:30-33/40 1:33-40/43 2:40-45/45"; got != want {
		t.Errorf("current\n got %s\nwant %s", got, want)
	}
	if got, want := lines(v.All()), "0:0-10/10 0:10-20/20 0:20-30/30 0:30-33/40 1:33-40/43 0:40-40/50 2:40-45/45 1:43-43/53"; got != want {
		t.Errorf("all\n got %s\nwant %s", got, want)
	}
	if got := fmt.Sprint(v.Branches); got != "[{0 0 0} {1 33 6} {2 40 9}]" {
		t.Errorf("branches %s", got)
	}
	// A branch that begins below another one ends it altogether.
	head = appended(t, l, head, diverge(s, head, 12))
	current, err := l.Segments(t.Context(), s)
	if err != nil || lines(current) != "0:0-10/10 0:10-12/20" {
		t.Errorf("behind a deeper cut: %s, %v", lines(current), err)
	}
	bad := diverge(s, head, head.Next+1)
	bad.Divergence.ArchivedNext = head.Next + 5
	if _, err := l.Append(t.Context(), head, bad); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a branch point ahead of the chain: %v", err)
	}
}

// compact rewrites segments as one.
func compact(s schema.Stream, head ledger.Head, old ...ledger.Segment) *schema.Commit {
	return commit(s, head, schema.KindCompaction, func(c *schema.Commit) {
		c.Base, c.Next = old[0].Base, old[len(old)-1].Next
		var roots []schema.Digest
		for _, o := range old {
			roots = append(roots, o.Ref.RecordRoot)
			c.Records.Committed += o.Records.Committed
			c.Replaced = append(c.Replaced, o.Ref.ObjectRef)
		}
		c.Segment = &schema.SegmentRef{ObjectRef: schema.ObjectRef{Key: "data/compacted-" + c.Attempt, Bytes: 9}, RecordRoot: proof.RootOfSubtrees(roots)}
	})
}

func checkHolding(t *testing.T, v *ledger.View) {
	t.Helper()
	for offset, want := range map[int64]string{19: "0:10-20/20", 20: "0:20-50/55", 54: "0:20-50/55", 55: ""} {
		s, ok := v.Holding(0, offset)
		if got := lines([]ledger.Segment{s}); ok != (want != "") || ok && got != want {
			t.Errorf("offset %d is held by %s, want %q", offset, got, want)
		}
	}
	if _, ok := v.Holding(1, 20); ok {
		t.Error("a segment of one branch holds offsets of another")
	}
}

func TestRewritesReplaceSegments(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	head := grow(t, l, s, 4)
	// A gap commit in the middle of what is compacted.
	gap := commit(s, head, schema.KindGap)
	gap.Next += 5
	if err := l.PlaceGaps(t.Context(), gap, []schema.Gap{{Class: schema.GapCleaned, From: gap.Base, To: gap.Next}}); err != nil {
		t.Fatal(err)
	}
	head = appended(t, l, head, gap)
	head = appended(t, l, head, segment(s, head, 10)) // 45 … 55
	head = appended(t, l, head, diverge(s, head, 50))
	before, err := l.View(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := before.All()
	head = appended(t, l, head, compact(s, head, all[2:]...)) // 20 … 55, of branch 0, on a chain at branch 1
	if head.Next != 50 {
		t.Fatalf("a compaction moved next to %d", head.Next)
	}
	after, err := l.View(t.Context(), s, before)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(after.All()), "0:0-10/10 0:10-20/20 0:20-50/55"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	checkHolding(t, after)
	if len(after.Gapped) != 1 || after.Gapped[0].Until != 45 {
		t.Errorf("gaps %+v", after.Gapped)
	}
	if lines(before.All()) != lines(all) {
		t.Error("the earlier view changed")
	}
	whole, err := l.View(t.Context(), s, nil)
	if err != nil || lines(whole.All()) != lines(after.All()) || whole.Head.Digest != after.Head.Digest {
		t.Errorf("led on: %s, read whole: %s, %v", lines(after.All()), lines(whole.All()), err)
	}
	purge := commit(s, head, schema.KindPurge, func(c *schema.Commit) {
		c.Base, c.Next = 0, 10
		c.Replaced = []schema.ObjectRef{all[0].Ref.ObjectRef}
		c.Authority = &schema.Authority{Reason: "retention", RequestedBy: "test"}
	})
	head = appended(t, l, head, purge)
	current, err := l.Segments(t.Context(), s)
	if err != nil || lines(current) != "0:10-20/20 0:20-50/55" {
		t.Errorf("after a purge: %s, %v", lines(current), err)
	}
	// Rewrites that lose rows, name what is not there, or mix branches break
	// the view, not silently.
	for name, bad := range map[string]*schema.Commit{
		"rows lost":      compact(s, head, all[1]),
		"range cut":      compact(s, head, all[1]),
		"replaced twice": compact(s, head, all[0]),
		"other rows":     compact(s, head, all[1]),
	} {
		switch name {
		case "rows lost":
			bad.Records.Committed--
		case "range cut":
			bad.Next--
		case "other rows":
			bad.Segment.RecordRoot[0] ^= 1
		}
		other, store := open(t)
		copyChain(t, l, store, s)
		appended(t, other, head, bad)
		if _, err := other.Segments(t.Context(), s); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// copyChain puts a stream's commits into another store.
func copyChain(t *testing.T, from *ledger.Ledger, to *objstore.Store, s schema.Stream) {
	t.Helper()
	for e, err := range from.Commits(t.Context(), s, 0) {
		if err != nil {
			t.Fatal(err)
		}
		put(t, to, schema.CommitKey(s, e.Commit.Seq), e.Raw)
	}
}

func TestViewIsLedOnCheaply(t *testing.T) {
	counter := &objstoretest.Faults{}
	l, store := open(t, func(o *objstore.Options) { o.Transport = counter })
	s := stream(0)
	head := grow(t, l, s, 70)
	v, err := l.View(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	counter.Reset()
	if same, err := l.View(t.Context(), s, v); err != nil || same != v {
		t.Fatalf("nothing new gives another view: %v", err)
	}
	if counter.Count("GET") != 2 || counter.Count("LIST") != 2 {
		t.Errorf("nothing new costs %d GET and %d LIST", counter.Count("GET"), counter.Count("LIST"))
	}
	appended(t, l, head, segment(s, head, 1))
	counter.Reset()
	if v, err = l.View(t.Context(), s, v); err != nil || len(v.Current()) != 71 {
		t.Fatalf("%v", err)
	}
	if counter.Count("GET") != 2 {
		t.Errorf("one new commit costs %d GET", counter.Count("GET"))
	}
	for seq := range int64(3) {
		if err := store.Delete(t.Context(), schema.CommitKey(s, 71-seq)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.View(t.Context(), s, v); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a chain shorter than it was: %v", err)
	}
}

func TestGapListsAside(t *testing.T) {
	l, store := open(t)
	s := stream(0)
	head := grow(t, l, s, 0)
	c := segment(s, head, 3000)
	c.Records = schema.Counts{Committed: 1500}
	var gaps []schema.Gap
	for at := c.Base; at < c.Next; at += 2 {
		gaps = append(gaps, schema.Gap{Class: schema.GapCleaned, From: at, To: at + 1})
	}
	if err := l.PlaceGaps(t.Context(), c, gaps); err != nil {
		t.Fatal(err)
	}
	if c.GapsObject == nil || c.Gaps != nil || c.GapOffsets != 1500 {
		t.Fatalf("%d in line, object %+v, sum %d", len(c.Gaps), c.GapsObject, c.GapOffsets)
	}
	appended(t, l, head, c)
	v, err := l.View(t.Context(), s, nil)
	if err != nil || len(v.Gapped) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	back, err := l.Gaps(t.Context(), v.Gapped[0].Commit)
	if err != nil || len(back) != len(gaps) || back[1499] != gaps[1499] {
		t.Fatalf("%d gaps, %v", len(back), err)
	}
	put(t, store, c.GapsObject.Key, []byte("[]"))
	if _, err := l.Gaps(t.Context(), c); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("another list in its place: %v", err)
	}
	if err := store.Delete(t.Context(), c.GapsObject.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Gaps(t.Context(), c); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a list that is gone: %v", err)
	}
	overlap := segment(s, head, 10)
	if err := l.PlaceGaps(t.Context(), overlap, []schema.Gap{
		{Class: schema.GapCleaned, From: 0, To: 5}, {Class: schema.GapCleaned, From: 4, To: 6},
	}); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("gaps that overlap: %v", err)
	}
}

// A compacted topic's gaps, fewer than may stand in line, are still too many
// bytes for a commit.
func TestGapListsThatDoNotFitStandAside(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	head := grow(t, l, s, 0)
	c := segment(s, head, 1800)
	c.Records = schema.Counts{Committed: 900}
	evidence := "fetch: skipped; cleanup.policy has compact"
	var gaps []schema.Gap
	for at := c.Base; at < c.Next; at += 2 {
		gaps = append(gaps, schema.Gap{Class: schema.GapCleaned, From: at, To: at + 1, Evidence: &evidence})
	}
	if err := l.PlaceGaps(t.Context(), c, gaps); err != nil {
		t.Fatal(err)
	}
	appended(t, l, head, c)
	if back, err := l.Gaps(t.Context(), c); err != nil || len(back) != 900 || *back[899].Evidence != evidence {
		t.Errorf("%d gaps, %v", len(back), err)
	}
}
