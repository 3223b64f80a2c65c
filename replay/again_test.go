package replay_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A plan by trace leaves out what former replays made of its records: those that say so
// by their headers, and all that is in topics that a replay made, which need not.
func TestTracesWithoutFormerReplays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	orders := r.topic(t, "orders", 1, 60, 25)
	trace := known{hopOf(&orders[0][0]), hopOf(&orders[0][7])}
	traces := byID{"a": trace}
	s := r.service(t, nil, nil, traces)
	work(t, s)
	first, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "a"})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, first.ID, nil)
	must(t, err)
	until(t, s, first.ID, answer.JobDone)

	// The sandbox is archived, too, and is in the trace then.
	live, err := r.cluster.Cluster(t.Context())
	must(t, err)
	sandbox := schema.Stream{Cluster: live.ID, Topic: first.Topics[0].Target}
	for _, topic := range live.Topics {
		if topic.Name == sandbox.Topic {
			sandbox.TopicID = topic.ID
		}
	}
	copies := r.target(t, sandbox.Topic, 0)
	for i := range copies {
		copies[i].Topic, copies[i].TopicID, copies[i].Status = sandbox.Topic, sandbox.TopicID, schema.Committed
	}
	r.put(t, sandbox, copies)
	// And one that went into a topic of somebody else's, with headers that say so.
	elsewhere := schema.Stream{Cluster: live.ID, Topic: "elsewhere", TopicID: schema.TopicID{9}}
	other := r.archive(t, elsewhere, 1)
	marked := hopOf(&other[0])
	marked.Stage = schema.StageReplay
	traces["a"] = append(trace, hopOf(&copies[0]), hopOf(&copies[1]), marked)

	again, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "a"})
	must(t, err)
	if again.ID != first.ID || again.Records != 2 || !says(again.Warnings, "3 records that former replays made are left out") {
		t.Errorf("plan %s of %d records, warnings %q; the first was %s", again.ID, again.Records, again.Warnings, first.ID)
	}
	all, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "a", IncludeReplays: true})
	must(t, err)
	if all.Records != 5 || len(all.Topics) != 3 || !all.Request.IncludeReplays || says(all.Warnings, "former replays") {
		t.Errorf("with them: %+v", all)
	}
	traces["b"] = known{hopOf(&copies[0])}
	if _, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "b"}); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "all 1 records of trace b are copies") {
		t.Errorf("nothing but copies: %v", err)
	}
	if _, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, IncludeReplays: true}); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "goes with traces") {
		t.Errorf("with topics: %v", err)
	}
}
