package query_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// searchAll reads a search to its end and gives the coordinates found.
func (a *archive) searchAll(who policy.Principal, r answer.SearchRequest) []string {
	a.t.Helper()
	var all []string
	for {
		page, err := a.Search(a.t.Context(), who, r)
		if err != nil {
			a.t.Fatal(err)
		}
		for i := range page.Records {
			all = append(all, page.Records[i].Coordinates().String())
		}
		if r.Cursor = page.NextCursor; r.Cursor == "" {
			return all
		}
	}
}

func TestSearch(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	p.span = 2
	traces := map[string][]*event{}
	var last string
	for range 3 {
		trace, events := p.day()
		traces[trace], last = events, trace
		a.sealAll()
	}
	today := traces[last]
	all := a.searchAll(everybody(), answer.SearchRequest{})
	if len(all) != 33 {
		t.Fatalf("%d records, want 33", len(all))
	}
	of := func(keep func(*event) bool) []string {
		var want []string
		for _, e := range today {
			if keep(e) {
				want = append(want, position(e.Record))
			}
		}
		return want
	}
	enriched := today[3]
	for name, c := range map[string]struct {
		r    answer.SearchRequest
		who  policy.Principal
		want []string
	}{
		"one day":       {answer.SearchRequest{From: p.at(0, 0).AddDate(0, 0, -1)}, everybody(), of(func(*event) bool { return true })},
		"until its 2nd": {answer.SearchRequest{From: p.at(0, 0).AddDate(0, 0, -1), To: p.at(0, 1).AddDate(0, 0, -1)}, everybody(), of(func(e *event) bool { return e == today[0] })},
		"by trace":      {answer.SearchRequest{ID: last}, everybody(), of(func(*event) bool { return true })},
		"by trace and type": {answer.SearchRequest{ID: last, EventType: "FxRateEnriched"}, everybody(), of(func(e *event) bool {
			return e.Topic == "fx.rates.enriched"
		})},
		"by event, itself and who names it": {answer.SearchRequest{ID: enriched.id}, everybody(), of(func(e *event) bool {
			return e == enriched || slices.Contains(e.parents, enriched)
		})},
		"by coordinates": {answer.SearchRequest{ID: position(today[6].Record)}, everybody(), of(func(e *event) bool {
			return e == today[6] || e.Topic == "fx.risk.alerts"
		})},
		"by id, of a viewer of alerts": {answer.SearchRequest{ID: last}, only(t, "*alerts"), of(func(e *event) bool { return e.Topic == "fx.risk.alerts" })},
		"hidden topic":                 {answer.SearchRequest{Topics: []string{"fx.rates.received"}}, only(t, "*alerts"), nil},
		"unknown topic":                {answer.SearchRequest{Topics: []string{"no' OR 1"}}, everybody(), nil},
		"unknown id":                   {answer.SearchRequest{ID: "nobody's"}, everybody(), nil},
	} {
		for _, limit := range []int{1, 2, 100} {
			c.r.Limit = limit
			got := a.searchAll(c.who, c.r)
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, pages of %d: got %v, want %v", name, limit, got, c.want)
			}
		}
	}
	if got := a.searchAll(only(t, "fx.risk.*"), answer.SearchRequest{}); len(got) != 15 || strings.Contains(strings.Join(got, " "), "fx.rates") {
		t.Errorf("a viewer of fx.risk.* finds %v", got)
	}
}

func TestSearchByStageThatWasComputed(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	p.rejects = true
	trace, _ := p.day()
	a.sealAll()
	dead := a.searchAll(everybody(), answer.SearchRequest{Stage: "dead-letter"})
	if len(dead) != 1 || !strings.HasPrefix(dead[0], "fx.rates.received.dlq/") {
		t.Errorf("dead letters: %v", dead)
	}
	// No trace was looked at before: a search finds out what it has to know.
	stage := answer.SearchRequest{Stage: "enrichment"}
	if got := a.searchAll(everybody(), stage); len(got) != 3 || !strings.HasPrefix(got[0], "fx.rates.enriched") {
		t.Errorf("enrichments: %v", got)
	}
	stage.ID = trace
	if got := a.searchAll(everybody(), stage); len(got) != 3 {
		t.Errorf("enrichments of the trace: %v", got)
	}
}

