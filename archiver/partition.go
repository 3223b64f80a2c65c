package archiver

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// What a buffered record costs beside its key, value and headers: the struct
// and the client's batch around it, and the two slices of each header.
const (
	rowOverhead    = 256
	headerOverhead = 64
)

// kafkaKey is under which name Kafka, and so the group, has a stream.
func kafkaKey(s schema.Stream) kafka.TopicPartition {
	return kafka.TopicPartition{Topic: s.Topic, Partition: s.Partition}
}

// overhead is what a buffered record takes of memory beside its raw bytes.
func overhead(r *schema.Record) int64 { return rowOverhead + headerOverhead*int64(len(r.Headers)) }

// cost is what a buffered record counts in the budget.
func cost(r *schema.Record) int64 { return r.Bytes() + overhead(r) }

// partition is the buffer of one partition between what the ledger says is
// archived and what Kafka has served. It is guarded by the Archiver's mutex.
//
//	head.Next ≤ row 0 … row decided-1 | row decided … < expected
//	            decided: may be cut     waits for a marker
//
// The first rows may be in the spool (frames.go), the others are rows. Of those
// in the spool decided and fed are where a frame ends.
type partition struct {
	stream schema.Stream
	head   ledger.Head
	// archivedEpoch is the leader epoch of the newest archived row, or
	// nothingHeld, or epochUnknown.
	archivedEpoch int32
	compacted     bool           // the topic has, or had, cleanup.policy=compact
	config        *schema.Digest // of the topic's configuration
	begun         bool           // its genesis was written at open: the index misses nothing but what it is fed

	spooled
	rows     rows                // in memory
	first    int64               // running number of row 0, to find rows by number after a cut
	open     map[int64]*openRows // producer ID → its undecided rows
	verdicts []schema.Decider    // which markers decided which rows, of those not archived to the marker
	decided  int                 // so many rows have their verdict
	fed      int                 // so many were handed to the index
	parsed   []*parsed           // of rows that are in memory and were handed over, ascending; those of a cut go with it
	gaps     []schema.Gap        // within [head.Next, expected), ascending
	expected int64               // the offset that should come next

	bytes        int64 // of rows, overhead included
	decidedBytes int64
	decidedRaw   int64     // what the producers sent of the decided rows, wherever they are: cuts go by it
	since        time.Time // when the oldest row or gap arrived

	highWatermark, lastStable, logStart int64

	tookAt time.Time // when records came last

	sealing bool      // a cut of this buffer is on its way
	cutAt   time.Time // when it was made: nothing that stayed is older
	sealTo  int64     // somebody asked to seal up to here

	doubts

	suspect *suspicion // of what comes next; nil: none

	revival   *revival   // what is done about that; nil: it was never given up
	stopped   string     // why it is not archived any further; empty: it is
	stoppedBy dependency // what is to blame for it

	quietAt int64     // the offset that was expected at the last look for silence
	overdue time.Time // since when the log is known to go on while nothing comes; zero: it is not

	// What the loop is to do about the fetch.
	seek, pause, resume bool
	ask                 bool     // where does the log start and end?
	aside               bool     // paused until the last stable offset has passed expected
	skim                *skim    // after that: reading ahead for the markers
	known               *endings // after that: what they were; nil: nothing is known ahead

	blocked      int64     // the first undecided offset
	blockedSince time.Time // zero: nothing is undecided

	watched
}

// openRows are a producer's undecided rows.
type openRows struct {
	from   int64    // offset of the first
	rows   []int64  // running numbers of those in memory
	frames []*frame // that hold others
}

// watched is what the metrics are made of besides; discard keeps it.
type watched struct {
	marks     marks
	retention retention
	tally     *tally
	unjoined  int // segments that compaction passes over
}

