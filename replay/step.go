package replay

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// MostStep bounds a step.
const MostStep = 1_000_000_000

// Step has a paused job produce so many records more, in the order of its clock, and
// pause again. The job may be Running still in the answer. Conflict if it is not
// paused, or has no clock: one that is as fast as possible takes partition after
// partition. If its approval has expired it awaits another one, as with Resume.
func (s *Service) Step(ctx context.Context, who policy.Principal, id string, records int64) (*answer.ReplayJob, error) {
	if records < 1 || records > MostStep {
		return nil, schema.InvalidField("records", "%d is no number of records to step by: want 1 to %d", records, MostStep)
	}
	if err := s.mayBegin(ctx); err != nil {
		return nil, err
	}
	there := func(st *state) bool { return st.isHeld() }
	return s.ask(ctx, who, id, "stepped", there, func(st *state) (bool, error) {
		switch {
		case st.State != answer.JobPaused:
			return false, schema.WithHint(schema.Errorf(schema.Conflict, "replay %s is %s: a step is made from a pause", st.ID, st.State), "pause it first")
		case !isMerged(&st.Pace):
			return false, schema.WithHint(schema.Errorf(schema.Conflict, "replay %s is as fast as possible, partition after partition: it has no clock to step by", st.ID),
				"give it a rate or a speed first")
		}
		st.release(who.Name, time.Now().UTC())
		st.Step, st.StepTo = records, 0
		return true, nil
	})
}

// beginStep fixes where a step ends before it begins, so that a worker that takes over
// ends there too.
func (c *claim) beginStep(ctx context.Context, produced int64) error {
	if st := c.state(); st.Step > 0 {
		err := c.update(ctx, func(st *state) {
			if st.Step > 0 {
				st.Step, st.StepTo = 0, produced+st.Step
			}
		})
		if err != nil {
			return err
		}
	}
	c.stepTo.Store(c.state().StepTo)
	return nil
}

// stepped pauses a job whose step is made; the error says so. What was produced is
// committed by who lets go. Nil: somebody has resumed the job meanwhile, and it goes on.
func (c *claim) stepped(ctx context.Context) error {
	err := c.update(ctx, func(st *state) {
		if st.StepTo > 0 { // else somebody has resumed it meanwhile
			st.Pause, st.StepTo = true, 0
		}
	})
	c.stepTo.Store(0)
	if err != nil || !c.state().Pause {
		return err
	}
	c.cancel(errPaused)
	return errPaused
}
