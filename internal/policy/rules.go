package policy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// IDs says where ids and contract fields of a topic's records may be read for
// the index.
type IDs string

// The values of IDs, from the widest.
const (
	IDsAll     IDs = "all"     // headers and payload
	IDsHeaders IDs = "headers" // headers only: the payload is not read
	IDsNone    IDs = "none"    // nothing: coordinates, times and sizes are all that is indexed
)

// Rule is one entry of the configuration's topics section. What is zero is not
// said by it.
type Rule struct {
	Pattern  string // as of Topics
	Excluded *bool
	Secret   *bool
	// Personal are locations of personal data: "key", "header:NAME", or a JSON
	// Pointer, in which the step * stands for any.
	Personal []string
	IDs      IDs
	// Key: the record's key is indexed as an id.
	Key *bool
	// Headers are names whose values are indexed as ids.
	Headers   []string
	Team      string
	Retention time.Duration
	// DeadLetters: every record of the topic is a dead letter, whatever the topic's
	// name and the record's headers say.
	DeadLetters *bool
}

// Held is a value that holds for a topic, and which entry says so: such as
// `topics[2] "payments.*"`; empty: none does, and it is what holds by default.
type Held[T any] struct {
	Value T
	By    string
}

// Topic is what holds for one topic. It does not change.
type Topic struct {
	Excluded  Held[bool]
	Secret    Held[bool]
	Personal  Held[[]string]
	IDs       Held[IDs]
	Key       Held[bool]
	Headers   Held[[]string]
	Team      Held[string]
	Retention Held[time.Duration] // 0: nothing is said. Stated, not enforced.

	DeadLetters Held[bool]

	personalKey     bool
	personalHeaders []string // folded
	indexedHeaders  []string // folded
	paths           Paths
}

// Rules are the topics section. For each property of a topic the first entry
// that matches its name and says something of the property decides. The nil
// Rules say nothing of any topic. Safe for concurrent use.
type Rules struct {
	rules []Rule
	known sync.Map // name → *Topic
	size  sync.Mutex
	count int
}

// maxKnown bounds how many topics' policies are kept.
const maxKnown = 50_000

// MaxLocations bounds the locations and the headers of one rule.
const MaxLocations = 100

// NewRules checks the entries. The error is Invalid and names the field at
// fault.
func NewRules(list []Rule) (*Rules, error) {
	if len(list) > MaxPatterns {
		return nil, schema.InvalidField("topics", "topic policies: %d, at most %d", len(list), MaxPatterns)
	}
	for i := range list {
		if err := list[i].check(); err != nil {
			return nil, err
		}
	}
	return &Rules{rules: slices.Clone(list)}, nil
}

func (r *Rule) check() error {
	if _, err := Topics(r.Pattern); err != nil {
		return schema.InvalidField("pattern", "%w", err)
	}
	if len(r.Personal) > MaxLocations || len(r.Headers) > MaxLocations {
		return schema.InvalidField("personal_data", "more than %d locations or headers", MaxLocations)
	}
	for _, at := range r.Personal {
		if _, _, _, err := parseLocation(at); err != nil {
			return schema.InvalidField("personal_data", "%w", err)
		}
	}
	for _, name := range r.Headers {
		if fold(name) == "" {
			return schema.InvalidField("index_headers", "header %q: want a name", name)
		}
	}
	if r.IDs != "" && r.IDs != IDsAll && r.IDs != IDsHeaders && r.IDs != IDsNone {
		return schema.InvalidField("index_ids", "index_ids %q: want all, headers or none", r.IDs)
	}
	if r.Retention < 0 {
		return schema.InvalidField("retention", "a retention is not below 0")
	}
	return nil
}