func newPartition(stream schema.Stream, head ledger.Head) *partition {
	p := &partition{
		stream: stream, head: head, expected: head.Next, open: map[int64]*openRows{},
		highWatermark: -1, lastStable: -1, logStart: -1, quietAt: -1,
		archivedEpoch: epochUnknown, doubts: doubts{epoch: -1, atLeast: -1}, watched: watched{tally: new(tally)},
	}
	if hwm := head.Commit.HighWatermark; hwm != nil {
		p.marks.note(*hwm, head.Commit.Written())
	}
	if head.Commit.Kind == schema.KindGenesis {
		p.archivedEpoch = nothingHeld
	}
	if head.DecidedBy != nil {
		p.note(*head.DecidedBy)
	}
	return p
}

func (p *partition) branch() int32 { return p.head.Commit.Branch }

// take adds what a fetch brought. Records below the expected offset are a
// repetition after a seek and are left out; a jump is a gap. It returns the
// bytes it now holds more.
func (p *partition) take(b *kafka.Batch, now time.Time) int64 {
	p.highWatermark, p.lastStable, p.logStart = b.HighWatermark, b.LastStableOffset, b.LogStart
	p.marks.note(b.HighWatermark, now)
	p.tookAt = now
	before := p.memory()
	for i := range b.Records {
		record := &b.Records[i]
		if record.Offset < p.expected {
			continue
		}
		p.jump(record.Offset, now)
		p.add(record, now)
	}
	if p.known != nil && p.expected >= p.known.to {
		p.known = nil
	}
	p.settle(now)
	return p.memory() - before
}

func (p *partition) add(record *schema.Record, now time.Time) {
	p.touch(now)
	record.Branch = p.branch()
	number := p.first + int64(p.count())
	switch record.Status {
	case schema.Undecided:
		p.judge(record, number)
	case schema.Control:
		// A marker's epoch can be the producer's + 1 (KIP-360): the producer
		// ID alone tells whose transaction it ends.
		p.decide(record)
	}
	p.rows.add(record)
	p.bytes += cost(record)
	p.expected = record.Offset + 1
}

// judge gives a transactional row its verdict if the log was skimmed for it,
// and otherwise has it wait for its marker.
func (p *partition) judge(record *schema.Record, number int64) {
	if p.known != nil && (record.Offset >= p.known.to || record.LeaderEpoch > p.known.epoch) {
		p.known = nil
	}
	if p.known != nil {
		if e := p.known.end(record); e != nil {
			if record.Status = e.verdict; !e.noted {
				e.noted = true
				p.note(schema.Decider{
					Offset: e.offset, LeaderEpoch: e.epoch, ProducerID: record.ProducerID, Verdict: e.verdict.String(), From: record.Offset,
				})
			}
			return
		}
	}
	w := p.open[record.ProducerID]
	if w == nil {
		w = &openRows{from: record.Offset}
		p.open[record.ProducerID] = w
	}
	w.rows = append(w.rows, number)
}

// decide gives the producer's open rows their verdict.
func (p *partition) decide(marker *schema.Record) {
	verdict, ok := verdictOf(kafka.MarkerOf(marker.Key))
	w := p.open[marker.ProducerID]
	if !ok || w == nil {
		return
	}
	p.end(marker.ProducerID, verdict)
	p.note(schema.Decider{
		Offset: marker.Offset, LeaderEpoch: marker.LeaderEpoch, ProducerID: marker.ProducerID, Verdict: verdict.String(),
		From: w.from,
	})
}

// end gives a producer's open rows, if there are any, their verdict.
func (p *partition) end(producer int64, verdict schema.Status) {
	w := p.open[producer]
	if w == nil {
		return
	}
	for _, number := range w.rows {
		p.row(int(number - p.first)).Status = verdict
	}
	for _, f := range w.frames {
		f.decide(producer, verdict)
	}
	delete(p.open, producer)
}

