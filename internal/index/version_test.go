package index_test

import (
	"testing"

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
