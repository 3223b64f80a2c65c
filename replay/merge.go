package replay

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"unsafe"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of what a merge holds in memory.
const (
	mostAhead   = 8 << 20 // of records of one lane
	leastAhead  = 40 << 10
	provenAhead = 1 << 20 // from where on windows are held against their hashes one by one
	chunkBytes  = 256 << 10
	chunkCount  = 1000
	mostOffsets = 1 << 16 // that are asked for at once
	leastProof  = 1 << 10 // of rows that have a hash together
)

// pager reads a lane's planned records a window at a time: of a row group only
// the pages that hold the window. Segments are held against their hash before
// the first record of each is handed out; of a small part of one the rows are,
// window by window where windows are large. It belongs to one goroutine.
type pager struct {
	service *Service
	lane    *lane
	budget  int64
	outgo   func(*schema.Record) *schema.Record
	index   int

	segment int         // of the lane
	at      segmentPlan // the object that holds it
	reader  *segment.Reader
	from    int64 // the next offset
	whole   bool  // the segment is read from its beginning
	proven  bool  // windows are held against their hashes as they are read
	n       int64 // of its records
	step    int64 // offsets a window
}

// fill gives the next records, by offset, at least one; nil at the lane's end.
func (p *pager) fill(ctx context.Context) ([]placed, error) {
	for p.segment < len(p.lane.stream.Segments) {
		plan := &p.lane.stream.Segments[p.segment]
		if plan.Next <= p.from {
			if err := p.leave(plan); err != nil {
				return nil, err
			}
			continue
		}
		if p.reader == nil {
			if err := p.open(ctx, plan); err != nil {
				return nil, err
			}
		}
		list, err := p.window(ctx)
		if errors.Is(err, errMissing) { // since it was opened
			if err = p.follow(ctx, err); err == nil {
				continue
			}
		}
		if err != nil || len(list) > 0 {
			return list, err
		}
	}
	return nil, nil
}

// leave goes on to the next segment. One that was read as a whole must have had
// what was planned.
func (p *pager) leave(plan *segmentPlan) error {
	if p.whole && p.n != plan.Records {
		return schema.Errorf(schema.Corrupt, "segment %s has %d records of the selection, the plan says %d", plan.Key, p.n, plan.Records)
	}
	p.segment, p.reader, p.whole, p.n = p.segment+1, nil, false, 0
	return nil
}

func (p *pager) open(ctx context.Context, plan *segmentPlan) error {
	p.whole, p.n = p.from <= plan.From, 0
	p.from, p.step = max(p.from, plan.From), 256
	p.at = *plan
	err := p.openAt(ctx)
	if errors.Is(err, errMissing) {
		return p.follow(ctx, err)
	}
	return err
}

// openAt opens the object that is to hold the segment, and holds it against its
// hash, or of a small part the rows against theirs, before any of it is used.
func (p *pager) openAt(ctx context.Context) (err error) {
	p.proven = false
	source := p.service.store.ReaderAt(ctx, p.at.Key, p.at.Size)
	if mayBeProven(&p.at, p.lane.chosen) {
		reader, err := p.service.openSegment(ctx, source, &p.at)
		if err != nil {
			return err
		}
		if isSmallPart(reader, &p.at) {
			p.reader = reader
			if p.proven = p.budget >= provenAhead; p.proven {
				p.step = p.measured()
				return nil
			}
			return p.prove(ctx)
		}
	}
	if _, err = p.service.verify(ctx, &p.at, 0, new([]byte)); err == nil {
		p.reader, err = p.service.openSegment(ctx, source, &p.at)
	}
	return err
}

// measured is how many offsets of the segment the budget holds, by the plan.
func (p *pager) measured() int64 {
	size := (p.at.Bytes+p.at.Records*recordOverhead)/max(p.at.Records, 1) + 1
	return min(max(p.budget/size, leastProof), mostOffsets)
}

// prove holds the rows that are left of the open segment against their hashes.
func (p *pager) prove(ctx context.Context) error {
	for _, err := range p.reader.Proven(ctx, p.from, p.at.Next) {
		if err != nil {
			p.reader = nil
			return segmentError(&p.at, err)
		}
	}
	return nil
}

// follow opens the object that the segment was joined into, as often as that is
// joined itself. missing is the error that says that the one at hand is gone, and
// what is returned if the ledger knows of no other.
func (p *pager) follow(ctx context.Context, missing error) error {
	for errors.Is(missing, errMissing) {
		moved, err := p.service.joined(ctx, p.lane, &p.at)
		if err != nil {
			return err
		}
		if moved == nil {
			return missing
		}
		p.at = *moved
		missing = p.openAt(ctx)
	}
	return missing
}

