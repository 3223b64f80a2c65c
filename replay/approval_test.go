package replay_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

func named(t *testing.T, name string) policy.Principal {
	t.Helper()
	who, err := policy.Named(name)
	must(t, err)
	return who
}

// approving is a rig whose settings ask for a second person.
func approving(t *testing.T, change func(*replay.Options)) (*rig, *replay.Service) {
	t.Helper()
	r := newRig(t)
	return r, r.service(t, func(o *replay.Options) {
		o.Approval = replay.ApprovalAlways
		if change != nil {
			change(o)
		}
	}, nil, nil)
}

// asked makes a job of everything in a topic, that somebody asked for.
func asked(t *testing.T, s *replay.Service, topic, by string) *answer.ReplayJob {
	t.Helper()
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{topic}})
	must(t, err)
	job, err := s.Run(t.Context(), named(t, by), plan.ID, nil)
	must(t, err)
	return job
}

// refused holds an error against its kind and what it must say.
func refused(t *testing.T, what string, err error, kind schema.Kind, says string) {
	t.Helper()
	if schema.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v; want %s that says %q", what, err, kind, says)
	}
}

// TestApproval: nobody works on a job before somebody else approved it, and the job
// keeps who did, when, of which plan and why.
func TestApproval(t *testing.T) {
	t.Parallel()
	r, s := approving(t, nil)
	archived := r.topic(t, "orders", 2, 60, 100)
	work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	if !plan.NeedsApproval {
		t.Error("the plan does not say that it needs an approval")
	}
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	refused(t, "a run by nobody", err, schema.Permission, "needs a name")
	job := asked(t, s, "orders", "alice")
	if job.State != answer.JobAwaiting || job.RequestedBy != "alice" || job.Approval.AskedBy != "alice" {
		t.Fatalf("%+v", job)
	}
	time.Sleep(300 * time.Millisecond) // workers look for jobs every 50 ms
	job, err = s.Get(t.Context(), everybody, plan.ID)
	must(t, err)
	live, err := r.cluster.Cluster(t.Context())
	must(t, err)
	if job.State != answer.JobAwaiting || !job.Started.IsZero() || len(live.Topics) != 0 {
		t.Fatalf("a worker began it: %s, %v", job.State, live.Topics)
	}

	bob := named(t, "bob")
	_, err = s.Approve(t.Context(), everybody, plan.ID, "")
	refused(t, "an approval by nobody", err, schema.Permission, "needs a name")
	_, err = s.Approve(t.Context(), named(t, "alice"), plan.ID, "")
	refused(t, "an approval by who asked", err, schema.Permission, "somebody else")
	_, err = s.Reject(t.Context(), named(t, "alice"), plan.ID, "no")
	refused(t, "a rejection by who asked", err, schema.Permission, "somebody else")
	_, err = s.Approve(t.Context(), bob, plan.ID[:8], "")
	refused(t, "an approval of a beginning", err, schema.Invalid, "all of its 64")
	_, err = s.Approve(t.Context(), bob, strings.Repeat("0", 64), "")
	refused(t, "an approval of nothing", err, schema.NotFound, "no plan")
	_, err = s.Approve(t.Context(), bob, plan.ID, strings.Repeat("x", replay.MaxComment+1))
	refused(t, "a long comment", err, schema.Invalid, "at most")
	_, err = s.Reject(t.Context(), bob, plan.ID, "  ")
	refused(t, "a rejection without a reason", err, schema.Invalid, "reason")
	some, err := policy.Topics("rates")
	must(t, err)
	_, err = s.Approve(t.Context(), policy.Principal{Name: "carol", Topics: some}, plan.ID, "")
	refused(t, "an approval by who may not see it", err, schema.NotFound, "no replay")
	_, err = s.Pause(t.Context(), bob, plan.ID)
	refused(t, "a pause", err, schema.Conflict, "awaits an approval")
	_, err = s.Resume(t.Context(), bob, plan.ID)
	refused(t, "a resumption", err, schema.Conflict, "awaits an approval")

	before := time.Now()
	_, err = s.Approve(t.Context(), bob, plan.ID, "as agreed")
	must(t, err)
	job = until(t, s, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
	d := job.Approval.Decisions
	if len(d) != 1 || d[0].Verdict != answer.Approved || d[0].By != "bob" || d[0].Plan != plan.ID || d[0].Comment != "as agreed" || d[0].At.Before(before.Add(-time.Second)) || d[0].Expires.Sub(d[0].At) != 24*time.Hour {
		t.Errorf("kept %+v", d)
	}
	_, err = s.Approve(t.Context(), named(t, "carol"), plan.ID, "")
	refused(t, "an approval of what is done", err, schema.Conflict, "does not await")
}

// TestRejection is for good, and a plan that differs in anything is another job.
func TestRejection(t *testing.T) {
	t.Parallel()
	r, s := approving(t, nil)
	r.topic(t, "orders", 1, 20, 100)
	work(t, s)
	job := asked(t, s, "orders", "alice")
	job, err := s.Reject(t.Context(), named(t, "bob"), job.ID, "not on a Friday")
	must(t, err)
	if job.State != answer.JobRejected || !strings.Contains(job.Error, "bob") || !strings.Contains(job.Error, "not on a Friday") || job.Finished.IsZero() {
		t.Fatalf("%+v", job)
	}
	_, err = s.Approve(t.Context(), named(t, "carol"), job.ID, "")
	refused(t, "an approval of what was rejected", err, schema.Conflict, "rejected")
	_, err = s.Run(t.Context(), named(t, "alice"), job.ID, nil)
	refused(t, "a run of what was rejected", err, schema.Conflict, "for good")
	_, err = s.Cancel(t.Context(), named(t, "alice"), job.ID)
	refused(t, "a cancellation of what was rejected", err, schema.Conflict, "ended already")

	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "again."})
	must(t, err)
	other, err := s.Run(t.Context(), named(t, "alice"), plan.ID, nil)
	must(t, err)
	if other.ID == job.ID || other.State != answer.JobAwaiting || len(other.Approval.Decisions) != 0 {
		t.Errorf("another plan has a decision: %+v", other.Approval)
	}
	if other, err = s.Cancel(t.Context(), named(t, "alice"), other.ID); err != nil || other.State != answer.JobCancelled {
		t.Errorf("withdrawn: %+v, %v", other, err)
	}
}

