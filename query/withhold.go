package query

import (
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
)

// withhold masks what the policy of a record's topic withholds, before anything
// is made of its bytes. What was read stays in raw, for extraction, which keeps
// to the policy by itself.
func (e *Engine) withhold(c *content, h *index.Hit) {
	if c.record == nil || c.raw != nil {
		return
	}
	c.raw = c.record
	c.record, c.withheld = e.options.Policy.Of(h.Topic).Mask(c.raw, nil, extract.Body)
}

// hidesValue tells whether the value cannot be shown at all; what is left says
// nothing of it, not that it was null.
func (c *content) hidesValue() bool { return slices.Contains(c.withheld, withheldValue) }

// withheldValue is the whole value, among what is withheld.
const withheldValue = "value"

// masksValue tells whether anything of the value is withheld.
func masksValue(withheld []string) bool {
	return slices.ContainsFunc(withheld, func(w string) bool { return w == withheldValue || strings.HasPrefix(w, "/") })
}
