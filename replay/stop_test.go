package replay_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestStopAll stops a job in the midst of its transactions, lets nobody begin one,
// also in another process that comes later, and lets all go on.
func TestStopAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 600, 1000)
	r.topic(t, "rates", 1, 20, 1000)
	slow := watched{Brokers: r.cluster, commit: func(context.Context) { time.Sleep(20 * time.Millisecond) }}
	s := r.service(t, nil, slow, nil)
	plan := planned(t, s, "orders")
	end := work(t, s)
	for job := until(t, s, plan.ID, answer.JobRunning); job.Produced == 0; job = until(t, s, plan.ID, answer.JobRunning) {
		time.Sleep(5 * time.Millisecond)
	}
	alice := named(t, "alice")
	_, err := s.StopAll(t.Context(), alice, " ")
	refused(t, "a stop without a reason", err, schema.Invalid, "why")
	_, err = s.StopAll(t.Context(), alice, strings.Repeat("x", replay.MaxComment+1))
	refused(t, "a long reason", err, schema.Invalid, "at most")
	some, err := policy.Topics("orders")
	must(t, err)
	_, err = s.StopAll(t.Context(), policy.Principal{Name: "carol", Topics: some}, "x")
	refused(t, "a stop by who sees few topics", err, schema.Permission, "every topic")
	_, err = s.StartAll(t.Context(), alice, "x")
	refused(t, "a start of what goes", err, schema.Conflict, "not stopped")
	_, err = s.StopAll(t.Context(), everybody, "wrong cluster")
	must(t, err)
	_, err = s.StopAll(t.Context(), alice, "me too")
	refused(t, "a second stop", err, schema.Conflict, "wrong cluster")

	var job *answer.ReplayJob
	for waited := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		job, err = s.Get(t.Context(), everybody, plan.ID)
		must(t, err)
		if strings.Contains(job.Error, "wrong cluster") {
			break
		}
		if time.Since(waited) > 10*time.Second || job.State != answer.JobRunning {
			t.Fatalf("not stopped: %+v", job)
		}
	}
	end()
	other := r.service(t, func(o *replay.Options) { o.Worker = "later" }, nil, nil) // a restart
	work(t, other)
	time.Sleep(1500 * time.Millisecond) // longer than a lease
	job, err = other.Get(t.Context(), everybody, plan.ID)
	must(t, err)
	got := r.target(t, plan.Topics[0].Target, 0)
	if job.State != answer.JobRunning || int64(len(got)) != job.Produced || job.Produced == job.Planned {
		t.Fatalf("%s, %d produced of %d, %d in the target", job.State, job.Produced, job.Planned, len(got))
	}
	rates, err := other.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"rates"}}) // nothing is produced by it
	must(t, err)
	_, err = other.Run(t.Context(), alice, rates.ID, nil)
	refused(t, "a new job", err, schema.Conflict, "wrong cluster")
	_, err = other.Resume(t.Context(), alice, plan.ID)
	refused(t, "a resumption", err, schema.Conflict, "development stopped all")
	_, err = other.StartAll(t.Context(), everybody, "well again")
	refused(t, "a start by nobody", err, schema.Permission, "needs a name")
	_, err = other.StartAll(t.Context(), alice, "")
	refused(t, "a start without a reason", err, schema.Invalid, "why")
	stop, err := other.StartAll(t.Context(), alice, "well again")
	must(t, err)
	if h := stop.History; stop.Stopped || len(h) != 2 || !h[0].Stopped || h[0].Reason != "wrong cluster" || h[1].By != "alice" || h[1].Reason != "well again" || h[1].At.IsZero() {
		t.Errorf("kept %+v", stop)
	}
	job = until(t, other, plan.ID, answer.JobDone)
	if job.Error != "" {
		t.Errorf("still says %q", job.Error)
	}
	r.isExact(t, plan, archived)
}

// TestStopThatCannotBeRead: what is not known to be off is on, for those who begin.
func TestStopThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	plan := planned(t, s, "orders")
	_, err := r.store.Put(t.Context(), schema.ReplayPrefix+"stop.json", []byte(`{"format":"annals.replay-stop/1","wr`))
	must(t, err)
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	refused(t, "a run", err, schema.Corrupt, "whether replays are stopped")
	time.Sleep(300 * time.Millisecond)
	job, err := s.Get(t.Context(), everybody, plan.ID)
	must(t, err)
	if job.State != answer.JobPlanned || !job.Started.IsZero() {
		t.Errorf("a worker began it: %+v", job)
	}
}
