package broker_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/verify"
)

// copied is what a record of a replay says of its original, and the record without it.
type copied struct {
	job, topic string
	partition  int32
	offset     int64
}

// origin takes the headers that name the original off a record.
func origin(t *testing.T, record *kgo.Record) copied {
	t.Helper()
	at := slices.IndexFunc(record.Headers, func(h kgo.RecordHeader) bool { return h.Key == "annals-replay-id" })
	if at < 0 || len(record.Headers) != at+5 {
		t.Fatalf("%s/%d offset %d does not name its original: %v", record.Topic, record.Partition, record.Offset, record.Headers)
	}
	of := record.Headers[at:]
	record.Headers = record.Headers[:at]
	partition, err := strconv.ParseInt(string(of[3].Value), 10, 32)
	must(t, err)
	offset, err := strconv.ParseInt(string(of[4].Value), 10, 64)
	must(t, err)
	return copied{string(of[0].Value), string(of[1].Value), int32(partition), offset}
}

// consumed are the records that a reader of committed records gets.
func (r *rig) consumed(t *testing.T, topic string, partition int32) []*kgo.Record {
	t.Helper()
	return slices.DeleteFunc(r.served(t, schema.Stream{Topic: topic, Partition: partition}, kgo.ReadCommitted()), func(record *kgo.Record) bool {
		return record.Attrs.IsControl()
	})
}

// alike tells whether a record in Kafka is an archived one, apart from its place.
func alike(record *kgo.Record, row *segment.Row, headers int) bool {
	if record.Timestamp.UnixMilli() != row.Timestamp || !verify.Identical(record.Key, row.Key) || !verify.Identical(record.Value, row.Value) || len(record.Headers) != headers {
		return false
	}
	for i, h := range record.Headers {
		if h.Key != row.Headers[i].Name || !verify.Identical(h.Value, row.Headers[i].Value) {
			return false
		}
	}
	return true
}

func (r *rig) cuts(t *testing.T) *replaytest.Cuts {
	t.Helper()
	brokers, err := replay.Connect(r.kafka())
	must(t, err)
	t.Cleanup(brokers.Close)
	return &replaytest.Cuts{
		Brokers: brokers, Store: r.store, Ledger: r.book,
		Options: replay.Options{
			PositionTopic: positionTopic, Worker: "cut", Lease: 500 * time.Millisecond, Poll: 20 * time.Millisecond, Batch: 2 << 10,
		},
	}
}

func fewCuts() int {
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		return 200
	}
	return 4
}

// TestRedrivePowerCuts puts dead letters back while power is lost at random moments:
// each is in its topic and partition once, in the order of its dead letters, without what
// the framework wrote onto it.
func TestRedrivePowerCuts(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	orders := r.topic(t, "orders", 3, map[string]string{"retention.ms": "-1"})
	letters := r.topic(t, "orders-dlt", 2, map[string]string{"retention.ms": "-1"})
	var list []*kgo.Record
	for i := range 120 {
		list = append(list, &kgo.Record{
			Topic: letters.Topic, Partition: int32(i % 2), Key: fmt.Append(nil, "k", i), Value: fmt.Append(nil, "order ", i),
			Headers: []kgo.RecordHeader{
				{Key: "own", Value: []byte{0xff}},
				{Key: "own"},
				{Key: "kafka_dlt-original-topic", Value: []byte(orders.Topic)},
				{Key: "kafka_dlt-original-partition", Value: binary.BigEndian.AppendUint32(nil, uint32(i%5)%3)},
				{Key: "kafka_dlt-original-offset", Value: binary.BigEndian.AppendUint64(nil, uint64(i))},
				{Key: "kafka_dlt-exception-fqcn", Value: []byte("E")},
			},
		})
	}
	must(t, r.client.ProduceSync(t.Context(), list...).FirstErr())
	a, stop := r.archive(t, nil)
	var rows []segment.Row
	var places []answer.RedriveRecord
	for partition := range int32(2) {
		for _, row := range r.archived(t, a, at(letters, partition)).Rows {
			rows = append(rows, row)
			places = append(places, answer.RedriveRecord{Place: answer.Place{Topic: row.Topic, TopicID: row.TopicID, Partition: row.Partition, Branch: row.Branch, Offset: row.Offset}})
		}
	}
	stop()
	if len(rows) != len(list) {
		t.Fatalf("%d dead letters are archived", len(rows))
	}
	c := r.cuts(t)
	c.Ask = func(n int) answer.ReplayRequest {
		return answer.ReplayRequest{AllowExisting: true, Redrive: &answer.RedriveRequest{Records: places, Limit: n}}
	}
	c.Check = func(t *testing.T, plan *answer.ReplayPlan) {
		t.Helper()
		at := map[[2]int32][]int64{} // offsets by source and target partition
		found := 0
		for partition := range int32(3) {
			for _, record := range r.consumed(t, orders.Topic, partition) {
				of := origin(t, record)
				if of.job != plan.ID {
					continue
				}
				found++
				i := slices.IndexFunc(rows, func(row segment.Row) bool { return row.Partition == of.partition && row.Offset == of.offset })
				n := len(record.Headers) - 1
				if n < 0 || record.Headers[n].Key != "annals-redriven" || string(record.Headers[n].Value) != "1" {
					t.Fatalf("%s/%d offset %d is not counted: %v", orders.Topic, partition, record.Offset, record.Headers)
				}
				record.Headers = record.Headers[:n]
				if i < 0 || of.topic != letters.Topic || !alike(record, &rows[i], 2) || binary.BigEndian.Uint32(rows[i].Headers[3].Value) != uint32(partition) {
					t.Fatalf("%s/%d offset %d is no dead letter put back: %+v of %+v", orders.Topic, partition, record.Offset, record, of)
				}
				pair := [2]int32{of.partition, partition}
				at[pair] = append(at[pair], of.offset)
			}
		}
		for pair, offsets := range at {
			if !slices.IsSorted(offsets) {
				t.Errorf("from %d to %d in the order %v", pair[0], pair[1], offsets)
			}
			if n := len(slices.Compact(offsets)); n != len(offsets) {
				t.Errorf("from %d to %d: some twice", pair[0], pair[1])
			}
		}
		if found != len(rows) {
			t.Errorf("%d dead letters are put back, want %d", found, len(rows))
		}
	}
	c.Run(t, fewCuts())
}

