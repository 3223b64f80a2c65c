package replay_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// letters is an archived dead letter topic.
type letters struct {
	stream  schema.Stream
	records []schema.Record
}

func deadTopic(name string, partition int32) *letters {
	id := schema.TopicID{9}
	copy(id[1:], name)
	return &letters{stream: schema.Stream{Cluster: "source", Topic: name, TopicID: id, Partition: partition}}
}

// add appends a dead letter of the n-th record of a partition, with headers of its
// own before and behind those of the framework.
func (l *letters) add(topic string, partition int32, n int, more ...schema.Header) *schema.Record {
	r := awkward(l.stream, len(l.records))
	r.Status, r.Timestamp = schema.Committed, start.UnixMilli()+int64(len(l.records))
	r.Key, r.Value = fmt.Append(nil, "key ", n), fmt.Append(nil, topic, partition, " record ", n)
	r.Headers = append([]schema.Header{{Name: "a", Value: []byte{0xff}}, {Name: "a"}}, more...)
	if topic != "" {
		r.Headers = append(
			r.Headers,
			schema.Header{Name: "kafka_dlt-original-topic", Value: []byte(topic)},
			schema.Header{Name: "kafka_dlt-original-partition", Value: binary.BigEndian.AppendUint32(nil, uint32(partition))},
			schema.Header{Name: "kafka_dlt-original-offset", Value: binary.BigEndian.AppendUint64(nil, uint64(n))},
			schema.Header{Name: "kafka_dlt-exception-fqcn", Value: []byte("E")},
		)
	}
	r.Headers = append(r.Headers, schema.Header{Name: "z", Value: []byte{}})
	l.records = append(l.records, r)
	return &l.records[len(l.records)-1]
}

func redrive(lists ...*letters) *answer.RedriveRequest {
	d := &answer.RedriveRequest{}
	for _, l := range lists {
		for _, r := range l.records {
			d.Records = append(d.Records, answer.RedriveRecord{Place: answer.Place{Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, Branch: r.Branch, Offset: r.Offset}})
		}
	}
	return d
}

// restored is what a dead letter is to be in its original topic.
func restored(job string, r schema.Record, times int, keep bool) schema.Record {
	r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h schema.Header) bool {
		return strings.HasPrefix(h.Name, "kafka_dlt-") && !keep || strings.HasPrefix(h.Name, "annals-")
	})
	r.Headers = append(
		r.Headers, schema.Header{Name: failure.HeaderRedriven, Value: []byte(strconv.Itoa(times))},
		schema.Header{Name: "annals-replay-id", Value: []byte(job)}, schema.Header{Name: "annals-source-topic", Value: []byte(r.Topic)},
		schema.Header{Name: "annals-source-topic-id", Value: []byte(r.TopicID.String())},
		schema.Header{Name: "annals-source-partition", Value: []byte(strconv.Itoa(int(r.Partition)))},
		schema.Header{Name: "annals-source-offset", Value: []byte(strconv.FormatInt(r.Offset, 10))},
	)
	return r
}

func (r *rig) live(t *testing.T, topic string, partitions int32) {
	t.Helper()
	_, err := r.cluster.CreateReplicated(t.Context(), topic, partitions, 1, nil)
	must(t, err)
}

