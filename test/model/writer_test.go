package model

// writer offers what writer i may do next: steps 1 to 8 of the commit protocol.
func (m *model) writer(s *state, i int) {
	w := &s.writers[i]
	switch w.at {
	case closed:
		v := viewOf(s, s.commits)
		if v.ended && !m.returns {
			return
		}
		n := *s
		n.writers[i] = writer{at: opened, seq: s.commits, branch: v.branch, next: v.next}
		if m.rules.kafkaIsTruth {
			n.writers[i].next = s.advised
		}
		m.step(open, i, &n)
		return
	case opened:
		m.guardOpened(s, i)
	case tailing:
		m.tail(s, i)
	case cutMade, uploading, stored:
		m.upload(s, i)
	case placing:
		m.resolve(s, i)
	case loser:
		m.lose(s, i)
	case won:
		m.release(s, i)
	}
	if m.tailsOn && (w.at == stored || w.at == placing) && w.diverges == 0 {
		m.take(s, i)
	}
	if s.crashes > 0 {
		n := *s
		n.crashes--
		n.drop(i)
		m.env(lost, i, &n)
	}
}

// drop forgets everything a process knew. What it sent may still arrive.
func (s *state) drop(i int) {
	s.abandon(i)
	s.writers[i] = writer{}
}

// abandon makes the writer's attempt nobody's.
func (s *state) abandon(i int) {
	who := uint8(i + 1)
	for k := range s.chain {
		if s.chain[k].writer == who {
			s.chain[k].writer = 0
		}
	}
	for k := range s.requests {
		if s.requests[k].writer == who {
			s.requests[k].writer = 0
		}
	}
}

func (m *model) tail(s *state, i int) {
	w := &s.writers[i]
	if w.hand != 0 || !m.rules.guardWaitsForRecord && !m.rules.noGuardOnChange {
		m.guardRaised(s, i)
	}
	idle := w.hand == 0 && (w.expected() == w.next || w.buffer[w.next].undecided())
	if idle && w.seq < s.commits && !m.rules.idleNeverLooks {
		// Nothing to commit, so it would never learn that the head is another.
		n := *s
		n.drop(i)
		m.step(lookAgain, i, &n)
	}
	m.take(s, i)
	for end := w.next + 1; end <= w.expected(); end++ {
		if w.buffer[end-1].undecided() && !m.rules.cutUndecided {
			break
		}
		n := *s
		n.writers[i].at, n.writers[i].cutEnd = cutMade, end
		if m.rules.commitFirst {
			n.writers[i].at = stored
		}
		m.step(cut, i, &n)
	}
}

// take adds what Kafka serves at the expected offset.
func (m *model) take(s *state, i int) {
	w := &s.writers[i]
	o := w.expected()
	if o >= maxOffsets || w.hand != 0 {
		return
	}
	n := *s
	into := &n.writers[i]
	if s.logStart > o {
		if m.rules.resetsSilently {
			if o == w.next {
				into.next = s.logStart
				m.step(take, i, &n)
			}
			return
		}
		into.buffer[o] = entry(gap, 0)
		for p := into.next; p < o; p++ { // its marker may have been here
			if into.buffer[p].undecided() && !m.rules.decidesOverGap {
				into.buffer[p] = entry(gap, 0)
			}
		}
		m.step(take, i, &n)
		return
	}
	r := s.log()[o]
	if r == 0 {
		return
	}
	if last := m.lastEpoch(s, w); m.mustGuard(last, r.epoch()) || otherMarker(s, w, o, r) && !m.rules.takesOtherMarker {
		into.hand = r
		m.step(take, i, &n)
		return
	}
	m.step(m.add(into, r), i, &n)
}

// mustGuard tells whether a record of this epoch behind one of the last epoch
// may come from another history.
func (m *model) mustGuard(last, epoch uint8) bool {
	switch {
	case last == 0 || m.rules.noGuardOnChange:
		return false
	case m.rules.guardOnRiseOnly:
		return epoch > last
	default:
		return epoch != last
	}
}

// lastEpoch is that of the newest record that the writer holds or has archived.
func (m *model) lastEpoch(s *state, w *writer) uint8 {
	if _, r := lastOf(&w.buffer, w.next); r != 0 {
		return r.epoch()
	}
	v := viewOf(s, w.seq)
	_, r := v.last()
	return r.epoch()
}

func lastOf(buffer *rows, from uint8) (o uint8, r row) {
	for o = buffer.end(from); o > from; o-- {
		if buffer[o-1].real() {
			return o - 1, buffer[o-1]
		}
	}
	return 0, 0
}

// add appends a record, and gives verdicts if it is a marker. It names the
// transition that this is.
func (m *model) add(w *writer, r row) transition {
	name, o := take, w.expected()
	switch {
	case r.marker():
		raised := r.kind() == abortRaised || r.kind() == commitRaised
		for p := w.next; p < o; p++ {
			if w.buffer[p].undecided() && !(raised && m.rules.verdictByEpoch) {
				w.buffer[p] |= r.verdict()
				name = decide
			}
		}
		r |= control
	case r.kind() == plain:
		r |= committed
	}
	w.buffer[o] = r
	return name
}

