package replay

import (
	"cmp"
	"context"
	"fmt"
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
	if err == nil {
		err = s.options.Limits.check(&checked)
	}
	if err == nil {
		err = s.mayBegin(ctx)
	}
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
	case st.State == answer.JobCancelled || st.State == answer.JobRejected:
		return nil, schema.WithHint(schema.Errorf(schema.Conflict, "replay %s was %s, for good", planID, st.State),
			"plan the same selection with a target_prefix of its own")
	case st.State == answer.JobFailed && st.Receipt == nil:
		st.Finished, st.Lease, st.Pause, st.Step, st.StepTo = time.Time{}, nil, false, 0, 0
		st.release(who.Name, time.Now().UTC())
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
	to, err := s.destinationOf(d)
	if err != nil {
		return nil, err
	}
	targets, _, err := to.inspect(ctx, d, id)
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
	now := time.Now().UTC()
	st := &state{ID: id, State: answer.JobPlanned, Plan: *plan, Pace: *pace, Targets: targets, Created: now, Queued: now, RequestedBy: who.Name}
	if s.isApprovalNeeded(&plan.Request, targets) {
		if err := needName(who, "a replay that somebody else must approve"); err != nil {
			return nil, err
		}
		st.await(who.Name, now)
	}
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
	if !st.isEnded() && !s.knows(st) {
		j.Error = fmt.Sprintf("waiting: no worker here knows the target cluster %q; name it in replay.clusters and restart", st.Plan.Request.TargetCluster)
	}
	if c != nil && !st.isHeld() {
		j.Produced, j.ReadBack = max(j.Produced, c.produced.Load()), max(j.ReadBack, c.readBack.Load())
		j.ETASeconds, j.Lateness = c.eta(), c.lateness()
	}
	return j
}

// job gives the state of one by its ID, or by the first digits of it; NotFound if there
// is none, or none that the principal may see.
func (s *Service) job(ctx context.Context, who policy.Principal, id string) (*state, error) {
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
	return st, nil
}

// Get gives a job; NotFound if there is none, or none that the principal may
// see.
func (s *Service) Get(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error) {
	st, err := s.job(ctx, who, id)
	if err != nil {
		return nil, err
	}
	return s.live(st), nil
}

// List gives the jobs that changed last and that the principal may see, newest
// first, at most MostListed, and says what it leaves out: older ones, and those
// whose state cannot be read, if the principal may see what their plan replays.
func (s *Service) List(ctx context.Context, who policy.Principal) (*answer.ReplayList, error) {
	objects, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(objects, func(a, b objstore.Object) int { return b.Modified.Compare(a.Modified) })
	list := &answer.ReplayList{Jobs: []answer.ReplayJob{}, Notes: []string{}}
	var found []*state
	looked := 0
	for len(found) < MostListed && looked < min(len(objects), mostLooked) {
		some := objects[looked:min(looked+listAtOnce, len(objects))]
		looked += len(some)
		seen, notes, err := s.seen(ctx, who, some)
		if err != nil {
			return nil, err
		}
		found, list.Notes = append(found, seen...), append(list.Notes, notes...)
	}
	if left := len(objects) - looked; len(found) > MostListed || left > 0 {
		found = found[:min(len(found), MostListed)]
		list.Notes = append(list.Notes, fmt.Sprintf("the list ends with the %d jobs that changed last; there may be older ones", len(found)))
	}
	slices.SortFunc(found, func(a, b *state) int { return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID)) })
	for _, st := range found {
		list.Jobs = append(list.Jobs, *s.live(st))
	}
	return list, nil
}

// listAtOnce states are in memory before it is known who may see them, and
// mostLooked are looked at for one list.
const (
	listAtOnce = 100
	mostLooked = 5000
)

// seen reads states and keeps those that the principal may see, in their order.
// What one that is damaged says is a note.
func (s *Service) seen(ctx context.Context, who policy.Principal, objects []objstore.Object) (found []*state, notes []string, err error) {
	read, said := make([]*state, len(objects)), make([]string, len(objects))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for i, object := range objects {
		group.Go(func() error {
			st, err := s.loadState(reading, idOf(object))
			switch {
			case err == nil && visible(who, &st.Plan):
				read[i] = st
			case err == nil || schema.KindOf(err) == schema.NotFound: // deleted meanwhile
			case reading.Err() != nil || schema.KindOf(err) == schema.Unavailable || schema.KindOf(err) == schema.Permission:
				return err // of the store, not of this one
			default:
				if s.mayKnow(reading, who, idOf(object)) {
					said[i] = err.Error()
				}
				s.log.Warn("the state of a replay cannot be read", "replay", idOf(object), "err", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	empty := func(text string) bool { return text == "" }
	return slices.DeleteFunc(read, func(st *state) bool { return st == nil }), slices.DeleteFunc(said, empty), nil
}

// mayKnow tells whether a principal may see every topic of a plan; if that cannot
// be read either, who may see every topic may.
func (s *Service) mayKnow(ctx context.Context, who policy.Principal, id string) bool {
	_, d, err := s.loadPlan(ctx, id)
	if err != nil {
		return who.Topics.IsAll()
	}
	return !slices.ContainsFunc(d.Topics, func(t topicPlan) bool { return !who.Topics.Allows(t.Source) })
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
