package replay_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestWatch follows a job that this process works on, and one that another does.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, elsewhere := range map[string]bool{"here": false, "elsewhere": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.topic(t, "orders", 1, 500, 1000)
			slow := watched{Brokers: r.cluster, commit: func(context.Context) { time.Sleep(40 * time.Millisecond) }}
			worker := r.service(t, nil, slow, nil)
			watcher := worker
			if elsewhere {
				watcher = r.service(t, func(o *replay.Options) { o.Worker = "watcher" }, nil, nil)
			}
			plan := planned(t, worker, "orders")
			var told []answer.ReplayJob
			ended := make(chan error, 1)
			go func() {
				ended <- watcher.Watch(t.Context(), everybody, plan.ID[:8], func(job *answer.ReplayJob) error {
					if job != nil {
						told = append(told, *job)
					}
					return nil
				})
			}()
			time.Sleep(50 * time.Millisecond)
			work(t, worker)
			select {
			case err := <-ended:
				must(t, err)
			case <-time.After(30 * time.Second):
				t.Fatal("the job did not end")
			}
			if n := len(told); n < 3 || told[0].State != answer.JobPlanned || told[n-1].State != answer.JobDone || told[n-1].Receipt == nil {
				t.Fatalf("told of %d states: %+v", n, told)
			}
			for i := range told[1:] {
				if told[i].Produced > told[i+1].Produced {
					t.Errorf("went back from %d to %d", told[i].Produced, told[i+1].Produced)
				}
			}
		})
	}
}

// TestWatchEnds with the error of who is told, and for who may not see the job.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 1000)
	s := r.service(t, nil, nil, nil)
	plan := planned(t, s, "orders")
	gone := errors.New("the client has gone")
	if err := s.Watch(t.Context(), everybody, plan.ID, func(*answer.ReplayJob) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	err := s.Watch(t.Context(), policy.Principal{Name: "stranger"}, plan.ID, func(*answer.ReplayJob) error { return nil })
	refused(t, "a stranger", err, schema.NotFound, "no replay")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Watch(ctx, everybody, plan.ID, func(*answer.ReplayJob) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
