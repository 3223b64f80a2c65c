package replay_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// While a worker is pausing, which takes as long as its last transaction, somebody
// asks for something else: the job is then what was asked for last.
func TestAskedWhilePausing(t *testing.T) {
	t.Parallel()
	for name, becomes := range map[string]string{"cancel": answer.JobCancelled, "resume": answer.JobDone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			archived := r.topic(t, "orders", 1, 300, 1000)
			reached, release, once := make(chan struct{}), make(chan struct{}), sync.Once{}
			held := watched{Brokers: r.cluster, commit: func(context.Context) {
				once.Do(func() { close(reached); <-release })
			}}
			s := r.service(t, nil, held, nil)
			plan := planned(t, s, "orders")
			work(t, s)
			<-reached
			var asking sync.WaitGroup
			defer asking.Wait()
			asking.Go(func() { _, _ = s.Pause(t.Context(), everybody, plan.ID) })
			time.Sleep(250 * time.Millisecond) // the worker has seen it
			asking.Go(func() {
				if name == "cancel" {
					_, err := s.Cancel(t.Context(), everybody, plan.ID)
					must(t, err)
					return
				}
				_, err := s.Resume(t.Context(), everybody, plan.ID)
				must(t, err)
			})
			time.Sleep(150 * time.Millisecond) // the state says so
			close(release)
			for waited := time.Now(); ; time.Sleep(20 * time.Millisecond) {
				job, err := s.Get(t.Context(), everybody, plan.ID)
				must(t, err)
				if job.State == becomes {
					break
				}
				if time.Since(waited) > 20*time.Second {
					t.Fatalf("the job is %s, want %s", job.State, becomes)
				}
			}
			if becomes == answer.JobDone {
				r.isExact(t, plan, archived)
			}
		})
	}
}

// A job that failed just when it was asked to pause goes on when it is run again.
func TestRunAfterFailedPause(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 60, 100)
	s := r.service(t, nil, nil, nil)
	plan := planned(t, s, "orders")
	key := schema.ReplayPrefix + plan.ID + "/state.json"
	raw, _, err := r.store.Get(t.Context(), key, 1<<20)
	must(t, err)
	fields := map[string]any{}
	must(t, json.Unmarshal(raw, &fields))
	fields["state"], fields["error"], fields["pause"] = answer.JobFailed, "no rights", true
	raw, err = json.Marshal(fields)
	must(t, err)
	_, err = r.store.Put(t.Context(), key, raw)
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	work(t, s)
	until(t, s, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
}
