package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/broker"
	"github.com/fx-risk-ai/annals/test/instance"
)

// TestPartitionsAdded: from their first offset on.
func TestPartitionsAdded(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "grows", 1, nil)
	r.produce(t, s, 10)
	a, _ := r.archive(t, func(o *archiver.Options) { o.StartLatest = true })
	embeddedtest.Eventually(t, 20*time.Second, func() error { _, err := r.book.Head(t.Context(), s); return err })
	added, err := r.admin.CreatePartitions(t.Context(), 2, s.Topic)
	must(t, err)
	must(t, added[s.Topic].Err)
	for partition := range int32(2) {
		embeddedtest.Eventually(t, 20*time.Second, func() error {
			r.client.ForceMetadataRefresh()
			return r.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.Topic, Partition: 1 + partition, Value: []byte("first")}).FirstErr()
		})
		r.produce(t, at(s, 1+partition), 10)
	}
	r.produce(t, s, 5)
	must(t, a.CatchUp(t.Context()))
	for partition, base := range []int64{10, 0, 0} {
		h := r.archived(t, a, at(s, int32(partition)))
		if h.Base != base || len(h.Rows) == 0 || len(h.Gaps) > 0 {
			t.Errorf("partition %d: archived from %d, %d rows, gaps %v", partition, h.Base, len(h.Rows), h.Gaps)
		}
	}
	well(t, a)
}

// recreate deletes a topic and makes it again after a while. The producer hears
// of it only once every broker tells the new ID: with the old one it would give
// up what it has buffered.
func (r *rig) recreate(t *testing.T, s schema.Stream, after time.Duration) schema.Stream {
	t.Helper()
	deleted, err := r.admin.DeleteTopics(t.Context(), s.Topic)
	must(t, err)
	must(t, deleted.Error())
	time.Sleep(after)
	var again kadm.CreateTopicResponse
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		again, err = r.admin.CreateTopic(t.Context(), 1, int16(len(r.cluster.Nodes())), nil, s.Topic)
		return err
	})
	for node := range r.cluster.Nodes() {
		embeddedtest.Eventually(t, 30*time.Second, func() error { return r.tells(t, int32(node+1), s.Topic, again.ID) })
	}
	r.client.PurgeTopicsFromClient(s.Topic)
	s.TopicID = schema.TopicID(again.ID)
	return s
}

// tells is an error as long as a broker's metadata names another topic ID.
func (r *rig) tells(t *testing.T, node int32, topic string, id kadm.TopicID) error {
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr(topic)
	request.Topics = append(request.Topics, asked)
	response, err := r.client.Broker(int(node)).Request(t.Context(), request)
	if err != nil {
		return err
	}
	if told := response.(*kmsg.MetadataResponse).Topics[0]; told.ErrorCode != 0 || told.TopicID != [16]byte(id) {
		return fmt.Errorf("broker %d tells %x of %s (%v), want %x", node, told.TopicID, topic, kerr.ErrorForCode(told.ErrorCode), id)
	}
	return nil
}

// TestRecreatedTopic: deleted and made again at once, and so late that somebody
// may have seen it missing; each incarnation is a stream of its own.
func TestRecreatedTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	waits := []time.Duration{0, 200 * time.Millisecond, time.Second}
	for i, wait := range waits {
		s := r.topic(t, fmt.Sprint("again", i), 1, nil)
		a, stop := r.archive(t, nil)
		r.produce(t, s, 20)
		first := r.archived(t, a, s)
		second := r.recreate(t, s, wait)
		started := time.Now()
		r.produce(t, second, 8)
		h := r.archived(t, a, second)
		t.Logf("recreated after %s: archived %s later", wait, time.Since(started).Round(time.Millisecond))
		if len(first.Rows) != 20 || len(h.Rows) != 8 || h.Base != 0 {
			t.Errorf("%d and %d rows from %d", len(first.Rows), len(h.Rows), h.Base)
		}
		if still := r.history(t, s); len(still.Rows) != 20 {
			t.Errorf("%d rows of the first are left", len(still.Rows))
		}
		r.produce(t, second, 8)
		r.archived(t, a, second)
		well(t, a)
		stop()
	}
}

// TestRecreatedWhileNobodyArchives: another archiver finds the new one.
func TestRecreatedWhileNobodyArchives(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "later", 1, nil)
	a, stop := r.archive(t, nil)
	r.produce(t, s, 20)
	r.archived(t, a, s)
	stop()
	second := r.recreate(t, s, 0)
	r.produce(t, second, 8)
	a, _ = r.archive(t, nil)
	if h := r.archived(t, a, second); len(h.Rows) != 8 {
		t.Errorf("%d rows of the second", len(h.Rows))
	}
	well(t, a)
}

// TestAThousandTopics: made at once, they are found within half a minute.
func TestAThousandTopics(t *testing.T) {
	instance.Long(t)
	const many = 1000
	r := newRig(t, broker.Start(t, broker.Options{}))
	a, _ := r.archive(t, func(o *archiver.Options) { o.Discovery = 0 }) // the default
	first := r.topic(t, "first", 1, nil)
	r.produce(t, first, 1)
	r.archived(t, a, first)
	var names []string
	for i := range many {
		names = append(names, fmt.Sprintf("%s.many-%04d", r.name, i))
	}
	made := time.Now()
	created, err := r.admin.CreateTopics(t.Context(), 1, 1, nil, names...)
	must(t, err)
	must(t, created.Error())
	t.Logf("%d topics created in %s", many, time.Since(made).Round(time.Millisecond))
	made = time.Now()
	go func() {
		for _, name := range names {
			r.client.Produce(t.Context(), &kgo.Record{Topic: name, Value: []byte("first")}, nil)
		}
	}()
	archived := func() int {
		n := 0
		for _, topic := range a.Topics().Topics {
			if topic.Archived {
				n++
			}
		}
		return n
	}
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if n := archived(); n < many+1 {
			return fmt.Errorf("%d topics are found", n)
		}
		return nil
	})
	t.Logf("found after %s", time.Since(made).Round(time.Millisecond))
	must(t, r.client.Flush(t.Context()))
	must(t, a.CatchUp(t.Context()))
	t.Logf("a record of each read after %s", time.Since(made).Round(time.Millisecond))
	_, err = a.Seal(t.Context(), true)
	must(t, err)
	t.Logf("sealed after %s", time.Since(made).Round(time.Millisecond))
	for _, name := range []string{names[0], names[many/2], names[many-1]} {
		id := schema.TopicID(created[name].ID)
		if h := r.equals(t, schema.Stream{Cluster: r.id, Topic: name, TopicID: id}); len(h.Rows) != 1 {
			t.Errorf("%s: %d rows", name, len(h.Rows))
		}
	}
	well(t, a)
}
