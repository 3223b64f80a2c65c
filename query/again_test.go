package query_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/property"
)

// TestInsertingAgainChangesNoAnswer sends any part of what is indexed again,
// in any order and any cut, as after crashes, and compares every answer.
func TestInsertingAgainChangesNoAnswer(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 4)
	p.span = 2
	var records []*schema.Record
	var traces, ids []string
	for range 3 {
		trace, events := p.day()
		traces = append(traces, trace)
		ids = append(ids, events[5].id, position(events[9].Record))
		records = append(records, recordsOf(events)...)
		a.sealAll()
	}
	rows := a.rows(records)
	answers := func() []any {
		var all []any
		for _, trace := range traces {
			all = append(all, a.trace(everybody(), trace, answer.TraceRequest{Diffs: true}))
		}
		for _, id := range ids {
			found, err := a.Identify(t.Context(), everybody(), id)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found)
		}
		all = append(all, a.searchAll(everybody(), answer.SearchRequest{Limit: 5}))
		topics, err := a.Topics(t.Context(), everybody())
		if err != nil {
			t.Fatal(err)
		}
		for i := range topics.Topics {
			topics.Topics[i].RatePerSecond = 0
		}
		return append(all, topics)
	}
	want := answers()
	property.Few(t, "5") // each check asks two dozen questions
	rapid.Check(t, func(rt *rapid.T) {
		again := append([]index.Row(nil), rows[:rapid.IntRange(0, len(rows)).Draw(rt, "rows")]...)
		seed := rapid.Uint64().Draw(rt, "order")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		for len(again) > 0 {
			n := rapid.IntRange(1, len(again)).Draw(rt, "cut")
			if err := a.index.InsertRecords(t.Context(), again[:n], indexedAt); err != nil {
				rt.Fatal(err)
			}
			again = again[n:]
		}
		for i, got := range answers() {
			if text(rt, got) != text(rt, want[i]) {
				rt.Fatalf("got  %s\nwant %s", text(rt, got), text(rt, want[i]))
			}
		}
	})
}

func text(t *rapid.T, v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