// TestApprovalExpires: one that nobody began in time is asked for again, and who
// lets a job go on after a pause needs one that holds.
func TestApprovalExpires(t *testing.T) {
	t.Parallel()
	r, s := approving(t, func(o *replay.Options) { o.ApprovalExpiry = 400 * time.Millisecond })
	archived := r.topic(t, "orders", 1, 60, 100)
	job := asked(t, s, "orders", "alice")
	_, err := s.Approve(t.Context(), named(t, "bob"), job.ID, "")
	must(t, err)
	time.Sleep(500 * time.Millisecond) // nobody works
	stop := work(t, s)
	job = until(t, s, job.ID, answer.JobAwaiting)
	if len(job.Approval.Decisions) != 1 || !job.Started.IsZero() {
		t.Fatalf("%+v", job)
	}
	stop()
	_, err = s.Approve(t.Context(), named(t, "bob"), job.ID, "")
	must(t, err)
	_, err = s.Pause(t.Context(), named(t, "bob"), job.ID)
	must(t, err)
	time.Sleep(500 * time.Millisecond)
	job, err = s.Resume(t.Context(), named(t, "carol"), job.ID)
	must(t, err)
	if job.State != answer.JobAwaiting || job.Approval.AskedBy != "carol" {
		t.Fatalf("resumed without an approval that holds: %s, %+v", job.State, job.Approval)
	}
	_, err = s.Approve(t.Context(), named(t, "carol"), job.ID, "")
	refused(t, "an approval by who resumed it", err, schema.Permission, "somebody else")
	_, err = s.Approve(t.Context(), named(t, "alice"), job.ID, "")
	refused(t, "an approval by who asked first", err, schema.Permission, "somebody else")
	work(t, s)
	_, err = s.Approve(t.Context(), named(t, "bob"), job.ID, "")
	must(t, err)
	job = until(t, s, job.ID, answer.JobDone)
	if len(job.Approval.Decisions) != 3 {
		t.Errorf("%d decisions are kept, want 3", len(job.Approval.Decisions))
	}
	same(t, "orders", r.target(t, job.Plan.Topics[0].Target, 0), committed(archived[0], -1<<62, 1<<62))
}

