package model

// view is what a chain's first commits make current (docs/formats/commit.md,
// section 7).
type view struct {
	rows   rows
	next   uint8
	branch uint8
	there  uint8             // commits whose objects are neither replaced nor purged
	until  [maxCommits]uint8 // where the latest view leaves a segment
	purged uint8             // commits whose objects purges named
	gone   uint8             // commits whose objects a rewrite replaced
	ended  bool
	fault  string
}

// viewOf resolves the first n commits.
func viewOf(s *state, n uint8) view {
	var v view
	for seq := range n {
		if v.apply(s, seq); v.fault != "" {
			break
		}
	}
	return v
}

func (v *view) apply(s *state, seq uint8) {
	c := &s.chain[seq]
	if c.branch != v.branch && !(c.kind == divergence && c.branch == v.branch+1) {
		v.fault = "chain: the branch changes without a divergence"
		return
	}
	if v.ended && (c.kind == segmentKind || c.kind == theEnd) {
		v.fault = "chain: something is archived behind its end"
		return
	}
	switch c.kind {
	case genesis:
	case theEnd:
		v.ended = true
	case segmentKind:
		v.add(c, seq)
	case divergence:
		if c.next > v.next {
			v.fault = "chain: a divergence moves next forward"
			return
		}
		v.branch, v.next, v.ended = c.branch, c.next, false
		for o := c.next; o < maxOffsets; o++ {
			v.rows[o] = 0
		}
		for i := range v.until {
			v.until[i] = min(v.until[i], max(c.next, s.chain[i].base))
		}
	case compaction, purge:
		v.replace(s, seq)
	}
}

// add appends a segment's rows.
func (v *view) add(c *commit, seq uint8) {
	base, next := c.segment.span()
	switch {
	case c.base < v.next:
		v.fault = "chain: an offset is archived twice"
	case c.base > v.next:
		v.fault = "chain: offsets are missing"
	case base != c.base || next != c.next || c.base >= c.next:
		v.fault = "chain: rows and gaps are not the range"
	}
	for o := c.base; o < c.next; o++ {
		v.rows[o] = c.segment.rows[o]
	}
	v.next = c.next
	v.there |= seqBit(seq)
	v.until[seq] = c.next
}

// replace takes objects away, and puts a compaction's in their place.
func (v *view) replace(s *state, seq uint8) {
	c := &s.chain[seq]
	if c.replaced&^v.there != 0 {
		v.fault = "view: a commit replaces what is not there"
		return
	}
	v.there &^= c.replaced
	if c.kind == purge {
		v.purged |= c.replaced
		return
	}
	joined, ok := join(s, c.replaced)
	if !ok || joined.rows != c.segment.rows || joined.branch != c.segment.branch {
		v.fault = "view: a compaction has other rows than it replaces"
		return
	}
	v.gone |= c.replaced
	v.there |= seqBit(seq)
	v.until[seq] = c.base
	for i := uint8(1); i < seq; i++ {
		if c.replaced&seqBit(i) != 0 && v.until[i] > s.chain[i].base {
			v.until[seq] = max(v.until[seq], v.until[i])
		}
	}
}

// join is the segment that a compaction of these commits' objects makes.
func join(s *state, inputs uint8) (segment, bool) {
	var g segment
	first := true
	for seq := uint8(1); seq < s.commits; seq++ {
		if inputs&seqBit(seq) == 0 {
			continue
		}
		in := &s.chain[seq].segment
		if !first && in.branch != g.branch {
			return g, false
		}
		g.branch, first = in.branch, false
		for o, r := range in.rows {
			if r != 0 {
				g.rows[o] = r
			}
		}
	}
	g.made = byCompaction
	base, next := g.span()
	for o := next; o < maxOffsets; o++ {
		if g.rows[o] != 0 {
			return g, false // not adjacent
		}
	}
	return g, base < next
}

// last finds the newest record at or below an offset, gaps left out.
func (v *view) last() (o uint8, r row) {
	for o = v.next; o > 0; o-- {
		if v.rows[o-1].real() {
			return o - 1, v.rows[o-1]
		}
	}
	return 0, 0
}
