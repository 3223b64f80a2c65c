package term

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/nearest"
	"github.com/fx-risk-ai/annals/schema"
)

// Fields are the names that a term may begin with, besides header.NAME= and
// payload/POINTER=.
var Fields = []string{"topic", "type", "version", "service", "partition", "stage", "status", "team", "violation", "id", "after", "before", "event_after", "event_before", "key", "payload"}

// Statuses are the values of status.
var Statuses = []string{"committed", "aborted", "control", "all"}

// Match is a text, or how one begins. The zero Match is none.
type Match struct {
	Text   string
	Prefix bool
}

// Search is what a text asks for. What it does not name is zero.
type Search struct {
	Topics    []Match // any of them
	Type      Match
	Service   Match
	Violation Match // of a contract or of extraction
	Team      string
	Version   string
	Partition *int32
	Stage     string // one that schema.ParseStage knows
	Status    string // one of Statuses
	ID        string
	From, To  time.Time // record times; To is exclusive
	// EventFrom and EventTo bound the time that the event itself says.
	EventFrom, EventTo time.Time
	Bytes              []Bytes // all of them, at most MaxBytesTerms

	Places map[string]int // of Fields, where the last term of each begins
}

// Refuse points at a field's term, for who has no use for it; the field is one that the
// text named.
func (s *Search) Refuse(field, format string, args ...any) *Error {
	return fault(s.Places[field], format, args...)
}

// Part is what of a record's bytes a term is about.
type Part uint8

// The parts.
const (
	Key     Part = iota + 1 // key:VALUE, the whole key
	Header                  // header.NAME=VALUE, one of that name, in any case
	Payload                 // payload:TEXT, anywhere in the value
	Pointer                 // payload/POINTER=VALUE, a place in a value that is JSON, or was decoded to it
)

// MaxBytesTerms bounds the terms that are about a record's bytes.
const MaxBytesTerms = 8

// Bytes is a term that only a record's bytes can answer.
type Bytes struct {
	At    int // where the term begins, counted from 1
	Part  Part
	Name  string // of a header; a JSON Pointer (RFC 6901)
	Value string
}

// reader is a text half read.
type reader struct {
	Search
	now time.Time
}

// Parse reads a text; ages count back from now. An error is an [*Error].
func Parse(text string, now time.Time) (Search, error) {
	words, err := scan(text)
	if err != nil {
		return Search{}, err
	}
	r := reader{Search: Search{Places: map[string]int{}}, now: now}
	for _, w := range words {
		if err := r.word(w); err != nil {
			return Search{}, err
		}
	}
	for _, times := range []struct {
		prefix   string
		from, to time.Time
	}{{"", r.From, r.To}, {"event_", r.EventFrom, r.EventTo}} {
		if after, before := times.prefix+"after", times.prefix+"before"; !times.from.IsZero() && !times.to.IsZero() && !times.from.Before(times.to) {
			return Search{}, fault(max(r.Places[after], r.Places[before]), "%s is not before %s: nothing can lie between them", after, before)
		}
	}
	return r.Search, nil
}

// word reads one term.
func (r *reader) word(w word) *Error {
	colon := slices.IndexFunc(w.chars, func(c char) bool { return !c.quoted && !inName(c.r) })
	if named, err := r.named(w); named || err != nil {
		return err
	}
	if colon < 1 || w.chars[colon].r != ':' || slices.ContainsFunc(w.chars[:colon], func(c char) bool { return c.quoted }) {
		return r.field("id", w.at, w.at, w.chars)
	}
	name := strings.ToLower(textOf(w.chars[:colon]))
	if !slices.Contains(Fields, name) {
		meant := ""
		if near := nearest.Name(name, Fields); near != "" {
			meant = " (did you mean " + near + "?)"
		}
		return fault(w.at, "there is no field %.64q%s; the fields are %s, header.NAME=, payload/POINTER=, and an id with a colon goes in quotes", name, meant, strings.Join(Fields, ", "))
	}
	valueAt := w.chars[colon].at + 1
	return r.field(name, w.at, valueAt, w.chars[colon+1:])
}

