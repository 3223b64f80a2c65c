package index_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// The commits of a topic ID are one cluster's: those of another are refused,
// whether this process knows the first ones or has to ask; and if they are there
// all the same, no read mixes them.
func TestTopicIDOfTwoClusters(t *testing.T) {
	x := open(t, nil)
	of := row("a", 0, 0)
	first := commit(of, 0, 0, 5)
	second := commit(of, 0, 0, 9)
	second.Stream.Cluster = "restored"
	put := func(rows ...index.SegmentRow) error { return x.InsertSegments(t.Context(), rows) }
	refused := func(what string, err error) {
		t.Helper()
		if schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), of.Record.TopicID.String()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("both at once", put(first, second))
	if err := put(first); err != nil {
		t.Fatal(err)
	}
	refused("where the first is known", put(second))
	x.reopen(x.options)
	refused("where it has to be asked", put(second))
	if err := put(first); err != nil {
		t.Error(err)
	}
	if got := x.ask("SELECT count() FROM db.segments FINAL"); got != "1" {
		t.Errorf("%s commits are named", got)
	}

	x.ask("INSERT INTO db.segments SELECT * REPLACE ('restored' AS cluster, 1 AS seq) FROM db.segments")
	_, err := x.Branches(t.Context())
	refused("what is sealed", err)
	_, err = x.Covering(t.Context(), []schema.Position{of.Record.Position()})
	refused("covering segments", err)
}
