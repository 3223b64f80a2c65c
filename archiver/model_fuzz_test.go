package archiver

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// model says of each offset by itself what the buffer must make of it. It is
// slow and has no frontiers, sums or running numbers to get wrong.
type model struct {
	base, expected int64
	compacted      bool
	rows           map[int64]*schema.Record
	gaps           map[int64]schema.GapClass
}

func newModel(base int64, compacted bool) *model {
	return &model{base: base, expected: base, compacted: compacted, rows: map[int64]*schema.Record{}, gaps: map[int64]schema.GapClass{}}
}

func (m *model) take(b *kafka.Batch) {
	for _, r := range b.Records {
		if r.Offset < m.expected {
			continue
		}
		m.miss(r.Offset, b.LogStart)
		if verdict, ok := verdictOf(kafka.MarkerOf(r.Key)); ok && r.Status == schema.Control {
			for _, open := range m.rows {
				if open.ProducerID == r.ProducerID && open.Status == schema.Undecided {
					open.Status = verdict
				}
			}
		}
		m.rows[r.Offset], m.expected = &r, r.Offset+1
	}
}

// miss classes every offset that was skipped. Where the log's start passed, what
// waits for a marker is as if it had been skipped too.
func (m *model) miss(to, logStart int64) {
	if min(to, logStart) > m.expected {
		for at, r := range m.rows {
			if r.Status == schema.Undecided {
				delete(m.rows, at)
				m.gaps[at] = schema.GapBeforeLogStart
			}
		}
	}
	for ; m.expected < to; m.expected++ {
		switch {
		case m.expected < logStart:
			m.gaps[m.expected] = schema.GapBeforeLogStart
		case m.compacted:
			m.gaps[m.expected] = schema.GapCleaned
		default:
			m.gaps[m.expected] = schema.GapUnexplained
		}
	}
}

// undecided is the first offset that waits for a marker, or expected.
func (m *model) undecided() int64 {
	for at := m.base; at < m.expected; at++ {
		if r := m.rows[at]; r != nil && r.Status == schema.Undecided {
			return at
		}
	}
	return m.expected
}

// forget drops everything from an offset on.
func (m *model) forget(from int64) {
	for at := from; at < m.expected; at++ {
		delete(m.rows, at)
		delete(m.gaps, at)
	}
	m.expected = from
}

// both is a partition beside its model, moved by a string of bytes.
type both struct {
	t     *testing.T
	p     *partition
	m     *model
	ops   *bytes.Reader
	now   time.Time
	under *job // a cut on its way
	held  int64
}

func (x *both) next(below int64) int64 {
	b, err := x.ops.ReadByte()
	if err != nil {
		return 0
	}
	return int64(b) % below
}

// batch makes what a fetch could bring: repeated offsets, holes, interleaved
// transactions of three producers, markers of any kind.
func (x *both) batch() *kafka.Batch {
	b := &kafka.Batch{LogStart: max(0, x.p.expected+x.next(12)-6)}
	offset := max(0, x.p.expected-x.next(3))
	for range 1 + x.next(6) {
		shape := x.next(64)
		r := schema.Record{Offset: offset + []int64{0, 0, 0, 4}[shape&3], ProducerID: 1 + shape>>2&3, Value: make([]byte, shape)}
		switch shape >> 4 {
		case 0, 1:
			r.Status = schema.Undecided
		case 2:
			r.Status, r.Key = schema.Control, marker(uint16(x.next(3)))
		default:
			r.Status = schema.Committed
		}
		b.Records = append(b.Records, r)
		offset = r.Offset + 1
	}
	return b
}

func (x *both) step() {
	switch x.next(8) {
	case 0, 1, 2, 3:
		b := x.batch()
		x.m.take(b) // first: it copies, and the buffer keeps the verdicts
		x.held += x.p.take(b, x.now)
	case 4:
		if x.under == nil && x.p.cuttable(x.p.decided) {
			x.under = x.p.cut(cutAsked, x.p.decided, x.now)
			x.checkCut(x.under)
		}
	case 5:
		if j := x.under; j != nil { // its commit is there
			x.held -= x.p.release(j.rows.len(), ledger.Head{Commit: x.p.head.Commit, Next: j.next})
			x.m.base, x.under = j.next, nil
		}
	case 6:
		if x.under == nil && x.p.bytes > x.p.decidedBytes { // set aside, and read again later
			x.held -= x.p.truncate()
			x.m.forget(x.m.undecided())
		}
	case 7:
		if x.next(2) == 0 { // the log start moved past what was to be read
			to := x.p.expected + 1 + x.next(3)
			x.m.miss(to, to)
			before := x.p.memory()
			x.p.deleted(to, "the log start moved", x.now)
			x.p.settle(x.now)
			x.held += x.p.memory() - before
			return
		}
		to := x.m.base + x.next(5) // another archiver's commit came first
		x.held -= x.p.discard(ledger.Head{Commit: x.p.head.Commit, Next: to})
		x.m, x.under = newModel(to, x.m.compacted), nil
	}
}

