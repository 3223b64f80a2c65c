package model

// Kafka: two replicas' logs, of which one leads; elections, clean and unclean;
// a log start that moves. Everything in the leader's log is served.

// kafka offers what Kafka may do next.
func (m *model) kafka(s *state) {
	log := s.log()
	if end := log.end(0); end < m.offsets {
		for _, k := range m.kinds {
			if k.marker() && !openAt(log, end) {
				continue // a marker ends something
			}
			n := *s
			n.log()[end] = entry(k, s.epoch)
			m.env(produce, -1, &n)
		}
	}
	if s.elections > 0 {
		// The other replica leads, with what it has; the old leader's log stays
		// as it was, until it follows again.
		n := *s
		n.epoch++
		n.elections--
		*n.log() = s.other
		n.other = *log
		n.logStart = min(n.logStart, n.log().end(0)) // it had less than was deleted
		m.env(electOther, -1, &n)
		// The same log under a new epoch: no record is lost.
		n = *s
		n.epoch++
		n.elections--
		*n.log() = *log
		m.env(electSame, -1, &n)
	}
	if s.deletions > 0 && log[s.logStart] != 0 {
		n := *s
		n.logStart++
		n.deleted = max(n.deleted, n.logStart)
		n.deletions--
		m.env(retain, -1, &n)
	}
}

// openAt tells whether a transaction is open at the end of the log.
func openAt(log *rows, end uint8) bool {
	open := false
	for _, r := range log[:end] {
		if r.kind() == inTxn {
			open = true
		} else if r.marker() {
			open = false
		}
	}
	return open
}

// epochEnd is OffsetForLeaderEpoch: the largest epoch of the log that is not
// above the one asked for, and where it ends. Zero: undefined.
func epochEnd(log *rows, asked uint8) (epoch, end uint8) {
	for o := range uint8(maxOffsets) {
		if log[o] == 0 || log[o].epoch() > asked {
			break
		}
		epoch, end = log[o].epoch(), o+1
	}
	return epoch, end
}

// holds tells whether the log holds this record at o, as two answers of
// OffsetForLeaderEpoch and the log matching property tell it.
func holds(log *rows, o uint8, r row) bool {
	epoch, end := epochEnd(log, r.epoch())
	return epoch == r.epoch() && end > o
}

// lastStable is the first offset of a log without a verdict, or its end.
func lastStable(log *rows) uint8 {
	end := log.end(0)
	for o := range end {
		if log[o].kind() == inTxn {
			if _, ok := log.markerAfter(o); !ok {
				return o
			}
		}
	}
	return end
}