// parseLocation reads where personal data stands: exactly one of key, a folded
// header name and a path.
func parseLocation(at string) (key bool, header string, path Path, err error) {
	if at == "key" {
		return true, "", nil, nil
	}
	if name, ok := strings.CutPrefix(at, "header:"); ok {
		if header = fold(name); header == "" {
			return false, "", nil, schema.Errorf(schema.Invalid, "location %q: want a header's name", at)
		}
		return false, header, nil, nil
	}
	path, err = ParsePath(at)
	if err != nil {
		return false, "", nil, schema.Errorf(schema.Invalid, "location %q: want key, header:NAME or a JSON Pointer that begins with /", at)
	}
	return false, "", path, nil
}

// fold makes spellings of a header's name one, as extraction does: case, '-',
// '_' and '.' do not count.
func fold(name string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
}

// Of tells what holds for a topic.
func (rs *Rules) Of(topic string) *Topic {
	if rs == nil {
		return everything
	}
	if t, ok := rs.known.Load(topic); ok {
		return t.(*Topic)
	}
	t := rs.decide(topic)
	rs.size.Lock()
	defer rs.size.Unlock()
	if rs.count < maxKnown {
		rs.count++
		rs.known.Store(topic, t)
	}
	return t
}

// everything is what holds where nothing is said.
var everything = &Topic{IDs: Held[IDs]{Value: IDsAll}}

func (rs *Rules) decide(topic string) *Topic {
	copied := *everything
	t := &copied
	for i := range rs.rules {
		r := &rs.rules[i]
		if !matches(r.Pattern, topic) {
			continue
		}
		by := fmt.Sprintf("topics[%d] %q", i, r.Pattern)
		flag(&t.Excluded, r.Excluded, by)
		flag(&t.Secret, r.Secret, by)
		flag(&t.Key, r.Key, by)
		flag(&t.DeadLetters, r.DeadLetters, by)
		say(&t.Personal, r.Personal, len(r.Personal) > 0, by)
		say(&t.Headers, r.Headers, len(r.Headers) > 0, by)
		say(&t.IDs, r.IDs, r.IDs != "", by)
		say(&t.Team, r.Team, r.Team != "", by)
		say(&t.Retention, r.Retention, r.Retention != 0, by)
	}
	if t.Secret.Value && t.IDs.By == "" {
		t.IDs = Held[IDs]{IDsNone, t.Secret.By}
	}
	for _, name := range t.Headers.Value {
		t.indexedHeaders = append(t.indexedHeaders, fold(name))
	}
	for _, at := range t.Personal.Value {
		key, header, path, _ := parseLocation(at) // it was checked
		t.personalKey = t.personalKey || key
		if header != "" {
			t.personalHeaders = append(t.personalHeaders, header)
		}
		if path != nil {
			t.paths = append(t.paths, path)
		}
	}
	return t
}

func flag(to *Held[bool], from *bool, by string) {
	if from != nil {
		say(to, *from, true, by)
	}
}

func say[T any](to *Held[T], value T, said bool, by string) {
	if said && to.By == "" {
		*to = Held[T]{value, by}
	}
}

// MayReadKey tells whether the key may be indexed, and should.
func (t *Topic) MayReadKey() bool {
	return t.Key.Value && !t.personalKey && t.IDs.Value != IDsNone
}

// PersonalHeader tells whether a header holds personal data.
func (t *Topic) PersonalHeader(name string) bool {
	return len(t.personalHeaders) > 0 && slices.Contains(t.personalHeaders, fold(name))
}

// IndexedHeader tells whether a header's value is to be indexed as an id.
func (t *Topic) IndexedHeader(name string) bool {
	return len(t.indexedHeaders) > 0 && slices.Contains(t.indexedHeaders, fold(name))
}

// Paths are the places of personal data in payloads.
func (t *Topic) Paths() Paths { return t.paths }

// HidesKey tells whether keys are withheld.
func (t *Topic) HidesKey() bool { return t.Secret.Value || t.personalKey }

// Restricts tells whether anything of the topic's records is withheld.
func (t *Topic) Restricts() bool {
	return t.HidesKey() || len(t.personalHeaders) > 0 || len(t.paths) > 0
}
