package replay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// says tells whether one of the warnings has all the words.
func says(warnings []string, words ...string) bool {
	for _, warning := range warnings {
		all := true
		for _, word := range words {
			all = all && strings.Contains(warning, word)
		}
		if all {
			return true
		}
	}
	return false
}

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// What of a selection is not replayed though it was asked for is said by its
// plan: older topics of the name, gaps by class, what is not sealed yet, and
// partitions and offsets that the archive has not. Where nothing is left out,
// nothing is said; and none of it is in the plan's ID.
func TestOmissionsAreSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	live, err := r.cluster.CreateTopic(t.Context(), "orders", 2, nil)
	must(t, err)
	older := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{7}}
	r.archive(t, older, 30)
	newer := schema.Stream{Cluster: "source", Topic: "orders", TopicID: live}
	var records []schema.Record
	for i := range 80 {
		if record := awkward(newer, i); (i < 20 || i >= 32) && (i < 70 || i >= 75) { // two gaps
			record.Status, record.Timestamp = schema.Committed, at(i).UnixMilli()
			records = append(records, record)
		}
	}
	replaytest.Archive(t, r.store, newer, records, 10)
	s := r.service(t, nil, nil, nil)
	plan := func(q answer.ReplayRequest) *answer.ReplayPlan {
		t.Helper()
		q.Topics = []string{"orders"}
		p, err := s.Plan(t.Context(), everybody, q)
		must(t, err)
		return p
	}
	inside := answer.ReplayRequest{From: at(45), To: at(60), TopicID: &live}
	if p := plan(inside); len(p.Warnings) != 0 {
		t.Errorf("nothing is left out, and it says %q", p.Warnings)
	}
	whole := plan(answer.ReplayRequest{})
	for _, words := range [][]string{
		{older.TopicID.String(), "30 records", "topic-id"},
		{"orders/0", "17 offsets", "17 cleaned", "offset 20"},
	} {
		if !says(whole.Warnings, words...) {
			t.Errorf("%q is not said by %q", words, whole.Warnings)
		}
	}
	if says(whole.Warnings, "sealed") {
		t.Errorf("everything is sealed, and it says %q", whole.Warnings)
	}
	if p := plan(answer.ReplayRequest{From: at(15), To: at(50)}); !says(p.Warnings, "12 offsets", "12 cleaned") || !says(p.Warnings, "up to 30 records") {
		t.Errorf("of a part it says %q", p.Warnings)
	}
	if p := plan(answer.ReplayRequest{From: at(40), To: at(60)}); says(p.Warnings, older.TopicID.String()) {
		t.Errorf("the older topic has nothing there: %q", p.Warnings)
	}
	if p := plan(answer.ReplayRequest{Partitions: []int32{0, 5}}); !says(p.Warnings, "partition 5", "not archived") {
		t.Errorf("of a partition that is not there it says %q", p.Warnings)
	}
	p := plan(answer.ReplayRequest{Offsets: []answer.ReplayOffsets{{Topic: "orders", From: 60, To: 200}, {Topic: "orders", Partition: 1, To: 9}}})
	if !says(p.Warnings, "orders/0", "up to 200", "ends at offset 80") || !says(p.Warnings, "partition 1", "not archived") {
		t.Errorf("of offsets beyond the end it says %q", p.Warnings)
	}
	r.unsealed(t, s, whole, plan, newer)
}

// unsealed has Kafka hold more than is sealed.
func (r *rig) unsealed(t *testing.T, s *replay.Service, whole *answer.ReplayPlan, plan func(answer.ReplayRequest) *answer.ReplayPlan, stream schema.Stream) {
	t.Helper()
	client := embeddedtest.KafkaClient(t, r.broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for range 90 {
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: stream.Topic, Value: []byte("x")}).FirstErr())
	}
	must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: stream.Topic, Partition: 1, Value: []byte("x")}).FirstErr())
	again := plan(answer.ReplayRequest{})
	if again.ID != whole.ID {
		t.Error("what is not sealed changes the plan's ID")
	}
	if !says(again.Warnings, "orders/0", "10 offsets", "not sealed", "annals seal") || !says(again.Warnings, "partition 1", "not archived") {
		t.Errorf("of what is not sealed it says %q", again.Warnings)
	}
	if p := plan(answer.ReplayRequest{From: at(40), To: at(60)}); says(p.Warnings, "not sealed") {
		t.Errorf("the range is sealed, and it says %q", p.Warnings)
	}
	if p := plan(answer.ReplayRequest{From: at(40), To: at(600)}); !says(p.Warnings, "not sealed") {
		t.Errorf("the range's end is not sealed, and it says %q", p.Warnings)
	}
}

// A range that ends after the newest archived record of a topic that Kafka has
// not any more, or not here, says so; one of a topic that ended does not.
func TestRangeBeyondTheArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 50, 100)
	s := r.service(t, nil, nil, nil)
	p, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: at(10), To: at(600)})
	must(t, err)
	if !says(p.Warnings, "orders/0", "ends at offset 50", "before the end of the range") {
		t.Errorf("it says %q", p.Warnings)
	}
}
