package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// morning is what happened: orders, how many of each partition the group had read at
// nine, and which of the others it gave up on.
type morning struct {
	from, to time.Time
	orders   []*kgo.Record
	read     map[int32]int64
	failed   []*kgo.Record
}

// badMorning has it happen.
func badMorning(t *testing.T, i *instance.Instance) *morning {
	t.Helper()
	client := i.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopics(t.Context(), 2, 1, nil, "orders", "orders-dlt"); err != nil {
		t.Fatal(err)
	}
	m := &morning{from: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), read: map[int32]int64{}}
	m.to = m.from.Add(15 * time.Minute)
	for n := range 200 {
		r := &kgo.Record{
			Topic: "orders", Partition: int32(n % 2), Key: []byte(strconv.Itoa(n)), Value: fmt.Appendf(nil, `{"order":%d}`, n),
			Timestamp: m.from.Add(time.Duration(n-40) * 5 * time.Second), Headers: []kgo.RecordHeader{{Key: "tenant", Value: []byte("a")}},
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		m.orders = append(m.orders, r)
	}
	offsets := kadm.Offsets{}
	for partition := range int32(2) {
		m.read[partition] = 30 // the first 20 are of before nine
		offsets.AddOffset("orders", partition, 30, -1)
	}
	if err := admin.CommitAllOffsets(t.Context(), "billing", offsets); err != nil {
		t.Fatal(err)
	}
	for _, r := range m.orders[70:110] {
		dead := &kgo.Record{Topic: "orders-dlt", Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp.Add(time.Second), Headers: append(
			append([]kgo.RecordHeader{}, r.Headers...),
			kgo.RecordHeader{Key: "__streams.errors.topic", Value: []byte(r.Topic)},
			kgo.RecordHeader{Key: "__streams.errors.partition", Value: []byte(strconv.Itoa(int(r.Partition)))},
			kgo.RecordHeader{Key: "__streams.errors.offset", Value: []byte(strconv.FormatInt(r.Offset, 10))},
			kgo.RecordHeader{Key: "__streams.errors.exception", Value: []byte("NoRate")},
			kgo.RecordHeader{Key: "__streams.errors.message", Value: append([]byte("no rate for order "), r.Key...)},
		)}
		if err := client.ProduceSync(t.Context(), dead).FirstErr(); err != nil {
			t.Fatal(err)
		}
		m.failed = append(m.failed, r)
	}
	return m
}

// commandsOf are the commands of a guide: its indented lines that begin with the
// program's name.
func commandsOf(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if command, ok := strings.CutPrefix(line, "    annals "); ok {
			list = append(list, command)
		}
	}
	return list
}

// TestBadMorning runs the guide, command by command, and looks at what came of it.
func TestBadMorning(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	i := programs.Start(t, instance.Options{Env: []string{"ANNALS_ARCHIVE_SNAPSHOTS_INTERVAL=1s"}})
	m := badMorning(t, i)
	embeddedtest.Eventually(t, time.Minute, func() error { // of the group; the guide's time is then the snapshot's
		for object, err := range store(t, i).List(t.Context(), "snapshots/", "") {
			if err == nil && strings.Contains(object.Key, "consumer-offsets") {
				raw, _, err := store(t, i).Get(t.Context(), object.Key, 1<<20)
				if err == nil && strings.Contains(string(raw), `"group":"billing"`) {
					return nil
				}
			}
		}
		return fmt.Errorf("no snapshot has the group")
	})
	noted := time.Now().UTC()
	i.Seal(t)
	known := map[string]string{"<from>": m.from.Format(time.RFC3339), "<to>": m.to.Format(time.RFC3339)}
	ran := 0
	for _, command := range commandsOf(t, "../../docs/guides/bad-morning.md") {
		var args []string
		for arg := range strings.FieldsSeq(strings.ReplaceAll(command, "<dead letter>", "<letter>")) {
			if value, ok := known[arg]; ok {
				arg = value
			}
			args = append(args, arg)
		}
		if at := indexOf(args, "--as-of"); at >= 0 { // what is an hour ago in the story was noted now
			args[at+1] = noted.Format(time.RFC3339Nano)
		}
		if strings.Contains(strings.Join(args, " "), "<") {
			t.Fatalf("what is meant in annals %s is not known: %v", command, known)
		}
		if at := indexOf(args, "--speed"); at >= 0 {
			args[at+1] = "600"
		}
		said := i.Annals(t, append(args, "--json")...)
		if said.Code != 0 {
			t.Fatalf("annals %s ends with code %d: %s", command, said.Code, said.Err)
		}
		learn(t, command, said.Out, known)
		ran++
	}
	if ran != 14 {
		t.Errorf("%d commands of the guide were run", ran)
	}
	m.holds(t, i)
	said := i.Annals(t, "dead-letters", "redrive", "--signature", known["<signature>"], "--from", known["<from>"], "--allow-existing")
	if said.Code == 0 || !strings.Contains(said.Err, "put back already") {
		t.Errorf("a second redrive: code %d, %s", said.Code, said.Err)
	}
}

