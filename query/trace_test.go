package query_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// parentsOf lists a hop's parents in the answer, as coordinates or, outside, as
// ids.
func parentsOf(found *answer.Trace, hop int) (inside, outside []string) {
	for _, e := range found.Edges {
		switch {
		case e.Child != hop:
		case e.Parent >= 0:
			inside = append(inside, found.Hops[e.Parent].Coordinates().String())
		default:
			outside = append(outside, e.Outside.ID)
		}
	}
	return inside, outside
}

func TestTraceOfThePipeline(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 31)
	for range 21 {
		p.day()
	}
	p.rejects = true
	trace, events := p.day()
	a.sealAll()
	for _, diffs := range []bool{false, true} {
		t.Run(fmt.Sprintf("diffs %v", diffs), func(t *testing.T) { checkPipelineTrace(t, a, trace, events, diffs) })
	}
}

func checkPipelineTrace(t *testing.T, a *archive, trace string, events []*event, diffs bool) {
	found := a.trace(everybody(), strings.ToUpper(trace), answer.TraceRequest{Diffs: diffs})
	if len(found.Hops) != len(events) || found.Sealed != len(events) || found.Truncated || found.Ghosts != 0 {
		t.Fatalf("%d hops of %d, %d sealed, %d ghosts, truncated %v", len(found.Hops), len(events), found.Sealed, found.Ghosts, found.Truncated)
	}
	if found.OutsideParents != 31*19 {
		t.Errorf("%d parents outside, want %d", found.OutsideParents, 31*19)
	}
	inferred, right := 0, 0
	for _, e := range events {
		at := place(t, found, e.Record)
		inside, outside := parentsOf(found, at)
		var wantIn, wantOut []string
		for _, parent := range e.parents {
			if parent.trace == trace {
				wantIn = append(wantIn, position(parent.Record))
			} else {
				wantOut = append(wantOut, parent.id)
			}
		}
		if e.Topic == "fx.rates.enriched" {
			inferred++
			if slices.Equal(inside, wantIn) {
				right++
			}
			continue
		}
		if !slices.Equal(inside, wantIn) || !slices.Equal(outside, wantOut) {
			t.Errorf("%s: parents %v and %d outside, want %v and %d", position(e.Record), inside, len(outside), wantIn, len(wantOut))
		}
	}
	t.Logf("inferred edges: %d of %d lead to the right parent", right, inferred)
	if right != inferred {
		t.Errorf("only %d of %d inferred edges are right", right, inferred)
	}
	checkEdges(t, found)
	checkStages(t, found, diffs)
}

// checkEdges holds what every answer must: parents first, one primary a hop,
// inferred edges never as sure as declared ones.
func checkEdges(t *testing.T, found *answer.Trace) {
	t.Helper()
	primary := map[int]int{}
	for _, e := range found.Edges {
		if e.Parent >= e.Child {
			t.Errorf("hop %d comes before its parent %d", e.Child, e.Parent)
		}
		if e.Parent >= 0 && found.Hops[e.Parent].Depth >= found.Hops[e.Child].Depth {
			t.Errorf("depth %d leads to depth %d", found.Hops[e.Parent].Depth, found.Hops[e.Child].Depth)
		}
		if e.Declared == (e.Kind == answer.Inferred) || e.Declared != (e.Confidence >= 0.9) || e.Rule == "" {
			t.Errorf("edge %+v", e)
		}
		if e.Primary {
			primary[e.Child]++
		}
	}
	for hop, n := range primary {
		if n != 1 {
			t.Errorf("hop %d has %d primary parents", hop, n)
		}
	}
}

func checkStages(t *testing.T, found *answer.Trace, diffs bool) {
	t.Helper()
	want := map[string]schema.Stage{
		"fx.rates.received": schema.StageIngestion, "fx.rates.enriched": schema.StageEnrichment,
		"fx.risk.volatility": schema.StageTransformation, "fx.risk.exposure": schema.StageTransformation, "fx.risk.alerts": schema.StageTransformation,
		"fx.rates.received.dlq": schema.StageDeadLetter,
	}
	for i := range found.Hops {
		h := &found.Hops[i]
		if h.Stage != want[h.Topic] {
			t.Errorf("%s is %s by %q", h.Coordinates(), h.Stage, h.StageRule)
		}
		if diffs != h.HasKey || diffs != (h.Diff != nil) && !strings.HasPrefix(h.Topic, "fx.rates.received") {
			t.Errorf("%s: diffs %v, key read %v, diff %v", h.Coordinates(), diffs, h.HasKey, h.Diff != nil)
		}
		if h.Topic == "fx.rates.enriched" && diffs {
			var added []string
			for _, c := range h.Diff.Changes {
				if c.Op == "add" {
					added = append(added, c.Path)
				}
			}
			if !slices.Equal(added, []string{"/name", "/region"}) || !h.Diff.Comparable {
				t.Errorf("%s added %v", h.Coordinates(), added)
			}
		}
	}
}

func TestTraceInferredWhereServicesPassTimesOn(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 5)
	p.sameTime, p.span = true, 2
	p.day()
	a.sealAll()
	trace, events := p.day()
	a.sealAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
	for _, e := range events {
		inside, _ := parentsOf(found, place(t, found, e.Record))
		// All times are equal, and nothing declares that received feeds enriched:
		// there is nothing to go by, so nothing may be claimed.
		if e.Topic == "fx.rates.enriched" && len(inside) != 0 {
			t.Errorf("%s is said to come from %v", position(e.Record), inside)
		}
	}
}

