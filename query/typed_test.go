package query_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestSearchAsTyped holds queries to the same search with its fields filled in.
func TestSearchAsTyped(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	var last string
	for range 2 {
		last, _ = p.day()
		a.sealAll()
	}
	day := p.at(0, 0).AddDate(0, 0, -1)
	fields := func(r answer.SearchRequest) []string { return a.searchAll(everybody(), r) }
	everything := fields(answer.SearchRequest{})
	of := func(topics ...string) []string { return fields(answer.SearchRequest{Topics: topics}) }
	for name, c := range map[string]struct {
		q    string
		who  policy.Principal
		want []string
	}{
		"nothing":            {"", everybody(), everything},
		"id":                 {strings.ToUpper(last), everybody(), fields(answer.SearchRequest{ID: last})},
		"type":               {"type:FxRateEnriched", everybody(), fields(answer.SearchRequest{EventType: "FxRateEnriched"})},
		"types":              {"type:FxRateEn*", everybody(), fields(answer.SearchRequest{EventType: "FxRateEnriched"})},
		"id and types":       {last + " type:FxRateEn*", everybody(), fields(answer.SearchRequest{ID: last, EventType: "FxRateEnriched"})},
		"star that is meant": {`type:"FxRateEn*"`, everybody(), nil},
		"topics":             {"topic:fx.rates.*", everybody(), of("fx.rates.received", "fx.rates.enriched")},
		"topics of a viewer": {"topic:fx.*", only(t, "*alerts"), of("fx.risk.alerts")},
		"no such topics":     {"topic:nothing*", everybody(), nil},
		"time":               {"after:" + day.Format(time.RFC3339Nano), everybody(), fields(answer.SearchRequest{From: day})},
		"aborted":            {"status:aborted", everybody(), nil},
		"partition":          {"partition:0", everybody(), slices.DeleteFunc(slices.Clone(everything), func(at string) bool { return !strings.Contains(at, "/0/") })},
		"other version":      {"version:nine", everybody(), nil},
		"id, other version":  {last + " version:nine", everybody(), nil},
		"SQL":                {`service:"x' OR 1=1 --"`, everybody(), nil},
		"SQL as a beginning": {`type:"' OR '' = '"*`, everybody(), nil},
	} {
		for _, limit := range []int{0, 2} { // whole, and over cursors
			if got := a.searchAll(c.who, answer.SearchRequest{Query: c.q, Limit: limit}); !slices.Equal(got, c.want) {
				t.Errorf("%s, limit %d: %v, want %v", name, limit, got, c.want)
			}
		}
	}
	if len(of("fx.rates.received", "fx.rates.enriched")) == 0 || len(of("fx.risk.alerts")) == 0 || len(fields(answer.SearchRequest{EventType: "FxRateEnriched"})) == 0 {
		t.Error("what was compared is empty")
	}
	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: "topic:nothing*"})
	if err != nil || len(page.Unknown) != 1 || !strings.Contains(page.Note, "nothing*") {
		t.Errorf("topics that are not there: %+v, %v", page, err)
	}
	for q, r := range map[string]answer.SearchRequest{
		"character 8":                            {Query: "type:a typ:b"},
		"type is":                                {Query: "type:a*", EventType: "b"},
		"id is":                                  {Query: "a", ID: "b"},
		"status is":                              {Query: "status:committed", Statuses: []schema.Status{schema.Aborted}},
		"character 8: keys are not in the index": {Query: "type:a key:k"},
		"character 1: headers are not in the index": {Query: "header.tenant=emea"},
		"--scan":  {Query: "payload:x"},
		"at most": {Query: strings.Repeat("'", 10_000)},
	} {
		_, err := a.Search(t.Context(), everybody(), r)
		var fault *schema.Error
		if !errors.As(err, &fault) || fault.Kind != schema.Invalid || fault.Field != "q" || !strings.Contains(err.Error(), q) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// TestSearchByTeamIsAsInTheCatalog: the contract of a type says whose its records
// are, wherever they are; without one the topic's policy does. A search, a look-up
// by id and a scan agree with the catalog.
func TestSearchByTeamIsAsInTheCatalog(t *testing.T) {
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "orders", Team: "platform"}})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Policy, o.Contracts = policies, orderContracts(t) })
	at, id := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC), hexID(16)
	sold := a.produce("orders", "k", "{}", at, "eventType", "OrderPlaced", "traceId", id)
	copied := a.produce("elsewhere", "k", "{}", at.Add(time.Second), "eventType", "OrderPlaced", "traceId", id)
	noted := a.produce("orders", "k", "{}", at.Add(2*time.Second), "eventType", "OrderNoted", "traceId", id)
	a.produce("elsewhere", "k", "{}", at.Add(3*time.Second), "eventType", "OrderNoted", "traceId", id)
	a.sealAll()
	for team, want := range map[string][]string{
		"sales": {position(copied), position(sold)}, "platform": {position(noted)}, "nobody": nil,
	} {
		for _, q := range []string{"team:" + team, "team:" + team + " " + id} {
			if got := a.searchAll(everybody(), answer.SearchRequest{Query: q}); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", q, got, want)
			}
		}
		scanned, _ := a.scan(everybody(), answer.ScanRequest{Query: "team:" + team})
		if slices.Sort(want); !slices.Equal(scanned, want) {
			t.Errorf("a scan of team:%s: %v, want %v", team, scanned, want)
		}
	}
	types, err := a.EventTypes(t.Context(), everybody(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range types.Types {
		if want := map[string]string{"OrderPlaced": "sales", "OrderNoted": "platform"}[kind.Type]; kind.Team != want {
			t.Errorf("the catalog says that %s is of %q, want %q", kind.Type, kind.Team, want)
		}
	}
}

// Events are found by the time that they say themselves, whenever they came.
func TestSearchByEventTime(t *testing.T) {
	a := newArchive(t, nil)
	day := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	var all []*schema.Record
	for n := range 4 {
		all = append(all, a.produce("late", "k", "{}", day.AddDate(0, 0, 10-n), "timestamp", day.AddDate(0, 0, n).Format(time.RFC3339), "correlationId", "c-1"))
	}
	a.produce("late", "k", "{}", day.AddDate(0, 0, 1), "correlationId", "c-1") // says no time
	a.sealAll()
	for q, want := range map[string][]int{
		"event_after:2024-05-02 event_before:2024-05-04":                      {1, 2},
		"event_after:2024-05-02 after:2024-05-09":                             {1, 2},
		"event_before:2024-05-02":                                             {0},
		"c-1 event_before:2024-05-03":                                         {0, 1},
		"c-1 event_after:2024-05-03T00:00:00.000001Z event_before:2024-05-05": {3},
	} {
		got := a.searchAll(everybody(), answer.SearchRequest{Query: q})
		scanned, _ := a.scan(everybody(), answer.ScanRequest{Query: q})
		if len(got) != len(want) || len(scanned) != len(want) {
			t.Errorf("%s: %v, %d scanned, want %d", q, got, len(scanned), len(want))
			continue
		}
		for i, n := range want {
			if got[i] != position(all[n]) {
				t.Errorf("%s: %v", q, got)
			}
		}
	}
}
