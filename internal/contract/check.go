package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Prefix is what the rules of contracts begin with, among the errors of a
// record.
const Prefix = "contract:"

// The rules that name no field. Those that do are Prefix, a word and a JSON
// Pointer: "contract:required:/amount", and the keywords of JSON Schema.
const (
	UnknownType    = Prefix + "type_not_registered" // on a topic that contracts name
	UnknownVersion = Prefix + "version_not_registered"
	WrongTopic     = Prefix + "topic"
	WrongProducer  = Prefix + "producer"
	Late           = Prefix + "late"        // later than the SLA's max_delay
	NotJSON        = Prefix + "not_json"    // the payload cannot be held to the schema
	NotReadable    = Prefix + "not_checked" // too large, too deep, with numbers beyond bounds, or of a schema that is not known
	MoreViolations = Prefix + "more"        // than MaxViolations
)

// MaxViolations bounds the rules that are named of one event.
const MaxViolations = 20

// Event is what a contract is held to. Payload is JSON text, nil where there is
// none; Tombstone says that the record's value is null, which no schema is asked
// about; Unread that it is not known what the payload is.
type Event struct {
	Record     *schema.Record
	Extraction *schema.Extraction
	Payload    []byte
	Tombstone  bool
	Unread     bool
}

// Check names the rules that an event breaks, of the contract of its type and
// version; nil where none does, or nothing is registered that it could break.
func (r *Registry) Check(e Event) []string {
	if r == nil || len(r.list) == 0 {
		return nil
	}
	x := e.Extraction
	versions := r.byType[x.EventType]
	if len(versions) == 0 {
		if r.byTopic[e.Record.Topic] {
			return []string{UnknownType}
		}
		return nil
	}
	c := r.Find(x.EventType, x.EventVersion)
	if c == nil {
		return []string{UnknownVersion}
	}
	return c.Check(e)
}

// Wants tells whether a payload has to be read to check an event.
func (r *Registry) Wants(x *schema.Extraction) bool {
	c := r.Find(x.EventType, x.EventVersion)
	return c != nil && (c.compiled != nil || len(c.required) > 0)
}

// Check names the rules that an event breaks, whatever type and version it says
// it is.
func (c *Contract) Check(e Event) []string {
	var broken []string
	say := func(rule string) {
		switch {
		case slices.Contains(broken, rule):
		case len(broken) < MaxViolations:
			broken = append(broken, rule)
		case len(broken) == MaxViolations:
			broken = append(broken, MoreViolations)
		}
	}
	x := e.Extraction
	if len(c.Topics) > 0 && !slices.Contains(c.Topics, e.Record.Topic) {
		say(WrongTopic)
	}
	if len(c.Producers) > 0 && !slices.Contains(c.Producers, x.SourceService) {
		say(WrongProducer)
	}
	if limit := c.SLA.MaxDelay.Microseconds(); limit > 0 && x.HasEventTime && e.Record.Timestamp > x.EventTime/1000+limit/1000 {
		say(Late)
	}
	if e.Tombstone || c.compiled == nil && len(c.required) == 0 {
		return broken
	}
	document, rule := decode(e.Payload)
	if e.Unread {
		rule = NotReadable
	}
	if rule != "" {
		say(rule)
		return broken
	}
	for i, p := range c.required {
		if !has(document, p) {
			say(Prefix + "required:" + c.Required[i])
		}
	}
	if c.compiled == nil {
		return broken
	}
	var invalid *jsonschema.ValidationError
	if err := c.compiled.Validate(document); errors.As(err, &invalid) {
		c.name(invalid, say)
	} else if err != nil {
		say(NotReadable)
	}
	return broken
}

// Bounds of a payload that is held to a schema.
const (
	maxDepth    = 200
	maxDigits   = 400 // of a number, and of its exponent's value
	maxPayload  = 8 << 20
	maxExponent = 400
)

// decode reads a payload, or names the rule that it breaks by that.
func decode(text []byte) (document any, rule string) {
	if len(text) > maxPayload {
		return nil, NotReadable
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&document) != nil {
		return nil, NotJSON
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, NotJSON
	}
	if !bounded(document, 0) {
		return nil, NotReadable
	}
	return document, ""
}

// bounded tells that nothing in a document costs more than its text: exact
// arithmetic on 1e999999 does.
func bounded(document any, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch d := document.(type) {
	case json.Number:
		mantissa, exponent, _ := strings.Cut(strings.ToLower(d.String()), "e")
		if exponent != "" {
			n, err := strconv.Atoi(exponent)
			return err == nil && n <= maxExponent && n >= -maxExponent && len(mantissa) <= maxDigits
		}
		return len(mantissa) <= maxDigits
	case []any:
		for _, element := range d {
			if !bounded(element, depth+1) {
				return false
			}
		}
	case map[string]any:
		for _, member := range d {
			if !bounded(member, depth+1) {
				return false
			}
		}
	}
	return true
}

// has tells whether a document has a value at a path, null included.
func has(document any, p policy.Path) bool {
	for _, step := range p {
		switch d := document.(type) {
		case map[string]any:
			member, ok := d[step]
			if !ok {
				return false
			}
			document = member
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(d) {
				return false
			}
			document = d[i]
		default:
			return false
		}
	}
	return true
}

// name gives the rules behind a validation's error: its leaves, where they are
// not branches of a choice, of which the choice itself is named.
func (c *Contract) name(e *jsonschema.ValidationError, say func(string)) {
	keyword := "schema"
	if path := e.ErrorKind.KeywordPath(); len(path) > 0 {
		keyword = path[0]
	}
	at := c.place(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, missing := range k.Missing {
			say(Prefix + "required:" + at + "/" + escaped(missing))
		}
		return
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains:
		say(Prefix + keyword + ":" + at)
		return
	}
	if len(e.Causes) == 0 {
		say(Prefix + keyword + ":" + at)
		return
	}
	for _, cause := range e.Causes {
		c.name(cause, say)
	}
}

// PlaceOf gives the place that a rule names, step by step; nil if it names none.
func PlaceOf(rule string) []string {
	_, pointer, ok := strings.Cut(strings.TrimPrefix(rule, Prefix), ":")
	if !ok {
		return nil
	}
	p, err := policy.ParsePath(pointer)
	if err != nil {
		return []string{} // the event as a whole
	}
	return p
}

// place writes where in a document, with no word that is not the schema's.
func (c *Contract) place(steps []string) string {
	var text strings.Builder
	for _, step := range steps {
		if !c.names[step] {
			step = "*"
		}
		fmt.Fprintf(&text, "/%s", escaped(step))
	}
	return text.String()
}

func escaped(step string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(step) }
