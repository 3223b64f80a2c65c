package schema_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

func TestDeadLetter(t *testing.T) {
	raw := object("data/x.batch", 7)
	l := schema.DeadLetter{
		Format: schema.DeadLetterFormat, Component: schema.LetterReading, Cluster: "c", Topic: "a/ä..", TopicID: schema.TopicID{1},
		Partition: 3, From: 1 << 60, To: 1<<60 + 1, Error: "crc", Attempts: 5, Raw: &raw,
	}
	body, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := schema.ParseDeadLetter(body)
	if err != nil || back.Key() != l.Key() || back.From != l.From || *back.Raw != raw {
		t.Errorf("%+v, %v", back, err)
	}
	topic, component, ok := schema.ParseDeadLetterKey(l.Key())
	if !ok || topic != l.Topic || component != l.Component {
		t.Errorf("%s: %q, %q, %t", l.Key(), topic, component, ok)
	}
	again := l
	again.Attempts, again.Error, again.Last = 9, "other", "2026-01-02T03:04:05Z"
	if again.Key() != l.Key() {
		t.Error("the same failure has two keys")
	}
	if again.Branch++; again.Key() == l.Key() {
		t.Error("another branch's failure has the same key")
	}
	for _, key := range []string{"", schema.DeadLettersPrefix, strings.Replace(l.Key(), "reading", "writing", 1), strings.Replace(l.Key(), "%2F", "%2f", 1), "x" + l.Key()} {
		if _, _, ok := schema.ParseDeadLetterKey(key); ok {
			t.Errorf("%q was taken", key)
		}
	}
	for name, change := range map[string]func(*schema.DeadLetter){
		"no topic ID":      func(l *schema.DeadLetter) { l.TopicID = schema.TopicID{} },
		"no raw bytes":     func(l *schema.DeadLetter) { l.Raw = nil },
		"raw of a row":     func(l *schema.DeadLetter) { l.Component = schema.LetterIndex },
		"no such thing":    func(l *schema.DeadLetter) { l.Component = "x" },
		"an empty range":   func(l *schema.DeadLetter) { l.To = l.From },
		"another version":  func(l *schema.DeadLetter) { l.Format = "annals.dead-letter/2" },
		"without attempts": func(l *schema.DeadLetter) { l.Attempts = 0 },
	} {
		bad := l
		change(&bad)
		if _, err := bad.Encode(); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := schema.ParseDeadLetter(append(body, '{')); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("bytes behind the end: %v", err)
	}
}