// TestByKeyPowerCuts replays by key into more partitions while power is lost: a record is
// once in the partition where a producer of its own puts such a key, in its source's order.
func TestByKeyPowerCuts(t *testing.T) {
	t.Parallel()
	const partitions = 5
	r := newRig(t, single.of(t))
	s := r.topic(t, "source", 2, map[string]string{"retention.ms": "-1"})
	for partition := range int32(2) {
		r.produce(t, at(s, partition), 90)
	}
	// Where a client that knows nothing of replays puts these keys.
	where := map[string]int32{}
	other := r.topic(t, "other", partitions, nil)
	client, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.Addrs()...))
	must(t, err)
	defer client.Close()
	for i := range 10 {
		record, err := client.ProduceSync(t.Context(), &kgo.Record{Topic: other.Topic, Key: fmt.Append(nil, "k", i)}).First()
		must(t, err)
		where[string(record.Key)] = record.Partition
	}
	a, stop := r.archive(t, func(o *archiver.Options) {
		o.Topics = func(name string) bool { return name == s.Topic }
	})
	var rows []segment.Row
	for partition := range int32(2) {
		rows = append(rows, r.archived(t, a, at(s, partition)).Rows...)
	}
	stop()
	c := r.cuts(t)
	c.Topic, c.Prefix = s.Topic, "bykey"
	c.Request = answer.ReplayRequest{Partitioning: answer.PartitionByKey, TargetPartitions: partitions}
	c.Check = func(t *testing.T, plan *answer.ReplayPlan) {
		t.Helper()
		found := 0
		for partition := range int32(partitions) {
			last := map[int32]int64{0: -1, 1: -1}
			for _, record := range r.consumed(t, plan.Topics[0].Target, partition) {
				of := origin(t, record)
				i := slices.IndexFunc(rows, func(row segment.Row) bool { return row.Partition == of.partition && row.Offset == of.offset })
				if i < 0 || !alike(record, &rows[i], len(rows[i].Headers)) || where[string(record.Key)] != partition || of.offset <= last[of.partition] {
					t.Fatalf("partition %d offset %d: %+v of %+v, behind offset %d", partition, record.Offset, record, of, last[of.partition])
				}
				last[of.partition] = of.offset
				found++
			}
		}
		if found != len(rows) {
			t.Errorf("%d records, want %d", found, len(rows))
		}
	}
	c.Run(t, fewCuts())
}

// filled is a replay service and what is archived of one topic: twenty records of 1999,
// two of them large.
type filled struct {
	*rig
	service *replay.Service
	topic   string
	rows    []segment.Row
}

// The time of the first of them, and which are large.
var long = time.Date(1999, 1, 4, 9, 0, 0, 0, time.UTC)

func isLarge(i int) bool { return i == 7 || i == 12 }

func fill(t *testing.T) *filled {
	t.Helper()
	r := newRig(t, single.of(t))
	s := r.topic(t, "source", 1, map[string]string{"retention.ms": "-1"})
	for i := range 20 {
		value := fmt.Append(nil, "record ", i)
		if isLarge(i) {
			value = []byte(strings.Repeat("x", 40_000))
		}
		must(t, r.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.Topic, Key: fmt.Append(nil, i), Value: value, Timestamp: long.Add(time.Duration(i) * time.Second)}).FirstErr())
	}
	a, stop := r.archive(t, nil)
	rows := r.archived(t, a, s).Rows
	stop()
	brokers, err := replay.Connect(r.kafka())
	must(t, err)
	t.Cleanup(brokers.Close)
	service := r.replayer(t, brokers, "settings")
	working := make(chan error, 1)
	go func() { working <- service.Work(t.Context()) }()
	t.Cleanup(func() { must(t, <-working) })
	return &filled{r, service, s.Topic, rows}
}

