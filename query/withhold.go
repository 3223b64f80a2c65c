package query

import (
	"slices"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// visible gives a record without what the policy of its topic, or the contract
// of its type, withholds, and what that is (policy.Topic.Mask); limited says that
// something may be withheld of such records, though not of this one. Whatever
// shows or compares bytes of records, or lets somebody search in them, goes
// through it: to be found by what one may not see is to see it.
func (e *Engine) visible(r *schema.Record) (shown *schema.Record, withheld []string, limited bool) {
	more, limited := e.limits(r)
	shown, withheld = e.options.Policy.Of(r.Topic).Mask(r, more, extract.Body)
	return shown, withheld, limited
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

// withhold makes a content's record visible, before anything is made of its
// bytes. What was read stays in raw, for extraction, which keeps to the policy by
// itself.
func (e *Engine) withhold(c *content) {
	if c.record == nil || c.raw != nil {
		return
	}
	c.raw = c.record
	c.record, c.withheld, c.limited = e.visible(c.raw)
}

// hidesValue tells whether the value cannot be shown at all; what is left says
// nothing of it, not that it was null.
func (c *content) hidesValue() bool { return slices.Contains(c.withheld, "value") }
