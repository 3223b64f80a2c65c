package replay_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// format reads what an object of a replay says that it is.
func (r *rig) format(t *testing.T, key string) (id, format string) {
	t.Helper()
	raw, _, err := r.store.Get(t.Context(), key, 1<<20)
	must(t, err)
	var named struct{ ID, Format string }
	must(t, json.Unmarshal(raw, &named))
	return named.ID, named.Format
}

// TestPlanFormatIsTheLowest: a plan has the lowest format that has what it says,
// so that versions before read what they can, and a default that is written out
// is the same plan.
func TestPlanFormatIsTheLowest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 2, 40, 1000)
	s := r.service(t, nil, nil, nil)
	id := schema.TopicID{1, byte(len("orders"))}
	copy(id[2:], "orders")
	ids := map[string]string{}
	for _, c := range []struct {
		name, format string
		change       func(*answer.ReplayRequest)
	}{
		{"plain", "annals.replay-plan/1", func(*answer.ReplayRequest) {}},
		{"fail", "annals.replay-plan/1", func(q *answer.ReplayRequest) { q.Oversized = answer.OversizedFail }},
		{"topic ID", "annals.replay-plan/2", func(q *answer.ReplayRequest) { q.TopicID = &id }},
		{"skip", "annals.replay-plan/3", func(q *answer.ReplayRequest) { q.Oversized = answer.OversizedSkip }},
		{"partition", "annals.replay-plan/3", func(q *answer.ReplayRequest) { q.Partitions = []int32{1} }},
		{"offsets", "annals.replay-plan/3", func(q *answer.ReplayRequest) {
			q.Offsets = []answer.ReplayOffsets{{Topic: "orders", Partition: 1, From: 3, To: 20}}
		}},
		{"stage", "annals.replay-plan/3", func(q *answer.ReplayRequest) { q.Stages = []string{"unknown"} }},
		{"filter", "annals.replay-plan/4", func(q *answer.ReplayRequest) { q.Filter = "offset >= 0" }},
		{"by key", "annals.replay-plan/4", func(q *answer.ReplayRequest) { q.Partitioning = answer.PartitionByKey }},
		{"now", "annals.replay-plan/4", func(q *answer.ReplayRequest) { q.Timestamps = answer.TimestampsNow }},
		{"topic ID and partition", "annals.replay-plan/3", func(q *answer.ReplayRequest) { q.TopicID, q.Partitions = &id, []int32{1} }},
	} {
		request := answer.ReplayRequest{Topics: []string{"orders"}}
		c.change(&request)
		plan, err := s.Plan(t.Context(), everybody, request)
		must(t, err)
		if _, format := r.format(t, schema.ReplayPrefix+plan.ID+"/plan.json"); format != c.format {
			t.Errorf("%s: format %s, want %s", c.name, format, c.format)
		}
		if (plan.Request.TopicID == nil) != (request.TopicID == nil) || len(plan.Request.Partitions) != len(request.Partitions) {
			t.Errorf("%s: planned %+v", c.name, plan.Request)
		}
		if request.TopicID != nil && *plan.Request.TopicID != id {
			t.Errorf("%s: topic ID %s", c.name, plan.Request.TopicID)
		}
		if plan.Request.Oversized == "" {
			t.Errorf("%s: what becomes of oversized records is not said", c.name)
		}
		ids[c.name] = plan.ID
	}
	if ids["plain"] != ids["fail"] {
		t.Error("the default, written out, is another plan")
	}
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != len(ids)-1 {
		t.Errorf("%d plans of %d", len(seen), len(ids)-1)
	}
}

// TestJobsOfEarlierVersionsAreRead reads states that the version before paces
// and offset maps wrote, and changes one.
func TestJobsOfEarlierVersionsAreRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(t, nil, nil, nil)
	var ids []string
	for _, name := range []string{"v1", "v2"} {
		id := ""
		for _, object := range []string{"plan", "state"} {
			raw, err := os.ReadFile("testdata/" + object + "-" + name + ".json")
			must(t, err)
			var named struct{ ID string }
			must(t, json.Unmarshal(raw, &named))
			id = named.ID
			_, err = r.store.PutIfAbsent(t.Context(), schema.ReplayPrefix+id+"/"+object+".json", raw)
			must(t, err)
		}
		ids = append(ids, id)
	}
	done, err := s.Get(t.Context(), everybody, ids[0])
	must(t, err)
	if done.State != answer.JobDone || done.Pace.Mode != answer.PaceFast || !done.Receipt.Matches || done.Receipt.ReadBack != 11 {
		t.Errorf("job %+v", done)
	}
	at := int64(1)
	if pair, err := s.MapOffset(t.Context(), everybody, ids[0], answer.OffsetQuery{Topic: "rates", Source: &at}); schema.KindOf(err) != schema.Conflict {
		t.Errorf("an offset of a job that kept none: %+v, %v", pair, err)
	}
	if page, err := s.Receipt(t.Context(), everybody, ids[0]); err != nil || !bytes.Contains(page, []byte("made when it was asked for")) {
		t.Errorf("a receipt of a job that kept no page: %v", err)
	}
	key := schema.ReplayPrefix + ids[1] + "/state.json"
	if _, format := r.format(t, key); format != "annals.replay-job/1" {
		t.Fatalf("the state that is kept has format %s", format)
	}
	if job, err := s.Cancel(t.Context(), everybody, ids[1]); err != nil || job.State != answer.JobCancelled {
		t.Errorf("cancelled: %+v, %v", job, err)
	}
	if _, format := r.format(t, key); format != "annals.replay-job/3" {
		t.Errorf("after a change the state has format %s", format)
	}
}
