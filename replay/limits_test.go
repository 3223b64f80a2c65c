package replay_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestUserJobs: of one user's jobs so many are worked on at once as one may have, by
// all processes; another user's do not wait for them.
func TestUserJobs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 60, 1000)
	gate := make(chan struct{})
	held := watched{Brokers: r.cluster, commit: func(ctx context.Context) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}}
	change := func(worker string) func(*replay.Options) {
		return func(o *replay.Options) { o.Worker, o.Jobs, o.Limits = worker, 8, replay.Limits{Jobs: 2} }
	}
	s, other := r.service(t, change("one"), held, nil), r.service(t, change("two"), held, nil)
	var ids []string
	for i, user := range []string{"alice", "alice", "alice", "alice", "bob"} {
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: fmt.Sprintf("t%d.", i)})
		must(t, err)
		_, err = s.Run(t.Context(), named(t, user), plan.ID, nil)
		must(t, err)
		ids = append(ids, plan.ID)
	}
	var stop sync.WaitGroup
	stop.Go(func() { work(t, s) })
	stop.Go(func() { work(t, other) })
	stop.Wait()
	for _, id := range []string{ids[0], ids[1], ids[4]} {
		until(t, s, id, answer.JobRunning)
	}
	time.Sleep(300 * time.Millisecond)
	for _, id := range ids[2:4] {
		if job, err := s.Get(t.Context(), everybody, id); err != nil || job.State != answer.JobPlanned {
			t.Errorf("a third job of one user is %+v, %v", job, err)
		}
	}
	close(gate)
	for _, id := range ids {
		until(t, s, id, answer.JobDone)
	}
}

// TestUserRate bounds what a user's jobs produce a second, all together, whatever
// their pace, and refuses a pace that asks for more.
func TestUserRate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 400, 1000)
	limits := replay.Limits{Records: 250}
	s := r.service(t, func(o *replay.Options) { o.Limits = limits }, nil, nil)
	var ids []string
	planned := int64(0)
	for prefix, pace := range map[string]*answer.ReplayPace{"fast.": nil, "paced.": {Mode: answer.PaceOriginal, Speed: 1e9}} {
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: prefix})
		must(t, err)
		job, err := s.Run(t.Context(), named(t, "alice"), plan.ID, pace)
		must(t, err)
		ids, planned = append(ids, plan.ID), planned+job.Planned
	}
	_, err := s.SetPace(t.Context(), everybody, ids[0], answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 251})
	refused(t, "a rate over the limit", err, schema.Invalid, "250")
	_, err = s.Run(t.Context(), everybody, ids[0], &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 251})
	refused(t, "a run at a rate over the limit", err, schema.Invalid, "250")
	began := time.Now()
	work(t, s)
	for _, id := range ids {
		until(t, s, id, answer.JobDone)
	}
	least := time.Duration(float64(planned)/limits.Records*float64(time.Second)) * 7 / 10 // a burst and a transaction of each are not waited for
	if took := time.Since(began); took < least {
		t.Errorf("%d records took %s, want %s at least", planned, took, least)
	}
}
