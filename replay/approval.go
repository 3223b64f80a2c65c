package replay

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// When a plan needs a second person, in Options.Approval.
const (
	ApprovalNone           = "none"
	ApprovalOutsideSandbox = "outside_sandbox" // if a target's name does not begin with Options.Sandbox, or is in another cluster
	ApprovalAlways         = "always"
)

// Bounds on what is said of a plan.
const (
	MaxComment    = 2000 // bytes
	mostDecisions = 100
)

// approval is a job's need of a second person, as it is kept. It is of the plan
// that it names, and that is the job's own: another selection, target or state of
// the archive is another plan and another job. Taken tells that a worker took the
// job under it: a job under way needs no approval from another worker, one that a
// person lets go on does.
type approval struct {
	answer.ReplayApproval
	Taken bool `json:"taken"`
}

// isValid tells whether the last decision lets the job be begun.
func (a *approval) isValid(id string, now time.Time) bool {
	n := len(a.Decisions)
	return n > 0 && a.Decisions[n-1].Verdict == answer.Approved && a.Decisions[n-1].Plan == id && now.Before(a.Decisions[n-1].Expires)
}

// isApprovalNeeded tells whether the settings ask for a second person.
func (s *Service) isApprovalNeeded(r *answer.ReplayRequest, targets []target) bool {
	switch s.options.Approval {
	case ApprovalNone:
		return false
	case ApprovalOutsideSandbox:
		if r.TargetFile != "" {
			return false // no consumer gets anything
		}
		return r.TargetCluster != "" || slices.ContainsFunc(targets, func(t target) bool { return !strings.HasPrefix(t.Name, s.options.Sandbox) })
	}
	return true
}

// awaits tells whether the job must not be begun by a worker now: it was not
// approved, or its approval has passed before anybody took it.
func (s *Service) awaits(st *state, now time.Time) bool {
	if st.Approval == nil { // asked for before the settings asked for an approval
		return !st.isBegun() && s.isApprovalNeeded(&st.Plan.Request, st.Targets)
	}
	return !st.Approval.Taken && !st.Approval.isValid(st.ID, now)
}

// release lets a job be worked on, by who asks for it: at once, or when somebody
// else approves it. A step that was asked for is then made, and no more.
func (st *state) release(by string, now time.Time) {
	if st.State = answer.JobPlanned; st.isBegun() {
		st.State = answer.JobRunning
	}
	st.Error, st.Queued = "", now
	if st.Approval == nil {
		return
	}
	if st.Approval.Taken = false; !st.Approval.isValid(st.ID, now) {
		st.await(by, now)
	}
}

// await has the job wait for a second person.
func (st *state) await(by string, now time.Time) {
	if st.Approval == nil {
		st.Approval = &approval{ReplayApproval: answer.ReplayApproval{Decisions: []answer.ApprovalDecision{}}}
	}
	again := *st.Approval // what was read is shared with who looks at it
	again.AskedBy, again.Asked, again.Taken = by, now, false
	st.Approval, st.State, st.Lease, st.Pause = &again, answer.JobAwaiting, nil, false
}

// needName refuses who did not say who they are, where it matters.
func needName(who policy.Principal, what string) error {
	if who.IsNamed() {
		return nil
	}
	return schema.WithHint(schema.Errorf(schema.Permission, "%s needs a name: the request does not say who asks", what),
		"give one with --as or in the header Annals-User")
}

// Approve lets a job that awaits it be begun, until the approval expires. id is
// the plan's whole ID: what was looked at and nothing else. Permission if who has
// no name, or asked for the replay; Conflict if the job does not await an
// approval; Invalid for a beginning of an ID. Who is quicker decides: the other
// gets a Conflict.
func (s *Service) Approve(ctx context.Context, who policy.Principal, id, comment string) (*answer.ReplayJob, error) {
	return s.decide(ctx, who, id, answer.Approved, comment)
}

// Reject refuses a job that awaits an approval, for good, as [Service.Approve]
// lets it begin. The reason is required.
func (s *Service) Reject(ctx context.Context, who policy.Principal, id, reason string) (*answer.ReplayJob, error) {
	if strings.TrimSpace(reason) == "" {
		return nil, schema.InvalidField("comment", "a rejection needs a reason")
	}
	return s.decide(ctx, who, id, answer.Rejected, reason)
}

func (s *Service) decide(ctx context.Context, who policy.Principal, id, verdict, comment string) (*answer.ReplayJob, error) {
	switch {
	case !isID(id):
		return nil, schema.InvalidField("id", "%.80q is no whole plan's ID: who decides about a plan names all of its 64 hex digits", id)
	case len(comment) > MaxComment:
		return nil, schema.InvalidField("comment", "%d bytes, at most %d", len(comment), MaxComment)
	}
	if err := needName(who, "a decision about a replay"); err != nil {
		return nil, err
	}
	if _, _, err := s.loadPlan(ctx, id); err != nil { // its bytes are what the ID says
		return nil, err
	}
	st, err := s.amend(ctx, who, id, func(st *state) (bool, error) {
		now := time.Now().UTC()
		switch {
		case st.Approval == nil || st.State != answer.JobAwaiting:
			return false, schema.Errorf(schema.Conflict, "replay %s does not await an approval: it is %s", id, st.State)
		case who.Name == st.RequestedBy || who.Name == st.Approval.AskedBy:
			return false, schema.WithHint(schema.Errorf(schema.Permission, "%s asked for replay %s: somebody else must decide about it", who.Name, id),
				"who asked for it may cancel it")
		case len(st.Approval.Decisions) == mostDecisions:
			return false, schema.WithHint(schema.Errorf(schema.Exhausted, "replay %s was decided about %d times", id, mostDecisions),
				"cancel it, and plan the same selection with a target_prefix of its own")
		}
		d := answer.ApprovalDecision{Verdict: verdict, Plan: id, By: who.Name, At: now, Comment: comment}
		if verdict == answer.Approved {
			d.Expires = now.Add(s.options.ApprovalExpiry)
		}
		said := *st.Approval
		said.Decisions = append(slices.Clone(said.Decisions), d)
		st.Approval = &said
		if verdict == answer.Approved {
			st.release(st.RequestedBy, now)
			return true, nil
		}
		st.State, st.Finished, st.Error = answer.JobRejected, now, "rejected by "+who.Name+": "+comment
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("replay "+verdict, "replay", id, "by", who.Name)
	s.wake()
	return s.live(st), nil
}
