package model

// guardOpened is the guard at open: does Kafka still hold what is archived?
func (m *model) guardOpened(s *state, i int) {
	w := &s.writers[i]
	v := viewOf(s, w.seq)
	n := *s
	ok, point := m.stands(s.log(), s, &v)
	if ok && v.ended && !m.rules.goesOnBehindEnd { // the topic is there again
		ok, point = false, v.next
	}
	if !ok {
		n.diverge(i, point)
		m.step(diverge, i, &n)
		return
	}
	n.writers[i].at = tailing
	m.step(guard, i, &n)
}

// guardRaised is the guard where a record came whose leader epoch is not that
// of the record before it, and where Kafka says that the leader is another,
// though nothing came. One reign's log must hold what is archived, what is
// buffered, and the record: all are asked in one epoch of the leader.
func (m *model) guardRaised(s *state, i int) {
	w := &s.writers[i]
	v := viewOf(s, w.seq)
	n := *s
	to := &n.writers[i]
	log := s.log()
	if ok, point := m.stands(log, s, &v); !ok {
		n.diverge(i, point)
		m.step(diverge, i, &n)
		return
	}
	short := log.end(0) < w.expected() && !m.rules.guardIgnoresGapEnd // in a gap that is buffered
	if o, r := lastOf(&w.buffer, w.next); short || r != 0 && !holds(log, o, r) && !m.rules.guardKeepsBuffer && !m.rules.guardByEnd {
		*to = writer{at: opened, seq: w.seq, branch: w.branch, next: w.next}
		m.step(discard, i, &n)
		return
	}
	if w.hand == 0 {
		return // nothing came, nothing is wrong
	}
	to.hand = 0
	if holds(log, w.expected(), w.hand) || m.rules.guardIgnoresHand {
		m.add(to, w.hand)
	}
	m.step(guard, i, &n)
}

// diverge makes the writer's next commit a divergence.
func (s *state) diverge(i int, point uint8) {
	w := &s.writers[i]
	*w = writer{at: stored, seq: w.seq, branch: w.branch, next: w.next, diverges: 1, point: point}
}

// stands tells whether the log holds everything that the view has, verdicts
// included, and else where the new branch begins.
func (m *model) stands(log *rows, s *state, v *view) (ok bool, point uint8) {
	o, last := v.last()
	if end := log.end(0); end < v.next && !m.rules.guardIgnoresGapEnd && (last == 0 || holds(log, o, last)) {
		above := s.logStart
		if last != 0 {
			above = max(above, o+1)
		}
		return false, m.keepVerdicts(v, min(end, above)) // no row contradicts it
	}
	if last == 0 {
		return true, 0
	}
	if m.rules.guardByEnd {
		return log.end(0) >= v.next, log.end(0)
	}
	point = v.next
	ok = holds(log, o, last)
	if !ok {
		answer, end := epochEnd(log, last.epoch())
		_, ours := epochEnd(&v.rows, answer)
		point = min(end, ours)
		for point > 0 && (!v.rows[point-1].real() || v.rows[point-1].entry() != log[point-1].entry()) {
			point--
		}
	}
	if m.rules.guardIgnoresMarkers || ok && m.markersStand(log, s, v) {
		return ok, point
	}
	return false, m.keepVerdicts(v, point)
}

// keepVerdicts lowers a branch point: a verdict whose marker is not kept is not
// kept either.
func (m *model) keepVerdicts(v *view, point uint8) uint8 {
	for o := range point {
		if v.rows[o].kind() != inTxn {
			continue
		}
		if at, found := v.rows.markerAfter(o); !found || at >= point {
			return o
		}
	}
	return point
}

// otherMarker tells whether a record stands where the marker was that decided
// archived rows, and is not that one.
func otherMarker(s *state, w *writer, o uint8, r row) bool {
	v := viewOf(s, w.seq)
	for seq := range v.until {
		c := &s.chain[seq]
		if c.kind == segmentKind && v.until[seq] > c.base && c.decidedAt == o+1 && c.decidedBy != r.entry() {
			return true
		}
	}
	return false
}

// markersStand tells whether the log holds the markers that decided archived
// rows and are not archived themselves.
func (m *model) markersStand(log *rows, s *state, v *view) bool {
	for seq := range v.until {
		c := &s.chain[seq]
		if c.kind == segmentKind && v.until[seq] > c.base && c.decidedAt > v.next && !holds(log, c.decidedAt-1, c.decidedBy) {
			return false
		}
	}
	return true
}
