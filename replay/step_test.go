package replay_test

import (
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestStep produces some records more of a paused job and pauses exactly there, with
// the worker that comes next too; resumed, it goes to its end.
func TestStep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 60, 100)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	_, err = s.Step(t.Context(), everybody, plan.ID, 1)
	refused(t, "a step of what is not paused", err, schema.Conflict, "from a pause")
	_, err = s.Pause(t.Context(), everybody, plan.ID)
	must(t, err)
	_, err = s.Step(t.Context(), everybody, plan.ID, 1)
	refused(t, "a step without a clock", err, schema.Conflict, "no clock")
	_, err = s.SetPace(t.Context(), everybody, plan.ID, answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 1e9})
	must(t, err)
	for _, n := range []int64{0, -1, replay.MostStep + 1} {
		_, err = s.Step(t.Context(), everybody, plan.ID, n)
		refused(t, "a step of no number", err, schema.Invalid, "step by")
	}
	want := int64(0)
	for _, n := range []int64{1, 2, 7, 1} {
		stop := work(t, s)
		_, err := s.Step(t.Context(), everybody, plan.ID, n)
		must(t, err)
		want += n
		job := until(t, s, plan.ID, answer.JobPaused)
		stop()
		got := 0
		for partition := range archived {
			if live, err := r.cluster.Cluster(t.Context()); err == nil && len(live.Topics) > 1 {
				got += len(r.target(t, plan.Topics[0].Target, partition))
			}
		}
		if job.Produced != want || int64(got) != want {
			t.Fatalf("after a step of %d: %d produced, %d in the target, want %d", n, job.Produced, got, want)
		}
	}
	_, err = s.Step(t.Context(), everybody, plan.ID, 5) // nobody works
	must(t, err)
	_, err = s.SetPace(t.Context(), everybody, plan.ID, answer.ReplayPace{Mode: answer.PaceFast})
	refused(t, "no clock while a step is made", err, schema.Conflict, "makes a step")
	_, err = s.Resume(t.Context(), everybody, plan.ID)
	must(t, err)
	work(t, s)
	until(t, s, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
}

// TestSeek does not wait for what is before a time, and keeps the pace from there on.
func TestSeek(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 60, 100) // a record a second
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	at := start.Add(55 * time.Second).UnixMilli()
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceFast, FastUntil: at})
	refused(t, "a time without a pace", err, schema.Invalid, "waits for nothing")
	work(t, s)
	began := time.Now()
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 2, FastUntil: at})
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	took := time.Since(began)
	if took < 1500*time.Millisecond || took > 20*time.Second { // 3 s of history at twice their pace; all of it would be 29
		t.Errorf("it took %s", took)
	}
	r.isExact(t, plan, archived)
}

// TestResumeInAStep lets a job go on in the midst of a step: it goes to its end, past
// where the step would have paused it, and leaves nothing out there.
func TestResumeInAStep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 60, 100)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 10})
	must(t, err)
	_, err = s.Pause(t.Context(), everybody, plan.ID)
	must(t, err)
	work(t, s)
	stepping := make(chan error, 1)
	go func() {
		_, err := s.Step(t.Context(), everybody, plan.ID, 20)
		stepping <- err
	}()
	for produced := int64(0); produced < 2; time.Sleep(20 * time.Millisecond) {
		job, err := s.Get(t.Context(), everybody, plan.ID)
		must(t, err)
		produced = job.Produced
	}
	job, err := s.Resume(t.Context(), everybody, plan.ID)
	must(t, err)
	if job.Produced >= 20 {
		t.Fatalf("the step was made already: %d", job.Produced)
	}
	_, err = s.SetPace(t.Context(), everybody, plan.ID, answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 200})
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	must(t, <-stepping)
	r.isExact(t, plan, archived)
}
