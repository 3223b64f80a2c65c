package contract_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/schema"
)

const order = `
type: OrderPlaced
version: "2"
team: sales
topics: [orders, orders.retry]
producers: [shop]
sla: {max_delay: 2s}
required: [/id, /customer/name]
sensitive: [/customer/email]
schema: order.schema.json
`

const orderSchema = `{
  "type": "object", "required": ["amount", "side"],
  "properties": {
    "id": {"type": "string"},
    "amount": {"type": "number", "minimum": 0},
    "side": {"enum": ["buy", "sell"]},
    "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    "customer": {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": {"type": "string"}},
    "pay": {"anyOf": [{"type": "string"}, {"type": "object"}]}
  },
  "$defs": {"line": {"type": "object", "properties": {"sku": {"type": "string"}}, "additionalProperties": false}}
}`

func parse(t testing.TB, text, json string) *contract.Contract {
	t.Helper()
	c, err := contract.Parse("c.yaml", []byte(text), func(string) ([]byte, error) { return []byte(json), nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func event(topic, service, payload string) contract.Event {
	return contract.Event{
		Record:     &schema.Record{Topic: topic, Timestamp: 10_000},
		Extraction: &schema.Extraction{EventType: "OrderPlaced", EventVersion: "2", SourceService: service, EventTime: 9_000_000, HasEventTime: true},
		Payload:    []byte(payload),
	}
}

func TestRulesNameWhatIsBrokenAndNothingOfTheEvent(t *testing.T) {
	c := parse(t, order, orderSchema)
	late := event("orders", "shop", `{"id":"1","amount":1,"side":"buy","customer":{"name":"n"}}`)
	late.Extraction.EventTime = 7_000_000
	tombstone := event("orders", "shop", "")
	tombstone.Tombstone = true
	for _, one := range []struct {
		event contract.Event
		want  string
	}{
		{event("orders", "shop", `{"id":"1","amount":1.5,"side":"buy","customer":{"name":"n"},"more":1}`), ""},
		{event("other", "else", `{"id":"1","amount":1.5,"side":"buy","customer":{"name":"n"}}`), "contract:topic contract:producer"},
		{late, "contract:late"},
		{tombstone, ""},
		{event("orders", "shop", `{"amount":-1,"customer":{}}`), "contract:required:/id contract:required:/customer/name contract:required:/side contract:minimum:/amount"},
		{event("orders", "shop", `{"id":1,"amount":"SECRET","side":"SECRET","customer":{"name":"n","SECRET":1}}`), "contract:type:/id contract:type:/amount contract:enum:/side contract:type:/customer/*"},
		{event("orders", "shop", `{"id":"1","amount":1,"side":"buy","customer":{"name":"n"},"lines":[{},{"sku":1},{"SECRET":2}],"pay":3}`), "contract:type:/lines/*/sku contract:additionalProperties:/lines/* contract:anyOf:/pay"},
		{event("orders", "shop", `[]`), "contract:required:/id contract:required:/customer/name contract:type:"},
		{event("orders", "shop", `not json`), "contract:not_json"},
		{event("orders", "shop", `{} {}`), "contract:not_json"},
		{event("orders", "shop", `{"amount":1e999999}`), "contract:not_checked"},
		{event("orders", "shop", strings.Repeat("[", 300)+strings.Repeat("]", 300)), "contract:not_checked"},
	} {
		got, want := c.Check(one.event), strings.Fields(one.want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%.100s\ngot  %v\nwant %v", one.event.Payload, got, want)
		}
		if strings.Contains(strings.Join(got, " "), "SECRET") {
			t.Errorf("a rule tells of the event: %v", got)
		}
	}
}

func TestViolationsAreBounded(t *testing.T) {
	names := map[string]any{}
	for _, a := range "abcdefghij" {
		for _, b := range "abcdefghij" {
			names[string(a)+string(b)] = map[string]any{"type": "string"}
		}
	}
	text, err := json.Marshal(map[string]any{"properties": names})
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]int{}
	for name := range names {
		broken[name] = 1
	}
	payload, err := json.Marshal(broken)
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, "type: A\nversion: 1\nschema: a.json\n", string(text)).Check(event("t", "s", string(payload)))
	if len(got) != contract.MaxViolations+1 || got[len(got)-1] != contract.MoreViolations {
		t.Errorf("%d rules: %v", len(got), got)
	}
}

func TestARegistryFindsTheVersion(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "type: A\nversion: 10\ntopics: [a]\nsensitive: [/x]\n", "below/b.yml": "type: A\nversion: 9\nschema: b.json\n",
		"below/b.json": `{"type":"object"}`, ".git/c.yaml": "nonsense", "README.md": "no contract",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := contract.Load(dir)
	if err != nil || len(r.All()) != 2 || r.All()[0].Version != "9" {
		t.Fatalf("%+v, %v", r, err)
	}
	x := func(kind, version string) *schema.Extraction {
		return &schema.Extraction{EventType: kind, EventVersion: version}
	}
	for _, c := range []struct {
		topic string
		x     *schema.Extraction
		want  string
	}{
		{"a", x("A", "10"), ""},
		{"b", x("A", "10"), contract.WrongTopic},
		{"a", x("A", "11"), contract.UnknownVersion},
		{"a", x("B", "1"), contract.UnknownType},
		{"b", x("B", "1"), ""},
		{"a", x("A", "9"), contract.NotJSON},
	} {
		if got := strings.Join(r.Check(contract.Event{Record: &schema.Record{Topic: c.topic}, Extraction: c.x}), " "); got != c.want {
			t.Errorf("%s %s %s: %q, want %q", c.topic, c.x.EventType, c.x.EventVersion, got, c.want)
		}
	}
	if !r.Wants(x("A", "9")) || r.Wants(x("A", "10")) || len(r.Sensitive("A", "11")) != 1 || r.SensitiveTopic("a") == nil || r.SensitiveTopic("b") != nil {
		t.Error("what is read and hidden is not what the contracts say")
	}
	var none *contract.Registry
	if none.Check(event("orders", "x", "")) != nil || none.Wants(x("A", "9")) || none.Sensitive("A", "1") != nil {
		t.Error("no registry finds something")
	}
}

func TestBadContractsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                              "type",
		"type: A\n":                                     "no version",
		"type: A\nversion: 1\nschma: x\n":               "line 3",
		"type: A\nversion: 1\nschema: ../x":             "plain path",
		"type: A\nversion: 1\nschema: /x":               "plain path",
		"type: A\nversion: 1\nrequired: [x]\n":          "JSON Pointer",
		"type: A\nversion: 1\nrequired: [/x/*]\n":       "names no one field",
		"type: A\nversion: 1\nsla: {max_delay: soon}\n": "max_delay",
		"type: A\nversion: 1\nschema: remote.json\n":    "only references inside the file",
		"type: A\nversion: 1\nschema: wrong.json\n":     "not a JSON Schema",
		"type: A\nversion: 1\nschema: text.json\n":      "not JSON",
		"type: A\nversion: 1\nschema: missing.json\n":   "no such file",
		"type: A\nversion: 1\nteam: \"a\\u0001\"\n":     "control characters",
		"type: [A]\nversion: 1\n":                       "line 1",
	} {
		_, err := contract.Parse("c.yaml", []byte(text), func(name string) ([]byte, error) {
			switch name {
			case "remote.json":
				return []byte(`{"$ref":"https://example.org/x.json"}`), nil
			case "wrong.json":
				return []byte(`{"type":7}`), nil
			case "text.json":
				return []byte(`nope`), nil
			}
			return nil, errors.New("no such file")
		})
		if schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	a, b := parse(t, "type: A\nversion: 1\n", ""), parse(t, "type: A\nversion: 1\n", "")
	if _, err := contract.New([]*contract.Contract{a, b}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("two of one version: %v", err)
	}
}

