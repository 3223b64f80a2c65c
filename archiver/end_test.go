package archiver_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// endsSoon is an archiver that ends a chain soon after its topic is gone.
func endsSoon(o *archiver.Options) { o.EndAfter = 500 * time.Millisecond }

// endsLater is one whose clock is two hours ahead, and four once it was told: what
// was committed before is old then, and topics have been gone for long.
func endsLater(hours *atomic.Int64) func(*archiver.Options) {
	return func(o *archiver.Options) {
		endsSoon(o)
		o.Compact = archiver.Compact{Off: true, Now: func() time.Time {
			return time.Now().Add(time.Duration(2+2*hours.Load()) * time.Hour)
		}}
	}
}

// hasEndedLater starts an archiver that finds the chain of a deleted topic, and has it
// ended at its second look, when nobody can be about to add to it; not at its first,
// when others may not know yet that the topic is gone.
func (r *rig) hasEndedLater(t *testing.T, s schema.Stream, next int64) (v *ledger.View, stop func()) {
	t.Helper()
	var hours atomic.Int64
	r.topic(t, "another", 1)
	looked, before := r.looksAt(s), r.ends(t, s)
	_, stop = r.archive(t, endsLater(&hours))
	looked(t)
	if n := r.ends(t, s); n != before {
		t.Errorf("%d ends at the first look, %d before", n, before)
	}
	hours.Store(1)
	r.deleteTopic(t, "another") // makes it look again
	return r.hasEnded(t, s, next), stop
}

func (r *rig) deleteTopic(t *testing.T, name string) {
	t.Helper()
	_, err := kadm.NewClient(r.client).DeleteTopic(t.Context(), name)
	must(t, err)
}

// looksAt has the next archiver tell when it has looked at a stream's topic, which it
// does not archive, for the first time.
func (r *rig) looksAt(s schema.Stream) (looked func(t *testing.T)) {
	store := &noted{r.store, make(chan string, 1000)}
	r.objects = store
	return func(t *testing.T) {
		t.Helper()
		for late := time.After(30 * time.Second); ; {
			select {
			case key := <-store.asked:
				if key == settledKey(s) {
					time.Sleep(time.Second) // it looks at the clock once it has the answer
					return
				}
			case <-late:
				t.Fatal("it does not look at a topic that it does not archive")
			}
		}
	}
}

func (r *rig) view(t *testing.T, s schema.Stream) *ledger.View {
	t.Helper()
	v, err := r.book.View(t.Context(), s, nil)
	must(t, err)
	return v
}

// hasEnded waits until a chain has ended, and the index knows; and holds it against
// the rows that should be in it.
func (r *rig) hasEnded(t *testing.T, s schema.Stream, next int64) *ledger.View {
	t.Helper()
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		head, err := r.book.Head(t.Context(), s)
		if err != nil || !head.Ended {
			return fmt.Errorf("the chain of %s has not ended, next is %d: %v", s, head.Next, err)
		}
		missing, err := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion)
		if err == nil && missing <= head.Commit.Seq {
			err = fmt.Errorf("commit %d of %s is not indexed", missing, s)
		}
		return err
	})
	v := r.view(t, s)
	if v.Head.Next != next || int64(len(r.rows(t, s))) != next {
		t.Errorf("%s ended at %d, with %d rows, want %d", s, v.Head.Next, len(r.rows(t, s)), next)
	}
	if report, err := r.book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true}); err != nil || report.Findings != 0 || !report.Ended {
		t.Errorf("%s: ended %t, %+v, %v", s, report.Ended, report.Listed, err)
	}
	return v
}

// ends counts a chain's end commits, behind the ledger's back: it would refuse two.
func (r *rig) ends(t *testing.T, s schema.Stream) (n int) {
	t.Helper()
	for o, err := range r.store.List(t.Context(), schema.LedgerStreamPrefix(s), "") {
		must(t, err)
		body, _, err := r.store.Get(t.Context(), o.Key, schema.MaxCommitBytes)
		must(t, err)
		if strings.Contains(string(body), `"kind":"end"`) {
			n++
		}
	}
	return n
}