func indexOf(list []string, text string) int {
	for i, one := range list {
		if one == text {
			return i
		}
	}
	return -1
}

// learn takes what the next commands of the guide need.
func learn(t *testing.T, command string, out []byte, known map[string]string) {
	t.Helper()
	read := func(into any) {
		if err := json.Unmarshal(out, into); err != nil {
			t.Fatalf("annals %s prints no JSON: %v\n%.300s", command, err, out)
		}
	}
	switch {
	case strings.HasPrefix(command, "dead-letters groups"):
		var found api.DeadRecordGroupList
		if read(&found); len(found.Groups) != 1 || found.Groups[0].Records != 40 || found.Groups[0].Message != "no rate for order <n>" {
			t.Fatalf("the groups are %+v", found)
		}
		at := found.Groups[0].Samples[0].Record.Coordinates
		known["<signature>"], known["<letter>"] = found.Groups[0].Signature, fmt.Sprintf("%s/%d/%d", at.Topic, at.Partition, at.Offset)
	case strings.HasPrefix(command, "replay plan"):
		var plan api.ReplayPlan
		read(&plan)
		known["<plan>"] = plan.Id
	case strings.HasPrefix(command, "dead-letters redrive"):
		var plan api.ReplayPlan
		if read(&plan); plan.Records != 40 {
			t.Fatalf("the redrive's plan is %+v", plan)
		}
		known["<redrive>"] = plan.Id
	case strings.HasPrefix(command, "replay run"):
		var job api.ReplayJob
		if read(&job); job.Receipt == nil || !job.Receipt.Matches {
			t.Fatalf("annals %s: %+v", command, job)
		}
	}
}

// holds looks at the topics afterwards.
func (m *morning) holds(t *testing.T, i *instance.Instance) {
	t.Helper()
	within := func(r *kgo.Record) bool { return !r.Timestamp.Before(m.from) && r.Timestamp.Before(m.to) }
	for place, s := range i.Stored(t, "sandbox.orders") {
		got, want := committedOf(t, s, func(*kgo.Record) bool { return true }), []*kgo.Record(nil)
		first := []byte(nil) // the key of what the group had not read
		for _, r := range m.orders {
			if r.Partition == place.Partition && within(r) {
				want = append(want, r)
				if first == nil && r.Offset >= m.read[r.Partition] {
					first = r.Key
				}
			}
		}
		if len(got) != len(want) || len(got) == 0 {
			t.Fatalf("%v has %d records of %d", place, len(got), len(want))
		}
		for n := range want {
			own := len(want[n].Headers) // behind them stand those that name the original
			if len(got[n].Headers) != own+5 || got[n].Headers[own].Key != "annals-replay-id" {
				t.Fatalf("%v: a record outside of replay.* does not name its original: %+v", place, got[n])
			}
			if got[n].Headers = got[n].Headers[:own]; !copied(want[n], got[n]) {
				t.Fatalf("%v: %+v is replayed as %+v", place, want[n], got[n])
			}
		}
		if key := firstRead(t, i, place); string(key) != string(first) {
			t.Errorf("the sandbox's group begins %v with order %s, want %s", place, key, first)
		}
	}
	back := map[string]int{}
	for place, s := range i.Stored(t, "orders") {
		for _, r := range committedOf(t, s, func(*kgo.Record) bool { return true })[100:] {
			back[string(r.Key)]++
			if want := m.orders[number(t, r.Key)]; want.Partition != place.Partition || string(want.Value) != string(r.Value) || len(r.Headers) != 7 || r.Headers[0].Key != "tenant" || r.Headers[1].Key != "annals-redriven" {
				t.Errorf("%v was put back as %+v", want, r)
			}
		}
	}
	for _, r := range m.failed {
		if back[string(r.Key)] != 1 {
			t.Errorf("order %s was put back %d times", r.Key, back[string(r.Key)])
		}
	}
	if len(back) != len(m.failed) {
		t.Errorf("%d orders were put back, want %d", len(back), len(m.failed))
	}
}

func number(t *testing.T, key []byte) int {
	t.Helper()
	n, err := strconv.Atoi(string(key))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// firstRead is the key of the first record that a consumer of the sandbox's group gets of
// a partition.
func firstRead(t *testing.T, i *instance.Instance, at instance.Place) []byte {
	t.Helper()
	committed, err := kadm.NewClient(i.Client(t)).FetchOffsets(t.Context(), "billing-sandbox")
	if err != nil {
		t.Fatal(err)
	}
	o, ok := committed.Lookup(at.Topic, at.Partition)
	if !ok {
		t.Fatalf("nothing is committed of %v", at)
	}
	consumer := i.Client(t, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{at.Topic: {at.Partition: kgo.NewOffset().At(o.At)}}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		if records := fetches.Records(); len(records) > 0 {
			return records[0].Key
		}
	}
}
