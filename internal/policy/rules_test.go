package policy_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

var yes, no = true, false

// TestTheFirstEntryThatSaysSomethingDecides: each property by itself.
func TestTheFirstEntryThatSaysSomethingDecides(t *testing.T) {
	rules, err := policy.NewRules([]policy.Rule{
		{Pattern: "cards.public", Secret: &no},
		{Pattern: "cards.*", Secret: &yes, Retention: 48 * time.Hour},
		{Pattern: "*", Team: "platform", Key: &yes, Personal: []string{"/email"}},
		{Pattern: "cards.*", Team: "late", IDs: policy.IDsHeaders},
	})
	if err != nil {
		t.Fatal(err)
	}
	public, numbers, other := rules.Of("cards.public"), rules.Of("cards.numbers"), rules.Of("x")
	if public.Secret.Value || public.Secret.By != `topics[0] "cards.public"` || public.IDs.Value != policy.IDsHeaders || public.Team.Value != "platform" {
		t.Errorf("cards.public: %+v", public)
	}
	if !numbers.Secret.Value || numbers.Secret.By != `topics[1] "cards.*"` || numbers.Team.By != `topics[2] "*"` || numbers.Retention.Value != 48*time.Hour {
		t.Errorf("cards.numbers: %+v", numbers)
	}
	if other.Secret.By != "" || !other.MayReadKey() || other.IDs.Value != policy.IDsAll || other.IDs.By != "" {
		t.Errorf("x: %+v", other)
	}
	var none *policy.Rules
	if p := none.Of("x"); p.Restricts() || p.IDs.Value != policy.IDsAll {
		t.Errorf("no rules: %+v", p)
	}
}

func TestASecretTopicGivesNoIDsUnlessItIsSaid(t *testing.T) {
	rules, err := policy.NewRules([]policy.Rule{{Pattern: "a", Secret: &yes, Key: &yes}, {Pattern: "b", Secret: &yes, IDs: policy.IDsHeaders}})
	if err != nil {
		t.Fatal(err)
	}
	if p := rules.Of("a"); p.IDs.Value != policy.IDsNone || p.IDs.By != `topics[0] "a"` || p.MayReadKey() {
		t.Errorf("a: %+v", p)
	}
	if p := rules.Of("b"); p.IDs.Value != policy.IDsHeaders {
		t.Errorf("b: %+v", p)
	}
}