// window reads some offsets on. It may find nothing there. After an error it is as
// if it had not been called.
func (p *pager) window(ctx context.Context) ([]placed, error) {
	from, to := p.from, min(p.from+p.step, p.at.Next)
	if p.at.Offsets != nil {
		first, _ := slices.BinarySearch(p.at.Offsets, from)
		if last := first + 256; last < len(p.at.Offsets) {
			to = p.at.Offsets[last]
		} else {
			to = p.at.Next
		}
	}
	var list []placed
	var bytes, n int64
	var place room // its pieces go when the last record of each is out
	chosen := p.lane.chosen
	rows := p.service.rowsOf(ctx, p.reader, &p.at, from, to, segment.Payload|chosen.columns())
	if p.proven {
		rows = p.reader.Proven(ctx, from, to)
	}
	for row, err := range rows {
		if err != nil {
			return nil, segmentError(&p.at, err)
		}
		if row.Status != schema.Committed || !chosen.wants(row) {
			continue
		}
		size := row.Bytes() + recordOverhead
		list = append(list, placed{lane: p.lane, index: p.index, offset: row.Offset, size: size, record: p.outgo(place.keep(&row.Record, false))})
		n, bytes = n+1, bytes+held(&row.Record)
		if bytes >= p.budget {
			to = row.Offset + 1
			break
		}
	}
	p.from, p.n = to, p.n+n
	// What the next window may hold by the measure of this one.
	grown := 4 * p.step
	if bytes > 0 {
		grown = min(grown, int64(float64(to-from)*float64(p.budget)/float64(bytes)))
	}
	p.step = min(max(grown, 16), mostOffsets)
	return list, nil
}

// held is what a record that was read ahead takes in memory.
func held(r *schema.Record) int64 {
	const record, header = int64(unsafe.Sizeof(schema.Record{}) + unsafe.Sizeof(placed{})), int64(unsafe.Sizeof(schema.Header{}))
	return r.Bytes() + record + header*int64(len(r.Headers))
}

// feed is a lane in a merge. While a window is used the next one is read, so that
// lanes whose windows end together do not hold up the clock. The pager is the
// reading goroutine's.
type feed struct {
	pager
	list   []placed
	clock  int64       // the running maximum of its timestamps
	coming chan window // holds one; the lane's last has no records
}

type window struct {
	list []placed
	err  error
}

// next brings the feed's first record into place; false at its end.
func (f *feed) next(ctx context.Context, reading *reading) (bool, error) {
	if len(f.list) == 0 {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case w := <-f.coming:
			if w.err != nil || len(w.list) == 0 {
				return false, w.err
			}
			f.list = w.list
		}
		reading.begin(ctx, f)
	}
	f.clock = max(f.clock, f.list[0].record.Timestamp)
	return true, nil
}

// mostReading bounds the windows that are read at once: each takes its pages in
// memory.
const mostReading = 4

// reading are the goroutines that read windows.
type reading struct {
	group sync.WaitGroup
	slots chan struct{}
}

// begin reads a feed's next window, which must not be under way.
func (r *reading) begin(ctx context.Context, f *feed) {
	r.group.Go(func() {
		select {
		case <-ctx.Done():
			return
		case r.slots <- struct{}{}:
		}
		list, err := f.fill(ctx)
		<-r.slots
		f.coming <- window{list, err}
	})
}

// feeds is a heap by clock, then lane: the same records always come in the same
// order.
type feeds []*feed

func (h feeds) Len() int { return len(h) }
func (h feeds) Less(i, j int) bool {
	return h[i].clock < h[j].clock || h[i].clock == h[j].clock && h[i].index < h[j].index
}
func (h feeds) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *feeds) Push(x any)   { *h = append(*h, x.(*feed)) }
func (h *feeds) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// merge reads all lanes by one clock, from where each stands. A record's time
// is the running maximum of its lane, so that no partition's order is changed;
// after a new beginning the maximum begins anew, and what lies before the clock
// is due at once.
func (a *attempt) merge(ctx context.Context, at *progress, out chan<- *batch) error {
	ctx, stop := context.WithCancel(ctx)
	reading := &reading{slots: make(chan struct{}, mostReading)}
	defer func() { stop(); reading.group.Wait() }()
	all := make([]*feed, len(a.lanes))
	budget := min(max(a.options.Ahead/int64(len(a.lanes)), leastAhead), mostAhead) / 2 // the one that is used, and the next
	for i := range a.lanes {
		all[i] = &feed{
			pager: pager{service: a.Service, lane: &a.lanes[i], index: i, from: at.next[i], budget: budget, outgo: a.outgoing},
			clock: minClock, coming: make(chan window, 1),
		}
		reading.begin(ctx, all[i])
	}
	var heads feeds
	for _, f := range all {
		more, err := f.next(ctx, reading)
		if err != nil {
			return err
		}
		if more {
			heads = append(heads, f)
		}
	}
	heap.Init(&heads)
	current := &batch{}
	for len(heads) > 0 {
		f := heads[0]
		record := f.list[0]
		record.clock = f.clock
		current.records, current.bytes, f.list = append(current.records, record), current.bytes+record.size, f.list[1:]
		if current.bytes >= chunkBytes || len(current.records) == chunkCount {
			if err := send(ctx, out, current); err != nil {
				return err
			}
			current = &batch{}
		}
		more, err := f.next(ctx, reading)
		if err != nil {
			return err
		}
		if more {
			heap.Fix(&heads, 0)
		} else {
			heap.Pop(&heads)
		}
	}
	return send(ctx, out, current)
}

const minClock = -1 << 63

// outgoing is the record as this job produces it.
func (a *attempt) outgoing(r *schema.Record) *schema.Record { return a.doc.outgoing(a.claim.id, r) }

func send(ctx context.Context, out chan<- *batch, b *batch) error {
	if len(b.records) == 0 {
		return nil
	}
	select {
	case out <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
