package embedded_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

func childKafkaOpts(addr string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.SASL(scram.Auth{User: "annals", Pass: "secret"}.AsSha256Mechanism()),
	}
}

func childKafkaClient(t testing.TB, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(childKafkaOpts(addr), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestKafkaSurvivesAKill kills the broker in mid-produce, plain and
// transactional, several times in a row: every record that was acknowledged,
// and whose transaction was, must be where it was said to be.
func TestKafkaSurvivesAKill(t *testing.T) {
	const rounds = 3
	dir := t.TempDir()
	plain := map[int64]string{} // offset → value, in topic "plain"
	var committed []string      // values in topic "tx"
	var mu sync.Mutex
	var id [16]byte
	for round := range rounds {
		c := startChild(t, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		client := childKafkaClient(t, c.addr)
		transactional := childKafkaClient(t, c.addr, kgo.TransactionalID("killed"))
		if round == 0 {
			created, err := kadm.NewClient(client).CreateTopics(ctx, 1, 1, nil, "plain", "tx")
			if err != nil {
				t.Fatal(err)
			}
			id = created["plain"].ID
		}
		var producers sync.WaitGroup
		producers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				r := &kgo.Record{Topic: "plain", Value: fmt.Append(nil, "plain ", round, " ", i)}
				if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
					return
				}
				mu.Lock()
				plain[r.Offset] = string(r.Value)
				mu.Unlock()
			}
		})
		producers.Go(func() {
			done := produceTransactions(ctx, transactional, round)
			mu.Lock()
			committed = append(committed, done...)
			mu.Unlock()
		})
		time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
		c.kill()
		cancel()
		// Only this gives up a record under way. It takes seconds.
		producers.Go(client.Close)
		producers.Go(transactional.Close)
		producers.Wait()
	}

	k := startKafka(t, embedded.KafkaOptions{DataDir: dir})
	if got := topicID(t, k, "plain"); got != id {
		t.Errorf("topic ID is %x, was %x", got, id)
	}
	stored := map[int64]string{}
	for _, r := range consumeAll(t, k, "plain") {
		stored[r.Offset] = string(r.Value)
	}
	for offset, value := range plain {
		if stored[offset] != value {
			t.Errorf("offset %d holds %q, acknowledged was %q", offset, stored[offset], value)
		}
	}
	count := map[string]int{}
	for _, r := range consumeAll(t, k, "tx") {
		count[string(r.Value)]++
	}
	for _, value := range committed {
		if count[value] != 1 {
			t.Errorf("%q was committed once and is there %d times", value, count[value])
		}
	}
	t.Logf("%d kills: %d acknowledged records, %d in acknowledged transactions, none lost", rounds, len(plain), len(committed))
	if len(plain) == 0 || len(committed) == 0 {
		t.Error("nothing was acknowledged before the kills: the test tested nothing")
	}
}

// produceTransactions commits transactions of three records until the broker
// is gone, and returns the values of those whose commit was acknowledged.
func produceTransactions(ctx context.Context, client *kgo.Client, round int) (committed []string) {
	for i := 0; ctx.Err() == nil; i++ {
		if err := client.BeginTransaction(); err != nil {
			return committed
		}
		var values []string
		var records []*kgo.Record
		for j := range 3 {
			values = append(values, fmt.Sprintf("tx %d %d %d", round, i, j))
			records = append(records, &kgo.Record{Topic: "tx", Value: []byte(values[j])})
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return committed
		}
		if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return committed
		}
		committed = append(committed, values...)
	}
	return committed
}

// BenchmarkKafka prints what a load of the demo's size costs: 700,000 records
// of about 300 bytes over 7 topics, produced and read back, and the memory of the
// broker's process before and after a restart.
func BenchmarkKafka(b *testing.B) {
	const total, topics = 700_000, 7
	for b.Loop() {
		dir := b.TempDir()
		c := startChild(b, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
		b.ReportMetric(c.residentMiB(b), "MiB-idle")
		client := childKafkaClient(b, c.addr)
		var names []string
		for i := range topics {
			names = append(names, fmt.Sprintf("topic-%d", i))
		}
		if _, err := kadm.NewClient(client).CreateTopics(b.Context(), 3, 1, nil, names...); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		for i := range total {
			value := fmt.Appendf(nil, `{"eventType":"FxRateReceived","eventVersion":1,"sourceService":"ecb-gateway","traceId":"%016x%016x","eventId":"%016x%016x","timestamp":"%s","payload":{"currency":"USD","rate":%f,"note":"as large as an event of the demo"}}`,
				rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64(), time.Unix(int64(i)*3600, 0).UTC().Format(time.RFC3339), rand.Float64())
			client.Produce(b.Context(), &kgo.Record{Topic: names[i%topics], Key: fmt.Append(nil, i), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		if err := client.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(total/time.Since(start).Seconds(), "produced/s")
		client.Close()
		b.ReportMetric(c.residentMiB(b), "MiB-produced")
		b.ReportMetric(drain(b, c.addr, total, names), "consumed/s")
		b.ReportMetric(c.residentMiB(b), "MiB-consumed")
		c.stop(b)

		start = time.Now()
		c = startChild(b, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
		b.ReportMetric(time.Since(start).Seconds(), "s-restart")
		b.ReportMetric(c.residentMiB(b), "MiB-restarted")
		c.kill()
		start = time.Now()
		c = startChild(b, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
		b.ReportMetric(time.Since(start).Seconds(), "s-restart-killed")
		b.ReportMetric(c.residentMiB(b), "MiB-restarted-killed")
		b.ReportMetric(float64(dirSize(b, dir))/(1<<20), "MiB-disk")
		c.stop(b)
	}
}

func dirSize(b *testing.B, dir string) (size int64) {
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			size += fi.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return size
}

// drain consumes n records and returns the rate.
func drain(b *testing.B, addr string, n int, topics []string) float64 {
	client := childKafkaClient(b, addr, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	start := time.Now()
	for got := 0; got < n; {
		fetches := client.PollFetches(b.Context())
		if err := fetches.Err(); err != nil {
			b.Fatal(err)
		}
		got += fetches.NumRecords()
	}
	return float64(n) / time.Since(start).Seconds()
}
