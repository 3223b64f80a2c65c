package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
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

// A list is cut after what its reader may see was chosen, and one state that
// cannot be read does not take the others away: it is named to who may know of it.
func TestList(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	r.topic(t, "rates", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	own, others := planned(t, s, "orders"), planned(t, s, "rates")
	raw, _, err := r.store.Get(t.Context(), schema.ReplayPrefix+others.ID+"/state.json", 1<<20)
	must(t, err)
	some, err := policy.Topics("orders")
	must(t, err)
	_, err = r.store.Put(t.Context(), schema.ReplayPrefix+others.ID+"/state.json", raw[:len(raw)/2])
	must(t, err)
	list, err := s.List(t.Context(), everybody)
	must(t, err)
	if len(list.Jobs) != 1 || !says(list.Notes, others.ID) {
		t.Errorf("%d jobs, %q; want the damaged one named", len(list.Jobs), list.Notes)
	}
	list, err = s.List(t.Context(), policy.Principal{Name: "somebody", Topics: some})
	must(t, err)
	if len(list.Jobs) != 1 || len(list.Notes) != 0 {
		t.Errorf("who may not see its topic is told of a damaged job: %q", list.Notes)
	}
	for i := range replay.MostListed + 10 { // younger ones, of a topic that not everybody sees
		id := fmt.Sprintf("%064x", i)
		_, err := r.store.Put(t.Context(), schema.ReplayPrefix+id+"/state.json", bytes.Replace(raw, []byte(others.ID), []byte(id), 1))
		must(t, err)
	}
	list, err = s.List(t.Context(), policy.Principal{Name: "somebody", Topics: some})
	must(t, err)
	if len(list.Jobs) != 1 || list.Jobs[0].ID != own.ID || len(list.Notes) != 0 {
		t.Errorf("%d jobs, %q; want one", len(list.Jobs), list.Notes)
	}
	list, err = s.List(t.Context(), everybody)
	must(t, err)
	if len(list.Jobs) != replay.MostListed || !says(list.Notes, "200", "older") {
		t.Errorf("%d jobs, %q", len(list.Jobs), list.Notes)
	}
}
