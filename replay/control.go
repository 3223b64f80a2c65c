package replay

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// changed tells the job's worker, if it is in this process, and those who look
// for jobs.
func (s *Service) changed(id string) {
	s.mu.Lock()
	c := s.held[id]
	s.mu.Unlock()
	if c != nil {
		c.kicked()
	}
	s.wake()
}

// amend changes a job's state as long as others change it too. change returns
// false when there is nothing to change.
func (s *Service) amend(ctx context.Context, who policy.Principal, id string, change func(*state) (bool, error)) (*state, error) {
	for attempt := 1; ; attempt++ {
		st, err := s.loadState(ctx, id)
		if err != nil {
			return nil, err
		}
		if !visible(who, &st.Plan) {
			return nil, schema.Errorf(schema.NotFound, "no replay %s", id)
		}
		wanted, err := change(st)
		if err != nil || !wanted {
			return st, err
		}
		err = s.save(ctx, st)
		if err == nil || schema.KindOf(err) != schema.Conflict || attempt == 20 {
			return st, err
		}
	}
}

// settled waits some seconds for a worker to do what was asked of it.
func (s *Service) settled(ctx context.Context, st *state, done func(*state) bool) (*state, error) {
	pauses, deadline := retry.Between(20*time.Millisecond, 500*time.Millisecond), time.Now().Add(settleWait)
	for !done(st) && time.Now().Before(deadline) {
		if err := pauses.Wait(ctx); err != nil {
			break // it is asked for all the same
		}
		var err error
		if st, err = s.loadState(ctx, st.ID); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// Cancel stops a job for good. What was delivered stays. The job is still
// Running in the answer if its worker did not stop within five seconds; it
// will, or whoever takes the job over does it. Conflict if the job has ended
// otherwise.
func (s *Service) Cancel(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error) {
	return s.ask(ctx, who, id, "cancelled", (*state).isEnded, func(st *state) (bool, error) {
		switch {
		case st.State == answer.JobCancelled || st.Cancel && !st.isEnded():
			return false, nil
		case st.isEnded() && st.State != answer.JobFailed:
			return false, schema.Errorf(schema.Conflict, "replay %s has ended already: %s", st.ID, st.State)
		}
		st.Cancel = true
		if untouched := !st.isBegun() && st.Lease == nil; untouched || st.State == answer.JobFailed || st.isHeld() {
			st.State, st.Finished = answer.JobCancelled, time.Now().UTC()
		}
		return true, nil
	})
}

// Pause has a job stop until it is resumed: its worker commits what it has sent
// and lets go. As with Cancel the job may be Running still in the answer.
// Conflict if the job has ended.
func (s *Service) Pause(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error) {
	paused := func(st *state) bool { return st.isEnded() || st.State == answer.JobPaused }
	return s.ask(ctx, who, id, "paused", paused, func(st *state) (bool, error) {
		switch {
		case st.isEnded() || st.Cancel:
			return false, schema.Errorf(schema.Conflict, "replay %s has ended already: %s", st.ID, st.State)
		case st.State == answer.JobAwaiting:
			return false, awaiting(st.ID)
		case st.State == answer.JobPaused || st.Pause:
			return false, nil
		case st.Lease == nil || time.Now().After(st.Lease.Expires):
			st.State, st.Lease = answer.JobPaused, nil
		default:
			st.Pause = true
		}
		return true, nil
	})
}

// Resume lets a paused job go on where it stopped, at its pace, counted from
// now; if its approval has expired meanwhile it awaits another one. Conflict if the
// job has ended, or while all replays are stopped.
func (s *Service) Resume(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error) {
	if err := s.mayBegin(ctx); err != nil {
		return nil, err
	}
	at := func(*state) bool { return true }
	return s.ask(ctx, who, id, "resumed", at, func(st *state) (bool, error) {
		switch {
		case st.isEnded():
			return false, schema.Errorf(schema.Conflict, "replay %s has ended already: %s", st.ID, st.State)
		case st.State == answer.JobAwaiting:
			return false, awaiting(st.ID)
		case st.State == answer.JobPaused:
			st.release(who.Name, time.Now().UTC())
		case !st.Pause && st.Step == 0 && st.StepTo == 0:
			return false, nil
		}
		st.Pause, st.Step, st.StepTo = false, 0, 0
		return true, nil
	})
}

func awaiting(id string) error {
	return schema.WithHint(schema.Errorf(schema.Conflict, "replay %s awaits an approval: nobody works on it", id),
		"somebody else than who asked for it approves or rejects it; anybody may cancel it")
}

// SetPace changes how fast a job produces, while it runs or before. Invalid
// names what cannot be kept; Conflict if the job has ended.
func (s *Service) SetPace(ctx context.Context, who policy.Principal, id string, pace answer.ReplayPace) (*answer.ReplayJob, error) {
	checked, err := checkPace(&pace)
	if err == nil {
		err = s.options.Limits.check(&checked)
	}
	if err != nil {
		return nil, err
	}
	id, err = s.whole(ctx, id)
	if err != nil {
		return nil, err
	}
	_, d, err := s.loadPlan(ctx, id)
	if err != nil {
		return nil, err
	}
	at := func(*state) bool { return true }
	return s.ask(ctx, who, id, "paced anew", at, func(st *state) (bool, error) {
		if st.isEnded() {
			return false, schema.Errorf(schema.Conflict, "replay %s has ended already: %s", st.ID, st.State)
		}
		if err := s.mayMerge(d, &checked); err != nil { // not before: it says how large the plan is
			return false, err
		}
		if !isMerged(&checked) && (st.Step > 0 || st.StepTo > 0) {
			return false, schema.WithHint(schema.Errorf(schema.Conflict, "replay %s makes a step, which goes by one clock", id), "resume it, then change the pace")
		}
		changed := st.Pace != checked
		st.Pace = checked
		return changed, nil
	})
}

// mayMerge refuses one clock over more partitions than memory has room for.
func (s *Service) mayMerge(d *document, pace *answer.ReplayPace) error {
	if d.File != "" && isMerged(pace) {
		return schema.InvalidField("mode", "files are written as fast as possible, a partition after another: they have no pace")
	}
	n := 0
	for i := range d.Topics {
		n += len(d.Topics[i].Streams)
	}
	if most := int(s.options.Ahead / leastAhead); isMerged(pace) && n > most {
		return schema.WithHint(schema.InvalidField("mode", "one clock goes over %d partitions at most, the plan has %d", most, n),
			"replay as fast as possible, or plan fewer partitions")
	}
	return nil
}

// ask changes a job's state and waits for what it was changed for.
func (s *Service) ask(ctx context.Context, who policy.Principal, id, what string, done func(*state) bool, change func(*state) (bool, error)) (*answer.ReplayJob, error) {
	id, err := s.whole(ctx, id)
	if err != nil {
		return nil, err
	}
	st, err := s.amend(ctx, who, id, change)
	if err != nil {
		return nil, err
	}
	s.log.Info("replay asked to be "+what, "replay", id, "by", who.Name)
	s.changed(id)
	if st, err = s.settled(ctx, st, done); err != nil {
		return nil, err
	}
	return s.live(st), nil
}
