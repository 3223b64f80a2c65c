package takeover

// records of the plan; each is a transaction.
const records = 2

// phase is a job's state, in the state object.
type phase uint8

const (
	awaiting phase = iota
	planned
	running
	paused
	done
	cancelled
)

func (p phase) isEnded() bool { return p == done || p == cancelled }
func (p phase) isHeld() bool  { return p.isEnded() || p == paused || p == awaiting }

// job is the state object.
type job struct {
	phase    phase
	lease    uint8 // the worker, counted from 1; 0: free
	cancel   bool
	pause    bool
	produced uint8
}

// place is where a worker is in its loop.
type place uint8

const (
	idle place = iota
	looked
	claimed    // an attempt begins
	fenced     // earlier producers are
	ready      // knows where the job stands
	open       // a record of its transaction is sent
	sent       // the commit is sent
	reconciled // everything is in the target
)

// sending is what became of a worker's commit.
type sending uint8

const (
	nothing sending = iota
	underWay
	committed
	refusedCommit
)

type worker struct {
	at      place
	next    uint8
	seen    job  // as it looked; where a bug writes it back, also later
	fresh   bool // nobody has written the state since
	stopped bool // as it looked: all replays were stopped
}

type state struct {
	job     job
	stopped bool
	workers [2]worker
	// Kafka: who began last as transactional producer, the open transactions, the
	// commits on their way, and what readers of committed records get.
	owner    uint8
	opened   [2]bool
	commits  [2]sending
	carries  [2]uint8 // the record of each worker's transaction
	log      [records + 2]uint8
	length   uint8
	position uint8
	// What the checks remember.
	approved, asked, claimedStopped bool
	ended                           phase // how the job ended
}

type transition string

// move is one transition from a state. A fault need not happen.
type move struct {
	to    state
	name  transition
	who   int
	fault bool
}

// rules are what a protocol might do wrong; each names one bug. The zero value is
// the protocol.
type rules struct {
	noFence        bool // a worker goes on with the producer that is there
	readsFirst     bool // the position is read before earlier workers are fenced
	trustsState    bool // work goes on from what the state object says
	twoSteps       bool // the position is written after the transaction of its records
	sendsAgain     bool // an unanswered commit is followed by the same records
	putsBlindly    bool // a claim is written without If-Match
	overwrites     bool // who finds the state changed writes its own copy over it
	doneWhenSent   bool // the last commit's answer is not waited for, nor the target read
	ignoresHeld    bool // a job that awaits an approval is claimed
	ignoresStop    bool // jobs are claimed while all are stopped
	leaseForever   bool // a lease that nobody renews holds
	endsOthers     bool // a worker that lost its job ends it
	keepsItsCancel bool // a worker that lets go does not look at what is asked
}

type model struct {
	rules rules
	moves []move
}

func initial() state { return state{} }

func (m *model) add(name transition, who int, fault bool, s state) {
	m.canonical(&s)
	m.moves = append(m.moves, move{s, name, who, fault})
}

// canonical gives states that differ in nothing that matters one form: what nobody
// will look at again is cleared.
func (m *model) canonical(s *state) {
	if s.ended == awaiting && s.job.phase.isEnded() {
		s.ended = s.job.phase
	}
	if !m.rules.trustsState {
		s.job.produced = 0
	}
	for w := range s.workers {
		me := &s.workers[w]
		switch {
		case me.at == looked && !me.fresh && !m.rules.putsBlindly: // it will meet a conflict
			*me = worker{at: looked}
		case me.at != looked && !m.rules.overwrites:
			me.seen, me.stopped, me.fresh = job{}, false, false
		}
		if me.at == claimed || me.at == fenced && !m.rules.readsFirst || me.at == reconciled {
			me.next = 0
		}
		if s.commits[w] != underWay && me.at != sent {
			s.commits[w] = nothing // nobody waits for the answer
		}
		if s.commits[w] != underWay && me.at != open {
			s.carries[w] = 0
		}
	}
}

// wrote has everybody but who find the state changed.
func (s *state) wrote(who int) {
	for i := range s.workers {
		s.workers[i].fresh = i == who && s.workers[i].at != idle
	}
}

// next fills m.moves.
func (m *model) next(s *state) {
	m.moves = m.moves[:0]
	for w := range s.workers {
		m.worker(s, w)
		m.network(s, w)
	}
	m.people(s)
}