// settle moves the frontier over every row that has its verdict now.
func (p *partition) settle(now time.Time) {
	for p.decided < p.inFrames {
		f := p.frames[p.frameAt(p.decided)]
		if len(f.waits) > 0 {
			break
		}
		p.decided += f.Rows
		p.decidedCost += f.cost
		p.decidedRaw += f.raw
	}
	for p.decided >= p.inFrames && p.decided < p.count() && p.row(p.decided).Status != schema.Undecided {
		row := p.row(p.decided)
		raw := row.Bytes()
		p.decidedBytes += raw + overhead(row)
		p.decidedRaw += raw
		p.decided++
	}
	if p.decided == p.count() {
		p.blockedSince = time.Time{}
		return
	}
	blocked := p.offsetAt(p.decided)
	if p.decided < p.inFrames { // in the middle of a frame
		blocked, _ = p.firstUndecided()
	}
	if p.blockedSince.IsZero() || p.blocked != blocked {
		p.blocked, p.blockedSince = blocked, now
	}
}

// truncate drops everything from the first undecided row on, or from the
// beginning of the frame that it is in, and returns the bytes that were held by
// it.
func (p *partition) truncate() int64 {
	held := p.memory()
	p.expected = p.offsetAt(p.decided)
	if p.decided < p.inFrames {
		p.forgetFrames(p.frameAt(p.decided))
		p.rows = rows{}
	} else {
		p.rows.truncate(p.decided - p.inFrames)
	}
	p.spilling, p.file = nil, nil
	p.gaps = slices.DeleteFunc(p.gaps, func(g schema.Gap) bool { return g.From >= p.expected })
	p.open = map[int64]*openRows{}
	p.verdicts = slices.DeleteFunc(p.verdicts, func(d schema.Decider) bool { return d.From >= p.expected })
	p.bytes, p.approved, p.suspect = p.decidedBytes, nil, nil
	return held - p.memory()
}

// jump records that the offsets up to the one that came were not served, and
// from which answers it follows: those below the log's start were deleted,
// those above it are another matter.
func (p *partition) jump(came int64, now time.Time) {
	if start := min(p.logStart, came); start > p.expected {
		p.deleted(start, fmt.Sprintf("fetch: log start %d", p.logStart), now)
	}
	switch {
	case p.expected == came:
	case p.compacted:
		p.gap(came, schema.GapCleaned, "fetch: skipped; cleanup.policy has compact", now)
	case p.config == nil:
		p.gap(came, schema.GapUnexplained, fmt.Sprintf("fetch: skipped; log start %d, cleanup.policy unknown", p.logStart), now)
	default:
		p.gap(came, schema.GapUnexplained, fmt.Sprintf("fetch: skipped; log start %d, cleanup.policy has no compact", p.logStart), now)
	}
}

// deleted records that the log's start passed what was to be read next. The
// markers of open transactions may be among it: the next one of such a producer
// can be another transaction's, and no answer of a broker tells. Their rows are
// left out, since any verdict would be a guess: they are deleted too.
func (p *partition) deleted(start int64, evidence string, now time.Time) {
	p.settle(now)
	switch {
	case p.decided == p.count():
	case p.decided < p.inFrames: // in the midst of a frame, which is taken whole
		p.truncate()
	default:
		p.leaveOpen(evidence)
	}
	p.gap(start, schema.GapBeforeLogStart, evidence, now)
}

// leaveOpen makes gaps of all rows that wait for a marker, none of them in the
// spool.
func (p *partition) leaveOpen(evidence string) {
	why := evidence + "; was served as part of an open transaction, and deleted before its marker was read"
	var kept rows
	for i, row := range p.rows.all() {
		if i < p.decided-p.inFrames || row.Status != schema.Undecided {
			kept.add(row)
			continue
		}
		p.bytes -= cost(row)
		at, found := slices.BinarySearchFunc(p.gaps, row.Offset, func(g schema.Gap, offset int64) int { return cmp.Compare(g.From, offset) })
		if !found && at > 0 && p.gaps[at-1].To == row.Offset && p.gaps[at-1].Evidence == &why {
			p.gaps[at-1].To++
			continue
		}
		p.gaps = slices.Insert(p.gaps, at, schema.Gap{Class: schema.GapBeforeLogStart, From: row.Offset, To: row.Offset + 1, Evidence: &why})
	}
	p.rows, p.spilling = kept, nil
	p.open = map[int64]*openRows{}
}

