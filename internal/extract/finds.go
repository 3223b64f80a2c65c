package extract

import "github.com/fx-risk-ai/annals/internal/policy"

// FindsByKey tells whether records of a topic are in the index by their keys, those
// that are printable text of at most MaxIDBytes.
func (rules *Rules) FindsByKey(topic string) bool { return rules.policy.Of(topic).MayReadKey() }

// FindsByHeader tells whether records of a topic are in the index by the values of
// headers of a name: those that the policy has indexed, and those that bear ids.
func (rules *Rules) FindsByHeader(topic, name string) bool {
	p := rules.policy.Of(topic)
	if p.IDs.Value == policy.IDsNone || p.PersonalHeader(name) {
		return false
	}
	if p.IndexedHeader(name) {
		return true
	}
	var buffer [maxNameBytes]byte
	if o := rules.overrideOf(topic); o != nil {
		if f, ok := o.headers[string(fold(buffer[:0], name))]; ok {
			return f.isID()
		}
	}
	m, ok := meaningOf(name, inHeader)
	return ok && m.field.isID()
}

// isID tells whether a field's value is an id, or several, and nothing else: of a
// value with more in it, such as b3, the whole is not what is kept.
func (f field) isID() bool {
	switch f {
	case eventID, traceID, spanID, parentSpan, traceparent, b3Trace, b3Span, b3Parent, datadogTrace, datadogSpan, causation, correlation:
		return true
	}
	return false
}