func (m *model) worker(s *state, w int) {
	me := &s.workers[w]
	if me.at != idle {
		n := *s
		n.workers[w] = worker{}
		m.add("crash", w, true, n)
	}
	switch me.at {
	case idle:
		n := *s
		n.workers[w] = worker{at: looked, seen: s.job, fresh: true, stopped: s.stopped}
		m.add("look", w, false, n)
		return
	case looked:
		m.claim(s, w)
		return
	case claimed:
		m.begin(s, w)
	case fenced:
		n := *s
		n.workers[w].at = ready
		if !m.rules.readsFirst {
			n.workers[w].next = m.from(s)
		}
		m.add("position", w, false, n)
	case ready:
		m.produce(s, w)
	case open:
		n := *s
		n.workers[w].at, n.commits[w] = sent, underWay
		if n.opened[w] = false; m.rules.doneWhenSent && me.next+1 == records {
			n.workers[w].at = reconciled
		}
		m.add("commit", w, false, n)
	case sent:
		m.answer(s, w)
	case reconciled:
		m.end(s, w)
	}
	m.keep(s, w)
}

func (m *model) claim(s *state, w int) {
	me := &s.workers[w]
	n := *s
	n.workers[w] = worker{}
	held := me.seen.phase.isHeld() && !(m.rules.ignoresHeld && me.seen.phase == awaiting)
	if held || me.stopped && !m.rules.ignoresStop || m.rules.leaseForever && me.seen.lease != 0 {
		m.add("look", w, false, n)
		return
	}
	if !me.fresh && !m.rules.putsBlindly { // a conflict
		m.add("claim", w, false, n)
		return
	}
	n.job = me.seen
	n.job.lease = uint8(w) + 1
	n.claimedStopped = n.claimedStopped || me.stopped
	n.workers[w] = worker{at: claimed}
	if m.rules.overwrites {
		n.workers[w].seen = n.job
	}
	n.wrote(w)
	m.add("claim", w, false, n)
}

// begin makes this worker the one whose transactions count: what others had open is
// aborted, and commits of theirs that come later are refused.
func (m *model) begin(s *state, w int) {
	n := *s
	n.workers[w].at = fenced
	if m.rules.readsFirst {
		n.workers[w].next = m.from(s)
		n.workers[w].at = ready // and the fence comes with the first record
		m.add("position", w, false, n)
		return
	}
	if !m.rules.noFence {
		n.fence(w)
	}
	m.add("fence", w, false, n)
}

func (s *state) fence(w int) {
	s.owner = uint8(w) + 1
	for i := range s.commits {
		s.opened[i] = false
		if s.commits[i] == underWay {
			s.commits[i] = refusedCommit
		}
	}
}

// from is where work goes on.
func (m *model) from(s *state) uint8 {
	if m.rules.trustsState {
		return s.job.produced
	}
	return s.position
}

func (m *model) produce(s *state, w int) {
	me := &s.workers[w]
	n := *s
	if me.next >= records {
		if s.length >= records { // the target was read and compared
			n.workers[w].at = reconciled
			m.add("reconcile", w, false, n)
		}
		return
	}
	if m.rules.readsFirst && s.owner != uint8(w)+1 {
		n.fence(w)
		m.add("fence", w, false, n)
		return
	}
	if !m.rules.noFence && s.owner != uint8(w)+1 {
		n.workers[w].at = claimed
		m.add("refused", w, false, n)
		return
	}
	n.workers[w].at, n.opened[w], n.carries[w], n.commits[w] = open, true, me.next, nothing
	if n.job.phase == planned && n.job.lease == uint8(w)+1 {
		n.job.phase = running
		n.wrote(w)
	}
	m.add("produce", w, false, n)
}

func (m *model) answer(s *state, w int) {
	me := &s.workers[w]
	switch s.commits[w] {
	case committed:
		n := *s
		n.commits[w], n.workers[w].at, n.workers[w].next = nothing, ready, me.next+1
		if m.rules.twoSteps {
			n.position = me.next + 1
		}
		if n.job.lease == uint8(w)+1 {
			n.job.produced = max(n.job.produced, me.next+1)
			n.wrote(w)
		}
		m.add("answered", w, false, n)
	case refusedCommit:
		n := *s
		n.commits[w], n.workers[w].at = nothing, claimed
		m.add("refused", w, false, n)
	}
	n := *s // it may arrive all the same, until somebody begins as producer
	if n.workers[w].at = claimed; m.rules.sendsAgain {
		n.workers[w].at = ready
	}
	m.add("giveUp", w, true, n)
}