// A search by stage that had no time to find out what steps do says so, and finds all
// once it had.
func TestSearchByStageSaysWhatItDidNotLearn(t *testing.T) {
	a := newArchive(t, nil)
	newPipeline(a, 3).day()
	a.sealAll()
	patiently := query.LearnInNoTime()
	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Stage: "enrichment"})
	patiently()
	if err != nil || !strings.Contains(page.Note, "not found out in time") {
		t.Fatalf("%+v, %v", page, err)
	}
	embeddedtest.Eventually(t, time.Minute, func() error { // it is looked into again after a while
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Stage: "enrichment"})
		if err == nil && (len(page.Records) != 3 || page.Note != "") {
			err = fmt.Errorf("%d records, %q", len(page.Records), page.Note)
		}
		return err
	})
}

// What does something is found though hundreds of newer records do not: not the newest
// ones alone say which types there are.
func TestSearchByStageLooksBehindTheNewest(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	p.day()
	for n := range 150 {
		a.produce("noise", fmt.Sprint(n), `{}`, p.at(0, 0).Add(time.Duration(n)*time.Hour), "eventType", "Noise")
	}
	a.sealAll()
	for stage, want := range map[string]int{"enrichment": 3, "ingestion": 3} {
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Stage: stage})
		if err != nil || len(page.Records) != want || page.Note != "" {
			t.Errorf("%s: %d records, want %d; %q, %v", stage, len(page.Records), want, page.Note, err)
		}
	}
}

// TestSearchShowsTheStageItFilteredBy asks an engine that has seen nothing yet
// for each stage: together they are every record once, and none is shown with
// another stage than was asked for.
func TestSearchShowsTheStageItFilteredBy(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	p.rejects = true
	p.day()
	a.produce("notes", "k", "nobody knows what this is", p.at(0, 0)) // no trace, no parent
	a.sealAll()
	all := a.searchAll(everybody(), answer.SearchRequest{})
	var found []string
	for _, stage := range []string{"unknown", "ingestion", "enrichment", "transformation", "delivery", "dead-letter", "replay"} {
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Stage: stage})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range page.Records {
			if h.Stage.String() != stage {
				t.Errorf("a search for %s shows %s/%d as %s", stage, h.Topic, h.Offset, h.Stage)
			}
			found = append(found, schema.Coordinates{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset}.String())
		}
		if stage == "unknown" && (len(page.Records) != 1 || page.Records[0].Topic != "notes") {
			t.Errorf("%d records are of an unknown stage: %v", len(page.Records), found)
		}
	}
	slices.Sort(found)
	slices.Sort(all)
	if !slices.Equal(found, all) {
		t.Errorf("by stage: %v\nall: %v", found, all)
	}
}

func TestSearchNamesTopicsThatAreNotThere(t *testing.T) {
	a := newArchive(t, nil)
	newPipeline(a, 3).day()
	a.sealAll()
	for name, c := range map[string]struct {
		who   policy.Principal
		topic []string
		want  []answer.UnknownTopic
	}{
		"a slip":           {everybody(), []string{"fx.risk.alert", "fx.rates.received"}, []answer.UnknownTopic{{Topic: "fx.risk.alert", DidYouMean: "fx.risk.alerts"}}},
		"nothing near":     {everybody(), []string{"orders"}, []answer.UnknownTopic{{Topic: "orders"}}},
		"hidden, not told": {only(t, "fx.rates.*"), []string{"fx.risk.alert"}, []answer.UnknownTopic{{Topic: "fx.risk.alert"}}},
		"known":            {everybody(), []string{"fx.risk.alerts"}, nil},
	} {
		page, err := a.Search(t.Context(), c.who, answer.SearchRequest{Topics: c.topic})
		if err != nil || !slices.Equal(page.Unknown, c.want) || (page.Note == "") != (c.want == nil) {
			t.Errorf("%s: %+v, %q, %v", name, page.Unknown, page.Note, err)
		}
	}
}

