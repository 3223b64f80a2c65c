package replay_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// sized archives records of which some are large: offsets 3, 4 and 17.
func (r *rig) sized(t *testing.T, topic string) []schema.Record {
	t.Helper()
	stream := schema.Stream{Cluster: "source", Topic: topic, TopicID: schema.TopicID{3, topic[0]}}
	var records []schema.Record
	for i := range 20 {
		record := awkward(stream, 0)
		record.Offset, record.Value = int64(i), []byte("small")
		if i == 3 || i == 4 || i == 17 {
			record.Value = make([]byte, 4000+i)
		}
		records = append(records, record)
	}
	replaytest.Archive(t, r.store, stream, records, 10)
	return records
}

func into(target, oversized string) answer.ReplayRequest {
	return answer.ReplayRequest{Topics: []string{"sized"}, TargetTopics: map[string]string{"sized": target}, AllowExisting: true, Oversized: oversized}
}

// Records that the target does not take are counted and named before anything
// is sent, and then what was chosen becomes of them.
func TestOversizedRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	records := r.sized(t, "sized")
	for _, target := range []string{"narrow", "skipped", "raised"} {
		_, err := r.cluster.CreateTopic(t.Context(), target, 1, map[string]string{"max.message.bytes": "2000"})
		must(t, err)
	}
	s := r.service(t, nil, nil, nil)
	work(t, s)
	_, err := s.Plan(t.Context(), everybody, into("narrow", ""))
	if schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "3 records of sized are larger than the 2000 bytes that narrow takes: partition 0 offset 3 (") || !strings.Contains(err.Error(), "offset 17 (") {
		t.Errorf("fail: %v", err)
	}
	for name, c := range map[string]struct{ target, action string }{"skip": {"skipped", answer.OversizedSkip}, "raise": {"raised", answer.OversizedRaise}} {
		plan, err := s.Plan(t.Context(), everybody, into(c.target, c.action))
		must(t, err)
		want := records
		if c.action == answer.OversizedSkip {
			want = append(append(append([]schema.Record{}, records[:3]...), records[5:17]...), records[18:]...)
		}
		if len(plan.Oversized) != 1 || plan.Oversized[0].Records != 3 || plan.Oversized[0].Limit != 2000 || plan.Oversized[0].Action != c.action ||
			len(plan.Oversized[0].First) != 3 || plan.Oversized[0].First[2].Offset != 17 || plan.Records != int64(len(want)) {
			t.Fatalf("%s: planned %d records, oversized %+v", name, plan.Records, plan.Oversized)
		}
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches {
			t.Errorf("%s: %+v", name, job.Receipt)
		}
		same(t, name, r.target(t, c.target, 0), want)
	}
	if again, err := s.Plan(t.Context(), everybody, into("skipped", answer.OversizedSkip)); err != nil || len(again.Oversized) != 1 {
		t.Errorf("planned again: %+v, %v", again, err)
	}
	if _, err := s.Plan(t.Context(), everybody, into("skipped", "drop")); schema.KindOf(err) != schema.Invalid {
		t.Errorf("an unknown choice: %v", err)
	}
}

// A plan that was too large to read is read before the first record is
// produced, not found wanting in the midst.
func TestOversizedRecordsOfLargeSelections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	records := r.sized(t, "sized")
	for _, target := range []string{"narrow", "raised"} {
		_, err := r.cluster.CreateTopic(t.Context(), target, 1, map[string]string{"max.message.bytes": "2000"})
		must(t, err)
	}
	s := r.service(t, func(o *replay.Options) { o.Exact = 1 }, nil, nil)
	work(t, s)
	if _, err := s.Plan(t.Context(), everybody, into("narrow", answer.OversizedSkip)); schema.KindOf(err) != schema.Exhausted {
		t.Errorf("skip what is not known: %v", err)
	}
	plan, err := s.Plan(t.Context(), everybody, into("narrow", ""))
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	if job := fails(t, s, plan.ID); !strings.Contains(job.Error, "3 records of sized are larger than the 2000 bytes that narrow takes: partition 0 offset 3 (") || job.Produced != 0 {
		t.Errorf("failed so: %q", job.Error)
	}
	if n := len(r.target(t, "narrow", 0)); n != 0 {
		t.Errorf("%d records were produced", n)
	}
	for target, request := range map[string]answer.ReplayRequest{
		"raised": into("raised", answer.OversizedRaise), "x.sized": {Topics: []string{"sized"}, TargetPrefix: "x."},
	} {
		plan, err := s.Plan(t.Context(), everybody, request)
		must(t, err)
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		until(t, s, plan.ID, answer.JobDone)
		same(t, target, r.target(t, target, 0), records)
	}
}

func TestFewerPartitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 3, 20, 100)
	_, err := r.cluster.CreateTopic(t.Context(), "two", 2, nil)
	must(t, err)
	s := r.service(t, nil, nil, nil)
	_, err = s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetTopics: map[string]string{"orders": "two"}, AllowExisting: true})
	if schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "two has 2 partitions, the replay writes to 3") {
		t.Errorf("%v", err)
	}
}

// What the server may not do with a target is said when the replay is planned,
// as far as a broker says it then, else before anything is produced.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	grant := func(kind kmsg.ACLResourceType, name string, pattern kmsg.ACLResourcePatternType, operations ...kmsg.ACLOperation) []kfake.ACL {
		var list []kfake.ACL
		for _, operation := range operations {
			list = append(list, kfake.ACL{Resource: kind, Name: name, Pattern: pattern, Operation: operation, Allow: true})
		}
		return list
	}
	literal, prefixed := kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLResourcePatternTypePrefixed
	read, write, create, describe, configs := kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationCreate, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs
	topic := kmsg.ACLResourceTypeTopic
	rights := grant(topic, "readable", literal, read, describe, configs)
	rights = append(rights, grant(topic, "writable", literal, write, describe, configs)...)
	rights = append(rights, grant(topic, "made.", prefixed, create, describe, read, configs)...)
	rights = append(rights, grant(topic, "whole.", prefixed, create, write, read, describe, configs)...)
	rights = append(rights, grant(topic, "elsewhere.", prefixed, describe)...)
	rights = append(rights, grant(topic, positions, literal, create, write, read, describe, configs)...)
	rights = append(rights, grant(kmsg.ACLResourceTypeTransactionalId, "annals-replay-", prefixed, write, describe)...)
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "readable", "writable"),
		kfake.User("SCRAM-SHA-256", "server", "secret", rights...))
	must(t, err)
	t.Cleanup(broker.Close)
	cluster, err := replay.Connect(kafka.Options{
		Brokers: broker.ListenAddrs(), MetadataMaxAge: time.Second, SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: "server", Password: "secret"},
	})
	must(t, err)
	t.Cleanup(cluster.Close)
	s := r.service(t, nil, cluster, nil)
	work(t, s)
	existing := func(target string) answer.ReplayRequest {
		return answer.ReplayRequest{Topics: []string{"orders"}, TargetTopics: map[string]string{"orders": target}, AllowExisting: true}
	}
	for name, c := range map[string]struct {
		request answer.ReplayRequest
		says    string
	}{
		"write":    {existing("readable"), "readable: the server lacks Write"},
		"read":     {existing("writable"), "writable: the server lacks Read"},
		"describe": {answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "unseen."}, "unseen.orders: the server lacks Describe"},
		"create":   {answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "elsewhere."}, "create topic elsewhere.orders"},
	} {
		if _, err := s.Plan(t.Context(), everybody, c.request); schema.KindOf(err) != schema.Permission || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "made."})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	if job := fails(t, s, plan.ID); !strings.Contains(job.Error, "made.orders: the server lacks Write") || job.Produced != 0 {
		t.Errorf("failed so: %q", job.Error)
	}
	plan, err = s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "whole."})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
}

