package web

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// maxShown is how much of a key, value or header is shown; the value endpoint
// gives everything.
const maxShown = 1 << 20

// bytesOf shows exact bytes to a person. nil is null, which is not empty. JSON
// goes out as it stands, so that numbers keep every digit.
func bytesOf(b []byte) api.Bytes {
	out := api.Bytes{Size: int64(len(b)), IsNull: b == nil}
	switch {
	case b == nil:
		out.Format = api.Null
	case len(b) == 0:
		out.Format = api.Empty
	case isDocument(b):
		out.Format = api.Json
		out.Text, out.Truncated = shownText(b)
		if !out.Truncated {
			out.Json = json.RawMessage(b)
		}
	case isText(b):
		out.Format = api.Text
		out.Text, out.Truncated = shownText(b)
	default:
		out.Format = api.Binary
		out.Truncated = len(b) > maxShown
		text := base64.StdEncoding.EncodeToString(b[:min(len(b), maxShown)])
		out.Base64 = &text
	}
	return out
}

// isDocument tells JSON objects and arrays. A bare number or word is valid
// JSON too, but as a key or header it is text.
func isDocument(b []byte) bool {
	start := bytes.TrimLeft(b, " \t\r\n")
	return len(start) > 0 && (start[0] == '{' || start[0] == '[') && utf8.Valid(b) && json.Valid(b)
}

// isText tells UTF-8 without control characters but tabs and line breaks.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	return bytes.IndexFunc(b, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
	}) < 0
}

// shownText cuts at maxShown, between characters.
func shownText(b []byte) (*string, bool) {
	truncated := len(b) > maxShown
	if truncated {
		end := maxShown
		for end > 0 && !utf8.RuneStart(b[end]) {
			end--
		}
		b = b[:end]
	}
	text := string(b)
	return &text, truncated
}

// headersOf shows headers in their order, duplicates included.
func headersOf(headers []schema.Header) []api.HeaderField {
	out := make([]api.HeaderField, len(headers))
	for i, h := range headers {
		out[i] = api.HeaderField{Name: h.Name, Value: bytesOf(h.Value), Decoded: optional(decoded(h))}
		if !utf8.ValidString(h.Name) {
			raw := base64.StdEncoding.EncodeToString([]byte(h.Name))
			out[i].Name, out[i].NameBase64 = strings.ToValidUTF8(h.Name, "\uFFFD"), &raw
		}
	}
	return out
}

// decoded gives the number in the binary headers by which Spring Kafka names
// the record that a dead letter or a retry came from, all of them big-endian.
func decoded(h schema.Header) string {
	name, known := strings.CutPrefix(h.Name, "kafka_dlt-original-")
	if !known {
		name, known = strings.CutPrefix(h.Name, "kafka_original-")
	}
	if known && (name == "partition" || name == "offset" || name == "timestamp") ||
		h.Name == "retry_topic-attempts" || strings.HasPrefix(h.Name, "retry_topic-") && strings.HasSuffix(h.Name, "timestamp") {
		switch len(h.Value) {
		case 4:
			return strconv.FormatInt(int64(int32(binary.BigEndian.Uint32(h.Value))), 10)
		case 8:
			return strconv.FormatInt(int64(binary.BigEndian.Uint64(h.Value)), 10)
		}
	}
	return ""
}
