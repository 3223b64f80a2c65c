package index_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// Two programs may name a commit's rows one after the other, the one with the
// earlier rules last: neither it nor a merge undoes what the later one named.
func TestLaterVersionOfACommitStays(t *testing.T) {
	x := open(t, nil)
	of := row("a", 0, 0)
	later := commit(of, 0, 0, 5)
	later.Version = index.VersionOf(schema.ExtractVersion + 1)
	for _, c := range []index.SegmentRow{later, commit(of, 0, 0, 5)} {
		if err := x.InsertSegments(t.Context(), []index.SegmentRow{c}); err != nil {
			t.Fatal(err)
		}
	}
	x.ask("OPTIMIZE TABLE db.segments FINAL")
	if got := x.ask("SELECT count() FROM db.segments"); got != "1" {
		t.Fatalf("%s rows of one commit after a merge", got)
	}
	named, err := x.Named(t.Context(), later.Stream, 0)
	if err != nil || named[0].Version != later.Version {
		t.Errorf("the commit is named under %d, %v; want %d", named[0].Version, err, later.Version)
	}
	for rules, want := range map[int32]int64{schema.ExtractVersion: 1, schema.ExtractVersion + 1: 1, schema.ExtractVersion + 2: 0} {
		if missing, err := x.FirstMissing(t.Context(), later.Stream, rules); err != nil || missing != want {
			t.Errorf("for rules of version %d commit %d is missing, %v; want %d", rules, missing, err, want)
		}
	}
}

// Who is late deletes nothing of a later version, and what is older goes.
func TestForgetLeavesLaterVersions(t *testing.T) {
	x := open(t, nil)
	of := row("a", 0, 0)
	for _, version := range []index.Version{index.Fresh, index.Fresh + 1, index.Fresh + 2} {
		r := of
		r.Version = version
		insert(t, x, r)
	}
	p := of.Record.Position()
	if err := x.Forget(t.Context(), []index.Range{{TopicID: p.TopicID, Base: 0, Next: 1, Version: index.Fresh + 1}}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"records", "records_by_trace", "id_index"} {
		want := fmt.Sprintf("[%d,%d]", index.Fresh+1, index.Fresh+2)
		got := ""
		for until := time.Now().Add(20 * time.Second); got != want && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			got = x.ask("SELECT arraySort(groupUniqArray(extract_version)) FROM db." + table)
		}
		if got != want {
			t.Errorf("%s has versions %s, want %s", table, got, want)
		}
	}
}

// Of runs that claim a version of one stream at once, each has its own; a run
// later than all of them another, above what was named in between.
func TestClaimsOfAStreamDiffer(t *testing.T) {
	x := open(t, nil)
	c := commit(row("a", 0, 0), 0, 0, 5)
	claim := func(run string) index.Version {
		t.Helper()
		version, err := x.Claim(t.Context(), c.Stream, run)
		if err != nil {
			t.Error(err)
		}
		return version
	}
	if got := claim("first"); got != index.Fresh {
		t.Errorf("of a stream of which nothing is named: %d, want %d", got, index.Fresh)
	}
	other := c.Stream
	other.Partition++
	for _, named := range []index.Version{index.Fresh, index.VersionOf(schema.ExtractVersion + 1)} { // the latter by a newer program
		row := c
		row.Stream, row.Version = other, named
		row.Seq = int64(named)
		if err := x.InsertSegments(t.Context(), []index.SegmentRow{row}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := x.Claim(t.Context(), other, "first"); err != nil || got != index.Fresh+2 {
		t.Errorf("where nobody has claimed: %d, %v; want %d, for the one below may have rows", got, err, index.Fresh+2)
	}
	var claiming sync.WaitGroup
	versions := make([]index.Version, 6)
	for i := range versions {
		claiming.Go(func() { versions[i] = claim(fmt.Sprint("run ", i)) })
	}
	claiming.Wait()
	slices.Sort(versions)
	if len(slices.Compact(slices.Clone(versions))) != len(versions) || versions[0] <= index.Fresh {
		t.Errorf("claimed at once: %v", versions)
	}
	c.Version = versions[len(versions)-1] + 7
	if err := x.InsertSegments(t.Context(), []index.SegmentRow{c}); err != nil {
		t.Fatal(err)
	}
	if got := claim("last"); got != c.Version+1 {
		t.Errorf("above what is named: %d, want %d", got, c.Version+1)
	}
	c.Version, c.Seq = index.Fresh|0xff, 1
	if err := x.InsertSegments(t.Context(), []index.SegmentRow{c}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Claim(t.Context(), c.Stream, "none left"); schema.KindOf(err) != schema.Exhausted {
		t.Errorf("after 255 times: %v", err)
	}
}

// Topology that other rules learned of a commit goes when it is read again, and
// what has summaries is told, named or not.
func TestTopologyOfEarlierRulesGoes(t *testing.T) {
	x := open(t, nil)
	parent, child := row("a", 0, 1), row("b", 0, 2)
	insert(t, x, parent, child)
	child.Extraction.Causes = []schema.Cause{{Kind: schema.CauseRecord, ID: "a/0/1"}}
	segment := commit(child, 1, 2, 3)
	for n, kind := range []string{"ByOldRules", "ByNewRules"} {
		child.Extraction.EventType = kind
		segment.Version, segment.Again, segment.Summary = index.Fresh+index.Version(n), n > 0, index.NewSummary()
		segment.Summary.Add(child.Record, child.Extraction)
		if err := x.InsertSegments(t.Context(), []index.SegmentRow{segment}); err != nil {
			t.Fatal(err)
		}
	}
	types := func() (all []string) {
		feeds, err := x.Topology(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range feeds {
			all = append(all, f.ChildType)
		}
		return all
	}
	got := types()
	for until := time.Now().Add(20 * time.Second); len(got) != 1 && time.Now().Before(until); got = types() {
		time.Sleep(20 * time.Millisecond)
	}
	if !slices.Equal(got, []string{"ByNewRules"}) {
		t.Errorf("topology of %q", got)
	}
	for from, want := range map[int64]bool{0: true, 1: true, 2: false} {
		if tried, err := x.Summarised(t.Context(), segment.Stream, from); err != nil || tried[1] != want || len(tried) > 1 {
			t.Errorf("summaries from commit %d on: %v, %v", from, tried, err)
		}
	}
}
