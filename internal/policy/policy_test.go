package policy_test

import (
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

func TestNothingIsAllowedByDefault(t *testing.T) {
	var nobody policy.Principal
	if nobody.Topics.Allows("fx.rates") || !nobody.Topics.IsEmpty() || nobody.Topics.IsAll() {
		t.Fatal("the zero principal sees a topic")
	}
	none, err := policy.Topics()
	if err != nil || none.Allows("") || none.Allows("fx.rates") {
		t.Fatalf("a set without patterns holds a topic (%v)", err)
	}
	if e := policy.Everything(); !e.Topics.Allows("fx.rates") || !e.Topics.IsAll() || e.Name == "" {
		t.Fatalf("%+v does not see everything", e)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"fx.*", "fx.rates.received", true},
		{"fx.*", "fx.", true},
		{"fx.*", "fx", false},
		{"fx.*", "xfx.rates", false},
		{"*.dlq", "fx.rates.received.dlq", true},
		{"*.dlq", "fx.rates.dlq.old", false},
		{"fx.*.dlq", "fx.a.b.dlq", true},
		{"fx.?", "fx.a", true},
		{"fx.?", "fx.ab", false},
		{"*", "anything", true},
		{"**a", "banana", true},
		{"FX", "fx", false},
		{"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false},
	} {
		set, err := policy.Topics(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Allows(c.topic); got != c.want {
			t.Errorf("%q allows %q: %v", c.pattern, c.topic, got)
		}
	}
}

// TestPatternsMatchLikePathMatch holds the matcher against another one: in
// names without slashes path.Match means the same.
func TestPatternsMatchLikePathMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab.*?]{1,12}`).Draw(t, "pattern")
		topic := rapid.StringMatching(`[ab.]{0,16}`).Draw(t, "topic")
		set, err := policy.Topics(pattern)
		if err != nil {
			t.Fatal(err)
		}
		want, err := path.Match(pattern, topic)
		if err != nil {
			t.Fatal(err)
		}
		if set.Allows(topic) != want {
			t.Fatalf("%q allows %q: %v, want %v", pattern, topic, !want, want)
		}
	})
}

func TestBadPatternsAreRefused(t *testing.T) {
	for _, bad := range []string{"", "fx/rates", "fx rates", "[ab]", "ü", strings.Repeat("a", policy.MaxPatternBytes+1)} {
		if _, err := policy.Topics(bad); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%q accepted: %v", bad, err)
		}
	}
	if _, err := policy.Topics(make([]string, policy.MaxPatterns+1)...); schema.KindOf(err) != schema.Invalid {
		t.Errorf("too many accepted: %v", err)
	}
}