// What was purged, or is gone, since it was planned ends the job before its
// first record, and is named.
func TestPlannedSegmentsThatAreGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose func(t *testing.T, r *rig, s schema.Stream, file string, ref schema.SegmentRef)
		says string
	}{
		"purged": {func(t *testing.T, r *rig, s schema.Stream, _ string, ref schema.SegmentRef) {
			replaytest.Purge(t, r.store, s, ref, 100, 200)
		}, "offsets 100 to 200, purged by commit 4"},
		"deleted": {func(t *testing.T, _ *rig, _ schema.Stream, file string, _ schema.SegmentRef) {
			must(t, os.Remove(file))
		}, "is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			stream := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{1, 6}}
			var records []schema.Record
			for i := range 300 {
				record := awkward(stream, i)
				record.Status = schema.Committed
				records = append(records, record)
			}
			refs := replaytest.Archive(t, r.store, stream, records, 100)
			s := r.service(t, nil, nil, nil)
			plan := planned(t, s, "orders")
			c.lose(t, r, stream, filepath.Join(r.folder, filepath.FromSlash(refs[1].Key)), refs[1])
			work(t, s)
			job := fails(t, s, plan.ID)
			if !strings.Contains(job.Error, "100 records of the plan, in 1 segments, are no longer archived") || !strings.Contains(job.Error, c.says) || job.Produced != 0 {
				t.Errorf("failed so: %q", job.Error)
			}
			live, err := r.cluster.Cluster(t.Context())
			must(t, err)
			for _, topic := range live.Topics {
				if topic.Name == plan.Topics[0].Target {
					t.Errorf("the target was made")
				}
			}
		})
	}
}

// A transaction that outlives the broker's patience is aborted there: the job
// reads where it stands and delivers it again.
func TestTransactionTimesOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 300, 100)
	var commits atomic.Int64
	s := r.service(t, func(o *replay.Options) { o.Transaction = 200 * time.Millisecond }, watched{Brokers: r.cluster, commit: func(context.Context) {
		if commits.Add(1) == 3 {
			time.Sleep(600 * time.Millisecond)
		}
	}}, nil)
	plan := planned(t, s, "orders")
	work(t, s)
	if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches || !job.Receipt.Exclusive {
		t.Errorf("%+v", job.Receipt)
	}
	r.isExact(t, plan, archived)
}

// The broker goes away with records of an open transaction, and comes back.
func TestBrokerIsLostInATransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 300, 100)
	options := embedded.KafkaOptions{Listen: "127.0.0.1:0", DataDir: t.TempDir(), User: "annals", Password: "secret"}
	broker, err := embedded.StartKafka(t.Context(), options)
	must(t, err)
	t.Cleanup(func() { must(t, broker.Close()) })
	options.Listen = broker.Addr()
	cluster, err := replay.Connect(embeddedtest.KafkaOptions(broker))
	must(t, err)
	t.Cleanup(cluster.Close)
	var commits atomic.Int64
	s := r.service(t, nil, watched{Brokers: cluster, commit: func(context.Context) {
		if n := commits.Add(1); n == 4 || n == 9 {
			must(t, broker.Close())
			again, err := embedded.StartKafka(context.Background(), options)
			must(t, err)
			broker = again
		}
	}}, nil)
	plan := planned(t, s, "orders")
	work(t, s)
	if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches || commits.Load() < 9 {
		t.Errorf("after %d commits: %+v", commits.Load(), job.Receipt)
	}
	for partition, records := range archived {
		same(t, fmt.Sprint(partition), readTarget(t, cluster, plan.Topics[0].Target, partition), committed(records, -1<<62, 1<<62))
	}
}

// A job that does not get on gives up, and goes on when it is run again.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 1, 100, 100)
	var away atomic.Bool
	away.Store(true)
	s := r.service(t, func(o *replay.Options) { o.Patience = 700 * time.Millisecond }, unreachable{r.cluster, &away}, nil)
	plan := planned(t, s, "orders")
	work(t, s)
	if job := fails(t, s, plan.ID); !strings.Contains(job.Error, "gave up after") || !strings.Contains(job.Error, "no broker") {
		t.Errorf("failed so: %q", job.Error)
	}
	away.Store(false)
	_, err := s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
}

// unreachable is a cluster without producers for a while.
type unreachable struct {
	replay.Brokers
	away *atomic.Bool
}

func (u unreachable) Producer(o kafka.ProducerOptions) (replay.Producer, error) {
	if u.away.Load() {
		return nil, schema.Errorf(schema.Unavailable, "no broker")
	}
	return u.Brokers.Producer(o)
}
