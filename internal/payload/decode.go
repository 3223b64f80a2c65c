package payload

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// The formats that Decode tells apart.
const (
	JSON   = "json"
	Opaque = "opaque" // bytes that no decoder knows; also no bytes at all
	Null   = "null"   // a null value: a tombstone
)

// MaxBytes is the largest payload that is decoded.
const MaxBytes = 8 << 20

// Decode reads a record's value. A JSON document is made of nil, bool,
// json.Number with the number's own digits, string, []any and map[string]any.
// Bytes that are not JSON, or that a document could not give back (invalid
// UTF-8, lone surrogates), are Opaque with a nil document, which is no error.
// The error is of kind schema.Exhausted, for a payload beyond MaxBytes.
func Decode(value []byte) (doc any, format string, err error) {
	if value == nil {
		return nil, Null, nil
	}
	body := extract.Body(value)
	if !looksLikeJSON(body) {
		return nil, Opaque, nil
	}
	if len(body) > MaxBytes {
		return nil, Opaque, schema.Errorf(schema.Exhausted, "decode payload: %d bytes, at most %d", len(body), MaxBytes)
	}
	if !utf8.Valid(body) || hasLoneSurrogate(body) {
		return nil, Opaque, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&doc) != nil {
		return nil, Opaque, nil
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, Opaque, nil
	}
	return doc, JSON, nil
}

// looksLikeJSON spares binary payloads the decoder.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		return false
	}
	switch c := body[0]; c {
	case '{', '[', '"', '-', 't', 'f', 'n':
		return true
	default:
		return '0' <= c && c <= '9'
	}
}

// hasLoneSurrogate tells an escape that stands for half a character: decoders
// replace it, so that different texts would become one.
func hasLoneSurrogate(body []byte) bool {
	for {
		at := bytes.IndexByte(body, '\\')
		if at < 0 || at+1 == len(body) {
			return false
		}
		body = body[at:]
		unit, ok := escapedUnit(body)
		switch {
		case !ok:
			body = body[2:]
			continue
		case 0xdc00 <= unit && unit < 0xe000:
			return true
		case 0xd800 <= unit && unit < 0xdc00:
			body = body[6:]
			if low, ok := escapedUnit(body); !ok || low < 0xdc00 || low >= 0xe000 {
				return true
			}
		}
		body = body[6:]
	}
}

// escapedUnit reads a \uXXXX at the start of body.
func escapedUnit(body []byte) (uint64, bool) {
	if len(body) < 6 || body[0] != '\\' || body[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(body[2:6]), 16, 16)
	return unit, err == nil
}

// Canonical writes a document as JSON: members sorted by name, no white space,
// numbers with their own digits.
func Canonical(doc any) json.RawMessage { return appendCanonical(nil, doc) }

func appendCanonical(text []byte, doc any) []byte {
	switch doc := doc.(type) {
	case nil:
		return append(text, "null"...)
	case bool:
		return strconv.AppendBool(text, doc)
	case json.Number:
		return append(text, doc...)
	case string:
		return appendString(text, doc)
	case []any:
		text = append(text, '[')
		for i, element := range doc {
			if i > 0 {
				text = append(text, ',')
			}
			text = appendCanonical(text, element)
		}
		return append(text, ']')
	case map[string]any:
		text = append(text, '{')
		for i, name := range sortedNames(doc) {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(appendString(text, name), ':')
			text = appendCanonical(text, doc[name])
		}
		return append(text, '}')
	}
	return text
}

func sortedNames(object map[string]any) []string {
	return slices.Sorted(maps.Keys(object))
}

// appendString escapes only what RFC 8259 demands.
func appendString(text []byte, s string) []byte {
	const digits = "0123456789abcdef"
	text = append(text, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			text = append(text, '\\', c)
		case c == '\n':
			text = append(text, '\\', 'n')
		case c == '\r':
			text = append(text, '\\', 'r')
		case c == '\t':
			text = append(text, '\\', 't')
		case c < 0x20:
			text = append(text, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			text = append(text, c)
		}
	}
	return append(text, '"')
}
