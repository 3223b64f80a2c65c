package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Ids that are SQL, quotes or half of a query are ids like others: found by
// themselves and by nothing else. What can be none is said on the record, which is
// found by that.
func TestHostileIDsAreFoundByThemselvesAlone(t *testing.T) {
	a := newArchive(t, nil)
	at := newPipeline(a, 1).at(0, 0)
	ids := []string{
		"'; DROP TABLE records; --", `" OR 1=1 /*`, "%", "_", `\`, "{id:String}", "a' UNION SELECT 1", "ключ/é/漢字", strings.Repeat("i", 512), "topic:orders", "*",
	}
	for n, id := range ids {
		a.produce("ids", fmt.Sprint(n), `{}`, at, "eventId", id, "traceId", "trace "+id)
	}
	for n, id := range []string{"a\x00b", "line\nbreak", "\xff\xfe", strings.Repeat("x", 10_000)} {
		a.produce("none", fmt.Sprint(n), `{}`, at, "eventId", id, "traceId", id)
	}
	a.sealAll()
	for _, id := range ids {
		found, err := a.Identify(t.Context(), everybody(), id)
		if err != nil {
			t.Fatalf("%.20q: %v", id, err)
		}
		if len(found.Matches) != 1 || found.Matches[0].Role != schema.IDEvent.String() || found.Matches[0].Count != 1 || found.Matches[0].Records[0].EventID != id {
			t.Errorf("%.20q is found as %+v", id, found.Matches)
		}
		if len(id) < 500 {
			if hops := a.trace(everybody(), "trace "+id, answer.TraceRequest{Diffs: true}).Hops; len(hops) != 1 || hops[0].EventID != id {
				t.Errorf("the trace of %.20q has %d hops", id, len(hops))
			}
		}
	}
	for rule, want := range map[string]int{"event_id:not_printable": 3, "event_id:too_long": 1, "trace_id*": 4} {
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: `topic:none violation:"` + rule + `"`})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Records) != want {
			t.Errorf("%s finds %d records, want %d", rule, len(page.Records), want)
		}
	}
}

// A ring of causes, each step of which is the next one's parent, has no beginning;
// its steps are all shown, once.
func TestTraceInARing(t *testing.T) {
	a := newArchive(t, nil)
	const steps = 50
	trace, at := hexID(16), newPipeline(a, 1).at(0, 0)
	for n := range steps {
		a.produce("ring", fmt.Sprint(n), `{}`, at, "traceId", trace, "eventId", fmt.Sprintf("step-%d", n), "causationId", fmt.Sprintf("step-%d", (n+steps-1)%steps))
	}
	a.sealAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true, FactsOnly: true})
	seen := map[string]bool{}
	for _, h := range found.Hops {
		seen[h.EventID] = true
	}
	if len(found.Hops) != steps || len(seen) != steps || len(found.Edges) != steps || found.Ghosts != 0 {
		t.Errorf("%d hops, %d of them different, %d edges, %d ghosts; want %d", len(found.Hops), len(seen), len(found.Edges), found.Ghosts, steps)
	}
}

// Two services that give their events the same id: the look-up says both, and who
// names the id has one parent, of which the answer says which.
func TestOneEventIDOfTwoServices(t *testing.T) {
	a := newArchive(t, nil)
	trace, at := hexID(16), newPipeline(a, 1).at(0, 0)
	first := a.produce("orders", "k", `{"a":1}`, at, "traceId", trace, "eventId", "17", "sourceService", "shop")
	a.produce("payments", "k", `{"b":1}`, at.Add(time.Second), "traceId", trace, "eventId", "17", "sourceService", "bank")
	child := a.produce("shipments", "k", `{"c":1}`, at.Add(2*time.Second), "traceId", trace, "eventId", "18", "causationId", "17")
	a.sealAll()
	found, err := a.Identify(t.Context(), everybody(), "17")
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]string{}
	for _, m := range found.Matches {
		for _, h := range m.Records {
			services[m.Role] += h.Service + " "
		}
	}
	if services[schema.IDEvent.String()] != "bank shop " {
		t.Errorf("the id is found as %q", services)
	}
	answered := a.trace(everybody(), trace, answer.TraceRequest{FactsOnly: true})
	var parents []int
	for _, e := range answered.Edges {
		if e.Child == place(t, answered, child) {
			parents = append(parents, e.Parent)
		}
	}
	if !slices.Equal(parents, []int{place(t, answered, first)}) {
		t.Errorf("the parents are %v", parents)
	}
}

// A child whose clock is days behind its parent's stays its child, and stands
// behind it.
func TestClocksThatAreOffByDays(t *testing.T) {
	a := newArchive(t, nil)
	trace, at := hexID(16), newPipeline(a, 1).at(0, 0)
	parent := a.produce("orders", "k", `{}`, at, "traceId", trace, "eventId", "p")
	child := a.produce("shipments", "k", `{}`, at.AddDate(0, 0, -3), "traceId", trace, "eventId", "c", "causationId", "p")
	last := a.produce("bills", "k", `{}`, at.AddDate(0, 0, 5), "traceId", trace, "eventId", "l", "causationId", "c")
	a.sealAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{FactsOnly: true})
	if p, c, l := place(t, found, parent), place(t, found, child), place(t, found, last); p != 0 || c != 1 || l != 2 ||
		found.Hops[c].Depth != 1 || found.Hops[l].Depth != 2 || len(found.Edges) != 2 {
		t.Errorf("parent at %d, child at %d, the last at %d: %+v", p, c, l, found.Edges)
	}
}

// Kafka's "no timestamp", the epoch, and a year that few columns can hold: the
// record keeps its own, and is in its trace, in searches and in scans.
func TestTimestampsAtTheEndsOfTime(t *testing.T) {
	a := newArchive(t, nil)
	trace := hexID(16)
	var records []*schema.Record
	for n, millis := range []int64{-1, 0, 1, 253402300799999} {
		r := a.produce("times", "k", `{"n":1}`, time.UnixMilli(millis), "traceId", trace, "eventId", fmt.Sprint("e", n))
		if r.Timestamp != millis {
			t.Fatalf("timestamp %d became %d", millis, r.Timestamp)
		}
		records = append(records, r)
	}
	a.sealAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: "topic:times"})
	if err != nil {
		t.Fatal(err)
	}
	scanned, end := a.scan(everybody(), answer.ScanRequest{Query: "topic:times payload/n=1"})
	if len(found.Hops) != len(records) || len(page.Records) != len(records) || len(scanned) != len(records) || end.Stopped != "" {
		t.Errorf("%d hops, %d found, %d scanned of %d", len(found.Hops), len(page.Records), len(scanned), len(records))
	}
	for _, r := range records {
		got, err := a.Record(t.Context(), everybody(), answer.RecordRequest{Coordinates: schema.Coordinates{Topic: "times", Partition: r.Partition, Offset: r.Offset}})
		if err != nil {
			t.Fatal(err)
		}
		if got.Record.Timestamp != r.Timestamp {
			t.Errorf("timestamp %d is shown as %d", r.Timestamp, got.Record.Timestamp)
		}
	}
	for q, want := range map[string]int{"topic:times after:9999": 1, "topic:times before:1971": 3, "topic:times before:1970": 1, "topic:times after:1971 before:9999": 0} {
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: q})
		if err != nil {
			t.Fatal(err)
		}
		if scanned, _ := a.scan(everybody(), answer.ScanRequest{Query: q}); len(page.Records) != want || len(scanned) != want {
			t.Errorf("%s: %d found, %d scanned, want %d", q, len(page.Records), len(scanned), want)
		}
	}
}
