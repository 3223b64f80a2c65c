package extract

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
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
