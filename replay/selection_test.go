package replay_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// kinds is an archived topic whose records have extracted columns.
type kinds struct {
	records     []schema.Record
	extractions []schema.Extraction
}

func (r *rig) kinds(t *testing.T, topic string, partitions int32, n int) kinds {
	t.Helper()
	var all kinds
	for partition := range partitions {
		s := schema.Stream{Cluster: "source", Topic: topic, TopicID: schema.TopicID{4, topic[0]}, Partition: partition}
		var records []schema.Record
		var extractions []schema.Extraction
		for i := range n {
			record := awkward(s, i)
			record.Key = fmt.Append(nil, "k", i%7)
			if i%13 == 0 {
				record.Key = nil
			}
			records = append(records, record)
			extractions = append(extractions, schema.Extraction{
				EventType: []string{"", "Placed", "Filled"}[i%3], EventVersion: []string{"1", "2"}[i%2],
				SourceService: []string{"desk", "book", "risk"}[(i/3)%3], Stage: schema.Stage(i % 4),
			})
		}
		replaytest.ArchiveExtracted(t, r.store, s, records, extractions, 60)
		all.records, all.extractions = append(all.records, records...), append(all.extractions, extractions...)
	}
	return all
}

// oracle is the naive reading of a request.
func (k kinds) oracle(q *answer.ReplayRequest) map[int32][]schema.Record {
	want := map[int32][]schema.Record{}
	has := func(list []string, text string) bool { return len(list) == 0 || slices.Contains(list, text) }
	for i, r := range k.records {
		x := k.extractions[i]
		ranged, inside := false, false
		for _, o := range q.Offsets {
			ranged = ranged || o.Topic == r.Topic
			inside = inside || o.Topic == r.Topic && o.Partition == r.Partition && o.From <= r.Offset && r.Offset < o.To
		}
		switch {
		case r.Status != schema.Committed, ranged && !inside,
			len(q.Partitions) > 0 && !slices.Contains(q.Partitions, r.Partition),
			!q.From.IsZero() && r.Timestamp < q.From.UnixMilli(), !q.To.IsZero() && r.Timestamp >= q.To.UnixMilli(),
			!has(q.EventTypes, x.EventType), !has(q.EventVersions, x.EventVersion), !has(q.Services, x.SourceService), !has(q.Stages, x.Stage.String()),
			len(q.Keys) > 0 && (r.Key == nil || !slices.ContainsFunc(q.Keys, func(k []byte) bool { return bytes.Equal(k, r.Key) })):
			continue
		}
		want[r.Partition] = append(want[r.Partition], r)
	}
	return want
}

// Any selection is planned and delivered as a naive reading of it says, and
// planned twice it is the same plan, however it is written; and so is one that is
// too large to be read for its plan.
func TestSelections(t *testing.T) {
	t.Parallel()
	for name, exact := range map[string]int64{"read": 0, "too large to be read": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			selections(t, exact)
		})
	}
}

func selections(t *testing.T, exact int64) {
	r := newRig(t)
	all := r.kinds(t, "mixed", 3, 200)
	s := r.service(t, func(o *replay.Options) { o.Batch, o.Exact = 64<<10, exact }, nil, nil)
	work(t, s)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) (some []string) {
		for _, one := range list {
			if dice.IntN(2) == 0 {
				some = append(some, one)
			}
		}
		return some
	}
	tried := 0
	for n := 0; tried < 12; n++ {
		q := answer.ReplayRequest{Topics: []string{"mixed"}, TargetPrefix: fmt.Sprintf("n%d.", n)}
		for _, part := range dice.Perm(9)[:1+dice.IntN(3)] {
			switch part {
			case 0:
				q.Partitions = []int32{2, int32(dice.IntN(3))}
			case 1:
				from := dice.Int64N(150)
				q.Offsets = append(q.Offsets, answer.ReplayOffsets{Topic: "mixed", Partition: 2, From: from, To: from + 40}, answer.ReplayOffsets{Topic: "mixed", Partition: 2, From: from + 20, To: from + 60})
			case 2:
				q.Keys = [][]byte{[]byte("k3"), fmt.Append(nil, "k", dice.IntN(7)), []byte("k3")}
			case 3:
				q.EventTypes = pick("", "Placed", "Filled")
			case 4:
				q.EventVersions = pick("1", "2")
			case 5:
				q.Services = pick("desk", "book", "risk")
			case 6:
				q.Stages = pick("unknown", "ingestion", "transformation")
			case 7:
				q.From = start.Add(time.Duration(dice.IntN(100)) * time.Second)
			case 8: // of one segment the beginning and the end, and nothing between
				q.Offsets = append(q.Offsets, answer.ReplayOffsets{Topic: "mixed", Partition: 2, From: 60, To: 70 + dice.Int64N(20)}, answer.ReplayOffsets{Topic: "mixed", Partition: 2, From: 95, To: 120})
			}
		}
		want, total := all.oracle(&q), 0
		for _, list := range want {
			total += len(list)
		}
		plan, err := s.Plan(t.Context(), everybody, q)
		if total == 0 {
			if schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "nothing to replay") {
				t.Errorf("%+v selects nothing: %v", q, err)
			}
			continue
		}
		must(t, err)
		tried++
		if plan.Records != int64(total) {
			t.Fatalf("%+v: planned %d records, want %d", q, plan.Records, total)
		}
		shuffled := q
		shuffled.Keys, shuffled.EventTypes, shuffled.Offsets = slices.Clone(q.Keys), slices.Clone(q.EventTypes), slices.Clone(q.Offsets)
		slices.Reverse(shuffled.Keys)
		slices.Reverse(shuffled.EventTypes)
		slices.Reverse(shuffled.Offsets)
		if again, err := s.Plan(t.Context(), everybody, shuffled); err != nil || again.ID != plan.ID {
			t.Fatalf("%+v planned anew is another plan: %v", q, err)
		}
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches {
			t.Fatalf("%+v", job.Receipt)
		}
		for partition := range int32(3) {
			same(t, fmt.Sprintf("%+v of %d", q, partition), r.target(t, plan.Topics[0].Target, partition), want[partition])
		}
	}
}

