package payload

import (
	"encoding/json"
	"hash/maphash"
)

// candidate is the index of a change that removed or added an object's member
// whose value is telling enough to be recognised elsewhere.
type candidate struct {
	change int
	value  any
}

// offer notes the value of the change that is reported next.
func (d *differ) offer(list *[]candidate, value any) {
	if len(d.changes) < MaxChanges && isTelling(value) {
		*list = append(*list, candidate{change: len(d.changes), value: value})
	}
}

// isTelling tells values that hardly occur twice by chance: texts of eight
// bytes or more, numbers of five digits or more, and objects and arrays.
func isTelling(value any) bool {
	switch value := value.(type) {
	case string:
		return len(value) >= 8
	case json.Number:
		number, ok := parseDecimal(value)
		return ok && len(number.digits) >= 5
	case []any:
		return len(value) > 0
	case map[string]any:
		return len(value) > 0
	}
	return false
}

// findMoves joins a removal and an addition of the same telling value into one
// move, if that value occurs once in the whole parent and once in the whole
// child: otherwise which went where would be a guess.
func (d *differ) findMoves(from, to any) {
	if len(d.removed) == 0 || len(d.added) == 0 || d.truncated {
		return
	}
	count := counter{seed: maphash.MakeSeed()}
	before := count.occurrences(from, d.removed)
	after := count.occurrences(to, d.added)
	gone := make(map[string]int, len(d.removed))
	for _, c := range d.removed {
		if before[count.hash(c.value, nil)] == 1 {
			gone[string(d.changes[c.change].From)] = c.change
		}
	}
	dropped := make(map[int]bool)
	for _, c := range d.added {
		change := &d.changes[c.change]
		source, ok := gone[string(change.To)]
		if !ok || after[count.hash(c.value, nil)] != 1 {
			continue
		}
		removal := d.changes[source]
		change.Op, change.MovedFrom, change.From = Move, removal.Path, removal.From
		change.Envelope = change.Envelope && removal.Envelope
		dropped[source] = true
	}
	if len(dropped) == 0 {
		return
	}
	kept := d.changes[:0]
	for i := range d.changes {
		if !dropped[i] {
			kept = append(kept, d.changes[i])
		}
	}
	d.changes = kept
}

// counter counts values of a document by a hash of their canonical form. Two
// values of one hash are counted together, which only makes a move uncertain.
type counter struct{ seed maphash.Seed }

// occurrences counts how often each candidate's value stands in a document.
func (c counter) occurrences(doc any, candidates []candidate) map[uint64]int {
	counts := make(map[uint64]int, len(candidates))
	for _, candidate := range candidates {
		counts[c.hash(candidate.value, nil)] = 0
	}
	c.hash(doc, counts)
	return counts
}

// hash computes a value's hash from those of its parts and counts every part
// that counts has an entry for. A nil counts only computes.
func (c counter) hash(value any, counts map[uint64]int) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	switch value := value.(type) {
	case []any:
		h.WriteByte('[')
		for _, element := range value {
			maphash.WriteComparable(&h, c.hash(element, counts))
		}
	case map[string]any:
		h.WriteByte('{')
		for _, name := range sortedNames(value) {
			maphash.WriteComparable(&h, name)
			maphash.WriteComparable(&h, c.hash(value[name], counts))
		}
	case json.Number:
		h.WriteByte('0')
		h.WriteString(string(value))
	case string:
		h.WriteByte('"')
		h.WriteString(value)
	case bool:
		maphash.WriteComparable(&h, value)
	}
	sum := h.Sum64()
	if n, ok := counts[sum]; ok {
		counts[sum] = n + 1
	}
	return sum
}
