package replay_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A replay takes the latest branch: of a segment that a branch has cut, what is
// left, whether the plan reads it or not; of a trace, nothing that is
// superseded, also where the log is shorter now than what was archived.
func TestReplayTakesTheLatestBranch(t *testing.T) {
	for name, change := range map[string]func(*replay.Options){
		"read for the plan": nil, "estimated": func(o *replay.Options) { o.Exact = 1 },
	} {
		r := newRig(t)
		stream := schema.Stream{Cluster: "source", Topic: "log", TopicID: schema.TopicID{1, 2}}
		first := r.archive(t, stream, 20)
		replaytest.Diverge(t, r.store, stream, 15)
		var second []schema.Record
		for i := 15; i < 17; i++ { // the log is shorter now
			record := awkward(stream, i)
			record.Status, record.Branch, record.Value = schema.Committed, 1, []byte("second history")
			second = append(second, record)
		}
		r.put(t, stream, second)

		var records known
		for _, record := range append(first[10:], second...) {
			records = append(records, hopOf(&record))
		}
		s := r.service(t, change, nil, records)
		work(t, s)
		for kind, c := range map[string]struct {
			request answer.ReplayRequest
			want    []schema.Record
			warning string
		}{
			"topic": {answer.ReplayRequest{Topics: []string{"log"}, TargetPrefix: "t."}, append(append([]schema.Record{}, first[:15]...), second...), ""},
			"trace": {answer.ReplayRequest{TraceID: "x", TargetPrefix: "x."}, append(append([]schema.Record{}, first[10:15]...), second...), "5 selected records were superseded"},
		} {
			plan, err := s.Plan(t.Context(), everybody, c.request)
			must(t, err)
			_, err = s.Run(t.Context(), everybody, plan.ID, nil)
			must(t, err)
			job := until(t, s, plan.ID, answer.JobDone)
			if plan.Records != int64(len(c.want)) || job.Receipt == nil || !job.Receipt.Matches {
				t.Errorf("%s, %s: planned %d of %d records, receipt %+v", name, kind, plan.Records, len(c.want), job.Receipt)
			}
			if said := strings.Join(plan.Warnings, "; "); !strings.Contains(said, c.warning) {
				t.Errorf("%s, %s: warnings %q", name, kind, said)
			}
			same(t, kind, r.target(t, c.request.TargetPrefix+"log", 0), c.want)
		}
	}
}
