package index_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

var all = index.Scope{All: true}

// names writes hits the way people do, in the order given.
func names(hits []index.Hit) string {
	var list []string
	for _, h := range hits {
		list = append(list, h.Coordinates().String())
	}
	return strings.Join(list, " ")
}

func trace(t testing.TB, x *engine, id string, scope index.Scope) []index.Hit {
	t.Helper()
	hits, more, err := x.Trace(t.Context(), []string{id}, scope, 100)
	if err != nil || more {
		t.Fatalf("trace %s: more %v, %v", id, more, err)
	}
	return hits
}

func TestTraceGivesEveryFieldBack(t *testing.T) {
	x := open(t, nil)
	r := row("a", 3, 7)
	r.Record.Branch = 2
	r.Extraction.Causes = []schema.Cause{{Kind: schema.CauseEvent, ID: "p; DROP TABLE records"}, {Kind: schema.CauseRecord, ID: "a/0/1"}}
	bare := row("a", 0, 8)
	bare.Record.Value, bare.Record.Timestamp = nil, -1
	*bare.Extraction = schema.Extraction{TraceID: r.Extraction.TraceID}
	insert(t, x, r, bare)
	hits := trace(t, x, r.Extraction.TraceID, all)
	if len(hits) != 2 {
		t.Fatalf("%d hits: %s", len(hits), names(hits))
	}
	want := index.Hit{
		Position: r.Record.Position(), Topic: "a", Status: schema.Committed, Version: index.Fresh,
		Timestamp: r.Record.Timestamp, EventTime: r.Extraction.EventTime, HasEventTime: true,
		TraceID: r.Extraction.TraceID, EventID: r.Extraction.EventID, SpanID: r.Extraction.SpanID, Causes: r.Extraction.Causes,
		EventType: "FxRateReceived", EventVersion: "2", Service: "ecb-gateway", Stage: schema.StageIngestion, Bytes: r.Record.Bytes(),
	}
	if got := fmt.Sprintf("%+v", hits[1]); got != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %s\nwant %+v", got, want)
	}
	want = index.Hit{
		Position: bare.Record.Position(), Topic: "a", Status: schema.Committed, Version: index.Fresh,
		Timestamp: -1, TraceID: r.Extraction.TraceID, Bytes: 3, Tombstone: true,
	}
	if got := fmt.Sprintf("%+v", hits[0]); got != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %s\nwant %+v", got, want)
	}
}

func TestTraceLimitScopeAndStatus(t *testing.T) {
	x := open(t, nil)
	var rows []index.Row
	for n := range int64(5) {
		r := row([]string{"a", "b"}[n%2], 0, n)
		r.Extraction.TraceID = "t"
		rows = append(rows, r)
	}
	rows[4].Record.Status = schema.Aborted
	insert(t, x, rows...)
	if got := names(trace(t, x, "t", all)); got != "a/0/0 b/0/1 a/0/2 b/0/3" {
		t.Errorf("got %s", got)
	}
	onlyB := index.Scope{Topics: []schema.TopicID{rows[1].Record.TopicID}}
	if got := names(trace(t, x, "t", onlyB)); got != "b/0/1 b/0/3" {
		t.Errorf("scope of b sees %s", got)
	}
	if got := names(trace(t, x, "t", index.Scope{})); got != "" {
		t.Errorf("the zero scope sees %s", got)
	}
	hits, more, err := x.Trace(t.Context(), []string{"t"}, onlyB, 1)
	if err != nil || !more || names(hits) != "b/0/1" {
		t.Errorf("limit 1: %s, more %v, %v", names(hits), more, err)
	}
	hits, more, err = x.Trace(t.Context(), []string{"t"}, onlyB, 2)
	if err != nil || more || len(hits) != 2 {
		t.Errorf("limit 2: %s, more %v, %v", names(hits), more, err)
	}
}

