package extract

import (
	"path"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Location says where a value stands: "header:NAME", compared as the built-in
// names are (case, '-', '_' and '.' do not count), or a JSON Pointer (RFC 6901)
// into the payload, such as "/order/trace". Empty leaves the rules as they are.
type Location string

// TopicRule changes the rules for one topic. A value found at a location given
// here wins over every other; where it holds none, the usual rules apply.
type TopicRule struct {
	Topic string // a name, or a pattern as in path.Match; the first rule that matches counts

	EventID       Location
	EventType     Location
	EventVersion  Location
	SourceService Location
	TraceID       Location
	SpanID        Location
	ParentSpanID  Location
	CausationID   Location // a string, or an array of strings
	Timestamp     Location
	Stage         Location
	BusinessIDs   []Location // kept as schema.IDCorrelation

	// Contract: the topic promises eventType, eventVersion, sourceService,
	// traceId and timestamp; what a record lacks is an error ("trace_id:missing").
	Contract bool
}

// override is a TopicRule, parsed.
type override struct {
	pattern  string
	headers  map[string]field // by folded name
	pointers []pointer
	contract bool
}

type pointer struct {
	field  field
	tokens []string
}

func (t TopicRule) parse() (*override, error) {
	if _, err := path.Match(t.Topic, ""); err != nil || t.Topic == "" {
		return nil, schema.InvalidField("topic", "read topic rule %q: want a topic's name or a pattern", t.Topic)
	}
	o := &override{pattern: t.Topic, headers: map[string]field{}, contract: t.Contract}
	type entry struct {
		name string
		f    field
		at   Location
	}
	entries := []entry{
		{"event_id", eventID, t.EventID},
		{"event_type", eventType, t.EventType},
		{"event_version", eventVersion, t.EventVersion},
		{"source_service", sourceService, t.SourceService},
		{"trace_id", traceID, t.TraceID},
		{"span_id", spanID, t.SpanID},
		{"parent_span_id", parentSpan, t.ParentSpanID},
		{"causation_id", causation, t.CausationID},
		{"timestamp", eventTime, t.Timestamp},
		{"stage", eventStage, t.Stage},
	}
	for _, at := range t.BusinessIDs {
		entries = append(entries, entry{"business_ids", correlation, at})
	}
	for _, e := range entries {
		if e.at == "" {
			continue
		}
		if err := o.add(e.f, string(e.at)); err != nil {
			return nil, schema.InvalidField(e.name, "read rule of topic %q: %w", t.Topic, err)
		}
	}
	return o, nil
}

func (o *override) add(f field, at string) error {
	if name, ok := strings.CutPrefix(at, "header:"); ok {
		var buffer [maxNameBytes]byte
		folded := string(fold(buffer[:0], name))
		if folded == "" {
			return schema.Errorf(schema.Invalid, "location %q: want a header's name of 1 to %d bytes", at, maxNameBytes)
		}
		o.headers[folded] = f
		return nil
	}
	if !strings.HasPrefix(at, "/") {
		return schema.Errorf(schema.Invalid, "location %q: want header:NAME or a JSON Pointer that begins with /", at)
	}
	tokens := strings.Split(at[1:], "/")
	if len(tokens) > MaxDepth {
		return schema.Errorf(schema.Invalid, "location %q: more than %d steps", at, MaxDepth)
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for i, token := range tokens {
		tokens[i] = unescape.Replace(token)
	}
	o.pointers = append(o.pointers, pointer{field: f, tokens: tokens})
	return nil
}

// readPayload takes what stands at the override's pointers, from valid JSON.
func (o *override) readPayload(r *reading, body []byte) {
	for _, p := range o.pointers {
		s := scanner{data: body}
		if !s.locate(p.tokens) {
			continue
		}
		means := meaning{field: p.field}
		switch {
		case s.isScalar():
			if value, ok := s.scalar(); ok {
				r.take(means, value)
			}
		case s.peek() == '[' && (p.field == causation || p.field == correlation):
			s.elements(func(value []byte) { r.take(means, value) })
		}
	}
}

// readHeader takes a header that the override gives a role.
func (o *override) readHeader(r *reading, name string, value []byte) bool {
	if len(o.headers) == 0 {
		return false
	}
	var buffer [maxNameBytes]byte
	f, ok := o.headers[string(fold(buffer[:0], name))]
	if ok {
		r.take(meaning{field: f}, value)
	}
	return ok
}

// demand notes the contract's fields that are not there.
func (o *override) demand(into *schema.Extraction) {
	for _, want := range []struct {
		f  field
		ok bool
	}{
		{eventType, into.EventType != ""},
		{eventVersion, into.EventVersion != ""},
		{sourceService, into.SourceService != ""},
		{traceID, into.TraceID != ""},
		{eventTime, into.HasEventTime},
	} {
		if !want.ok {
			addError(into, fieldSubjects[want.f]+missing)
		}
	}
}
