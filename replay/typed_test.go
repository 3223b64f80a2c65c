package replay_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A search as it is typed is the same plan as its fields are; and patterns are the
// same as the names of what is archived.
func TestTypedSelections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.kinds(t, "mixed", 2, 120)
	r.topic(t, "mixed.other", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	for typed, fields := range map[string]answer.ReplayRequest{
		"topic:mixed type:Placed service:desk version:2": {Topics: []string{"mixed"}, EventTypes: []string{"Placed"}, Services: []string{"desk"}, EventVersions: []string{"2"}},
		"topic:mixed partition:1 stage:ingest key:k3":    {Topics: []string{"mixed"}, Partitions: []int32{1}, Stages: []string{"ingestion"}, Keys: [][]byte{[]byte("k3")}},
		"topic:mix*":                  {Topics: []string{"mixed", "mixed.other"}},
		"topic:mixed type:Pl* key:k1": {Topics: []string{"mixed"}, Keys: [][]byte{[]byte("k1")}, Filter: `eventType.startsWith("Pl")`},
		"topic:mixed after:1999-01-04T00:00:30Z before:1999-01-04T00:01:00Z status:committed": {Topics: []string{"mixed"}, From: at(30), To: at(60)},
	} {
		byText, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Query: typed})
		must(t, err)
		byField, err := s.Plan(t.Context(), everybody, fields)
		must(t, err)
		if byText.ID != byField.ID {
			t.Errorf("%s: %+v is another plan than %+v", typed, byText.Request, byField.Request)
		}
	}
	headers, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Query: `topic:mixed header.%FE=v`, Partitions: []int32{0}})
	if err == nil {
		t.Errorf("a header that is none is found: %+v", headers)
	}
	both, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Query: "topic:mixed type:P*", Filter: "offset < 50", FilterErrors: answer.FilterSkip})
	must(t, err)
	if both.Request.Filter != `eventType.startsWith("P") && (offset < 50)` {
		t.Errorf("%+v", both.Request)
	}
	patterns, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"mixed.*", "m?xed"}, TargetTopics: map[string]string{"mixed": "a", "mixed.other": "b"}})
	must(t, err)
	if len(patterns.Topics) != 2 || !slices.Equal(patterns.Request.Topics, []string{"mixed", "mixed.other"}) {
		t.Errorf("%+v", patterns)
	}
}

func TestTypedSelectionsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	for name, c := range map[string]struct {
		request answer.ReplayRequest
		kind    schema.Kind
		says    string
	}{
		"no field":      {answer.ReplayRequest{Query: "topic:orders colour:red"}, schema.Invalid, "character 14"},
		"twice":         {answer.ReplayRequest{Query: "topic:orders type:A", EventTypes: []string{"B"}}, schema.Invalid, "character 14: type is given by the query and beside it"},
		"id":            {answer.ReplayRequest{Query: "topic:orders 4711"}, schema.Invalid, "character 14: an id selects no records of a replay: name a trace"},
		"team":          {answer.ReplayRequest{Query: "topic:orders team:desk"}, schema.Invalid, "character 14: a replay knows no teams"},
		"violation":     {answer.ReplayRequest{Query: "topic:orders violation:x"}, schema.Invalid, "character 14: violations"},
		"aborted":       {answer.ReplayRequest{Query: "topic:orders status:aborted"}, schema.Invalid, "character 14: only committed"},
		"payload":       {answer.ReplayRequest{Query: "topic:orders payload/n=3"}, schema.Invalid, "character 14"},
		"no topics":     {answer.ReplayRequest{Query: "type:A"}, schema.Invalid, "nothing is selected"},
		"both filters":  {answer.ReplayRequest{Query: "topic:orders type:A*", Filter: "value.n >"}, schema.Invalid, "column 10"},
		"no such topic": {answer.ReplayRequest{Topics: []string{"fx.*"}}, schema.NotFound, "no archived topic matches fx.*"},
		"a bad pattern": {answer.ReplayRequest{Topics: []string{"orders*", "a b*"}}, schema.Invalid, "is in no topic's name"},
		"an ID":         {answer.ReplayRequest{Topics: []string{"order*"}, TopicID: &schema.TopicID{1}}, schema.Invalid, "not with a pattern"},
		"no target":     {answer.ReplayRequest{Topics: []string{"order*"}, TargetTopics: map[string]string{"rates": "x"}}, schema.Invalid, "rates is not among"},
		"two traces":    {answer.ReplayRequest{TraceID: "a", TraceIDs: []string{"b"}}, schema.Invalid, "exclude each other"},
		"no trace":      {answer.ReplayRequest{TraceIDs: []string{"b", ""}}, schema.Invalid, "1 to 512 bytes"},
		"traces, times": {answer.ReplayRequest{TraceIDs: []string{"b"}, From: at(1)}, schema.Invalid, "exclude each other"},
		"event times":   {answer.ReplayRequest{Topics: []string{"orders"}, EventFrom: at(2), EventTo: at(2)}, schema.Invalid, "not after"},
		"unsealed":      {answer.ReplayRequest{Topics: []string{"orders"}, Unsealed: "maybe"}, schema.Invalid, "none of cut, fail, wait"},
	} {
		if _, err := s.Plan(t.Context(), everybody, c.request); schema.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Event times choose by what events say, not by when their record was made; a record
// that says none is left out and counted.
func TestEventTimes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{8}}
	var records, want []schema.Record
	var extractions []schema.Extraction
	for i := range 90 {
		record := awkward(s, i)
		record.Status = schema.Committed
		x := schema.Extraction{EventTime: at(90-i).UnixMicro() + 500, HasEventTime: i%5 != 0}
		records, extractions = append(records, record), append(extractions, x)
		if x.HasEventTime && x.EventTime >= at(20).UnixMicro() && x.EventTime < at(60).UnixMicro()+500 {
			want = append(want, record)
		}
	}
	replaytest.ArchiveExtracted(t, r.store, s, records, extractions, 40)
	service := r.service(t, nil, nil, nil)
	work(t, service)
	plan, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, EventFrom: at(20), EventTo: at(60).Add(500 * time.Microsecond)})
	must(t, err)
	if plan.Records != int64(len(want)) || !says(plan.Warnings, "orders", "18 records", "no event time") || !plan.Request.EventFrom.Equal(at(20)) {
		t.Fatalf("%d records of %d, %v", plan.Records, len(want), plan.Warnings)
	}
	typed := "topic:orders event_after:" + at(20).Format(time.RFC3339Nano) + " event_before:" + at(60).Add(500*time.Microsecond).Format(time.RFC3339Nano)
	byText, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Query: typed})
	must(t, err)
	if byText.ID != plan.ID {
		t.Errorf("%s is another plan: %+v", typed, byText.Request)
	}
	_, err = service.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, service, plan.ID, answer.JobDone)
	same(t, "orders", r.target(t, plan.Topics[0].Target, 0), want)
}

