package replay_test

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// framed is an archived topic whose records name schemas, some in a frame, one in a
// header, with a configuration.
func (r *rig) framed(t *testing.T) {
	t.Helper()
	s := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{4, 4}}
	var records []schema.Record
	for i := range 300 {
		record := awkward(s, i)
		record.Status = schema.Committed
		switch i {
		case 5, 9:
			record.Value = append(binary.BigEndian.AppendUint32([]byte{0}, 17), strings.Repeat("avro", 300)...)
		case 12:
			record.Headers = []schema.Header{{Name: "__value_schema_id", Value: append([]byte{1}, make([]byte, 15)...)}}
			record.Headers[0].Value = append(record.Headers[0].Value, 7)
		case 200:
			record.Value = binary.BigEndian.AppendUint32([]byte{0}, 18)
		default:
			record.Value = []byte(`{"pad":"` + strings.Repeat("x", 1200) + `"}`)
		}
		records = append(records, record)
	}
	r.put(t, s, records)
	raw, err := json.Marshal(map[string]any{"configs": []kafka.ConfigEntry{
		{Key: "compression.type", Value: "lz4", Dynamic: true},
		{Key: "cleanup.policy", Value: "compact", Dynamic: true},
		{Key: "segment.ms", Value: "77", Dynamic: false},
	}})
	must(t, err)
	_, err = r.store.PutIfAbsent(t.Context(), schema.TopicConfigKey(s.TopicID, 0), raw)
	must(t, err)
}

// What a plan says besides what it binds: the settings with which its target is then
// made, the schemas that its records name, and, once there is something to tell by, how
// long it takes.
func TestPlanSaysWhatComes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.framed(t)
	service := r.service(t, nil, nil, nil)
	first, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "a."})
	must(t, err)
	if topic := first.Topics[0]; topic.TargetConfig != nil || first.EstimatedSeconds != 0 || topic.TargetExists {
		t.Errorf("of a cluster without topics, before anything was replayed: %+v", first)
	}
	r.live(t, "somebodys", 1)
	plan, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "a."})
	must(t, err)
	topic := plan.Topics[0]
	if plan.ID != first.ID {
		t.Errorf("another plan: %s, %s", plan.ID, first.ID)
	}
	if want := []string{"00000000-0000-0000-0000-000000000007", "17", "18"}; !slices.Equal(topic.Schemas, want) || topic.MoreSchemas {
		t.Errorf("schemas %v, want %v", topic.Schemas, want)
	}
	if c := topic.TargetConfig; c["compression.type"] != "lz4" || c["cleanup.policy"] != "delete" || c["retention.ms"] != "-1" || c["segment.ms"] != "" {
		t.Errorf("settings %v", c)
	}
	few, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, Offsets: []answer.ReplayOffsets{{Topic: "orders", From: 20, To: 230}}})
	if err != nil || !slices.Equal(few.Topics[0].Schemas, []string{"18"}) {
		t.Errorf("of a part: %v, %v", few.Topics[0].Schemas, err)
	}

	work(t, service)
	_, err = service.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	job := until(t, service, plan.ID, answer.JobDone)
	entries, err := r.cluster.Config(t.Context(), topic.Target)
	must(t, err)
	made := map[string]string{}
	for _, e := range entries {
		made[e.Key] = e.Value
	}
	for key, value := range topic.TargetConfig {
		if made[key] != value {
			t.Errorf("%s is %q, and the plan said %q", key, made[key], value)
		}
	}

	later, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "b."})
	must(t, err)
	took := job.Delivered.Sub(job.Started).Seconds()
	if later.EstimatedSeconds < took*0.999 || later.EstimatedSeconds > took*1.001 {
		t.Errorf("as much again takes %g s by the plan, and took %g s", later.EstimatedSeconds, took)
	}
	if again, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "a."}); err != nil || again.Topics[0].TargetConfig != nil {
		t.Errorf("of a target that was made: %+v, %v", again, err)
	}
	existing, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetTopics: map[string]string{"orders": "somebodys"}, AllowExisting: true})
	if err != nil || !existing.Topics[0].TargetExists || existing.Topics[0].TargetConfig != nil {
		t.Errorf("of a target that is there: %+v, %v", existing, err)
	}
	// Who comes later reads it from the jobs, and is bound by its own limits.
	other := r.service(t, func(o *replay.Options) { o.Limits.Records = 3 }, nil, nil)
	work(t, other)
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		plan, err := other.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "b."})
		if err == nil && plan.EstimatedSeconds < 99 {
			err = schema.Errorf(schema.Unavailable, "another process says %g s", plan.EstimatedSeconds)
		}
		return err
	})
}

// Where nothing is said of provenance, originals are named outside the sandbox and not in
// it; the plan says which, and both can be asked for everywhere.
func TestProvenanceOutsideTheSandbox(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), another(t)
	archived := r.topic(t, "orders", 1, 30, 100)
	s := r.service(t, clusters(map[string]replay.Brokers{"staging": other}), nil, nil)
	bare := r.service(t, func(o *replay.Options) { o.Sandbox = "sandbox." }, nil, nil)
	for name, c := range map[string]struct {
		service *replay.Service
		request answer.ReplayRequest
		want    bool
	}{
		"names of the plan's own":         {s, answer.ReplayRequest{}, false},
		"in the sandbox":                  {s, answer.ReplayRequest{TargetPrefix: "replay.x."}, false},
		"outside":                         {s, answer.ReplayRequest{TargetPrefix: "x."}, true},
		"one by its name":                 {s, answer.ReplayRequest{TargetTopics: map[string]string{"orders": "copies"}}, true},
		"in another cluster":              {s, answer.ReplayRequest{TargetCluster: "staging"}, true},
		"a file":                          {s, answer.ReplayRequest{TargetFile: answer.FileNDJSON}, false},
		"the plan's own, another sandbox": {bare, answer.ReplayRequest{}, true},
		"another sandbox":                 {bare, answer.ReplayRequest{TargetPrefix: "sandbox."}, false},
	} {
		c.request.Topics = []string{"orders"}
		never, err := c.service.Plan(t.Context(), everybody, c.request)
		if err != nil || never.Request.ProvenanceHeaders {
			t.Errorf("%s: not asked for, %+v, %v", name, never, err)
		}
		c.request.ProvenanceOutside = true
		plan, err := c.service.Plan(t.Context(), everybody, c.request)
		must(t, err)
		if plan.Request.ProvenanceHeaders != c.want || says(plan.Warnings, "outside the sandbox") != c.want || (plan.ID == never.ID) == c.want {
			t.Errorf("%s: %+v", name, plan)
		}
	}
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "x.", ProvenanceOutside: true})
	must(t, err)
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	want := committed(archived[0], 0, 1<<62)
	for i, record := range r.target(t, "x.orders", 0) {
		n := len(want[i].Headers)
		if len(record.Headers) != n+5 || header(&record, "annals-replay-id") != plan.ID || header(&record, "annals-source-offset") != strconv.FormatInt(want[i].Offset, 10) {
			t.Fatalf("record %d: %v", i, record.Headers)
		}
	}
}
