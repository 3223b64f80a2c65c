package replay_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// another is a second cluster.
func another(t *testing.T) *replay.Connection {
	t.Helper()
	other, err := replay.Connect(embeddedtest.KafkaOptions(embeddedtest.MemoryKafka(t)))
	must(t, err)
	t.Cleanup(other.Close)
	return other
}

func clusters(all map[string]replay.Brokers) func(*replay.Options) {
	return func(o *replay.Options) { o.Clusters = all }
}

// topicsOf are the names of a cluster's topics.
func topicsOf(t *testing.T, c replay.Brokers) string {
	t.Helper()
	live, err := c.Cluster(t.Context())
	must(t, err)
	var names []string
	for _, topic := range live.Topics {
		names = append(names, topic.Name)
	}
	return strings.Join(names, " ")
}

// A replay into another cluster: records, configuration, positions and what is read
// back are there, and in the archived cluster is nothing. The plan is bound to it.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), another(t)
	archived := r.topic(t, "orders", 3, 300, 100)
	s := r.service(t, clusters(map[string]replay.Brokers{"staging": other}), nil, nil)
	request := answer.ReplayRequest{Topics: []string{"orders"}}
	here, err := s.Plan(t.Context(), everybody, request)
	must(t, err)
	request.TargetCluster = "staging"
	plan, err := s.Plan(t.Context(), everybody, request)
	must(t, err)
	live, err := other.Cluster(t.Context())
	must(t, err)
	if plan.ID == here.ID || plan.Request.TargetCluster != "staging" || plan.TargetClusterID != live.ID {
		t.Errorf("plan %s (without: %s) for %q %q", plan.ID, here.ID, plan.Request.TargetCluster, plan.TargetClusterID)
	}
	for object, want := range map[string]string{"plan": "annals.replay-plan/5", "state": "annals.replay-job/4"} {
		if object == "state" {
			_, err = s.Run(t.Context(), everybody, plan.ID, nil)
			must(t, err)
		}
		if _, format := r.format(t, schema.ReplayPrefix+plan.ID+"/"+object+".json"); format != want {
			t.Errorf("the %s has format %s, want %s", object, format, want)
		}
	}
	run, err := s.DryRun(t.Context(), everybody, plan.ID)
	if err != nil || !run.Matches {
		t.Errorf("dry run %+v, %v", run, err)
	}
	work(t, s)
	job := until(t, s, plan.ID, answer.JobDone)
	if !job.Receipt.Matches || !job.Receipt.Exclusive || job.Receipt.ReadBack != plan.Records || job.Plan.Request.TargetCluster != "staging" {
		t.Errorf("receipt %+v", job.Receipt)
	}
	target := plan.Topics[0].Target
	for partition, records := range archived {
		same(t, "staging", readTarget(t, other, target, partition), committed(records, -1<<62, 1<<62))
	}
	if there, here := topicsOf(t, other), topicsOf(t, r.cluster); there != positions+" "+target || here != "" {
		t.Errorf("the other cluster has %q, the archived one %q", there, here)
	}
	page, err := s.Receipt(t.Context(), everybody, plan.ID)
	if err != nil || !strings.Contains(string(page), "staging") || !strings.Contains(string(page), live.ID) {
		t.Errorf("the receipt does not name the cluster: %v", err)
	}
	pair, err := s.MapOffset(t.Context(), everybody, plan.ID, answer.OffsetQuery{Topic: "orders", Source: new(int64)})
	if err != nil || pair.TargetOffset != 0 {
		t.Errorf("%+v, %v", pair, err)
	}
}

