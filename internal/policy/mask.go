package policy

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Masked stands for a value that policy withholds.
const Masked = "[masked]"

// What MaskJSON puts in place of a value: Shown for people, Absent where ids are
// read, which null is not.
const (
	Shown  = `"` + Masked + `"`
	Absent = "null"
)

// maxSteps bounds a path.
const maxSteps = 64

// Path is a JSON Pointer, step by step; "*" stands for any step.
type Path []string

// Paths are several; a value that one of them names is withheld whole.
type Paths []Path

// ParsePath reads a JSON Pointer (RFC 6901) that begins with "/". The error is
// Invalid.
func ParsePath(text string) (Path, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, schema.Errorf(schema.Invalid, "path %q: want a JSON Pointer that begins with /", text)
	}
	steps := strings.Split(text[1:], "/")
	if len(steps) > maxSteps {
		return nil, schema.Errorf(schema.Invalid, "path %q: more than %d steps", text, maxSteps)
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for i := range steps {
		steps[i] = unescape.Replace(steps[i])
	}
	return steps, nil
}

// Name tells whether one of the paths names the place, or something that the
// place is inside of.
func (ps Paths) Name(place []string) bool {
	return slices.ContainsFunc(ps, func(p Path) bool {
		if len(p) > len(place) {
			return false
		}
		for i, step := range p {
			if step != "*" && step != place[i] {
				return false
			}
		}
		return true
	})
}

// Touch tells whether a place, in which "*" stands for any step, may be one that
// the paths name, inside one, or around one. No place, nil, touches nothing.
func (ps Paths) Touch(place []string) bool {
	return place != nil && slices.ContainsFunc(ps, func(p Path) bool {
		for i := range min(len(p), len(place)) {
			if p[i] != place[i] && p[i] != "*" && place[i] != "*" {
				return false
			}
		}
		return true
	})
}

// MaskJSON gives JSON text with the values at the paths replaced by another,
// itself JSON; all else stays byte for byte. Of members with one name all are
// replaced. It is false for what is not one JSON value: nothing of that may be
// shown.
func MaskJSON(text []byte, paths Paths, with string) (masked []byte, ok bool) {
	if len(paths) == 0 {
		return text, true
	}
	m := masking{text: text, paths: paths, with: with, decoder: json.NewDecoder(bytes.NewReader(text))}
	m.decoder.UseNumber()
	if !m.value() {
		return nil, false
	}
	for len(m.open) > 0 {
		if !m.next() {
			return nil, false
		}
	}
	if _, err := m.decoder.Token(); err != io.EOF {
		return nil, false
	}
	return append(m.out, text[m.copied:]...), true
}

// masking is a text half read: open are the objects and arrays around the
// place, place the steps to it.
type masking struct {
	text    []byte
	paths   Paths
	with    string
	decoder *json.Decoder
	open    []container
	place   []string
	out     []byte
	copied  int64 // how much of text is in out
}

type container struct {
	array bool
	index int
}

// next reads a member, an element or an end.
func (m *masking) next() bool {
	at := &m.open[len(m.open)-1]
	if !m.decoder.More() {
		_, err := m.decoder.Token()
		m.open = m.open[:len(m.open)-1]
		return err == nil
	}
	step := strconv.Itoa(at.index)
	if !at.array {
		name, err := m.decoder.Token()
		if err != nil {
			return false
		}
		step = name.(string)
	}
	at.index++
	m.place = append(m.place[:len(m.open)-1], step)
	return m.value()
}

// value reads one value: whole if it is withheld, else up to what is in it.
func (m *masking) value() bool {
	if len(m.open) > 0 && m.paths.Name(m.place) {
		from := m.decoder.InputOffset()
		for from < int64(len(m.text)) && strings.IndexByte(" \t\r\n:,", m.text[from]) >= 0 {
			from++
		}
		var whole json.RawMessage
		if m.decoder.Decode(&whole) != nil {
			return false
		}
		m.out = append(append(m.out, m.text[m.copied:from]...), m.with...)
		m.copied = m.decoder.InputOffset()
		return true
	}
	token, err := m.decoder.Token()
	if err != nil {
		return false
	}
	if delim, ok := token.(json.Delim); ok {
		m.open = append(m.open, container{array: delim == '['})
	}
	return true
}

// Mask gives the record without what is withheld of its topic, and says what
// that is: "key", "value", "header:NAME", or a JSON Pointer. Where nothing is, it
// is the record itself. body finds where the JSON text begins in a value. A
// value in which fields would have to be masked and cannot, as in Avro, is
// withheld whole: null.
func (t *Topic) Mask(r *schema.Record, more Paths, body func(value []byte) []byte) (*schema.Record, []string) {
	if !t.Restricts() && len(more) == 0 {
		return r, nil
	}
	own := *r
	var withheld []string
	if own.Key != nil && t.HidesKey() {
		own.Key, withheld = nil, append(withheld, "key")
	}
	own.Headers = slices.Clone(r.Headers)
	for i := range own.Headers {
		h := &own.Headers[i]
		if t.Secret.Value && h.Value != nil || t.PersonalHeader(h.Name) {
			h.Value, withheld = []byte(Masked), append(withheld, "header:"+h.Name)
		}
	}
	switch paths := append(slices.Clip(t.paths), more...); {
	case own.Value == nil:
	case t.Secret.Value:
		own.Value, withheld = nil, append(withheld, "value")
	case len(paths) > 0:
		text := body(own.Value)
		frame := len(own.Value) - len(text)
		masked, ok := MaskJSON(text, paths, Shown)
		if !ok {
			own.Value, withheld = nil, append(withheld, "value")
			break
		}
		if !bytes.Equal(masked, text) {
			own.Value = append(slices.Clone(own.Value[:frame]), masked...)
			withheld = append(withheld, paths.texts()...)
		}
	}
	return &own, withheld
}

func (ps Paths) texts() []string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	list := make([]string, len(ps))
	for i, p := range ps {
		for _, step := range p {
			list[i] += "/" + escape.Replace(step)
		}
	}
	return list
}
