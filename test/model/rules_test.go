package model

// rules are what a protocol might do wrong; each names one bug. The zero value
// is the protocol.
type rules struct {
	unconditionalPut   bool // the commit's PUT has no If-None-Match
	checkThenPut       bool // the store looks, then writes
	keyByBase          bool // a segment's name has no hash: a later one overwrites
	commitFirst        bool // the commit is placed before the segment
	nextSeqSameAttempt bool // on a 412, or none, the same commit is tried at the next seq
	kafkaIsTruth       bool // reading begins at Kafka's committed offset
	keepAlways         bool // the loser keeps its buffer
	keepIgnoresBranch  bool // … if the head's next is its base, on whatever branch
	keepIgnoresEnd     bool // … though an end took the seq
	goesOnBehindEnd    bool // a topic that is there again is read on behind its chain's end
	idleNeverLooks     bool // who has nothing to commit never reads the head again

	cutUndecided   bool // a cut goes past the first undecided record
	verdictByEpoch bool // a marker ends transactions of its own producer epoch only
	resetsSilently bool // out of range: reads on at log start, without a gap

	decidesOverGap bool // a marker decides rows that an earlier one had, which was deleted

	guardByEnd          bool // the log's end alone is compared
	noGuardOnChange     bool // the guard runs at open only
	guardOnRiseOnly     bool // … and where a record's epoch rises, not where it falls
	guardKeepsBuffer    bool // what is buffered is not asked about, what is archived is
	guardIgnoresHand    bool // the record that came is not asked about
	guardWaitsForRecord bool // a new leader alone is no reason to ask
	guardIgnoresMarkers bool // verdicts whose marker is not archived are not asked about
	guardIgnoresGapEnd  bool // a log that ends in a gap, or below a chain without rows, passes
	takesOtherMarker    bool // what stands where a marker was read ahead is not looked at

	compactBeforePut        bool // the compaction commits, then stores
	lostCompactionTriesNext bool // a compaction that lost its seq takes the next
	deleteReplacedAtOnce    bool // replaced objects go with the commit
	outputsLookArchived     bool // a compaction's object can be an archiver's, byte for byte

	collectYoung       bool // no age bound
	collectByAge       bool // age alone: base may be at or above next
	collectIgnoresJobs bool // outputs are named in no job
	collectSuperseded  bool // what a divergence superseded counts as unreferenced

	purgeStaleHolds   bool // lost its seq, and does not read the holds again
	purgeHoldsAfter   bool // holds are read after the commit
	purgeDeletesFirst bool // objects go before the commit
}