// TestApprovalOutsideSandbox asks by the names of the targets.
func TestApprovalOutsideSandbox(t *testing.T) {
	t.Parallel()
	r, s := approving(t, func(o *replay.Options) { o.Approval, o.Sandbox = replay.ApprovalOutsideSandbox, "play." })
	r.topic(t, "orders", 1, 20, 100)
	for prefix, needed := range map[string]bool{"play.": false, "played.": true, "": true} {
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: prefix})
		must(t, err)
		if plan.NeedsApproval != needed {
			t.Errorf("%q: the plan says %v", prefix, plan.NeedsApproval)
		}
		job, err := s.Run(t.Context(), named(t, "alice"), plan.ID, nil)
		must(t, err)
		if (job.State == answer.JobAwaiting) != needed {
			t.Errorf("%q: %s", prefix, job.State)
		}
	}
}

// TestApprovalIsOfOnePlan: a decision about another plan, however it came into the
// state, lets nothing begin; nor does a job that was asked for before the settings
// asked for an approval.
func TestApprovalIsOfOnePlan(t *testing.T) {
	t.Parallel()
	r, s := approving(t, nil)
	r.topic(t, "orders", 1, 20, 100)
	job := asked(t, s, "orders", "alice")
	key := schema.ReplayPrefix + job.ID + "/state.json"
	_, err := s.Approve(t.Context(), named(t, "bob"), job.ID, "")
	must(t, err)
	raw, _, err := r.store.Get(t.Context(), key, 1<<20)
	must(t, err)
	fields := map[string]any{}
	must(t, json.Unmarshal(raw, &fields))
	fields["approval"].(map[string]any)["decisions"].([]any)[0].(map[string]any)["plan"] = strings.Repeat("1", 64)
	raw, err = json.Marshal(fields)
	must(t, err)
	_, err = r.store.Put(t.Context(), key, raw)
	must(t, err)

	lax := r.service(t, nil, nil, nil)
	plan, err := lax.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "b."})
	must(t, err)
	before, err := lax.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	if before.State != answer.JobPlanned {
		t.Fatalf("%+v", before)
	}
	work(t, s)
	until(t, s, job.ID, answer.JobAwaiting)
	until(t, s, before.ID, answer.JobAwaiting)
}

// TestOneDecides: of people who decide at the same time one does, and all others are
// told that it is decided.
func TestOneDecides(t *testing.T) {
	t.Parallel()
	r, s := approving(t, nil)
	r.topic(t, "orders", 1, 20, 100)
	job := asked(t, s, "orders", "alice")
	var deciding sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		deciding.Go(func() {
			who := named(t, "person "+string(rune('a'+i)))
			if i%2 == 0 {
				_, errs[i] = s.Approve(t.Context(), who, job.ID, "")
			} else {
				_, errs[i] = s.Reject(t.Context(), who, job.ID, "no")
			}
		})
	}
	deciding.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else {
			refused(t, "who was later", err, schema.Conflict, "does not await")
		}
	}
	job, err := s.Get(t.Context(), everybody, job.ID)
	must(t, err)
	if done != 1 || len(job.Approval.Decisions) != 1 {
		t.Errorf("%d decided, %+v", done, job.Approval)
	}
}

// TestStepThatAwaitsAnApproval: what is approved is the step that was asked for, not
// all the rest.
func TestStepThatAwaitsAnApproval(t *testing.T) {
	t.Parallel()
	r, s := approving(t, func(o *replay.Options) { o.ApprovalExpiry = time.Second })
	r.topic(t, "orders", 2, 60, 100)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	alice, bob := named(t, "alice"), named(t, "bob")
	_, err = s.Run(t.Context(), alice, plan.ID, &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 1e9})
	must(t, err)
	_, err = s.Approve(t.Context(), bob, plan.ID, "")
	must(t, err)
	_, err = s.Pause(t.Context(), alice, plan.ID)
	must(t, err)
	time.Sleep(time.Second)
	job, err := s.Step(t.Context(), alice, plan.ID, 5)
	must(t, err)
	if job.State != answer.JobAwaiting {
		t.Fatalf("the approval has expired, and the job is %s", job.State)
	}
	_, err = s.Approve(t.Context(), bob, plan.ID, "five more")
	must(t, err)
	work(t, s)
	if job := until(t, s, plan.ID, answer.JobPaused, answer.JobDone); job.State != answer.JobPaused || job.Produced != 5 {
		t.Fatalf("a step of 5 was approved: the job is %s, %d of %d produced", job.State, job.Produced, job.Planned)
	}
}
