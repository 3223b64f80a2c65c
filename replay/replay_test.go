package replay_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestReplayIsIdentical replays two topics over a time range and compares the
// targets with what was archived.
func TestReplayIsIdentical(t *testing.T) {
	r := newRig(t)
	orders, rates := r.topic(t, "orders", 3, 400, 150), r.topic(t, "rates", 1, 90, 1000)
	s := r.service(t, nil, nil, nil)
	from, to := start.Add(20*time.Second), start.Add(300*time.Second)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"rates", "orders"}, From: from, To: to})
	must(t, err)
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	job := until(t, s, plan.ID, answer.JobDone)

	total, size := int64(0), int64(0)
	for topic, archived := range map[string]map[int32][]schema.Record{"orders": orders, "rates": rates} {
		for partition, records := range archived {
			want := committed(records, from.UnixMilli(), to.UnixMilli())
			same(t, topic, r.target(t, "replay."+plan.ID[:8]+"."+topic, partition), want)
			for i := range want {
				total, size = total+1, size+want[i].Bytes()
			}
		}
	}
	if plan.Records != total || plan.Bytes != size || plan.Segments != 10 {
		t.Errorf("planned %d records, %d bytes, %d segments; want %d and %d", plan.Records, plan.Bytes, plan.Segments, total, size)
	}
	receipt := job.Receipt
	if receipt == nil || !receipt.Matches || !receipt.Exclusive || receipt.Planned != total || receipt.Produced != total || receipt.ReadBack != total || len(receipt.Partitions) != 4 {
		t.Errorf("receipt %+v", receipt)
	}
	if job.Produced != total || job.ReadBack != total || job.Finished.IsZero() {
		t.Errorf("job %+v", job)
	}
	config := map[string]string{}
	entries, err := r.cluster.Config(t.Context(), "replay."+plan.ID[:8]+".orders")
	must(t, err)
	for _, e := range entries {
		config[e.Key] = e.Value
	}
	if config["cleanup.policy"] != "delete" || config["retention.ms"] != "-1" || config["message.timestamp.type"] != "CreateTime" {
		t.Errorf("the target is configured so: %v", config)
	}
	for _, digits := range []int{64, 20, 8} {
		again, err := s.Run(t.Context(), everybody, plan.ID[:digits], nil)
		if err != nil || again.State != answer.JobDone || again.ID != plan.ID {
			t.Errorf("run again by %d digits: %+v, %v", digits, again, err)
		}
	}
	_, err = r.store.PutIfAbsent(t.Context(), schema.ReplayPrefix+plan.ID[:8]+strings.Repeat("0", 56)+"/plan.json", []byte("{}"))
	must(t, err)
	for id, kind := range map[string]schema.Kind{plan.ID[:8]: schema.Invalid, plan.ID[:7]: schema.Invalid, strings.Repeat("f", 8): schema.NotFound} {
		if _, err := s.Get(t.Context(), everybody, id); schema.KindOf(err) != kind {
			t.Errorf("get %s: %v, want %v", id, err, kind)
		}
	}
	replanned, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"rates", "orders"}, From: from, To: to})
	if err != nil || replanned.ID != plan.ID || !says(replanned.Warnings, "already") || !says(replanned.Warnings, "rates/0", "before the end of the range") {
		t.Errorf("planned after it was run: %+v, %v", replanned, err)
	}
	jobs, err := s.List(t.Context(), everybody)
	if err != nil || len(jobs.Jobs) != 1 || jobs.Jobs[0].ID != plan.ID {
		t.Errorf("listed %+v, %v", jobs, err)
	}
}

