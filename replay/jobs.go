package replay

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// MostListed bounds List.
const MostListed = 200

// settleWait is how long a caller waits for a worker to do what was asked.
const settleWait = 5 * time.Second

// Run starts a plan's job, or gives the one that is there. A job that failed
// before its receipt is taken up again where it stopped: what was delivered is
// not delivered twice. The targets are checked again, since they may have come
// into being after the plan. Like Get and Cancel it takes the beginning of an ID,
// MinID digits or more, for the one ID that begins so. A pace is that of the job
// from now on; nil keeps the one it has, or is as fast as possible. A paused job
// stays so.
func (s *Service) Run(ctx context.Context, who policy.Principal, planID string, pace *answer.ReplayPace) (*answer.ReplayJob, error) {
	planID, err := s.whole(ctx, planID)
	if err != nil {
		return nil, err
	}
	checked, err := checkPace(pace)
	if err != nil {
		return nil, err
	}
	st, err := s.loadState(ctx, planID)
	switch {
	case schema.KindOf(err) == schema.NotFound:
		if st, err = s.begin(ctx, who, planID, &checked); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !visible(who, &st.Plan):
		return nil, schema.Errorf(schema.NotFound, "no plan %s", planID)
	case st.State == answer.JobCancelled:
		return nil, schema.WithHint(schema.Errorf(schema.Conflict, "replay %s was cancelled, for good", planID),
			"plan the same selection with a target_prefix of its own")
	case st.State == answer.JobFailed && st.Receipt == nil:
		st.State, st.Error, st.Finished, st.Lease, st.Pause = answer.JobPlanned, "", time.Time{}, nil, false
		if st.Position != nil {
			st.State = answer.JobRunning
		}
		if err := s.save(ctx, st); err != nil {
			return nil, err
		}
		s.log.Info("replay taken up again", "replay", planID, "by", who.Name)
	}
	if pace != nil && st.Pace != checked && !st.isEnded() {
		return s.SetPace(ctx, who, planID, *pace)
	}
	s.wake()
	return s.live(st), nil
}

// begin makes the job's state object, unless somebody is quicker.
func (s *Service) begin(ctx context.Context, who policy.Principal, id string, pace *answer.ReplayPace) (*state, error) {
	object, d, err := s.loadPlan(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.mayMerge(d, pace); err != nil {
		return nil, err
	}
	targets, _, err := s.inspect(ctx, d, id)
	if err != nil {
		return nil, err
	}
	plan, err := summary(object, d, targets)
	if err != nil {
		return nil, err
	}
	if !visible(who, plan) {
		return nil, schema.WithHint(schema.Errorf(schema.NotFound, "no plan %s", id), "make one with annals replay plan")
	}
	st := &state{ID: id, State: answer.JobPlanned, Plan: *plan, Pace: *pace, Targets: targets, Created: time.Now().UTC()}
	err = s.save(ctx, st)
	if schema.KindOf(err) == schema.Conflict {
		return s.loadState(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("replay accepted", "replay", id, "records", plan.Records, "bytes", plan.Bytes, "by", who.Name)
	return st, nil
}

// visible tells whether a principal may see every topic of a plan; otherwise
// the job does not exist for it.
func visible(who policy.Principal, p *answer.ReplayPlan) bool {
	return !slices.ContainsFunc(p.Topics, func(t answer.ReplayTopic) bool { return !who.Topics.Allows(t.Source) })
}

// live adds what this process knows and has not written yet.
func (s *Service) live(st *state) *answer.ReplayJob {
	j := st.job()
	s.mu.Lock()
	c := s.held[st.ID]
	s.mu.Unlock()
	if c != nil && !st.isEnded() {
		j.Produced, j.ReadBack = max(j.Produced, c.produced.Load()), max(j.ReadBack, c.readBack.Load())
		j.ETASeconds, j.Lateness = c.eta(), c.lateness()
	}
	return j
}

// Get gives a job; NotFound if there is none, or none that the principal may
// see.
func (s *Service) Get(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error) {
	id, err := s.whole(ctx, id)
	if err != nil {
		return nil, err
	}
	st, err := s.loadState(ctx, id)
	if err != nil {
		return nil, err
	}
	if !visible(who, &st.Plan) {
		return nil, schema.Errorf(schema.NotFound, "no replay %s", id)
	}
	return s.live(st), nil
}

// List gives the jobs that changed last, newest first, at most MostListed.
func (s *Service) List(ctx context.Context, who policy.Principal) ([]answer.ReplayJob, error) {
	objects, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(objects, func(a, b objstore.Object) int { return b.Modified.Compare(a.Modified) })
	objects = objects[:min(len(objects), MostListed)]
	found := make([]*state, len(objects))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for i, object := range objects {
		group.Go(func() (err error) {
			found[i], err = s.loadState(reading, idOf(object))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b *state) int { return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID)) })
	jobs := []answer.ReplayJob{}
	for _, st := range found {
		if visible(who, &st.Plan) {
			jobs = append(jobs, *s.live(st))
		}
	}
	return jobs, nil
}

// states lists the state objects.
func (s *Service) states(ctx context.Context) ([]objstore.Object, error) {
	var list []objstore.Object
	for object, err := range s.store.List(ctx, schema.ReplayPrefix, "") {
		if err != nil {
			return nil, err
		}
		if isID(idOf(object)) {
			list = append(list, object)
		}
	}
	return list, nil
}

// idOf reads the job's ID from the key of its state object; "" for others.
func idOf(o objstore.Object) string {
	id, ok := strings.CutSuffix(strings.TrimPrefix(o.Key, schema.ReplayPrefix), "/state.json")
	if !ok {
		return ""
	}
	return id
}

// wake makes Work look for jobs now.
func (s *Service) wake() {
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}
