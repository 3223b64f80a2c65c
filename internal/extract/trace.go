package extract

import (
	"bytes"
	"encoding/hex"

	"github.com/fx-risk-ai/annals/schema"
)

// hop is what one header, or one dialect, says of the place in a trace. Either
// id may be nil. Both are raw spellings, checked but not yet normalised.
type hop struct {
	trace, span []byte
	rank        uint8
	origin      bool // the span is where the trace began, not this record's
}

func (r *reading) takeTrace(m meaning, value []byte) {
	value = bytes.TrimSpace(unquoted(value))
	switch m.field {
	case traceID:
		if checkTrace(value) {
			r.axonTraced = r.axonTraced || m.rank == axonRank
			r.addHop(hop{trace: value, rank: m.rank})
			return
		}
		r.refuse(m.field, value)
	case spanID:
		if checkSpan(value) {
			r.addHop(hop{span: value, rank: m.rank})
			return
		}
		r.refuse(m.field, value)
	case parentSpan:
		r.takeParentSpan(m.field, value)
	case traceparent, originTraceparent:
		trace, span, ok := parseTraceparent(value)
		if !ok {
			addError(r.into, fieldSubjects[m.field]+malformed)
			return
		}
		r.addHop(hop{trace: trace, span: span, rank: m.rank, origin: m.field == originTraceparent})
	case b3:
		r.takeB3(m, value)
	case jaeger:
		r.takeJaeger(m, value)
	case datadogTrace, datadogSpan, datadogTags:
		r.takeDatadog(m, value)
	case amazonTrace:
		r.takeAmazon(m, value)
	case skyWalking:
		r.takeSkyWalking(m, value)
	default:
		r.takeB3Multi(m, value)
	}
}

func (r *reading) addHop(h hop) {
	if len(r.hops) >= MaxIdentifiers {
		addError(r.into, IdentifiersCut)
		return
	}
	r.hops = append(r.hops, h)
}

// refuse notes why a trace or span id is none; white space says nothing.
func (r *reading) refuse(f field, value []byte) {
	if len(value) > MaxIDBytes {
		addError(r.into, fieldSubjects[f]+tooLong)
	} else if len(value) > 0 {
		addError(r.into, fieldSubjects[f]+malformed)
	}
}

func (r *reading) takeParentSpan(f field, value []byte) {
	switch {
	case !checkSpan(value):
		r.refuse(f, value)
	case len(r.parents) >= MaxCauses:
		addError(r.into, CausesTruncated)
	default:
		r.parents = append(r.parents, value)
	}
}

// takeB3 reads {trace}-{span}[-{sampled}[-{parent}]]. A sampling state alone
// ("0", "1", "d") names nothing.
func (r *reading) takeB3(m meaning, value []byte) {
	if len(value) == 1 {
		return
	}
	trace, rest, _ := bytes.Cut(value, []byte{'-'})
	span, rest, more := bytes.Cut(rest, []byte{'-'})
	if !isHexID(trace, 16) && !isHexID(trace, 32) || !isHexID(span, 16) {
		addError(r.into, fieldSubjects[b3]+malformed)
		return
	}
	r.addHop(hop{trace: trace, span: span, rank: m.rank})
	if _, parent, ok := bytes.Cut(rest, []byte{'-'}); more && ok {
		r.takeB3Parent(b3, parent)
	}
}

// takeB3Parent holds the parent to the form that B3 gives all its ids.
func (r *reading) takeB3Parent(f field, value []byte) {
	if !isHexID(value, 16) {
		r.refuse(f, value)
		return
	}
	r.takeParentSpan(f, value)
}

// takeB3Multi gathers the three headers; a repeated one makes the earlier the
// parent's, as with traceparent.
func (r *reading) takeB3Multi(m meaning, value []byte) {
	r.b3.rank = m.rank
	switch {
	case m.field == b3Parent:
		r.takeB3Parent(b3Parent, value)
	case m.field == b3Trace && (isHexID(value, 16) || isHexID(value, 32)):
		if r.b3.trace != nil {
			r.addHop(hop{trace: r.b3.trace, rank: m.rank})
		}
		r.b3.trace = value
	case m.field == b3Span && isHexID(value, 16):
		if r.b3.span != nil {
			r.addHop(hop{span: r.b3.span, rank: m.rank})
		}
		r.b3.span = value
	default:
		r.refuse(m.field, value)
	}
}

func (r *reading) hasTrace() bool {
	if r.b3.trace != nil || r.datadog.trace != 0 {
		return true
	}
	for i := range r.hops {
		if r.hops[i].trace != nil {
			return true
		}
	}
	return false
}

