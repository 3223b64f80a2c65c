package archiver

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"
	"time"

	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/schema"
)

// The first rows of a buffer may be in the spool, in frames; those in memory
// follow them. A row's number does not change by it. What is cut or handed over
// of spooled rows is whole frames.
//
//	frames                       | rows
//	decided … | with rows that wait for a marker, then anything

// frameOverhead is what a frame counts in the budget: what is kept of it.
const frameOverhead = 288

// frame is a run of a buffer's rows in the spool. There are many.
type frame struct {
	*spool.Frame
	at    int64   // running number of its first row
	cost  int64   // of its rows, as if they were in memory
	raw   int64   // of its rows, without what memory adds
	since int64   // Unix nanoseconds: before it no row of it arrived
	last  imprint // of its last row
	epoch int32   // leader epoch of its first row
	turns int32   // how often the leader epoch is another one than that of the row before, in it
	// waits are the producers of those of its rows that were spooled undecided
	// and are, verdicts the others': of one producer only the transaction that
	// was open then has undecided rows, so there is one verdict.
	waits    map[int64]bool
	verdicts map[int64]schema.Status
}

func (f *frame) end() int64 { return f.at + int64(f.Rows) }

// decide notes the verdict on a producer's rows.
func (f *frame) decide(producer int64, verdict schema.Status) {
	delete(f.waits, producer)
	if f.verdicts == nil {
		f.verdicts = map[int64]schema.Status{}
	}
	f.verdicts[producer] = verdict
}

// read gives the rows of a decided frame with their verdicts, good until the
// reader's next. It needs no mutex: nothing of a decided frame changes.
func (f *frame) read(r *spool.Reader) ([]schema.Record, error) {
	rows, err := r.Read(f.Frame)
	for i := range rows {
		if rows[i].Status == schema.Undecided {
			rows[i].Status = f.verdicts[rows[i].ProducerID]
		}
	}
	return rows, err
}

// imprint is what tells a record from another one at its offset and in its leader
// epoch.
type imprint struct {
	timestamp     int64
	producer      int64
	producerEpoch int16
	timestampType schema.TimestampType
	control       bool
	sum           [sha256.Size]byte // of key, value and headers
}

// imprintOf does not look at the status, which may change meanwhile.
func imprintOf(r *schema.Record, status schema.Status) imprint {
	return imprint{
		timestamp: r.Timestamp, producer: r.ProducerID, producerEpoch: r.ProducerEpoch, timestampType: r.TimestampType,
		control: status == schema.Control, sum: payloadSum(r),
	}
}

// witness is a record to be held against the log. Of a record that is not in
// memory the hash of key, value and headers stands for these.
type witness struct {
	schema.Record
	sum *[sha256.Size]byte
}

// witness is the frame's last row.
func (f *frame) witness() *witness {
	w := &witness{sum: &f.last.sum}
	w.Offset, w.LeaderEpoch, w.Branch, w.Timestamp, w.TimestampType = f.Last, f.Epoch, f.Branch, f.last.timestamp, f.last.timestampType
	w.ProducerID, w.ProducerEpoch, w.Status = f.last.producer, f.last.producerEpoch, schema.Committed
	if f.last.control {
		w.Status = schema.Control
	}
	return w
}

// difference is the package's, of a witness.
func (w *witness) difference(ours, theirs *schema.Record) string {
	if w.sum == nil {
		return difference(ours, theirs)
	}
	bare := *theirs
	bare.Key, bare.Value, bare.Headers = nil, nil, nil
	if field := difference(ours, &bare); field != "" {
		return field
	}
	if payloadSum(theirs) != *w.sum {
		return "key, value or headers"
	}
	return ""
}

