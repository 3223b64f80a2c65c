package query

import (
	"slices"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// withhold masks what the policy of a record's topic withholds, before anything
// is made of its bytes. What was read stays in raw, for extraction, which keeps
// to the policy by itself.
func (e *Engine) withhold(c *content, h *index.Hit) {
	if c.record == nil || c.raw != nil {
		return
	}
	c.raw = c.record
	p := e.options.Policy.Of(h.Topic)
	c.limited = p.Restricts() || p.IDs.Value != policy.IDsAll
	var more policy.Paths
	if e.options.Contracts.HasSensitive() {
		var x schema.Extraction // its type by the rules of now, not by those of when it was indexed
		e.options.Extract.Extract(c.raw, &x)
		more = e.options.Contracts.Sensitive(x.EventType, x.EventVersion)
		c.limited = c.limited || len(more) > 0
	}
	c.record, c.withheld = p.Mask(c.raw, more, extract.Body)
}

// hidesValue tells whether the value cannot be shown at all; what is left says
// nothing of it, not that it was null.
func (c *content) hidesValue() bool { return slices.Contains(c.withheld, withheldValue) }

// withheldValue is the whole value, among what is withheld.
const withheldValue = "value"
