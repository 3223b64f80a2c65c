package query_test

import (
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema/answer"
)

// What is indexed behind the end of a chain is counted: each record once, in the
// range asked for, of topics that may be seen, on the branch that the end is on.
func TestUnsealedAreCounted(t *testing.T) {
	a := newArchive(t, nil)
	at := time.Date(2024, 5, 1, 14, 0, 0, 0, time.UTC)
	tail := func(topic string) answer.Tail {
		s := a.stream(topic, partitionOf("k"))
		return answer.Tail{Stream: s.Stream, Branch: s.branch, Next: s.head.Next}
	}
	for range 3 {
		a.produce("orders", "k", "sealed", at)
	}
	a.produce("hidden", "k", "sealed", at)
	a.sealAll()
	tails := []answer.Tail{tail("orders"), tail("hidden")}
	count := func(what string, want int64, topics []string, tails []answer.Tail, from, to *int64) {
		t.Helper()
		if got, err := a.Unsealed(t.Context(), only(t, topics...), tails, from, to); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", what, got, err, want)
		}
	}
	both := []string{"orders", "hidden"}
	count("all sealed", 0, both, tails, nil, nil)
	for i := range 5 {
		a.produce("orders", "k", "fresh", at.Add(time.Duration(i)*time.Minute))
	}
	a.produce("hidden", "k", "fresh", at)
	a.indexAll()
	a.indexAll() // the same again
	count("all", 6, both, tails, nil, nil)
	count("what may be seen", 5, []string{"orders"}, tails, nil, nil)
	from, to := at.Add(time.Minute).UnixMilli(), at.Add(3*time.Minute).UnixMilli()
	count("in a range", 2, both, tails, &from, &to)
	tails[0].Branch++
	count("on another branch", 1, both, tails, nil, nil)
	tails[0] = tail("orders")
	a.seal(a.stream("orders", partitionOf("k")))
	count("by the chain as it was read", 6, both, tails, nil, nil)
	tails[0] = tail("orders")
	count("by the chain as it is", 1, both, tails, nil, nil)
	count("of none", 0, both, nil, nil, nil)
}
