package objstore

import (
	"context"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
)

// MaxAttempts bounds how often a request that may be repeated is sent.
const MaxAttempts = 5

// The pauses between attempts grow from the first to the longest.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 3 * time.Second
)

// request is what one call needs to be attempted, logged and counted.
type request struct {
	op       string // metric label, and with spaces the verb in errors
	key      string
	bytes    int64 // moved in either direction, for the deadline
	attempts int
}

// do runs f until it succeeds, fails for good or the attempts are used up. The
// error is classed and names verb and key.
func (s *Store) do(ctx context.Context, r request, f func(context.Context) error) error {
	pauses := retry.Between(firstPause, maxPause)
	for n := 1; ; n++ {
		err := s.classify(r.op, r.key, s.attempt(ctx, r, f))
		if err == nil {
			return nil
		}
		if ended := ctx.Err(); ended != nil {
			return fmt.Errorf("%s: %w", err, ended)
		}
		if n >= r.attempts || !passes(err, n) {
			return err
		}
		pause := pauses.Next()
		s.logger.DebugContext(ctx, "object store request is repeated",
			"op", r.op, "key", r.key, "attempt", n, "pause", pause, "err", err)
		if ended := retry.Sleep(ctx, pause); ended != nil {
			return fmt.Errorf("%s: %w", err, ended)
		}
	}
}

// attempt runs f once, with a deadline that fits what is moved.
func (s *Store) attempt(ctx context.Context, r request, f func(context.Context) error) error {
	limit := s.timeout + time.Duration(r.bytes>>20)*time.Second
	attemptCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	err := f(attemptCtx)
	s.metrics.observe(r.op, err, time.Since(begin))
	if err != nil && ctx.Err() == nil && attemptCtx.Err() != nil {
		return fmt.Errorf("no answer within %s: %w", limit, err)
	}
	return err
}