// TestDeletedTopicIsSealedAndEnded: what was read of a topic that is deleted, or
// made anew under its name, is sealed though it was buffered alone, and each
// partition's chain is ended; the new topic begins one of its own.
func TestDeletedTopicIsSealedAndEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "orders", 2)
	r.produce(t, "orders", 0, 20)
	r.produce(t, "orders", 1, 5)
	other := r.stream("made-anew", r.topic(t, "made-anew", 1), 0)
	r.produce(t, "made-anew", 0, 7)
	a, _ := r.archive(t, endsSoon)
	must(t, a.CatchUp(t.Context()))
	r.deleteTopic(t, "orders")
	r.deleteTopic(t, "made-anew")
	anew := r.stream("made-anew", r.topic(t, "made-anew", 1), 0)
	for partition, n := range []int64{20, 5} {
		v := r.hasEnded(t, r.stream("orders", id, int32(partition)), n)
		if end, known := v.Went(); !known || end != n || v.End.LogStart == nil || v.End.LastStableOffset == nil {
			t.Errorf("partition %d went up to %d (known: %t), end %+v", partition, end, known, v.End)
		}
	}
	r.hasEnded(t, other, 7)
	r.client.PurgeTopicsFromClient("made-anew") // it knows the ID of the one before
	r.produce(t, "made-anew", 0, 3)
	r.sealed(t, a, anew, 3)
	if v := r.view(t, anew); v.End != nil {
		t.Error("the new topic's chain has ended")
	}
	if troubles := a.Health(); len(troubles) > 0 {
		t.Errorf("in the way: %v", troubles)
	}
	if lag := a.Lag(); lag.Records != 0 || lag.Behind {
		t.Errorf("behind: %+v", lag)
	}
	must(t, a.CatchUp(t.Context()))
}

// TestDepartingRowsAreSealedBehindAnothersCommit: a commit that moves nothing takes
// the seq at which what was read of a deleted topic is to be sealed.
func TestDepartingRowsAreSealedBehindAnothersCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 12)
	a, _ := r.archive(t, endsSoon)
	must(t, a.CatchUp(t.Context()))
	r.takeSeq(t, s)
	r.deleteTopic(t, "orders")
	r.hasEnded(t, s, 12)
}

// TestWhatWasUndecidedGoesWithItsTopic: what waits for a marker is not sealed, and
// the end says which offsets that were.
func TestWhatWasUndecidedGoesWithItsTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 4)
	producer := embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID("open"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, producer.BeginTransaction())
	for range 3 {
		must(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("undecided")}).FirstErr())
	}
	registry := prometheus.NewRegistry()
	a, _ := r.archive(t, func(o *archiver.Options) {
		endsSoon(o)
		o.Registerer = registry
	})
	must(t, a.CatchUp(t.Context()))
	if waits, _ := metric(t, registry, "annals_archiver_open_transaction_seconds", "topic", "orders"); waits <= 0 || waits > 60 {
		t.Errorf("the oldest undecided record has waited %v s", waits)
	}
	r.deleteTopic(t, "orders")
	v := r.hasEnded(t, s, 4)
	if end, known := v.Went(); !known || end != 7 {
		t.Errorf("offsets up to %d went with the topic (known: %t), want 7", end, known)
	}
	if stable := v.End.LastStableOffset; stable == nil || *stable != 4 {
		t.Errorf("the last stable offset was %v", stable)
	}
}

// TestTopicDeletedWhileNoneRan: the chain of a topic that was deleted while no
// archiver ran is ended by one that finds it in the ledger, when nobody can be
// about to add to it; with what the chain itself knows of Kafka.
func TestTopicDeletedWhileNoneRan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 9)
	a, stop := r.archive(t, nil)
	r.sealed(t, a, s, 9)
	stop()
	r.deleteTopic(t, "orders")
	v, stop := r.hasEndedLater(t, s, 9)
	if end, known := v.Went(); known || end != 9 { // more may have come while none ran
		t.Errorf("went up to %d (known: %t)", end, known)
	}
	stop()
}

