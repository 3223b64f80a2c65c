package model

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strings"
	"unsafe"
)

func bytesOf[T any](v *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)) }

func compareBytes(a, b []byte) int { return bytes.Compare(a, b) }

func compareWriters(a, b *writer) int { return compareBytes(bytesOf(a), bytesOf(b)) }

// key is a state's 128-bit fingerprint: with ten million states, two of them
// share one with a probability below 2^-80.
type key struct{ high, low uint64 }

// seen is a set of keys with a number each, in insertion order.
type seen struct {
	slots []slot
	count uint32
}

type slot struct {
	key key
	id  uint32 // + 1
}

// add returns the key's number and whether it is new.
func (s *seen) add(k key) (uint32, bool) {
	if 2*int(s.count) >= len(s.slots) {
		s.grow()
	}
	at := s.place(k)
	if s.slots[at].id != 0 {
		return s.slots[at].id - 1, false
	}
	s.count++
	s.slots[at] = slot{k, s.count}
	return s.count - 1, true
}

func (s *seen) place(k key) int {
	mask := len(s.slots) - 1
	at := int(k.low) & mask
	for s.slots[at].id != 0 && s.slots[at].key != k {
		at = (at + 1) & mask
	}
	return at
}

func (s *seen) grow() {
	old := s.slots
	s.slots = make([]slot, max(1<<12, 2*len(old)))
	for _, o := range old {
		if o.id != 0 {
			s.slots[s.place(o.key)] = o
		}
	}
}

// origin is how a state was reached first: breadth first, so by a shortest way.
type origin struct {
	parent uint32
	move   uint16 // its place among the parent's moves
}

const noParent = ^uint32(0)

// result of a search.
type result struct {
	states, moves int
	depth         int
	violation     string // "" if every state holds
	trace         []string
	bounded       string // why the search is not exhaustive, "" if it is
	archived      bool   // some state has everything archived
	long          bool   // the configuration is
	used          [transitions]bool
}

// search visits every state that can be reached, or stops at the first
// violation, or at limit states.
type search struct {
	model
	limit    int
	goals    bool // also look for states from which the archive cannot be completed
	seeds    [2]maphash.Seed
	known    seen
	origins  []origin
	edges    edges
	complete []uint32 // states in which everything is archived
}

func (e *search) key(s *state) key {
	b := s.bytes()
	return key{maphash.Bytes(e.seeds[0], b), maphash.Bytes(e.seeds[1], b)}
}

func (e *search) run() result {
	e.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	var r result
	var level, next []state
	for _, s := range e.initial() {
		if _, fresh := e.known.add(e.key(&s)); fresh {
			e.origins = append(e.origins, origin{parent: noParent, move: uint16(len(level))})
			level = append(level, s)
		}
	}
	for first := uint32(0); len(level) > 0; r.depth++ {
		ids := first
		first += uint32(len(level))
		next = next[:0]
		for i := range level {
			id := ids + uint32(i)
			if what := e.check(&level[i]); what != "" {
				r.violation, r.trace = what, e.trace(id)
				r.states = int(e.known.count)
				return r
			}
			next = e.expand(&level[i], id, next, &r)
		}
		if e.bounded != "" || int(e.known.count) > e.limit {
			r.bounded = e.bounded
			if r.bounded == "" {
				r.bounded = fmt.Sprintf("more than %d states", e.limit)
			}
			r.states = int(e.known.count)
			return r
		}
		level, next = next, level
	}
	r.states, r.archived = int(e.known.count), len(e.complete) > 0
	if e.goals {
		if id, stuck := e.stuck(); stuck {
			r.violation, r.trace = "stuck: no way from here archives everything, even without further faults", e.trace(id)
		}
	}
	return r
}

// expand adds a state's new successors to next.
func (e *search) expand(s *state, id uint32, next []state, r *result) []state {
	if e.goals && e.done(s) {
		e.complete = append(e.complete, id)
	}
	e.model.next(s)
	for k := range e.moves {
		m := &e.moves[k]
		e.canonical(&m.to)
		to, fresh := e.known.add(e.key(&m.to))
		if fresh {
			e.origins = append(e.origins, origin{parent: id, move: uint16(k)})
			next = append(next, m.to)
		}
		if e.goals && !m.fault {
			e.edges.add(id, to)
		}
		r.moves++
		r.used[m.name] = true
	}
	return next
}

// edges are the moves that are no faults, in the order of their beginnings.
type edges struct{ from, to []uint32 }

func (e *edges) add(from, to uint32) {
	e.from, e.to = append(e.from, from), append(e.to, to)
}

// stuck finds a state from which no sequence of moves without faults leads to
// one in which everything is archived: it walks backwards from those.
func (e *search) stuck() (uint32, bool) {
	n := int(e.known.count)
	starts := make([]uint32, n+1)
	for _, to := range e.edges.to {
		starts[to+1]++
	}
	for i := range n {
		starts[i+1] += starts[i]
	}
	into := make([]uint32, len(e.edges.to))
	fill := append([]uint32(nil), starts[:n]...)
	for k, to := range e.edges.to {
		into[fill[to]] = e.edges.from[k]
		fill[to]++
	}
	reached := make([]bool, n)
	queue := e.complete
	for _, id := range queue {
		reached[id] = true
	}
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range into[starts[id]:starts[id+1]] {
			if !reached[from] {
				reached[from] = true
				queue = append(queue, from)
			}
		}
	}
	for id, ok := range reached {
		if !ok {
			return uint32(id), true
		}
	}
	return 0, false
}

// trace replays the way to a state and names its transitions. Writers keep
// their names in it, whatever the order that canonical gave them.
func (e *search) trace(id uint32) []string {
	var way []origin
	for at := id; at != noParent; at = e.origins[at].parent {
		way = append(way, e.origins[at])
	}
	m := model{config: e.config, rules: e.rules}
	s := m.initial()[way[len(way)-1].move]
	lines := []string{"log " + show(s.log(), 0) + ", other replica " + show(&s.other, 0)}
	names := [2]string{"A", "B"}
	for k := len(way) - 2; k >= 0; k-- {
		m.next(&s)
		move := m.moves[way[k].move]
		lines = append(lines, describe(&s, &move, names))
		if s = move.to; m.canonical(&s) {
			names[0], names[1] = names[1], names[0]
		}
	}
	return lines
}

// describe is one line of a trace: the transition, who, and what changed.
func describe(before *state, m *move, names [2]string) string {
	var b strings.Builder
	b.WriteString(m.name.String())
	if m.who >= 0 {
		fmt.Fprintf(&b, " %s", names[m.who])
	}
	s := &m.to
	if s.epoch != before.epoch || *s.log() != *before.log() {
		fmt.Fprintf(&b, "  epoch %d, log %s", s.epoch, show(s.log(), 0))
	}
	if s.logStart != before.logStart {
		fmt.Fprintf(&b, "  log start %d", s.logStart)
	}
	for seq := before.commits; seq < s.commits; seq++ {
		fmt.Fprintf(&b, "  commit %d: %s", seq, s.chain[seq].String())
	}
	for i := range s.writers {
		if w := &s.writers[i]; *w != before.writers[i] {
			fmt.Fprintf(&b, "  [%s %s]", names[i], w)
		}
	}
	for k := range before.objects {
		if o := &before.objects[k]; o.there != 0 && s.find(&o.segment) < 0 {
			fmt.Fprintf(&b, "  deleted %s", show(&o.segment.rows, 0))
		}
	}
	return b.String()
}