// Several traces are one plan, each of their records once; one trace in a list is
// the plan that it is alone.
func TestSeveralTraces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	orders := r.topic(t, "orders", 2, 60, 25)
	traces := byID{
		"a": {hopOf(&orders[0][0]), hopOf(&orders[0][7]), hopOf(&orders[1][30])},
		"b": {hopOf(&orders[0][7]), hopOf(&orders[1][8])}, // one record is of both
		"c": {hopOf(&orders[1][9])},
	}
	s := r.service(t, nil, nil, traces)
	work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceIDs: []string{"b", "a", "b"}, TargetPrefix: "t."})
	must(t, err)
	if plan.Records != 4 || !slices.Equal(plan.Request.TraceIDs, []string{"a", "b"}) {
		t.Fatalf("%+v", plan)
	}
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	same(t, "0", r.target(t, "t.orders", 0), []schema.Record{orders[0][0], orders[0][7]})
	same(t, "1", r.target(t, "t.orders", 1), []schema.Record{orders[1][8], orders[1][30]})
	alone, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "c"})
	must(t, err)
	listed, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceIDs: []string{"c", "c"}})
	must(t, err)
	if alone.ID != listed.ID {
		t.Error("a trace in a list is another plan")
	}
	if _, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceIDs: []string{"a", "nobody"}}); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a trace that nobody knows: %v", err)
	}
	traces["a"][1].Sealed = false
	for choice, records := range map[string]int64{"": 0, answer.UnsealedFail: 0, answer.UnsealedCut: 2} {
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{TraceID: "a", Unsealed: choice, TargetPrefix: "u."})
		if records == 0 {
			if schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "1 records of the trace") {
				t.Errorf("%q: %v", choice, err)
			}
			continue
		}
		must(t, err)
		if plan.Records != records || !says(plan.Warnings, "1 records of the traces are not sealed") {
			t.Errorf("%q: %+v", choice, plan)
		}
	}
}

// What of topics is not sealed is cut off with a warning, refused, or waited for: up
// to where the topic ended when it was asked, and no further.
func TestUnsealedEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id, err := r.cluster.CreateTopic(t.Context(), "orders", 1, nil)
	must(t, err)
	stream := schema.Stream{Cluster: "source", Topic: "orders", TopicID: id}
	r.archive(t, stream, 10)
	produce(t, r, "orders", 14)
	s := r.service(t, func(o *replay.Options) { o.Exact = 1 << 30 }, nil, nil)
	q := answer.ReplayRequest{Topics: []string{"orders"}}
	cut, err := s.Plan(t.Context(), everybody, q)
	must(t, err)
	if cut.Records != 10 || !says(cut.Warnings, "4 offsets", "not sealed") {
		t.Errorf("%+v", cut)
	}
	q.Unsealed = answer.UnsealedFail
	if _, err := s.Plan(t.Context(), everybody, q); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "4 offsets of orders/0") {
		t.Errorf("fail: %v", err)
	}
	q.Unsealed = answer.UnsealedWait
	waited := make(chan *answer.ReplayPlan, 1)
	go func() {
		plan, err := s.Plan(t.Context(), everybody, q)
		if err != nil {
			t.Error(err)
		}
		waited <- plan
	}()
	time.Sleep(300 * time.Millisecond)
	produce(t, r, "orders", 3) // came while it waits
	var more []schema.Record
	for i := 10; i < 14; i++ {
		record := awkward(stream, i)
		record.Status = schema.Committed
		more = append(more, record)
	}
	r.put(t, stream, more)
	if plan := <-waited; plan != nil && plan.Records != 14 {
		t.Errorf("waited for: %+v", plan)
	}
}

// byID are traces by their ID.
type byID map[string]known

func (b byID) Traced(ctx context.Context, who policy.Principal, traceIDs []string) (found []answer.Traced, _ error) {
	for _, id := range traceIDs {
		if b[id] == nil {
			return nil, schema.Errorf(schema.NotFound, "no trace %s", id)
		}
		one, err := b[id].Traced(ctx, who, []string{id})
		if err != nil {
			return nil, err
		}
		found = append(found, one...)
	}
	return found, nil
}

func produce(t *testing.T, r *rig, topic string, n int) {
	t.Helper()
	client := embeddedtest.KafkaClient(t, r.broker)
	for range n {
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("{}")}).FirstErr())
	}
}