// TestRedrive puts the dead letters of three topics' partitions back into two topics:
// every record once, in its partition, as it was, in the order of its dead letters;
// whatever the pace, and however often the worker is stopped.
func TestRedrive(t *testing.T) {
	for name, pace := range map[string]*answer.ReplayPace{"fast": nil, "paced": {Mode: answer.PaceRate, RecordsPerSecond: 400}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.live(t, "orders", 3)
			r.live(t, "payments", 1)
			all := []*letters{deadTopic("orders-dlt", 0), deadTopic("orders-dlt", 1), deadTopic("rubbish", 0)}
			for i := range 240 {
				l := all[i%3]
				if i%7 == 0 {
					l.add("payments", 0, i)
				} else {
					l.add("orders", int32(i%5)%3, i)
				}
			}
			for _, l := range all {
				r.put(t, l.stream, l.records)
			}
			s := r.service(t, nil, nil, nil)
			request := answer.ReplayRequest{AllowExisting: true, Redrive: redrive(all...)}
			plan, err := s.Plan(t.Context(), everybody, request)
			must(t, err)
			again, err := s.Plan(t.Context(), everybody, request)
			if err != nil || again.ID != plan.ID || plan.Records != 240 || plan.Redrive == nil || plan.Redrive.Limit != answer.DefaultRedriveLimit || len(plan.Topics) != 4 {
				t.Fatalf("planned %+v, then %+v, %v", plan, again, err)
			}
			dry, err := s.DryRun(t.Context(), everybody, plan.ID)
			if err != nil || !dry.Matches || dry.Records != 240 {
				t.Fatalf("dry run: %+v, %v", dry, err)
			}
			stop := work(t, s)
			_, err = s.Run(t.Context(), everybody, plan.ID, pace)
			must(t, err)
			for range 3 { // others take it up
				until(t, s, plan.ID, answer.JobRunning, answer.JobReconciling, answer.JobDone)
				stop()
				s = r.service(t, nil, nil, nil)
				stop = work(t, s)
			}
			job := until(t, s, plan.ID, answer.JobDone)
			if !job.Receipt.Matches || !job.Receipt.Exclusive || job.Receipt.ReadBack != 240 {
				t.Errorf("receipt %+v", job.Receipt)
			}
			want := map[string][]string{} // by target partition and source partition
			for _, l := range all {
				for _, record := range l.records {
					f := failure.Of(&record)
					back := restored(plan.ID, record, 1, false)
					at := fmt.Sprintf("%s/%d from %s/%d", f.Original.Topic, f.Original.Partition, record.Topic, record.Partition)
					want[at] = append(want[at], line(&back))
				}
			}
			got := map[string][]string{}
			for topic, partitions := range map[string]int32{"orders": 3, "payments": 1} {
				for partition := range partitions {
					for _, record := range r.target(t, topic, partition) {
						source, number := header(&record, "annals-source-topic"), header(&record, "annals-source-partition")
						at := fmt.Sprintf("%s/%d from %s/%s", topic, partition, source, number)
						got[at] = append(got[at], line(&record))
						offset, err := strconv.ParseInt(header(&record, "annals-source-offset"), 10, 64)
						must(t, err)
						in, err := strconv.ParseInt(number, 10, 32)
						must(t, err)
						pair, err := s.MapOffset(t.Context(), everybody, plan.ID, answer.OffsetQuery{Topic: source, Partition: int32(in), Source: &offset})
						if err != nil || pair.Target != topic || pair.TargetPartition != partition || pair.TargetOffset != record.Offset {
							t.Fatalf("%s/%d offset %d: %+v, %v", source, in, offset, pair, err)
						}
						back, err := s.MapOffset(t.Context(), everybody, plan.ID, answer.OffsetQuery{Topic: topic, Partition: partition, Target: &record.Offset})
						if err != nil || *back != *pair {
							t.Fatalf("back: %+v, %v", back, err)
						}
					}
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("delivered\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// TestPowerCutsInARedrive: whatever the moment, each dead letter is back in its topic and
// partition once, and those of one partition in their order. Jobs differ in how often a
// record may come back, and their records say which job they are of.
func TestPowerCutsInARedrive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live(t, "orders", 3)
	all := []*letters{deadTopic("orders-dlt", 0), deadTopic("orders-dlt", 1)}
	for i := range 120 {
		all[i%2].add("orders", int32(i%5)%3, i)
	}
	for _, l := range all {
		r.put(t, l.stream, l.records)
	}
	cuts := 8
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		cuts = 200
	}
	(&replaytest.Cuts{
		Brokers: r.cluster, Store: r.store, Ledger: r.book,
		Options: replay.Options{
			PositionTopic: positions, Worker: "cut", Lease: 80 * time.Millisecond, Poll: 10 * time.Millisecond, Batch: 1 << 10,
		},
		Ask: func(n int) answer.ReplayRequest {
			d := redrive(all...)
			d.Limit = n
			return answer.ReplayRequest{AllowExisting: true, Redrive: d}
		},
		Check: func(t *testing.T, plan *answer.ReplayPlan) {
			t.Helper()
			want, got := map[string][]string{}, map[string][]string{} // by target partition and source partition
			for _, l := range all {
				for _, record := range l.records {
					back := restored(plan.ID, record, 1, false)
					at := fmt.Sprintf("%d from %d", failure.Of(&record).Original.Partition, record.Partition)
					want[at] = append(want[at], line(&back))
				}
			}
			for partition := range int32(3) {
				for _, record := range r.target(t, "orders", partition) {
					if header(&record, "annals-replay-id") == plan.ID {
						at := fmt.Sprintf("%d from %s", partition, header(&record, "annals-source-partition"))
						got[at] = append(got[at], line(&record))
					}
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("delivered\n%v\nwant\n%v", got, want)
			}
		},
	}).Run(t, cuts)
}

// TestReceiptOfARedriveTells: where dead letters of several partitions go to one, a
// record that is not as planned is found all the same.
func TestReceiptOfARedriveTells(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"lost", "twice", "elsewhere", "changed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.live(t, "orders", 3)
			all := []*letters{deadTopic("orders-dlt", 0), deadTopic("orders-dlt", 1), deadTopic("rubbish", 0)}
			for i := range 60 {
				all[i%3].add("orders", int32(i%5)%3, i)
			}
			for _, l := range all {
				r.put(t, l.stream, l.records)
			}
			s := r.service(t, nil, skewed{Brokers: r.cluster, at: 40, how: how}, nil)
			work(t, s)
			plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{AllowExisting: true, Redrive: redrive(all...)})
			must(t, err)
			_, err = s.Run(t.Context(), everybody, plan.ID, nil)
			must(t, err)
			isTold(t, s, plan.ID)
		})
	}
}

