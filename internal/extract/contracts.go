package extract

import (
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
		text, code := rules.payload(r, rec.Value)
		e.Payload, e.Unread = text, isUnread(code)
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

// Payload gives a record's payload as JSON text as contracts are held to it;
// unread where it is not known what it would be.
func (rules *Rules) Payload(rec *schema.Record) (text []byte, unread bool) {
	text, code := rules.Document(rec)
	return text, isUnread(code)
}

// isUnread tells codes after which it is not known what a payload would be; of one
// that is none of its schema's it is known that it is wrong.
func isUnread(code string) bool { return code != "" && code != Undecodable }