// A trace is read as its rows come up to some hundred records; of a longer one, too,
// all are given, or the first ones.
func TestLongTrace(t *testing.T) {
	x := open(t, nil)
	var rows []index.Row
	for n := range int64(700) {
		r := row("a", 0, n)
		r.Extraction.TraceID = "t"
		r.Record.Timestamp = day.UnixMilli() - n // the last is the first
		rows = append(rows, r)
	}
	insert(t, x, rows...)
	for limit, want := range map[int]int{100: 100, 511: 511, 512: 512, 513: 513, 699: 699, 700: 700, 2000: 700} {
		hits, more, err := x.Trace(t.Context(), []string{"t"}, all, limit)
		if err != nil || len(hits) != want || more != (limit < 700) {
			t.Errorf("limit %d: %d hits, more %v, %v", limit, len(hits), more, err)
			continue
		}
		for i := range hits {
			if hits[i].Offset != int64(699-i) {
				t.Fatalf("limit %d: hit %d is of offset %d", limit, i, hits[i].Offset)
			}
		}
	}
}

func found(t testing.TB, x *engine, scope index.Scope, ids ...index.ID) string {
	t.Helper()
	list, more, err := x.Lookup(t.Context(), ids, nil, scope)
	if err != nil || more {
		t.Fatalf("look up %v: more %v, %v", ids, more, err)
	}
	var texts []string
	for _, f := range list {
		texts = append(texts, fmt.Sprintf("%s %s: %s", f.Kind, f.Text, f.Hit.Coordinates()))
	}
	slices.Sort(texts)
	return strings.Join(texts, "; ")
}

func TestLookup(t *testing.T) {
	x := open(t, nil)
	parent, child, loner := row("a", 0, 1), row("b", 1, 2), row("c", 0, 3)
	child.Extraction.Causes = []schema.Cause{
		{Kind: schema.CauseEvent, ID: parent.Extraction.EventID}, {Kind: schema.CauseCopy, ID: "a/0/1"},
	}
	child.Extraction.Identifiers = []schema.Identifier{{Kind: schema.IDCorrelation, ID: "order;\n'5'"}}
	loner.Extraction.TraceID = ""
	insert(t, x, parent, child, loner)
	event := parent.Extraction.EventID
	for _, c := range []struct {
		id   index.ID
		want string
	}{
		{index.ID{Kind: schema.IDEvent, Text: event}, "event " + event + ": a/0/1"},
		{index.ID{Kind: schema.RefEvent, Text: event}, "causation " + event + ": b/1/2"},
		{index.ID{Kind: schema.IDRecord, Text: "a/0/1"}, "record a/0/1: a/0/1"},
		{index.ID{Kind: schema.RefRecord, Text: "a/0/1"}, "source record a/0/1: b/1/2"},
		{index.ID{Kind: schema.IDRecord, Text: "c/0/3"}, "record c/0/3: c/0/3"},
		{index.ID{Kind: schema.IDSpan, Text: child.Extraction.SpanID}, "span " + child.Extraction.SpanID + ": b/1/2"},
		{index.ID{Kind: schema.IDCorrelation, Text: "order;\n'5'"}, "correlation order;\n'5': b/1/2"},
		{index.ID{Kind: schema.IDEvent, Text: "nobody's"}, ""},
		{index.ID{Kind: schema.IDSpan, Text: event}, ""},
	} {
		if got := found(t, x, all, c.id); got != c.want {
			t.Errorf("%v %q: got %q, want %q", c.id.Kind, c.id.Text, got, c.want)
		}
	}
	if got := found(t, x, index.Scope{Topics: []schema.TopicID{parent.Record.TopicID}}, index.ID{Kind: schema.RefEvent, Text: event}); got != "" {
		t.Errorf("a hidden topic shows in %q", got)
	}
	resolved, _, err := x.Resolve(t.Context(), []index.ID{{Kind: schema.IDEvent, Text: event}, {Kind: schema.IDRecord, Text: "c/0/3"}}, nil, all)
	if err != nil || len(resolved) != 2 || names([]index.Hit{resolved[0].Hit, resolved[1].Hit}) != "a/0/1 c/0/3" &&
		names([]index.Hit{resolved[0].Hit, resolved[1].Hit}) != "c/0/3 a/0/1" {
		t.Errorf("resolved %+v, %v", resolved, err)
	}
	if _, _, err := x.Resolve(t.Context(), []index.ID{{Kind: schema.RefEvent, Text: event}}, nil, all); schema.KindOf(err) != schema.Invalid {
		t.Errorf("resolve a reference: %v", err)
	}
	both := found(t, x, all, index.ID{Kind: schema.IDEvent, Text: event}, index.ID{Kind: schema.RefRecord, Text: "a/0/1"})
	if both != "event "+event+": a/0/1; source record a/0/1: b/1/2" {
		t.Errorf("two ids at once: %q", both)
	}
}

