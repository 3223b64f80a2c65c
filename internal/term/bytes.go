package term

import (
	"slices"
	"strings"
)

// named reads header.NAME=VALUE and payload/POINTER=VALUE; false if the word is
// neither.
func (r *reader) named(w word) (bool, *Error) {
	written := strings.ToLower(textOf(w.chars))
	part, begins := Header, "header."
	if strings.HasPrefix(written, "payload/") {
		part, begins = Pointer, "payload"
	}
	if !strings.HasPrefix(written, begins) || slices.ContainsFunc(w.chars[:len(begins)], func(c char) bool { return c.quoted }) {
		return false, nil
	}
	equals := slices.IndexFunc(w.chars, func(c char) bool { return !c.quoted && c.r == '=' })
	switch {
	case equals < 0 && part == Pointer:
		return false, nil // coordinates in a topic of that name
	case equals < 0:
		return true, fault(w.end, "header.NAME= needs a value; an id that begins with header. goes in quotes")
	case equals == len(begins):
		return true, fault(w.chars[equals].at, "header. needs a name before the =")
	}
	name := textOf(w.chars[len(begins):equals])
	if part == Pointer {
		if at := badEscape(name); at >= 0 {
			return true, fault(w.chars[len(begins)+at].at, "in a JSON Pointer ~0 is a ~ and ~1 is a /; a ~ alone is neither")
		}
	}
	if len(name) > MaxValueBytes {
		return true, fault(w.at, "a name has at most %d bytes", MaxValueBytes)
	}
	value, err := match(begins+name, w.chars[equals].at+1, w.chars[equals+1:])
	if err != nil {
		return true, err
	}
	return true, r.bytes(Bytes{At: w.at, Part: part, Name: name, Value: value.Text})
}

// badEscape finds a ~ of a JSON Pointer that is no escape, by characters; -1 if
// there is none.
func badEscape(pointer string) int {
	runes := []rune(pointer)
	for i, c := range runes {
		if c == '~' && (i+1 == len(runes) || runes[i+1] != '0' && runes[i+1] != '1') {
			return i
		}
	}
	return -1
}

func (r *reader) bytes(b Bytes) *Error {
	if len(r.Bytes) == MaxBytesTerms {
		return fault(b.At, "at most %d terms may be about keys, headers and payloads", MaxBytesTerms)
	}
	r.Bytes = append(r.Bytes, b)
	return nil
}