// TestTwoEndAChain: two archivers end the same chain, and it has one end.
func TestTwoEndAChain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 12)
	both := &together{Ledger: r.book, arrived: make(chan struct{}, 2), go2: make(chan struct{})}
	r.chain = both
	a, _ := r.archive(t, endsSoon)
	b, _ := r.archive(t, func(o *archiver.Options) {
		endsSoon(o)
		o.Tail.Group, o.Tail.InstanceID, o.Writer = "another", "", "another"
	})
	r.sealed(t, a, s, 12)
	must(t, b.CatchUp(t.Context()))
	_, err := b.Seal(t.Context(), true)
	if err != nil {
		t.Logf("the other one lost: %v", err)
	}
	r.deleteTopic(t, "orders")
	for range 2 {
		select {
		case <-both.arrived:
		case <-time.After(30 * time.Second):
			t.Fatal("not both come to end the chain")
		}
	}
	close(both.go2)
	r.hasEnded(t, s, 12)
	time.Sleep(time.Second)
	if n := r.ends(t, s); n != 1 {
		t.Errorf("%d ends", n)
	}
}

// together is a ledger in which two ends wait for one another.
type together struct {
	archiver.Ledger
	arrived, go2 chan struct{}
}

func (l *together) Append(ctx context.Context, head ledger.Head, c *schema.Commit) (ledger.Head, error) {
	if c.Kind == schema.KindEnd {
		l.arrived <- struct{}{}
		select {
		case <-l.go2:
		case <-ctx.Done():
			return ledger.Head{}, ctx.Err()
		}
	}
	return l.Ledger.Append(ctx, head, c)
}

// TestEndSurvivesACrash: whoever comes after a crash at the end commits it, or
// finds it there and tells the index.
func TestEndSurvivesACrash(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			s := r.stream("orders", r.topic(t, "orders", 1), 0)
			r.produce(t, "orders", 0, 6)
			d := &dying{Ledger: r.book, at: schema.KindEnd, after: after, dead: make(chan struct{})}
			r.chain = d
			a, stop := r.archive(t, endsSoon)
			must(t, a.CatchUp(t.Context()))
			r.deleteTopic(t, "orders")
			select {
			case <-d.dead:
			case <-time.After(30 * time.Second):
				t.Fatal("no end was tried")
			}
			stop()
			if n := r.ends(t, s); (n == 1) != after {
				t.Fatalf("%d ends", n)
			}
			r.chain = nil
			r.hasEndedLater(t, s, 6)
			if n := r.ends(t, s); n != 1 {
				t.Errorf("%d ends", n)
			}
		})
	}
}

// hide makes the broker answer as if there were no topics: in every answer, or in
// those that list them alone; until it is told otherwise.
func (r *rig) hide(t *testing.T, everywhere bool) (show func()) {
	t.Helper()
	return r.answers(t, func(asked *kmsg.MetadataRequest) bool {
		return asked.Topics == nil || everywhere && len(asked.Topics) > 0
	}, func(topic *kmsg.MetadataRequestTopic) int16 {
		if topic.TopicID != [16]byte{} {
			return kerr.UnknownTopicID.Code
		}
		return kerr.UnknownTopicOrPartition.Code
	})
}

