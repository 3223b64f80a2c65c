package model

const (
	brokeHole uint8 = 1 + iota
	brokeOverwrite
)

// check holds a state against what must always be true, and says what is not.
func (m *model) check(s *state) string {
	switch s.broken {
	case brokeHole:
		return "chain: a seq is missing"
	case brokeOverwrite:
		return "chain: a commit was overwritten"
	}
	v := viewOf(s, s.commits)
	if v.fault != "" {
		return v.fault
	}
	if what := m.objectsThere(s, &v); what != "" {
		return what
	}
	if what := oneHistory(s, &v); what != "" {
		return what
	}
	if what := eachOnce(s, &v); what != "" {
		return what
	}
	if what := held(s); what != "" {
		return what
	}
	return m.readerSees(s)
}

// objectsThere: what a commit placed is there, byte for byte, until a purge
// names it, or a rewrite has replaced it and everybody who could not know is
// done.
func (m *model) objectsThere(s *state, v *view) string {
	for seq := uint8(1); seq < s.commits; seq++ {
		c := &s.chain[seq]
		if seqBit(seq)&v.there != 0 && s.find(&c.segment) < 0 {
			return "store: a commit names a segment that is not there, or has other bytes"
		}
	}
	return ""
}

// oneHistory: the current rows are what one leader's log held, gaps are where
// Kafka's log had begun behind them, nothing is undecided, and the verdicts
// are those of the markers that follow.
func oneHistory(s *state, v *view) string {
	_, last := v.last()
	for o, r := range v.rows[:v.next] {
		switch {
		case r.undecided():
			return "rows: an undecided record is committed"
		case r.kind() == gap:
			if uint8(o) >= s.deleted {
				return "rows: a gap where Kafka served records"
			}
			continue
		case r.entry() != s.reigns[last.epoch()-1][o].entry():
			return "rows: two histories are mixed on one branch"
		}
		if r.kind() != inTxn {
			continue
		}
		// The marker may have been deleted before it was read.
		log := &s.reigns[last.epoch()-1]
		if at, ok := log.markerAfter(uint8(o)); ok && at < v.next && log[at].verdict() != r.status() {
			return "rows: a record's status is not that of the marker that ends its transaction"
		}
	}
	return ""
}

// eachOnce: of the objects that a view has, one has the row of an offset, none
// if it was purged.
func eachOnce(s *state, v *view) string {
	for o := range v.next {
		n, purged := 0, false
		for seq := uint8(1); seq < s.commits; seq++ {
			if c := &s.chain[seq]; v.until[seq] > o && c.base <= o {
				n += int(v.there >> (seq - 1) & 1)
				purged = purged || v.purged&seqBit(seq) != 0
			}
		}
		if n > 1 || n == 0 && !purged {
			return "view: readers see a row twice, or not at all"
		}
	}
	return ""
}

// held: no purge takes from a range that was held before it.
func held(s *state) string {
	for seq := range s.commits {
		c := &s.chain[seq]
		if c.kind != purge {
			continue
		}
		for of := uint8(1); of < seq; of++ {
			if c.replaced&seqBit(of) != 0 && s.heldAt(seq, &s.chain[of].segment) {
				return "purge: a held range was purged"
			}
		}
	}
	return ""
}

// readerSees: who reads by a view finds every object of it, replaced ones
// too, but for what was purged meanwhile.
func (m *model) readerSees(s *state) string {
	if s.keep.reading == 0 {
		return ""
	}
	v := viewOf(s, s.keep.readSeq)
	now := viewOf(s, s.commits)
	for seq := uint8(1); seq < s.keep.readSeq; seq++ {
		if v.there&seqBit(seq) != 0 && now.purged&seqBit(seq) == 0 && s.find(&s.chain[seq].segment) < 0 {
			return "reader: a segment of its view is gone, and no purge names it"
		}
	}
	return ""
}

// done: everything that has a verdict is archived as Kafka has it, and no job
// or purge is half done.
func (m *model) done(s *state) bool {
	v := viewOf(s, s.commits)
	log := s.log()
	if v.ended { // the rest went with the topic
		return s.keep.job == 0 && s.keep.purging == 0
	}
	if v.next < lastStable(log) || v.next > log.end(0) || s.keep.job != 0 || s.keep.purging != 0 {
		return false
	}
	for o, r := range v.rows[:v.next] {
		if r.real() && r.entry() != log[o].entry() {
			return false
		}
	}
	return true
}
