package query_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A record that a replay made stands in its trace behind the original, by name, at the
// same moment, and is compared with it: nothing differs, or what does is said.
func TestReplayedRecordsLeadToTheirOriginals(t *testing.T) {
	a := newArchive(t, nil)
	trace := strings.Repeat("0b", 16)
	at := time.Date(2024, 5, 6, 9, 0, 0, 0, time.UTC)
	a.produce("orders", "k", `{"id":1,"amount":7}`, at)
	original := a.produce("orders", "k", `{"id":2,"amount":7}`, at, "traceId", trace)
	if original.Offset == 0 {
		t.Fatal("it would be found by an offset that was not read")
	}
	copied := func(topic, value string, at time.Time) *schema.Record {
		return a.produce(topic, "k", value, at, "traceId", trace, "annals-replay-id", strings.Repeat("a", 64), "annals-source-topic", original.Topic,
			"annals-source-topic-id", original.TopicID.String(), "annals-source-partition", fmt.Sprint(original.Partition), "annals-source-offset", fmt.Sprint(original.Offset))
	}
	same := copied("replay.x.orders", string(original.Value), at)
	other := copied("replay.y.orders", `{"id":2,"amount":8}`, at.Add(time.Hour))
	a.sealAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
	if len(found.Hops) != 3 || found.Ghosts != 0 {
		t.Fatalf("%d hops, %d ghosts", len(found.Hops), found.Ghosts)
	}
	for _, c := range []struct {
		record  *schema.Record
		changed string
	}{{same, ""}, {other, "/amount"}} {
		hop := place(t, found, c.record)
		edges := 0
		for _, e := range found.Edges {
			if e.Child != hop {
				continue
			}
			edges++
			if e.Kind != answer.ReplayOf || !e.Declared || !e.Primary || e.Parent != place(t, found, original) {
				t.Errorf("%s: %+v", position(c.record), e)
			}
		}
		h := &found.Hops[hop]
		if edges != 1 || h.Stage != schema.StageReplay {
			t.Errorf("%s is %s, with %d edges", position(c.record), h.Stage, edges)
		}
		changed := ""
		if h.Diff != nil {
			for _, change := range h.Diff.Changes {
				changed += change.Path
			}
		}
		if h.Diff == nil || !h.Diff.Comparable || changed != c.changed {
			t.Errorf("%s: diff %+v, want %q", position(c.record), h.Diff, c.changed)
		}
	}
}
