package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// step is a hop with its diff's values as they travelled: null is not absent.
type step struct {
	api.Hop
	Diff *struct {
		Parent     int
		Comparable bool
		Truncated  bool
		Changes    []struct {
			Op, Path  string
			From, To  json.RawMessage
			MovedFrom string `json:"moved_from"`
		}
	} `json:"diff"`
}

// lineage is a trace as the API answers.
type lineage struct {
	api.Trace
	Hops []step `json:"hops"`
}

// byTrace groups the year's committed events by trace id, read from Kafka:
// from the header of whichever dialect a service writes, else from the body.
func byTrace(t testing.TB, i *instance.Instance) map[string][]*kgo.Record {
	t.Helper()
	traces := map[string][]*kgo.Record{}
	for _, s := range i.Stored(t, demoTopics(t, i)...) {
		verdicts := s.Verdicts(t)
		for _, r := range s.Records {
			if verdicts[r.Offset] == "committed" {
				id := traceOf(t, r)
				traces[id] = append(traces[id], r)
			}
		}
	}
	return traces
}

func traceOf(t testing.TB, r *kgo.Record) string {
	t.Helper()
	for _, h := range r.Headers {
		switch h.Key {
		case "traceId":
			return string(h.Value)
		case "traceparent", "ce_traceparent":
			return strings.Split(string(h.Value), "-")[1]
		}
	}
	var body struct{ TraceID string }
	if err := json.Unmarshal(r.Value, &body); err != nil || body.TraceID == "" {
		t.Fatalf("%s/%d/%d has no trace id: %v", r.Topic, r.Partition, r.Offset, err)
	}
	return body.TraceID
}

func at(r *kgo.Record) string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

func where(c api.Coordinates) string {
	return fmt.Sprintf("%s/%d/%d", c.Topic, c.Partition, c.Offset)
}

// TestTracesOfTheYear walks every fifth day, with ANNALS_TEST_LONG=1 all: every
// hop is there, declared parents are the named ones, an inferred parent of an
// enriched rate is the received rate of its currency, and each diff makes the
// child of its parent. It prints how good the inference is, with payloads read
// and without.
func TestTracesOfTheYear(t *testing.T) {
	i := year(t)
	traces := byTrace(t, i)
	events := map[string]string{} // event id to place
	for _, records := range traces {
		for _, r := range records {
			events[eventID(t, r)] = at(r)
		}
	}
	ids := names(traces)
	slices.SortFunc(ids, func(a, b string) int { return traces[a][0].Timestamp.Compare(traces[b][0].Timestamp) })
	every := 5
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		every = 1
	}
	var read, structure score
	diffs, largest, outside, walked := 0, 0, 0, 0
	for n := 0; n < len(ids); n += every {
		id := ids[n]
		var got, bare lineage
		i.Ask(t, "/traces/"+id+"?diffs=true", &got)
		byPlace := checkHops(t, id, traces[id], got)
		checkDeclared(t, got, byPlace, events)
		diffs += checkDiffs(t, got, byPlace)
		read.add(t, got, byPlace)
		i.Ask(t, "/traces/"+id, &bare)
		structure.add(t, bare, byPlace)
		largest, walked = max(largest, len(got.Hops)), walked+1
		if got.OutsideParents != nil {
			outside = max(outside, *got.OutsideParents)
		}
		if t.Failed() {
			t.Fatalf("trace %s", id)
		}
	}
	t.Logf("%d of %d traces, the largest with %d hops and %d parents in other traces; %d diffs applied", walked, len(ids), largest, outside, diffs)
	t.Logf("inferred parents of enriched rates, payloads read:  %v", read)
	t.Logf("inferred parents of enriched rates, structure only: %v", structure)
	if largest < 90 || outside < 500 || diffs == 0 {
		t.Error("a fixing day has ~96 hops and ~600 parents in other traces")
	}
	if read.right != read.wanted || read.right != read.given {
		t.Error("with payloads read, every enriched rate has one right parent: the received rate of its currency")
	}
}

// eventID reads an event's id as its producer wrote it.
func eventID(t testing.TB, r *kgo.Record) string {
	t.Helper()
	for _, h := range r.Headers {
		if h.Key == "eventId" || h.Key == "ce_id" {
			return string(h.Value)
		}
	}
	var body struct{ EventID string }
	if err := json.Unmarshal(r.Value, &body); err != nil || body.EventID == "" {
		t.Fatalf("%s has no event id: %v", at(r), err)
	}
	return body.EventID
}

// checkHops asks that the hops are exactly the records, in causal order.
func checkHops(t testing.TB, id string, records []*kgo.Record, got lineage) map[string]*kgo.Record {
	t.Helper()
	byPlace := map[string]*kgo.Record{}
	for _, r := range records {
		byPlace[at(r)] = r
	}
	if len(got.Hops) != len(records) || got.Truncated || got.TraceId != id {
		t.Fatalf("trace %s has %d hops (truncated: %v), Kafka has %d records of it", id, len(got.Hops), got.Truncated, len(records))
	}
	seen := map[string]bool{}
	for _, hop := range got.Hops {
		place := where(hop.Coordinates)
		r := byPlace[place]
		if r == nil || seen[place] {
			t.Fatalf("hop %s is not of this trace, or there twice", place)
		}
		seen[place] = true
		if hop.EventId != eventID(t, r) || hop.Timestamp.UnixMilli() != r.Timestamp.UnixMilli() || hop.EventType == "" || hop.SourceService == "" || hop.EventVersion == "" {
			t.Errorf("hop %s is shown as %+v", place, hop.Hop)
		}
	}
	for _, e := range got.Edges {
		if e.Parent != nil && *e.Parent >= e.Child {
			t.Errorf("hop %d comes before its parent %d", e.Child, *e.Parent)
		}
	}
	return byPlace
}