func TestCompareTellsAdditiveFromBreaking(t *testing.T) {
	const head = "type: A\nversion: 1\nschema: s\n"
	for _, c := range []struct{ before, next, evolution, says string }{
		{`{"type":"object"}`, `{"type":"object","title":"x"}`, "identical", ""},
		{`{"properties":{"a":{"type":"string"}}}`, `{"properties":{"a":{"type":"string"},"b":{}}}`, "additive", "/b is new"},
		{`{"properties":{"a":{"type":"string"}}}`, `{"properties":{"a":{"type":"string"},"b":{}},"required":["b"]}`, "breaking", "/b is required now EVENTS"},
		{`{"properties":{"a":{}},"required":["a"]}`, `{"properties":{"a":{}}}`, "breaking", "/a is no longer required CONSUMERS"},
		{`{"properties":{"a":{}}}`, `{"properties":{}}`, "breaking", "/a is gone CONSUMERS"},
		{`{"properties":{"a":{"type":"integer"}}}`, `{"properties":{"a":{"type":"number"}}}`, "breaking", "/a type was integer, is number CONSUMERS"},
		{`{"properties":{"a":{"type":"number"}}}`, `{"properties":{"a":{"type":"integer"}}}`, "breaking", "/a type was number, is integer EVENTS"},
		{`{"properties":{"a":{"enum":["x","y"]}}}`, `{"properties":{"a":{"enum":["x","z"]}}}`, "breaking", `/a values are no longer allowed: "y" EVENTS`},
		{`{"properties":{"a":{"minimum":1}}}`, `{"properties":{"a":{"minimum":2}}}`, "breaking", "/a minimum was 1, is 2 EVENTS"},
		{`{"properties":{"a":{"maximum":1}}}`, `{"properties":{"a":{"maximum":2}}}`, "breaking", "/a maximum was 1, is 2 CONSUMERS"},
		{`{}`, `{"additionalProperties":false}`, "breaking", "no longer allowed EVENTS"},
		{`{"items":{"$ref":"#/$defs/i"},"$defs":{"i":{"type":"string"}}}`, `{"items":{"$ref":"#/$defs/i"},"$defs":{"i":{"type":"number"}}}`, "breaking", "/* type was string, is number EVENTS CONSUMERS"},
		{`{"anyOf":[{"type":"string"}]}`, `{"anyOf":[{"type":"number"}]}`, "breaking", "anyOf differs"},
		{`{"properties":{"a":{"$ref":"#"}}}`, `{"properties":{"a":{"$ref":"#"}},"title":"x"}`, "identical", ""},
	} {
		evolution, differences := contract.Compare(parse(t, head, c.before), parse(t, head, c.next))
		var text []string
		for _, d := range differences {
			line := strings.TrimSpace(d.Path + " " + d.Change)
			if d.Events {
				line += " EVENTS"
			}
			if d.Consumers {
				line += " CONSUMERS"
			}
			text = append(text, line)
		}
		if string(evolution) != c.evolution || !strings.Contains(strings.Join(text, "; "), c.says) {
			t.Errorf("%s → %s: %s, %q; want %s, %q", c.before, c.next, evolution, text, c.evolution, c.says)
		}
	}
	evolution, differences := contract.Compare(parse(t, "type: A\nversion: 1\nrequired: [/a]\nsla: {max_delay: 1s}\n", ""), parse(t, "type: A\nversion: 2\nrequired: [/b]\nteam: x\n", ""))
	if evolution != contract.Breaking || len(differences) != 4 {
		t.Errorf("%s: %+v", evolution, differences)
	}
}

