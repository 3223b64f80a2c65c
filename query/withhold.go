package query

import (
	"slices"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// document gives a record with the value as it is compared and looked into: JSON
// text by the schema that the value names, where that can be had, else as it is.
// Where there should be one and is none, the code says why.
func (e *Engine) document(r *schema.Record) (doc *schema.Record, code string) {
	text, code := e.decode.Decoded(r)
	if text == nil {
		return r, code
	}
	own := *r
	own.Value = text
	return &own, ""
}

// limits gives what contracts withhold of a record beside its topic's policy, and
// whether something may be withheld at all.
func (e *Engine) limits(r *schema.Record) (more policy.Paths, limited bool) {
	p := e.options.Policy.Of(r.Topic)
	more = e.sensitive(r)
	return more, p.Restricts() || p.IDs.Value != policy.IDsAll || len(more) > 0
}

// sensitive are the places of what contracts call so: that of the record's type, by
// the rules of now and not by those of when it was indexed, and whether or not the
// policy lets the type be read; where the type is not known, because the payload
// cannot be read, all that may be of the topic.
func (e *Engine) sensitive(r *schema.Record) policy.Paths {
	if !e.options.Contracts.HasSensitive() {
		return nil
	}
	kind, version, known := e.options.Extract.Kind(r)
	if !known {
		return e.options.Contracts.SensitiveIn(r.Topic)
	}
	return e.options.Contracts.Sensitive(kind, version)
}

// withhold leaves in a content's record and document what the policy of its topic,
// and the contract of its type, let be seen (policy.Topic.Mask), before anything is
// made of its bytes. Whatever shows or compares bytes of records, or lets somebody
// search in them, goes through it or through matcher.row: to be found by what one
// may not see is to see it. What was read stays in raw, for extraction, which
// keeps to the policy by itself. limited says that something may be withheld of
// such records, though not of this one.
func (e *Engine) withhold(c *content) {
	if c.record == nil || c.raw != nil {
		return
	}
	c.raw = c.record
	var more policy.Paths
	more, c.limited = e.limits(c.raw)
	p := e.options.Policy.Of(c.raw.Topic)
	c.record, c.withheld = p.Mask(c.raw, more, extract.Body)
	doc, code := e.document(c.raw)
	c.document, c.hidden, c.undecoded = c.record.Value, c.withheld, code
	if doc != c.raw {
		doc, c.hidden = p.Mask(doc, more, extract.Body)
		c.document, c.decoded = doc.Value, true
	}
}

// hidesValue tells whether the document cannot be shown at all; what is left says
// nothing of it, not that it was null.
func (c *content) hidesValue() bool { return slices.Contains(c.hidden, "value") }
