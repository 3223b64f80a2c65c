package extract

import (
	"encoding/binary"

	"github.com/fx-risk-ai/annals/internal/policy"
)

// rankStep separates the places a value can come from: headers first, then the
// payload's root, then its envelope objects.
const rankStep = 16

// finding is a value in the payload that plays a role.
type finding struct {
	means  meaning
	value  []byte
	common bool // counts only if the root is a CloudEvent
	root   bool
}

// collector gathers findings in one pass over a payload. They count only once
// the whole of it has proved to be JSON.
type collector struct {
	s          scanner
	found      []finding
	cloudEvent bool // the root has specversion
	typed      bool // the root has an event type
}

// A payload with more findings than any bound keeps has no more to say.
const maxFindings = 4 * MaxCauses

func (r *reading) readPayload(value []byte, o *override) {
	body := value
	if !r.unframed {
		body = Body(value)
	}
	if len(body) == 0 || !r.saysJSON && !looksLikeObject(body) {
		return
	}
	r.readText(body, o)
}

// readText reads what is JSON, or says so.
func (r *reading) readText(body []byte, o *override) {
	if len(body) > MaxPayloadBytes {
		addError(r.into, PayloadTooLarge)
		return
	}
	if len(r.paths) > 0 {
		masked, ok := policy.MaskJSON(body, r.paths, policy.Absent)
		if !ok {
			addError(r.into, NotJSON)
			return
		}
		if len(masked) > MaxPayloadBytes {
			addError(r.into, PayloadTooLarge)
			return
		}
		body = masked
	}
	c := collector{s: scanner{data: body}, found: r.found, cloudEvent: r.structured}
	ok := c.document() && c.s.end()
	r.found = c.found
	if !ok {
		if c.s.tooDeep {
			addError(r.into, PayloadTooDeep)
		} else {
			addError(r.into, NotJSON)
		}
		return
	}
	r.adopt(&c)
	if o != nil {
		o.readPayload(r, body)
	}
}

// looksLikeObject tells an opening brace that a name or the end follows: text
// of other kinds and binary data seldom begin so. No more is looked at than would
// be read, lest 100 MB of white space be.
func looksLikeObject(body []byte) bool {
	s := scanner{data: body[:min(len(body), MaxPayloadBytes)]}
	if !s.next('{') {
		return false
	}
	c := s.peek()
	return c == '"' || c == '}' || c == 0
}

// document reads the whole text: an object for its members, anything else just
// to see whether it is JSON.
func (c *collector) document() bool {
	if c.s.peek() != '{' {
		return c.s.skip()
	}
	return c.members(inRoot, 1)
}

// members reads an object's members; place ranks the root before the envelopes.
func (c *collector) members(in scope, place uint8) bool {
	s := &c.s
	s.pos++
	if !s.enter() {
		return false
	}
	envelopes := place
	for more := !s.next('}'); more; more = !s.next('}') {
		raw, escaped, ok := s.key()
		if !ok {
			return false
		}
		if escaped {
			raw = unescaped(raw)
		}
		m, known := meaningOf(raw, inRoot|inEnvelope)
		switch {
		case known && m.field == nested && in == inRoot && s.peek() == '{':
			envelopes++
			ok = c.members(inEnvelope, min(envelopes, 8))
		case known:
			ok = c.member(m, in, place)
		default:
			ok = s.skip()
		}
		if !ok || !s.separated('}') {
			return false
		}
	}
	s.depth--
	return true
}

// member reads the value of a name that plays a role.
func (c *collector) member(m meaning, in scope, place uint8) bool {
	s := &c.s
	if in == inRoot {
		c.cloudEvent = c.cloudEvent || m.field == specVersion && s.peek() == '"'
		c.typed = c.typed || m.field == eventType && m.scope&inRoot != 0
	}
	f := finding{means: m, root: in == inRoot, common: in == inRoot && m.scope&inRoot == 0}
	f.means.rank += place * rankStep
	many := m.field == causation || m.field == causationList || m.field == correlation
	switch {
	case in == inEnvelope && m.scope&inEnvelope == 0:
		return s.skip()
	case s.isScalar():
		value, ok := s.scalar()
		f.value = value
		c.keep(f)
		return ok
	case many && s.peek() == '[':
		if f.means.field == causationList {
			f.means.field = causation
		}
		return s.elements(func(value []byte) {
			f.value = value
			c.keep(f)
		})
	}
	return s.skip()
}

func (c *collector) keep(f finding) {
	if len(c.found) < maxFindings {
		c.found = append(c.found, f)
	}
}

// adopt takes over what the payload says.
func (r *reading) adopt(c *collector) {
	for i := range c.found {
		f := &c.found[i]
		switch {
		case f.common && !c.cloudEvent:
			continue
		case f.root && f.means.field == eventStage && !c.typed && !c.cloudEvent:
			continue
		case f.root && f.means.field == traceparent && c.cloudEvent:
			f.means.field = originTraceparent
		}
		r.take(f.means, f.value)
	}
}

// The frame of a schema registry's serialisers: a zero byte and the schema's id
// in four big-endian bytes.
const frameBytes = 5

// frameID reads the schema id before a value. A zero byte before JSON text is
// no frame.
func frameID(value []byte) (int32, bool) {
	if len(value) < frameBytes || value[0] != 0 {
		return 0, false
	}
	id := int32(binary.BigEndian.Uint32(value[1:]))
	if id <= 0 || looksLikeObject(value[1:]) {
		return 0, false
	}
	return id, true
}

// Body gives a record's value without the frame of a schema registry's
// serialisers, if it has one.
func Body(value []byte) []byte {
	if _, framed := frameID(value); framed {
		return value[frameBytes:]
	}
	return value
}

// maxIndexes bounds the message indexes behind a schema id.
const maxIndexes = 256

// takeSchemaID reads the header form: a zero byte and the id, or a one byte and
// the 16 bytes of a GUID, which the extraction has no place for: it stays in
// the record's header. Protobuf's message indexes may follow.
func (r *reading) takeSchemaID(value []byte) {
	const guidBytes = 17
	id, numbered := frameID(value)
	switch {
	case numbered && len(value) <= frameBytes+maxIndexes:
		r.into.SchemaID, r.into.HasSchemaID = id, true
		r.guid, r.indexes = [16]byte{}, value[frameBytes:]
	case len(value) >= guidBytes && len(value) <= guidBytes+maxIndexes && value[0] == 1:
		r.into.SchemaID, r.into.HasSchemaID = 0, false
		r.guid, r.indexes = [16]byte(value[1:guidBytes]), value[guidBytes:]
	default:
		addError(r.into, SchemaIDMalformed)
		return
	}
	r.unframed = true
}