// upload sends the segment and, once it is durable, the commit.
func (m *model) upload(s *state, i int) {
	w := &s.writers[i]
	n := *s
	to := &n.writers[i]
	switch {
	case w.at == stored:
		m.send(&n, i, putCommit, request{writer: uint8(i + 1), what: putsCommit, seq: w.seq, commit: m.attempt(w)})
		return
	case !m.slowUploads:
		to.at = stored
		m.put(&n, m.attempt(w).segment)
		m.step(putSegment, i, &n)
		return
	case w.at == cutMade:
		m.send(&n, i, putSegment, request{writer: uint8(i + 1), what: putsSegment, commit: commit{segment: m.attempt(w).segment}})
		return
	case w.reply == replyOK:
		to.at, to.reply = stored, noReply
	default:
		to.at = cutMade // no answer: once more
	}
	m.step(putSegment, i, &n)
}

// attempt is the commit that the writer's cut or divergence makes.
func (m *model) attempt(w *writer) commit {
	if w.diverges != 0 {
		return commit{kind: divergence, branch: w.branch + 1, base: w.point, next: w.point}
	}
	c := commit{kind: segmentKind, branch: w.branch, base: w.next, next: w.cutEnd}
	c.segment.branch = w.branch
	for o := w.next; o < w.cutEnd; o++ {
		c.segment.rows[o] = w.buffer[o]
		if w.buffer[o].kind() != inTxn {
			continue
		}
		if at, ok := w.buffer.markerAfter(o); ok && at >= w.cutEnd {
			c.decidedBy, c.decidedAt = w.buffer[at].entry(), at+1
		}
	}
	return c
}

// send puts a request on its way. A request that is on its way already is sent
// by that: it may arrive any number of times.
func (m *model) send(n *state, i int, name transition, r request) {
	if r.seq >= maxCommits {
		m.bounded = "commits"
		return
	}
	free := -1
	for k := range n.requests {
		switch n.requests[k] {
		case r:
			free = k
		case request{}:
			if free < 0 && k < m.requests {
				free = k
			}
		}
	}
	if free < 0 {
		return // the network is full: wait
	}
	n.requests[free] = r
	w := &n.writers[i]
	w.at, w.reply = placing, noReply
	if r.what == putsSegment {
		w.at = uploading
	}
	m.step(name, i, n)
}

// resolve is what a writer does with a 200, and with a 412, a 409 or no answer:
// the latter may be at any time, whatever became of the request.
func (m *model) resolve(s *state, i int) {
	w := &s.writers[i]
	n := *s
	to := &n.writers[i]
	to.reply = noReply
	if w.reply == replyOK {
		to.at = won
		m.step(settle, i, &n)
		return
	}
	switch {
	case w.seq < s.commits && m.rules.nextSeqSameAttempt:
		to.seq++
		to.at = stored
	case w.seq < s.commits && s.chain[w.seq].writer == uint8(i+1):
		to.at = won
	case w.seq < s.commits:
		to.at = loser
	default:
		to.at = stored // nothing there: the same bytes once more
	}
	m.step(resolve, i, &n)
}

// lose is step 7's last case: the seq is another's.
func (m *model) lose(s *state, i int) {
	w := &s.writers[i]
	v := viewOf(s, s.commits)
	keep := v.next == w.next && v.branch == w.branch
	if m.rules.keepIgnoresBranch {
		keep = v.next == w.next
	}
	keep = keep && (!v.ended || m.rules.keepIgnoresEnd)
	n := *s
	if (keep || m.rules.keepAlways) && w.diverges == 0 {
		n.abandon(i)
		n.writers[i].at, n.writers[i].seq, n.writers[i].branch = stored, s.commits, v.branch
		if v.branch != w.branch { // the bug's buffer, as the new branch's
			m.put(&n, m.attempt(&n.writers[i]).segment)
		}
		m.step(keepBuffer, i, &n)
		return
	}
	n.drop(i)
	m.step(discard, i, &n)
}

// release drops what was committed. Whoever diverged reads on at the branch
// point.
func (m *model) release(s *state, i int) {
	n := *s
	n.abandon(i)
	w := &n.writers[i]
	if w.diverges != 0 {
		*w = writer{at: tailing, seq: w.seq + 1, branch: w.branch + 1, next: w.point}
	} else {
		if m.rules.commitFirst {
			m.put(&n, m.attempt(w).segment)
		}
		for o := w.next; o < w.cutEnd; o++ {
			w.buffer[o] = 0
		}
		w.at, w.seq, w.next, w.cutEnd = tailing, w.seq+1, w.cutEnd, 0
	}
	if m.rules.kafkaIsTruth {
		n.advised = w.next
	}
	m.step(release, i, &n)
}