func header(r *schema.Record, name string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

// TestRedriveAgain: the counter counts, what Annals added before is not added twice,
// and headers are kept if asked for.
func TestRedriveAgain(t *testing.T) {
	for _, keep := range []bool{false, true} {
		r := newRig(t)
		r.live(t, "orders", 1)
		l := deadTopic("orders-dlt", 0)
		first := restored("before", schema.Record{Topic: "x"}, 1, false)
		l.add("orders", 0, 7, first.Headers...)
		r.put(t, l.stream, l.records)
		s := r.service(t, nil, nil, nil)
		request := answer.ReplayRequest{AllowExisting: true, Redrive: redrive(l)}
		request.Redrive.KeepHeaders = keep
		plan, err := s.Plan(t.Context(), everybody, request)
		must(t, err)
		work(t, s)
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		until(t, s, plan.ID, answer.JobDone)
		same(t, "orders", r.target(t, "orders", 0), []schema.Record{restored(plan.ID, l.records[0], 2, keep)})
	}
}

// TestRedriveRefusals: what cannot be put back is named with the reason, and nothing is
// planned, unless it is to be left out.
func TestRedriveRefusals(t *testing.T) {
	r := newRig(t)
	r.live(t, "orders", 2)
	r.live(t, "hidden", 1)
	l := deadTopic("orders-dlt", 0)
	l.add("orders", 1, 0)
	reasons := []string{}
	refuse := func(reason string, record *schema.Record) {
		reasons = append(reasons, fmt.Sprintf("orders-dlt/0/%d is not put back: %s", record.Offset, reason))
	}
	refuse("its headers do not say where it comes from", l.add("", 0, 1))
	refuse("it comes from partition 2, and orders has 2", l.add("orders", 2, 2))
	refuse("the topic that it comes from, gone, is not in this Kafka", l.add("gone", 0, 3))
	refuse("it was put back 3 times already, the limit is 3", l.add("orders", 0, 4, schema.Header{Name: failure.HeaderRedriven, Value: []byte("3")}))
	refuse("it was put back 2147483647 times already, the limit is 3", l.add("orders", 0, 5, schema.Header{Name: failure.HeaderRedriven, Value: []byte("?")}))
	refuse("the topic that it comes from may not be seen", l.add("hidden", 0, 6))
	refuse("it is a notice of Annals' own, not the record, which is archived", func() *schema.Record {
		record := l.add("", 0, 7)
		record.Headers = []schema.Header{{Name: "annals-dead-letter", Value: []byte("x")}}
		return record
	}())
	refuse("it was put back already, to orders/0/99", l.add("orders", 0, 8))
	r.put(t, l.stream, l.records)
	topics, err := policy.Topics("orders*", "gone")
	must(t, err)
	who := policy.Principal{Name: "p", Topics: topics}
	s := r.service(t, nil, nil, nil)
	ask := func(change func(*answer.ReplayRequest)) (*answer.ReplayPlan, error) {
		request := answer.ReplayRequest{AllowExisting: true, Redrive: redrive(l)}
		request.Redrive.Records[8].PutBack = &schema.Coordinates{Topic: "orders", Offset: 99}
		if change != nil {
			change(&request)
		}
		return s.Plan(t.Context(), who, request)
	}
	_, err = ask(nil)
	if schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "8 of 9 dead letters cannot be put back") || !strings.Contains(err.Error(), "and 3 more") {
		t.Errorf("%v", err)
	}
	plan, err := ask(func(r *answer.ReplayRequest) { r.Redrive.SkipRefused = true })
	if err != nil || plan.Records != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for _, reason := range reasons {
		if !slices.Contains(plan.Warnings, reason) {
			t.Errorf("%q is not among %q", reason, plan.Warnings)
		}
	}
	plan, err = ask(func(r *answer.ReplayRequest) { r.Redrive.SkipRefused, r.Redrive.Again, r.Redrive.Limit = true, true, 4 })
	if err != nil || plan.Records != 3 {
		t.Errorf("%+v, %v", plan, err)
	}
	for name, c := range map[string]struct {
		change func(*answer.ReplayRequest)
		kind   schema.Kind
		says   string
	}{
		"no permission":      {func(r *answer.ReplayRequest) { r.AllowExisting = false }, schema.Invalid, "topics that exist"},
		"nothing":            {func(r *answer.ReplayRequest) { r.Redrive.Records = nil }, schema.Invalid, "no dead letter"},
		"too many":           {func(r *answer.ReplayRequest) { r.Redrive.Records = make([]answer.RedriveRecord, answer.MaxRedriven+1) }, schema.Exhausted, "at most"},
		"a limit":            {func(r *answer.ReplayRequest) { r.Redrive.Limit = -1 }, schema.Invalid, "limit"},
		"another target":     {func(r *answer.ReplayRequest) { r.TargetPrefix = "x." }, schema.Invalid, "no other target"},
		"another selection":  {func(r *answer.ReplayRequest) { r.Topics = []string{"orders"} }, schema.Invalid, "no other selection"},
		"a filter":           {func(r *answer.ReplayRequest) { r.Filter = "true" }, schema.Invalid, "no other selection"},
		"traces":             {func(r *answer.ReplayRequest) { r.TraceIDs = []string{"t"} }, schema.Invalid, "no other selection"},
		"by key":             {func(r *answer.ReplayRequest) { r.Partitioning = answer.PartitionByKey }, schema.Invalid, "changes no partitions"},
		"of now":             {func(r *answer.ReplayRequest) { r.Timestamps = answer.TimestampsNow }, schema.Invalid, "or timestamps"},
		"oversized":          {func(r *answer.ReplayRequest) { r.Oversized = answer.OversizedSkip }, schema.Invalid, "oversized"},
		"not archived":       {func(r *answer.ReplayRequest) { r.Redrive.Records[0].Partition = 5 }, schema.NotFound, "not archived"},
		"none but refused":   {func(r *answer.ReplayRequest) { r.Redrive.Records, r.Redrive.SkipRefused = r.Redrive.Records[1:2], true }, schema.Conflict, "cannot be put back"},
		"an offset too high": {func(r *answer.ReplayRequest) { r.Redrive.Records[0].Offset = 99 }, schema.Corrupt, "in no current segment"},
	} {
		if _, err := ask(c.change); schema.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRedriveIntoItself: a dead letter whose original topic is the one that it stands in
// is not produced there again.
func TestRedriveIntoItself(t *testing.T) {
	r := newRig(t)
	id, err := r.cluster.CreateReplicated(t.Context(), "loop-dlt", 1, 1, nil)
	must(t, err)
	l := deadTopic("loop-dlt", 0)
	l.stream.TopicID = id
	l.add("loop-dlt", 0, 0)
	r.put(t, l.stream, l.records)
	s := r.service(t, nil, nil, nil)
	if _, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{AllowExisting: true, Redrive: redrive(l)}); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "the dead letter topic itself") {
		t.Error(err)
	}
}

// TestRedrivenTopicIsDeleted: between plan and run the original topic went; nothing
// makes it anew.
func TestRedrivenTopicIsDeleted(t *testing.T) {
	r := newRig(t)
	r.live(t, "orders", 1)
	l := deadTopic("orders-dlt", 0)
	l.add("orders", 0, 0)
	r.put(t, l.stream, l.records)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{AllowExisting: true, Redrive: redrive(l)})
	must(t, err)
	deleteTopic(t, embeddedtest.KafkaClient(t, r.broker), "orders")
	if _, err := s.Run(t.Context(), everybody, plan.ID, nil); schema.KindOf(err) != schema.NotFound || !strings.Contains(err.Error(), "is not in this Kafka") {
		t.Error(err)
	}
}