// inName tells whether a character may be part of a field's name.
func inName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '.' || r == '-'
}

// field takes one value; at is where its term begins.
func (r *reader) field(name string, at, valueAt int, value []char) *Error {
	if first, twice := r.Places[name]; twice && name != "topic" && name != "payload" {
		return fault(at, "%s was given already, at character %d", name, first)
	}
	r.Places[name] = at
	if name == "topic" {
		return r.topics(valueAt, value)
	}
	m, err := match(name, valueAt, value)
	if err != nil {
		return err
	}
	switch name {
	case "key":
		return r.bytes(Bytes{At: at, Part: Key, Value: m.Text})
	case "payload":
		return r.bytes(Bytes{At: at, Part: Payload, Value: m.Text})
	case "type":
		r.Type = m
	case "service":
		r.Service = m
	case "violation":
		r.Violation = m
	case "team":
		r.Team = m.Text
	case "version":
		r.Version = m.Text
	case "id":
		r.ID = m.Text
	case "partition":
		n, err := strconv.ParseUint(m.Text, 10, 31)
		if err != nil {
			return fault(valueAt, "partition takes a number from 0 to 2147483647")
		}
		partition := int32(n)
		r.Partition = &partition
	case "stage":
		r.Stage = strings.ToLower(m.Text)
		if _, ok := schema.ParseStage(r.Stage); !ok {
			return fault(valueAt, "stage is ingestion, enrichment, transformation, delivery, dead-letter, replay or unknown")
		}
	case "status":
		if r.Status = strings.ToLower(m.Text); !slices.Contains(Statuses, r.Status) {
			return fault(valueAt, "status is %s", strings.Join(Statuses, ", "))
		}
	case "after", "before", "event_after", "event_before":
		t, ok := moment(m.Text, r.now)
		if !ok {
			return fault(valueAt, "%s takes a day (2008-10-24), a moment (2008-10-24T14:15Z) or an age (15m, 2h, 7d)", name)
		}
		*map[string]*time.Time{"after": &r.From, "before": &r.To, "event_after": &r.EventFrom, "event_before": &r.EventTo}[name] = t
	}
	return nil
}

// topics takes names that commas part.
func (r *reader) topics(at int, value []char) *Error {
	for {
		comma := slices.IndexFunc(value, func(c char) bool { return !c.quoted && c.r == ',' })
		name := value
		if comma >= 0 {
			name = value[:comma]
		}
		m, err := match("topic", at, name)
		if err != nil {
			return err
		}
		r.Topics = append(r.Topics, m)
		if comma < 0 {
			return nil
		}
		at, value = value[comma].at+1, value[comma+1:]
	}
}

// starred are the fields whose values may end in a star.
var starred = []string{"topic", "type", "service", "violation"}

// match reads a value.
func match(name string, at int, value []char) (m Match, err *Error) {
	if star := slices.IndexFunc(value, func(c char) bool { return !c.quoted && c.r == '*' }); star >= 0 {
		switch {
		case !slices.Contains(starred, name):
			return m, fault(value[star].at, "%s takes no *; one that is meant goes in quotes", name)
		case star < len(value)-1:
			return m, fault(value[star].at, "a * stands at the end; one that is meant goes in quotes")
		case star == 0:
			return m, fault(value[star].at, "something stands before a *; leave %s out to have any", name)
		}
		m.Prefix, value = true, value[:star]
	}
	m.Text = textOf(value)
	switch {
	case m.Text == "":
		return m, fault(at, "%s needs a value", name)
	case len(m.Text) > MaxValueBytes:
		return m, fault(at, "%s takes at most %d bytes", name, MaxValueBytes)
	}
	return m, nil
}