func TestBadPoliciesAreRefused(t *testing.T) {
	for want, bad := range map[string]policy.Rule{
		"pattern":       {Pattern: "a/b"},
		"personal_data": {Pattern: "a", Personal: []string{"email"}},
		"index_headers": {Pattern: "a", Headers: []string{"--"}},
		"index_ids":     {Pattern: "a", IDs: "some"},
		"retention":     {Pattern: "a", Retention: -1},
	} {
		_, err := policy.NewRules([]policy.Rule{bad})
		if schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), strings.TrimPrefix(want, "index_")) && want != "personal_data" && want != "index_headers" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestMaskJSONReplacesWhatPathsNameAndNothingElse(t *testing.T) {
	for _, c := range []struct{ text, paths, want string }{
		{`{"a":1,"b":2}`, "/a", `{"a":"[masked]","b":2}`},
		{`{"a":{"x":[1,{"y":2}]} , "b":1e5}`, "/a", `{"a":"[masked]" , "b":1e5}`},
		{`{"a":1,"a":2,"\u0061":3}`, "/a", `{"a":"[masked]","a":"[masked]","\u0061":"[masked]"}`},
		{`[{"e": "x"},{"e":null}]`, "/*/e", `[{"e": "[masked]"},{"e":"[masked]"}]`},
		{`{"a":{"b":{"c":1}},"d":{"b":{"c":2}}}`, "/*/b/c", `{"a":{"b":{"c":"[masked]"}},"d":{"b":{"c":"[masked]"}}}`},
		{`{"a~b":{"c/d":1}}`, "/a~0b/c~1d", `{"a~b":{"c/d":"[masked]"}}`},
		{`{"a":1}`, "/b", `{"a":1}`},
		{`[1,2,3]`, "/1", `[1,"[masked]",3]`},
		{`7`, "/a", `7`},
	} {
		var paths policy.Paths
		for _, text := range strings.Split(c.paths, " ") {
			p, err := policy.ParsePath(text)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, p)
		}
		got, ok := policy.MaskJSON([]byte(c.text), paths, policy.Shown)
		if !ok || string(got) != c.want || !json.Valid(got) {
			t.Errorf("%s of %s: %s, %t; want %s", c.paths, c.text, got, ok, c.want)
		}
	}
	for _, bad := range []string{``, `{`, `{"a":1}x`, `{"a":1} {"a":2}`, "\x00\x01", `{"a"`, `{"a":`, `{"a":tru`} {
		if got, ok := policy.MaskJSON([]byte(bad), policy.Paths{{"a"}}, policy.Shown); ok {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// FuzzMaskJSON: what comes out is JSON, and never holds the secret where a path
// names it.
func FuzzMaskJSON(f *testing.F) {
	for _, text := range []string{`{"a":"s3cret","b":[{"a":1}]}`, `[{"a":{}}]`, `{"a":1,"a":2}`, "\xff", `{"a":"\ud800"}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := policy.MaskJSON([]byte(text), policy.Paths{{"a"}, {"*", "a"}}, policy.Shown)
		if !ok {
			return
		}
		var before, after any
		if json.Unmarshal([]byte(text), &before) != nil || json.Unmarshal(got, &after) != nil {
			t.Fatalf("%q: %q is not JSON", text, got)
		}
		if object, is := after.(map[string]any); is {
			if v, there := object["a"]; there && v != policy.Masked {
				t.Fatalf("%q: %q shows a", text, got)
			}
		}
	})
}

func TestMaskWithholdsWhatPolicySays(t *testing.T) {
	rules, err := policy.NewRules([]policy.Rule{
		{Pattern: "secret", Secret: &yes},
		{Pattern: "people", Personal: []string{"key", "header:X-User", "/email"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	record := func(value string) *schema.Record {
		return &schema.Record{
			Key: []byte("k"), Value: []byte(value),
			Headers: []schema.Header{{Name: "x_user", Value: []byte("u")}, {Name: "trace", Value: []byte("t")}},
		}
	}
	whole := func(value []byte) []byte { return value }
	in := record(`{"email":"a@b","n":1}`)
	out, withheld := rules.Of("people").Mask(in, nil, whole)
	if out.Key != nil || string(out.Value) != `{"email":"[masked]","n":1}` || string(out.Headers[0].Value) != policy.Masked || string(out.Headers[1].Value) != "t" ||
		!slices.Equal(withheld, []string{"key", "header:x_user", "/email"}) {
		t.Errorf("people: %+v, %v", out, withheld)
	}
	if string(in.Key) != "k" || string(in.Value) != `{"email":"a@b","n":1}` || string(in.Headers[0].Value) != "u" {
		t.Error("the record itself was changed")
	}
	if out, withheld := rules.Of("people").Mask(record("\x02avro"), nil, whole); out.Value != nil || !slices.Contains(withheld, "value") {
		t.Errorf("a value that cannot be masked: %+v, %v", out, withheld)
	}
	if out, withheld := rules.Of("secret").Mask(in, nil, whole); out.Value != nil || out.Key != nil || string(out.Headers[1].Value) != policy.Masked || len(withheld) != 4 {
		t.Errorf("secret: %+v, %v", out, withheld)
	}
	if out, withheld := rules.Of("open").Mask(in, nil, whole); out != in || withheld != nil {
		t.Errorf("open: %+v, %v", out, withheld)
	}
}
