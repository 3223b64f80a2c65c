package objstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/fx-risk-ai/annals/schema"
)

// ErrNotAtomic tells that a store answered conditional writes as no store may
// on which an archive is kept: two writers can both believe to have won, and
// one of them is wrong.
var ErrNotAtomic = errors.New("conditional writes are not atomic")

// maxCollisions is how often one writer of a race sends again after a 409.
const maxCollisions = 50

// Race is one round in which several writers met on one key.
type Race struct {
	Writers   int
	Won       []int // the writers that were told so
	Refused   int   // 412
	Collided  int   // 409 answers, after each of which the writer sent again
	Uncertain int   // writers without an answer that tells
	Silent    int   // of those, the writers without any answer
	// Holder is the writer whose bytes are there afterwards; -1: none of them.
	Holder int
	// Err is what else a writer, or the read afterwards, met: no race then.
	Err error
}

// Race lets writers meet on key: all create it, with If-None-Match, or, with
// an etag, all replace the object that has it, with If-Match. Which bytes are
// there afterwards is read back. Like the conditional writes, nothing is sent
// again that was not certainly refused.
func (s *Store) Race(ctx context.Context, key, etag string, writers int) Race {
	r := Race{Writers: writers, Holder: -1}
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		start = make(chan struct{})
	)
	for w := range writers {
		group.Go(func() {
			<-start
			collided, err := s.runner(ctx, key, etag, raceBody(w))
			mu.Lock()
			defer mu.Unlock()
			r.Collided += collided
			r.note(w, err)
		})
	}
	close(start)
	group.Wait()
	body, _, err := s.Get(ctx, key, 64)
	if err != nil && schema.KindOf(err) != schema.NotFound {
		r.Err = errors.Join(r.Err, err)
	}
	for w := range writers {
		if err == nil && string(body) == string(raceBody(w)) {
			r.Holder = w
		}
	}
	return r
}

func raceBody(writer int) []byte { return fmt.Appendf(nil, "writer %d", writer) }

// runner is one writer of a race.
func (s *Store) runner(ctx context.Context, key, etag string, body []byte) (collided int, err error) {
	for {
		if etag == "" {
			_, err = s.PutIfAbsent(ctx, key, body)
		} else {
			_, err = s.PutIfMatch(ctx, key, etag, body)
		}
		if !errors.Is(err, ErrBusy) || collided == maxCollisions {
			return collided, err
		}
		collided++
	}
}

func (r *Race) note(writer int, err error) {
	switch {
	case err == nil:
		r.Won = append(r.Won, writer)
	case errors.Is(err, ErrExists), errors.Is(err, ErrChanged):
		r.Refused++
	case errors.Is(err, ErrUncertain), errors.Is(err, ErrBusy):
		r.Uncertain++
		var answer minio.ErrorResponse
		if !errors.As(err, &answer) || answer.StatusCode == 0 {
			r.Silent++
		}
	case r.Err == nil:
		r.Err = err
	}
}

// Unfair says what was wrong with the round, or "". One writer may hold the
// key; whoever was told to have won must be the one. A holder that was told
// nothing, or a refusal, is fair: its request arrived, perhaps twice, and the
// answer to the first was lost.
func (r Race) Unfair() string {
	switch {
	case len(r.Won) > 1:
		return fmt.Sprintf("%d of %d concurrent writers were each told that they had won", len(r.Won), r.Writers)
	case r.Err != nil:
		return ""
	case len(r.Won) == 1 && r.Holder != r.Won[0]:
		return "a writer was told that it had won, and then the object was another one's"
	case len(r.Won) == 0 && r.Holder < 0 && r.Uncertain == 0:
		return fmt.Sprintf("all of %d concurrent writers were refused, and nobody had won", r.Writers)
	}
	return ""
}

// Decided tells whether the round shows anything: everybody was answered, or
// unfairly so.
func (r Race) Decided() bool { return r.Unfair() != "" || r.Err == nil && r.Holder >= 0 }

// races is several rounds, for a line of text.
type races struct {
	writers, rounds, undecided, refused, collided, uncertain int
	unfair                                                   []string
	err                                                      error
}

func (t *races) add(r Race) {
	t.writers = r.Writers
	t.rounds++
	t.refused += r.Refused
	t.collided += r.Collided
	t.uncertain += r.Uncertain
	if why := r.Unfair(); why != "" {
		t.unfair = append(t.unfair, why)
	}
	if !r.Decided() {
		t.undecided++
	}
	if t.err == nil {
		t.err = r.Err
	}
}

// unseeded counts a round that there was nothing to replace in, as far as is
// known.
func (t *races) unseeded(writers int) {
	t.writers = writers
	t.rounds++
	t.undecided++
	t.uncertain++
}

func (t *races) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds of %d writers, ", t.rounds, t.writers)
	if n := len(t.unfair); n > 0 {
		fmt.Fprintf(&b, "%d unfair (%s); ", n, t.unfair[0])
	} else {
		fmt.Fprintf(&b, "%d with one winner; ", t.rounds-t.undecided)
	}
	fmt.Fprintf(&b, "%d answers of 412, %d of 409", t.refused, t.collided)
	if t.uncertain > 0 {
		fmt.Fprintf(&b, ", %d without an outcome", t.uncertain)
	}
	return b.String()
}