// checkCut compares what goes into a segment.
func (x *both) checkCut(j *job) {
	want := x.m.undecided()
	if j.base != x.m.base || j.next > want || j.rows.len() == x.p.decided && j.next < x.lastRow(want) {
		x.t.Fatalf("cut %d–%d, the model allows %d–%d", j.base, j.next, x.m.base, want)
	}
	rows, gaps := j.rows.copied(), j.gaps
	for at := j.base; at < j.next; at++ {
		class, missing := x.m.gaps[at]
		for len(gaps) > 0 && gaps[0].To <= at {
			gaps = gaps[1:]
		}
		switch r := x.m.rows[at]; {
		case missing && (len(gaps) == 0 || gaps[0].From > at || gaps[0].Class != class):
			x.t.Fatalf("offset %d is a gap of class %s, the cut has %+v", at, class, gaps)
		case missing:
		case r == nil || len(rows) == 0 || rows[0].Offset != at || rows[0].Status != r.Status || rows[0].Status == schema.Undecided:
			x.t.Fatalf("offset %d should be %+v, the cut has %.1v", at, r, rows)
		default:
			rows = rows[1:]
		}
	}
	if len(rows) > 0 || len(gaps) > 0 && gaps[0].To > j.next {
		x.t.Fatalf("the cut ends at %d and holds %d more rows, gaps %+v", j.next, len(rows), gaps)
	}
}

// lastRow is behind the last row below an offset: where a cut may end at least.
func (x *both) lastRow(below int64) int64 {
	for ; below > x.m.base && x.m.rows[below-1] == nil; below-- {
	}
	return below
}

// check compares what the loop looks at between two steps.
func (x *both) check() {
	p, m := x.p, x.m
	var undecided, count int
	var bytes int64
	for at := m.base; at < m.expected; at++ {
		if r := m.rows[at]; r != nil {
			count++
			bytes += cost(r)
			if r.Status == schema.Undecided {
				undecided++
			}
		}
	}
	open := 0
	for _, numbers := range p.open {
		open += len(numbers.rows)
	}
	switch {
	case p.head.Next != m.base || p.expected != m.expected:
		x.t.Fatalf("the buffer is %d–%d, the model %d–%d", p.head.Next, p.expected, m.base, m.expected)
	case p.rows.len() != count || open != undecided || p.bytes != bytes || x.held != bytes+gapOverhead*int64(len(p.gaps)):
		x.t.Fatalf("%d rows, %d open, %d bytes, accounted %d; the model has %d, %d, %d", p.rows.len(), open, p.bytes, x.held, count, undecided, bytes)
	case p.cutEnd(p.decided) > m.undecided():
		x.t.Fatalf("a cut would reach %d, offset %d is undecided", p.cutEnd(p.decided), m.undecided())
	case (p.decided == p.rows.len()) != (undecided == 0):
		x.t.Fatalf("%d of %d rows decided, the model has %d undecided", p.decided, p.rows.len(), undecided)
	}
	if !slices.IsSortedFunc(p.gaps, func(a, b schema.Gap) int { return int(a.From - b.From) }) {
		x.t.Fatalf("gaps are not in order: %+v", p.gaps)
	}
}

// FuzzPartition moves a buffer by every call that the loop, the sealers and the
// group make, in every order, and holds it to the model after each.
func FuzzPartition(f *testing.F) {
	f.Add([]byte("\x00plain records, one by one\x04\x05"))
	f.Add([]byte{1, 0, 6, 1, 5, 4, 8, 33, 0, 4, 5})                                  // a transaction and its marker, cut, committed
	f.Add([]byte{0, 0, 11, 0, 5, 51, 51, 51, 51, 51, 4, 7, 0, 2, 5, 4})              // holes, a log start that moves during a cut
	f.Add([]byte{0, 0, 6, 0, 3, 3, 7, 11, 6, 0, 0, 6, 0, 3, 3, 7, 11, 4, 5})         // set aside, read again
	f.Add([]byte{1, 0, 6, 0, 5, 48, 0, 48, 1, 48, 4, 0, 0, 6, 2, 1, 48, 7, 1, 3, 4}) // lost while a cut is on its way
	f.Add(bytes.Repeat([]byte{0, 0, 9, 1, 4, 3, 19, 34, 1, 50, 4, 2, 0, 7, 1, 48, 5}, 6))
	f.Fuzz(func(t *testing.T, ops []byte) {
		for _, compacted := range []bool{false, true} {
			x := &both{t: t, p: opened(10), m: newModel(10, compacted), ops: bytes.NewReader(ops), now: time.Unix(1, 0)}
			x.p.compacted = compacted
			for x.ops.Len() > 0 {
				x.step()
				x.check()
			}
		}
	})
}
