package policy

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/schema"
)

// Bounds on what a configuration may hold.
const (
	MaxPatterns     = 1000
	MaxPatternBytes = schema.MaxTopicName
)

// Principal is who asks: a name for the access log, and the topics that may
// be seen.
type Principal struct {
	Name   string
	Topics TopicSet
}

// unnamed is who did not say who they are.
const unnamed = "development"

// Everything is the principal of development, where only the machine's own
// user can ask: it sees every topic.
func Everything() Principal {
	return Principal{Name: unnamed, Topics: AllTopics()}
}

// MaxNameBytes bounds a Principal's name.
const MaxNameBytes = 100

// Named is the principal of development under a name that somebody gave: nothing
// shows that it is theirs. "" is Everything. The error is Invalid.
func Named(name string) (Principal, error) {
	who := Everything()
	if name == "" {
		return who, nil
	}
	printable := func(r rune) bool { return unicode.IsPrint(r) && r != utf8.RuneError }
	if len(name) > MaxNameBytes || name != strings.TrimSpace(name) || strings.ContainsFunc(name, func(r rune) bool { return !printable(r) }) {
		return Principal{}, schema.Errorf(schema.Invalid, "user name %.120q: want 1 to %d bytes of text without spaces around it", name, MaxNameBytes)
	}
	who.Name = name
	return who, nil
}

// IsNamed tells whether the principal said who it is.
func (p Principal) IsNamed() bool { return p.Name != "" && p.Name != unnamed }

// TopicSet is a set of topics, by patterns. The zero TopicSet is empty.
type TopicSet struct {
	all      bool
	patterns []string
}

// AllTopics is the set of every topic, also of those that are yet to come.
func AllTopics() TopicSet { return TopicSet{all: true} }

// Topics is the set of the topics that match at least one pattern. In a
// pattern "*" stands for any characters, also none and also dots; "?" for
// exactly one; everything else for itself, case included. The error is
// Invalid.
func Topics(patterns ...string) (TopicSet, error) {
	if len(patterns) > MaxPatterns {
		return TopicSet{}, schema.Errorf(schema.Invalid, "topic patterns: %d, at most %d", len(patterns), MaxPatterns)
	}
	for _, p := range patterns {
		if p == "" || len(p) > MaxPatternBytes {
			return TopicSet{}, schema.Errorf(schema.Invalid, "topic pattern %.64q: %d bytes, want 1 to %d", p, len(p), MaxPatternBytes)
		}
		for i := range len(p) {
			if !patternByte(p[i]) {
				return TopicSet{}, schema.Errorf(schema.Invalid,
					"topic pattern %q: %q is in no topic's name; use letters, digits, . _ - and the wildcards * and ?", p, p[i])
			}
		}
	}
	return TopicSet{patterns: slices.Clone(patterns)}, nil
}

func patternByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-*?", c) >= 0
}

// Allows tells whether topic is in the set.
func (s TopicSet) Allows(topic string) bool {
	if s.all {
		return true
	}
	for _, p := range s.patterns {
		if matches(p, topic) {
			return true
		}
	}
	return false
}

// IsAll tells whether the set holds every topic, so that no filter is needed.
func (s TopicSet) IsAll() bool { return s.all }

// IsEmpty tells whether the set can hold no topic.
func (s TopicSet) IsEmpty() bool { return !s.all && len(s.patterns) == 0 }

// String names the set for logs.
func (s TopicSet) String() string {
	switch {
	case s.all:
		return "all topics"
	case s.IsEmpty():
		return "no topics"
	default:
		return strings.Join(s.patterns, ", ")
	}
}

// matches compares without backtracking further than the last "*": its time
// is at most len(pattern) × len(topic).
func matches(pattern, topic string) bool {
	p, t := 0, 0
	star, retry := -1, 0 // the last "*", and where in topic it is tried to end
	for t < len(topic) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == topic[t]):
			p++
			t++
		case star >= 0:
			retry++
			p, t = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