func (s *filled) plan(t *testing.T, target string, change func(*answer.ReplayRequest)) (*answer.ReplayPlan, error) {
	t.Helper()
	request := answer.ReplayRequest{Topics: []string{s.topic}, TargetTopics: map[string]string{s.topic: target}, AllowExisting: true}
	if change != nil {
		change(&request)
	}
	return s.service.Plan(t.Context(), policy.Everything(), request)
}

// run replays into a target and gives what its consumers get.
func (s *filled) run(t *testing.T, target string, change func(*answer.ReplayRequest)) []*kgo.Record {
	t.Helper()
	plan, err := s.plan(t, target, change)
	must(t, err)
	_, err = s.service.Run(t.Context(), policy.Everything(), plan.ID, nil)
	must(t, err)
	embeddedtest.Eventually(t, 3*time.Minute, func() error {
		job, err := s.service.Get(t.Context(), policy.Everything(), plan.ID)
		if err == nil && (job.State != answer.JobDone || !job.Receipt.Matches) {
			err = fmt.Errorf("the replay into %s is %s: %s", target, job.State, job.Error)
		}
		return err
	})
	return s.consumed(t, target, 0)
}

func (s *filled) refused(t *testing.T, target, says string) {
	t.Helper()
	if _, err := s.plan(t, target, nil); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want %q", target, err, says)
	}
}

// TestTargetsOwnSettings: what Kafka itself does with a target that stamps records, takes
// no old ones, or no large ones, is what a plan says of it.
func TestTargetsOwnSettings(t *testing.T) {
	t.Parallel()
	s := fill(t)
	stamps := s.rig.topic(t, "stamps", 1, map[string]string{"message.timestamp.type": "LogAppendTime"}).Topic
	s.refused(t, stamps, "LogAppendTime")
	begun := time.Now()
	for i, record := range s.run(t, stamps, func(q *answer.ReplayRequest) { q.Timestamps = answer.TimestampsNow }) {
		if record.Timestamp.Before(begun.Add(-time.Minute)) || string(record.Key) != string(s.rows[i].Key) {
			t.Errorf("record %d is of %s", i, record.Timestamp)
		}
	}

	young := s.rig.topic(t, "young", 1, map[string]string{"message.timestamp.before.max.ms": "3600000"}).Topic
	s.refused(t, young, "message.timestamp.before.max.ms=3600000")
	err := s.client.ProduceSync(t.Context(), &kgo.Record{Topic: young, Value: []byte("v"), Timestamp: long}).FirstErr()
	if err == nil || !strings.Contains(err.Error(), "TIMESTAMP") {
		t.Errorf("Kafka itself takes a record of 1999: %v", err)
	}
	if got := s.run(t, young, func(q *answer.ReplayRequest) {
		q.Timestamps, q.ShiftMillis = answer.TimestampsShift, time.Since(long).Milliseconds()
	}); len(got) != len(s.rows) {
		t.Errorf("%d records were shifted to today", len(got))
	}

	forgets := s.rig.topic(t, "forgets", 1, nil).Topic // Kafka deletes records of 1999 there, within its next look
	if plan, err := s.plan(t, forgets, nil); err != nil || !strings.Contains(strings.Join(plan.Warnings, "\n"), "Kafka may delete older ones at once") {
		t.Errorf("into a topic that keeps a week: %+v, %v", plan, err)
	}

	limit := map[string]string{"max.message.bytes": "20000", "retention.ms": "-1"}
	narrow := s.rig.topic(t, "narrow", 1, limit).Topic
	s.refused(t, narrow, "2 records of "+s.topic+" are larger than the 20000 bytes that "+narrow+" takes: partition 0 offset 7 (")
	skipped := s.run(t, narrow, func(q *answer.ReplayRequest) { q.Oversized = answer.OversizedSkip })
	if len(skipped) != len(s.rows)-2 || string(skipped[7].Key) != "8" {
		t.Errorf("%d records without the large ones", len(skipped))
	}
	raised := s.run(t, s.rig.topic(t, "raised", 1, limit).Topic, func(q *answer.ReplayRequest) { q.Oversized = answer.OversizedRaise })
	for i := range s.rows {
		if len(raised) != len(s.rows) || !alike(raised[i], &s.rows[i], 0) {
			t.Fatalf("%d records with the limit raised, or record %d is another", len(raised), i)
		}
	}
}
