package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	ot "github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

// through opens a ledger whose requests go through a transport that breaks
// them as choose says.
func through(t testing.TB, options objstore.Options, choose func(*http.Request) ot.Fault) (*ledger.Ledger, *ot.Faults) {
	t.Helper()
	f := &ot.Faults{Base: options.Transport, Choose: choose}
	return ledger.New(ot.Open(t, options, func(o *objstore.Options) { o.Transport = f }), nil), f
}

// TestAppendUnderEveryFault tries every sequence of three faults on the
// requests of one Append, with another writer that takes the seq before any of
// the first requests, or never; afterwards what was kept back is delivered. The
// model is one register: whoever is first in it is in the chain, for ever, and
// Append must say which.
func TestAppendUnderEveryFault(t *testing.T) {
	options := ot.EmbeddedOptions(t)
	sound := ledger.New(ot.Open(t, options), nil)
	// Late covers Lost: until everything is over, nothing tells them apart.
	kinds := []ot.Fault{ot.None, ot.ReplyLost, ot.Late, ot.Twice}
	var (
		group errgroup.Group
		cases int32
		mu    sync.Mutex
		seen  = map[string]int{}
	)
	group.SetLimit(64)
	for _, a := range kinds {
		for _, b := range kinds {
			for _, c := range kinds {
				if a == ot.None && (b != ot.None || c != ot.None) {
					continue // the first request was the last
				}
				for intruder := -1; intruder < 3; intruder++ {
					s := stream(cases)
					cases++
					group.Go(func() error {
						outcome, err := appendOnce(t, options, sound, s, []ot.Fault{a, b, c}, intruder)
						if err != nil {
							return fmt.Errorf("faults %v %v %v, another writer before request %d: %w", a, b, c, intruder, err)
						}
						mu.Lock()
						seen[outcome]++
						mu.Unlock()
						return nil
					})
				}
			}
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cases: %v", cases, seen)
	if seen["placed"] == 0 || seen["lost"] == 0 {
		t.Error("an outcome never occurred")
	}
}

// appendOnce is one case. It returns the outcome, and what does not fit it.
func appendOnce(t *testing.T, options objstore.Options, sound *ledger.Ledger, s schema.Stream, faults []ot.Fault, intruder int) (string, error) {
	ctx := t.Context()
	head, err := sound.Append(ctx, ledger.Head{}, commit(s, ledger.Head{}, schema.KindGenesis))
	if err != nil {
		return "", err
	}
	mine, theirs := segment(s, head, 3), segment(s, head, 5)
	requests, intrudes := 0, error(nil)
	l, f := through(t, options, func(*http.Request) ot.Fault {
		n := requests
		requests++
		if n == intruder {
			_, intrudes = sound.Append(ctx, head, theirs)
		}
		if n < len(faults) {
			return faults[n]
		}
		return ot.None
	})
	placed, err := l.Append(ctx, head, mine)
	var lost *ledger.LostError
	switch {
	case err != nil && !errors.As(err, &lost):
		return "", fmt.Errorf("no verdict: %w", err)
	case intrudes != nil && !errors.As(intrudes, new(*ledger.LostError)):
		return "", intrudes
	}
	if _, err := f.Deliver(); err != nil {
		return "", err
	}
	// The store says who is there; a late delivery has not changed it.
	there, err := sound.Head(ctx, s)
	if err != nil {
		return "", err
	}
	if lost == nil {
		if there.Commit.Attempt != mine.Attempt || there.Digest != placed.Digest || placed.Next != mine.Next {
			return "", fmt.Errorf("said to be placed, and attempt %s is there", there.Commit.Attempt)
		}
		if intruder == 0 || (intruder > 0 && intruder < requests && intrudes == nil) {
			return "", errors.New("both were placed")
		}
		return "placed", nil
	}
	if there.Commit.Attempt != theirs.Attempt || lost.Winner.Digest != there.Digest || intrudes != nil {
		return "", fmt.Errorf("said to be lost, and attempt %s is there", there.Commit.Attempt)
	}
	return "lost", nil
}

// writers is what many writers on one stream were told.
type writers struct {
	stream schema.Stream
	mu     sync.Mutex
	placed []string
	lost   []string
}

// write appends each segments through l, starting again from the head when
// another writer was first.
func (w *writers) write(ctx context.Context, l *ledger.Ledger, each int, rows int64) error {
	for done := 0; done < each; {
		head, err := l.Head(ctx, w.stream)
		if err != nil {
			return err
		}
		c := segment(w.stream, head, rows)
		_, err = l.Append(ctx, head, c)
		for errors.Is(err, ledger.ErrUncertain) {
			_, err = l.Append(ctx, head, c)
		}
		w.mu.Lock()
		switch {
		case err == nil:
			w.placed = append(w.placed, c.Attempt)
			done++
		case errors.As(err, new(*ledger.LostError)):
			w.lost = append(w.lost, c.Attempt)
			err = nil
		}
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// check holds what the writers were told against the chain.
func (w *writers) check(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	all, err := chain(t, l, w.stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1+len(w.placed) {
		t.Errorf("%d commits, for a genesis and %d that were placed", len(all), len(w.placed))
	}
	times := map[string]int{}
	for _, e := range all {
		times[e.Commit.Attempt]++
	}
	for _, attempt := range w.placed {
		if times[attempt] != 1 {
			t.Errorf("placed attempt %s is in the chain %d times", attempt, times[attempt])
		}
	}
	for _, attempt := range w.lost {
		if times[attempt] != 0 {
			t.Errorf("lost attempt %s is in the chain", attempt)
		}
	}
}

// TestManyWriters: eight writers on one stream, half of them behind a bad
// network. Afterwards the chain is perfect, and holds what was said to be
// placed, once, and nothing of what was said to be lost.
func TestManyWriters(t *testing.T) {
	const count, each = 8, 5
	options := ot.EmbeddedOptions(t)
	sound := ledger.New(ot.Open(t, options), nil)
	w := writers{stream: stream(0)}
	grow(t, sound, w.stream, 0)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	kinds := []ot.Fault{ot.Lost, ot.ReplyLost, ot.Late, ot.Twice, ot.Applied500, ot.SlowDown, ot.Conflict}
	var (
		group    errgroup.Group
		networks []*ot.Faults
	)
	for n := range count {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		l, f := through(t, options, func(r *http.Request) ot.Fault {
			if n%2 == 0 || r.Method != http.MethodPut || random.IntN(3) > 0 {
				return ot.None
			}
			return kinds[random.IntN(len(kinds))]
		})
		networks = append(networks, f)
		group.Go(func() error { return w.write(t.Context(), l, each, 1+int64(n)) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, f := range networks {
		n, err := f.Deliver()
		if err != nil {
			t.Fatal(err)
		}
		late += n
	}
	t.Logf("%d placed, %d lost, %d delivered late", len(w.placed), len(w.lost), late)
	if len(w.placed) != count*each {
		t.Errorf("%d placed", len(w.placed))
	}
	w.check(t, sound)
}

// TestAppendWhenItsCallerGoesAway: the last look settles what it can, and what
// it cannot is settled by the same call later.
func TestAppendWhenItsCallerGoesAway(t *testing.T) {
	options := ot.EmbeddedOptions(t)
	sound := ledger.New(ot.Open(t, options), nil)
	for i, c := range []struct {
		fault   ot.Fault
		certain bool
	}{{ot.ReplyLost, true}, {ot.Applied500, true}, {ot.Lost, false}, {ot.Late, false}} {
		s := stream(int32(i))
		head := grow(t, sound, s, 0)
		ctx, cancel := context.WithCancel(t.Context())
		l, f := through(t, options, func(r *http.Request) ot.Fault {
			if r.Method != http.MethodPut {
				return ot.None
			}
			cancel() // while the PUT is under way
			return c.fault
		})
		mine := segment(s, head, 3)
		placed, err := l.Append(ctx, head, mine)
		if c.certain {
			if err != nil || placed.Next != 3 {
				t.Errorf("%s: %v", c.fault, err)
			}
		} else if !errors.Is(err, ledger.ErrUncertain) || !errors.Is(err, context.Canceled) || schema.KindOf(err) != schema.Unavailable {
			t.Errorf("%s: %v", c.fault, err)
		}
		if _, err := f.Deliver(); err != nil {
			t.Fatal(err)
		}
		if placed, err = sound.Append(t.Context(), head, mine); err != nil || placed.Next != 3 {
			t.Errorf("%s, and again later: %v", c.fault, err)
		}
		if all, err := chain(t, sound, s, 0); err != nil || len(all) != 2 {
			t.Errorf("%s: %d commits, %v", c.fault, len(all), err)
		}
	}
}

// TestAppendGivesUp: after a bounded number of requests, and saying whether
// the commit may still appear.
func TestAppendGivesUp(t *testing.T) {
	options := ot.EmbeddedOptions(t)
	sound := ledger.New(ot.Open(t, options), nil)
	for i, c := range []struct {
		fault     ot.Fault
		kind      schema.Kind
		uncertain bool
		atMost    int
	}{
		{ot.Full, schema.Exhausted, false, 1},
		{ot.Forbidden, schema.Permission, false, 1},
		{ot.Refused, schema.Unavailable, false, 6},
		{ot.Conflict, schema.Unavailable, false, 6},
		{ot.SlowDown, schema.Unavailable, true, 6},
	} {
		s := stream(int32(i))
		head := grow(t, sound, s, 0)
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			l, f := through(t, options, func(r *http.Request) ot.Fault {
				if r.Method == http.MethodPut {
					return c.fault
				}
				return ot.None
			})
			_, err := l.Append(t.Context(), head, segment(s, head, 1))
			if schema.KindOf(err) != c.kind || errors.Is(err, ledger.ErrUncertain) != c.uncertain {
				t.Errorf("%s: %v", schema.KindOf(err), err)
			}
			if n := f.Count("PUT"); n > c.atMost || err == nil || !strings.Contains(err.Error(), s.String()) {
				t.Errorf("%d requests: %v", n, err)
			}
		})
	}
}

// TestAppendDoesNotTakeAChainThatDoesNotHold: what stands at the seq must
// follow the head, whoever wrote it.
func TestAppendDoesNotTakeAChainThatDoesNotHold(t *testing.T) {
	l, store := open(t)
	s := stream(0)
	head := grow(t, l, s, 1)
	astray := segment(s, head, 5, func(c *schema.Commit) { c.Previous = &schema.Digest{1} })
	raw, err := astray.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"another previous": raw, "not a commit": []byte("{}"), "empty": nil} {
		put(t, store, schema.CommitKey(s, 2), bad)
		_, err := l.Append(t.Context(), head, segment(s, head, 3))
		if schema.KindOf(err) != schema.Corrupt || errors.As(err, new(*ledger.LostError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