func TestSearchRefusesBadRequests(t *testing.T) {
	a := newArchive(t, nil)
	newPipeline(a, 3).day()
	a.sealAll()
	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Limit: 2})
	if err != nil || page.NextCursor == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(page.NextCursor)
	raw[0] = 9
	now := time.Now()
	for field, r := range map[string]answer.SearchRequest{
		"cursor, of another search": {Limit: 2, Cursor: page.NextCursor, EventType: "x"},
		"cursor, garbage":           {Cursor: "';DROP TABLE records"},
		"cursor, cut":               {Cursor: page.NextCursor[1:]},
		"cursor, of the future":     {Cursor: base64.RawURLEncoding.EncodeToString(raw)},
		"cursor, long":              {Cursor: strings.Repeat("A", 5000)},
		"limit, negative":           {Limit: -1},
		"limit, large":              {Limit: 1001},
		"to, before from":           {From: now, To: now.Add(-time.Hour)},
		"stage, unknown word":       {Stage: "baking"},
		"status, undecided":         {Statuses: []schema.Status{schema.Undecided}},
		"id, control characters":    {ID: "a\x00"},
		"topic, too many":           {Topics: make([]string, 51)},
	} {
		_, err := a.Search(t.Context(), everybody(), r)
		want, _, _ := strings.Cut(field, ",")
		var fault *schema.Error
		if !errors.As(err, &fault) || fault.Kind != schema.Invalid || fault.Field != want {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestIdentifyInAnyEncoding keeps ids in one encoding each and asks in all.
func TestIdentifyInAnyEncoding(t *testing.T) {
	a := newArchive(t, nil)
	kept := []string{
		"550E8400-E29B-41D4-A716-446655440000", "c9bf9e57-1685-4c89-bafb-ff5af830be8a", "uvxVE5LYTnuYsAUUpHZcPA==", "-O8qu4fhQ46XuqYQ0TGVnA",
		"6d2a0f0cbe8a4b7796f0bd5ea7c81f23", "11638374621928374655",
	}
	for _, id := range kept {
		a.produce("orders", id, `{"n":1}`, time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC), "eventId", id)
		a.produce("shipments", id, `{"n":1}`, time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC), "causationId", id)
	}
	a.sealAll()
	for _, id := range kept {
		spellings, _ := extract.Spellings(id)
		for _, typed := range spellings {
			found, err := a.Identify(t.Context(), everybody(), typed)
			if err != nil || len(found.Matches) != 2 || found.Matches[0].Role != "event" || found.Matches[0].Records[0].EventID != id || found.Matches[1].Role != "causation" {
				t.Errorf("%s as %s: %+v, %v", id, typed, found, err)
			}
			if page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{ID: typed}); err != nil || len(page.Records) != 2 {
				t.Errorf("search of %s as %s: %+v, %v", id, typed, page, err)
			}
		}
	}
	for typed, form := range map[string]string{"orders/0/0": "topic/partition/offset", "'; DROP TABLE records; --": "text"} {
		if found, err := a.Identify(t.Context(), everybody(), typed); err != nil || !slices.Contains(found.Forms, form) {
			t.Errorf("%s: %+v, %v", typed, found, err)
		}
	}
}

func TestIdentify(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	p.span = 2
	p.day()
	trace, events := p.day()
	p.day()
	a.sealAll()
	enriched, volatility := events[3], events[6]
	roles := func(who policy.Principal, id string) string {
		t.Helper()
		found, err := a.Identify(t.Context(), who, id)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, m := range found.Matches {
			list = append(list, fmt.Sprintf("%s:%d", m.Role, m.Count))
			if int(m.Count) != len(m.Records) {
				t.Errorf("%s: %d records of %d", m.Role, len(m.Records), m.Count)
			}
		}
		return strings.Join(list, " ")
	}
	upper := strings.ToUpper(trace[:8] + "-" + trace[8:12] + "-" + trace[12:16] + "-" + trace[16:20] + "-" + trace[20:])
	for _, c := range []struct {
		what, id, want string
		who            policy.Principal
	}{
		{"trace", trace, "trace:11", everybody()},
		{"trace, written as a UUID", upper, "trace:11", everybody()},
		{"trace, for a viewer of alerts", trace, "trace:1", only(t, "*alerts")},
		{"event", enriched.id, "event:1 causation:3", everybody()},
		{"event, for a viewer of exposure", enriched.id, "causation:1", only(t, "*exposure")},
		{"coordinates", position(volatility.Record), "record:1 source record:1", everybody()},
		{"nothing", "'; DROP TABLE records; --", "", everybody()},
	} {
		if got := roles(c.who, c.id); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	for _, id := range []string{"", "a\x00", "a\nb", strings.Repeat("'", 10_000), "\xff"} {
		var fault *schema.Error
		if _, err := a.Identify(t.Context(), everybody(), id); !errors.As(err, &fault) || fault.Kind != schema.Invalid || fault.Field != "id" || len(err.Error()) > 400 {
			t.Errorf("%.40q: %v", id, err)
		}
	}
}
