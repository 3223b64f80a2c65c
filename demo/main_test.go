package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/fx-risk-ai/annals/demo"
)

const (
	user     = "demo"
	password = "test-only"
)

// childVariable has this test program run one service instead of tests.
const childVariable = "DEMO_TEST_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childVariable); spec != "" {
		os.Exit(child(spec))
	}
	goleak.VerifyTestMain(m)
}

// childSpec is what a child process is told.
type childSpec struct {
	Service  string
	Brokers  []string
	From, To time.Time
	Batch    int
}

func child(spec string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	var s childSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		log.Error("bad spec", "err", err)
		return 2
	}
	cfg := config(s.Brokers, s.From, s.To)
	cfg.Batch = s.Batch
	cfg.Logger = log
	cfg.Progress = demo.ProgressWriter(os.Stdout, log)
	if err := demo.Run(ctx, s.Service, cfg); err != nil {
		log.Error("service failed", "service", s.Service, "err", err)
		return 1
	}
	return 0
}

func config(brokers []string, from, to time.Time) demo.Config {
	return demo.Config{Brokers: brokers, User: user, Password: password, From: from, To: to, AbortEvery: 7, LiveInterval: time.Millisecond}
}

// kafka starts an in-process broker and returns its address.
func kafka(t testing.TB) []string {
	t.Helper()
	return cluster(t).ListenAddrs()
}

// cluster starts an in-process broker that asks for SCRAM credentials and
// creates no topic by itself.
func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", user, password))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// run runs services in this process until the test ends or stop is called.
func run(t testing.TB, cfg demo.Config, services ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(services))
	for _, name := range services {
		go func() { ended <- demo.Run(ctx, name, cfg) }()
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range services {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// client opens a plain consumer of its own, outside any group.
func client(t testing.TB, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	mechanism, err := mechanism()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.SASL(mechanism), kgo.FetchMaxWait(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// committed reads a topic's committed records until want have come and then a
// little longer, so that too many are noticed too. Records of one partition
// are in order.
func committed(t testing.TB, brokers []string, topic string, want int) []*kgo.Record {
	t.Helper()
	return consume(t, brokers, topic, want, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}

func consume(t testing.TB, brokers []string, topic string, want int, opts ...kgo.Opt) []*kgo.Record {
	t.Helper()
	cl := client(t, brokers, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(50*time.Millisecond))...)
	defer cl.Close()
	var records []*kgo.Record
	patience := time.Now().Add(60 * time.Second)
	for {
		wait := 300 * time.Millisecond
		if len(records) < want {
			wait = time.Until(patience)
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		fetches := cl.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			if len(records) < want && time.Now().Before(patience) {
				for _, e := range fetches.Errors() {
					t.Logf("read %s: %v", topic, e.Err)
				}
				continue
			}
			return records
		}
		records = slices.AppendSeq(records, fetches.RecordsAll())
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func date(s string) time.Time {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(fmt.Sprintf("bad date in a test: %v", err))
	}
	return d
}

func partitionsOf(t testing.TB, brokers []string, topic string) int {
	t.Helper()
	topics, err := kadm.NewClient(client(t, brokers)).ListTopics(t.Context(), topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(topics[topic].Partitions)
}
