package replay

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// How often a watched job is looked at: where this process works on it, and where
// the store must be asked; and for how long nothing happens before that is told.
const (
	watchHere  = 500 * time.Millisecond
	watchThere = time.Second
	watchQuiet = 10 * time.Second
)

// Watch calls tell with a job now and whenever it has changed, twice a second at
// most, and returns nil after it was told that the job has ended. It tells nil when
// nothing has happened for ten seconds. An error of tell ends it and is returned.
// NotFound as for Get; a store that is away for a while is waited for.
func (s *Service) Watch(ctx context.Context, who policy.Principal, id string, tell func(*answer.ReplayJob) error) error {
	st, err := s.job(ctx, who, id)
	if err != nil {
		return err
	}
	var told looks
	quiet := time.Now()
	for {
		job := s.live(st)
		if now := looksOf(job); now != told {
			if err := tell(job); err != nil || st.isEnded() {
				return err
			}
			told, quiet = now, time.Now()
		} else if time.Since(quiet) >= watchQuiet {
			if err := tell(nil); err != nil {
				return err
			}
			quiet = time.Now()
		}
		if st, err = s.again(ctx, st); err != nil {
			return err
		}
	}
}

// again waits a little and gives a job's state as it is then.
func (s *Service) again(ctx context.Context, st *state) (*state, error) {
	s.mu.Lock()
	c := s.held[st.ID]
	s.mu.Unlock()
	if c != nil {
		if err := retry.Sleep(ctx, watchHere); err != nil {
			return nil, err
		}
		return c.state(), nil
	}
	if err := retry.Sleep(ctx, watchThere); err != nil {
		return nil, err
	}
	object, err := s.store.Stat(ctx, stateKey(st.ID))
	if err == nil && object.ETag == st.etag {
		return st, nil
	}
	if err == nil {
		var next *state
		if next, err = s.loadState(ctx, st.ID); err == nil {
			return next, nil
		}
	}
	if schema.KindOf(err) == schema.Unavailable && ctx.Err() == nil {
		return st, nil
	}
	return nil, err
}

// looks is what of a job is worth telling when it changes; a lease is not.
type looks struct {
	state, err         string
	produced, readBack int64
	pace               answer.ReplayPace
	receipt            bool
	decisions          int
}

func looksOf(j *answer.ReplayJob) looks {
	l := looks{state: j.State, err: j.Error, produced: j.Produced, readBack: j.ReadBack, pace: j.Pace, receipt: j.Receipt != nil}
	if j.Approval != nil {
		l.decisions = len(j.Approval.Decisions)
	}
	return l
}