// page reads a search to its end, so many at a time.
func pages(t testing.TB, x *engine, f index.Filter, scope index.Scope, size int) []index.Hit {
	t.Helper()
	var hits []index.Hit
	for {
		page, more, err := x.Search(t.Context(), f, scope, size)
		if err != nil {
			t.Fatal(err)
		}
		hits = append(hits, page...)
		if !more {
			return hits
		}
		if len(page) != size {
			t.Fatalf("a page of %d, and more to come", len(page))
		}
		mark := page[len(page)-1].Mark()
		f.After = &mark
	}
}

func TestSearchPagesThroughEverything(t *testing.T) {
	x := open(t, func(o *index.Options) { o.Partition = "years" })
	var rows []index.Row
	times := []int64{math.MinInt64, -1, 0, 915460500000, 915460500000, 1700000000000, 1715955300000, 4102444800000, math.MaxInt64}
	for n, ts := range times {
		for partition := range int32(3) {
			r := row("a", partition, int64(n))
			r.Record.Timestamp = ts
			rows = append(rows, r)
		}
	}
	insert(t, x, rows...)
	want := pages(t, x, index.Filter{}, all, 1000)
	if len(want) != len(rows) {
		t.Fatalf("%d of %d records", len(want), len(rows))
	}
	for i := 1; i < len(want); i++ {
		if want[i-1].Timestamp < want[i].Timestamp {
			t.Fatalf("not newest first at %d", i)
		}
	}
	for _, size := range []int{1, 2, 7, len(rows) - 1, len(rows)} {
		if got := pages(t, x, index.Filter{}, all, size); names(got) != names(want) {
			t.Errorf("pages of %d:\n%s\nwant\n%s", size, names(got), names(want))
		}
	}
	from, to := int64(915460500000), int64(1715955300000)
	if got := pages(t, x, index.Filter{From: &from, To: &to}, all, 2); len(got) != 9 {
		t.Errorf("range gives %d records: %s", len(got), names(got))
	}
}

