package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/internal/extract"
)

// Bounds of a comparison.
const (
	MaxChanges = 10_000 // listed; Truncated says that there are more
	MaxDepth   = 64     // below, a subtree that differs is one change
)

// The operations of a Change.
const (
	Add     = "add"
	Remove  = "remove"
	Replace = "change"
	Move    = "move"
)

// Change is one difference between two documents. Paths are JSON Pointers
// (RFC 6901); "" is the whole document. From and To are canonical JSON, From
// nil for an addition, To nil for a removal.
//
// Changes are applied in order, each to what those before it made. Elements of
// an array are added at and removed from its end only.
type Change struct {
	Op        string          `json:"op"`
	Path      string          `json:"path"`
	From      json.RawMessage `json:"from,omitempty"`
	To        json.RawMessage `json:"to,omitempty"`
	MovedFrom string          `json:"moved_from,omitempty"` // of a move: the path it had
	SameValue bool            `json:"same_value,omitempty"` // of a change: one number, spelt otherwise (1.0, 1.00)
	Envelope  bool            `json:"envelope,omitempty"`   // a contract field, which every hop writes anew
}

// Comparison tells how a child's payload differs from its parent's.
//
// If both are JSON documents, Comparable is true and Changes says how; Equal
// means no difference in value, though numbers may be spelt otherwise.
// If not, only the bytes were compared: Equal says how that came out, and Note
// why it was all that could be done.
type Comparison struct {
	Comparable  bool     `json:"comparable"`
	Equal       bool     `json:"equal"`
	Changes     []Change `json:"changes"`
	Truncated   bool     `json:"truncated"` // MaxChanges cut the list
	Note        string   `json:"note,omitempty"`
	ParentBytes int      `json:"parent_bytes"` // of the payload; -1 for null
	ChildBytes  int      `json:"child_bytes"`
}

// Diff compares two payloads. The error is Decode's, for a payload too large
// to decode.
func Diff(parent, child []byte) (Comparison, error) {
	result := Comparison{Changes: []Change{}, ParentBytes: size(parent), ChildBytes: size(child)}
	from, fromFormat, err := Decode(parent)
	if err != nil {
		return result, fmt.Errorf("compare parent: %w", err)
	}
	to, toFormat, err := Decode(child)
	if err != nil {
		return result, fmt.Errorf("compare child: %w", err)
	}
	if fromFormat != JSON || toFormat != JSON {
		result.Equal = fromFormat == toFormat && bytes.Equal(parent, child)
		result.Note = fmt.Sprintf("compared as bytes: the parent's payload is %s, the child's %s", fromFormat, toFormat)
		return result, nil
	}
	d := differ{changes: result.Changes, equal: true}
	d.compare(place{root: true}, from, to)
	d.findMoves(from, to)
	result.Comparable, result.Equal = true, d.equal
	result.Changes, result.Truncated = d.changes, d.truncated
	if d.truncated {
		result.Note = fmt.Sprintf("only the first %d changes are listed", MaxChanges)
	}
	return result, nil
}

func size(value []byte) int {
	if value == nil {
		return -1
	}
	return len(value)
}

// place is where in the two documents a comparison stands.
type place struct {
	path     string
	depth    int
	root     bool // the root object, where an envelope may begin
	inside   bool // an envelope object, or the root of a CloudEvent
	envelope bool // a contract field, or below one
}

// member is the place of an object's member.
func (p place) member(name string, value any) place {
	next := place{path: p.path + "/" + escapeToken(name), depth: p.depth + 1, envelope: p.envelope}
	switch {
	case p.envelope:
	case p.inside && extract.IsEnvelopeMember(name), p.root && extract.IsContractName(name):
		next.envelope = true
	case p.root && extract.IsEnvelopeName(name):
		_, next.inside = value.(map[string]any)
	}
	return next
}

func (p place) element(i int) place {
	return place{path: p.path + "/" + strconv.Itoa(i), depth: p.depth + 1, envelope: p.envelope}
}

func escapeToken(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// isCloudEvent tells a document whose root has CloudEvents' specversion.
func isCloudEvent(doc map[string]any) bool {
	_, ok := doc["specversion"].(string)
	return ok
}

type differ struct {
	changes        []Change
	removed, added []candidate // what may have moved
	equal          bool
	truncated      bool
}

func (d *differ) report(c Change) {
	d.equal = d.equal && c.SameValue
	if len(d.changes) >= MaxChanges {
		d.truncated, d.equal = true, false // what is not looked at may differ
		return
	}
	d.changes = append(d.changes, c)
}

func (d *differ) compare(p place, from, to any) {
	if d.truncated {
		return
	}
	switch from := from.(type) {
	case map[string]any:
		if to, ok := to.(map[string]any); ok && p.depth < MaxDepth {
			p.inside = p.inside || p.root && (isCloudEvent(from) || isCloudEvent(to))
			d.compareObjects(p, from, to)
			return
		}
	case []any:
		if to, ok := to.([]any); ok && p.depth < MaxDepth {
			d.compareArrays(p, from, to)
			return
		}
	}
	if !identical(from, to) {
		d.report(Change{
			Op: Replace, Path: p.path, From: Canonical(from), To: Canonical(to),
			SameValue: sameScalar(from, to), Envelope: p.envelope,
		})
	}
}

// identical tells one document from another, the spelling of numbers included.
func identical(from, to any) bool {
	switch from := from.(type) {
	case string:
		to, ok := to.(string)
		return ok && from == to
	case json.Number:
		to, ok := to.(json.Number)
		return ok && from == to
	}
	return bytes.Equal(Canonical(from), Canonical(to))
}

func (d *differ) compareObjects(p place, from, to map[string]any) {
	for _, name := range unionOfNames(from, to) {
		if d.truncated {
			return
		}
		before, had := from[name]
		after, has := to[name]
		switch {
		case had && has:
			d.compare(p.member(name, after), before, after)
		case had:
			next := p.member(name, before)
			d.offer(&d.removed, before)
			d.report(Change{Op: Remove, Path: next.path, From: Canonical(before), Envelope: next.envelope})
		default:
			next := p.member(name, after)
			d.offer(&d.added, after)
			d.report(Change{Op: Add, Path: next.path, To: Canonical(after), Envelope: next.envelope})
		}
	}
}

// unionOfNames gives the names of both, sorted.
func unionOfNames(from, to map[string]any) []string {
	names := sortedNames(from)
	extra := false
	for name := range to {
		if _, ok := from[name]; !ok {
			names, extra = append(names, name), true
		}
	}
	if extra {
		slices.Sort(names)
	}
	return names
}

// compareArrays goes by index; what is longer is added or removed at the end.
func (d *differ) compareArrays(p place, from, to []any) {
	common := min(len(from), len(to))
	for i := range common {
		d.compare(p.element(i), from[i], to[i])
	}
	for i := len(from) - 1; i >= common && !d.truncated; i-- {
		d.report(Change{Op: Remove, Path: p.element(i).path, From: Canonical(from[i]), Envelope: p.envelope})
	}
	for i := common; i < len(to) && !d.truncated; i++ {
		d.report(Change{Op: Add, Path: p.element(i).path, To: Canonical(to[i]), Envelope: p.envelope})
	}
}

// sameScalar tells two numbers of one value.
func sameScalar(from, to any) bool {
	a, ok1 := from.(json.Number)
	b, ok2 := to.(json.Number)
	return ok1 && ok2 && sameNumber(a, b)
}
