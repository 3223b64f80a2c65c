package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

func loadText(t *testing.T, text string) (config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "annals.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(path, nil)
	return cfg, err
}

// TestRulesOfTopicsReachTheRecord goes from the file to what is extracted.
func TestRulesOfTopicsReachTheRecord(t *testing.T) {
	cfg, err := loadText(t, `
extract:
  topics:
    - topic: orders.*
      trace_id: /ctx/trace
      event_id: header:X-My-Id
      business_ids: [/orderId, header:customer]
      contract: true
    - topic: other
`)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := extract.New(cfg.Extract.Options())
	if err != nil {
		t.Fatal(err)
	}
	var x schema.Extraction
	rules.Extract(&schema.Record{
		Topic:   "orders.v1",
		Headers: []schema.Header{{Name: "x-my-id", Value: []byte("e1")}, {Name: "Customer", Value: []byte("c9")}},
		Value:   []byte(`{"ctx":{"trace":"t1"},"orderId":17}`),
	}, &x)
	ids := x.Identifiers
	if x.TraceID != "t1" || x.EventID != "e1" || len(ids) != 2 || ids[0].ID != "c9" || ids[1].ID != "17" ||
		!strings.Contains(strings.Join(x.Errors, " "), "event_type:missing") {
		t.Errorf("got %+v", x)
	}
}

func TestMistakesInRulesOfTopicsAreTold(t *testing.T) {
	for text, want := range map[string][]string{
		"  topics:\n    - topic: a\n      traceid: /a\n":                                {"annals.yaml:4:7", `unknown key "traceid" in extract.topics[0]`, "trace_id"},
		"  topics:\n    - topic: a\n    - topic: b\n      trace_id: a.b\n":              {"annals.yaml:5:17", "extract.topics[1].trace_id", "JSON Pointer"},
		"  topics:\n    - topic: a\n      business_ids: [/a, 'header:']\n":              {"annals.yaml:4:21", "extract.topics[0].business_ids", "a header's name"},
		"  topics:\n    - topic: a\n    - topic: a\n":                                   {"extract.topics[1]", "would be ignored", "extract.topics[0]"},
		"  topics:\n    - trace_id: /a\n":                                               {"annals.yaml:3:15", "extract.topics[0]", "a topic's name"},
		"  topics:\n    - topic: '['\n":                                                 {"extract.topics[0]", "a topic's name or a pattern"},
		"  topics:\n    topic: a\n":                                                     {"annals.yaml:3:", "is a list of sections"},
		"  topics:\n    - a\n":                                                          {"annals.yaml:3:7", "extract.topics[0]", "is a section"},
		"  topics:\n    - topic: a\n      topic: b\n":                                   {"not valid YAML"},
		"  topics:\n    - topic: a\n      contract: yes\n":                              {"extract.topics[0].contract", "true or false"},
		"  topics:\n    - topic: a\n      trace_id: \"/a\\u0001\"\n":                    {"extract.topics[0].trace_id", "control characters"},
		"  topics:\n" + strings.Repeat("    - topic: a\n", 1001):                        {"extract.topics", "at most 1000"},
		"  topics:\n    - topic: a\n      trace_id: " + strings.Repeat("/x", 65) + "\n": {"more than 64 steps"},
	} {
		_, err := loadText(t, "extract:\n"+text)
		if schema.KindOf(err) != schema.Invalid {
			t.Errorf("%.80q: %v", text, err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%.80q: %v\nlacks %q", text, err, part)
			}
		}
	}
	_, _, err := config.Load("", []string{"ANNALS_EXTRACT_TOPICS=a"})
	if err == nil || !strings.Contains(err.Error(), "unknown environment variable") {
		t.Errorf("rules in the environment: %v", err)
	}
}

func TestMistakesInTheRegistryAreTold(t *testing.T) {
	for text, want := range map[string]string{
		"  username: a\n":                        "schemas.username",
		"  url: ftp://a\n":                       "schemas.url",
		"  name: a/b\n":                          "schemas.name",
		"  name: ..\n":                           "schemas.name",
		"  timeout: 1ms\n":                       "schemas.timeout",
		"  tls: {ca_file: /a}\n":                 "schemas.tls",
		"  password: secret\n":                   "ANNALS_SCHEMAS_PASSWORD",
		"  url: http://a\n  archived: true\n":    "schemas.archived",
		"  url: http://a\n  username: someone\n": "schemas.password",
	} {
		_, err := loadText(t, "schemas:\n"+text)
		if schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"  url: http://a/apis/ccompat/v7\n", "  archived: true\n"} {
		if _, err := loadText(t, "schemas:\n"+text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
