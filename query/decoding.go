package query

import (
	"encoding/json"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// hindrances say in words why a value was not decoded.
var hindrances = map[string]string{
	extract.SchemaUnknown:     "the archive has no such schema: with schemas.url set the archiver keeps those that records name, annals reindex those of older records; or the bytes only look as if they named one",
	extract.SchemaUnavailable: "the schema could not be read from the store in time: ask again",
	extract.SchemaMalformed:   "the schema itself cannot be read",
	extract.Undecodable:       "the bytes are none of the schema's",
	extract.PayloadTooLarge:   "the value is too large to be decoded for an answer",
	extract.NotJSON:           "the schema is a JSON Schema and the bytes are no JSON",
}

// decoding says what a schema makes of the value; nil if it names none, or is
// withheld whole: then its first bytes, which may be an id, are nobody's business.
func (e *Engine) decoding(c *content) *answer.Decoding {
	n, ok := e.decode.Named(c.raw)
	if !ok || c.hidesValue() {
		return nil
	}
	d := &answer.Decoding{SchemaID: n.ID.String(), Reason: c.undecoded}
	if e.options.Schemas == nil {
		d.Reason, d.Detail = extract.SchemaUnknown, "no schemas are read here"
		return d
	}
	d.Kind, d.Name = e.options.Schemas.Describe(n.ID, n.Indexes, n.Body)
	switch {
	case c.decoded:
		d.Document, d.Withheld = c.document, c.hidden
	case d.Reason != "" || !n.Framed:
	case json.Valid(n.Body):
		d.Document, d.Withheld = extract.Body(c.document), c.hidden
	default:
		d.Reason = extract.NotJSON
	}
	switch {
	case d.Reason != "":
		d.Detail = hindrances[d.Reason]
	case d.Document == nil:
		d.Detail = "the value is JSON as it stands"
	default:
		d.Detail = "decoded by the schema that the record names"
	}
	return d
}