// TestPlanningTwiceIsOnePlan: the ID says what is replayed and where to, not
// when somebody asked.
func TestPlanningTwiceIsOnePlan(t *testing.T) {
	r := newRig(t)
	r.topic(t, "orders", 2, 100, 30)
	s := r.service(t, nil, nil, nil)
	request := answer.ReplayRequest{Topics: []string{"orders"}, To: start.Add(time.Minute)}
	first, err := s.Plan(t.Context(), everybody, request)
	must(t, err)
	request.Topics = []string{"orders", "orders"}
	again, err := s.Plan(t.Context(), everybody, request)
	must(t, err)
	if again.ID != first.ID || !again.Created.Equal(first.Created) {
		t.Errorf("%s of %s is another plan than %s of %s", again.ID, again.Created, first.ID, first.Created)
	}
	for name, change := range map[string]func(*answer.ReplayRequest){
		"prefix":     func(q *answer.ReplayRequest) { q.TargetPrefix = "sandbox." },
		"target":     func(q *answer.ReplayRequest) { q.TargetTopics = map[string]string{"orders": "elsewhere"} },
		"range":      func(q *answer.ReplayRequest) { q.To = start.Add(50 * time.Second) },
		"provenance": func(q *answer.ReplayRequest) { q.ProvenanceHeaders = true },
	} {
		other := request
		change(&other)
		plan, err := s.Plan(t.Context(), everybody, other)
		must(t, err)
		if plan.ID == first.ID {
			t.Errorf("another %s is the same plan", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	some, err := policy.Topics("rates*")
	must(t, err)
	_, err = r.cluster.CreateTopic(t.Context(), "there", 1, nil)
	must(t, err)
	_, err = r.cluster.CreateTopic(t.Context(), "stamped", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	must(t, err)
	_, err = r.cluster.CreateTopic(t.Context(), "narrow", 1, map[string]string{"max.message.bytes": "120"})
	must(t, err)
	to := func(target string, existing bool) answer.ReplayRequest {
		return answer.ReplayRequest{Topics: []string{"orders"}, TargetTopics: map[string]string{"orders": target}, AllowExisting: existing}
	}
	for name, c := range map[string]struct {
		who     policy.Principal
		request answer.ReplayRequest
		kind    schema.Kind
		says    string
	}{
		"nothing asked":        {everybody, answer.ReplayRequest{}, schema.Invalid, "nothing is selected"},
		"unknown topic":        {everybody, answer.ReplayRequest{Topics: []string{"nope"}}, schema.NotFound, "nope is not archived"},
		"hidden topic":         {policy.Principal{Name: "a", Topics: some}, answer.ReplayRequest{Topics: []string{"orders"}}, schema.NotFound, "orders is not archived"},
		"empty range":          {everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: start.Add(time.Hour)}, schema.Invalid, "searched 1 topics, 0 segments"},
		"reversed range":       {everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: start, To: start}, schema.Invalid, "not after"},
		"existing target":      {everybody, to("there", false), schema.Conflict, "there exists"},
		"timestamps replaced":  {everybody, to("stamped", true), schema.Conflict, "LogAppendTime"},
		"record too large":     {everybody, to("narrow", true), schema.Conflict, "partition 0 offset"},
		"position topic":       {everybody, to(positions, true), schema.Invalid, "positions"},
		"bad name":             {everybody, to("a b", false), schema.Invalid, "no topic name"},
		"source needs both":    {everybody, answer.ReplayRequest{Topics: []string{"orders"}, AllowSource: true}, schema.Invalid, "allow_existing"},
		"trace without traces": {everybody, answer.ReplayRequest{TraceID: "x"}, schema.Unavailable, "no index"},
	} {
		_, err := s.Plan(t.Context(), c.who, c.request)
		if schema.KindOf(err) != c.kind || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%v)", name, err, schema.KindOf(err))
		}
	}
	for _, id := range []string{"", "../../x", strings.Repeat("0", 64)} {
		if _, err := s.Run(t.Context(), everybody, id, nil); err == nil {
			t.Errorf("ran %q", id)
		}
	}
}

// TestSourceAsTarget: the source lives on this cluster, under its own ID.
func TestSourceAsTarget(t *testing.T) {
	r := newRig(t)
	id, err := r.cluster.CreateTopic(t.Context(), "loop", 1, nil)
	must(t, err)
	r.archive(t, schema.Stream{Cluster: "c", Topic: "loop", TopicID: id}, 10)
	s := r.service(t, nil, nil, nil)
	request := answer.ReplayRequest{Topics: []string{"loop"}, TargetTopics: map[string]string{"loop": "loop"}, AllowExisting: true}
	if _, err := s.Plan(t.Context(), everybody, request); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "source itself") {
		t.Fatalf("replay into the source: %v", err)
	}
	request.AllowSource = true
	plan, err := s.Plan(t.Context(), everybody, request)
	must(t, err)
	if len(plan.Warnings) == 0 {
		t.Error("no warning")
	}
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
}

