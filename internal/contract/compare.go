package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Evolution is how a version differs from the one before it.
type Evolution string

// The evolutions. Additive: whatever fitted the old version fits the new one, and
// no promise of the old one is taken back. Breaking: one of the two does not hold,
// or it cannot be told.
const (
	Identical Evolution = "identical"
	Additive  Evolution = "additive"
	Breaking  Evolution = "breaking"
)

// Difference is one way in which two versions differ.
type Difference struct {
	Path   string // a JSON Pointer into the event; "" the event, or the contract as a whole
	Change string // in words
	// Events: what fitted the old version may not fit the new one. Consumers: who
	// relies on the old version may meet what it did not allow.
	Events, Consumers bool
}

// Breaks tells whether the difference makes an evolution breaking.
func (d Difference) Breaks() bool { return d.Events || d.Consumers }

// maxDifferences bounds what Compare gives; maxWalk how deep it looks.
const (
	maxDifferences = 500
	maxWalk        = 64
)

// Compare tells how next differs from before.
func Compare(before, next *Contract) (Evolution, []Difference) {
	c := comparison{before: before.document, next: next.document, seen: map[[2]uintptr]bool{}}
	c.promises(before, next)
	switch {
	case before.document == nil && next.document == nil:
	case before.document == nil:
		c.note("", "a schema is demanded now", true, false)
	case next.document == nil:
		c.note("", "there is no schema any more", false, true)
	default:
		c.walk("", before.document, next.document, 0)
	}
	evolution := Identical
	for _, d := range c.found {
		if d.Breaks() {
			return Breaking, c.found
		}
		evolution = Additive
	}
	return evolution, c.found
}

type comparison struct {
	before, next any // the documents, for their references
	seen         map[[2]uintptr]bool
	found        []Difference
}

func (c *comparison) note(path, change string, events, consumers bool) {
	if len(c.found) == maxDifferences {
		c.found = append(c.found, Difference{Change: fmt.Sprintf("more than %d differences: the rest was not compared", maxDifferences), Events: true, Consumers: true})
	}
	if len(c.found) < maxDifferences {
		c.found = append(c.found, Difference{Path: path, Change: change, Events: events, Consumers: consumers})
	}
}

// promises compares what a contract says beside its schema.
func (c *comparison) promises(before, next *Contract) {
	added, removed := sets(before.Required, next.Required)
	for _, p := range added {
		c.note(p, "is required now", true, false)
	}
	for _, p := range removed {
		c.note(p, "is no longer required", false, true)
	}
	// No topics, or no producers, allow any.
	for _, list := range []struct {
		what         string
		before, next []string
	}{{"topics", before.Topics, next.Topics}, {"producers", before.Producers, next.Producers}} {
		added, removed := sets(list.before, list.next)
		switch {
		case len(list.before) == 0 && len(list.next) > 0:
			c.note("", list.what+" are narrowed to "+strings.Join(list.next, ", "), true, false)
		case len(list.before) > 0 && len(list.next) == 0:
			c.note("", list.what+" are no longer named: any may be", false, true)
		default:
			for _, name := range removed {
				c.note("", list.what+" no longer include "+name, true, false)
			}
			for _, name := range added {
				c.note("", list.what+" include "+name+", too", false, false)
			}
		}
	}
	was, is := before.SLA.MaxDelay, next.SLA.MaxDelay
	if was != is {
		tighter := is != 0 && (was == 0 || is < was)
		c.note("", fmt.Sprintf("sla.max_delay was %v, is %v", was, is), tighter, !tighter)
	}
	added, removed = sets(before.Sensitive, next.Sensitive)
	for _, p := range added {
		c.note(p, "is sensitive now", false, false)
	}
	for _, p := range removed {
		c.note(p, "is no longer sensitive: it is shown and indexed from now on", false, false)
	}
	if before.Team != next.Team {
		c.note("", fmt.Sprintf("team was %q, is %q", before.Team, next.Team), false, false)
	}
}

