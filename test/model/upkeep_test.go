package model

// upkeep offers what compaction, holds, purges, collection, readers and time
// may do next. Each has one process, which may stop for as long as it likes
// between two of its steps. Their commits arrive when they are sent: a process
// that is slow to send one is as late as a network.
func (m *model) upkeep(s *state) {
	m.compact(s)
	m.purge(s)
	m.collect(s)
	m.read(s)
	m.end(s)
	if s.keep.holds > 0 && s.commits < maxCommits {
		n := *s
		n.keep.holds--
		n.append(commit{kind: hold, branch: viewOf(s, s.commits).branch, base: 0, next: m.offsets})
		m.env(placeHold, -1, &n)
	}
}

// append places a maintenance commit at the head.
func (s *state) append(c commit) {
	s.chain[s.commits] = c
	s.commits++
}

// end ends the chain, at any time: whoever does it, and whether it was wrong, is
// nobody's to know.
func (m *model) end(s *state) {
	v := viewOf(s, s.commits)
	if s.keep.ends == 0 || s.commits >= maxCommits || v.ended {
		return
	}
	n := *s
	n.keep.ends--
	n.append(commit{kind: theEnd, branch: v.branch, base: v.next, next: v.next})
	m.env(endChain, -1, &n)
}

func (m *model) compact(s *state) {
	k := &s.keep
	if k.job == 0 {
		if k.compacts > 0 {
			m.planCompaction(s)
		}
		return
	}
	n := *s
	output, ok := m.output(s, k.jobInputs)
	switch {
	case !ok:
		m.bounded = "job without inputs"
	case k.jobPut == 0 && !m.rules.compactBeforePut:
		n.keep.jobPut = 1
		m.put(&n, output)
		m.step(compactPut, -1, &n)
	case k.jobSeq == s.commits || m.rules.lostCompactionTriesNext:
		if s.commits >= maxCommits {
			m.bounded = "commits"
			return
		}
		v := viewOf(s, s.commits)
		base, next := output.span()
		n.append(commit{kind: compaction, branch: v.branch, base: base, next: next, segment: output, replaced: k.jobInputs})
		m.renew(&n, k.jobInputs)
		n.closeJob()
		if m.rules.deleteReplacedAtOnce {
			n.remove(k.jobInputs)
		}
		m.step(compactCommit, -1, &n)
	default: // lost: is there still what it replaces?
		if v := viewOf(s, s.commits); k.jobInputs&^v.there != 0 {
			n.closeJob()
		} else {
			n.keep.jobSeq = s.commits
		}
		m.step(compactRetry, -1, &n)
	}
}

func (m *model) planCompaction(s *state) {
	v := viewOf(s, s.commits)
	for a := uint8(1); a < s.commits; a++ {
		for b := a + 1; b < s.commits; b++ {
			inputs := seqBit(a) | seqBit(b)
			if inputs&^v.there != 0 {
				continue
			}
			if _, ok := join(s, inputs); !ok {
				continue
			}
			n := *s
			n.keep.compacts--
			n.keep.job, n.keep.jobInputs, n.keep.jobSeq = 1, inputs, s.commits
			m.env(compactPlan, -1, &n)
		}
	}
}

// output is the job's object.
func (m *model) output(s *state, inputs uint8) (segment, bool) {
	g, ok := join(s, inputs)
	if m.rules.outputsLookArchived {
		g.made = byArchiver
	}
	return g, ok
}

func (s *state) closeJob() { s.keep.job, s.keep.jobPut, s.keep.jobSeq, s.keep.jobInputs = 0, 0, 0, 0 }

// renew starts the age of replaced objects anew: it counts from the commit.
func (m *model) renew(n *state, seqs uint8) {
	for seq := uint8(1); seq < n.commits; seq++ {
		if seqs&seqBit(seq) != 0 {
			if at := n.find(&n.chain[seq].segment); at >= 0 {
				n.objects[at].old = 0
			}
		}
	}
}

// remove deletes the objects that commits placed.
func (s *state) remove(seqs uint8) {
	for seq := uint8(1); seq < s.commits; seq++ {
		if seqs&seqBit(seq) != 0 {
			if at := s.find(&s.chain[seq].segment); at >= 0 {
				s.objects[at] = object{}
			}
		}
	}
}

// heldAt tells whether a hold among the first n commits covers a segment.
func (s *state) heldAt(n uint8, g *segment) bool {
	base, next := g.span()
	for seq := range n {
		if c := &s.chain[seq]; c.kind == hold && c.base < next && base < c.next {
			return true
		}
	}
	return false
}

