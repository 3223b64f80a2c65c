package query

import (
	"container/list"
	"context"
	"io"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/segment"
)

// readerBudget bounds the footers and page indexes that are kept. What is read of a
// file with them is let go of when it was used.
const readerBudget = 32 << 20

// What a reader takes: what is decoded of its columns, and of the bytes of its page
// index and footer, which it keeps too.
const (
	keptColumns = 48 << 10
	keptFactor  = 4
)

// segmentRef is what opens a segment. Keys hold the content's hash, so what
// was opened once never changes.
type segmentRef struct {
	key   string
	bytes int64
}

// openSegments keeps opened segments, the latest used, within a budget.
type openSegments struct {
	mu    sync.Mutex
	limit int64
	used  int64
	byKey map[segmentRef]*list.Element
	order list.List // of *openSegment, latest first
}

type openSegment struct {
	ref    segmentRef
	once   sync.Mutex
	reader *segment.Reader
	cost   int64
}

// open gives the segment's reader. Callers that want the same one wait for
// whoever opens it.
func (o *openSegments) open(ctx context.Context, store Store, ref segmentRef) (*segment.Reader, error) {
	reader, done, err := o.openFor(ctx, store, ref, segment.Open)
	if err == nil {
		done()
	}
	return reader, err
}

// openForRows is open for who reads rows next. done lets go of what was read ahead for
// them; whoever begins to read rows of the same segment after that fetches it again.
func (o *openSegments) openForRows(ctx context.Context, store Store, ref segmentRef) (reader *segment.Reader, done func(), err error) {
	return o.openFor(ctx, store, ref, segment.OpenForRows)
}

type opener func(context.Context, io.ReaderAt, int64) (*segment.Reader, error)

func (o *openSegments) openFor(ctx context.Context, store Store, ref segmentRef, open opener) (reader *segment.Reader, done func(), err error) {
	entry := o.entry(ref)
	entry.once.Lock()
	defer entry.once.Unlock()
	if entry.reader == nil {
		reader, err := open(ctx, &rangeSource{store, ref}, ref.bytes)
		if err != nil {
			o.forget(entry)
			return nil, nil, err
		}
		entry.reader = reader
		o.charge(entry, keptColumns+reader.IndexBytes()*keptFactor)
	}
	return entry.reader, entry.reader.Trim, nil
}

func (o *openSegments) entry(ref segmentRef) *openSegment {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at, ok := o.byKey[ref]; ok {
		o.order.MoveToFront(at)
		entry, _ := at.Value.(*openSegment) // the list holds nothing else
		return entry
	}
	if o.byKey == nil {
		o.byKey = map[segmentRef]*list.Element{}
	}
	entry := &openSegment{ref: ref}
	o.byKey[ref] = o.order.PushFront(entry)
	return entry
}

func (o *openSegments) forget(entry *openSegment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remove(entry)
}

func (o *openSegments) remove(entry *openSegment) {
	if at, ok := o.byKey[entry.ref]; ok && at.Value == any(entry) {
		o.order.Remove(at)
		delete(o.byKey, entry.ref)
		o.used -= entry.cost
	}
}

// charge counts what an opened segment takes, and lets the oldest go.
func (o *openSegments) charge(entry *openSegment, cost int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at, ok := o.byKey[entry.ref]; !ok || at.Value != any(entry) {
		return
	}
	entry.cost = cost
	o.used += cost
	for o.used > o.limit && o.order.Len() > 1 {
		oldest, _ := o.order.Back().Value.(*openSegment) // as above
		o.remove(oldest)
	}
}

// rangeTimeout bounds one ranged read. A reader outlives the request that
// opened it, so the request's context cannot.
const rangeTimeout = 30 * time.Second

// rangeSource reads an object by ranges.
type rangeSource struct {
	store Store
	ref   segmentRef
}

// ReadAt implements io.ReaderAt.
func (s *rangeSource) ReadAt(p []byte, off int64) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rangeTimeout)
	defer cancel()
	return s.store.ReaderAt(ctx, s.ref.key, s.ref.bytes).ReadAt(p, off)
}

var _ io.ReaderAt = (*rangeSource)(nil)
