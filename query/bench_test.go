package query_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestTraceRate prints how long a fixing day's trace takes over 26 years of
// them: structure alone, and with all diffs.
func TestTraceRate(t *testing.T) {
	if os.Getenv("ANNALS_BENCH") == "" {
		t.Skip("set ANNALS_BENCH=1 to measure")
	}
	a := newArchive(t, nil)
	p := newPipeline(a, 31)
	var traces []string
	for range 13 {
		for range 500 {
			trace, _ := p.day()
			traces = append(traces, trace)
		}
		a.sealAll()
	}
	took := map[string][]time.Duration{}
	used, usedEngine := map[string]time.Duration{}, map[string]time.Duration{}
	for n := range 100 {
		for name, o := range map[string]answer.TraceRequest{"structure": {}, "with all diffs": {Diffs: true}} {
			began := time.Now()
			ours, engine := embeddedtest.CPUTime()
			found := a.trace(everybody(), traces[n*64+30], o)
			took[name] = append(took[name], time.Since(began))
			oursNow, engineNow := embeddedtest.CPUTime()
			used[name] += oursNow - ours
			usedEngine[name] += engineNow - engine
			if len(found.Hops) != 95 || found.OutsideParents != 19*31 {
				t.Fatalf("%d hops, %d parents outside", len(found.Hops), found.OutsideParents)
			}
		}
		began := time.Now()
		if _, _, err := a.index.Trace(t.Context(), traces[n*64+31:n*64+32], index.Scope{All: true}, 2000); err != nil {
			t.Fatal(err)
		}
		took["the index alone, rows"] = append(took["the index alone, rows"], time.Since(began))
	}
	for name, list := range took {
		slices.Sort(list)
		fmt.Printf("%-24s p50 %v p95 %v max %v; CPU ms each: ours %.1f, engine %.1f; %d records indexed\n", name, list[50], list[95], list[99],
			float64(used[name].Microseconds())/1e5, float64(usedEngine[name].Microseconds())/1e5, p.days*95)
	}
}
