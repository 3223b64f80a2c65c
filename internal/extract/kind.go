package extract

import (
	"slices"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Kind gives a record's event type and version, from whatever the topic's policy
// or a contract withholds, too: what is sensitive in events of a type is so where
// their type may not be read for the index. It serves to decide what is withheld,
// and is not to be shown. known is false where the payload, in which the type may
// stand, is one that could not be read.
func (rules *Rules) Kind(rec *schema.Record) (eventType, version string, known bool) {
	if rec.Status == schema.Control {
		return "", "", true
	}
	var x schema.Extraction
	r, ok := rules.readings.Get().(*reading)
	if !ok {
		r = new(reading)
	}
	defer func() {
		r.reset()
		rules.readings.Put(r)
	}()
	r.into = &x
	var open *policy.Rules
	rules.read(r, rec, rules.overrideOf(rec.Topic), open.Of(rec.Topic), nil)
	return x.EventType, x.EventVersion, x.EventType != "" || rec.Value == nil || !r.unread(rec.Value)
}

// unread tells whether there is a payload in which ids were looked for and could
// not be: too large, damaged, or of a schema by which it was not read.
func (r *reading) unread(value []byte) bool {
	if (r.into.HasSchemaID || r.unframed) && r.decoded == nil {
		body := value
		if !r.unframed {
			body = Body(value)
		}
		if !looksLikeObject(body) {
			return true
		}
	}
	return slices.ContainsFunc(r.into.Errors, func(code string) bool {
		switch code {
		case NotJSON, PayloadTooLarge, PayloadTooDeep, Undecodable:
			return true
		}
		return false
	})
}
