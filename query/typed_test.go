package query_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
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
