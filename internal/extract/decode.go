package extract

import (
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/fx-risk-ai/annals/schema"
)

// SchemaID names a schema of a registry: by number, or, where GUID is not zero,
// by that.
type SchemaID struct {
	Number int32
	GUID   [16]byte
}

// String is the id as people, and the archive's keys, write it: the number, or the
// GUID with its dashes.
func (id SchemaID) String() string {
	if id.GUID == [16]byte{} {
		return strconv.FormatInt(int64(id.Number), 10)
	}
	text := hex.EncodeToString(id.GUID[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// Named is how a payload names its schema.
type Named struct {
	ID      SchemaID
	Framed  bool   // the id stands before the value, not in a header
	Indexes []byte // as of Decoder.Decode
	Body    []byte // the value without a frame
}

// Decoder reads payloads by the schema that they name. registry.Decoder is one.
type Decoder interface {
	// Decode gives the payload as JSON text, or nil where it is JSON text as it
	// is. indexes says which of a Protobuf schema's messages it is, where a
	// header said so; otherwise body begins with that. What hinders it is named
	// by one of the codes of errors.go. It keeps nothing of its arguments, may be
	// called from many goroutines, and waits for a registry only so long, and so
	// seldom, that archiving does not fall behind.
	Decode(id SchemaID, indexes, body []byte) (text []byte, code string)
}

// named gives what names the schema of a record's payload, whatever its topic's
// policy withholds.
func (rules *Rules) named(rec *schema.Record) *reading {
	r := &reading{into: &schema.Extraction{}}
	rules.readHeaders(r, rec, nil, rules.policy.Of(""))
	if !r.unframed {
		r.into.SchemaID, r.into.HasSchemaID = frameID(rec.Value)
	}
	return r
}

// Document gives a record's payload as JSON text, decoded if it names a schema, from
// whatever its topic's policy withholds; nil where the value is null. code is one of
// errors.go that names what hinders it. That the text is JSON is not looked at
// where it was not decoded. For a payload that is looked at as it stands where no
// schema makes another of it, see Decoded.
func (rules *Rules) Document(rec *schema.Record) (text []byte, code string) {
	if rec.Value == nil {
		return nil, ""
	}
	return rules.payload(rules.named(rec), rec.Value)
}

// Decoded gives what a schema makes of a record's payload, whatever its topic's
// policy withholds: nil where the payload names none or is JSON text itself, or,
// with a code of errors.go, where it cannot be read by it.
func (rules *Rules) Decoded(rec *schema.Record) (text []byte, code string) {
	n, ok := rules.Named(rec)
	switch {
	case !ok || rules.decoder == nil:
		return nil, ""
	case len(n.Body) > MaxPayloadBytes:
		return nil, PayloadTooLarge
	}
	return rules.decoder.Decode(n.ID, n.Indexes, n.Body)
}

// Named tells which schema a record's payload names, whatever its topic's policy
// withholds; false if it names none.
func (rules *Rules) Named(rec *schema.Record) (n Named, ok bool) {
	if rec.Value == nil || rec.Status == schema.Control {
		return n, false
	}
	r := rules.named(rec)
	n = Named{ID: SchemaID{Number: r.into.SchemaID, GUID: r.guid}, Indexes: r.indexes, Body: rec.Value}
	if !r.unframed && r.into.HasSchemaID {
		n.Framed, n.Body = true, rec.Value[frameBytes:]
	}
	return n, r.unframed || n.Framed
}

// payload gives the payload as JSON text, or what hinders it: one of the codes.
func (rules *Rules) payload(r *reading, value []byte) (text []byte, code string) {
	body := value
	if !r.unframed {
		body = Body(value)
	}
	switch {
	case len(body) > MaxPayloadBytes:
		return nil, PayloadTooLarge
	case r.decoded != nil:
		return r.decoded, ""
	case rules.decoder == nil || !r.into.HasSchemaID && !r.unframed:
		return body, ""
	}
	for _, code := range []string{SchemaUnavailable, SchemaUnknown, SchemaMalformed} {
		if slices.Contains(r.into.Errors, code) {
			return nil, code
		}
	}
	text, code = rules.decoder.Decode(SchemaID{Number: r.into.SchemaID, GUID: r.guid}, r.indexes, body)
	if code == "" && text == nil {
		return body, ""
	}
	return text, code
}

// decode reads a payload whose schema is known. It is decoded even where the
// headers say everything: so that its schema is archived, and that it is known
// if it cannot be.
func (r *reading) decode(decoder Decoder, value []byte, o *override) {
	body := value
	if !r.unframed {
		body = value[frameBytes:]
	}
	if value == nil {
		return // a tombstone
	}
	if len(body) > MaxPayloadBytes {
		addError(r.into, PayloadTooLarge)
		return
	}
	text, code := decoder.Decode(SchemaID{Number: r.into.SchemaID, GUID: r.guid}, r.indexes, body)
	if code == "" && text != nil {
		r.decoded = text
	} else if code == "" {
		r.decoded = body
	}
	wanted := !r.complete() || o != nil && len(o.pointers) > 0
	switch {
	case code != "":
		addError(r.into, code)
		if wanted {
			r.readPayload(value, o)
		}
	case text != nil && wanted:
		r.saysJSON = true
		r.readText(text, o)
	case text == nil && wanted:
		r.saysJSON = true
		r.readText(body, o)
	case text == nil:
		s := scanner{data: body}
		if !s.skip() || !s.end() {
			addError(r.into, NotJSON)
		}
	}
}
