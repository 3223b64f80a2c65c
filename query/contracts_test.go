package query_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

const (
	orderContract = "type: OrderPlaced\nversion: 1\nteam: sales\ntopics: [orders]\nproducers: [shop]\nrequired: [/amount]\nsensitive: [/email]\nschema: order.json\n"
	orderSchema   = `{"type":"object","properties":{"amount":{"type":"number"},"email":{"type":"string"}}}`
)

func orderContracts(t *testing.T) *contract.Registry {
	t.Helper()
	c, err := contract.Parse("order.yaml", []byte(orderContract), func(string) ([]byte, error) { return []byte(orderSchema), nil })
	if err != nil {
		t.Fatal(err)
	}
	r, err := contract.New([]*contract.Contract{c})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newContractArchive is an archive with a registered contract, three events that
// fit it, two that do not, one of a hidden topic and one of a secret one.
func newContractArchive(t *testing.T) (a *archive, broken *schema.Record) {
	t.Helper()
	yes := true
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "vault", Secret: &yes, IDs: policy.IDsAll}, {Pattern: "h*", Team: "hiders"}})
	if err != nil {
		t.Fatal(err)
	}
	contracts := orderContracts(t)
	rules, err := extract.New(extract.Options{Policy: policies, Contracts: contracts, Topics: []extract.TopicRule{{Topic: "*", BusinessIDs: []extract.Location{"/email"}}}})
	if err != nil {
		t.Fatal(err)
	}
	a = newArchive(t, func(o *query.Options) {
		o.Policy, o.Extract, o.Contracts = policies, rules, contracts
		o.Consumers = func(context.Context) (map[string][]string, int, error) {
			return map[string][]string{"orders": {"billing"}, "hidden": {"spies"}}, 1, nil
		}
	})
	a.rules = rules
	at := time.Now().UTC().Add(-time.Hour)
	order := func(topic, body string, n int) *schema.Record {
		return a.produce(topic, fmt.Sprint(n), body, at.Add(time.Duration(n)*time.Second), "eventType", "OrderPlaced", "eventVersion", "1", "sourceService", "shop", "eventId", fmt.Sprintf("%s-%d", topic, n))
	}
	for n := range 3 {
		order("orders", fmt.Sprintf(`{"amount":%d,"email":"a%d@example.org"}`, n, n), n)
	}
	broken = order("orders", `{"amount":"many"}`, 3)
	order("orders", `{}`, 4)
	order("hidden", `{"amount":1}`, 5)
	order("vault", `{"amount":1}`, 6)
	a.sealAll()
	return a, broken
}

func TestViolationsAreCountedAndLeadToTheRecords(t *testing.T) {
	a, broken := newContractArchive(t)
	got, err := a.Violations(t.Context(), only(t, "orders"), answer.ViolationRequest{Topic: "orders"})
	if err != nil || len(got.Groups) != 2 || got.More {
		t.Fatalf("%+v, %v", got, err)
	}
	rules := map[string]answer.Violation{}
	for _, g := range got.Groups {
		rules[g.Rule] = g
	}
	if g := rules["contract:type:/amount"]; g.Records != 1 || g.Team != "sales" || g.Service != "shop" || g.EventVersion != "1" || g.Newest.Offset != broken.Offset || g.Newest.Partition != broken.Partition {
		t.Errorf("%+v", got)
	}
	if g := rules["contract:required:/amount"]; g.Records != 1 {
		t.Errorf("%+v", got)
	}
	// Of the hidden topic nothing shows, of all topics its wrong place does.
	if some, err := a.Violations(t.Context(), only(t, "orders"), answer.ViolationRequest{Rule: "contract:topic"}); err != nil || len(some.Groups) != 0 {
		t.Errorf("a hidden topic's violations: %+v, %v", some, err)
	}
	if all, err := a.Violations(t.Context(), everybody(), answer.ViolationRequest{Rule: "contract:topic", Limit: 1}); err != nil || len(all.Groups) != 1 || !all.More {
		t.Errorf("everybody: %+v, %v", all, err)
	}
	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Violation: "contract:type:/amount"})
	if err != nil || len(page.Records) != 1 || page.Records[0].Offset != broken.Offset {
		t.Errorf("the search: %+v, %v", page, err)
	}
	if page, err = a.Search(t.Context(), everybody(), answer.SearchRequest{Violation: "contract:*", Topics: []string{"orders"}}); err != nil || len(page.Records) != 2 {
		t.Errorf("the search by a beginning: %+v, %v", page, err)
	}
	if _, err = a.Search(t.Context(), everybody(), answer.SearchRequest{Violation: "x", ID: "y"}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("with an id: %v", err)
	}
}

