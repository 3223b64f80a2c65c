package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// newPolicedArchive is an archive whose records are read, and answered, by some
// policies.
func newPolicedArchive(t *testing.T, list ...policy.Rule) *archive {
	t.Helper()
	policies, err := policy.NewRules(list)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := extract.New(extract.Options{Policy: policies})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Policy, o.Extract = policies, rules })
	a.rules = rules
	return a
}

// TestAnswersKeepToThePolicy asks everything that gives bytes or ids of records
// with a word in every place.
func TestAnswersKeepToThePolicy(t *testing.T) {
	yes := true
	a := newPolicedArchive(
		t,
		policy.Rule{Pattern: "cards", Secret: &yes, IDs: policy.IDsHeaders, Team: "payments"},
		policy.Rule{Pattern: "people", Personal: []string{"/who", "header:user"}, Key: &yes},
	)
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	const trace = "0123456789abcdef0123456789abcdef"
	body := `{"eventId":"%s","eventType":"T","who":"WHO","n":%d}`
	first := a.produce("people", "KEY-1", fmt.Sprintf(body, "e1", 1), at, "traceId", trace, "user", "USER")
	second := a.produce("people", "KEY-1", fmt.Sprintf(body, "e2", 2), at.Add(time.Second), "traceId", trace, "causationId", "e1")
	card := a.produce("cards", "SECRETKEY", `{"number":"4711","eventId":"inside"}`, at.Add(2*time.Second), "traceId", trace, "causationId", "e2")
	a.sealAll()

	got, err := a.Record(t.Context(), everybody(), request(first))
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprintf("%s %+v %+v", got.Record.Value, got.Record.Headers, got.Extraction); strings.Contains(all, "WHO") || strings.Contains(all, "USER") ||
		!strings.Contains(all, `"n":1`) || string(got.Record.Key) != "KEY-1" || !slices.Equal(got.Withheld, []string{"header:user", "/who"}) {
		t.Errorf("people: %s, withheld %v", all, got.Withheld)
	}
	got, err = a.Record(t.Context(), everybody(), request(card))
	if err != nil || got.Record.Value != nil || got.Record.Key != nil || !slices.Contains(got.Withheld, "value") || got.Hit.TraceID != trace || got.Hit.EventID != "" {
		t.Errorf("cards: %+v, %v", got, err)
	}

	whole, err := a.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: trace, Diffs: true})
	if err != nil || len(whole.Hops) != 3 {
		t.Fatalf("%+v, %v", whole, err)
	}
	text := fmt.Sprintf("%+v", whole)
	for i := range whole.Hops {
		text += fmt.Sprintf(" %s", whole.Hops[i].Key)
		if d := whole.Hops[i].Diff; d != nil {
			text += fmt.Sprintf(" %+v", *d)
		}
	}
	for _, word := range []string{"WHO", "SECRETKEY", "4711", "inside"} {
		if strings.Contains(text, word) {
			t.Errorf("the trace shows %s: %s", word, text)
		}
	}
	if changed := whole.Hops[1].Diff; changed == nil || !changed.Comparable || len(changed.Changes) != 2 {
		t.Errorf("of two masked records the rest is compared: %+v", changed)
	}
	if hidden := whole.Hops[2].Diff; hidden == nil || hidden.Comparable || !strings.Contains(hidden.Note, "withheld") {
		t.Errorf("a withheld payload is no tombstone: %+v", hidden)
	}

	for id, want := range map[string]int{"WHO": 0, "USER": 0, "SECRETKEY": 0, "inside": 0, policy.Masked: 0, "KEY-1": 2, "e2": 2} {
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{ID: id})
		if err != nil || len(page.Records) != want {
			t.Errorf("%s finds %d records, want %d (%v)", id, len(page.Records), want, err)
		}
	}
	_ = second

	// Nor does a scan of the archive find a record by what it may not show.
	for q, want := range map[string]int{"payload:WHO": 0, "header.user=USER": 0, "key:SECRETKEY": 0, "payload:4711": 0, "payload:eventType": 2, "key:KEY-1": 2} {
		found := 0
		_, err := a.Scan(t.Context(), everybody(), answer.ScanRequest{Query: q}, func(h *answer.Hit, _ *answer.ScanProgress) error {
			if h != nil {
				found++
			}
			return nil
		})
		if err != nil || found != want {
			t.Errorf("a scan for %s finds %d records, want %d (%v)", q, found, want, err)
		}
	}
}

