package payload

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Classify tells from the payloads what kind of step made the child, and why,
// in words for people: no parent is an ingestion; all fields of every parent
// kept, with their values, and some added is an enrichment; fields changed or
// dropped is a transformation; the same content is a delivery. Contract fields,
// which every hop writes anew, do not count; numbers count by value.
//
// Where a payload is not a document, only a copy can be told; otherwise the
// stage is unknown.
func Classify(parents [][]byte, child []byte) (schema.Stage, string) {
	if len(parents) == 0 {
		return schema.StageIngestion, "no parent"
	}
	if len(parents) == 1 && (child == nil) == (parents[0] == nil) && bytes.Equal(parents[0], child) {
		return schema.StageDelivery, "the payload is the parent's, byte for byte"
	}
	to, format, err := Decode(child)
	if reason := undecided("the", format, err); reason != "" {
		return schema.StageUnknown, reason
	}
	var total tally
	for i, parent := range parents {
		from, format, err := Decode(parent)
		if reason := undecided("a parent's", format, err); reason != "" {
			return schema.StageUnknown, reason
		}
		var t tally
		t.walk(place{root: true}, from, to)
		if i == 0 || len(t.added) < len(total.added) {
			total.added = t.added
		}
		total.kept += t.kept
		total.changed = append(total.changed, t.changed...)
		total.dropped = append(total.dropped, t.dropped...)
	}
	return total.stage(len(parents))
}

func undecided(whose, format string, err error) string {
	switch {
	case err != nil:
		return fmt.Sprintf("%s payload is more than the %d bytes that are decoded", whose, MaxBytes)
	case format != JSON:
		return fmt.Sprintf("%s payload is %s, not a document", whose, format)
	}
	return ""
}

// tally sorts the fields of a parent and its child: the leaves of the documents.
type tally struct {
	kept                    int
	changed, dropped, added []string // paths
}

func (t *tally) stage(parents int) (schema.Stage, string) {
	whose := "the parent"
	if parents > 1 {
		whose = fmt.Sprintf("%d parents", parents)
	}
	if len(t.changed)+len(t.dropped) > 0 {
		return schema.StageTransformation, fmt.Sprintf("of %s: %d fields kept%s%s%s", whose, t.kept,
			listed("changed", t.changed), listed("dropped", t.dropped), listed("added", t.added))
	}
	if len(t.added) > 0 {
		return schema.StageEnrichment, fmt.Sprintf("all %d fields of %s kept%s", t.kept, whose, listed("added", t.added))
	}
	return schema.StageDelivery, fmt.Sprintf("all %d fields of %s kept, none added", t.kept, whose)
}

// listed names the first paths.
func listed(what string, paths []string) string {
	const named = 3
	if len(paths) == 0 {
		return ""
	}
	more := ""
	if len(paths) > named {
		more = ", …"
	}
	return fmt.Sprintf(", %d %s (%s%s)", len(paths), what, strings.Join(paths[:min(named, len(paths))], ", "), more)
}

// walk compares two values at one place.
func (t *tally) walk(p place, from, to any) {
	switch before := from.(type) {
	case map[string]any:
		if after, ok := to.(map[string]any); ok && p.depth < MaxDepth {
			t.walkObjects(p, before, after)
			return
		}
	case []any:
		if after, ok := to.([]any); ok && p.depth < MaxDepth {
			t.walkArrays(p, before, after)
			return
		}
	}
	if identical(from, to) || sameScalar(from, to) {
		t.kept++
	} else {
		t.changed = append(t.changed, p.path)
	}
}

func (t *tally) walkObjects(p place, from, to map[string]any) {
	p.inside = p.inside || p.root && (isCloudEvent(from) || isCloudEvent(to))
	t.keepEmpty(len(from) + len(to))
	for _, name := range unionOfNames(from, to) {
		before, had := from[name]
		after, has := to[name]
		value := after
		if !has {
			value = before
		}
		next := p.member(name, value)
		switch {
		case next.envelope:
		case had && has:
			t.walk(next, before, after)
		case had:
			t.dropped = leaves(t.dropped, next, before)
		default:
			t.added = leaves(t.added, next, after)
		}
	}
}

func (t *tally) walkArrays(p place, from, to []any) {
	t.keepEmpty(len(from) + len(to))
	for i := range max(len(from), len(to)) {
		switch {
		case i >= len(from):
			t.added = leaves(t.added, p.element(i), to[i])
		case i >= len(to):
			t.dropped = leaves(t.dropped, p.element(i), from[i])
		default:
			t.walk(p.element(i), from[i], to[i])
		}
	}
}

// keepEmpty counts an object or array that is empty in both as a field.
func (t *tally) keepEmpty(length int) {
	if length == 0 {
		t.kept++
	}
}

// leaves lists the paths of a value's fields, but for contract fields. An empty
// object or array is a field itself.
func leaves(paths []string, p place, value any) []string {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 0 || p.depth >= MaxDepth {
			break
		}
		for _, name := range sortedNames(value) {
			if next := p.member(name, value[name]); !next.envelope {
				paths = leaves(paths, next, value[name])
			}
		}
		return paths
	case []any:
		if len(value) == 0 || p.depth >= MaxDepth {
			break
		}
		for i, element := range value {
			paths = leaves(paths, p.element(i), element)
		}
		return paths
	}
	return append(paths, p.path)
}
