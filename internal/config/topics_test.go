package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/schema"
)

func TestTopicsAreChosenByTheirWholeName(t *testing.T) {
	chosen, err := config.Topics{Include: []string{"fx|orders", `eu\..*`}, Exclude: []string{"__.*", `eu\.secret`}}.Filter()
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]bool{
		"fx": true, "orders": true, "eu.rates": true,
		"fx.rates": false, "my-orders": false, "euxrates": false, "eu.secret": false, "__consumer_offsets": false,
	} {
		if chosen(topic) != want {
			t.Errorf("%s: got %t, want %t", topic, !want, want)
		}
	}
	if _, err := (config.Topics{Exclude: []string{"["}}).Filter(); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a broken pattern: %v", err)
	}
}

const policies = `
topics:
  - pattern: cards.*
    secret: true
    index_keys: true
  - pattern: people
    personal_data: [key, "header:x-user", /email]
    excluded: false
  - pattern: scratch.*
    excluded: true
  - pattern: "*"
    team: platform
    retention: 400d
`

func TestThePolicyOfATopicIsSaidInOnePlace(t *testing.T) {
	cfg, err := loadText(t, policies)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := cfg.Policies()
	if err != nil {
		t.Fatal(err)
	}
	archived, err := cfg.Archived()
	if err != nil {
		t.Fatal(err)
	}
	if archived("scratch.1") || archived("__x") || !archived("people") {
		t.Error("what is archived is not what the two sections say")
	}
	if p := rules.Of("cards.1"); !p.Secret.Value || p.Team.Value != "platform" || p.Team.By != `topics[3] "*"` || p.Retention.Value != 400*24*time.Hour {
		t.Errorf("%+v", p)
	}
}

func TestMistakesInPoliciesAreTold(t *testing.T) {
	for text, want := range map[string][]string{
		"  - pattern: a\n    secret: maybe\n":                                   {"annals.yaml:3:13", "topics[0].secret", "true or false"},
		"  - pattern: a b\n    secret: true\n":                                  {"topics[0].pattern"},
		"  - pattern: a\n":                                                      {"topics[0]", "says nothing"},
		"  - pattern: a\n    personal_data: [email]\n":                          {"topics[0].personal_data", "JSON Pointer"},
		"  - pattern: a\n    index_ids: some\n":                                 {"topics[0].index_ids", "is not one of"},
		"  - pattern: a\n    index_headers: ['-']\n":                            {"topics[0].index_headers"},
		"  - pattern: a\n    tem: x\n":                                          {"did you mean team"},
		"  - pattern: '*'\n    team: a\n  - pattern: b\n    team: b\n":          {"topics[1].team", "would be ignored: topics[0]"},
		"  - pattern: b\n    secret: true\n  - pattern: b\n    secret: false\n": {"topics[1].secret", "would be ignored"},
	} {
		_, err := loadText(t, "topics:\n"+text)
		if schema.KindOf(err) != schema.Invalid {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v\nlacks %q", text, err, part)
			}
		}
	}
}

// A retention has no effect, and says so at every start.
func TestARetentionThatIsNotEnforcedIsTold(t *testing.T) {
	cfg, err := loadText(t, policies)
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := cfg.Validate()
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Path != "topics[3].retention" || !strings.Contains(warnings[0].Message, "not enforced") {
		t.Errorf("warnings %v", warnings)
	}
}
