package forecast_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/forecast"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...) }

// cluster is a broker with two topics that are archived, "orders" with records
// of 1,000 bytes and "quiet" without any, and one that is not.
type cluster struct {
	client *kgo.Client
	admin  *kafka.Admin
	reader *kafka.Reader
	orders schema.TopicID
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	k := embeddedtest.MemoryKafka(t)
	options := kafka.Options{
		Brokers: []string{k.Addr()}, ClientID: "test",
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: k.User(), Password: k.Password()},
	}
	c := &cluster{client: embeddedtest.KafkaClient(t, k)}
	var err error
	c.admin, err = kafka.NewAdmin(options)
	must(t, err)
	t.Cleanup(c.admin.Close)
	c.reader, err = kafka.NewReader(options)
	must(t, err)
	c.orders, err = c.admin.CreateTopic(t.Context(), "orders", 2, nil)
	must(t, err)
	for _, name := range []string{"quiet", "__hidden"} {
		_, err = c.admin.CreateTopic(t.Context(), name, 1, nil)
		must(t, err)
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) produce(t *testing.T, n int) {
	t.Helper()
	var records []*kgo.Record
	for range n {
		records = append(records, &kgo.Record{Topic: "orders", Value: make([]byte, 1000)})
	}
	must(t, c.client.ProduceSync(t.Context(), records...).FirstErr())
}

// survey watches the cluster for a while, during which n records come.
func (c *cluster) survey(t *testing.T, x forecast.Index, n int) forecast.Surveyed {
	t.Helper()
	const interval = 500 * time.Millisecond
	go func() {
		time.Sleep(interval / 2)
		records := make([]*kgo.Record, n)
		for i := range records {
			records[i] = &kgo.Record{Topic: "orders", Value: make([]byte, 1000)}
		}
		_ = c.client.ProduceSync(context.Background(), records...) // a failure shows as a rate of 0
	}()
	seen, err := forecast.Survey(t.Context(), c.admin, c.reader, x, func(name string) bool { return name[0] != '_' }, interval)
	must(t, err)
	return seen
}

func notes(s forecast.Surveyed) string { return strings.Join(s.Notes, "\n") }

func openIndex(t *testing.T, o index.Options) *index.Index {
	t.Helper()
	x, err := index.Open(o)
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	return x
}

func TestSurveyWithoutAnIndex(t *testing.T) {
	c := newCluster(t)
	c.produce(t, 40)
	away := openIndex(t, index.Options{Addr: "127.0.0.1:1", Database: "annals", User: "u", Password: "p"})
	seen := c.survey(t, away, 60)
	if seen.Moved != 60 || len(seen.Loads) != 3 || seen.IndexRows != forecast.AssumedIndexRows {
		t.Errorf("%+v", seen)
	}
	rate := 0.0
	for _, l := range seen.Loads {
		rate += l.RecordsPerSecond
		if want := map[string]float64{"orders": 1000, "quiet": forecast.AssumedBytes}[l.Topic]; l.BytesPerRecord != want || l.Compression != forecast.AssumedCompression {
			t.Errorf("%+v, want %f bytes", l, want)
		}
	}
	if !near(rate*seen.Interval.Seconds(), 60, 1e-9) {
		t.Errorf("%f a second over %s", rate, seen.Interval)
	}
	for _, says := range []string{"The index does not answer", "of 1 topics (1000 on average) are sampled", "Of 1 topics nothing could be read"} {
		if !strings.Contains(notes(seen), says) {
			t.Errorf("nothing says %q in\n%s", says, notes(seen))
		}
	}
	if idle := c.survey(t, away, 0); idle.Moved != 0 || forecast.Estimate(idle.Loads, settings()).Active != 0 {
		t.Errorf("%+v", idle)
	}
}

// TestSurveyOfAnArchive puts 200 records of 2,000 bytes into the index as one
// segment of 100,000 bytes beside its fixed part.
func TestSurveyOfAnArchive(t *testing.T) {
	c := newCluster(t)
	o := index.Options{Database: embeddedtest.Database(t)}
	o.Addr, o.User, o.Password = embeddedtest.ClickHouse(t)
	x := openIndex(t, o)
	must(t, x.Migrate(t.Context()))
	summary := index.NewSummary()
	rows := make([]index.Row, 200)
	for i := range rows {
		record := &schema.Record{
			Topic: "orders", TopicID: c.orders, Offset: int64(i), Timestamp: 1.6e12, Status: schema.Committed, Value: make([]byte, 2000),
		}
		rows[i] = index.Row{Record: record, Extraction: &schema.Extraction{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"}}
		summary.Add(record, rows[i].Extraction)
	}
	must(t, x.InsertRecords(t.Context(), rows, time.Now()))
	must(t, x.InsertSegments(t.Context(), []index.SegmentRow{{
		Stream: schema.Stream{Cluster: "c", Topic: "orders", TopicID: c.orders}, Kind: schema.KindSegment, Seq: 1, Next: 200, Key: "data/x",
		Bytes: 100_000 + forecast.SegmentBytes, Records: schema.Counts{Committed: 200}, HighWatermark: -1, SealedAt: time.Now(), Summary: summary,
	}}))
	seen := c.survey(t, x, 0)
	for _, l := range seen.Loads {
		if l.Topic == "orders" && (l.BytesPerRecord != 2000 || !near(l.Compression, 0.25, 1e-9)) {
			t.Errorf("%+v, want 2000 bytes, of which a quarter is stored", l)
		}
	}
	if seen.IndexRows < 2 || seen.IndexRows > 20 || seen.IndexBytes < 1 || seen.IndexBytes > 1000 {
		t.Errorf("%f rows and %f bytes a record", seen.IndexRows, seen.IndexBytes)
	}
	if !strings.Contains(notes(seen), "as its 200 records do") || !strings.Contains(notes(seen), "of 1 topics are those of their archived segments") {
		t.Error(notes(seen))
	}
}

func TestSurveyOfNothing(t *testing.T) {
	c := newCluster(t)
	_, err := forecast.Survey(t.Context(), c.admin, c.reader, nil, func(string) bool { return false }, time.Second)
	if schema.KindOf(err) != schema.NotFound {
		t.Errorf("no topic to archive: %v", err)
	}
}
