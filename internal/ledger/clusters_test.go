package ledger_test

import (
	"maps"
	"testing"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// Of two clusters that ask, one is told that a topic ID is the other's.
func TestOthersTellsTheFirst(t *testing.T) {
	l, store := open(t)
	mine, theirs := stream(0), stream(0)
	theirs.Cluster = "another"
	ids := map[schema.TopicID]bool{mine.TopicID: true}
	others := func(cluster string, want map[schema.TopicID]string) {
		t.Helper()
		got, err := l.Others(t.Context(), cluster, ids)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("for %s: %v, %v; want %v", cluster, got, err, want)
		}
	}
	none := map[schema.TopicID]string{}
	others(mine.Cluster, none)
	grow(t, l, theirs, 0)
	others(mine.Cluster, map[schema.TopicID]string{mine.TopicID: "another"})
	others("another", none)
	ids[stream(0).TopicID] = false
	others(mine.Cluster, none)
	ids[mine.TopicID] = true

	// Both have a chain, which began at the same moment: the lower cluster ID.
	appended(t, l, ledger.Head{}, commit(mine, ledger.Head{}, schema.KindGenesis))
	others(mine.Cluster, map[schema.TopicID]string{mine.TopicID: "another"})
	others("another", none)

	// What cannot be read is not archived on a guess.
	if _, err := store.Put(t.Context(), schema.CommitKey(mine, 0), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	others("another", map[schema.TopicID]string{mine.TopicID: mine.Cluster})
}
