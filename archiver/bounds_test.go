package archiver_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// TestBoundsOfAnotherTopic: the topic was made anew, and the new one's log begins
// above where the one before is to be read on. That is no gap of the one before.
func TestBoundsOfAnotherTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.withoutFetchIDs(t)
	var holding atomic.Bool
	anew := make(chan struct{})
	c := r.broker.Cluster()
	c.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if holding.Load() {
			c.SleepControl(func() { <-anew })
		}
		return nil, nil, false
	})
	before := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 3)
	a, _ := r.archive(t, func(o *archiver.Options) {
		endsSoon(o)
		o.Discovery = time.Hour
	})
	r.sealed(t, a, before, 3)
	holding.Store(true)
	time.Sleep(time.Second)
	r.deleteTopic(t, "orders")
	r.topic(t, "orders", 1)
	producer := embeddedtest.KafkaClient(t, r.broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 25 {
		must(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, "anew %d", i)}).FirstErr())
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("orders", 0, 10, -1)
	_, err := kadm.NewClient(producer).DeleteRecords(t.Context(), offsets)
	must(t, err)
	holding.Store(false)
	close(anew)
	time.Sleep(4 * time.Second)
	if _, err := a.Seal(t.Context(), false); err != nil {
		t.Log(err)
	}
	time.Sleep(2 * time.Second)
	for entry, err := range r.book.Commits(t.Context(), before, 0) {
		must(t, err)
		if c := entry.Commit; c.Next > 3 {
			t.Errorf("commit %d (%s) of the topic before, which had 3 offsets, goes to %d: gaps %+v", c.Seq, c.Kind, c.Next, c.Gaps)
		}
	}
}
