package model

// The object store: PUTs arrive once, several times, late or never. A PUT with
// If-None-Match is atomic. What it answers may be lost on the way: a writer
// may give up waiting at any time.

// network offers what may happen to the requests on their way.
func (m *model) network(s *state) {
	for k := range s.requests {
		r := s.requests[k]
		if r.what == 0 {
			continue
		}
		n := *s
		n.requests[k] = request{}
		m.env(drop, int(r.writer)-1, &n)
		m.arrive(s, k)
		if m.slowUploads || m.rules.unconditionalPut {
			n = *s
			m.place(&n, r)
			m.env(repeat, int(r.writer)-1, &n)
		}
	}
}

func (m *model) arrive(s *state, k int) {
	n := *s
	r := s.requests[k]
	if m.rules.checkThenPut && r.what == putsCommit && r.checked == 0 {
		if r.seq < s.commits {
			n.requests[k] = request{}
		} else {
			n.requests[k].checked = 1
		}
		m.step(arrive, int(r.writer)-1, &n)
		return
	}
	n.requests[k] = request{}
	if m.place(&n, r) && r.writer != 0 {
		if w := &n.writers[r.writer-1]; w.at == placing && r.what == putsCommit || w.at == uploading && r.what == putsSegment {
			w.reply = replyOK
		}
	}
	m.step(arrive, int(r.writer)-1, &n)
}

// place does what a PUT asks for, and tells whether it succeeded.
func (m *model) place(n *state, r request) bool {
	if r.what == putsSegment {
		m.put(n, r.commit.segment)
		return true
	}
	c := r.commit
	c.writer = r.writer
	switch {
	case r.seq > n.commits:
		n.broken = brokeHole
	case r.seq == n.commits:
		n.chain[r.seq] = c
		n.commits++
	case !m.rules.unconditionalPut && r.checked == 0:
		return false
	case n.chain[r.seq] != c:
		n.broken = brokeOverwrite
	}
	return true
}

// put stores an object under the name that its content gives it.
func (m *model) put(n *state, g segment) {
	free := -1
	for k := range n.objects {
		o := &n.objects[k]
		switch {
		case o.there == 0:
			if free < 0 {
				free = k
			}
		case o.segment == g, m.rules.keyByBase && sameBase(&o.segment, &g):
			o.segment = g
			return
		}
	}
	if free < 0 {
		m.bounded = "objects"
		return
	}
	n.objects[free] = object{segment: g, there: 1}
}

func sameBase(a, b *segment) bool {
	left, _ := a.span()
	right, _ := b.span()
	return left == right
}

// find returns the place of an object with this content, or -1.
func (s *state) find(g *segment) int {
	for k := range s.objects {
		if s.objects[k].there != 0 && s.objects[k].segment == *g {
			return k
		}
	}
	return -1
}
