package ledger_test

import (
	"fmt"
	"testing"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// The tail of a chain holds its newest current rows, also behind commits that
// archive nothing, and behind a branch that took rows out of the view.
func TestTailHoldsTheNewestRows(t *testing.T) {
	l, _ := open(t)
	s := stream(0)
	want := func(head ledger.Head, until int64, branch int32) {
		t.Helper()
		tail, err := l.Tail(t.Context(), s, head)
		if err != nil {
			t.Fatal(err)
		}
		if until < 0 {
			if len(tail) > 0 {
				t.Errorf("behind %s: %s", head.Commit.Kind, lines(tail))
			}
			return
		}
		if n := len(tail); n == 0 || tail[n-1].Until != until || tail[n-1].Branch != branch {
			t.Errorf("behind %s: %s, want rows up to %d of branch %d", head.Commit.Kind, lines(tail), until, branch)
		}
	}
	hold := func(head ledger.Head) ledger.Head {
		return appended(t, l, head, commit(s, head, schema.KindHold, func(c *schema.Commit) {
			c.Authority = &schema.Authority{Reason: "test", RequestedBy: "test"}
		}))
	}
	head := appended(t, l, ledger.Head{}, commit(s, ledger.Head{}, schema.KindGenesis))
	want(head, -1, 0)
	want(hold(head), -1, 0)
	head, err := l.Head(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	epochs := func(list ...schema.LeaderEpoch) func(*schema.Commit) {
		return func(c *schema.Commit) { c.LeaderEpochs = list }
	}
	head = appended(t, l, head, segment(s, head, 10, epochs(schema.LeaderEpoch{Epoch: 1, Start: 0}, schema.LeaderEpoch{Epoch: 3, Start: 5})))
	want(head, 10, 0)
	head = appended(t, l, head, segment(s, head, 10, epochs(schema.LeaderEpoch{Epoch: 3, Start: 10}, schema.LeaderEpoch{Epoch: 4, Start: 15})))
	for range 6 { // more than are read one by one
		head = hold(head)
		want(head, 20, 0)
	}
	head = appended(t, l, head, diverge(s, head, 12))
	want(head, 12, 0)
	head = appended(t, l, head, segment(s, head, 3, epochs(schema.LeaderEpoch{Epoch: 6, Start: 12})))
	want(head, 15, 1)
	got, err := l.Epochs(t.Context(), s)
	if err != nil || fmt.Sprint(got) != "[{1 0} {3 5} {6 12}]" {
		t.Errorf("leader epochs %v, %v", got, err)
	}
}
