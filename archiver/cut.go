package archiver

import (
	"sort"
	"time"

	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// Cut says when a buffer becomes a segment. Zero fields take the defaults of
// DefaultCut.
type Cut struct {
	Bytes    int64 // at this much, raw, at once: keys, values and headers as they were produced
	MinBytes int64 // at Age, if there is at least this much of the same
	Age      time.Duration
	MaxAge   time.Duration // at this age, whatever there is
}

// DefaultCut makes segments of about 64 MB of raw bytes where there is traffic
// and the budgets hold as much, and one every 15 minutes where there is little.
var DefaultCut = Cut{Bytes: 64 << 20, MinBytes: 4 << 20, Age: time.Minute, MaxAge: 15 * time.Minute}

func (c Cut) orDefault() Cut {
	d := DefaultCut
	if c.Bytes > 0 {
		d.Bytes = c.Bytes
	}
	if c.MinBytes > 0 {
		d.MinBytes = c.MinBytes
	}
	if c.Age > 0 {
		d.Age = c.Age
	}
	if c.MaxAge > 0 {
		d.MaxAge = c.MaxAge
	}
	return d
}

// The reasons for a cut, as the metric names them.
const (
	cutBytes    = "bytes"
	cutAge      = "age"
	cutMaxAge   = "max_age"
	cutBudget   = "budget"
	cutAsked    = "asked"
	cutRevoked  = "revoked"
	cutGone     = "gone"
	budgetShare = 0.7 // of the budget, from where on the largest buffers are cut
	gapShare    = 0.2 // of the budget, that the gaps of all buffers take on average where such buffers are cut for them
)

// due tells why the first n rows of the partition should be cut now, or "".
func (c Cut) due(p *partition, n int, now time.Time) string {
	if p.sealing || !p.cuttable(p.whole(n)) {
		return ""
	}
	age := now.Sub(p.since)
	switch {
	case p.decidedRaw >= c.Bytes:
		return cutBytes
	case p.sealTo > p.head.Next:
		return cutAsked
	case age >= c.MaxAge:
		return cutMaxAge
	case age >= c.Age && p.decidedRaw >= c.MinBytes:
		return cutAge
	default:
		return ""
	}
}

// job is a cut: the first rows of a buffer, decided, and the gaps among them.
// The rows are not changed any more. Those in frames come before the others.
type job struct {
	p      *partition
	reason string
	branch int32
	frames []*frame
	rows   rows
	first  int64     // running number of its first row
	parsed []*parsed // what was kept of what the rules read from rows, ascending
	gaps   []schema.Gap
	next   int64
	base   int64
	epoch  int32 // the leader epoch that the guard had passed
	// decidedBy is the marker behind the cut that decided rows of it, or below.
	decidedBy      *schema.Decider
	contractErrors int64            // rows with errors of extraction; counted by encode
	broken         map[breach]int64 // what they break; nil: nothing
	since, cutAt   time.Time        // when its first row or gap arrived, and when it was cut
	trace          telemetry.Place
	body           int64 // what it counts among the segments that are made of spooled rows
}

// rowsEnd is the offset behind the last row.
func (j *job) rowsEnd() int64 {
	switch {
	case j.rows.len() > 0:
		return j.rows.at(j.rows.len()-1).Offset + 1
	case len(j.frames) > 0:
		return j.frames[len(j.frames)-1].Last + 1
	default:
		return j.base
	}
}

// cut takes the first n rows of a buffer, all decided, for sealing; of spooled
// ones whole frames.
func (p *partition) cut(reason string, n int, now time.Time) *job {
	n = p.whole(n)
	j := &job{p: p, reason: reason, branch: p.branch(), base: p.head.Next, next: p.cutEnd(n), epoch: p.epoch, since: p.since, cutAt: now}
	end, all := p.sayableGaps()
	within := all || j.next <= end
	if !within && (n == 0 || p.offsetBehind(n) <= end) {
		j.next = end
	}
	for _, f := range p.frames {
		if f.end() > p.first+int64(n) {
			break
		}
		f.Hold()
		j.frames = append(j.frames, f)
	}
	p.file = nil // what comes later is not needed as long as, or longer than, what is there
	if n > p.inFrames {
		j.rows = p.rows.head(n - p.inFrames)
		p.spilling = nil // some of it is cut now
	}
	for _, g := range p.gaps {
		if g.To <= j.next {
			j.gaps = append(j.gaps, g)
		}
	}
	j.decidedBy = decidedBy(p.verdicts, j.next)
	j.first = p.first
	for _, r := range p.parsed {
		if r.from < p.first+int64(n) {
			j.parsed = append(j.parsed, r)
		}
	}
	p.sealing, p.cutAt = true, now
	switch {
	case n >= p.fed && within:
	case len(j.frames) > 0: // a part of what could be cut
		p.cutAt = p.spilled
	default: // the same, and the rest is as old
		p.cutAt = p.since
	}
	return j
}

// What one segment and its commit can say besides: the list of its gaps is an
// object of at most schema.MaxGapsBytes, of which a gap takes some 150 beside its
// texts; the list of its rows' leader epochs stands in the commit itself, where each
// takes up to epochBytes; and rows take something of a segment where they have no
// bytes. A log of which little was left by a cleaner, or that is old, has more of
// them than a segment's bytes bound.
const (
	mostRows     = 1 << 22
	mostGaps     = 1 << 17
	mostGapBytes = schema.MaxGapsBytes / 2 // the rest is for a frame's, which is taken whole
	gapFixed     = 150
	mostEpochs   = 512
	epochBytes   = 51
)

// sayable lowers n, a number of rows that may be cut, to those that fit into one
// segment, and of which one commit can name all gaps and leader epochs; not below
// one frame, which has fewer of all.
func (p *partition) sayable(n int) int {
	n = p.whole(min(n, mostRows))
	if end, all := p.sayableGaps(); !all {
		n = min(n, p.rowsBelow(end))
	}
	epochs, last := 0, int32(0)
	turn := func(epoch int32) {
		if epochs == 0 || epoch != last {
			epochs++
		}
		last = epoch
	}
	for _, f := range p.frames {
		at := int(f.at - p.first)
		if at >= n {
			return n
		}
		turn(f.epoch)
		if epochs, last = epochs+int(f.turns), f.Epoch; epochs > mostEpochs && at > 0 {
			return at
		}
	}
	head := p.rows.head(n - p.inFrames)
	for i, row := range head.all() {
		if turn(row.LeaderEpoch); epochs > mostEpochs {
			return p.inFrames + i
		}
	}
	return n
}

// sayableGaps is where the first gap begins that one commit cannot name beside
// those before it; all tells that there is none.
func (p *partition) sayableGaps() (end int64, all bool) {
	sum := int64(0)
	var last *string
	text := int64(0)
	for i := range p.gaps {
		g := &p.gaps[i]
		if g.Evidence != last {
			last, text = g.Evidence, quoted(g.Evidence)
		}
		size := gapFixed + text
		if g.Class == schema.GapUnexplained {
			size += 2 * mostEvidence // what explain may yet add
		}
		if o := g.Object; o != nil {
			size += gapFixed + quoted(&o.Key) + quoted(o.VersionID)
		}
		if sum += size; i > 0 && (i >= mostGaps || sum > mostGapBytes) {
			return g.From, false
		}
	}
	return 0, true
}

// quoted is how many bytes a text takes in a list of gaps, at most.
func quoted(text *string) (n int64) {
	if text == nil {
		return 0
	}
	for i := range len(*text) {
		switch c := (*text)[i]; {
		case c < ' ':
			n += 6
		case c == '"' || c == '\\' || c >= 0x7f:
			n += 2
		default:
			n++
		}
	}
	return n
}

// rowsBelow is how many rows are below an offset, in frames whole ones; the first
// frame if that is not.
func (p *partition) rowsBelow(offset int64) int {
	if i := sort.Search(p.rows.len(), func(i int) bool { return p.rows.at(i).Offset >= offset }); i > 0 {
		return p.inFrames + i
	}
	n := sort.Search(len(p.frames), func(i int) bool { return p.frames[i].Last >= offset })
	if n == 0 && len(p.frames) > 0 && p.frames[0].First < offset {
		n = 1
	}
	if n == 0 {
		return 0
	}
	return int(p.frames[n-1].end() - p.first)
}

// cutDue queues every buffer that is due, moves buffers into the spool while
// the process holds much, and queues the largest while it holds more than its
// share of either budget.
func (a *Archiver) cutDue(now time.Time) {
	away := a.feed.trouble() != nil
	a.more = false
	for _, p := range a.partitions {
		reason := a.cutAt.due(p, p.ready(away), now)
		if a.more = reason != "" && a.spool.disk != nil && len(a.backlog) >= mostBacklog; a.more {
			break // what waits to be cut can be spooled, a cut cannot
		}
		if reason != "" {
			a.cut(p, reason, away, now)
		}
	}
	a.spillDue(now, away)
	a.cutSpool(now, away)
	if a.spool.onTheWay(now) > 0 {
		return
	}
	limit := int64(budgetShare * float64(a.options.Memory))
	for full := a.held >= a.options.Memory; a.held-a.sealingBytes() > limit || full && a.encoderIdle(); {
		largest := a.fullest(away, full)
		if largest == nil {
			if full && a.held-a.sealingBytes() > limit {
				a.makeRoom(now)
			}
			return
		}
		a.cut(largest, cutBudget, away, now)
		full = full && a.held-a.sealingBytes() > limit // one more is enough for an encoder
	}
}

// fullest is the buffer of which most can be cut; nil if nothing can. One whose
// rows are mostly still to be given to the index is left until they were,
// unless the budget is full: its segment would be small. One whose rows are all
// in the spool counts only if the gaps between them are a good part of what is
// held.
func (a *Archiver) fullest(away, full bool) (largest *partition) {
	most := int64(0)
	for _, p := range a.partitions {
		if p.sealing {
			continue
		}
		n := int64(0)
		ready, held := int64(p.ready(away)-p.inFrames), int64(p.decided-p.inFrames)
		if ready > 0 && (2*ready >= held || full) {
			n = p.decidedBytes/held*ready + p.gapBytes()
		} else if ready <= 0 && p.whole(p.ready(away)) > 0 && p.gapBytes()*int64(len(a.partitions)) > int64(gapShare*float64(a.options.Memory)) {
			n = p.gapBytes()
		}
		if n > 0 && (largest == nil || n > most) {
			largest, most = p, n
		}
	}
	return largest
}

// encoderIdle tells whether a cut would be made into a segment at once. While
// that is so, a full budget does not stop the reading for want of a cut.
func (a *Archiver) encoderIdle() bool { return len(a.encoders) > 0 && len(a.backlog) == 0 }

// mostBacklog is how many cuts may wait for a sealer while there is a spool.
const mostBacklog = 4 * sealers

// cut queues what of a buffer may be cut, and is not too much for a segment.
func (a *Archiver) cut(p *partition, reason string, away bool, now time.Time) {
	a.enqueue(p.cut(reason, p.most(p.ready(away), a.cutAt.Bytes), now))
}

// ready is how many rows may be cut: those that the index was given, so that
// they need not be read from S3 for it; all decided ones while it is away.
func (p *partition) ready(indexAway bool) int {
	if p.guard != passed {
		return 0
	}
	if indexAway {
		return p.decided
	}
	return p.fed
}

func (a *Archiver) sealingBytes() int64 {
	var n int64
	add := func(p *partition) {
		if p.sealing {
			n += p.decidedBytes + p.gapBytes()
		}
	}
	for _, p := range a.partitions {
		add(p)
	}
	for _, p := range a.departing {
		add(p)
	}
	return n
}