func payloadSum(r *schema.Record) [sha256.Size]byte {
	var out [sha256.Size]byte
	h := sha256.New()
	field := func(b []byte, null bool) {
		n := int64(len(b))
		if null {
			n = -1
		}
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
		_, _ = h.Write(b)
	}
	field(r.Key, r.Key == nil)
	field(r.Value, r.Value == nil)
	for i := range r.Headers {
		field([]byte(r.Headers[i].Name), false)
		field(r.Headers[i].Value, r.Headers[i].Value == nil)
	}
	h.Sum(out[:0])
	return out
}

// spooled is the part of a buffer that is in the spool.
type spooled struct {
	frames      []*frame
	file        *spool.File // the next frames go there; nil: into a new one
	spilling    *spill      // rows on their way
	inFrames    int         // rows in frames
	cost        int64       // of them, as if they were in memory
	decidedCost int64       // … of the decided frames
	disk        int64       // bytes in the spool
	spilled     time.Time   // with frames: before it nothing arrived that is in memory
}

// row is the one of a number, which is in memory.
func (p *partition) row(n int) *schema.Record { return p.rows.at(n - p.inFrames) }

// count is how many rows are buffered, wherever they are.
func (p *partition) count() int { return p.inFrames + p.rows.len() }

// frameAt finds the frame that row n is in; n is below inFrames.
func (p *partition) frameAt(n int) int {
	return sort.Search(len(p.frames), func(i int) bool { return p.frames[i].end() > p.first+int64(n) })
}

// offsetAt is the offset of row n, in frames of the frame that it is in.
func (p *partition) offsetAt(n int) int64 {
	if n < p.inFrames {
		return p.frames[p.frameAt(n)].First
	}
	return p.row(n).Offset
}

// offsetBehind is the first offset behind n rows; n is not 0, and in frames at
// the end of one.
func (p *partition) offsetBehind(n int) int64 {
	if n <= p.inFrames {
		return p.frames[p.frameAt(n-1)].Last + 1
	}
	return p.row(n-1).Offset + 1
}

// whole lowers a number of rows to where a frame ends.
func (p *partition) whole(n int) int {
	if n >= p.inFrames {
		return n
	}
	return int(p.frames[p.frameAt(n)].at - p.first)
}

// memory is what the partition takes of the budget: its buffer, and what is known
// of the log ahead of it.
func (p *partition) memory() int64 { return p.buffered() + p.ahead() }

// buffered is what the buffer takes. Gaps stay in memory when the rows between
// them are spooled.
func (p *partition) buffered() int64 {
	return p.bytes + frameOverhead*int64(len(p.frames)) + p.gapBytes()
}

// ahead is what was skimmed.
func (p *partition) ahead() int64 { return p.skim.bytes() + p.known.bytes() + p.skimmed.bytes() }

// gapOverhead is what a gap counts in the budget: what it takes, and what the
// list has room for besides.
const gapOverhead = 96

func (p *partition) gapBytes() int64 { return gapOverhead * int64(len(p.gaps)) }

// undecidedSize is that of the others.
func (p *partition) undecidedSize() int64 {
	return p.bytes - p.decidedBytes + p.cost - p.decidedCost
}

// last is the newest row that is held; nil: none is.
func (p *partition) last() *witness {
	switch {
	case p.rows.len() > 0:
		return &witness{Record: *p.rows.at(p.rows.len() - 1)}
	case len(p.frames) > 0:
		return p.frames[len(p.frames)-1].witness()
	default:
		return nil
	}
}

// oldestRow gives the timestamp of the first row.
func (p *partition) oldestRow() (stamp int64, of schema.TimestampType, ok bool) {
	switch {
	case len(p.frames) > 0:
		return p.frames[0].Timestamp, p.frames[0].TimestampType, true
	case p.rows.len() > 0:
		first := p.rows.at(0)
		return first.Timestamp, first.TimestampType, true
	default:
		return 0, schema.NoTimestamp, false
	}
}

// firstUndecided is the oldest row that waits for a marker, and whose it is.
func (p *partition) firstUndecided() (offset, producer int64) {
	offset = -1
	for id, w := range p.open {
		if offset < 0 || w.from < offset {
			offset, producer = w.from, id
		}
	}
	return offset, producer
}