// gap records that [expected, to) was not served. Of a gap that grows, the last
// answer is the evidence: it speaks of the log as it is now.
func (p *partition) gap(to int64, class schema.GapClass, evidence string, now time.Time) {
	p.touch(now)
	n := len(p.gaps)
	said := &evidence
	if n > 0 && p.gaps[n-1].Evidence != nil && *p.gaps[n-1].Evidence == evidence {
		said = p.gaps[n-1].Evidence // one text of many
	}
	if n > 0 && p.gaps[n-1].To == p.expected && p.gaps[n-1].Class == class {
		p.gaps[n-1].To, p.gaps[n-1].Evidence = to, said
	} else {
		p.gaps = append(p.gaps, schema.Gap{Class: class, From: p.expected, To: to, Evidence: said})
	}
	p.expected = to
}

func (p *partition) touch(now time.Time) {
	if p.count() == 0 && len(p.gaps) == 0 {
		p.since = now
	}
}

// cutEnd is the first offset that a cut of the first n rows does not cover:
// with all rows, gaps behind the last one are covered too.
func (p *partition) cutEnd(n int) int64 {
	if n < p.count() {
		return p.offsetAt(n)
	}
	return p.expected
}

// cuttable tells whether a cut of the first n rows would cover anything.
func (p *partition) cuttable(n int) bool { return p.cutEnd(n) > p.head.Next && p.guard == passed }

// discard forgets everything above the head and asks for it again; what is
// doubted, and what was asked to be sealed, stays so; what was skimmed is not: of
// what is read again it does not know all. It returns the bytes it held.
func (p *partition) discard(head ledger.Head) int64 {
	held := p.abandon()
	fresh := newPartition(p.stream, head)
	fresh.compacted, fresh.config = p.compacted, p.config
	fresh.highWatermark, fresh.lastStable, fresh.logStart = p.highWatermark, p.lastStable, p.logStart
	fresh.doubts, fresh.sealTo, fresh.watched, fresh.revival = p.doubts, p.sealTo, p.watched, p.revival
	fresh.skimmed = nil
	fresh.seek, fresh.resume = true, true // it may be paused
	*p = *fresh
	return held
}

// abandon lets go of what is in the spool, and returns the bytes that the
// buffer held; it is for a buffer that nobody needs any more.
func (p *partition) abandon() int64 {
	held := p.memory()
	p.forgetFrames(0)
	p.spilling = nil
	return held
}

// release drops the first n rows and the gaps below the new head, and returns
// the bytes they held.
func (p *partition) release(n int, head ledger.Head) int64 {
	held := p.memory()
	p.since = p.cutAt
	gone, left := 0, n
	for _, f := range p.frames {
		if f.Rows > left {
			break
		}
		p.decidedCost -= f.cost
		p.decidedRaw -= f.raw
		p.archivedEpoch = f.Epoch
		p.let(f)
		gone, left = gone+1, left-f.Rows
	}
	p.frames = slices.Delete(p.frames, 0, gone)
	cut := p.rows.head(left)
	for _, row := range cut.all() {
		raw := row.Bytes()
		size := raw + overhead(row)
		p.bytes -= size
		p.decidedBytes -= size
		p.decidedRaw -= raw
		p.archivedEpoch = row.LeaderEpoch
	}
	if p.rows.drop(left); len(p.frames) > 0 {
		p.since = time.Unix(0, p.frames[0].since)
	}
	p.first += int64(n)
	p.decided -= n
	p.fed = max(p.fed-n, 0)
	p.parsed = slices.DeleteFunc(p.parsed, func(r *parsed) bool { return r.to <= p.first })
	p.gaps = slices.DeleteFunc(p.gaps, func(g schema.Gap) bool { return g.To <= head.Next })
	for i := range p.gaps { // one may have grown while its beginning was sealed
		p.gaps[i].From = max(p.gaps[i].From, head.Next)
	}
	p.verdicts = slices.DeleteFunc(p.verdicts, func(d schema.Decider) bool { return d.Offset < head.Next })
	p.head, p.sealing = head, false
	p.marks.forget(head.Next)
	return held - p.memory()
}