// A trace may be narrowed by content, and a large selection by offsets: its
// counts are not the ledger's then.
func TestNarrowedSelections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	all := r.kinds(t, "mixed", 1, 120)
	var hops known
	for i := range all.records {
		if all.records[i].Status == schema.Committed {
			hops = append(hops, hopOf(&all.records[i]))
		}
	}
	s := r.service(t, func(o *replay.Options) { o.Exact = 1 }, nil, hops)
	work(t, s)
	for name, c := range map[string]struct{ asked, means answer.ReplayRequest }{
		"trace":   {answer.ReplayRequest{TraceID: "x", EventTypes: []string{"Filled"}}, answer.ReplayRequest{EventTypes: []string{"Filled"}}},
		"offsets": {answer.ReplayRequest{Topics: []string{"mixed"}, Offsets: []answer.ReplayOffsets{{Topic: "mixed", From: 10, To: 70}}}, answer.ReplayRequest{Offsets: []answer.ReplayOffsets{{Topic: "mixed", From: 10, To: 70}}}},
		"holes": {
			answer.ReplayRequest{Topics: []string{"mixed"}, Offsets: []answer.ReplayOffsets{{Topic: "mixed", To: 20}, {Topic: "mixed", From: 40, To: 120}}},
			answer.ReplayRequest{Offsets: []answer.ReplayOffsets{{Topic: "mixed", To: 20}, {Topic: "mixed", From: 40, To: 120}}},
		},
		"stages": {answer.ReplayRequest{Topics: []string{"mixed"}, Stages: []string{"enrich"}}, answer.ReplayRequest{Stages: []string{"enrichment"}}},
	} {
		c.asked.TargetPrefix = name + "."
		plan, err := s.Plan(t.Context(), everybody, c.asked)
		must(t, err)
		if says(plan.Warnings, "stages are those that producers declared") != (name == "stages") {
			t.Errorf("%s: %v", name, plan.Warnings)
		}
		want := all.oracle(&c.means)[0]
		if plan.Records != int64(len(want)) {
			t.Errorf("%s: planned %d, want %d", name, plan.Records, len(want))
		}
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		until(t, s, plan.ID, answer.JobDone)
		same(t, name, r.target(t, name+".mixed", 0), want)
	}
}

func TestSelectionsThatMeanNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	at := func(o ...answer.ReplayOffsets) answer.ReplayRequest {
		return answer.ReplayRequest{Topics: []string{"orders"}, Offsets: o}
	}
	for name, c := range map[string]struct {
		request answer.ReplayRequest
		says    string
	}{
		"unknown stage":        {answer.ReplayRequest{Topics: []string{"orders"}, Stages: []string{"ingest", "cooked"}}, "cooked"},
		"negative partition":   {answer.ReplayRequest{Topics: []string{"orders"}, Partitions: []int32{-1}}, "no partition"},
		"another topic":        {at(answer.ReplayOffsets{Topic: "rates", To: 9}), "not among the topics"},
		"empty range":          {at(answer.ReplayOffsets{Topic: "orders", From: 5, To: 5}), "no offset"},
		"partition left out":   {answer.ReplayRequest{Topics: []string{"orders"}, Partitions: []int32{1}, Offsets: []answer.ReplayOffsets{{Topic: "orders", To: 5}}}, "not among the partitions"},
		"too many":             {answer.ReplayRequest{Topics: []string{"orders"}, Services: make([]string, 201)}, "at most 200"},
		"trace and partitions": {answer.ReplayRequest{TraceID: "x", Partitions: []int32{1}}, "exclude each other"},
		"nothing there":        {answer.ReplayRequest{Topics: []string{"orders"}, Partitions: []int32{7}}, "partitions [7]"},
		"nobody's service":     {answer.ReplayRequest{Topics: []string{"orders"}, Services: []string{"nobody"}}, "services nobody"},
	} {
		if _, err := s.Plan(t.Context(), everybody, c.request); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