// TestSensitiveFieldsStayHidden: what a contract calls sensitive is in no answer,
// and no id.
func TestSensitiveFieldsStayHidden(t *testing.T) {
	a, _ := newContractArchive(t)
	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{ID: "orders-1"})
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	h := page.Records[0]
	got, err := a.Record(t.Context(), everybody(), answer.RecordRequest{Coordinates: h.Coordinates()})
	if err != nil || string(got.Record.Value) != `{"amount":1,"email":"[masked]"}` || strings.Join(got.Withheld, " ") != "/email" || strings.Contains(fmt.Sprintf("%+v", got.Extraction), "example.org") {
		t.Errorf("%s, %+v, %v", got.Record.Value, got, err)
	}
	if page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{ID: "a1@example.org"}); err != nil || len(page.Records) != 0 {
		t.Errorf("found by it: %+v, %v", page, err)
	}
}

// TestSensitiveFieldsStayHiddenWhateverIsIndexed: that less of a topic is
// indexed shows no more of it.
func TestSensitiveFieldsStayHiddenWhateverIsIndexed(t *testing.T) {
	c, err := contract.Parse("c", []byte("type: T\nversion: 1\nsensitive: [/email, /meta]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	contracts, err := contract.New([]*contract.Contract{c})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := policy.NewRules([]policy.Rule{
		{Pattern: "none", IDs: policy.IDsNone},
		{Pattern: "headers", IDs: policy.IDsHeaders},
		{Pattern: "typed", Personal: []string{"/eventType", "header:eventType"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := extract.New(extract.Options{Policy: policies, Contracts: contracts, Decoder: away{}})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Policy, o.Extract, o.Contracts = policies, rules, contracts })
	a.rules = rules
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for name, one := range map[string]struct {
		topic, value string
		headers      []string
	}{
		"none, by header":    {"none", `{"email":"EMAIL"}`, []string{"eventType", "T", "eventVersion", "1"}},
		"none, by payload":   {"none", `{"eventType":"T","email":"EMAIL"}`, nil},
		"headers":            {"headers", `{"eventType":"T","email":"EMAIL"}`, nil},
		"the type is masked": {"typed", `{"eventType":"T","email":"EMAIL"}`, nil},
		"the type's header":  {"typed", `{"email":"EMAIL"}`, []string{"eventType", "T"}},
		"the type is inside": {"open", `{"meta":{"eventType":"T","x":"EMAIL"},"email":"EMAIL"}`, nil},
		"cut short":          {"open", `{"eventType":"T","email":"EMAIL"`, nil},
		"too large":          {"open", `{"eventType":"T","email":"EMAIL","x":"` + strings.Repeat("x", extract.MaxPayloadBytes) + `"}`, nil},
		"registry away":      {"open", "\x00\x00\x00\x00\x07\x02T\x0aEMAIL", nil},
	} {
		r := a.produce(one.topic, "k", one.value, at, one.headers...)
		a.sealAll()
		got, err := a.Record(t.Context(), everybody(), request(r))
		if err != nil || strings.Contains(string(got.Record.Value), "EMAIL") || len(got.Withheld) == 0 {
			t.Errorf("%s: %.99s, withheld %v, %v", name, got.Record.Value, got.Withheld, err)
		}
	}
}

type away struct{}

// Decode implements extract.Decoder.
func (away) Decode(extract.SchemaID, []byte, []byte) ([]byte, string) {
	return nil, extract.SchemaUnavailable
}

func (away) Describe(extract.SchemaID, []byte, []byte) (kind, name string) { return "", "" }

func TestAContractIsHeldToArchivedEvents(t *testing.T) {
	a, broken := newContractArchive(t)
	check := func(who policy.Principal, text, json string, limit int) *answer.ContractCheck {
		t.Helper()
		got, err := a.CheckContract(t.Context(), who, answer.ContractCheckRequest{Text: text, Schemas: map[string]string{"order.json": json}, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	const next = "type: OrderPlaced\nversion: 2\nteam: sales\nsensitive: [/email]\nschema: order.json\n"
	lenient := check(everybody(), next, `{"type":"object","properties":{"amount":{},"email":{"type":"string"},"note":{"type":"string"}}}`, 0)
	if lenient.Verdict != answer.ContractCompatible || lenient.Looked != 6 || lenient.Matching != 7 || lenient.Withheld != 1 || lenient.Against != "1" || lenient.Evolution != "breaking" {
		t.Errorf("a lenient one: %+v", lenient)
	}
	strict := check(only(t, "orders"), next, `{"type":"object","required":["amount"],"properties":{"amount":{"type":"number"},"email":{"type":"integer"}}}`, 0)
	if strict.Verdict != answer.ContractIncompatible || strict.Looked != 5 || strict.Matching != 5 || strict.Broken != 2 || len(strict.Rules) != 2 || strict.Masked != 5 {
		t.Errorf("a strict one: %+v", strict)
	}
	found := false
	for _, e := range strict.Events {
		found = found || e.Hit.Partition == broken.Partition && e.Hit.Offset == broken.Offset && e.Rules[0] == "contract:type:/amount"
	}
	if !found {
		t.Errorf("the broken event is not named: %+v", strict.Events)
	}
	if few := check(everybody(), next, `{}`, 2); few.Looked > 2 || few.Matching != 7 {
		t.Errorf("two at most: %+v", few)
	}
	if none := check(everybody(), "type: Nobodys\nversion: 1\n", "", 0); none.Verdict != answer.ContractIndeterminate || none.Evolution != "new" || none.Matching != 0 {
		t.Errorf("of a type that is not there: %+v", none)
	}
	for _, bad := range []answer.ContractCheckRequest{{Text: "x: y"}, {Text: next}, {Text: next, Days: -1}, {Text: next, Limit: 1 << 20}} {
		if _, err := a.CheckContract(t.Context(), everybody(), bad); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestTheCatalogIsOfWhatThePrincipalSees(t *testing.T) {
	a, _ := newContractArchive(t)
	all, err := a.EventTypes(t.Context(), everybody(), "")
	if err != nil || len(all.Types) != 1 || len(all.Notes) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	typ := all.Types[0]
	if typ.Records != 7 || typ.Team != "sales" || typ.TeamBy != "order.yaml" || len(typ.Topics) != 3 || len(typ.Consumers) != 2 || len(typ.Versions) != 1 || typ.Versions[0].Contract != "order.yaml" ||
		len(typ.Producers) != 1 || !typ.Producers[0].Declared || typ.Producers[0].Records != 7 || typ.Errors != 4 {
		t.Errorf("%+v", typ)
	}
	some, err := a.EventTypes(t.Context(), only(t, "orders"), "OrderPlaced")
	if err != nil || len(some.Types) != 1 {
		t.Fatalf("%+v, %v", some, err)
	}
	typ = some.Types[0]
	if typ.Records != 5 || len(typ.Topics) != 1 || len(typ.Consumers) != 1 || typ.Consumers[0].Group != "billing" || typ.Sample == nil || typ.Sample.Topic != "orders" || string(typ.Schema) != orderSchema {
		t.Errorf("who sees one topic: %+v", typ)
	}
	if none, err := a.EventTypes(t.Context(), only(t, "else"), ""); err != nil || len(none.Types) != 0 {
		t.Errorf("who sees none: %+v, %v", none, err)
	}
	if _, err := a.EventTypes(t.Context(), only(t, "else"), "OrderPlaced"); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a hidden type: %v", err)
	}
}

// TestViolationsAreForgottenWithTheirSegment: a segment that is read again by
// other rules is counted by them alone.
func TestViolationsAreForgottenWithTheirSegment(t *testing.T) {
	a, _ := newContractArchive(t)
	for _, s := range a.streams {
		if s.Topic != "orders" || s.head.Commit == nil {
			continue
		}
		row := index.SegmentOf(s.head.Commit)
		row.Again, row.Summary = true, index.NewSummary()
		if err := a.index.InsertSegments(t.Context(), []index.SegmentRow{row}); err != nil {
			t.Fatal(err)
		}
	}
	embeddedtest.Eventually(t, time.Minute, func() error { // they are deleted in the background
		got, err := a.Violations(t.Context(), only(t, "orders"), answer.ViolationRequest{})
		if err == nil && len(got.Groups) != 0 {
			err = fmt.Errorf("%+v", got)
		}
		return err
	})
}

// TestCheckTellsNothingOfHiddenContracts: who may see none of a contract's topics
// does not learn from a check that it is registered, nor what it says.
func TestCheckTellsNothingOfHiddenContracts(t *testing.T) {
	a, _ := newContractArchive(t)
	check := func(who policy.Principal, version string) *answer.ContractCheck {
		t.Helper()
		got, err := a.CheckContract(t.Context(), who, answer.ContractCheckRequest{
			Text:    "type: OrderPlaced\nversion: \"" + version + "\"\nteam: me\nschema: s.json\n",
			Schemas: map[string]string{"s.json": "{}"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, version := range []string{"1", "2"} {
		if got := check(only(t, "else"), version); got.Against != "" || got.OwnVersion || len(got.Differences) > 0 || got.Evolution != "new" || got.Matching != 0 {
			t.Errorf("version %s, by somebody who sees nothing of it: %+v", version, got)
		}
		if got := check(everybody(), version); got.Against != "1" || got.OwnVersion != (version == "1") {
			t.Errorf("version %s, by everybody: %+v", version, got)
		}
	}
}

// TestAContractIsHeldToAllOfTheTime: what broke in the first days only is found by
// a check that looks at a part of the events.
func TestAContractIsHeldToAllOfTheTime(t *testing.T) {
	a := newArchive(t, nil)
	began := time.Now().UTC().Add(-20 * 24 * time.Hour)
	for n := range 400 {
		amount := fmt.Sprint(n)
		if n < 100 {
			amount = `"many"`
		}
		a.produce("orders", fmt.Sprint(n), `{"amount":`+amount+`}`, began.Add(time.Duration(n)*time.Hour), "eventType", "OrderPlaced", "eventId", fmt.Sprint(n))
	}
	a.sealAll()
	check := func(limit int) *answer.ContractCheck {
		t.Helper()
		got, err := a.CheckContract(t.Context(), everybody(), answer.ContractCheckRequest{
			Text: "type: OrderPlaced\nversion: 1\nteam: sales\nschema: s.json\n", Limit: limit,
			Schemas: map[string]string{"s.json": `{"type":"object","properties":{"amount":{"type":"number"}}}`},
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := check(400); got.Sample != answer.SampleAll || got.Looked != 400 || got.Matching != 400 || got.Broken != 100 {
		t.Errorf("all: %+v", got)
	}
	got := check(60)
	if got.Sample != answer.SampleRandom || got.Looked != 60 || got.Matching != 400 || got.Broken < 5 || got.Broken > 30 || got.Verdict != answer.ContractIncompatible {
		t.Errorf("60 of 400, of which 100 would break: %d of %d, %d would, %s", got.Looked, got.Matching, got.Broken, got.Sample)
	}
	for i := 1; i < len(got.Events); i++ {
		if got.Events[i-1].Hit.Timestamp < got.Events[i].Hit.Timestamp {
			t.Error("the events are not in order, the newest first")
		}
	}
	if again := check(60); fmt.Sprint(again.Events) != fmt.Sprint(got.Events) {
		t.Error("another check looked at others")
	}
}
