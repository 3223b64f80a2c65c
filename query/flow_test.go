package query_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// newBusinessArchive is one whose topics name business ids.
func newBusinessArchive(t *testing.T) *archive {
	t.Helper()
	rules, err := extract.New(extract.Options{Topics: []extract.TopicRule{
		{Topic: "shop.*", BusinessIDs: []extract.Location{"/orderId", "/customer"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Extract = rules })
	a.rules = rules
	return a
}

// w3c is a traceparent header of a trace and a span, with flags as OpenTelemetry's
// clients write them.
func w3c(trace, span string) string { return "00-" + trace + "-" + span + "-03" }

// reachedBy finds how a flow came to a record.
func reachedBy(t *testing.T, found *answer.Trace, r *schema.Record) *answer.Reached {
	t.Helper()
	return found.Hops[place(t, found, r)].Reached
}

func (a *archive) flowOf(trace string, factsOnly bool) *answer.Trace {
	a.t.Helper()
	return a.trace(everybody(), trace, answer.TraceRequest{Flow: true, FactsOnly: factsOnly, Diffs: true})
}

// cutsOf gives a flow's cuts as words.
func cutsOf(f *answer.Flow) (cuts []string) {
	for _, c := range f.Cuts {
		cuts = append(cuts, fmt.Sprintf("%s %s %s %d", c.Why, c.How, c.ID, c.Records))
	}
	slices.Sort(cuts)
	return cuts
}

// TestFlowWhereClientsBreakTraces: an order's way through services whose clients
// do with headers what OpenTelemetry's were seen to do. Each hop is in a trace of
// its own, and is found, with how.
func TestFlowWhereClientsBreakTraces(t *testing.T) {
	a := newBusinessArchive(t)
	at := day("2024-03-01")
	next := func() time.Time { at = at.Add(time.Second); return at }
	traces := make([]string, 6)
	for i := range traces {
		traces[i] = hexID(16)
	}
	span, event := hexID(8), hexID(16)
	placed := a.produce("shop.orders", "O-1", `{"orderId":"O-1"}`, next(), "traceparent", w3c(traces[0], span), "eventId", event)
	// A consumer that forwards headers, and whose client appends its own.
	paid := a.produce("shop.payments", "P-1", `{"amount":5}`, next(), "traceparent", w3c(traces[0], span), "traceparent", w3c(traces[1], hexID(8)))
	// One whose client began a new trace a record, and that declares its cause.
	packed := a.produce("shop.parcels", "K-1", `{"boxes":1}`, next(), "traceparent", w3c(traces[2], hexID(8)), "causationId", event)
	// What could not be processed, in the trace of the consumer that gave up.
	dead := a.produce("shop.parcels.dlq", "K-1", `{"boxes":1}`, next(), "traceparent", w3c(traces[3], hexID(8)),
		"__streams.errors.topic", packed.Topic, "__streams.errors.partition", fmt.Sprint(packed.Partition), "__streams.errors.offset", fmt.Sprint(packed.Offset))
	// One that declares nothing, and shares the order's number alone.
	billed := a.produce("shop.invoices", "I-1", `{"orderId":"O-1","customer":"C-7"}`, next(), "traceparent", w3c(traces[4], hexID(8)))
	// And what follows it in its trace.
	mailed := a.produce("shop.mails", "I-1", `{"to":"somebody"}`, next(), "traceparent", w3c(traces[4], hexID(8)))
	// Another order.
	other := a.produce("shop.orders", "O-2", `{"orderId":"O-2"}`, next(), "traceparent", w3c(traces[5], hexID(8)))
	a.sealAll()

	alone := a.trace(everybody(), traces[0], answer.TraceRequest{})
	if len(alone.Hops) != 1 || alone.Flow != nil {
		t.Fatalf("the trace alone: %d hops, flow %+v", len(alone.Hops), alone.Flow)
	}
	found := a.flowOf(traces[0], false)
	if len(found.Hops) != 6 || found.TraceID != traces[0] || len(found.Flow.Traces) != 5 || len(found.Flow.Cuts) != 0 || found.Truncated {
		t.Fatalf("%d hops of %d traces, cuts %v", len(found.Hops), len(found.Flow.Traces), cutsOf(found.Flow))
	}
	for _, c := range []struct {
		record   *schema.Record
		how, id  string
		from     *schema.Record
		step     int
		inferred bool
	}{
		{paid, answer.FlowForwarded, traces[0], placed, 1, false},
		{packed, answer.FlowEffect, "event:" + event, placed, 1, false},
		{dead, answer.FlowEffect, "record:" + position(packed), packed, 2, false},
		{billed, answer.FlowSharedID, "O-1", placed, 1, true},
		{mailed, answer.FlowTrace, traces[4], billed, 1, false},
	} {
		r := reachedBy(t, found, c.record)
		if r == nil || r.How != c.how || r.ID != c.id || r.From != place(t, found, c.from) || r.Step != c.step || r.Inferred != c.inferred {
			t.Errorf("%s: %+v, want %+v", position(c.record), r, c)
		}
	}
	if reachedBy(t, found, placed) != nil {
		t.Error("a hop of the trace itself is said to be beyond it")
	}
	edge := slices.IndexFunc(found.Edges, func(e answer.Edge) bool { return e.Child == place(t, found, packed) })
	if edge < 0 || found.Edges[edge].Parent != place(t, found, placed) || !found.Edges[edge].Declared {
		t.Errorf("no declared edge leads from the order to the parcel: %+v", found.Edges)
	}
	checkEdges(t, found)
	// From the other end it is the same.
	if back := a.flowOf(traces[3], false); len(back.Hops) != 6 {
		t.Errorf("from the dead letter there are %d hops", len(back.Hops))
	}
	facts := a.flowOf(traces[0], true)
	if len(facts.Hops) != 4 || slices.ContainsFunc(facts.Edges, func(e answer.Edge) bool { return !e.Declared }) {
		t.Errorf("facts only: %d hops", len(facts.Hops))
	}
	if got := a.flowOf(traces[5], false); len(got.Hops) != 1 || got.Hops[0].Offset != other.Offset {
		t.Errorf("the other order has %d hops", len(got.Hops))
	}
}

// TestFlowIsBounded: a cycle ends, an id that is everywhere leads nowhere, a trace
// of very many is not taken along, and each cut is said.
func TestFlowIsBounded(t *testing.T) {
	a := newBusinessArchive(t)
	at := day("2024-03-01")
	first, second, hub, big := hexID(16), hexID(16), hexID(16), hexID(16)
	one, two := hexID(16), hexID(16)
	a.produce("shop.a", "k", `{}`, at, "traceId", first, "eventId", one, "causationId", two)
	a.produce("shop.b", "k", `{}`, at, "traceId", second, "eventId", two, "causationId", one)
	if a.sealAll(); len(a.flowOf(first, false).Hops) != 2 {
		t.Error("a cycle over two traces has not two hops")
	}
	a.produce("shop.a", "k", `{"customer":"C-1"}`, at, "traceId", hub)
	for n := range 150 {
		a.produce("shop.c", "k", fmt.Sprintf(`{"n":%d,"customer":"C-1"}`, n), at, "traceId", hexID(16))
	}
	parent := hexID(16)
	a.produce("shop.a", "k", `{}`, at, "traceId", big, "eventId", parent)
	batch := hexID(16)
	a.produce("shop.d", "k", `{}`, at, "traceId", batch, "causationId", parent)
	for range 120 {
		a.produce("shop.d", "k", `{}`, at, "traceId", batch)
	}
	// A chain of traces that is longer than a flow goes.
	chain, cause := []string{}, ""
	for n := range 12 {
		id := hexID(16)
		headers := []string{"traceId", hexID(16), "eventId", id}
		if chain = append(chain, headers[1]); cause != "" {
			headers = append(headers, "causationId", cause)
		}
		a.produce("shop.e", "k", `{}`, at.Add(time.Duration(n)*time.Second), headers...)
		cause = id
	}
	// And one that is too far away in time.
	old, oldID, young := hexID(16), hexID(16), hexID(16)
	a.produce("shop.f", "k", `{}`, at.AddDate(-1, 0, 0), "traceId", old, "eventId", oldID)
	a.produce("shop.f", "k", `{}`, at, "traceId", young, "causationId", oldID)
	a.sealAll()
	for name, c := range map[string]struct {
		trace string
		hops  int
		cuts  []string
	}{
		"a hub":   {hub, 1, []string{"hub shared_id C-1 151"}},
		"a batch": {big, 2, []string{fmt.Sprintf("hub trace %s 121", batch)}},
		"a chain": {chain[0], 9, []string{"steps   1"}},
		"a year":  {young, 1, nil},
	} {
		found := a.flowOf(c.trace, false)
		if got := cutsOf(found.Flow); len(found.Hops) != c.hops || !slices.Equal(got, c.cuts) {
			t.Errorf("%s: %d hops, cuts %q, want %d and %q", name, len(found.Hops), got, c.hops, c.cuts)
		}
	}
	if year := a.flowOf(young, false); len(year.Edges) != 1 || year.OutsideParents != 1 {
		t.Errorf("the parent of a year ago is not named: %+v", year.Edges)
	}
	limited := a.trace(everybody(), chain[0], answer.TraceRequest{Flow: true, Limit: 3})
	if got := cutsOf(limited.Flow); len(limited.Hops) != 3 || !limited.Truncated || !slices.Equal(got, []string{"limit   3"}) {
		t.Errorf("limit 3: %d hops, %v, cuts %q", len(limited.Hops), limited.Truncated, got)
	}
	hidden := a.trace(only(t, "shop.a"), first, answer.TraceRequest{Flow: true})
	if len(hidden.Hops) != 1 || hidden.Ghosts != 1 || len(hidden.Flow.Traces) != 1 {
		t.Errorf("who sees one topic is shown %d hops of %v", len(hidden.Hops), hidden.Flow.Traces)
	}
}
