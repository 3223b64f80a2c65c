package snapshot_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/snapshot"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m) }

type rig struct {
	admin   *kafka.Admin
	client  *kadm.Client
	store   *objstore.Store
	cluster string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	broker := embeddedtest.MemoryKafka(t)
	admin, err := kafka.NewAdmin(embeddedtest.KafkaOptions(broker))
	must(t, err)
	t.Cleanup(admin.Close)
	r := &rig{admin: admin, client: kadm.NewClient(embeddedtest.KafkaClient(t, broker)), store: objstoretest.Embedded(t)}
	_, err = admin.CreateTopic(t.Context(), "orders", 2, nil)
	must(t, err)
	live, err := admin.Cluster(t.Context())
	must(t, err)
	r.cluster = live.ID
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) commit(t *testing.T, group string, partition int32, offset int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset("orders", partition, offset, -1)
	must(t, r.client.CommitAllOffsets(t.Context(), group, offsets))
}

func (r *rig) keys(t *testing.T, kind string) (keys []string) {
	t.Helper()
	for o, err := range r.store.List(t.Context(), schema.SnapshotsPrefix+r.cluster+"/"+kind+"/", "") {
		must(t, err)
		keys = append(keys, o.Key)
	}
	return keys
}

// What groups have committed is archived when it changes, and found by time.
func TestConsumerOffsets(t *testing.T) {
	r := newRig(t)
	recorder := snapshot.NewRecorder(r.admin, r.store, time.Millisecond, nil, nil)
	before := time.Now().Add(-time.Second)
	r.commit(t, "billing", 0, 10)
	r.commit(t, "audit", 1, 3)
	must(t, recorder.Take(t.Context()))
	first := time.Now()
	must(t, recorder.Take(t.Context())) // nothing has changed
	if keys := r.keys(t, schema.SnapshotOffsets); len(keys) != 1 {
		t.Errorf("unchanged, there are %v", keys)
	}
	time.Sleep(5 * time.Millisecond)
	r.commit(t, "billing", 0, 20)
	r.commit(t, "billing", 1, 7)
	must(t, recorder.Take(t.Context()))
	if keys := r.keys(t, schema.SnapshotOffsets); len(keys) != 2 {
		t.Errorf("after a change there are %v", keys)
	}
	want := func(at time.Time, billing [][2]int64) {
		t.Helper()
		c, err := snapshot.AsOf(t.Context(), r.store, r.cluster, at)
		if err != nil || len(c.Groups) != 2 || c.Groups[0].Group != "audit" || c.Hidden+c.LeftOut != 0 {
			t.Fatalf("%+v, %v", c, err)
		}
		topic := c.Groups[1].Topics[0]
		if topic.Topic != "orders" || topic.TopicID == nil || !reflect.DeepEqual(topic.Offsets, billing) || time.UnixMilli(c.Taken).After(at) {
			t.Errorf("as of %s: %+v", at, topic)
		}
	}
	want(first, [][2]int64{{0, 10}})
	want(time.Now(), [][2]int64{{0, 20}, {1, 7}})
	want(time.Now().AddDate(0, 0, 30), [][2]int64{{0, 20}, {1, 7}})
	for _, at := range []time.Time{before, time.Now().AddDate(0, 0, 40)} {
		if _, err := snapshot.AsOf(t.Context(), r.store, r.cluster, at); schema.KindOf(err) != schema.NotFound {
			t.Errorf("as of %s: %v", at, err)
		}
	}
	// One that is changed in the bucket is not taken for what was archived.
	key := r.keys(t, schema.SnapshotOffsets)[1]
	raw, _, err := r.store.Get(t.Context(), key, schema.MaxSnapshotBytes)
	must(t, err)
	_, err = r.store.Put(t.Context(), key, []byte(strings.Replace(string(raw), `"taken":"1`, `"taken":"2`, 1)))
	must(t, err)
	if _, err := snapshot.AsOf(t.Context(), r.store, r.cluster, time.Now()); schema.KindOf(err) != schema.Corrupt {
		t.Error(err)
	}
}

