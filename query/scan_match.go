package query

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/term"
	"github.com/fx-risk-ai/annals/schema"
)

// matcher holds rows against a search, by their bytes and what was extracted
// from them. One goroutine has it.
type matcher struct {
	term.Search
	from, to *int64 // record times in milliseconds; to is exclusive

	eventFrom, eventTo *int64 // as of index.Filter

	statuses  []schema.Status
	spellings []string // of the id; nil: none was asked for
	stages    stages
	stage     schema.Stage
	engine    *Engine
	x         schema.Extraction
	ownsTypes bool  // the team that was asked for owns event types, wherever they are
	value     bool  // a term looks into the value
	opaque    int64 // values that a pointer could not look into
	withheld  int64 // records of which a part that was asked for is withheld
}

func newMatcher(sought term.Search, e *Engine) *matcher {
	m := &matcher{Search: sought, statuses: statusesOf(sought.Status), stages: e.stagesNow(), engine: e}
	m.ownsTypes = slices.ContainsFunc(e.options.Contracts.All(), func(c *contract.Contract) bool { return c.Team == sought.Team })
	m.value = slices.ContainsFunc(sought.Bytes, func(b term.Bytes) bool { return b.Part == term.Pointer || b.Part == term.Payload })
	m.stage, _ = schema.ParseStage(sought.Stage) // "" is unknown, which is asked first
	if sought.ID != "" {
		m.spellings, _ = extract.Spellings(sought.ID)
	}
	m.from, m.to = milliOf(sought.From), milliOf(sought.To)
	m.eventFrom, m.eventTo = microsOf(sought.EventFrom), microsOf(sought.EventTo)
	return m
}

// topic tells whether a topic was asked for.
func (m *matcher) topic(name string) bool {
	if m.Team != "" && !m.ownsTypes && m.engine.options.Policy.Of(name).Team.Value != m.Team {
		return false
	}
	return len(m.Topics) == 0 || slices.ContainsFunc(m.Topics, func(t term.Match) bool { return meets(t, name) })
}

// meets holds a text against a value; the zero Match is any.
func meets(m term.Match, text string) bool {
	if m.Prefix {
		return strings.HasPrefix(text, m.Text)
	}
	return m.Text == "" || m.Text == text
}

// overlaps tells whether record times from least to greatest can match.
func (m *matcher) overlaps(least, greatest int64) bool {
	return (m.from == nil || greatest >= *m.from) && (m.to == nil || least < *m.to)
}

// row holds one row against everything that was asked for, what costs most last,
// and gives what it extracts as; nil if it does not match. What policy withholds
// is not looked into: who may not see a payload does not learn it by guessing.
func (m *matcher) row(row *segment.Row) *schema.Extraction {
	r := &row.Record
	if !m.overlaps(r.Timestamp, r.Timestamp) || !slices.Contains(m.statuses, r.Status) {
		return nil
	}
	more, limited := m.engine.limits(r)
	x := &row.X
	if limited { // the segment has what was extracted before the policy was
		x = &m.x
		m.engine.options.Extract.Extract(r, x)
	}
	if !m.extracted(r, x) {
		return nil
	}
	shown, doc := r, r
	if limited && len(m.Bytes) > 0 {
		if m.value {
			doc, _ = m.engine.document(r)
		}
		var withheld []string
		shown, withheld = m.engine.options.Policy.Of(r.Topic).Mask(doc, more, extract.Body)
		if slices.ContainsFunc(m.Bytes, func(b term.Bytes) bool { return hides(withheld, &b) }) {
			m.withheld++
			return nil
		}
		doc = shown // of bytes that were decoded nothing else is looked into
	}
	if !m.named(shown) || m.spellings != nil && !m.bears(r) {
		return nil
	}
	if m.value {
		if doc == r {
			doc, _ = m.engine.document(r)
		}
		if !m.texts(shown, doc) || !m.pointers(doc) {
			return nil
		}
	}
	return x
}

// hides tells whether a part of a record that a term looks into is withheld.
func hides(withheld []string, b *term.Bytes) bool {
	return slices.ContainsFunc(withheld, func(what string) bool {
		name, header := strings.CutPrefix(what, "header:")
		switch b.Part {
		case term.Key:
			return what == "key"
		case term.Header:
			return header && strings.EqualFold(name, b.Name)
		case term.Pointer:
			return what == "value" || within(b.Name, what)
		default:
			return what == "value"
		}
	})
}