func TestSearchFilters(t *testing.T) {
	x := open(t, nil)
	a, b, c := row("a", 0, 1), row("b", 0, 2), row("b", 0, 3)
	b.Extraction.EventType, b.Extraction.SourceService, b.Extraction.Stage = "Enriched'", "rate-enricher", schema.StageUnknown
	c.Record.Status, c.Extraction.Stage = schema.Aborted, schema.StageDeadLetter
	c.Extraction.Errors = []string{"trace_id:malformed"}
	insert(t, x, a, b, c)
	topic := func(r index.Row) []index.Incarnation {
		return []index.Incarnation{{Topic: r.Record.Topic, TopicID: r.Record.TopicID}}
	}
	recreated := topic(a)
	recreated[0].TopicID[0] ^= 1
	anyStatus := []schema.Status{schema.Committed, schema.Aborted, schema.Control}
	elsewhere := int32(7)
	for name, test := range map[string]struct {
		f    index.Filter
		want string
	}{
		"nothing":           {index.Filter{}, "b/0/2 a/0/1"},
		"topic":             {index.Filter{Topics: topic(a)}, "a/0/1"},
		"older incarnation": {index.Filter{Topics: recreated}, ""},
		"type":              {index.Filter{EventType: "Enriched'"}, "b/0/2"},
		"service":           {index.Filter{Service: "rate-enricher"}, "b/0/2"},
		"type's beginning":  {index.Filter{TypePrefix: "Enriched'"}, "b/0/2"},
		"beginnings":        {index.Filter{TypePrefix: "Fx", ServicePrefix: "ecb-"}, "a/0/1"},
		"a % is a %":        {index.Filter{TypePrefix: "%"}, ""},
		"version":           {index.Filter{Version: "2", ServicePrefix: "rate"}, "b/0/2"},
		"other version":     {index.Filter{Version: "3'"}, ""},
		"partition":         {index.Filter{Partition: new(int32)}, "b/0/2 a/0/1"},
		"other partition":   {index.Filter{Partition: &elsewhere}, ""},
		"any status":        {index.Filter{Statuses: anyStatus}, "b/0/3 b/0/2 a/0/1"},
		"aborted":           {index.Filter{Statuses: []schema.Status{schema.Aborted}}, "b/0/3"},
		"declared stage":    {index.Filter{Stage: &index.StageFilter{Stage: schema.StageIngestion}}, "a/0/1"},
		"known stage": {index.Filter{Stage: &index.StageFilter{
			Stage: schema.StageEnrichment, Topics: []string{"b"}, Types: []string{"Enriched'"},
		}}, "b/0/2"},
		"whole topic's stage": {index.Filter{Stage: &index.StageFilter{Stage: schema.StageDelivery, Whole: []string{"a", "b"}}}, "b/0/2"},
		"not the topic's stage": {index.Filter{Stage: &index.StageFilter{
			Stage: schema.StageEnrichment, Topics: []string{"a"}, Types: []string{"Enriched'"},
		}}, ""},
	} {
		if got := names(pages(t, x, test.f, all, 10)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	hits := pages(t, x, index.Filter{Statuses: anyStatus}, index.Scope{Topics: []schema.TopicID{b.Record.TopicID}}, 10)
	if names(hits) != "b/0/3 b/0/2" || !slices.Equal(hits[0].Errors, c.Extraction.Errors) {
		t.Errorf("scope of b sees %s, errors %v", names(hits), hits[0].Errors)
	}
}

// commit is a segment's row over [base, next) of a stream of row().
func commit(of index.Row, seq, base, next int64) index.SegmentRow {
	r := of.Record
	return index.SegmentRow{
		Stream: schema.Stream{Cluster: "c1", Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition},
		Branch: r.Branch, Kind: schema.KindSegment, Seq: seq, Base: base, Next: next,
		Key: fmt.Sprintf("data/%s/%d", r.Topic, seq), SHA256: schema.Digest{byte(seq)}, Bytes: 100, Version: index.Fresh,
		Records: schema.Counts{Committed: next - base}, MinTimestamp: day.UnixMilli(), MaxTimestamp: day.UnixMilli() + next,
		HighWatermark: next, SealedAt: day,
	}
}

func TestBranchesAndCovering(t *testing.T) {
	x := open(t, nil)
	of := row("a", 0, 0)
	genesis := commit(of, 0, 5, 5)
	genesis.Kind, genesis.Key = schema.KindGenesis, ""
	gap := commit(of, 2, 10, 20)
	gap.Kind, gap.Key, gap.Records = schema.KindGap, "", schema.Counts{}
	gap.Gaps = map[schema.GapClass]int64{schema.GapCleaned: 4, schema.GapBeforeLogStart: 6}
	later := commit(of, 3, 20, 30)
	later.Gaps = map[schema.GapClass]int64{schema.GapCleaned: 1}
	rewritten := commit(of, 4, 5, 10)
	rewritten.Kind = schema.KindCompaction
	again := commit(of, 1, 5, 10) // read again, in the place that the compaction gave it
	again.Version = index.Fresh + 1
	for _, c := range []index.SegmentRow{genesis, commit(of, 1, 5, 10), gap, later, rewritten, again, later} {
		if err := x.InsertSegments(t.Context(), []index.SegmentRow{c}); err != nil {
			t.Fatal(err)
		}
	}
	insert(t, x, row("a", 0, 31), row("a", 0, 32), row("b", 7, 3))
	branches, err := x.Branches(t.Context())
	if err != nil || len(branches) != 2 {
		t.Fatalf("%d branches, %v", len(branches), err)
	}
	a, b := branches[0], branches[1]
	if a.Start != 5 || a.Next != 30 || a.FreshNext != 33 || a.Records.Committed != 15 || a.Commits != 5 || a.Segments != 2 ||
		a.Gaps[schema.GapCleaned] != 5 || a.Gaps[schema.GapBeforeLogStart] != 6 || a.HighWatermark != 30 || a.Bytes != 200 ||
		!a.SealedAt.Equal(day) || a.MaxTimestamp != day.UnixMilli()+30 {
		t.Errorf("branch of a: %+v", a)
	}
	if b.Stream.Partition != 7 || b.Next != 0 || b.FreshNext != 4 || b.HighWatermark != -1 || !b.SealedAt.IsZero() || !b.IndexedAt.Equal(day) {
		t.Errorf("branch of b: %+v", b)
	}
	at := func(offset int64) schema.Position {
		p := of.Record.Position()
		p.Offset = offset
		return p
	}
	other := at(7)
	other.Branch = 1
	covering, err := x.Covering(t.Context(), []schema.Position{at(4), at(5), at(9), at(10), at(19), at(20), at(29), at(30), other})
	if err != nil {
		t.Fatal(err)
	}
	for offset, seq := range map[int64]int64{5: 4, 9: 4, 20: 3, 29: 3} {
		if got := covering[at(offset)]; got.Seq != seq || got.Key != fmt.Sprintf("data/a/%d", seq) || got.SHA256 != (schema.Digest{byte(seq)}) {
			t.Errorf("offset %d is covered by %+v, want seq %d", offset, got, seq)
		}
	}
	// What is read again counts under its own version, wherever it lies.
	if v := covering[at(5)].Version; v != index.Fresh+1 || covering[at(20)].Version != index.Fresh || a.Versions != [2]index.Version{index.Fresh, index.Fresh + 1} {
		t.Errorf("offset 5 counts under %x, offset 20 under %x, the branch has %x", v, covering[at(20)].Version, a.Versions)
	}
	if len(covering) != 4 {
		t.Errorf("%d positions are covered, want 4: %v", len(covering), covering)
	}
	// Positions of one stream are asked for otherwise than those of several.
	for _, p := range []schema.Position{at(4), at(5), at(9), at(10), at(20), at(30), other} {
		one, err := x.Covering(t.Context(), []schema.Position{p})
		if got, want := one[p], covering[p]; err != nil || got.Seq != want.Seq || got.Key != want.Key || got.Version != want.Version {
			t.Errorf("offset %d alone is covered by %+v, %v; want %+v", p.Offset, got, err, want)
		}
	}
}

func TestRollupsAndTopologyOfASegment(t *testing.T) {
	x := open(t, nil)
	parent := row("a", 0, 1)
	child, second := row("b", 0, 2), row("b", 0, 3)
	child.Extraction.EventType, second.Extraction.EventType = "Enriched", "Enriched"
	child.Extraction.Causes = []schema.Cause{{Kind: schema.CauseEvent, ID: parent.Extraction.EventID}}
	second.Extraction.Causes = []schema.Cause{{Kind: schema.CauseRecord, ID: "a/0/1"}}
	second.Record.Value, second.Extraction.TraceID = nil, ""
	old, third := row("a", 0, 0), row("b", 0, 4)
	old.Record.Timestamp -= (40 * 24 * time.Hour).Milliseconds() // further back than is looked
	third.Extraction.EventType = "Corrected"
	third.Extraction.Causes = []schema.Cause{{Kind: schema.CauseRecord, ID: "a/0/0"}}
	insert(t, x, old, parent, child, second)
	for range 2 { // a second time changes nothing
		segment := commit(child, 1, 2, 4)
		segment.Summary = index.NewSummary()
		segment.Summary.Add(child.Record, child.Extraction)
		segment.Summary.Add(second.Record, second.Extraction)
		segment.Summary.Add(third.Record, third.Extraction)
		if err := x.InsertSegments(t.Context(), []index.SegmentRow{segment}); err != nil {
			t.Fatal(err)
		}
	}
	got := x.ask("SELECT hour, topic, event_type, records, tombstones, without_trace FROM db.rollups FINAL WHERE event_type = 'Enriched'")
	if got != "2024-05-17 14:00:00\tb\tEnriched\t2\t1\t1" {
		t.Errorf("rollups: %s", got)
	}
	feeds, err := x.Topology(t.Context())
	want := index.Feed{ParentTopic: "a", ParentType: "FxRateReceived", ChildTopic: "b", ChildType: "Enriched", Samples: 2, Newest: commit(child, 1, 2, 4).MaxTimestamp}
	if err != nil || len(feeds) != 1 || feeds[0] != want {
		t.Errorf("topology %+v, %v", feeds, err)
	}
}

// TestTraceRate prints how long it takes to read a trace of 96 records and to
// resolve its parents, over more than five million ids.
func TestTraceRate(t *testing.T) {
	if os.Getenv("ANNALS_BENCH") == "" {
		t.Skip("set ANNALS_BENCH=1 to measure")
	}
	x := open(t, func(o *index.Options) { o.Partition = "years" })
	h := newHistory()
	var traces []string
	for range 26 {
		var rows []index.Row
		for range 260 {
			day, trace := h.day()
			rows, traces = append(rows, day...), append(traces, trace)
		}
		insert(t, x, rows...)
	}
	fmt.Printf("rows: %s ids, %s records, %s parts\n", x.ask("SELECT count() FROM db.id_index"),
		x.ask("SELECT count() FROM db.records"), x.ask("SELECT countIf(table = 'id_index') FROM system.parts WHERE active AND database = '"+x.options.Database+"'"))
	took := map[string][]time.Duration{}
	used := map[string]time.Duration{}
	clock := func(name string, f func()) {
		began := time.Now()
		_, engine := embeddedtest.CPUTime()
		f()
		took[name] = append(took[name], time.Since(began))
		_, engineNow := embeddedtest.CPUTime()
		used[name] += engineNow - engine
	}
	for n := range 100 {
		var hits []index.Hit
		clock("trace", func() { hits = trace(t, x, traces[n*65+30], all) })
		var ids []index.ID
		for _, hit := range hits {
			for _, c := range hit.Causes {
				ids = append(ids, index.ID{Kind: schema.IDEvent, Text: c.ID})
			}
		}
		lookup := func(within *index.Window) func() {
			return func() {
				list, _, err := x.Resolve(t.Context(), ids, within, all)
				if err != nil || len(list) < 500 {
					t.Fatalf("%d parents of %d, %v", len(list), len(ids), err)
				}
			}
		}
		clock("parents", lookup(nil))
		clock("parents within 91 days", lookup(&index.Window{
			From: hits[0].Timestamp - 90*86400_000, To: hits[0].Timestamp + 86400_000,
		}))
	}
	for name, list := range took {
		slices.Sort(list)
		fmt.Printf("%-24s p50 %v p95 %v max %v; engine CPU %.1f ms each\n",
			name, list[50], list[95], list[99], float64(used[name].Milliseconds())/float64(len(list)))
	}
}

// TestOneIDOfManyRecords looks an event id up that more rows of the index bear
// than a look-up reads one by one, in two traces and once more in a third that
// is newer than both.
func TestOneIDOfManyRecords(t *testing.T) {
	x := open(t, nil)
	var rows []index.Row
	for n := range int64(4_500) {
		r := row("a", 0, n)
		r.Extraction.EventID, r.Extraction.TraceID = "the same", fmt.Sprintf("trace %d", n%2)
		if n == 4_499 {
			r.Extraction.TraceID, r.Record.Timestamp = "trace 2", r.Record.Timestamp+86400_000
		}
		rows = append(rows, r)
	}
	insert(t, x, rows...)
	found, more, err := x.Resolve(t.Context(), []index.ID{{Kind: schema.IDEvent, Text: "the same"}}, nil, all)
	if err != nil || more {
		t.Fatalf("more %v, %v", more, err)
	}
	byTrace := map[string]int{}
	for _, f := range found {
		byTrace[f.Hit.TraceID]++
	}
	if want := map[string]int{"trace 0": 2250, "trace 1": 2249, "trace 2": 1}; !maps.Equal(byTrace, want) {
		t.Errorf("records by trace: %v, want %v", byTrace, want)
	}
}

// TestAnIDThatManyNameFindsItsOwner holds that a limit of candidates, all of them
// newer, does not hide the record that has the id from a look-up in all roles.
func TestAnIDThatManyNameFindsItsOwner(t *testing.T) {
	x := open(t, nil)
	rows := []index.Row{row("a", 0, 0)}
	id := rows[0].Extraction.EventID
	for n := range int64(index.MaxFound + 10) {
		r := row("b", 0, n+1)
		r.Extraction.Identifiers = []schema.Identifier{{Kind: schema.IDCorrelation, ID: id}}
		rows = append(rows, r)
	}
	insert(t, x, rows...)
	found, more, err := x.Lookup(t.Context(), []index.ID{{Kind: schema.IDEvent, Text: id}, {Kind: schema.IDCorrelation, Text: id}}, nil, all)
	if err != nil || !more || len(found) != index.MaxFound {
		t.Fatalf("%d found, more %v, %v", len(found), more, err)
	}
	if !slices.ContainsFunc(found, func(f index.Found) bool { return f.Kind == schema.IDEvent && f.Hit.EventID == id }) {
		t.Error("the event itself is not among what was found")
	}
}