func TestTraceShowsOnlyWhatThePrincipalSees(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	p.span = 2
	p.day()
	trace, _ := p.day()
	a.sealAll()
	who := only(t, "fx.risk.*")
	found := a.trace(who, trace, answer.TraceRequest{Diffs: true})
	if got := strings.Join(found.Topics, " "); got != "fx.risk.alerts fx.risk.exposure fx.risk.volatility" || len(found.Hops) != 5 {
		t.Errorf("%d hops of %s", len(found.Hops), got)
	}
	if found.Ghosts != 3*2+3 || found.OutsideParents != 0 {
		t.Errorf("%d ghosts, %d outside parents: hidden parents must look as if they had never been archived", found.Ghosts, found.OutsideParents)
	}
	if found.Searched.Topics != 3 || found.Searched.Records != 10 {
		t.Errorf("searched %+v counts hidden topics", found.Searched)
	}
	_, err := a.Trace(t.Context(), only(t, "other.*"), answer.TraceRequest{TraceID: trace})
	var missing *answer.NotFoundError
	if !errors.As(err, &missing) || schema.KindOf(err) != schema.NotFound || missing.Searched.Topics != 0 || missing.Searched.Records != 0 {
		t.Errorf("who sees no topic gets %v", err)
	}
}

func TestTraceNotFoundSaysWhatWasSearched(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 2)
	p.day()
	a.sealAll()
	p.day()
	a.indexAll()
	_, err := a.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: hexID(16)})
	var missing *answer.NotFoundError
	if !errors.As(err, &missing) || missing.Searched.Topics != 5 || missing.Searched.Records != 16 ||
		!missing.Searched.FreshTo.Equal(indexedAt) || missing.Searched.SealedTo.IsZero() {
		t.Fatalf("%v, searched %+v", err, missing)
	}
	for _, bad := range []string{"", "  ", "a\x00b", strings.Repeat("x", 600)} {
		if _, err := a.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: bad}); schema.KindOf(err) != schema.Invalid {
			t.Errorf("trace id %.20q: %v", bad, err)
		}
	}
	if _, err := a.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: "x", Limit: 5001}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("limit 5001: %v", err)
	}
}

func TestTraceWithHostileCauses(t *testing.T) {
	a := newArchive(t, nil)
	trace, at := hexID(16), newPipeline(a, 1).at(0, 0)
	// Two events that name each other, one that names itself, and a ghost.
	first, second, third := hexID(16), hexID(16), hexID(16)
	a.produce("a", "k", `{"n":1}`, at, "traceId", trace, "eventId", first, "causationId", second)
	a.produce("b", "k", `{"n":2}`, at, "traceId", trace, "eventId", second, "causationId", first)
	a.produce("c", "k", `not json`, at, "traceId", trace, "eventId", third, "causationId", third, "causationId", "nobody's'; --")
	a.produce("c", "k", ``, at, "traceId", trace)
	a.sealAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
	if len(found.Hops) != 4 || found.Ghosts != 1 {
		t.Errorf("%d hops, %d ghosts: %+v", len(found.Hops), found.Ghosts, found.Edges)
	}
	for i := range found.Hops {
		if d := found.Hops[i].Diff; d != nil && (d.Parent < 0 || d.Parent >= 4) {
			t.Errorf("diff against hop %d", d.Parent)
		}
	}
}

func TestTraceCutByItsLimit(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 4)
	trace, events := p.day()
	a.sealAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Limit: 3})
	if len(found.Hops) != 3 || !found.Truncated {
		t.Errorf("%d hops, truncated %v", len(found.Hops), found.Truncated)
	}
	found = a.trace(everybody(), trace, answer.TraceRequest{Limit: len(events), FactsOnly: true})
	if len(found.Hops) != len(events) || found.Truncated {
		t.Errorf("%d hops, truncated %v", len(found.Hops), found.Truncated)
	}
	for _, e := range found.Edges {
		if !e.Declared {
			t.Errorf("facts only, and %+v", e)
		}
	}
}

// TestTraceOfThousands: a batch job that writes one trace id everywhere must
// not take the engine with it.
func TestTraceOfThousands(t *testing.T) {
	a := newArchive(t, nil)
	trace, start := hexID(16), newPipeline(a, 1).at(0, 0)
	records := 6000
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		records = 100_000
	}
	for n := range records {
		at := start.Add(time.Duration(n) * time.Millisecond)
		a.produce([]string{"a", "b", "c"}[n%3], fmt.Sprintf("k%d", n%7), `{"n":1}`, at, "traceId", trace, "eventType", "T")
	}
	a.sealAll()
	began := time.Now()
	found := a.trace(everybody(), trace, answer.TraceRequest{Limit: answer.MaxTraceHops, Diffs: true})
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("a trace of %d records took %s", records, took)
	}
	if len(found.Hops) != answer.MaxTraceHops || !found.Truncated {
		t.Errorf("%d hops, truncated %v", len(found.Hops), found.Truncated)
	}
	checkEdges(t, found)
}
