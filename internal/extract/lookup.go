package extract

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// NormalizeID gives the spellings under which an id that somebody typed or
// pasted may be kept, the most literal first, at most ten: as it is, without
// white space and quotes around, hex in lower case, a UUID with and without
// dashes, 64 bits padded to 128, a decimal number as hex, base64 as hex, and
// the two ids inside a traceparent. It gives none for text that is empty,
// longer than MaxIDBytes or not printable, since no id is kept so.
func NormalizeID(text string) []string {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" || len(trimmed) > MaxIDBytes || !printable([]byte(trimmed)) {
		return nil
	}
	ids := make([]string, 0, 8)
	add := func(id string) {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(text) <= MaxIDBytes && printable([]byte(text)) {
		add(text)
	}
	add(trimmed)
	trimmed = strings.TrimSpace(strings.Trim(trimmed, `"'`))
	add(trimmed)
	bare := strings.TrimPrefix(strings.ToLower(trimmed), "urn:uuid:")
	bare = strings.TrimSuffix(strings.TrimPrefix(bare, "{"), "}")
	switch raw := []byte(bare); {
	case isUUID(raw):
		add(bare)
		add(traceText(raw))
	case len(bare) == 32 && isHex(raw):
		add(bare)
		if decoded, err := hex.DecodeString(bare); err == nil {
			add(uuidText(decoded))
		}
	case len(bare) == 16 && isHex(raw):
		add(bare)
		add(traceText(raw))
	}
	if trace, span, ok := parseTraceparent([]byte(bare)); ok {
		add(string(trace))
		add(string(span))
	}
	for _, id := range reencoded(trimmed) {
		add(id)
	}
	return ids
}

// Spellings gives what NormalizeID gives and every other way in which a producer
// may have written the same 64 or 128 bits, since ids other than a trace's and a
// span's are kept as they were sent: hex and UUID in either case, decimal,
// base64 of either alphabet, padded or not. It says, too, what the text was read
// as, "text" if as nothing but itself. At most 24 spellings.
func Spellings(text string) (ids []string, forms []string) {
	if ids = NormalizeID(text); ids == nil {
		return nil, nil
	}
	add := func(id string) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	bare := strings.TrimSpace(strings.Trim(strings.TrimSpace(text), `"'`))
	for _, n := range numbersIn(bare) {
		forms = append(forms, n.form)
		lower := hex.EncodeToString(n.raw)
		add(lower)
		add(strings.ToUpper(lower))
		if len(n.raw) == 16 {
			add(uuidText(n.raw))
			add(strings.ToUpper(uuidText(n.raw)))
		} else {
			add(strconv.FormatUint(binary.BigEndian.Uint64(n.raw), 10))
		}
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			add(e.EncodeToString(n.raw))
		}
	}
	if _, _, ok := parseTraceparent([]byte(strings.ToLower(bare))); ok {
		forms = append(forms, "traceparent")
	}
	if _, err := schema.ParseCoordinates(bare); err == nil {
		forms = append(forms, "topic/partition/offset")
	}
	if len(forms) == 0 {
		forms = append(forms, "text")
	}
	return ids, forms
}

// number is 8 or 16 bytes that a text may stand for.
type number struct {
	raw  []byte
	form string
}

// numbersIn gives the numbers that a text may stand for: digits can be a
// decimal number and hex.
func numbersIn(text string) (list []number) {
	bare := strings.TrimPrefix(strings.ToLower(text), "urn:uuid:")
	bare = strings.TrimSuffix(strings.TrimPrefix(bare, "{"), "}")
	form := ""
	switch {
	case isUUID([]byte(bare)):
		form, bare = "UUID", strings.ReplaceAll(bare, "-", "")
	case len(bare) == 32:
		form = "128 bits in hex"
	case len(bare) == 16:
		form = "64 bits in hex"
	}
	if raw, err := hex.DecodeString(bare); form != "" && err == nil {
		list = append(list, number{raw, form})
		if len(raw) == 16 && binary.BigEndian.Uint64(raw) == 0 { // 64 bits, padded as traces are
			list = append(list, number{raw[8:], "64 bits in hex, padded"})
		}
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
		list = append(list, number{binary.BigEndian.AppendUint64(nil, n), "64 bits in decimal"})
	}
	unpadded := strings.TrimRight(text, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := e.Strict().DecodeString(unpadded); err == nil && (len(raw) == 8 || len(raw) == 16) {
			list = append(list, number{raw, "base64 of " + strconv.Itoa(8*len(raw)) + " bits"})
			break
		}
	}
	return list
}

// reencoded gives the hex forms of an id written as a decimal number or base64.
func reencoded(text string) []string {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
		var digits [16]byte
		span := string(hex.AppendEncode(digits[:0], []byte{
			byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n),
		}))
		return []string{span, traceText([]byte(span))}
	}
	unpadded := strings.TrimRight(text, "=")
	if n := len(unpadded); n != 11 && n != 22 { // 8 and 16 bytes
		return nil
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		raw, err := encoding.DecodeString(unpadded)
		if err != nil {
			continue
		}
		id := hex.EncodeToString(raw)
		if len(raw) == 8 {
			return []string{id, traceText([]byte(id))}
		}
		return []string{id, uuidText(raw)}
	}
	return nil
}
