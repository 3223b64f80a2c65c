package replay_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// translated is a topic that is in Kafka and archived, of which some offsets were
// replayed.
type translated struct {
	*rig
	service *replay.Service
	id      string
	target  string
	stream  schema.Stream
	records []schema.Record
	copies  map[int64]int64 // from source to target
	groups  *kadm.Client
}

func newTranslated(t *testing.T) *translated {
	t.Helper()
	r := &translated{rig: newRig(t), copies: map[int64]int64{}}
	id, err := r.cluster.CreateReplicated(t.Context(), "orders", 1, 1, nil)
	must(t, err)
	live, err := r.cluster.Cluster(t.Context())
	must(t, err)
	r.stream = schema.Stream{Cluster: live.ID, Topic: "orders", TopicID: id}
	for i := range 150 {
		r.records = append(r.records, awkward(r.stream, i))
	}
	r.put(t, r.stream, r.records)
	r.service = r.rig.service(t, nil, nil, nil)
	plan, err := r.service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, ProvenanceHeaders: true, Offsets: []answer.ReplayOffsets{
		{Topic: "orders", From: 20, To: 60}, {Topic: "orders", From: 80, To: 120},
	}})
	must(t, err)
	work(t, r.service)
	_, err = r.service.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, r.service, plan.ID, answer.JobDone)
	r.id, r.target = plan.ID, plan.Topics[0].Target
	for _, record := range r.rig.target(t, r.target, 0) {
		source, err := strconv.ParseInt(header(&record, "annals-source-offset"), 10, 64)
		must(t, err)
		r.copies[source] = record.Offset
	}
	r.groups = kadm.NewClient(embeddedtest.KafkaClient(t, r.broker))
	return r
}

func (r *translated) commit(t *testing.T, group string, at int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset("orders", 0, at, -1)
	must(t, r.groups.CommitAllOffsets(t.Context(), group, offsets))
}

// naive says where a group that reads on from an offset stands, by looking at all
// records.
func (r *translated) naive(at int64) (status string, target int64) {
	var first, last, next int64 = -1, -1, -1
	for _, record := range r.records {
		if _, ok := r.copies[record.Offset]; !ok {
			continue
		}
		if first < 0 {
			first = record.Offset
		}
		if last = record.Offset; next < 0 && record.Offset >= at {
			next = record.Offset
		}
	}
	between := func(from, to int64) bool {
		return slices.ContainsFunc(r.records, func(record schema.Record) bool {
			return record.Status == schema.Committed && from <= record.Offset && record.Offset < to
		})
	}
	switch {
	case next < 0 && at > int64(len(r.records)):
		return answer.OffsetBeyond, r.copies[last] + 1
	case next < 0 && between(last+1, at):
		return answer.OffsetBeyond, r.copies[last] + 1
	case next < 0:
		return answer.OffsetEnd, r.copies[last] + 1
	case next == at:
		return answer.OffsetExact, r.copies[next]
	case !between(at, next):
		return answer.OffsetNext, r.copies[next]
	case at < first:
		return answer.OffsetBefore, r.copies[next]
	}
	return answer.OffsetGap, r.copies[next]
}