// forgetFrames lets go of the frames from number i on.
func (p *partition) forgetFrames(i int) {
	for _, f := range p.frames[i:] {
		p.let(f)
	}
	clear(p.frames[i:])
	p.frames = p.frames[:i]
}

// let takes a frame out of the accounts and of the spool.
func (p *partition) let(f *frame) {
	p.inFrames -= f.Rows
	p.cost -= f.cost
	p.disk -= f.Bytes()
	f.Drop()
}

// most lowers n, a number of rows that may be cut, to what one commit can say,
// and to about size raw bytes of them, but not below one frame: what was spooled
// may be more than a segment should be.
func (p *partition) most(n int, size int64) int {
	n = p.sayable(n)
	if p.decidedRaw <= size || len(p.frames) == 0 {
		return n
	}
	rows, sum := 0, int64(0)
	for _, f := range p.frames {
		if rows > 0 && sum+f.raw > size || rows+f.Rows > n {
			return rows
		}
		rows, sum = rows+f.Rows, sum+f.raw
	}
	for ; rows < n; rows++ {
		if sum += p.row(rows).Bytes(); sum > size {
			break
		}
	}
	return rows
}

// spill is a part of a buffer on its way into the spool: the rows in memory from
// its beginning, copied: the spool wants them in one piece, with the statuses
// that they had.
type spill struct {
	p        *partition
	file     *spool.File
	rows     []schema.Record
	statuses []schema.Status
	at       int64 // running number of the first
	cuts     []int // where frames must end
	bytes    int64
	since    time.Time // before it no row of it arrived
	picked   time.Time
	written  []*frame
}

// spill takes the first n rows that are in memory.
func (p *partition) spill(s *spool.Spool, n int, now time.Time) *spill {
	if p.file == nil || p.file.Over() {
		p.file = s.NewFile(p.stream)
	}
	head := p.rows.head(n)
	out := &spill{
		p: p, file: p.file, rows: head.copied(), statuses: make([]schema.Status, n), at: p.first + int64(p.inFrames),
		since: p.since, picked: now,
	}
	if len(p.frames) > 0 {
		out.since = p.spilled
	}
	turns := 1
	for i := range out.rows {
		out.statuses[i] = out.rows[i].Status
		out.bytes += cost(&out.rows[i])
		if i == 0 || out.rows[i].LeaderEpoch == out.rows[i-1].LeaderEpoch {
			continue
		}
		if turns++; turns > mostEpochs {
			out.cuts, turns = append(out.cuts, i), 1
		}
	}
	for _, at := range []int{p.fed - p.inFrames, p.decided - p.inFrames} {
		if at > 0 && at < n {
			out.cuts = append(out.cuts, at)
		}
	}
	slices.Sort(out.cuts)
	p.spilling = out
	return out
}

// write does it. It needs no mutex. Frames may have been written beside an
// error.
func (s *spill) write() error {
	frames, err := s.file.Append(s.rows, s.statuses, s.cuts...)
	at := 0
	for _, written := range frames {
		f := &frame{Frame: written, at: s.at + int64(at), since: s.since.UnixNano()}
		for i := range s.rows[at : at+f.Rows] {
			raw := s.rows[at+i].Bytes()
			f.cost += raw + overhead(&s.rows[at+i])
			f.raw += raw
			if i > 0 && s.rows[at+i].LeaderEpoch != s.rows[at+i-1].LeaderEpoch {
				f.turns++
			}
		}
		f.epoch = s.rows[at].LeaderEpoch
		at += f.Rows
		f.last = imprintOf(&s.rows[at-1], s.statuses[at-1])
		s.written = append(s.written, f)
	}
	return err
}

