package embedded_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// TestKafkaCommitsAllOrNothing holds a kill at every moment of a commit against
// what a broker promises: records in two partitions and the consumer offsets
// of two partitions are committed together or not at all. The moments are made
// from a whole commit, by taking back what its files got after each: kfake only
// ever appends to them.
func TestKafkaCommitsAllOrNothing(t *testing.T) {
	for name, opts := range clients {
		t.Run(name, func(t *testing.T) {
			opts := append(opts, kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			dir := t.TempDir()
			c := startChild(t, childJob{Engine: "kafka", Dir: dir, Listen: "127.0.0.1:0"})
			client := childKafkaClient(t, c.addr, opts...)
			for _, topic := range []string{"left-open", "input"} {
				if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
					t.Fatal(err)
				}
			}
			writeBoth(t, client, "before")
			addOffsets(t, client, 10)
			endCommitted(t, client)
			writeBoth(t, client, "killed")
			addOffsets(t, client, 20)
			before := filesOf(t, dir)
			endCommitted(t, client)
			c.kill()
			client.Close()
			for _, m := range momentsOf(t, before, filesOf(t, dir)) {
				t.Run(m.name, func(t *testing.T) {
					t.Parallel()
					killedAt(t, m, opts)
				})
			}
		})
	}
}

// addOffsets makes offsets of both input partitions part of the transaction.
func addOffsets(t *testing.T, client *kgo.Client, offset int64) {
	t.Helper()
	id, epoch, err := client.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = "tx", id, epoch, "readers"
	added, err := add.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = "tx", id, epoch, "readers"
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = "input" // or by id, from version 6 on
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "input")
	if err != nil {
		t.Fatal(err)
	}
	topic.TopicID = topics["input"].ID
	for p := range int32(2) {
		partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset, partition.Metadata = p, offset, kmsg.StringPtr(fmt.Sprint("state at ", offset))
		topic.Partitions = append(topic.Partitions, partition)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range resp.Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			t.Fatal(err)
		}
	}
}

// files are the contents of a data directory by name.
type files map[string][]byte

func filesOf(t *testing.T, dir string) files {
	t.Helper()
	all := files{}
	names, err := filepath.Glob(filepath.Join(dir, "partitions", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	top, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range top {
		if !e.IsDir() {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	for _, path := range names {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

type killMoment struct {
	name      string
	files     files
	committed bool
}

// momentsOf gives the files after every step of a commit that led from before
// to after.
func momentsOf(t *testing.T, before, after files) []killMoment {
	t.Helper()
	grown := func(from files, prefixes ...string) files {
		to := maps.Clone(from)
		for name, body := range after {
			for _, prefix := range prefixes {
				if strings.HasPrefix(name, prefix) {
					to[name] = body
				}
			}
		}
		return to
	}
	moments := []killMoment{{"nothing", before, false}}
	step := func(name string, f files) files {
		moments = append(moments, killMoment{name, f, true})
		return f
	}
	prepared := step("prepared", grown(before, "prepared"))
	step("second marker alone", grown(prepared, "partitions/left-open-1"))
	step("first marker", grown(prepared, "partitions/left-open-0"))
	marked := step("both markers", grown(prepared, "partitions/left-open-"))
	for _, log := range []string{"groups.log", "pids.log"} {
		entries := 0
		for end := len(before[log]); end < len(after[log]); entries++ {
			end += 8 + int(binary.LittleEndian.Uint32(after[log][end:]))
			f := maps.Clone(marked)
			f[log] = after[log][:end]
			marked = step(fmt.Sprintf("%s, entry %d", log, entries+1), f)
		}
		if want := map[string]int{"groups.log": 2, "pids.log": 1}[log]; entries < want {
			t.Fatalf("a commit wrote %d entries to %s, want %d", entries, log, want)
		}
	}
	return moments
}

// killedAt starts a broker on what a kill left and asks what is committed,
// then and after more transactions, a kill and a clean stop.
func killedAt(t *testing.T, m killMoment, opts []kgo.Opt) {
	dir := t.TempDir()
	for name, body := range m.files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, offset := []string{"before 0", "before 1"}, int64(10)
	if m.committed {
		want, offset = append(want, "killed 0", "killed 1"), 20
	}
	for round := range 2 { // the second start follows a clean stop
		k, err := embedded.StartKafka(t.Context(), embedded.KafkaOptions{DataDir: dir, Listen: "127.0.0.1:0", User: "annals", Password: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		client := childKafkaClient(t, k.Addr(), opts...)
		if round == 0 {
			checkOffsets(t, client, offset)
			// The same producer commits: only its own may count.
			writeBoth(t, client, "after")
			addOffsets(t, client, 30)
			endCommitted(t, client)
			want, offset = append(want, "after 0", "after 1"), 30
		}
		checkOffsets(t, client, offset)
		byBroker, byMarkers := verdicts(t, k.Addr(), "left-open")
		for _, got := range [][]string{byBroker, byMarkers} {
			if diff := symmetricDifference(got, want); len(diff) > 0 {
				t.Errorf("start %d: what is committed differs by %q (by the broker %d records, by markers %d)", round, slices.Sorted(slices.Values(diff)), len(byBroker), len(byMarkers))
			}
		}
		client.Close()
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkOffsets asks where the group's readers go on.
func checkOffsets(t *testing.T, client *kgo.Client, want int64) {
	t.Helper()
	offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), "readers")
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		got, ok := offsets.Lookup("input", p)
		if !ok || got.At != want || got.Metadata != fmt.Sprint("state at ", want) {
			t.Errorf("partition %d: the group goes on at %d, %q, want %d", p, got.At, got.Metadata, want)
		}
	}
}
