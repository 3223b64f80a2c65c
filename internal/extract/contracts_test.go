package extract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// jsonOf decodes payloads that begin with a schema id to a fixed text, or says
// why not.
type jsonOf struct{ text, code string }

// Decode implements extract.Decoder.
func (d jsonOf) Decode(extract.SchemaID, []byte, []byte) ([]byte, string) {
	return []byte(d.text), d.code
}

// TestRecordsAreHeldToTheirContract: whatever form the payload has, and whether
// or not it was read for ids.
func TestRecordsAreHeldToTheirContract(t *testing.T) {
	c, err := contract.Parse("c", []byte("type: T\nversion: 1\nrequired: [/n]\nsensitive: [/who]\nschema: s\n"),
		func(string) ([]byte, error) { return []byte(`{"properties":{"n":{"type":"number"}}}`), nil })
	if err != nil {
		t.Fatal(err)
	}
	contracts, err := contract.New([]*contract.Contract{c})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "secret", Secret: &yes}, {Pattern: "headers", IDs: policy.IDsHeaders}})
	if err != nil {
		t.Fatal(err)
	}
	framed := "\x00\x00\x00\x00\x07avro"
	for name, one := range map[string]struct {
		topic, value string
		decoder      extract.Decoder
		want         string
	}{
		"fits":                   {"t", `{"n":1}`, nil, ""},
		"breaks":                 {"t", `{"n":"x"}`, nil, "contract:type:/n"},
		"framed JSON":            {"t", "\x00\x00\x00\x00\x07" + `{"n":"x"}`, nil, "contract:type:/n"},
		"headers only":           {"headers", `{"n":"x"}`, nil, "contract:type:/n"},
		"secret":                 {"secret", `{"n":"x"}`, nil, ""},
		"no JSON":                {"t", "text", nil, "contract:not_json"},
		"decoded":                {"t", framed, jsonOf{text: `{"n":"x"}`}, "contract:type:/n"},
		"decoded, headers only":  {"headers", framed, jsonOf{text: `{"n":"x"}`}, "contract:type:/n"},
		"registry away":          {"t", framed, jsonOf{code: extract.SchemaUnavailable}, "contract:not_checked"},
		"registry away, headers": {"headers", framed, jsonOf{code: extract.SchemaUnavailable}, "contract:not_checked"},
		"too large":              {"t", `{"n":"` + strings.Repeat("x", extract.MaxPayloadBytes) + `"}`, nil, "contract:not_checked"},
	} {
		rules, err := extract.New(extract.Options{Contracts: contracts, Policy: policies, Decoder: one.decoder})
		if err != nil {
			t.Fatal(err)
		}
		var x schema.Extraction
		rules.Extract(&schema.Record{
			Topic: one.topic, Value: []byte(one.value),
			Headers: []schema.Header{{Name: "eventType", Value: []byte("T")}, {Name: "eventVersion", Value: []byte("1")}},
		}, &x)
		got := slices.DeleteFunc(x.Errors, func(code string) bool { return !strings.HasPrefix(code, contract.Prefix) })
		if strings.Join(got, " ") != one.want {
			t.Errorf("%s: %v, want %s", name, got, one.want)
		}
	}
}

// TestSensitiveFieldsAreNotExtracted: neither where the type stands in a header
// nor where it is found in the payload itself.
func TestSensitiveFieldsAreNotExtracted(t *testing.T) {
	c, err := contract.Parse("c", []byte("type: T\nversion: 1\nsensitive: [/who]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	contracts, err := contract.New([]*contract.Contract{c})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := extract.New(extract.Options{Contracts: contracts, Topics: []extract.TopicRule{{Topic: "*", BusinessIDs: []extract.Location{"/who", "/open"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"1": "OPEN", "2": "OPEN"} {
		var x schema.Extraction
		rules.Extract(&schema.Record{Topic: "t", Value: []byte(`{"eventType":"T","eventVersion":"` + version + `","eventId":"E","who":"WHO","open":"OPEN"}`)}, &x)
		if len(x.Identifiers) != 1 || x.Identifiers[0].ID != want || x.EventID != "E" || x.EventType != "T" {
			t.Errorf("version %s: %+v", version, x)
		}
	}
	var x schema.Extraction
	rules.Extract(&schema.Record{Topic: "t", Value: []byte(`{"eventType":"U","who":"WHO","open":"OPEN"}`)}, &x)
	if len(x.Identifiers) != 2 {
		t.Errorf("another type: %+v", x)
	}
}

// TestSensitiveFieldsAreNotExtractedWhereTheTypeIsWithheld: a policy that lets
// less be read lets nothing more be indexed.
func TestSensitiveFieldsAreNotExtractedWhereTheTypeIsWithheld(t *testing.T) {
	c, err := contract.Parse("c", []byte("type: T\nversion: 1\nsensitive: [/who]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	contracts, err := contract.New([]*contract.Contract{c})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "*", Personal: []string{"/eventType"}}})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := extract.New(extract.Options{Contracts: contracts, Policy: policies, Topics: []extract.TopicRule{{Topic: "*", BusinessIDs: []extract.Location{"/who", "/open"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]int{"T": 1, "U": 2} {
		var x schema.Extraction
		rules.Extract(&schema.Record{Topic: "t", Value: []byte(`{"eventType":"` + kind + `","who":"WHO","open":"OPEN"}`)}, &x)
		if len(x.Identifiers) != want || x.EventType != "" {
			t.Errorf("%s: %+v", kind, x)
		}
	}
}
