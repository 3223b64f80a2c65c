package broker_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/broker"
	"github.com/fx-risk-ai/annals/test/verify"
)

// beside is the same archive with another cluster: the store, the ledger, the
// index and the names of topics are the rig's.
func (r *rig) beside(t *testing.T, c *broker.Cluster) *rig {
	t.Helper()
	other := *r
	other.cluster, other.client = c, c.Client(t)
	other.admin = kadm.NewClient(other.client)
	metadata, err := other.admin.BrokerMetadata(t.Context())
	must(t, err)
	if other.id = metadata.Cluster; other.id == r.id {
		t.Fatalf("both clusters have the ID %s", r.id)
	}
	return &other
}

// told writes n records that say where they were written.
func (r *rig) told(t *testing.T, s schema.Stream, from, n int) []*kgo.Record {
	t.Helper()
	var sent []*kgo.Record
	for i := range n {
		sent = append(sent, &kgo.Record{
			Topic: s.Topic, Partition: s.Partition, Key: fmt.Append(nil, "k", i%10),
			Value: fmt.Appendf(nil, `{"eventId":"%s-%d-%d","traceId":"%032x","cluster":%q}`, r.id, s.Partition, from+i, i/3+1, r.id),
		})
	}
	must(t, r.client.ProduceSync(t.Context(), sent...).FirstErr())
	return sent
}

// own fails the test for a row that another cluster's client wrote.
func (r *rig) own(t *testing.T, h *verify.Held) {
	t.Helper()
	mark := fmt.Sprintf(`"cluster":%q`, r.id)
	for _, row := range h.Rows {
		if !strings.Contains(string(row.Value), mark) {
			t.Fatalf("offset %d of cluster %s holds %s", row.Offset, r.id, row.Value)
		}
	}
	for _, c := range h.Commits {
		if c.Kind == schema.KindDivergence {
			t.Errorf("a divergence in cluster %s: %+v", r.id, c.Divergence)
		}
	}
}

// whole verifies the archive by its bucket, as annals verify --archive does.
func (r *rig) whole(t *testing.T, clusters int, chains, rows int64) {
	t.Helper()
	report, err := custody.VerifyArchive(t.Context(), r.store, r.book, custody.ArchiveOptions{})
	must(t, err)
	n := report.Records
	if report.Result != custody.OK || report.Clusters != clusters || report.Chains != chains || n.Committed+n.Aborted+n.Control != rows || report.Orphans > 0 || report.Foreign > 0 {
		t.Errorf("%s: %d clusters, %d chains, %+v; want %d, %d, %d rows: %+v %+v",
			report.Result, report.Clusters, report.Chains, n, clusters, chains, rows, report.Findings, report.Unknown)
	}
}

// found searches for all records of a topic, of the newest incarnation or of the
// one that is named, and returns how many say that they are of which cluster.
func found(t *testing.T, engine *query.Engine, topic string, id *schema.TopicID) map[schema.TopicID]int {
	t.Helper()
	page, err := engine.Search(t.Context(), policy.Everything(), answer.SearchRequest{Topics: []string{topic}, TopicID: id, Limit: 1000})
	must(t, err)
	n := map[schema.TopicID]int{}
	for _, hit := range page.Records {
		n[hit.TopicID]++
	}
	return n
}

// covered holds the coverage of a topic's name against what its streams hold:
// each incarnation has lines of its own, that name its cluster.
func covered(t *testing.T, engine *query.Engine, topic string, histories map[schema.Stream]*verify.Held) {
	t.Helper()
	coverage, err := engine.Coverage(t.Context(), policy.Everything(), topic)
	must(t, err)
	if len(coverage.Partitions) != len(histories) {
		t.Errorf("%d lines of %s, want %d", len(coverage.Partitions), topic, len(histories))
	}
	for _, p := range coverage.Partitions {
		h := histories[schema.Stream{Cluster: p.Cluster, Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition}]
		if h == nil {
			t.Errorf("a line of a stream that is not there: %+v", p)
			continue
		}
		if p.ArchivedFrom != h.Base || p.ArchivedTo != h.Next || p.Committed != int64(len(h.Rows)) || p.Unaccounted != 0 || p.Branch != 0 {
			t.Errorf("cluster %s partition %d: %d–%d, branch %d, %+v; archived are %d–%d, %d rows", p.Cluster, p.Partition, p.ArchivedFrom, p.ArchivedTo, p.Branch, p.Account, h.Base, h.Next, len(h.Rows))
		}
	}
}