func (m *model) end(s *state, w int) {
	n := *s
	n.workers[w] = worker{}
	if s.job.lease == uint8(w)+1 || m.rules.endsOthers {
		n.job.phase, n.job.lease = done, 0
		n.wrote(-1)
	}
	m.add("end", w, false, n)
}

// keep is what a worker does between its steps: it looks at the state, which somebody
// may have changed.
func (m *model) keep(s *state, w int) {
	me := &s.workers[w]
	n := *s
	n.workers[w] = worker{}
	if m.rules.overwrites && !me.fresh && me.at != reconciled {
		n = *s
		n.job, n.workers[w].fresh = me.seen, true
		n.wrote(w)
		m.add("letGo", w, false, n)
		return
	}
	if s.job.lease != uint8(w)+1 || s.job.phase.isEnded() {
		m.add("lose", w, false, n)
		return
	}
	if me.at == sent || !s.job.cancel && !s.job.pause && !s.stopped {
		return
	}
	n.opened[w], n.job.lease = false, 0
	switch {
	case m.rules.keepsItsCancel:
		n.job.cancel, n.job.pause = false, false
	case s.job.cancel:
		n.job.phase = cancelled
	case s.job.pause:
		n.job.phase = paused
	}
	n.job.pause = false
	n.wrote(-1)
	m.add("letGo", w, false, n)
}

// network is what becomes of a worker's commit; a crashed worker's comes too.
func (m *model) network(s *state, w int) {
	if s.commits[w] != underWay {
		return
	}
	n := *s
	n.commits[w] = refusedCommit
	if m.rules.noFence || s.owner == uint8(w)+1 {
		n.commits[w] = committed
		if n.length < uint8(len(n.log)) {
			n.log[n.length] = s.carries[w]
			n.length++
		}
		if !m.rules.twoSteps {
			n.position = s.carries[w] + 1
		}
	}
	m.add("arrive", w, false, n)
}

func (m *model) people(s *state) {
	change := func(name transition, fault bool, do func(n *state)) {
		n := *s
		do(&n)
		n.wrote(-1)
		m.add(name, -1, fault, n)
	}
	j := &s.job
	if j.phase == awaiting {
		change("approve", false, func(n *state) { n.job.phase, n.approved = planned, true })
	}
	if !j.phase.isEnded() && !j.cancel {
		change("cancel", true, func(n *state) {
			n.job.cancel, n.asked = true, true
			if j.phase.isHeld() || j.phase == planned && j.lease == 0 {
				n.job.phase = cancelled
			}
		})
	}
	if !j.phase.isHeld() && !j.cancel && !j.pause {
		change("pause", true, func(n *state) {
			n.job.pause = true
			if j.lease == 0 {
				n.job.phase, n.job.pause = paused, false
			}
		})
		change("pause", true, func(n *state) { n.job.phase, n.job.lease = paused, 0 }) // its lease has passed
	}
	if (j.phase == paused || j.pause) && !s.stopped {
		change("resume", false, func(n *state) {
			if n.job.pause = false; j.phase == paused {
				n.job.phase = running
			}
		})
	}
	n := *s // another object: nobody's copy of the state is older by it
	if n.stopped = !s.stopped; n.stopped {
		m.add("stopAll", -1, true, n)
	} else {
		m.add("startAll", -1, false, n)
	}
}

// check says what does not hold in a state; "" if everything does.
func check(s *state) string {
	for i := range s.length {
		if s.log[i] != i || i >= records {
			return "target: a record is there twice, or not in order"
		}
	}
	switch {
	case s.position > s.length:
		return "position: it is behind what is in the target"
	case s.job.phase == done && s.length < records:
		return "end: the job is done and the target is not whole"
	case s.ended != awaiting && s.job.phase != s.ended:
		return "end: a job that had ended is something else now"
	case (s.length > 0 || s.opened[0] || s.opened[1]) && !s.approved:
		return "approval: something was sent before anybody approved it"
	case s.asked && !s.job.cancel && !s.job.phase.isEnded():
		return "cancel: it was asked for, and is forgotten"
	case s.claimedStopped:
		return "stop: a worker that saw that all are stopped took the job"
	}
	return ""
}

// isOver tells whether the job has ended, and all workers know.
func isOver(s *state) bool {
	return s.job.phase.isEnded() && s.job.lease == 0 && s.workers[0].at <= looked && s.workers[1].at <= looked
}
