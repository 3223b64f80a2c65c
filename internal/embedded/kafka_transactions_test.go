package embedded_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// clients speak the protocol of transactions of today and the one before
// KIP-890, in which a producer keeps its epoch from one to the next.
var clients = map[string][]kgo.Opt{"today": nil, "before KIP-890": {kgo.MaxVersions(kversion.V3_7_0())}}

// TestKafkaEndsOpenTransactions kills the broker while a transaction is open in
// two partitions. Whatever reads the log by its markers must come to the same
// verdict then and for ever, whatever follows.
func TestKafkaEndsOpenTransactions(t *testing.T) {
	for name, opts := range clients {
		t.Run(name, func(t *testing.T) {
			opts := append(opts, kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			dir := t.TempDir()
			c := startChild(t, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
			client := childKafkaClient(t, c.addr, opts...)
			if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, nil, "left-open"); err != nil {
				t.Fatal(err)
			}
			writeBoth(t, client, "before")
			endCommitted(t, client)
			writeBoth(t, client, "killed")
			c.kill()
			client.Close()

			want := []string{"before 0", "before 1", "after 0", "after 1"}
			for round := range 3 { // the last two starts follow a kill and a clean stop
				c := startChild(t, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
				client := childKafkaClient(t, c.addr, opts...)
				if round == 0 { // the same producer commits: only its own may count
					writeBoth(t, client, "after")
					endCommitted(t, client)
				}
				byBroker, byMarkers := verdicts(t, c.addr, "left-open")
				client.Close()
				if diff := symmetricDifference(byBroker, want); len(diff) > 0 {
					t.Errorf("start %d: read committed differs by %q", round, diff)
				}
				if diff := symmetricDifference(byMarkers, want); len(diff) > 0 {
					t.Errorf("start %d: by its markers the log differs by %q", round, diff)
				}
				if round == 0 {
					c.kill()
				} else {
					c.stop(t)
				}
			}
		})
	}
}

// writeBoth begins a transaction and writes a record to each of two partitions.
func writeBoth(t *testing.T, client *kgo.Client, value string) {
	t.Helper()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		r := &kgo.Record{Topic: "left-open", Partition: p, Value: fmt.Append(nil, value, " ", p)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func endCommitted(t *testing.T, client *kgo.Client) {
	t.Helper()
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// verdicts returns the committed values of a topic of two partitions: as the
// broker filters them, and as the log says to a reader of everything.
func verdicts(t *testing.T, addr, topic string) (byBroker, byMarkers []string) {
	t.Helper()
	byBroker = valuesOf(readToEnd(t, addr, topic, kgo.ReadCommitted()))
	undecided := map[[2]int64][]string{} // partition, producer
	for _, r := range readToEnd(t, addr, topic, kgo.ReadUncommitted()) {
		k := [2]int64{int64(r.Partition), r.ProducerID}
		switch {
		case !r.Attrs.IsControl():
			undecided[k] = append(undecided[k], string(r.Value))
		case r.Key[3] == 1:
			byMarkers = append(byMarkers, undecided[k]...)
			fallthrough
		default:
			delete(undecided, k)
		}
	}
	for k, values := range undecided {
		t.Errorf("partition %d: %q have no marker", k[0], values)
	}
	return byBroker, byMarkers
}

// readToEnd reads both partitions with their control records.
func readToEnd(t *testing.T, addr, topic string, level kgo.IsolationLevel) []*kgo.Record {
	t.Helper()
	client := childKafkaClient(t, addr, kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) { left[o.Partition] = o.Offset })
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%v, not read to the end: %v", err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records
}

func valuesOf(records []*kgo.Record) (values []string) {
	for _, r := range records {
		if !r.Attrs.IsControl() {
			values = append(values, string(r.Value))
		}
	}
	return values
}

// symmetricDifference compares as multisets.
func symmetricDifference(a, b []string) (diff []string) {
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for s, n := range count {
		if n != 0 {
			diff = append(diff, fmt.Sprintf("%s %+d", s, n))
		}
	}
	return diff
}