// checkDeclared asks that the declared edges are what the records' headers
// name: event ids, or coordinates.
func checkDeclared(t testing.TB, got lineage, byPlace map[string]*kgo.Record, events map[string]string) {
	t.Helper()
	parents := map[string][]string{}
	for _, e := range got.Edges {
		if !e.Declared {
			continue
		}
		child := where(got.Hops[e.Child].Coordinates)
		switch {
		case e.Parent != nil:
			parents[child] = append(parents[child], where(got.Hops[*e.Parent].Coordinates))
		case e.Outside != nil && e.Outside.Coordinates != nil && !e.Outside.Ghost:
			parents[child] = append(parents[child], where(*e.Outside.Coordinates))
		default:
			t.Errorf("%s: a declared parent was not found: %+v", child, e)
		}
	}
	for place, r := range byPlace {
		want := declared(r, events)
		slices.Sort(parents[place])
		slices.Sort(want)
		if !slices.Equal(parents[place], want) {
			t.Errorf("%s: declared parents %v, its headers name %v", place, parents[place], want)
		}
	}
}

// declared are the places that a record's headers name as its causes.
func declared(r *kgo.Record, events map[string]string) []string {
	var list []string
	source := map[string]string{}
	for _, h := range r.Headers {
		if h.Key == "causationId" {
			list = append(list, events[string(h.Value)])
		}
		source[h.Key] = string(h.Value)
	}
	if topic, ok := source["x-src-topic"]; ok {
		list = append(list, topic+"/"+source["x-src-partition"]+"/"+source["x-src-offset"])
	}
	return list
}

// score counts inferred parents of enriched rates, which name none.
type score struct{ wanted, given, right int }

func (s score) String() string {
	return fmt.Sprintf("precision %.4f, recall %.4f (%d right of %d given, %d wanted)",
		float64(s.right)/float64(max(s.given, 1)), float64(s.right)/float64(max(s.wanted, 1)), s.right, s.given, s.wanted)
}

func (s *score) add(t testing.TB, got lineage, byPlace map[string]*kgo.Record) {
	t.Helper()
	for _, hop := range got.Hops {
		if hop.Coordinates.Topic == "fx.rates.enriched" {
			s.wanted++
		}
	}
	for _, e := range got.Edges {
		child := got.Hops[e.Child].Coordinates
		if e.Declared {
			continue
		}
		if child.Topic != "fx.rates.enriched" || e.Parent == nil {
			t.Errorf("%s names its causes and has an inferred one too: %+v", where(child), e)
			continue
		}
		s.given++
		parent := got.Hops[*e.Parent].Coordinates
		if parent.Topic == "fx.rates.received" && bytes.Equal(byPlace[where(parent)].Key, byPlace[where(child)].Key) {
			s.right++
		}
	}
}

// checkDiffs applies each hop's diff to its parent's value and compares with
// its own.
func checkDiffs(t testing.TB, got lineage, byPlace map[string]*kgo.Record) int {
	t.Helper()
	applied := 0
	withParent := map[int]bool{}
	for _, e := range got.Edges {
		if e.Parent != nil {
			withParent[e.Child] = true
		}
	}
	for n, hop := range got.Hops {
		if (hop.Diff != nil) != withParent[n] {
			t.Errorf("hop %d: a diff: %v, a parent in the trace: %v", n, hop.Diff != nil, withParent[n])
		}
		if hop.Diff == nil {
			continue
		}
		if !hop.Diff.Comparable || hop.Diff.Truncated {
			t.Errorf("hop %d: two JSON documents are not comparable", n)
			continue
		}
		doc := document(t, byPlace[where(got.Hops[hop.Diff.Parent].Coordinates)].Value)
		for _, c := range hop.Diff.Changes {
			doc = change(t, doc, c.Op, c.Path, c.MovedFrom, c.From, c.To)
		}
		made, want := text(t, doc), text(t, document(t, byPlace[where(hop.Coordinates)].Value))
		if made != want {
			t.Errorf("hop %d: the diff makes of its parent\n%s, it is\n%s", n, made, want)
		}
		applied++
	}
	return applied
}

// document decodes JSON with its numbers as they are spelt.
func document(t testing.TB, raw []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var doc any
	if err := decoder.Decode(&doc); err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	return doc
}

func text(t testing.TB, doc any) string {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// change applies one change to a document made of objects, as the demo's are.
func change(t testing.TB, doc any, op, path, movedFrom string, from, to json.RawMessage) any {
	t.Helper()
	holder, name := inside(t, doc, path)
	before, there := holder[name]
	if (op == "change" || op == "remove") && (!there || text(t, before) != text(t, document(t, from))) {
		t.Errorf("%s %s was %s, the parent has %v", op, path, from, before)
	}
	if op == "add" && there {
		t.Errorf("add %s: the parent has it", path)
	}
	switch op {
	case "add", "change":
		holder[name] = document(t, to)
	case "remove":
		delete(holder, name)
	case "move":
		source, was := inside(t, doc, movedFrom)
		value := source[was]
		delete(source, was)
		holder[name] = value
	default:
		t.Errorf("operation %q is not in the API", op)
	}
	return doc
}

// inside finds the object that a JSON Pointer's last name is in.
func inside(t testing.TB, doc any, path string) (holder map[string]any, name string) {
	t.Helper()
	steps := strings.Split(path, "/")[1:]
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	at, ok := doc.(map[string]any)
	for _, s := range steps[:len(steps)-1] {
		if at, ok = at[unescape.Replace(s)].(map[string]any); !ok {
			break
		}
	}
	if !ok {
		t.Fatalf("path %s is not in the document", path)
	}
	return at, unescape.Replace(steps[len(steps)-1])
}
