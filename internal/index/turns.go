package index

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/fx-risk-ai/annals/schema"
)

// Bounds of reads that are under way, and of those that wait.
const (
	openReads    = 8   // at once
	bulkReads    = 2   // of them; the others are for who waits for an answer
	spareReads   = 4   // connections beyond
	waitingReads = 512 // of each kind; one more is told to come back
)

// Turn says whose turn a read takes.
type Turn int

// The kinds of reads. One is Short if nothing else was said of it.
const (
	// Short reads are of who waits for one answer.
	Short Turn = iota
	// Shared ones are what many wait for, as a catalog is: they go first. There
	// must be few of them.
	Shared
	// Bulk ones are of who reads much, as an export does. Few of them run at once.
	Bulk

	kindsOfTurns
)

type turnKey struct{}

// WithTurn gives the reads of a context their kind.
func WithTurn(ctx context.Context, t Turn) context.Context {
	return context.WithValue(ctx, turnKey{}, t)
}

// TurnOf is the kind of a context's reads; Short if none was given.
func TurnOf(ctx context.Context) Turn {
	t, _ := ctx.Value(turnKey{}).(Turn)
	return t
}

// turns lets so many reads at once ask ClickHouse, in the order in which they
// came. The client's pool would do that too, but it gives up a wait after the time
// that a connection may take to come about, however long the asker may wait, and
// it knows no kinds: who reads everything must not keep others from reading one
// thing. It is safe for concurrent use.
type turns struct {
	mu       sync.Mutex
	free     int // that nobody has
	freeBulk int // of them, how many Bulk reads may take
	most     int // that wait, of each kind
	came     uint64
	waiting  [kindsOfTurns][]*waiter // the first to come first
}

// waiter is a read whose turn has not come.
type waiter struct {
	came  uint64
	ready chan error // nil: it is its turn
}

func newTurns(all, bulk, most int) *turns {
	return &turns{free: all, freeBulk: bulk, most: most}
}

// take waits for a turn, which give gives back, as long as ctx lasts. Unavailable,
// at once, where too many wait already; and as soon as ClickHouse cannot be
// reached (see fail).
func (t *turns) take(ctx context.Context, kind Turn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w, err := t.arrive(kind)
	if err != nil || w == nil {
		return err
	}
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
		if !t.leave(w, kind) && <-w.ready == nil {
			t.give(kind) // its turn came meanwhile
		}
		return fmt.Errorf("wait for its turn among the reads of the index: %w", ctx.Err())
	}
}

// arrive takes a turn that is free, or makes a waiter.
func (t *turns) arrive(kind Turn) (*waiter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.may(kind) { // and nobody waits who may too: give has seen to that
		t.use(kind)
		return nil, nil
	}
	if len(t.waiting[kind]) >= t.most {
		return nil, schema.WithHint(schema.Errorf(schema.Unavailable, "%d reads of the index wait for their turn already", t.most), "try again in a few seconds")
	}
	t.came++
	w := &waiter{t.came, make(chan error, 1)}
	t.waiting[kind] = append(t.waiting[kind], w)
	return w, nil
}

// leave takes a waiter out; false if it has been told something.
func (t *turns) leave(w *waiter, kind Turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting[kind], w)
	if i < 0 {
		return false
	}
	t.waiting[kind] = slices.Delete(t.waiting[kind], i, i+1)
	return true
}

// give gives a turn back.
func (t *turns) give(kind Turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	if kind == Bulk {
		t.freeBulk++
	}
	for {
		next, ok := t.next()
		if !ok {
			return
		}
		w := t.waiting[next][0]
		t.waiting[next] = t.waiting[next][1:]
		t.use(next)
		w.ready <- nil
	}
}

// next is the kind of the waiter whose turn it is; false: there is none.
func (t *turns) next() (next Turn, ok bool) {
	for _, kind := range []Turn{Shared, Short, Bulk} {
		if len(t.waiting[kind]) == 0 || !t.may(kind) {
			continue
		}
		if kind == Shared {
			return kind, true
		}
		if !ok || t.waiting[kind][0].came < t.waiting[next][0].came {
			next, ok = kind, true
		}
	}
	return next, ok
}

func (t *turns) may(kind Turn) bool { return t.free > 0 && (kind != Bulk || t.freeBulk > 0) }

func (t *turns) use(kind Turn) {
	t.free--
	if kind == Bulk {
		t.freeBulk--
	}
}

// fail tells all who wait why ClickHouse cannot be reached: each would find out the
// same, one behind the other.
func (t *turns) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for kind, waiting := range t.waiting {
		for _, w := range waiting {
			w.ready <- err
		}
		t.waiting[kind] = nil
	}
}