// finishTrace picks the record's own trace and span, the best ranked and last,
// and keeps the others: of the same rank they are the parent's (a forwarded
// header), of another rank they are another name of this record.
func (r *reading) finishTrace() {
	if r.b3.trace != nil || r.b3.span != nil {
		r.addHop(r.b3)
	}
	if r.datadog.seen {
		r.finishDatadog()
	}
	ownTrace, ownSpan := -1, -1
	for i := range r.hops {
		h := &r.hops[i]
		if h.trace != nil && (ownTrace < 0 || h.rank <= r.hops[ownTrace].rank) {
			ownTrace = i
		}
		if h.span != nil && !h.origin && (ownSpan < 0 || h.rank <= r.hops[ownSpan].rank) {
			ownSpan = i
		}
	}
	if ownTrace >= 0 {
		r.into.TraceID = traceText(r.hops[ownTrace].trace)
	}
	if ownSpan >= 0 {
		r.into.SpanID, _ = spanText(r.hops[ownSpan].span)
		r.identify(schema.IDSpan, r.into.SpanID)
	}
	for i := range r.hops {
		h := &r.hops[i]
		if i != ownTrace && h.trace != nil {
			kind := schema.IDAlias
			if h.rank == r.hops[ownTrace].rank {
				kind = schema.RefTrace
			}
			r.identify(kind, traceText(h.trace))
		}
		if i != ownSpan && h.span != nil {
			kind := schema.IDSpan
			if h.origin || h.rank == r.hops[ownSpan].rank {
				kind = schema.RefSpan
			}
			if span, ok := spanText(h.span); ok {
				r.identify(kind, span)
			}
		}
	}
}

// parseTraceparent reads version-trace-parent-flags of W3C Trace Context.
// Versions after 00 may go on after another dash. Upper case is read, too.
func parseTraceparent(value []byte) (trace, span []byte, ok bool) {
	const length = 55
	if len(value) < length || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return nil, nil, false
	}
	version, flags := value[:2], value[53:55]
	trace, span = value[3:35], value[36:52]
	if !isHex(version) || string(version) == "ff" || string(version) == "FF" || !isHex(flags) ||
		!isHexID(trace, 32) || !isHexID(span, 16) {
		return nil, nil, false
	}
	if len(value) > length && (string(version) == "00" || value[length] != '-') {
		return nil, nil, false
	}
	return trace, span, true
}

// checkTrace tells that a trace id can be kept: hex, a UUID, or any printable
// text; not zero.
func checkTrace(value []byte) bool {
	return len(value) > 0 && len(value) <= MaxIDBytes && printable(value) && !isZeroID(value)
}

func checkSpan(value []byte) bool { return checkTrace(value) }

// traceText normalises a trace id: 32 lower-case hex digits where it is 16 or
// 32 of them or a UUID; any other text as it is.
func traceText(value []byte) string {
	var buffer [36]byte
	switch {
	case len(value) == 32 && isHex(value):
		return string(lower(buffer[:0], value))
	case len(value) == 16 && isHex(value):
		return string(lower(append(buffer[:0], "0000000000000000"...), value))
	case isUUID(value):
		return string(undashed(buffer[:0], value))
	}
	return string(value)
}

// spanText normalises a span id; a zero one names nothing.
func spanText(value []byte) (string, bool) {
	if isZeroID(value) {
		return "", false
	}
	var buffer [16]byte
	if len(value) == 16 && isHex(value) {
		return string(lower(buffer[:0], value)), true
	}
	return string(value), true
}

func isHex(value []byte) bool {
	for _, c := range value {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return len(value) > 0
}

// isHexID tells an id of a number of hex digits that is not zero.
func isHexID(value []byte, digits int) bool {
	return len(value) == digits && isHex(value) && !isZeroID(value)
}

// isZeroID tells the ids that tracers use for "none".
func isZeroID(value []byte) bool {
	for _, c := range value {
		if c != '0' && c != '-' {
			return false
		}
	}
	return true
}

// isUUID tells 8-4-4-4-12 hex digits.
func isUUID(value []byte) bool {
	if len(value) != 36 || value[8] != '-' || value[13] != '-' || value[18] != '-' || value[23] != '-' {
		return false
	}
	return isHex(value[:8]) && isHex(value[9:13]) && isHex(value[14:18]) && isHex(value[19:23]) && isHex(value[24:])
}

func lower(buffer, value []byte) []byte {
	for _, c := range value {
		if 'A' <= c && c <= 'F' {
			c |= 0x20
		}
		buffer = append(buffer, c)
	}
	return buffer
}

func undashed(buffer, uuid []byte) []byte {
	for _, c := range uuid {
		if c != '-' {
			buffer = lower(buffer, []byte{c})
		}
	}
	return buffer
}

// uuidText writes 16 bytes in the text form of RFC 9562.
func uuidText(value []byte) string {
	text := make([]byte, 36)
	hex.Encode(text, value[:4])
	text[8] = '-'
	hex.Encode(text[9:], value[4:6])
	text[13] = '-'
	hex.Encode(text[14:], value[6:8])
	text[18] = '-'
	hex.Encode(text[19:], value[8:10])
	text[23] = '-'
	hex.Encode(text[24:], value[10:])
	return string(text)
}
