package extract

import (
	"slices"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// hold holds the record to the contract of its type. What that calls sensitive
// must not be read: which type it is was known only now, so where there is some
// the record is read once more, without it.
func (rules *Rules) hold(r *reading, rec *schema.Record, o *override, p *policy.Topic) {
	into := r.into
	if paths := rules.sensitive(into, rec, p); len(paths) > 0 && p.IDs.Value == policy.IDsAll {
		r.reset()
		into.Reset()
		r.into = into
		rules.read(r, rec, o, p, paths)
	}
	e := contract.Event{Record: rec, Extraction: into, Tombstone: rec.Value == nil}
	if !e.Tombstone && rules.contracts.Wants(into) {
		e.Payload, e.Unread = rules.payload(r, rec.Value)
	}
	for _, rule := range rules.contracts.Check(e) {
		addError(into, rule)
	}
}

// sensitive are the places of what the contract of a record's type calls so. Its
// type may be among what the policy withholds.
func (rules *Rules) sensitive(into *schema.Extraction, rec *schema.Record, p *policy.Topic) policy.Paths {
	kind, version := into.EventType, into.EventVersion
	if p.Restricts() && rules.contracts.HasSensitive() {
		kind, version, _ = rules.Kind(rec)
	}
	return rules.contracts.Sensitive(kind, version)
}

// payload gives the payload as JSON text; unread where it is not known what it
// would be.
func (rules *Rules) payload(r *reading, value []byte) (text []byte, unread bool) {
	body := value
	if !r.unframed {
		body = Body(value)
	}
	switch {
	case len(body) > MaxPayloadBytes:
		return nil, true
	case r.decoded != nil:
		return r.decoded, false
	case rules.decoder == nil || !r.into.HasSchemaID && !r.unframed:
		return body, false
	case slices.ContainsFunc(r.into.Errors, func(code string) bool {
		return code == SchemaUnavailable || code == SchemaUnknown || code == SchemaMalformed
	}):
		return nil, true
	}
	text, code := rules.decoder.Decode(SchemaID{Number: r.into.SchemaID, GUID: r.guid}, r.indexes, body)
	switch {
	case code == SchemaUnavailable, code == SchemaUnknown, code == SchemaMalformed:
		return nil, true
	case code == "" && text == nil:
		return body, false
	}
	return text, false
}

// Payload gives a record's payload as JSON text as contracts are held to it;
// unread where it is not known what it would be.
func (rules *Rules) Payload(rec *schema.Record) (text []byte, unread bool) {
	var x schema.Extraction
	r := &reading{into: &x}
	rules.readHeaders(r, rec, nil, rules.policy.Of(""))
	if !r.unframed {
		x.SchemaID, x.HasSchemaID = frameID(rec.Value)
	}
	return rules.payload(r, rec.Value)
}
