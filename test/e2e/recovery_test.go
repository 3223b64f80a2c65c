package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/verify"
	"github.com/fx-risk-ai/annals/web/api"
)

const (
	movedTopic  = "moved.orders"
	movedPrefix = "first"
	movedTrace  = "70ead70ead70ead70ead70ead70ead70"
)

// TestAnotherMachineTakesOverACopyOfTheBucket archives on one machine, copies
// the bucket, object by object, into another one on a machine that has nothing,
// and loses the first. The copy verifies, is searchable after a reindex, and is
// exported from; where it is damaged, that is named and the rest is served. The
// new machine's Kafka is another cluster and gets a topic of the same name: the
// two are told apart.
func TestAnotherMachineTakesOverACopyOfTheBucket(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	engines := newOwnEngines(t)
	engines.startS3(t)
	first := programs.Start(t, instance.Options{Env: append(engines.s3Env(), "ANNALS_S3_CREDENTIALS=static", "ANNALS_S3_PREFIX="+movedPrefix)})
	records := produceMoved(t, first, "first")
	first.Settled(t)
	produceMoved(t, first, "more") // a second segment of each partition
	first.Settled(t)
	first.Stop(t)
	from, err := objstore.Open(objstore.Options{
		Endpoint: engines.s3At, Region: "us-east-1", Bucket: "annals", Prefix: movedPrefix, PathStyle: true, AccessKey: "annals", SecretKey: secret,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(from.Close)
	original := verified(t, programs.Annals(t, "verify", "--archive", "--json", "--config", bucketConfig(t, engines.s3At)), 0)

	second := programs.Start(t, instance.Options{})
	if said := second.Annals(t, "verify", "--archive"); said.Code != 3 || !strings.Contains(string(said.Out), "no archive") {
		t.Errorf("an empty bucket: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	copyBucket(t, from, store(t, second))
	if said := second.Annals(t, "verify", "--index"); said.Code != 1 || !strings.Contains(string(said.Out), "the commit is not in the index") {
		t.Errorf("an index that has nothing of the copy: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	copied := verified(t, second.Annals(t, "verify", "--archive", "--json"), 0)
	if fmt.Sprint(copied) != fmt.Sprint(original) || copied.Chains != 2 || copied.Records.Committed != "400" || copied.SegmentsRead != copied.Segments || copied.Segments < 4 {
		t.Errorf("the copy verifies as %+v, the original as %+v", copied, original)
	}
	reindexed(t, second, 0, "reindexed 400 records of ")
	if said := second.Annals(t, "verify", "--index"); said.Code != 0 || !strings.Contains(string(said.Out), "the same 400 records: their symmetric difference is 0") {
		t.Errorf("the index after a reindex: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	moved(t, second, records)
	nothingToCollect(t, second)
	damagedCopy(t, second)
	sameNameInAnotherCluster(t, first, second, records)
	fullyVerified(t, second)
}

// nothingToCollect asks what could be deleted of an archive that is an hour old
// at most, one orphan included: nothing, and nobody can have it sooner.
func nothingToCollect(t *testing.T, i *instance.Instance) {
	t.Helper()
	var base string
	for o, err := range store(t, i).List(t.Context(), schema.DataPrefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		base = o.Key
	}
	orphan := base[:strings.LastIndex(base, "/")+1] + "00000000000000000000-00000000000000000007-0123456789abcdef.parquet"
	if _, err := store(t, i).Put(t.Context(), orphan, []byte("left behind")); err != nil {
		t.Fatal(err)
	}
	said := i.Annals(t, "collect", "--delete")
	if said.Code != 0 || !strings.Contains(string(said.Out), "Nothing of 2 streams") || !strings.Contains(string(said.Out), "1 objects that no commit names") {
		t.Errorf("collect: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	said = i.Annals(t, "collect", "--json")
	var sum struct {
		Young map[string]struct {
			Objects int64 `json:"objects,string"`
		} `json:"too_young"`
	}
	if err := json.Unmarshal(said.Out, &sum); err != nil || sum.Young["orphan"].Objects != 1 {
		t.Errorf("collect --json: %v, %s", err, said.Out)
	}
	if said := i.Annals(t, "collect", "--delete", "--after", "1h"); said.Code != 4 {
		t.Errorf("an age of an hour: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	if _, _, err := store(t, i).Get(t.Context(), orphan, 100); err != nil {
		t.Error(err)
	}
	if err := store(t, i).Delete(t.Context(), orphan); err != nil {
		t.Error(err)
	}
}

// produceMoved produces 200 records over two partitions.
func produceMoved(t testing.TB, i *instance.Instance, word string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := i.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 2, 1, nil, movedTopic); err != nil && !strings.Contains(err.Error(), "already exists") {
		t.Fatal(err)
	}
	var records []*kgo.Record
	for n := range 200 {
		records = append(records, &kgo.Record{
			Topic: movedTopic, Partition: int32(n % 2), Key: []byte(word), Value: fmt.Appendf(nil, "%s %d", word, n),
			Headers: []kgo.RecordHeader{
				{Key: "traceId", Value: []byte(movedTrace)}, {Key: "eventId", Value: fmt.Appendf(nil, "%s-%d", word, n)}, {Key: "eventType", Value: []byte("moved")},
			},
		})
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return records
}

// bucketConfig is a configuration that names a bucket and nothing else.
func bucketConfig(t testing.TB, endpoint string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "annals.yaml")
	text := fmt.Sprintf("s3:\n  endpoint: http://%s\n  region: us-east-1\n  bucket: annals\n  prefix: %s\n  credentials: static\n  access_key: annals\n  secret_key_file: %s\n",
		endpoint, movedPrefix, file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// archiveCounts are what annals verify --archive --json says in numbers.
type archiveCounts struct {
	Result, Note      string
	Chains, Clusters  int
	Commits, Segments int
	SegmentsRead      int `json:"segments_read"`
	BytesRead         int `json:"bytes_read"`
	Records           struct{ Committed, Aborted, Control string }
	GapOffsets        int `json:"gap_offsets"`
	Findings          []struct{ Key, What string }
}

func verified(t testing.TB, said instance.Said, code int) archiveCounts {
	t.Helper()
	var counts archiveCounts
	if err := json.Unmarshal(said.Out, &counts); err != nil || said.Code != code {
		t.Fatalf("annals verify --archive: code %d, want %d; %v\n%s%s", said.Code, code, err, said.Out, said.Err)
	}
	return counts
}

// copyBucket copies every object of an archive, as any tool would.
func copyBucket(t testing.TB, from, to *objstore.Store) {
	t.Helper()
	for o, err := range from.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := from.Get(t.Context(), o.Key, 256<<20)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Put(t.Context(), o.Key, raw); err != nil {
			t.Fatal(err)
		}
	}
}

func reindexed(t testing.TB, i *instance.Instance, code int, want string) instance.Said {
	t.Helper()
	said := i.Annals(t, "reindex")
	if said.Code != code || !strings.Contains(string(said.Out), want) || !strings.Contains(string(said.Out), " s a million)") {
		t.Fatalf("annals reindex: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	return said
}

// moved asks for what the other machine archived: by search, by trace, byte for
// byte, and as a bag.
func moved(t testing.TB, i *instance.Instance, records []*kgo.Record) {
	t.Helper()
	var page api.RecordPage
	i.Ask(t, "/records?limit=1000&topic="+movedTopic, &page)
	if len(page.Records) != 400 {
		t.Fatalf("search finds %d of 400 records", len(page.Records))
	}
	for _, h := range page.Records {
		if !h.Sealed {
			t.Fatalf("%+v is not sealed", h)
		}
	}
	for _, r := range records[:4] {
		said := i.Annals(t, "get", at(r), "--raw")
		if said.Code != 0 || !bytes.Equal(said.Out, r.Value) {
			t.Errorf("annals get %s --raw: code %d, %.100q, %s", at(r), said.Code, said.Out, said.Err)
		}
	}
	bag := filepath.Join(t.TempDir(), "bag")
	if said := i.Annals(t, "export", "--topic", movedTopic, "--out", bag); said.Code != 0 {
		t.Fatalf("annals export: code %d, %s", said.Code, said.Err)
	}
	if said := programs.Annals(t, "verify", bag); said.Code != 0 || !strings.Contains(string(said.Out), "proof: the record roots of 400 records") {
		t.Errorf("annals verify: code %d, %s%s", said.Code, said.Out, said.Err)
	}
}

// damagedCopy flips a bit of one segment: verify and reindex name it, and what
// else there is can be searched.
func damagedCopy(t testing.TB, i *instance.Instance) {
	t.Helper()
	bucket := store(t, i)
	key, whole := "", []byte(nil)
	for o, err := range bucket.List(t.Context(), "data/"+movedTopic+"/", "") {
		if err != nil {
			t.Fatal(err)
		}
		key = o.Key
	}
	whole, _, err := bucket.Get(t.Context(), key, 256<<20)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-2] ^= 1 // of what tells that it is Parquet
	put := func(raw []byte) {
		t.Helper()
		if _, err := bucket.Put(t.Context(), key, raw); err != nil {
			t.Fatal(err)
		}
	}
	put(flipped)
	counts := verified(t, i.Annals(t, "verify", "--archive", "--json"), 1)
	if len(counts.Findings) != 1 || counts.Findings[0].Key != key {
		t.Errorf("one segment is damaged, found is %+v", counts.Findings)
	}
	if said := i.Annals(t, "verify", "--archive", "--sample", "0.0001", "--seed", "1"); said.Code != 0 || !strings.Contains(string(said.Out), "sampled: 0 of ") {
		t.Errorf("a sample: code %d, %s", said.Code, said.Out)
	}
	if said := reindexed(t, i, 1, "reindexed 300 records of "); !strings.Contains(said.Err, key) {
		t.Errorf("annals reindex does not name %s: %s", key, said.Err)
	}
	put(whole)
	reindexed(t, i, 0, "reindexed 400 records of ")
}

// fullyVerified ends the test: every chain, byte and row, and what the program
// says of it.
func fullyVerified(t testing.TB, i *instance.Instance) {
	t.Helper()
	bucket := store(t, i)
	for s, err := range ledger.New(bucket, nil).Streams(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify.Read(t.Context(), t, bucket, s); err != nil {
			t.Error(err)
		}
	}
	verified(t, i.Annals(t, "verify", "--archive", "--json"), 0)
}

// sameNameInAnotherCluster archives a topic of the same name from the new
// machine's Kafka. Names mean the newer one, topic IDs either.
func sameNameInAnotherCluster(t testing.TB, first, i *instance.Instance, records []*kgo.Record) {
	t.Helper()
	own := produceMoved(t, i, "second")
	sealed := func(query string) (n int) {
		var page api.RecordPage
		i.Ask(t, "/records?limit=1000&"+query, &page)
		for _, h := range page.Records {
			if h.Sealed {
				n++
			}
		}
		return n
	}
	embeddedtest.Eventually(t, time.Minute, func() error {
		i.Seal(t)
		if n := sealed("id=" + movedTrace); n != 600 {
			return fmt.Errorf("search by trace finds %d sealed records of both clusters", n)
		}
		return nil
	})
	var coverage api.Coverage
	i.JSON(t, &coverage, "coverage", movedTopic)
	ids := map[string]string{} // by cluster
	for _, p := range coverage.Partitions {
		ids[p.Cluster] = p.TopicId
	}
	older, newer := ids[first.Up.Kafka.ClusterID], ids[i.Up.Kafka.ClusterID]
	if len(coverage.Partitions) != 4 || older == "" || newer == "" || older == newer {
		t.Fatalf("coverage has %d partitions, topic IDs by cluster %v", len(coverage.Partitions), ids)
	}
	if said := i.Annals(t, "coverage", movedTopic); !strings.Contains(string(said.Out), older) || !strings.Contains(string(said.Out), first.Up.Kafka.ClusterID) {
		t.Errorf("annals coverage does not tell them apart:\n%s", said.Out)
	}
	name := "topic=" + movedTopic
	if both, old, recent := sealed(name), sealed(name+"&topic_id="+older), sealed(name+"&topic_id="+newer); both != 200 || old != 400 || recent != 200 {
		t.Errorf("search finds %d by name, %d and %d by topic ID", both, old, recent)
	}
	var topics api.TopicList
	i.Ask(t, "/topics", &topics)
	for _, topic := range topics.Topics {
		if topic.TopicId == older && (topic.Cluster == nil || *topic.Cluster != first.Up.Kafka.ClusterID || !strings.Contains(topic.Detail, "older topic")) {
			t.Errorf("%+v", topic)
		}
	}
	for id, r := range map[string]*kgo.Record{"": own[0], newer: own[0], older: records[0]} {
		args := []string{"get", at(r), "--raw"}
		if id != "" {
			args = append(args, "--topic-id", id)
		}
		if said := i.Annals(t, args...); said.Code != 0 || !bytes.Equal(said.Out, r.Value) {
			t.Errorf("annals %v: code %d, %.100q, %s; want %q", args, said.Code, said.Out, said.Err, r.Value)
		}
	}
	for id, want := range map[string]int64{"": 200, newer: 200, older: 400} {
		args := []string{"files", "--topic", movedTopic}
		if id != "" {
			args = append(args, "--topic-id", id)
		}
		var files api.SegmentList
		i.JSON(t, &files, args...)
		var rows int64
		for _, s := range files.Segments {
			rows += s.Rows
		}
		if rows != want || id != "" && files.TopicId != id || ids[files.Cluster] != files.TopicId {
			t.Errorf("annals %v: %d rows of topic ID %s in cluster %s, want %d", args, rows, files.TopicId, files.Cluster, want)
		}
	}
	replayedByID(t, i, older, newer)
}

// replayedByID replays the older topic, of the cluster that is gone, into the
// new one.
func replayedByID(t testing.TB, i *instance.Instance, older, newer string) {
	t.Helper()
	var byName, byID api.ReplayPlan
	i.JSON(t, &byName, "replay", "plan", "--topic", movedTopic)
	i.JSON(t, &byID, "replay", "plan", "--topic", movedTopic, "--topic-id", older)
	if byName.Records != 200 || byName.Topics[0].TopicId != newer || byID.Records != 400 || byID.Topics[0].TopicId != older {
		t.Fatalf("plans of %d and %d records: %+v, %+v", byName.Records, byID.Records, byName.Topics, byID.Topics)
	}
	if said := i.Annals(t, "replay", "plan", "--topic", movedTopic, "--topic", "other", "--topic-id", older); said.Code != 4 {
		t.Errorf("a topic ID of two topics: code %d, %s", said.Code, said.Err)
	}
	if said := i.Annals(t, "replay", "run", byID.Id); said.Code != 0 {
		t.Fatalf("annals replay run: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	words := map[string]int{}
	for _, s := range i.Stored(t, byID.Topics[0].Target) {
		for _, r := range s.Records {
			if !r.Attrs.IsControl() {
				words[string(r.Key)]++
			}
		}
	}
	if len(words) != 2 || words["first"] != 200 || words["more"] != 200 {
		t.Errorf("replayed were %v", words)
	}
}
