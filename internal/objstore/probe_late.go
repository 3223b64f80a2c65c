package objstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/schema"
)

// givenUp is how many writes are given up on their way, half of them creations
// and half replacements.
const givenUp = 10

// trips is how many writes tell what one takes: the fastest does. By one that was held
// up by chance all others would be waited for until they had arrived.
const trips = 3

// lateness is what is looked at again at the end of an examination: whether a
// write that nobody waited for any more, of the races or given up on purpose,
// was made behind one that was answered.
type lateness struct {
	mu        sync.Mutex        // for raced: a preflight's two races run side by side
	held      map[string]string // what is known to be there, by key
	silent    int               // conditional writes of the races without an answer
	arrived   int               // of those given up: they were made
	overtaken int               // the next writer was faster
	undecided int               // and that one was not answered either
}

// raced notes whose bytes a race has left under its key. It may be called
// concurrently.
func (l *lateness) raced(key string, r Race) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent += r.Silent
	if r.Err == nil && r.Holder >= 0 {
		l.held[key] = string(raceBody(r.Holder))
	}
}

// giveUp begins conditional writes, gives each up after a part of the time that
// one takes, from a tenth to the whole, as a writer does whose patience ends,
// and writes with the same condition itself.
func (p *probe) giveUp(ctx context.Context) {
	trip := time.Duration(math.MaxInt64)
	for n := range trips {
		begin := time.Now()
		if _, err := p.seed(ctx, p.key("late-trip-%d", n)); err != nil {
			p.late.undecided = givenUp
			return
		}
		trip = min(trip, time.Since(begin))
	}
	for n := range givenUp {
		put := func(ctx context.Context, key string, body []byte) error {
			_, err := p.store.PutIfAbsent(ctx, key, body)
			return err
		}
		key := p.key("late-%02d", n)
		if n%2 == 1 {
			etag, err := p.seed(ctx, key)
			if err != nil || etag == "" {
				p.late.undecided++
				continue
			}
			put = func(ctx context.Context, key string, body []byte) error {
				_, err := p.store.PutIfMatch(ctx, key, etag, body)
				return err
			}
		}
		patience, cancel := context.WithTimeout(ctx, max(trip*time.Duration(n+1)/givenUp, time.Microsecond))
		_ = put(patience, key, []byte("given up")) // what became of it is what is asked
		cancel()
		p.overtake(ctx, key, put)
	}
}

// overtake writes with the condition of a write that was given up.
func (p *probe) overtake(ctx context.Context, key string, put func(context.Context, string, []byte) error) {
	const second = "second"
	switch err := put(ctx, key, []byte(second)); {
	case err == nil:
		p.late.overtaken++
		p.late.held[key] = second
	case errors.Is(err, ErrExists), errors.Is(err, ErrChanged):
		body, _, err := p.store.Get(ctx, key, 64)
		if err != nil {
			p.late.undecided++
			return
		}
		p.late.arrived++
		p.late.held[key] = string(body)
	default:
		p.late.undecided++
	}
}

const todoLate = "do not keep an archive here: a write that its writer has given up can replace a commit that another one made meanwhile. What decides the condition when a request arrives, and writes later, may be the store or a proxy with a queue before it: point s3.endpoint past it"

// look reads everything again, when what is late has had the time since.
func (p *probe) look(ctx context.Context, since time.Time) doctor.Check {
	l, read := &p.late, 0
	for key, want := range l.held {
		body, _, err := p.store.Get(ctx, key, 64)
		switch {
		case err != nil && schema.KindOf(err) != schema.NotFound:
			continue
		case err != nil:
			return doctor.Ill(doctor.S3Late, doctor.Failed, todoLate, "%s held %q, and is gone, though nobody deleted it", key, want)
		case string(body) != want:
			return doctor.Ill(doctor.S3Late, doctor.Failed, todoLate, "%s held %q when its writers had been answered, and holds %q now", key, want, body)
		}
		read++
	}
	seen := fmt.Sprintf("of %d writes given up on their way %d had arrived, %d were overtaken", givenUp, l.arrived, l.overtaken)
	if l.undecided > 0 {
		seen += fmt.Sprintf(", %d not decided", l.undecided)
	}
	seen += fmt.Sprintf("; %d objects hold what they did, %s later", read, time.Since(since).Round(100*time.Millisecond))
	switch {
	case l.arrived+l.overtaken == 0 || read < len(l.held):
		return doctor.Ill(doctor.S3Late, doctor.Indeterminate, "mend what is above, or run annals doctor again when the store is less busy", "%s", seen)
	case l.silent > 0:
		return doctor.Ill(doctor.S3Late, doctor.Warning,
			"find what does not answer, or drops answers, between here and the store; if it is only slow, s3.request_timeout must be longer than it takes. Nothing is lost: who has no answer reads what is there, at the cost of a pause each time",
			"%d conditional writes of the races had no answer within %s, or lost their connection; %s", l.silent, p.store.timeout, seen)
	}
	return doctor.Well(doctor.S3Late, "%s", seen)
}