// within tells whether a JSON Pointer is a withheld one, in which the step * stands
// for any, or leads into or past what that names.
func within(pointer, withheld string) bool {
	hidden, err := policy.ParsePath(withheld)
	if err != nil {
		return false // a key, a header, the value
	}
	place := policy.Path{} // the whole
	if pointer != "" {
		if place, err = policy.ParsePath(pointer); err != nil {
			return true // too long to be told
		}
	}
	return policy.Paths{hidden}.Touch(place)
}

func (m *matcher) extracted(r *schema.Record, x *schema.Extraction) bool {
	switch {
	case m.Team != "" && !m.engine.owns(m.Team, r.Topic, x.EventType), !meets(m.Type, x.EventType), !meets(m.Service, x.SourceService),
		m.Violation.Text != "" && !slices.ContainsFunc(x.Errors, func(rule string) bool { return meets(m.Violation, rule) }),
		m.Version != "" && m.Version != x.EventVersion,
		!happened(x.EventTime, x.HasEventTime, m.eventFrom, m.eventTo),
		m.Search.Stage != "" && m.stages.of(r.Topic, x.EventType, x.Stage) != m.stage:
		return false
	}
	return true
}

// named looks for keys and headers that are asked for.
func (m *matcher) named(r *schema.Record) bool {
	for i := range m.Bytes {
		switch b := &m.Bytes[i]; b.Part {
		case term.Key:
			if r.Key == nil || string(r.Key) != b.Value {
				return false
			}
		case term.Header:
			if !slices.ContainsFunc(r.Headers, func(h schema.Header) bool {
				return strings.EqualFold(h.Name, b.Name) && h.Value != nil && string(h.Value) == b.Value
			}) {
				return false
			}
		}
	}
	return true
}

// texts looks for texts that are asked for, in the bytes of the value and, where
// a schema makes another document of it, in that.
func (m *matcher) texts(r, doc *schema.Record) bool {
	for i := range m.Bytes {
		if b := &m.Bytes[i]; b.Part == term.Payload && !bytes.Contains(r.Value, []byte(b.Value)) &&
			(doc == r || !bytes.Contains(doc.Value, []byte(b.Value))) {
			return false
		}
	}
	return true
}

// bears tells whether a record has or names the id, by extracting it again: a
// segment has no column for every id.
func (m *matcher) bears(r *schema.Record) bool {
	m.engine.options.Extract.Extract(r, &m.x)
	has := func(id string) bool { return id != "" && slices.Contains(m.spellings, id) }
	at := schema.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	return has(m.x.EventID) || has(m.x.TraceID) || has(m.x.SpanID) || has(at.String()) ||
		slices.ContainsFunc(m.x.Causes, func(c schema.Cause) bool { return has(c.ID) }) ||
		slices.ContainsFunc(m.x.Identifiers, func(id schema.Identifier) bool { return has(id.ID) })
}

// pointers looks into the value where a term asks for it.
func (m *matcher) pointers(r *schema.Record) bool {
	var doc any
	decoded := false
	for i := range m.Bytes {
		b := &m.Bytes[i]
		if b.Part != term.Pointer {
			continue
		}
		if !decoded {
			var format string
			var err error
			if doc, format, err = payload.Decode(r.Value); err != nil || format != payload.JSON {
				if r.Value != nil {
					m.opaque++
				}
				return false
			}
			decoded = true
		}
		at, ok := locate(doc, b.Name)
		if !ok || !isValue(at, b.Value) {
			return false
		}
	}
	return true
}

// locate follows a JSON Pointer (RFC 6901) through a document.
func locate(doc any, pointer string) (any, bool) {
	if pointer == "" {
		return doc, true
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch at := doc.(type) {
		case map[string]any:
			next, ok := at[token]
			if !ok {
				return nil, false
			}
			doc = next
		case []any:
			i, err := strconv.ParseUint(token, 10, 31)
			if err != nil || int(i) >= len(at) || len(token) > 1 && token[0] == '0' {
				return nil, false
			}
			doc = at[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// maxNumber bounds the digits of numbers that are compared by what they are.
const maxNumber = 64

// isValue compares a string with a text, and any other scalar with how it is
// written; numbers also by what they are.
func isValue(value any, text string) bool {
	switch v := value.(type) {
	case string:
		return v == text
	case bool:
		return strconv.FormatBool(v) == text
	case nil:
		return text == "null"
	case json.Number:
		if v.String() == text {
			return true
		}
		if len(v) > maxNumber || len(text) > maxNumber || strings.ContainsAny(string(v)+text, "eE/") {
			return false // a short exponent is a long number
		}
		a, ok := new(big.Rat).SetString(v.String())
		b, also := new(big.Rat).SetString(text)
		return ok && also && a.Cmp(b) == 0
	default:
		return false
	}
}