// FuzzCheck: whatever the payload, the rules are few, short and the contract's
// own words.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{`{"id":1}`, `{"lines":[{"x":1}]}`, "", "\xff", `{"amount":1e400}`, `[[[]]]`} {
		f.Add(text)
	}
	c := parse(f, order, orderSchema)
	f.Fuzz(func(t *testing.T, payload string) {
		rules := c.Check(event("orders", "shop", payload))
		if len(rules) > contract.MaxViolations+1 {
			t.Fatalf("%d rules", len(rules))
		}
		for _, rule := range rules {
			for _, step := range strings.Split(rule, "/")[1:] {
				if !slices.Contains(strings.Fields("id amount side lines customer name sku pay email *"), step) {
					t.Fatalf("%s of %q", rule, payload)
				}
			}
		}
	})
}

// TestTheDemosContractsAreSound: each type's second version adds one field, and
// nothing else.
func TestTheDemosContractsAreSound(t *testing.T) {
	r, err := contract.Load("../../demo/contracts")
	if err != nil || len(r.All()) != 12 {
		t.Fatalf("%d contracts, %v", len(r.All()), err)
	}
	for _, c := range r.All() {
		first, second := r.Find(c.Type, "1"), r.Find(c.Type, "2")
		if first == nil || second == nil || c.Team == "" || len(c.Producers) != 1 || len(c.Topics) != 1 || c.Schema == nil {
			t.Errorf("%s is not whole", c.File)
			continue
		}
		evolution, differences := contract.Compare(first, second)
		if len(differences) > 4 {
			t.Errorf("%s: %s by %+v", c.Type, evolution, differences)
		}
	}
}

// BenchmarkCheck is what a contract costs an event of the demo.
func BenchmarkCheck(b *testing.B) {
	r, err := contract.Load("../../demo/contracts")
	if err != nil {
		b.Fatal(err)
	}
	e := contract.Event{
		Record:     &schema.Record{Topic: "fx.rates.received"},
		Extraction: &schema.Extraction{EventType: "FxRateReceived", EventVersion: "2", SourceService: "ecb-gateway"},
		Payload: []byte(`{"eventId":"0123456789abcdef0123456789abcdef","eventType":"FxRateReceived","eventVersion":2,"sourceService":"ecb-gateway","traceId":"0123456789abcdef0123456789abcdef",
			"timestamp":"2024-01-02T14:15:00.000Z","run":1,"sequence":7,"fixingDate":"2024-01-02","base":"EUR","currency":"USD","rate":1.0956,"ratesInFixing":30,"provider":"ECB","file":"f","line":3,"fixing":"x"}`),
	}
	b.ReportAllocs()
	for b.Loop() {
		if broken := r.Check(e); len(broken) > 0 {
			b.Fatal(broken)
		}
	}
}