// spooledBy puts written frames in the place of their rows, and tells how many
// bytes of memory came free. A buffer that was cut or dropped meanwhile does
// not take them.
func (p *partition) spooledBy(s *spill, now time.Time) int64 {
	took := 0
	before := p.memory()
	if p.spilling == s {
		p.spilling = nil
		for _, f := range s.written {
			if from := int(f.at - p.first); p.fed > from && p.fed < from+f.Rows {
				break // half of it was handed to the index meanwhile
			}
			p.takeFrame(f, s)
			took++
		}
	}
	for _, f := range s.written[took:] {
		f.Drop()
	}
	if took > 0 {
		if p.spilled = s.since; took == len(s.written) && s.whole() {
			p.spilled = s.picked
		}
		// What was read of spooled rows is read again at the cut: the spool has
		// room for many more of them than there is for this.
		from := p.first + int64(p.inFrames)
		p.parsed = slices.Clone(slices.DeleteFunc(p.parsed, func(r *parsed) bool { return r.to <= from }))
		p.settle(now)
		// No cut ends inside of a frame: who decided rows of it from there is of no
		// interest, and of many short transactions there are as many as records.
		p.verdicts = slices.Clip(slices.DeleteFunc(p.verdicts, func(d schema.Decider) bool { return within(s.written[:took], d) }))
	}
	return before - p.memory()
}

// within tells whether a marker and the first row that it decided are in one of
// some frames, ascending.
func within(frames []*frame, d schema.Decider) bool {
	i := sort.Search(len(frames), func(i int) bool { return frames[i].Last >= d.From })
	return i < len(frames) && frames[i].First <= d.From && d.Offset <= frames[i].Last
}

// takeFrame replaces the first rows in memory by the frame that holds them.
func (p *partition) takeFrame(f *frame, s *spill) {
	was := s.statuses[f.at-s.at:][:f.Rows]
	decidedRaw := int64(0)
	for i := range f.Rows {
		r := p.rows.at(i)
		if p.inFrames+i < p.decided {
			raw := r.Bytes()
			p.decidedBytes -= raw + overhead(r)
			decidedRaw += raw
		}
		switch {
		case was[i] != schema.Undecided:
		case r.Status == schema.Undecided:
			if f.waits == nil {
				f.waits = map[int64]bool{}
			}
			if !f.waits[r.ProducerID] {
				f.waits[r.ProducerID] = true
				w := p.open[r.ProducerID]
				w.frames = append(w.frames, f)
				w.rows = w.rows[sort.Search(len(w.rows), func(k int) bool { return w.rows[k] >= f.end() }):]
			}
		default:
			f.decide(r.ProducerID, r.Status)
		}
	}
	p.bytes -= f.cost
	p.cost += f.cost
	p.disk += f.Bytes()
	if from := p.inFrames; p.decided >= from+f.Rows {
		p.decidedCost += f.cost
	} else if p.decided > from { // in the middle of it
		p.decided = from
		p.decidedRaw -= decidedRaw
	}
	p.frames = append(p.frames, f)
	p.inFrames += f.Rows
	p.rows.drop(f.Rows)
}

// whole tells whether all of the rows were written.
func (s *spill) whole() bool {
	n := len(s.written)
	return n > 0 && s.written[n-1].end() == s.at+int64(len(s.rows))
}

// each gives a cut's rows in order. A row is good until the next one. An error
// of the spool is spool.ErrUnreadable.
func (j *job) each(r *spool.Reader, do func(*schema.Record) error) error {
	for _, f := range j.frames {
		rows, err := f.read(r)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := do(&rows[i]); err != nil {
				return err
			}
		}
	}
	for _, record := range j.rows.all() {
		if err := do(record); err != nil {
			return err
		}
	}
	return nil
}

// count is how many rows a cut has.
func (j *job) count() int {
	n := j.rows.len()
	for _, f := range j.frames {
		n += f.Rows
	}
	return n
}

// letGo gives a cut's frames back; it is for whoever sealed it, or could not.
func (j *job) letGo() {
	for _, f := range j.frames {
		f.Drop()
	}
	j.frames = nil
}