// TestGroupOffsetsOfOtherPartitions: a place is translated where a partition went to one
// other alone, and refused where it did not.
func TestGroupOffsetsOfOtherPartitions(t *testing.T) {
	r := newTranslated(t)
	r.commit(t, "billing", 20)
	for name, c := range map[string]struct {
		request answer.ReplayRequest
		refused bool
	}{
		"more partitions": {answer.ReplayRequest{TargetPartitions: 3}, false},
		"by key":          {answer.ReplayRequest{Partitioning: answer.PartitionByKey, TargetPartitions: 3}, true},
	} {
		c.request.Topics = []string{"orders"}
		plan, err := r.service.Plan(t.Context(), everybody, c.request)
		must(t, err)
		_, err = r.service.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		until(t, r.service, plan.ID, answer.JobDone)
		got, err := r.service.GroupOffsets(t.Context(), everybody, plan.ID, answer.GroupOffsetsRequest{Group: "billing"})
		switch {
		case c.refused && (schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "of one partition into several")):
			t.Errorf("%s: %+v, %v", name, got, err)
		case !c.refused && (err != nil || len(got.Partitions) != 1 || got.Partitions[0].TargetOffset == nil):
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestGroupOffsets asks for every offset that a group can have committed, and holds the
// answer against a look at all records.
func TestGroupOffsets(t *testing.T) {
	r := newTranslated(t)
	seen := map[string]int{}
	for at := range int64(151) {
		r.commit(t, "billing", at)
		got, err := r.service.GroupOffsets(t.Context(), everybody, r.id[:8], answer.GroupOffsetsRequest{Group: "billing"})
		must(t, err)
		line := got.Partitions[0]
		status, target := r.naive(at)
		if seen[status]++; len(got.Partitions) != 1 || line.Status != status || line.TargetOffset == nil || *line.TargetOffset != target || *line.Committed != at ||
			line.IsExact() != (line.Note == "") {
			t.Fatalf("at %d: %+v, want %s at %d", at, line, status, target)
		}
	}
	for _, status := range []string{answer.OffsetExact, answer.OffsetNext, answer.OffsetEnd, answer.OffsetBefore, answer.OffsetGap, answer.OffsetBeyond} {
		if seen[status] == 0 {
			t.Errorf("no offset is %s: %v", status, seen)
		}
	}
	r.commit(t, "billing", 151) // behind what is archived
	got, err := r.service.GroupOffsets(t.Context(), everybody, r.id, answer.GroupOffsetsRequest{Group: "billing"})
	if err != nil || got.Partitions[0].Status != answer.OffsetBeyond {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = r.service.GroupOffsets(t.Context(), everybody, r.id, answer.GroupOffsetsRequest{Group: "nobody"})
	if err != nil || got.Partitions[0].Status != answer.OffsetUncommitted || got.State != "Dead" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestGroupOffsetsAreCommitted: a consumer of the group reads on in the target with the
// first copy of what it has not read. While it has members, nothing is committed.
func TestGroupOffsetsAreCommitted(t *testing.T) {
	r := newTranslated(t)
	ask := func(change func(*answer.GroupOffsetsRequest)) (*answer.GroupOffsets, error) {
		request := answer.GroupOffsetsRequest{Group: "billing", Apply: true}
		if change != nil {
			change(&request)
		}
		return r.service.GroupOffsets(t.Context(), everybody, r.id, request)
	}
	r.commit(t, "billing", 36) // an aborted record stands at 37, a marker at 38
	if _, err := ask(func(q *answer.GroupOffsetsRequest) { q.Apply = false }); err != nil {
		t.Fatal(err)
	}
	if got := r.committed(t, "billing"); got != -1 {
		t.Errorf("a dry run has committed %d", got)
	}
	got, err := ask(nil)
	if err != nil || got.Applied != 1 || r.committed(t, "billing") != r.copies[36] {
		t.Fatalf("%+v, %v; committed %d", got, err, r.committed(t, "billing"))
	}
	consumer := embeddedtest.KafkaClient(t, r.broker, kgo.ConsumerGroup("billing"), kgo.ConsumeTopics(r.target), kgo.DisableAutoCommit(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	first := consumer.PollFetches(ctx).Records()
	if len(first) == 0 || first[0].Offset != r.copies[36] {
		t.Errorf("reads on with %+v, want %d", first, r.copies[36])
	}
	r.commit(t, "other", 99)
	if _, err := ask(func(q *answer.GroupOffsetsRequest) { q.Group, q.Into = "other", "billing" }); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "active") {
		t.Errorf("while it has a member: %v", err)
	}
	consumer.Close()
	for range 100 {
		if got, err = ask(func(q *answer.GroupOffsetsRequest) { q.Group, q.Into = "other", "billing" }); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil || r.committed(t, "billing") != r.copies[99] {
		t.Errorf("%+v, %v", got, err)
	}
	// What has no exact place is not committed, unless the nearest one will do.
	r.commit(t, "gap", 60)
	gap := func(q *answer.GroupOffsetsRequest) { q.Group, q.Into = "gap", "" }
	if _, err := ask(gap); schema.KindOf(err) != schema.Conflict || r.committed(t, "gap") != -1 {
		t.Errorf("%v, committed %d", err, r.committed(t, "gap"))
	}
	got, err = ask(func(q *answer.GroupOffsetsRequest) { gap(q); q.Nearest = true })
	if want, _ := r.naive(60); err != nil || want != answer.OffsetGap || got.Applied != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for kind, change := range map[schema.Kind]func(*answer.GroupOffsetsRequest){
		schema.Invalid:  func(q *answer.GroupOffsetsRequest) { q.Group = "nobody" },
		schema.NotFound: func(q *answer.GroupOffsetsRequest) { q.AsOf = start },
	} {
		if _, err := ask(change); schema.KindOf(err) != kind {
			t.Errorf("%v, want %v", err, kind)
		}
	}
	some, err := policy.Topics("rates")
	must(t, err)
	if _, err := r.service.GroupOffsets(t.Context(), policy.Principal{Name: "stranger", Topics: some}, r.id, answer.GroupOffsetsRequest{Group: "billing"}); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a stranger: %v", err)
	}
}

// committed is what a group has committed in the target; -1: nothing.
func (r *translated) committed(t *testing.T, group string) int64 {
	t.Helper()
	found, err := r.groups.FetchOffsets(t.Context(), group)
	must(t, err)
	if o, ok := found.Lookup(r.target, 0); ok {
		return o.At
	}
	return -1
}

// TestGroupOffsetsAsOf takes what was archived of the group, of the topic that was
// replayed and not of another one of its name.
func TestGroupOffsetsAsOf(t *testing.T) {
	r := newTranslated(t)
	other := schema.TopicID{7}
	at := time.Date(2024, 6, 1, 0, 0, 1, 0, time.UTC)
	for i, id := range []*schema.TopicID{&r.stream.TopicID, &other, nil} {
		c := schema.ConsumerOffsets{Format: schema.ConsumerOffsetsFormat, Cluster: r.stream.Cluster, Taken: at.Add(time.Duration(i) * time.Hour).UnixMilli(), Groups: []schema.GroupOffsets{
			{Group: "billing", Topics: []schema.TopicCommit{{Topic: "orders", TopicID: id, Offsets: [][2]int64{{0, 41}}}}},
		}}
		raw, err := c.Encode()
		must(t, err)
		_, err = r.store.PutIfAbsent(t.Context(), schema.SnapshotKey(c.Cluster, schema.SnapshotOffsets, c.Taken), raw)
		must(t, err)
	}
	ask := func(after time.Duration) *answer.GroupOffsets {
		t.Helper()
		got, err := r.service.GroupOffsets(t.Context(), everybody, r.id, answer.GroupOffsetsRequest{Group: "billing", AsOf: at.Add(after)})
		must(t, err)
		return got
	}
	if got := ask(59 * time.Minute); !got.Taken.Equal(at) || got.Partitions[0].Status != answer.OffsetExact || *got.Partitions[0].TargetOffset != r.copies[41] {
		t.Errorf("%+v", got)
	}
	for _, later := range []time.Duration{time.Hour, 3 * time.Hour} {
		if got := ask(later); got.Partitions[0].Status != answer.OffsetUncommitted || !strings.Contains(strings.Join(got.Notes, " "), "another topic of that name") {
			t.Errorf("after %s: %+v", later, got)
		}
	}
}