// answers makes the broker list no topics, and refuse those that it is asked for, in
// the metadata requests that are meant; until it is told otherwise.
func (r *rig) answers(t *testing.T, meant func(*kmsg.MetadataRequest) bool, refusal func(*kmsg.MetadataRequestTopic) int16) (over func()) {
	t.Helper()
	c := r.broker.Cluster()
	ended := make(chan struct{})
	host, number, _ := strings.Cut(r.broker.Addr(), ":")
	port := int32(0)
	_, err := fmt.Sscan(number, &port)
	must(t, err)
	id := r.broker.ClusterID()
	c.ControlKey(kmsg.Metadata.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-ended:
			return nil, nil, false
		default:
		}
		c.KeepControl()
		asked := request.(*kmsg.MetadataRequest)
		if !meant(asked) {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		response.ClusterID, response.ControllerID = &id, c.CurrentNode()
		response.Brokers = []kmsg.MetadataResponseBroker{{NodeID: c.CurrentNode(), Host: host, Port: port}}
		for i := range asked.Topics {
			answer := kmsg.NewMetadataResponseTopic()
			answer.Topic, answer.TopicID, answer.ErrorCode = asked.Topics[i].Topic, asked.Topics[i].TopicID, refusal(&asked.Topics[i])
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	return func() { close(ended) }
}

// TestStaleMetadataEndsNothing: a broker that lists no topics for a while, though it
// has them, or has forgotten them for less than EndAfter, ends no chain, and the
// topic is read on.
func TestStaleMetadataEndsNothing(t *testing.T) {
	t.Parallel()
	for name, everywhere := range map[string]bool{"it is not listed": false, "it is not known for a moment": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			s := r.stream("orders", r.topic(t, "orders", 1), 0)
			r.produce(t, "orders", 0, 5)
			a, _ := r.archive(t, func(o *archiver.Options) {
				if endsSoon(o); everywhere {
					o.EndAfter = 20 * time.Second
				}
			})
			must(t, a.CatchUp(t.Context()))
			show := r.hide(t, everywhere)
			embeddedtest.Eventually(t, 20*time.Second, func() error { // sealed, as it is believed to be gone
				head, err := r.book.Head(t.Context(), s)
				if err == nil && head.Next != 5 {
					err = fmt.Errorf("next is %d", head.Next)
				}
				return err
			})
			time.Sleep(3 * time.Second)
			show()
			r.produce(t, "orders", 0, 5)
			r.sealed(t, a, s, 10)
			if n := r.ends(t, s); n != 0 {
				t.Errorf("%d ends of a topic that is there", n)
			}
			if n := len(r.rows(t, s)); n != 10 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

// TestEndUnderAReader: an end that another process placed though the topic is there
// takes the seq of whoever reads it, who goes on behind it on another branch.
func TestEndUnderAReader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 5)
	a, _ := r.archive(t, nil)
	r.sealed(t, a, s, 5)
	r.another(t, s, schema.KindEnd, func(*schema.Commit) {})
	r.produce(t, "orders", 0, 5)
	r.sealed(t, a, s, 10)
	if v := r.view(t, s); v.End != nil || len(v.Branches) != 2 || v.Branches[1].Point != 5 {
		t.Errorf("end %+v, branches %+v", v.End, v.Branches)
	}
	if n := len(r.rows(t, s)); n != 10 {
		t.Errorf("%d rows", n)
	}
	if said := a.Health(); len(said) > 0 {
		t.Errorf("in the way: %v", said)
	}
}

// TestEndThatProvesWrong: a topic that is there again, under its ID, after its chain
// was ended is read on as another branch, and its chain is ended again when it goes
// again, though a note says that it has ended.
func TestEndThatProvesWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 5)
	a, _ := r.archive(t, endsSoon)
	must(t, a.CatchUp(t.Context()))
	show := r.hide(t, true)
	r.hasEnded(t, s, 5)
	show()
	r.produce(t, "orders", 0, 5)
	r.sealed(t, a, s, 10)
	v := r.view(t, s)
	if v.End != nil || len(v.Branches) != 2 || v.Branches[1].Point != 5 {
		t.Errorf("end %+v, branches %+v", v.End, v.Branches)
	}
	if n := len(r.rows(t, s)); n != 10 {
		t.Errorf("%d rows", n)
	}
	r.deleteTopic(t, "orders")
	r.hasEnded(t, s, 10)
	if n := r.ends(t, s); n != 2 {
		t.Errorf("%d ends", n)
	}
}
