package model

import "unsafe"

// Bounds of the encoding. A configuration that hits one is not exhaustive, and
// its run fails.
const (
	maxOffsets  = 4
	maxCommits  = 9
	maxObjects  = 9
	maxRequests = 3
	maxEpochs   = 3
)

// row is one offset's record in Kafka, in a buffer or in a segment: its kind,
// the leader epoch it was written in and, once somebody decided, its status.
// Two records at one offset with one epoch are the same record: a leader never
// overwrites in its own epoch.
type row uint8

const (
	plain        row = 1 + iota // not transactional
	inTxn                       // of the one transactional producer
	commitMark                  // ends its transaction
	abortMark                   //
	abortRaised                 // the same, with the producer's epoch + 1 (KIP-360)
	gap                         // not a record: the offset was not served
	commitRaised                // as abortRaised (KIP-890)

	kindBits   row = 7
	epochShift     = 3
	entryBits  row = 31 // kind and epoch: what Kafka gives

	statusShift     = 5
	committed   row = 1 << statusShift
	aborted     row = 2 << statusShift
	control     row = 3 << statusShift
	statusBits      = control
)

func entry(kind row, epoch uint8) row { return kind | row(epoch)<<epochShift }

func (r row) kind() row    { return r & kindBits }
func (r row) epoch() uint8 { return uint8(r & entryBits >> epochShift) }
func (r row) entry() row   { return r & entryBits }
func (r row) status() row  { return r & statusBits }
func (r row) real() bool   { return r != 0 && r.kind() != gap }
func (r row) marker() bool {
	k := r.kind()
	return k == commitMark || k == abortMark || k == abortRaised || k == commitRaised
}
func (r row) undecided() bool { return r.kind() == inTxn && r.status() == 0 }

// verdict is what a marker says of its transaction's rows.
func (r row) verdict() row {
	if k := r.kind(); k == commitMark || k == commitRaised {
		return committed
	}
	return aborted
}

// rows are indexed by offset; zero where there is none.
type rows [maxOffsets]row

// end is the first offset at or above from without a row.
func (l *rows) end(from uint8) uint8 {
	for from < maxOffsets && l[from] != 0 {
		from++
	}
	return from
}

// markerAfter finds the marker that ends the transaction of the row at o.
func (l *rows) markerAfter(o uint8) (at uint8, ok bool) {
	for o++; o < maxOffsets && l[o] != 0; o++ {
		if l[o].marker() {
			return o, true
		}
	}
	return 0, false
}

// segment is an object's content, and by that its name. made tells encoders
// apart: an archiver's and the compaction's files differ by more than rows.
type segment struct {
	rows   rows
	branch uint8
	made   uint8
}

const (
	byArchiver   uint8 = 0
	byCompaction uint8 = 1
)

// span is the segment's range; an empty one has none.
func (g *segment) span() (base, next uint8) {
	for base < maxOffsets && g.rows[base] == 0 {
		base++
	}
	return base, g.rows.end(base)
}

type object struct {
	segment
	there uint8
	old   uint8 // it is past the collection's age bound
}

type kind uint8

const (
	genesis kind = 1 + iota
	segmentKind
	divergence
	hold
	purge
	compaction
	theEnd // of a topic that was deleted
)

// commit is one entry of the chain. Its seq is its index.
type commit struct {
	kind       kind
	branch     uint8
	base, next uint8
	segment    segment
	replaced   uint8 // seqBit of the commits whose objects it puts out of use
	// decidedBy is the marker that gave the last verdicts in the segment, and
	// decidedAt its offset + 1, if it stands behind the segment.
	decidedBy row
	decidedAt uint8
	// writer is 1 or 2 if this is that writer's attempt under way: what the
	// comparison of attempt ids finds out. Attempts nobody asks about are 0.
	writer uint8
}

// request is a PUT on its way to the store. Requests are a set: one may arrive
// any number of times, at any time, or never.
type request struct {
	writer  uint8 // 1 or 2 while the attempt is that writer's current one
	what    uint8 // 0: no request
	checked uint8 // a store that checks, then puts, has checked
	seq     uint8
	commit  commit
}

const (
	putsSegment uint8 = 1 + iota
	putsCommit
)

// The places a writer can be in.
const (
	closed    uint8 = iota // not the partition's owner, or crashed
	opened                 // knows the head, has not asked Kafka about it
	tailing                // reads and buffers
	cutMade                // has cut, not sent the segment
	uploading              // sent the segment
	stored                 // the segment is durable
	placing                // sent the commit
	loser                  // the seq is another's
	won                    // the commit is in the chain
)

const (
	noReply uint8 = iota
	replyOK
)

// writer is one process's idea of the partition.
type writer struct {
	at, reply uint8
	seq       uint8 // the seq it writes next
	branch    uint8
	next      uint8 // where its buffer begins
	buffer    rows  // [next, expected)
	hand      row   // a record at expected whose leader epoch differs from the last
	cutEnd    uint8 // the cut is [next, cutEnd)
	diverges  uint8 // the attempt is a divergence
	point     uint8 // its branch point
}

func (w *writer) expected() uint8 { return w.buffer.end(w.next) }

// upkeep is what compaction, purge, collection and a reader know.
type upkeep struct {
	job, jobPut, jobSeq     uint8
	jobInputs               uint8
	purging, purgeSeq       uint8
	purgeOf                 uint8 // seq whose object goes
	collecting, collectSeq  uint8
	collectJob              uint8 // a job was open when the collection looked
	collectInputs           uint8
	reading, readSeq        uint8
	holds, purges, compacts uint8 // budgets left
	collects, reads         uint8
	ends                    uint8
}

const (
	purgeLooked uint8 = 1 + iota
	purgePlaced
	purgeDeleted // a bug's: before the commit
)

// state is everything. It holds bytes only, so that its memory is its key.
type state struct {
	reigns    [maxEpochs]rows // what the leader of each epoch had at the end of its reign
	other     rows            // the log of the replica that does not lead
	epoch     uint8
	elections uint8 // left
	logStart  uint8
	deleted   uint8 // the highest log start that any leader had
	deletions uint8 // left: moves of the log start
	crashes   uint8 // left
	advised   uint8 // Kafka's committed offset
	broken    uint8 // a violation that is an event, not a state
	commits   uint8
	chain     [maxCommits]commit
	objects   [maxObjects]object
	requests  [maxRequests]request
	writers   [2]writer
	keep      upkeep
}

// log is the leader's.
func (s *state) log() *rows { return &s.reigns[s.epoch-1] }

// seqBit is a commit in a set of commits. The genesis is in none.
func seqBit(seq uint8) uint8 { return 1 << (seq - 1) }

// bytes is the state as it stands in memory. All fields are single bytes, so
// there is no padding that could differ.
func (s *state) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}
