package extract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// TestWhatPolicyWithholdsIsNotExtracted puts the same record, with a word in
// every place, on topics with different policies.
func TestWhatPolicyWithholdsIsNotExtracted(t *testing.T) {
	yes := true
	policies, err := policy.NewRules([]policy.Rule{
		{Pattern: "secret", Secret: &yes, Key: &yes, Headers: []string{"tenant"}},
		{Pattern: "headers", IDs: policy.IDsHeaders},
		{Pattern: "people", Personal: []string{"key", "header:TENANT", "/who", "/*/inner"}, Key: &yes, Headers: []string{"tenant"}},
		{Pattern: "keys", Key: &yes, Headers: []string{"Tenant"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := extract.New(extract.Options{
		Policy: policies,
		Topics: []extract.TopicRule{{Topic: "*", BusinessIDs: []extract.Location{"/who", "/a/inner", "/open", "header:tenant"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]struct{ has, lacks string }{
		"secret":  {"", "KEY TENANT TRACE WHO INNER OPEN TYPE EVENT"},
		"headers": {"TENANT TRACE", "KEY WHO INNER OPEN TYPE EVENT"},
		"people":  {"TRACE OPEN TYPE EVENT", "KEY TENANT WHO INNER"},
		"keys":    {"KEY TENANT TRACE WHO INNER OPEN TYPE EVENT", ""},
		"other":   {"TENANT TRACE WHO INNER OPEN TYPE EVENT", "KEY"},
	} {
		var x schema.Extraction
		rules.Extract(&schema.Record{
			Topic: topic, Key: []byte("KEY"),
			Headers: []schema.Header{{Name: "tenant", Value: []byte("TENANT")}, {Name: "traceId", Value: []byte("TRACE")}},
			Value:   []byte(`{"eventType":"TYPE","eventId":"EVENT","who":"WHO","a":{"inner":"INNER"},"open":"OPEN"}`),
		}, &x)
		all := fmt.Sprintf("%+v", x)
		for word := range strings.FieldsSeq(want.has) {
			if !strings.Contains(all, word) {
				t.Errorf("%s: no %s in %s", topic, word, all)
			}
		}
		for word := range strings.FieldsSeq(want.lacks) {
			if strings.Contains(all, word) {
				t.Errorf("%s: %s in %s", topic, word, all)
			}
		}
		if has := slices.Contains(x.Identifiers, schema.Identifier{Kind: schema.IDKey, ID: "KEY"}); has != (topic == "keys") {
			t.Errorf("%s: the key is an id: %t", topic, has)
		}
	}
}

// TestKeysThatAreNoIDsAreLeftOut: keys may be anything, which is no error.
func TestKeysThatAreNoIDsAreLeftOut(t *testing.T) {
	yes := true
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "*", Key: &yes}})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := extract.New(extract.Options{Policy: policies})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "  ", "\x00\x01", "\xff", strings.Repeat("k", extract.MaxIDBytes+1)} {
		var x schema.Extraction
		rules.Extract(&schema.Record{Topic: "t", Key: []byte(key)}, &x)
		if len(x.Identifiers)+len(x.Errors) > 0 {
			t.Errorf("%.20q: %+v", key, x)
		}
	}
}