// TestTargetMadeMeanwhile: between plan and run somebody made the target.
func TestTargetMadeMeanwhile(t *testing.T) {
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "x."})
	must(t, err)
	_, err = r.cluster.CreateTopic(t.Context(), "x.orders", 1, nil)
	must(t, err)
	if _, err := s.Run(t.Context(), everybody, plan.ID, nil); schema.KindOf(err) != schema.Conflict {
		t.Fatalf("%v", err)
	}
}

// TestTimestampsAtTheEdge: no timestamp (-1), before 1970, and what the client
// cannot write.
func TestTimestampsAtTheEdge(t *testing.T) {
	r := newRig(t)
	s := r.service(t, nil, nil, nil)
	work(t, s)
	edge := func(topic string, stamps ...int64) ([]schema.Record, answer.ReplayRequest) {
		stream := schema.Stream{Cluster: "c", Topic: topic, TopicID: schema.TopicID{9, topic[0]}}
		var records []schema.Record
		for i, stamp := range stamps {
			record := awkward(stream, 0)
			record.Offset, record.Timestamp = int64(i), stamp
			records = append(records, record)
		}
		r.put(t, stream, records)
		return records, answer.ReplayRequest{Topics: []string{topic}}
	}
	records, request := edge("a", -1, 0, 1, -62_135_596, -9_000_000_000_000, 9_000_000_000_000, 1_600_000_000_123)
	plan, err := s.Plan(t.Context(), everybody, request)
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	same(t, "a", r.target(t, plan.Topics[0].Target, 0), records)

	_, request = edge("b", 0, math.MaxInt64)
	if _, err := s.Plan(t.Context(), everybody, request); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "offset 1") {
		t.Fatalf("a timestamp beyond the client's: %v", err)
	}
}

// Of a large segment of which a small part is selected, only that is read, and held
// against the ledger row by row: damage beside it is nobody's concern, damage in it
// ends the job.
func TestPartOfASegment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stream := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{4}}
	dice := rand.NewChaCha8([32]byte{5})
	var records []schema.Record
	for i := range 20_000 {
		record := awkward(stream, i)
		record.Value = make([]byte, 120)
		_, _ = dice.Read(record.Value)
		records = append(records, record)
	}
	ref := replaytest.Archive(t, r.store, stream, records, 20_000)[0]
	s := r.service(t, func(o *replay.Options) { o.Batch = 1 << 20 }, nil, nil)
	work(t, s)
	path := filepath.Join(r.folder, ref.Key)
	body, err := os.ReadFile(path)
	must(t, err)
	for name, offset := range map[string]int{"in": 10_100, "beside": 1000} {
		from, to := at(10_000), at(11_000)
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: from, To: to, TargetPrefix: name + "."})
		must(t, err)
		damaged := slices.Clone(body)
		// Random values are stored as they are.
		place := bytes.Index(damaged, records[offset].Value[8:100])
		if place < 0 {
			t.Fatal("the value is not found in the segment's bytes")
		}
		damaged[place+20] ^= 1
		must(t, os.WriteFile(path, damaged, 0o600))
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		if name == "in" {
			if job := fails(t, s, plan.ID); job.Receipt != nil || len(r.target(t, plan.Topics[0].Target, 0)) > 200 {
				t.Errorf("damaged rows are out: %q, %+v", job.Error, job.Receipt)
			}
		} else {
			until(t, s, plan.ID, answer.JobDone)
			same(t, "beside", r.target(t, plan.Topics[0].Target, 0), committed(records, from.UnixMilli(), to.UnixMilli()))
		}
		must(t, os.WriteFile(path, body, 0o600))
	}
}