// Two recorders of one cluster take one snapshot an interval.
func TestTwoRecorders(t *testing.T) {
	r := newRig(t)
	r.commit(t, "billing", 0, 10)
	for range 2 {
		must(t, snapshot.NewRecorder(r.admin, r.store, time.Hour, nil, nil).Take(t.Context()))
		r.commit(t, "billing", 0, 11)
	}
	if keys := r.keys(t, schema.SnapshotOffsets); len(keys) != 1 {
		t.Errorf("%v", keys)
	}
}

// many says that there are groups which it has left out.
type many struct{ snapshot.Broker }

func (m many) AllCommitted(ctx context.Context, _ int) (map[string]kafka.Committed, int, int, error) {
	return m.Broker.AllCommitted(ctx, 1)
}

func TestGroupsBeyondTheBound(t *testing.T) {
	r := newRig(t)
	r.commit(t, "billing", 0, 10)
	r.commit(t, "audit", 0, 10)
	registry := prometheus.NewRegistry()
	recorder := snapshot.NewRecorder(many{r.admin}, r.store, time.Hour, snapshot.NewMetrics(registry), nil)
	must(t, recorder.Take(t.Context()))
	must(t, recorder.Take(t.Context()))
	c, err := snapshot.AsOf(t.Context(), r.store, r.cluster, time.Now())
	if err != nil || len(c.Groups) != 1 || c.Groups[0].Group != "audit" || c.LeftOut != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	r.admin.Close()
	if recorder.Take(t.Context()) == nil {
		t.Error("a look at a cluster that is not reached is one")
	}
	const want = `# HELP annals_snapshots_failed_total Looks at consumer groups and access rules that failed, and may have left something unarchived.
# TYPE annals_snapshots_failed_total counter
annals_snapshots_failed_total 1
# HELP annals_snapshots_missing_groups Consumer groups that are not in the last look: they may not be described, or there are too many.
# TYPE annals_snapshots_missing_groups gauge
annals_snapshots_missing_groups 1
# HELP annals_snapshots_written_total Snapshots written, by what they are of; what has not changed is written once an hour.
# TYPE annals_snapshots_written_total counter
annals_snapshots_written_total{of="consumer-offsets"} 1
annals_snapshots_written_total{of="topic-acls"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "annals_snapshots_failed_total", "annals_snapshots_missing_groups", "annals_snapshots_written_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// Access rules of topics are archived when they change.
func TestTopicACLs(t *testing.T) {
	r := newRig(t)
	recorder := snapshot.NewRecorder(r.admin, r.store, time.Millisecond, nil, nil)
	read := func() *schema.TopicACLs {
		t.Helper()
		time.Sleep(5 * time.Millisecond)
		must(t, recorder.Take(t.Context()))
		keys := r.keys(t, schema.SnapshotACLs)
		raw, _, err := r.store.Get(t.Context(), keys[len(keys)-1], schema.MaxSnapshotBytes)
		must(t, err)
		a, err := schema.ParseTopicACLs(raw)
		must(t, err)
		return a
	}
	before := read()
	_, err := r.client.CreateACLs(t.Context(), kadm.NewACLs().Topics("orders").Allow("User:billing").AllowHosts("*").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral))
	must(t, err)
	after := read()
	want := schema.TopicACL{Resource: "orders", Pattern: "LITERAL", Principal: "User:billing", Host: "*", Operation: "READ", Permission: "ALLOW"}
	if len(after.ACLs) != len(before.ACLs)+1 || after.Error != "" || !reflect.DeepEqual(append(before.ACLs, want), after.ACLs) {
		t.Errorf("%+v, then %+v", before, after)
	}
	read()
	if keys := r.keys(t, schema.SnapshotACLs); len(keys) != 2 {
		t.Errorf("%v", keys)
	}
}