// Power cuts while another cluster is written to.
func TestPowerCutsInAnotherCluster(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), another(t)
	archived := r.topic(t, "orders", 2, 120, 50)
	(&replaytest.Cuts{
		Brokers: r.cluster, Store: r.store, Ledger: r.book, Topic: "orders", Prefix: "cut",
		Request: answer.ReplayRequest{TargetCluster: "staging"},
		Options: replay.Options{
			PositionTopic: positions, Worker: "cut", Lease: 80 * time.Millisecond, Poll: 10 * time.Millisecond, Batch: 1 << 10,
			Clusters: map[string]replay.Brokers{"staging": other},
		},
		Check: func(t *testing.T, plan *answer.ReplayPlan) {
			t.Helper()
			for partition, records := range archived {
				same(t, "staging", readTarget(t, other, plan.Topics[0].Target, partition), committed(records, -1<<62, 1<<62))
			}
		},
	}).Run(t, 25)
	if there := topicsOf(t, r.cluster); there != "" {
		t.Errorf("the archived cluster has %q", there)
	}
}

// denying says of every topic that it may not be made.
type denying struct{ replay.Brokers }

func (denying) MayCreate(context.Context, string, int32, int16) error {
	return schema.Errorf(schema.Permission, "no right to make topics in staging")
}

func TestAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), another(t)
	r.topic(t, "orders", 1, 100, 100)
	deaf, err := replay.Connect(kafka.Options{Brokers: []string{"127.0.0.1:1"}})
	must(t, err)
	t.Cleanup(deaf.Close)
	all := map[string]replay.Brokers{"staging": other, "mirror": r.cluster, "locked": denying{another(t)}}
	_, err = other.CreateReplicated(t.Context(), "taken.orders", 1, 1, nil)
	must(t, err)
	_, err = other.CreateReplicated(t.Context(), "small.orders", 1, 1, map[string]string{"max.message.bytes": "300"})
	must(t, err)
	s := r.service(t, clusters(all), nil, nil)
	for name, c := range map[string]struct {
		request answer.ReplayRequest
		kind    schema.Kind
		says    string
	}{
		"unknown":        {answer.ReplayRequest{TargetCluster: "prod"}, schema.Invalid, "known are locked, mirror, staging"},
		"archived twice": {answer.ReplayRequest{TargetCluster: "mirror"}, schema.Invalid, "is the cluster that is archived"},
		"no right":       {answer.ReplayRequest{TargetCluster: "locked"}, schema.Permission, "no right to make topics in staging"},
		"exists there":   {answer.ReplayRequest{TargetCluster: "staging", TargetPrefix: "taken."}, schema.Conflict, "exists"},
		"too small":      {answer.ReplayRequest{TargetCluster: "staging", TargetPrefix: "small.", AllowExisting: true}, schema.Conflict, "300"},
	} {
		c.request.Topics = []string{"orders"}
		if _, err := s.Plan(t.Context(), everybody, c.request); schema.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.kind, c.says)
		}
	}
	// One cluster by two names, and one that does not say whether it is.
	beside := func(name string, cluster replay.Brokers) (*answer.ReplayPlan, error) {
		two := r.service(t, clusters(map[string]replay.Brokers{"staging": other, name: cluster}), nil, nil)
		return two.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetCluster: "staging"})
	}
	if _, err := beside("again", other); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "staging and again are one cluster") {
		t.Errorf("by two names: %v", err)
	}
	if plan, err := beside("deaf", deaf); err != nil || !says(plan.Warnings, "whether target cluster deaf is staging by another name is not known") {
		t.Errorf("beside one that does not answer: %+v, %v", plan, err)
	}
	// The same topic is free in the archived cluster.
	_, err = s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "taken."})
	must(t, err)

	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetCluster: "staging"})
	must(t, err)
	moved := r.service(t, clusters(map[string]replay.Brokers{"staging": another(t)}), nil, nil)
	if _, err := moved.Run(t.Context(), everybody, plan.ID, nil); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "the plan is for "+plan.TargetClusterID) {
		t.Errorf("the name is another cluster's now: %v", err)
	}
	if run, err := moved.DryRun(t.Context(), everybody, plan.ID); err != nil || run.Matches || !says(run.Problems, "the plan is for "+plan.TargetClusterID) {
		t.Errorf("dry run: %+v, %v", run, err)
	}
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	stop := work(t, r.service(t, nil, nil, nil)) // which does not know the cluster
	time.Sleep(200 * time.Millisecond)
	job, err := r.service(t, nil, nil, nil).Get(t.Context(), everybody, plan.ID)
	if err != nil || job.State != answer.JobPlanned || !strings.Contains(job.Error, "no worker here knows the target cluster") {
		t.Errorf("%+v, %v", job, err)
	}
	stop()
	// What runs fails where the name has become another cluster's, and goes on when it
	// is put right.
	stop = work(t, moved)
	failed := untilFailed(t, moved, plan.ID)
	if !strings.Contains(failed.Error, "the plan is for "+plan.TargetClusterID) {
		t.Errorf("%s", failed.Error)
	}
	stop()
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	work(t, s)
	until(t, s, plan.ID, answer.JobDone)
	if _, err := r.service(t, clusters(map[string]replay.Brokers{"staging": deaf}), nil, nil).Plan(t.Context(), everybody,
		answer.ReplayRequest{Topics: []string{"orders"}, TargetCluster: "staging"}); schema.KindOf(err) != schema.Unavailable || !strings.Contains(err.Error(), "target cluster staging") {
		t.Errorf("unreachable: %v", err)
	}
}