func TestPoliciesSayWhichEntryDecides(t *testing.T) {
	yes := true
	a := newPolicedArchive(t, policy.Rule{Pattern: "c*", Secret: &yes, Retention: 48 * time.Hour}, policy.Rule{Pattern: "*", Team: "platform"})
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	a.produce("cards", "k", "v", at)
	a.produce("open", "k", "v", at)
	a.sealAll()
	got, err := a.Policies(t.Context(), everybody(), "cards")
	if err != nil || len(got.Topics) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	held := map[string]answer.PolicyProperty{}
	for _, p := range got.Topics[0].Properties {
		held[p.Name] = p
	}
	for name, want := range map[string]answer.PolicyProperty{
		"secret":        {Value: "true", By: `topics[0] "c*"`},
		"index_ids":     {Value: "none", By: `topics[0] "c*"`},
		"retention":     {Value: "2d (stated, not enforced)", By: `topics[0] "c*"`},
		"team":          {Value: "platform", By: `topics[1] "*"`},
		"personal_data": {Value: "none"},
		"excluded":      {Value: "false"},
	} {
		want.Name = name
		if held[name] != want {
			t.Errorf("%+v, want %+v", held[name], want)
		}
	}
	some, err := a.Policies(t.Context(), only(t, "open"), "")
	if err != nil || len(some.Topics) != 1 || some.Topics[0].Topic != "open" {
		t.Errorf("somebody who sees one topic: %+v, %v", some, err)
	}
	if _, err := a.Policies(t.Context(), only(t, "open"), "cards"); schema.KindOf(err) != schema.NotFound || strings.Contains(err.Error(), "did you mean cards") {
		t.Errorf("a hidden topic: %v", err)
	}
}

// TestScansAndFieldsKeepToThePolicy guesses at what is withheld: neither a scan
// nor a field's history tells a right guess from a wrong one, and both say that
// something was not looked into.
func TestScansAndFieldsKeepToThePolicy(t *testing.T) {
	yes := true
	a := newPolicedArchive(t,
		policy.Rule{Pattern: "cards", Secret: &yes, IDs: policy.IDsHeaders},
		policy.Rule{Pattern: "people", Personal: []string{"/who", "header:user"}, Key: &yes},
	)
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	const trace = "0123456789abcdef0123456789abcdef"
	person := a.produce("people", "KEY-1", `{"eventId":"e1","who":{"name":"WHO"},"n":1}`, at, "traceId", trace, "user", "USER")
	a.produce("cards", "SECRETKEY", `{"number":"4711","eventId":"inside"}`, at.Add(time.Second), "traceId", trace, "causationId", "e1")
	a.sealAll()
	for q, want := range map[string]struct {
		found    int
		withheld int64
	}{
		"topic:cards payload:4711":          {0, 1},
		"topic:cards payload:4712":          {0, 1},
		"topic:cards key:SECRETKEY":         {0, 1},
		"topic:cards payload/number=4711":   {0, 1},
		"topic:people payload:WHO":          {0, 0}, // what is left of the payload was read
		"topic:people payload/who/name=WHO": {0, 1},
		"topic:people payload/who=WHO":      {0, 1},
		"topic:people header.USER=USER":     {0, 1},
		"topic:people payload/n=1":          {1, 0},
		"topic:people key:KEY-1":            {1, 0},
		"topic:cards id:inside payload:x":   {0, 1},
	} {
		found, end := a.scan(everybody(), answer.ScanRequest{Query: q})
		if len(found) != want.found || end.Withheld != want.withheld {
			t.Errorf("%s: found %v, %d withheld; want %d and %d", q, found, end.Withheld, want.found, want.withheld)
		}
	}
	if found, _ := a.scan(everybody(), answer.ScanRequest{Query: "topic:people payload/n=1"}); !slices.Equal(found, []string{position(person)}) {
		t.Errorf("found %v", found)
	}
	for pointer, want := range map[string]string{"/who": "withheld", "/who/name": "withheld", "": "withheld", "/number": ""} {
		h, err := a.Field(t.Context(), everybody(), answer.FieldRequest{TraceID: trace, Pointer: pointer})
		if err != nil || len(h.Steps) != 2 {
			t.Fatalf("%q: %+v, %v", pointer, h, err)
		}
		if got := h.Steps[0]; !strings.Contains(got.Note, want) || want != "" && (got.Value != nil || got.Change != answer.FieldUnread) {
			t.Errorf("people at %q: %+v", pointer, got)
		}
		if got := h.Steps[1]; !strings.Contains(got.Note, "withheld") || got.Value != nil || got.Change != answer.FieldUnread {
			t.Errorf("cards at %q: %+v", pointer, got)
		}
	}
}

