package query

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of what is looked at as an id in a payload.
const (
	maxBusinessIDs     = 64
	maxBusinessIDBytes = 128
	minBusinessID      = 3
	maxScannedValue    = 256 << 10
)

// businessIDs gives what looks like ids in a record: its key, and those texts
// and whole numbers of a JSON value that have a digit and no space; names of
// members are none. Whether they are ids nobody knows: what they lead to is a
// guess.
func businessIDs(r *schema.Record) map[string]bool {
	ids := map[string]bool{}
	if n := len(r.Key); n > 0 && n <= maxBusinessIDBytes && utf8.Valid(r.Key) {
		ids[string(r.Key)] = true
	}
	value := bytes.TrimSpace(r.Value)
	if len(value) == 0 || len(value) > maxScannedValue || value[0] != '{' && value[0] != '[' {
		return ids
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var open []json.Delim // objects and arrays around
	name := false         // the next text is a member's name
	for len(ids) < maxBusinessIDs {
		token, err := decoder.Token()
		if err != nil { // the end, or no JSON from here on
			return ids
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				open = append(open, v)
			} else {
				open = open[:len(open)-1]
			}
			name = len(open) > 0 && open[len(open)-1] == '{'
			continue
		case string:
			if name {
				name = false
				continue
			}
			if looksLikeID(v) {
				ids[v] = true
			}
		case json.Number:
			if text := v.String(); !strings.ContainsAny(text, ".eE-") && len(text) > minBusinessID {
				ids[text] = true
			}
		}
		name = len(open) > 0 && open[len(open)-1] == '{'
	}
	return ids
}

// looksLikeID tells whether a text could be one: printable, no space, a digit.
func looksLikeID(text string) bool {
	if len(text) < minBusinessID || len(text) > maxBusinessIDBytes {
		return false
	}
	digit := false
	for _, c := range []byte(text) {
		switch {
		case c <= ' ' || c >= 0x7f:
			return false
		case c >= '0' && c <= '9':
			digit = true
		}
	}
	return digit
}