// sets tells what only next has and what only before has, in order.
func sets(before, next []string) (added, removed []string) {
	for _, one := range next {
		if !slices.Contains(before, one) {
			added = append(added, one)
		}
	}
	for _, one := range before {
		if !slices.Contains(next, one) {
			removed = append(removed, one)
		}
	}
	return added, removed
}

// keywords that say nothing of a value.
var annotations = []string{
	"title", "description", "examples", "example", "default", "$id", "$schema", "$comment", "$anchor", "deprecated", "readOnly", "writeOnly", "$defs", "definitions", "format",
}

// walk compares two schemas of one place.
func (c *comparison) walk(at string, before, next any, depth int) {
	before, next = resolve(c.before, before), resolve(c.next, next)
	if reflect.DeepEqual(before, next) && !hasReference(before) {
		return
	}
	if depth > maxWalk {
		c.note(at, fmt.Sprintf("the schema is not compared deeper than %d levels", maxWalk), true, true)
		return
	}
	b, bothB := before.(map[string]any)
	n, bothN := next.(map[string]any)
	if !bothB || !bothN {
		if !reflect.DeepEqual(before, next) {
			c.note(at, "true, false or a schema took the place of another", true, true)
		}
		return
	}
	// What was compared before, at another place or around this one, is not again.
	pair := [2]uintptr{reflect.ValueOf(b).Pointer(), reflect.ValueOf(n).Pointer()}
	if c.seen[pair] {
		return
	}
	c.seen[pair] = true
	c.types(at, b["type"], n["type"])
	c.values(at, b, n)
	c.required(at, b["required"], n["required"])
	c.bounds(at, b, n)
	c.members(at, b, n, depth)
	if bi, ni := b["items"], n["items"]; bi != nil && ni != nil {
		c.walk(at+"/*", bi, ni, depth+1)
	} else if (bi == nil) != (ni == nil) {
		c.note(at+"/*", "what elements are is said by one version only", ni != nil, ni == nil)
	}
	compared := append([]string{"type", "enum", "const", "required", "properties", "additionalProperties", "items", "$ref"}, annotations...)
	for keyword := range limits {
		compared = append(compared, keyword)
	}
	for _, keyword := range slices.Sorted(maps.Keys(union(b, n))) {
		if !slices.Contains(compared, keyword) && !reflect.DeepEqual(b[keyword], n[keyword]) {
			c.note(at, keyword+" differs, which is not compared: it counts as breaking", true, true)
		}
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// resolve follows references inside a document.
func resolve(document, s any) any {
	for range maxWalk {
		object, ok := s.(map[string]any)
		if !ok {
			return s
		}
		reference, ok := object["$ref"].(string)
		pointer, local := strings.CutPrefix(reference, "#")
		if !ok || !local {
			return s
		}
		target := document
		for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
			if step == "" {
				continue
			}
			object, ok := target.(map[string]any)
			if !ok {
				return s
			}
			target = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		}
		if target == nil {
			return s
		}
		s = target
	}
	return s
}

// hasReference tells that equal texts may mean different things.
func hasReference(s any) bool {
	text, err := json.Marshal(s)
	return err != nil || strings.Contains(string(text), `"$ref"`)
}

func (c *comparison) types(at string, before, next any) {
	b, n := words(before), words(next)
	if slices.Equal(b, n) {
		return
	}
	allows := func(list []string, one string) bool {
		return len(list) == 0 || slices.Contains(list, one) || one == "integer" && slices.Contains(list, "number")
	}
	lost := len(b) == 0 || slices.ContainsFunc(b, func(one string) bool { return !allows(n, one) })
	gained := len(n) == 0 || slices.ContainsFunc(n, func(one string) bool { return !allows(b, one) })
	c.note(at, fmt.Sprintf("type was %s, is %s", orAny(b), orAny(n)), lost && len(n) > 0, gained && len(b) > 0)
}

func orAny(list []string) string {
	if len(list) == 0 {
		return "any"
	}
	return strings.Join(list, " or ")
}

func words(value any) []string {
	var list []string
	switch v := value.(type) {
	case string:
		list = []string{v}
	case []any:
		for _, one := range v {
			list = append(list, fmt.Sprint(one))
		}
	}
	slices.Sort(list)
	return list
}

// values compares enum and const.
func (c *comparison) values(at string, before, next map[string]any) {
	b, n := choices(before), choices(next)
	switch {
	case b == nil && n == nil:
	case b == nil:
		c.note(at, "only some values are allowed now", true, false)
	case n == nil:
		c.note(at, "any value is allowed now", false, true)
	default:
		added, removed := sets(b, n)
		if len(removed) > 0 {
			c.note(at, "values are no longer allowed: "+strings.Join(removed, ", "), true, false)
		}
		if len(added) > 0 {
			c.note(at, "values are new: "+strings.Join(added, ", "), false, true)
		}
	}
}

func choices(s map[string]any) []string {
	list, ok := s["enum"].([]any)
	if one, is := s["const"]; is {
		list, ok = []any{one}, true
	}
	if !ok {
		return nil
	}
	texts := []string{}
	for _, one := range list {
		text, _ := json.Marshal(one) // it came from JSON
		texts = append(texts, string(text))
	}
	return texts
}

func (c *comparison) required(at string, before, next any) {
	added, removed := sets(words(before), words(next))
	for _, name := range added {
		c.note(at+"/"+escaped(name), "is required now", true, false)
	}
	for _, name := range removed {
		c.note(at+"/"+escaped(name), "is no longer required", false, true)
	}
}

// limits are the keywords whose number bounds a value; true: from below.
var limits = map[string]bool{
	"minimum": true, "exclusiveMinimum": true, "minLength": true, "minItems": true, "minProperties": true,
	"maximum": false, "exclusiveMaximum": false, "maxLength": false, "maxItems": false, "maxProperties": false,
}

func (c *comparison) bounds(at string, before, next map[string]any) {
	for _, keyword := range slices.Sorted(maps.Keys(limits)) {
		b, wasThere := number(before[keyword])
		n, isThere := number(next[keyword])
		tighter := cmp.Compare(n, b) > 0 == limits[keyword]
		switch {
		case before[keyword] == nil && next[keyword] == nil, wasThere && isThere && b == n:
		case wasThere && isThere:
			c.note(at, fmt.Sprintf("%s was %v, is %v", keyword, b, n), tighter, !tighter)
		case before[keyword] == nil && isThere:
			c.note(at, fmt.Sprintf("%s %v is new", keyword, n), true, false)
		case next[keyword] == nil && wasThere:
			c.note(at, keyword+" is gone", false, true)
		default:
			c.note(at, keyword+" differs, which is not compared: it counts as breaking", true, true)
		}
	}
}

func number(value any) (float64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

// members compares properties, and whether there may be others.
func (c *comparison) members(at string, before, next map[string]any, depth int) {
	b, _ := before["properties"].(map[string]any)
	n, _ := next["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(union(b, n))) {
		was, is := b[name], n[name]
		place := at + "/" + escaped(name)
		switch {
		case was == nil:
			c.note(place, "is new", false, false)
		case is == nil:
			c.note(place, "is gone", next["additionalProperties"] == false, true)
		default:
			c.walk(place, was, is, depth+1)
		}
	}
	was, is := before["additionalProperties"], next["additionalProperties"]
	switch closedBefore, closedNow := was == false, is == false; {
	case closedBefore && !closedNow:
		c.note(at, "members that the schema does not name are allowed now", false, false)
	case !closedBefore && closedNow:
		c.note(at, "members that the schema does not name are no longer allowed", true, false)
	case !reflect.DeepEqual(was, is) && (was != nil && was != true || is != nil && is != true):
		c.note(at, "additionalProperties differs, which is not compared: it counts as breaking", true, true)
	}
}