// TestSearchByTeamAndViolation: a team is a set of topics, of those that may be
// seen; a violation is a rule that records break. Search and scan agree.
func TestSearchByTeamAndViolation(t *testing.T) {
	a := newPolicedArchive(t, policy.Rule{Pattern: "card*", Team: "payments"}, policy.Rule{Pattern: "*", Team: "platform"})
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	card := a.produce("cards", "k", "v", at)
	cardy := a.produce("cardy", "k", "v", at.Add(time.Second), "traceparent", "not one")
	other := a.produce("other", "k", "v", at.Add(2*time.Second), "traceparent", "not one")
	a.sealAll()
	for q, want := range map[string][]*schema.Record{
		"team:payments":                        {card, cardy},
		"team:platform":                        {other},
		"team:payments topic:cards,other":      {card},
		"team:payments topic:oth*":             nil,
		"team:nobody":                          nil,
		"team:payments violation:traceparent*": {cardy},
		"violation:traceparent*":               {cardy, other},
		"violation:contract*":                  nil,
	} {
		var places []string
		for _, r := range want {
			places = append(places, position(r))
		}
		slices.Sort(places)
		page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: q, Limit: 10, Statuses: []schema.Status{schema.Committed}})
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		var found []string
		for i := range page.Records {
			found = append(found, page.Records[i].Coordinates().String())
		}
		slices.Sort(found)
		if !slices.Equal(found, places) {
			t.Errorf("%s: a search finds %v, want %v (%s)", q, found, places, page.Note)
		}
		if strings.HasPrefix(q, "team:nobody") && !strings.Contains(page.Note, "team") {
			t.Errorf("%s: note %q", q, page.Note)
		}
		if scanned, _ := a.scan(everybody(), answer.ScanRequest{Query: q}); !slices.Equal(scanned, places) {
			t.Errorf("%s: a scan finds %v, want %v", q, scanned, places)
		}
	}
	page, err := a.Search(t.Context(), only(t, "other"), answer.SearchRequest{Query: "team:payments", Limit: 10})
	if err != nil || len(page.Records) != 0 {
		t.Errorf("somebody who sees none of the team's topics: %+v, %v", page, err)
	}
	if _, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Query: "violation:a", Violation: "b", Limit: 10}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a violation twice: %v", err)
	}
}

// TestScansAndFieldsKeepToAPathWithAnyStep: of what stands at one, a scan finds
// nothing and says so, and a history does not claim that it was kept.
func TestScansAndFieldsKeepToAPathWithAnyStep(t *testing.T) {
	a := newPolicedArchive(t, policy.Rule{Pattern: "people", Personal: []string{"/all/*/who"}})
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	const trace = "0123456789abcdef0123456789abcdef"
	for i, who := range []string{"WHO", "ELSE"} {
		a.produce("people", "k", fmt.Sprintf(`{"all":[{"who":%q,"n":1}]}`, who), at.Add(time.Duration(i)*time.Second), "traceId", trace, "eventId", fmt.Sprint("e", i), "causationId", "e0")
	}
	a.sealAll()
	for q, want := range map[string]int64{"payload/all/0/who=WHO": 2, "payload/all/0/who=[masked]": 2, "payload/all/0=x": 2, "payload/all/0/n=2": 0} {
		found, end := a.scan(everybody(), answer.ScanRequest{Query: "topic:people " + q})
		if len(found) != 0 || end.Withheld != want {
			t.Errorf("%s: found %v, %d withheld; want %d", q, found, end.Withheld, want)
		}
	}
	for _, pointer := range []string{"/all/0/who", "/all/0", "/all", ""} {
		h, err := a.Field(t.Context(), everybody(), answer.FieldRequest{TraceID: trace, Pointer: pointer})
		if err != nil || len(h.Steps) != 2 {
			t.Fatalf("%q: %+v, %v", pointer, h, err)
		}
		for _, s := range h.Steps {
			if s.Change != answer.FieldUnread || s.Value != nil {
				t.Errorf("%s: %s %s %s", pointer, s.Change, s.Value, s.Note)
			}
		}
	}
}
