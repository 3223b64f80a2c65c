package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

const (
	// appendAttempts bounds how often the same bytes are sent.
	appendAttempts = 6
	// The pauses between them grow from the first to the longest.
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
	// lastLook bounds the GET that finds out about a commit whose caller went
	// away while it was under way.
	lastLook = 10 * time.Second
)

// Append places c directly behind head, the zero Head for a genesis, and
// returns the head that c makes. It changes nothing in c: seq, previous hash,
// branch and base must follow from head, else the error is Corrupt and nothing
// is sent. c.Attempt must be an id that no other commit ever had.
//
// The seq is written once and for all: when the store says that it is taken,
// or gives no answer, the commit there is read and its attempt compared. Its
// own attempt: c is committed. None: the same bytes are sent again. Another:
// the error is a *LostError of kind Conflict; nothing of c is in the chain or
// will ever be, and whoever still wants to archive reads the head again and
// makes a new commit with a new attempt. Append never tries another seq.
//
// After ErrUncertain, of kind Unavailable, c may be in the chain now or later.
// Until a call with the same c has answered, its offsets must not be given to
// another commit, except after reading the head. When ctx ends while c is
// under way, Append takes one last look on its own time, at most 10 s.
func (l *Ledger) Append(ctx context.Context, head Head, c *schema.Commit) (Head, error) {
	if c.Seq != head.seq() {
		return Head{}, schema.Errorf(schema.Corrupt, "append commit %d of %s: the next seq is %d", c.Seq, c.Stream(), head.seq())
	}
	raw, err := c.Encode()
	if err != nil {
		return Head{}, fmt.Errorf("append: %w", err)
	}
	if err := head.follow(c); err != nil {
		return Head{}, fmt.Errorf("append: %w", err)
	}
	a := attempt{ledger: l, head: head, commit: c, raw: raw, key: schema.CommitKey(c.Stream(), c.Seq)}
	placed, err := a.run(ctx)
	if err != nil {
		return Head{}, fmt.Errorf("append commit %d of %s: %w", c.Seq, c.Stream(), err)
	}
	return placed, nil
}

// attempt is one Append under way.
type attempt struct {
	ledger *Ledger
	head   Head
	commit *schema.Commit
	raw    []byte
	key    string
	// sent: some PUT may have reached the store, or may still reach it.
	sent bool
}

// verdict is what one PUT, and the look after it, found out.
type verdict uint8

const (
	again  verdict = iota // nothing there: the same bytes once more
	placed                // ours
	lost                  // another's
)

func (a *attempt) run(ctx context.Context) (Head, error) {
	var last error
	pauses := retry.Between(firstPause, maxPause)
	for n := range appendAttempts {
		if n > 0 && pauses.Wait(ctx) != nil {
			break
		}
		found, winner, err := a.put(ctx)
		switch {
		case found == placed:
			return a.head.behind(a.commit, schema.CommitDigest(a.raw)), nil
		case found == lost:
			return Head{}, schema.Errorf(schema.Conflict, "%w", &LostError{Winner: winner})
		case err != nil && schema.KindOf(err) != schema.Unavailable && ctx.Err() == nil:
			return Head{}, a.giveUp(err) // will not pass: full, forbidden, corrupt
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	if ended := ctx.Err(); ended != nil {
		if a.sent {
			return a.lastLook(ctx, ended)
		}
		return Head{}, errors.Join(ended, last)
	}
	return Head{}, a.giveUp(last)
}

// put sends the bytes once and, unless the store took them, looks at what is
// there.
func (a *attempt) put(ctx context.Context) (verdict, Head, error) {
	_, err := a.ledger.store.PutIfAbsent(ctx, a.key, a.raw)
	switch {
	case err == nil:
		return placed, Head{}, nil
	case errors.Is(err, objstore.ErrUncertain):
		a.sent = true
	case errors.Is(err, objstore.ErrExists):
	default:
		// Refused, or never sent: this PUT will not take effect.
		return again, Head{}, err
	}
	found, winner, lookErr := a.look(ctx)
	switch {
	case lookErr != nil:
		return again, Head{}, fmt.Errorf("%w (looked after: %v)", lookErr, err)
	case found == again:
		return again, Head{}, schema.Errorf(schema.Unavailable, "%w, and there is no commit", err)
	}
	return found, winner, nil
}

// look reads the commit at our seq.
func (a *attempt) look(ctx context.Context) (verdict, Head, error) {
	there, err := a.ledger.commit(ctx, a.commit.Stream(), a.commit.Seq)
	switch {
	case schema.KindOf(err) == schema.NotFound:
		return again, Head{}, nil
	case err != nil:
		return again, Head{}, err
	case bytes.Equal(there.Raw, a.raw):
		return placed, Head{}, nil
	case there.Commit.Attempt == a.commit.Attempt:
		return again, Head{}, schema.Errorf(schema.Corrupt,
			"attempt %s stands in the chain with other bytes: an attempt was used twice", a.commit.Attempt)
	}
	if err := a.head.follow(there.Commit); err != nil {
		return again, Head{}, fmt.Errorf("the commit that holds the seq does not follow the head: %w", err)
	}
	return lost, a.head.behind(there.Commit, there.Digest), nil
}

// lastLook finds out, after the caller went away, what became of a PUT that
// may have arrived.
func (a *attempt) lastLook(ctx context.Context, ended error) (Head, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	found, winner, err := a.look(ctx)
	switch {
	case err != nil:
		return Head{}, a.giveUp(errors.Join(ended, err))
	case found == placed:
		return a.head.behind(a.commit, schema.CommitDigest(a.raw)), nil
	case found == lost:
		return Head{}, schema.Errorf(schema.Conflict, "%w", &LostError{Winner: winner})
	default:
		return Head{}, a.giveUp(ended)
	}
}

// giveUp says whether the commit may still take effect.
func (a *attempt) giveUp(err error) error {
	if !a.sent {
		return err
	}
	return schema.Errorf(schema.Unavailable, "%w: %w", ErrUncertain, err)
}
