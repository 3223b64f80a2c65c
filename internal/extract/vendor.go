package extract

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strconv"
)

// axonRank is the trace id's of Axon 3 and 4, by which its correlation id is
// known to be a cause.
const axonRank = 10

// takeJaeger reads {trace}:{span}:{parent}:{flags}, hex without leading zeros,
// the colons perhaps percent-encoded. A parent of 0 is none.
func (r *reading) takeJaeger(m meaning, value []byte) {
	if len(value) > MaxIDBytes {
		r.refuse(m.field, value)
		return
	}
	if bytes.IndexByte(value, '%') >= 0 {
		value = bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("%3A"), []byte{':'}), []byte("%3a"), []byte{':'})
	}
	trace, rest, ok1 := bytes.Cut(value, []byte{':'})
	span, rest, ok2 := bytes.Cut(rest, []byte{':'})
	parent, flags, ok3 := bytes.Cut(rest, []byte{':'})
	trace, isTrace := paddedHex(trace, 16, 32)
	span, isSpan := paddedHex(span, 16, 16)
	if !ok1 || !ok2 || !ok3 || !isTrace || !isSpan || !isHex(parent) || len(parent) > 16 || !isHex(flags) {
		addError(r.into, fieldSubjects[m.field]+malformed)
		return
	}
	r.addHop(hop{trace: trace, span: span, rank: m.rank})
	if parent, ok := paddedHex(parent, 16, 16); ok {
		r.takeParentSpan(m.field, parent)
	}
}

// paddedHex pads hex digits on the left to the least of the lengths that they
// fit into. A zero id, or one too long, is none.
func paddedHex(value []byte, lengths ...int) ([]byte, bool) {
	if !isHex(value) || isZeroID(value) {
		return nil, false
	}
	for _, n := range lengths {
		if len(value) == n {
			return value, true
		}
		if len(value) < n {
			padded := bytes.Repeat([]byte{'0'}, n)
			copy(padded[n-len(value):], value)
			return padded, true
		}
	}
	return nil, false
}

// datadogHop is what Datadog's headers say: the low half of the trace id and
// the span in decimal, the high half in hex among the tags.
type datadogHop struct {
	trace, span, high uint64
	rank              uint8
	seen              bool
}

// takeDatadog gathers the three headers; a repeated trace or span makes the
// earlier the parent's, as with traceparent.
func (r *reading) takeDatadog(m meaning, value []byte) {
	if m.field == datadogTags {
		high, ok := datadogHigh(value)
		if ok && r.datadog.high == 0 {
			r.datadog.high = high
		}
		return // other tags name nothing
	}
	n, err := strconv.ParseUint(string(value[:min(len(value), 21)]), 10, 64)
	if err != nil || n == 0 {
		r.refuse(m.field, value)
		return
	}
	d := &r.datadog
	d.seen, d.rank = true, m.rank
	switch {
	case m.field == datadogTrace:
		if d.trace != 0 {
			r.addHop(hop{trace: hexOf(0, d.trace), rank: m.rank})
		}
		d.trace = n
	default:
		if d.span != 0 {
			r.addHop(hop{span: hexOf(0, d.span), rank: m.rank})
		}
		d.span = n
	}
}

// datadogHigh finds the upper 64 bits of a 128-bit trace id among the tags:
// _dd.p.tid=640cfd8d00000000.
func datadogHigh(tags []byte) (uint64, bool) {
	const name = "_dd.p.tid="
	if len(tags) > MaxIDBytes {
		tags = tags[:MaxIDBytes] // Datadog's own bound
	}
	for tag := range bytes.SplitSeq(tags, []byte{','}) {
		if id, ok := bytes.CutPrefix(bytes.TrimSpace(tag), []byte(name)); ok && len(id) == 16 && isHex(id) {
			n, err := strconv.ParseUint(string(id), 16, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func (r *reading) finishDatadog() {
	h := hop{rank: r.datadog.rank}
	if r.datadog.trace != 0 {
		h.trace = hexOf(r.datadog.high, r.datadog.trace)
	}
	if r.datadog.span != 0 {
		h.span = hexOf(0, r.datadog.span)
	}
	r.addHop(h)
}

// hexOf writes 32 digits, or 16 where the high half is zero.
func hexOf(high, low uint64) []byte {
	var raw [16]byte
	for i := range 8 {
		raw[i], raw[8+i] = byte(high>>(56-8*i)), byte(low>>(56-8*i))
	}
	if high == 0 {
		return hex.AppendEncode(nil, raw[8:])
	}
	return hex.AppendEncode(nil, raw[:])
}

// takeAmazon reads Root=1-{8 hex}-{24 hex};Parent={16 hex};Sampled=1, its parts
// in any order. Without Root it names nothing.
func (r *reading) takeAmazon(m meaning, value []byte) {
	if len(value) > MaxIDBytes {
		r.refuse(m.field, value)
		return
	}
	h := hop{rank: m.rank}
	for part := range bytes.SplitSeq(value, []byte{';'}) {
		name, id, _ := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
		switch string(name) {
		case "Root":
			h.trace = amazonID(id)
		case "Parent":
			if isHexID(id, 16) {
				h.span = id
			}
		}
	}
	if h.trace == nil {
		addError(r.into, fieldSubjects[m.field]+malformed)
		return
	}
	r.addHop(h)
}

// amazonID gives the 32 digits of 1-5759e988-bd862e3fe1be46a994272793, which is
// how other tracers write the same id; nil where it is none.
func amazonID(id []byte) []byte {
	if len(id) != 35 || id[0] != '1' || id[1] != '-' || id[10] != '-' || !isHex(id[2:10]) || !isHex(id[11:]) {
		return nil
	}
	joined := append(append(make([]byte, 0, 32), id[2:10]...), id[11:]...)
	if isZeroID(joined) {
		return nil
	}
	return joined
}

// takeSkyWalking reads version 3 of the header: eight parts between dashes, of
// them the second the trace's id and the third the segment's, in base64, the
// fourth the number of the span in its segment.
func (r *reading) takeSkyWalking(m meaning, value []byte) {
	if len(value) > 8*MaxIDBytes {
		r.refuse(m.field, value)
		return
	}
	parts := bytes.Split(value, []byte{'-'})
	if len(parts) != 8 {
		addError(r.into, fieldSubjects[m.field]+malformed)
		return
	}
	trace, err1 := base64.StdEncoding.AppendDecode(nil, parts[1])
	segment, err2 := base64.StdEncoding.AppendDecode(nil, parts[2])
	span, err3 := strconv.ParseUint(string(parts[3]), 10, 31)
	segment = strconv.AppendUint(append(segment, '/'), span, 10)
	if err1 != nil || err2 != nil || err3 != nil || !checkTrace(trace) || !checkSpan(segment) {
		addError(r.into, fieldSubjects[m.field]+malformed)
		return
	}
	r.addHop(hop{trace: trace, span: segment, rank: m.rank})
}
