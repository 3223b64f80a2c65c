package model

import "slices"

// move is one transition from a state.
type move struct {
	to    state
	name  transition
	who   int8 // the writer, -1 if none
	fault bool // something outside the protocol: it need not happen
}

// model offers a state's moves.
type model struct {
	config
	rules   rules
	moves   []move
	bounded string // a bound of the encoding that was hit
}

// initial are the states that a run begins with.
func (m *model) initial() []state {
	var list []state
	for _, log := range m.logs {
		for _, other := range m.others {
			s := state{
				epoch: 1, elections: m.elections, deletions: m.deletions, crashes: m.crashes, commits: 1,
				keep: upkeep{holds: m.holds, purges: m.purges, compacts: m.compacts, collects: m.collects, reads: m.reads, ends: m.ends},
			}
			s.reigns[0], s.other = log, other
			s.chain[0] = commit{kind: genesis}
			m.canonical(&s)
			list = append(list, s)
		}
	}
	return list
}

// next fills m.moves.
func (m *model) next(s *state) {
	m.moves = m.moves[:0]
	m.kafka(s)
	for i := range s.writers {
		if i > 0 && s.writers[i] == s.writers[i-1] && s.writers[i].at == closed {
			break // the same, by symmetry
		}
		m.writer(s, i)
	}
	m.network(s)
	m.upkeep(s)
}

// step adds a move that the protocol, or the network on a good day, makes.
func (m *model) step(name transition, who int, n *state) {
	m.moves = append(m.moves, move{to: *n, name: name, who: int8(who)})
}

// env adds a move that need not happen.
func (m *model) env(name transition, who int, n *state) {
	m.moves = append(m.moves, move{to: *n, name: name, who: int8(who), fault: true})
}

// canonical gives states that differ in nothing that matters one form: what
// nobody can see any more is cleared, sets are sorted, the two writers are
// ordered. It tells whether it exchanged them.
func (m *model) canonical(s *state) (swapped bool) {
	if s.elections == 0 {
		s.other = rows{}
	}
	for k := range s.requests {
		// Its seq is taken: nobody will ever see more of it than a 412.
		if r := &s.requests[k]; r.what == putsCommit && r.seq < s.commits && r.checked == 0 && !m.rules.unconditionalPut {
			*r = request{}
		}
	}
	m.forget(s)
	if compareWriters(&s.writers[0], &s.writers[1]) > 0 {
		s.writers[0], s.writers[1] = s.writers[1], s.writers[0]
		for k := range s.chain {
			s.chain[k].writer = exchanged(s.chain[k].writer)
		}
		for k := range s.requests {
			s.requests[k].writer = exchanged(s.requests[k].writer)
		}
		swapped = true
	}
	slices.SortFunc(s.requests[:], func(a, b request) int { return compareBytes(bytesOf(&a), bytesOf(&b)) })
	slices.SortFunc(s.objects[:], func(a, b object) int { return compareBytes(bytesOf(&a), bytesOf(&b)) })
	return swapped
}

func exchanged(writer uint8) uint8 {
	if writer == 0 {
		return 0
	}
	return 3 - writer
}

// forget drops objects that no commit, no request and no attempt names, once
// the collection will not look at them any more. Whoever wants one puts it.
func (m *model) forget(s *state) {
	if s.keep.collects > 0 || s.keep.collecting != 0 {
		return
	}
	for k := range s.objects {
		o := &s.objects[k]
		if o.there == 0 {
			continue
		}
		o.old = 0
		if !m.mentioned(s, &o.segment) {
			*o = object{}
		}
	}
}

func (m *model) mentioned(s *state, g *segment) bool {
	for k := range s.chain[:s.commits] {
		if s.chain[k].segment == *g {
			return true
		}
	}
	if s.awaited(g) {
		return true
	}
	for i := range s.writers {
		if w := &s.writers[i]; w.cutEnd > 0 && w.diverges == 0 && m.attempt(w).segment == *g {
			return true
		}
	}
	if s.keep.job != 0 {
		output, _ := m.output(s, s.keep.jobInputs)
		return output == *g
	}
	return false
}
