package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A record that was put back and failed again bears the headers of the replay that put
// it back, and is a dead letter of its topic all the same: in a trace, by itself and in a
// search by stage. A replay's copy of a dead letter is one of a replay.
func TestStageOfWhatFailedAgain(t *testing.T) {
	a := newArchive(t, nil)
	trace := strings.Repeat("0c", 16)
	traced := []string{"traceId", trace}
	made := func(of *schema.Record) []string {
		return []string{
			"annals-replay-id", strings.Repeat("a", 64), "annals-source-topic", of.Topic, "annals-source-topic-id", of.TopicID.String(),
			"annals-source-partition", fmt.Sprint(of.Partition), "annals-source-offset", fmt.Sprint(of.Offset),
		}
	}
	original := a.produce("orders", "k", `{"id":1}`, deadAt, traced...)
	first := a.dead("orders-dlt", original, deadAt.Add(time.Minute), "E", "m", "billing", traced...)
	again := slices.Concat(traced, []string{failure.HeaderRedriven, "1"}, made(first))
	back := a.produce("orders", "k", `{"id":1}`, deadAt.Add(2*time.Minute), again...)
	second := a.dead("orders-dlt", back, deadAt.Add(3*time.Minute), "E", "m", "billing", again...)
	copied := a.dead("replay.x.orders-dlt", original, deadAt.Add(time.Minute), "E", "m", "billing", append(traced, made(first)...)...)
	a.sealAll()

	found := a.trace(everybody(), trace, answer.TraceRequest{})
	want := map[*schema.Record]schema.Stage{
		first: schema.StageDeadLetter, back: schema.StageReplay, second: schema.StageDeadLetter, copied: schema.StageReplay,
	}
	for record, stage := range want {
		at := coordinatesOf(record)
		if h := &found.Hops[place(t, found, record)]; h.Stage != stage {
			t.Errorf("in its trace %s is %s, want %s", at, h.Stage, stage)
		}
		alone, err := a.Record(t.Context(), everybody(), answer.RecordRequest{Coordinates: at})
		if err != nil || alone.Hit.Stage != stage {
			t.Errorf("by itself %s is %s, want %s: %v", at, alone.Hit.Stage, stage, err)
		}
		for _, sought := range []schema.Stage{schema.StageDeadLetter, schema.StageReplay} {
			if got := slices.Contains(a.searchAll(everybody(), answer.SearchRequest{Stage: sought.String()}), position(record)); got != (sought == stage) {
				t.Errorf("%s is %s, and a search for %s finds it: %v", at, stage, sought, got)
			}
		}
	}
	page, err := a.DeadRecords(t.Context(), everybody(), answer.DeadRecordRequest{Records: []schema.Coordinates{coordinatesOf(second)}})
	if err != nil || len(page.Records) != 1 || page.Records[0].Failure.Redriven != 1 || page.Records[0].Hit.Stage != schema.StageDeadLetter {
		t.Errorf("%+v, %v", page, err)
	}
}
