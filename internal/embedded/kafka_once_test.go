package embedded_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKafkaKillsLeaveExactlyOnceWhole kills the broker again and again under a
// service that reads, writes and commits in transactions: each input leads to
// one committed output. One kill in ten or so falls into a commit.
func TestKafkaKillsLeaveExactlyOnceWhole(t *testing.T) {
	if os.Getenv("ANNALS_TEST_LONG") == "" {
		t.Skip("long: 40 kills of the broker; TestKafkaCommitsAllOrNothing visits each moment once")
	}
	const kills, inputs = 40, 4000
	dir := t.TempDir()
	for round := range kills + 1 {
		c := startChild(t, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
		if round == 0 {
			fillInput(t, c.addr, inputs)
		}
		ctx, cancel := context.WithCancel(t.Context())
		passed := make(chan struct{})
		go func() { defer close(passed); passOn(ctx, t, c.addr) }()
		if round < kills {
			time.Sleep(50*time.Millisecond + rand.N(300*time.Millisecond))
			c.kill()
			cancel()
			<-passed
			continue
		}
		deadline := time.Now().Add(time.Minute)
		for lag := int64(1); lag > 0; time.Sleep(50 * time.Millisecond) {
			if lag = inputLag(t, c.addr); time.Now().After(deadline) {
				t.Fatalf("%d inputs are left", lag)
			}
		}
		cancel()
		<-passed
		times := map[string]int{}
		for _, r := range readToEnd(t, c.addr, "output", kgo.ReadCommitted()) {
			if !r.Attrs.IsControl() {
				times[string(r.Value)]++
			}
		}
		wrong := 0
		for i := range inputs {
			if n := times[fmt.Sprint("input ", i)]; n != 1 {
				wrong++
			}
		}
		if wrong > 0 || len(times) != inputs {
			t.Errorf("after %d kills %d of %d inputs do not have one output each", kills, wrong, inputs)
		}
		c.stop(t)
	}
}

func fillInput(t *testing.T, addr string, n int) {
	t.Helper()
	client := childKafkaClient(t, addr)
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(t.Context(), 2, 1, nil, "input", "output")
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: "input", Key: fmt.Append(nil, i), Value: fmt.Append(nil, "input ", i)})
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func inputLag(t *testing.T, addr string) int64 {
	t.Helper()
	client := childKafkaClient(t, addr)
	defer client.Close()
	lags, err := kadm.NewClient(client).Lag(t.Context(), "service")
	if err != nil {
		t.Fatal(err)
	}
	return lags["service"].Lag.Total()
}

// passOn copies inputs to outputs, a few a transaction, until the context ends.
func passOn(ctx context.Context, t *testing.T, addr string) {
	opts := []kgo.Opt{
		kgo.TransactionalID("service"), kgo.ConsumerGroup("service"), kgo.InstanceID("service"), kgo.ConsumeTopics("input"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50 * time.Millisecond),
	}
	first := childKafkaClient(t, addr, kgo.TransactionalID("service")) // fences the one before
	_, _, err := first.ProducerID(ctx)
	first.Close()
	if err != nil {
		return
	}
	session, err := kgo.NewGroupTransactSession(append(opts, childKafkaOpts(addr)...)...)
	if err != nil {
		t.Error(err)
		return
	}
	// Only this gives up a record under way when the broker is gone.
	stop := context.AfterFunc(ctx, session.Close)
	defer func() {
		if stop() {
			session.Close()
		}
	}()
	for ctx.Err() == nil {
		fetches := session.PollRecords(ctx, 3)
		if fetches.NumRecords() == 0 {
			continue
		}
		if session.Begin() != nil {
			return
		}
		try := kgo.TryCommit
		for _, r := range fetches.Records() {
			if session.ProduceSync(ctx, &kgo.Record{Topic: "output", Key: r.Key, Value: r.Value}).FirstErr() != nil {
				try = kgo.TryAbort
			}
		}
		if committed, err := session.End(ctx, try); err != nil || !committed {
			return
		}
	}
}
