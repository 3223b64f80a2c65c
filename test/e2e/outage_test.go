package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

const secret = "a-password-of-this-test"

// ownEngines are Kafka, S3 and ClickHouse of the user's own, which come and go
// at fixed addresses.
type ownEngines struct {
	dir                    string
	kafkaAt, s3At, clickAt string
	kafka                  *embedded.Kafka
	s3                     *embedded.S3
	clickhouse             *embedded.ClickHouse
}

// oneS3 is held by the test that has own engines: a process runs one embedded
// S3 at a time.
var oneS3 sync.Mutex

func newOwnEngines(t *testing.T) *ownEngines {
	t.Helper()
	oneS3.Lock()
	t.Cleanup(oneS3.Unlock)
	e := &ownEngines{dir: t.TempDir(), kafkaAt: freePort(t), s3At: freePort(t), clickAt: freePort(t)}
	t.Cleanup(func() {
		if err := errors.Join(e.stopKafka(), e.stopS3(), e.stopClickHouse()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// freePort is an address where nothing listens.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// env points annals at the engines.
func (e *ownEngines) env() []string {
	return append(e.s3Env(),
		"ANNALS_KAFKA_BROKERS="+e.kafkaAt, "ANNALS_KAFKA_SASL_MECHANISM=SCRAM-SHA-256", "ANNALS_KAFKA_METADATA_MAX_AGE=1s",
		"ANNALS_KAFKA_SASL_USERNAME=annals", "ANNALS_KAFKA_SASL_PASSWORD="+secret,
		"ANNALS_CLICKHOUSE_URL=http://"+e.clickAt, "ANNALS_CLICKHOUSE_USER=annals", "ANNALS_CLICKHOUSE_PASSWORD="+secret,
	)
}

// s3Env points annals at the object store.
func (e *ownEngines) s3Env() []string {
	return []string{
		"ANNALS_S3_ENDPOINT=http://" + e.s3At, "ANNALS_S3_BUCKET=annals", "ANNALS_S3_REGION=us-east-1",
		"ANNALS_S3_ACCESS_KEY=annals", "ANNALS_S3_SECRET_KEY=" + secret,
	}
}

func (e *ownEngines) startKafka(t testing.TB) {
	t.Helper()
	var err error
	e.kafka, err = embedded.StartKafka(t.Context(), embedded.KafkaOptions{
		Listen: e.kafkaAt, DataDir: filepath.Join(e.dir, "kafka"), User: "annals", Password: secret,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (e *ownEngines) startS3(t testing.TB) {
	t.Helper()
	var err error
	e.s3, err = embedded.StartS3(t.Context(), embedded.S3Options{
		Listen: e.s3At, DataDir: filepath.Join(e.dir, "s3"), AccessKey: "annals", SecretKey: secret, Bucket: "annals",
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (e *ownEngines) startClickHouse(t testing.TB) {
	t.Helper()
	var err error
	e.clickhouse, err = embedded.StartClickHouse(t.Context(), embedded.ClickHouseOptions{
		Binary: programs.Path("annals-chdb"), Listen: e.clickAt, DataDir: filepath.Join(e.dir, "clickhouse"),
		User: "annals", Password: secret, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (e *ownEngines) stopKafka() error {
	if e.kafka == nil {
		return nil
	}
	err := e.kafka.Close()
	e.kafka = nil
	return err
}

func (e *ownEngines) stopS3() error {
	if e.s3 == nil {
		return nil
	}
	err := e.s3.Close()
	e.s3 = nil
	return err
}

func (e *ownEngines) stopClickHouse() error {
	if e.clickhouse == nil {
		return nil
	}
	err := e.clickhouse.Close()
	e.clickhouse = nil
	return err
}

// unready gives the dependencies that /readyz names, and why; none when it is
// ready.
func unready(t testing.TB, i *instance.Instance) map[string]string {
	t.Helper()
	status, body := i.Get(t, "/readyz")
	var answer struct {
		Ready    bool
		NotReady map[string]string `json:"not_ready"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("/readyz: %v in %s", err, body)
	}
	if answer.Ready != (status == http.StatusOK) || answer.Ready != (len(answer.NotReady) == 0) {
		t.Errorf("/readyz: status %d with %s", status, body)
	}
	return answer.NotReady
}

// becomes waits until exactly these dependencies are not ready.
func becomes(t testing.TB, i *instance.Instance, want ...string) {
	t.Helper()
	embeddedtest.Eventually(t, 45*time.Second, func() error {
		got := unready(t, i)
		var found []string
		for _, name := range []string{"index", "kafka", "store"} {
			if got[name] != "" {
				found = append(found, name)
			}
		}
		if !slices.Equal(found, want) || len(want) == 0 && len(got) > 0 {
			return fmt.Errorf("not ready: %v, want %v", got, want)
		}
		return nil
	})
}

// produce sends records with one trace id each, numbered through all calls.
func produce(t testing.TB, client *kgo.Client, topic string, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	records := make([]*kgo.Record, count)
	for n := range records {
		records[n] = &kgo.Record{
			Topic: topic, Key: fmt.Appendf(nil, "key-%d", n), Value: fmt.Appendf(nil, `{"n":%d}`, n),
			Headers: []kgo.RecordHeader{{Key: "traceId", Value: fmt.Appendf(nil, "%032x", n+1)}},
		}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// TestOwnEnginesComeAndGo starts annals before any of its engines, then takes
// each away for a while. It says which, becomes ready by itself, and loses
// nothing.
func TestOwnEnginesComeAndGo(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	const topic, batch = "orders", 500
	engines := newOwnEngines(t)
	i := programs.Start(t, instance.Options{Env: engines.env()})
	i.Up.Kafka.User, i.Up.Kafka.Password = "annals", secret
	i.Up.S3.AccessKey, i.Up.S3.SecretKey = "annals", secret
	becomes(t, i, "index", "kafka", "store")
	if status, body := i.Get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: status %d, %s", status, body)
	}

	engines.startKafka(t)
	client := i.Client(t)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, topic); err != nil {
		t.Fatal(err)
	}
	produce(t, client, topic, batch)
	engines.startS3(t)
	engines.startClickHouse(t)
	becomes(t, i)
	i.Settled(t)
	t.Log("all three came: sealed and indexed")

	fails(t, engines.stopS3())
	produce(t, client, topic, batch)
	becomes(t, i, "store")
	engines.startS3(t)
	becomes(t, i)
	i.Settled(t)
	t.Log("the object store was away: sealed and indexed")

	fails(t, engines.stopClickHouse())
	produce(t, client, topic, batch)
	becomes(t, i, "index")
	sealedWithoutIndex(t, i, topic, 3*batch)
	engines.startClickHouse(t)
	becomes(t, i)
	i.Settled(t)
	t.Log("ClickHouse was away: archiving went on, search caught up")

	fails(t, engines.stopKafka())
	becomes(t, i, "kafka")
	engines.startKafka(t)
	produce(t, client, topic, batch)
	becomes(t, i)
	i.Settled(t)
	if compared := compareArchive(t, i, topic); compared["committed"] != 4*batch {
		t.Errorf("compared %v, produced %d", compared, 4*batch)
	}
	var trace api.Trace
	i.Ask(t, fmt.Sprintf("/traces/%032x", 7), &trace)
	if len(trace.Hops) != 4 {
		t.Errorf("a trace of four records has %d hops", len(trace.Hops))
	}
}

func fails(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sealedWithoutIndex asks for a seal and counts the ledger's rows through the
// command line; it needs no index.
func sealedWithoutIndex(t testing.TB, i *instance.Instance, topic string, records int64) {
	t.Helper()
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		i.Seal(t)
		var sealed int64
		for place, p := range i.Coverage(t) {
			if place.Topic == topic {
				sealed += p.Counts.Committed
			}
		}
		if sealed != records {
			return fmt.Errorf("%d records are sealed while the index is away, of %d", sealed, records)
		}
		return nil
	})
}

// TestClickHouseKilledUnderLoad kills the embedded ClickHouse again and again
// while the year is loaded: archiving goes on, search catches up.
func TestClickHouseKilledUnderLoad(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	i := programs.Start(t, instance.Options{Args: instance.DemoYear()})
	for range 3 {
		if err := syscall.Kill(i.Child(t, "annals-chdb"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	i.Loaded(t)
	compareArchive(t, i, demoTopics(t, i)...)
	if got, want := committed(t, i), yearOf(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("committed records by topic %v, a year in peace has %v", got, want)
	}
}