// TestTwoClusters: topics of the same names in two clusters, archived at once by
// two archivers into one bucket and one index.
func TestTwoClusters(t *testing.T) {
	t.Parallel()
	one := newRig(t, single.of(t))
	two := one.beside(t, broker.Start(t, broker.Options{}))
	histories := map[schema.Stream]*verify.Held{}
	streams := map[*rig]schema.Stream{}
	archivers := map[*rig]*archiver.Archiver{}
	for i, r := range []*rig{one, two} {
		streams[r] = r.topic(t, "orders", 2, nil)
		// The group has one name in both: it is each cluster's own.
		archivers[r], _ = r.archive(t, func(o *archiver.Options) { o.Writer = fmt.Sprint("writer-", i) })
	}
	for round := range 3 { // by turns, so that both seal the same offsets meanwhile
		for i, r := range []*rig{one, two} {
			for partition := range int32(2) {
				r.told(t, at(streams[r], partition), 30*round, 20+10*i)
			}
		}
		for _, a := range archivers {
			must(t, a.CatchUp(t.Context()))
			_, err := a.Seal(t.Context(), true)
			must(t, err)
		}
	}
	rows := int64(0)
	for r, a := range archivers {
		for partition := range int32(2) {
			s := at(streams[r], partition)
			h := r.archived(t, a, s)
			r.own(t, h)
			histories[s] = h
			rows += int64(len(h.Rows))
		}
		well(t, a)
	}
	if rows != 2*3*20+2*3*30 {
		t.Errorf("%d rows", rows)
	}
	one.indexed(t, slices.Collect(maps.Values(histories))...)
	one.whole(t, 2, 4, rows)

	engine, err := query.New(query.Options{Index: one.index, Store: one.store, Ledger: one.book, Extract: one.rules})
	must(t, err)
	name := streams[one].Topic
	covered(t, engine, name, histories)
	for r, want := range map[*rig]int{one: 120, two: 180} {
		id := streams[r].TopicID
		if got := found(t, engine, name, &id); len(got) != 1 || got[id] != want {
			t.Errorf("search finds %v of %s, want %d", got, id, want)
		}
	}
	newest := streams[two].TopicID // its archive began last
	if got := found(t, engine, name, nil); len(got) != 1 || got[newest] != 180 {
		t.Errorf("the name alone finds %v, want 180 of %s", got, newest)
	}
	// An id that records of both have is found in both.
	page, err := engine.Search(t.Context(), policy.Everything(), answer.SearchRequest{ID: fmt.Sprintf("%032x", 1), Limit: 1000})
	must(t, err)
	of := map[schema.TopicID]bool{}
	for _, hit := range page.Records {
		of[hit.TopicID] = true
	}
	if !of[streams[one].TopicID] || !of[streams[two].TopicID] {
		t.Errorf("a trace is found in %v", of)
	}
}

// TestReplacedCluster: a new cluster at the same address, with topics of the same
// names and more records than the old one had, while an archiver runs and while
// none does. What runs says that it is to be started again, and puts nothing of
// the new cluster behind the old one's records; the next one archives the new
// cluster from its beginning, and the old one's history stays.
func TestReplacedCluster(t *testing.T) {
	t.Parallel()
	cluster := broker.Start(t, broker.Options{})
	r := newRig(t, cluster)
	old := r.topic(t, "orders", 1, nil)
	gone := r.topic(t, "only-before", 1, nil)
	a, stop := r.archive(t, nil)
	r.told(t, old, 0, 40)
	r.told(t, gone, 0, 10)
	before := map[schema.Stream]*verify.Held{old: r.archived(t, a, old), gone: r.archived(t, a, gone)}
	well(t, a)

	cluster.Replace(t)
	second := r.beside(t, cluster)
	now := second.topic(t, "orders", 1, nil)
	second.told(t, now, 0, 70)
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		for _, said := range a.Health() {
			if strings.Contains(said, second.id) && strings.Contains(said, "restart") {
				return nil
			}
		}
		return fmt.Errorf("it does not say that the cluster is another: %v", a.Health())
	})
	time.Sleep(3 * time.Second) // it has rejoined its group by now, and would have read
	bounded, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	_, _ = a.Seal(bounded, true) // what it cannot do it says; what it does is looked at below
	cancel()
	for s, h := range before {
		is := r.history(t, s)
		r.own(t, is)
		if is.Next != h.Next || len(is.Rows) != len(h.Rows) || len(is.Gaps) > 0 {
			t.Errorf("%s goes to %d with %d rows and gaps %+v, and was archived to %d with %d", s, is.Next, len(is.Rows), is.Gaps, h.Next, len(h.Rows))
		}
	}
	stop()

	a, _ = second.archive(t, nil)
	second.told(t, now, 70, 30)
	h := second.archived(t, a, now)
	second.own(t, h)
	if h.Base != 0 || len(h.Rows) != 100 || len(h.Gaps) > 0 {
		t.Errorf("the new cluster is archived from %d, %d rows, gaps %+v", h.Base, len(h.Rows), h.Gaps)
	}
	well(t, a)
	for s, was := range before {
		if is := r.history(t, s); is.Next != was.Next || len(is.Rows) != len(was.Rows) {
			t.Errorf("%s has %d rows, had %d", s, len(is.Rows), len(was.Rows))
		}
	}
	second.indexed(t, before[old], before[gone], h)
	second.whole(t, 2, 3, 150)

	admin, err := kafka.NewAdmin(second.kafka())
	must(t, err)
	defer admin.Close()
	engine, err := query.New(query.Options{
		Index: r.index, Store: r.store, Ledger: r.book, Extract: r.rules, Broker: admin, Archiver: a.Topics,
	})
	must(t, err)
	covered(t, engine, old.Topic, map[schema.Stream]*verify.Held{old: before[old], now: h})
	covered(t, engine, gone.Topic, map[schema.Stream]*verify.Held{gone: before[gone]})
	if got := found(t, engine, old.Topic, nil); len(got) != 1 || got[now.TopicID] != 100 {
		t.Errorf("the name alone finds %v", got)
	}
	if got := found(t, engine, old.Topic, &old.TopicID); len(got) != 1 || got[old.TopicID] != 40 {
		t.Errorf("of the old cluster it finds %v", got)
	}
	if got := found(t, engine, gone.Topic, nil); got[gone.TopicID] != 10 {
		t.Errorf("of what only the old cluster had it finds %v", got)
	}
	if slices.ContainsFunc(a.Topics().Topics, func(s answer.TopicState) bool { return s.Topic == gone.Topic }) {
		t.Error("a topic of the old cluster is listed")
	}
}
