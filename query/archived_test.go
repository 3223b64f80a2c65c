package query_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// withoutIndex is an engine over the same archive whose ClickHouse is not there:
// its port is closed.
func (a *archive) withoutIndex(change func(*query.Options)) *query.Engine {
	a.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	options := a.options
	options.Addr = listener.Addr().String()
	if err := listener.Close(); err != nil {
		a.t.Fatal(err)
	}
	gone, err := index.Open(options)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = gone.Close() })
	of := query.Options{Index: gone, Store: a.store, Ledger: a.ledger, Extract: a.rules}
	if change != nil {
		change(&of)
	}
	engine, err := query.New(of)
	if err != nil {
		a.t.Fatal(err)
	}
	return engine
}

// TestTraceWithoutTheIndex: with ClickHouse down a trace is read from the archive
// itself, within a range of time, as it is with the index but for what only that
// knows.
func TestTraceWithoutTheIndex(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	var trace string
	var events []*event
	var first time.Time
	for n := range 6 {
		at := p.at(0, 0)
		id, all := p.day()
		if a.sealAll(); n == 3 {
			trace, events, first = id, all, at
		}
	}
	engine := a.withoutIndex(nil)
	_, err := engine.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: trace})
	var fault *schema.Error
	if !errors.As(err, &fault) || schema.KindOf(err) != schema.Unavailable || !strings.Contains(fault.Hint, "--archive") {
		t.Fatalf("without the index: %v", err)
	}
	request := answer.TraceRequest{TraceID: strings.ToUpper(trace), Archive: true, From: first.Add(-36 * time.Hour), To: first.Add(36 * time.Hour), Diffs: true}
	found, err := engine.Trace(t.Context(), everybody(), request)
	if err != nil {
		t.Fatal(err)
	}
	with := a.trace(everybody(), trace, answer.TraceRequest{FactsOnly: true, Diffs: true})
	look := found.Archive
	if len(found.Hops) != len(events) || found.Sealed != len(events) || found.Truncated || found.TraceID != trace || look == nil || look.Stopped != "" ||
		look.ParentsOutside != with.OutsideParents || look.Looked != look.OfSegments {
		t.Fatalf("%d hops of %d, look %+v", len(found.Hops), len(events), look)
	}
	// The days beside it lie in the range; their segments are looked into, few are read.
	if look.Segments >= look.OfSegments || look.Segments == 0 {
		t.Errorf("%d of %d segments were read: the filters of trace ids say nothing", look.Segments, look.OfSegments)
	}
	var inside int
	for _, e := range with.Edges {
		if e.Parent < 0 {
			continue
		}
		inside++
		child, parent := with.Hops[e.Child].Coordinates(), with.Hops[e.Parent].Coordinates()
		if !slices.ContainsFunc(found.Edges, func(f answer.Edge) bool {
			return f.Declared && found.Hops[f.Child].Coordinates() == child && found.Hops[f.Parent].Coordinates() == parent
		}) {
			t.Errorf("no edge from %s to %s", parent, child)
		}
	}
	if len(found.Edges) != inside || inside == 0 {
		t.Errorf("%d edges, with the index %d", len(found.Edges), inside)
	}
	if !slices.ContainsFunc(found.Hops, func(h answer.Hop) bool { return h.Diff != nil && h.Diff.Comparable }) {
		t.Error("nothing was compared")
	}
	if hidden, err := engine.Trace(t.Context(), only(t, "fx.risk.alerts"), request); err != nil || len(hidden.Hops) != 1 {
		t.Errorf("who sees the alerts: %v, %v", hidden, err)
	}
	request.Limit = 2
	if cut, err := engine.Trace(t.Context(), everybody(), request); err != nil || len(cut.Hops) != 2 || !cut.Truncated || cut.Archive.Stopped != answer.StoppedByLimit {
		t.Errorf("limit 2: %v, %v", cut, err)
	}
	request.Limit = 0
	small := a.withoutIndex(func(o *query.Options) { o.ScanBytes = 1 })
	if cut, err := small.Trace(t.Context(), everybody(), request); err != nil || !cut.Truncated || cut.Archive.Stopped != answer.StoppedByBytes || cut.Archive.Segments != 1 {
		t.Errorf("one byte: %v, %v", cut, err)
	}
	request.From, request.To = first.AddDate(0, 0, 20), first.AddDate(0, 0, 21)
	if _, err := engine.Trace(t.Context(), everybody(), request); schema.KindOf(err) != schema.NotFound || !strings.Contains(err.Error(), "0 segments") {
		t.Errorf("another time: %v", err)
	}
	for _, bad := range []answer.TraceRequest{
		{TraceID: trace, Archive: true},
		{TraceID: trace, Archive: true, From: first, To: first},
		{TraceID: trace, From: first, To: first.Add(1)},
		{TraceID: trace, Archive: true, Flow: true, From: first, To: first.Add(time.Hour)},
	} {
		if _, err := a.Trace(t.Context(), everybody(), bad); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