func (m *model) purge(s *state) {
	k := &s.keep
	n := *s
	switch k.purging {
	case 0:
		if k.purges > 0 {
			m.planPurge(s)
		}
		return
	case purgeLooked:
		stale := k.purgeSeq != s.commits
		if m.rules.purgeDeletesFirst {
			n.remove(seqBit(k.purgeOf))
			n.keep.purging = purgeDeleted
			m.step(purgeDelete, -1, &n)
			return
		}
		if stale && (!m.rules.purgeStaleHolds || seqBit(k.purgeOf)&^viewOf(s, s.commits).there != 0) {
			// Lost: holds and view are read again.
			n.keep.purging, n.keep.purgeOf, n.keep.purgeSeq = 0, 0, 0
			n.keep.purges++
			m.step(purgeRead, -1, &n)
			return
		}
		m.placePurge(s, &n, purgePlaced)
	case purgeDeleted:
		m.placePurge(s, &n, 0)
	case purgePlaced:
		n.remove(seqBit(k.purgeOf))
		n.keep.purging, n.keep.purgeOf, n.keep.purgeSeq = 0, 0, 0
		m.step(purgeDelete, -1, &n)
	}
}

func (m *model) placePurge(s, n *state, then uint8) {
	if s.commits >= maxCommits {
		m.bounded = "commits"
		return
	}
	n.append(commit{kind: purge, branch: viewOf(s, s.commits).branch, replaced: seqBit(s.keep.purgeOf)})
	n.keep.purging = then
	m.step(purgeCommit, -1, n)
}

func (m *model) planPurge(s *state) {
	v := viewOf(s, s.commits)
	for seq := uint8(1); seq < s.commits; seq++ {
		if seqBit(seq)&v.there == 0 || s.heldAt(s.commits, &s.chain[seq].segment) && !m.rules.purgeHoldsAfter {
			continue
		}
		n := *s
		n.keep.purges--
		n.keep.purging, n.keep.purgeOf, n.keep.purgeSeq = purgeLooked, seq, s.commits
		m.env(purgeRead, -1, &n)
	}
}

func (m *model) collect(s *state) {
	k := &s.keep
	m.age(s)
	if k.collecting == 0 {
		if k.collects > 0 {
			n := *s
			n.keep.collects--
			n.keep.collecting, n.keep.collectSeq = 1, s.commits
			n.keep.collectJob, n.keep.collectInputs = k.job, k.jobInputs
			m.env(collectRead, -1, &n)
		}
		return
	}
	n := *s
	n.keep.collecting, n.keep.collectSeq, n.keep.collectJob, n.keep.collectInputs = 0, 0, 0, 0
	m.step(collectEnd, -1, &n)
	v := viewOf(s, k.collectSeq)
	for at := range s.objects {
		if o := &s.objects[at]; o.there != 0 && m.collectable(s, &v, o) {
			n := *s
			n.objects[at] = object{}
			m.env(collectDelete, -1, &n)
		}
	}
}

// collectable decides by what the collection has read, and the object's age.
func (m *model) collectable(s *state, v *view, o *object) bool {
	k := &s.keep
	base, _ := o.span()
	if o.old == 0 && !m.rules.collectYoung || base >= v.next && !m.rules.collectByAge {
		return false
	}
	if k.collectJob != 0 && !m.rules.collectIgnoresJobs {
		if output, ok := m.output(s, k.collectInputs); ok && output == o.segment {
			return false
		}
	}
	for seq := uint8(1); seq < k.collectSeq; seq++ {
		c := &s.chain[seq]
		if c.segment != o.segment || v.there&seqBit(seq) == 0 || m.rules.collectSuperseded && v.until[seq] <= c.base {
			continue
		}
		return false
	}
	return true
}

// age lets one object pass the age bound. No run of the collection, no reader
// and no request lives that long; a process may.
func (m *model) age(s *state) {
	k := &s.keep
	if k.collects == 0 || k.collecting != 0 || k.reading != 0 {
		return
	}
	for at := range s.objects {
		o := &s.objects[at]
		if o.there == 0 || o.old != 0 || s.awaited(&o.segment) {
			continue
		}
		n := *s
		n.objects[at].old = 1
		m.env(age, -1, &n)
	}
}

func (s *state) awaited(g *segment) bool {
	for k := range s.requests {
		if s.requests[k].what != 0 && s.requests[k].commit.segment == *g {
			return true
		}
	}
	return false
}

func (m *model) read(s *state) {
	n := *s
	switch k := &s.keep; {
	case k.reading != 0:
		n.keep.reading, n.keep.readSeq = 0, 0
		m.step(readEnd, -1, &n)
	case k.reads > 0:
		n.keep.reads--
		n.keep.reading, n.keep.readSeq = 1, s.commits
		m.env(readView, -1, &n)
	}
}