func untilFailed(t *testing.T, s *replay.Service, id string) *answer.ReplayJob {
	t.Helper()
	for range 500 {
		job, err := s.Get(t.Context(), everybody, id)
		must(t, err)
		if job.State == answer.JobFailed {
			return job
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the replay does not fail")
	return nil
}

// Where approvals are needed outside the sandbox, another cluster is outside.
func TestAnotherClusterNeedsApproval(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), another(t)
	r.topic(t, "orders", 1, 30, 100)
	s := r.service(t, func(o *replay.Options) {
		o.Approval, o.Clusters = replay.ApprovalOutsideSandbox, map[string]replay.Brokers{"staging": other}
	}, nil, nil)
	for cluster, want := range map[string]bool{"": false, "staging": true} {
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetCluster: cluster})
		if err != nil || plan.NeedsApproval != want {
			t.Errorf("%q: %+v, %v", cluster, plan, err)
		}
	}
}

// A group's place in the source is committed in the target's cluster.
func TestGroupOffsetsInAnotherCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	broker := embeddedtest.MemoryKafka(t)
	other, err := replay.Connect(embeddedtest.KafkaOptions(broker))
	must(t, err)
	t.Cleanup(other.Close)
	id, err := r.cluster.CreateReplicated(t.Context(), "orders", 1, 1, nil)
	must(t, err)
	r.archive(t, schema.Stream{Cluster: "source", Topic: "orders", TopicID: id}, 40)
	s := r.service(t, clusters(map[string]replay.Brokers{"staging": other}), nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetCluster: "staging"})
	must(t, err)
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	must(t, r.cluster.Commit(t.Context(), "billing", kafka.Committed{"orders": {0: 17}}))
	moved, err := s.GroupOffsets(t.Context(), everybody, plan.ID, answer.GroupOffsetsRequest{Group: "billing", Apply: true})
	if err != nil || moved.Applied != 1 {
		t.Fatalf("%+v, %v", moved, err)
	}
	committed, err := kadm.NewClient(embeddedtest.KafkaClient(t, broker)).FetchOffsets(t.Context(), "billing")
	must(t, err)
	if at, ok := committed.Lookup(plan.Topics[0].Target, 0); !ok || at.At != 17 {
		t.Errorf("committed there: %+v", committed)
	}
	here, _, err := r.cluster.CommittedBy(t.Context(), "billing")
	if err != nil || len(here) != 1 || here["orders"][0] != 17 {
		t.Errorf("committed in the archived cluster: %v, %v", here, err)
	}
}
