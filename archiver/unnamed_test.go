package archiver_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// withoutFetchIDs makes the broker one whose fetches name topics by name alone, as
// before Kafka 3.1.
func (r *rig) withoutFetchIDs(t *testing.T) {
	t.Helper()
	answer, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), r.client)
	must(t, err)
	c := r.broker.Cluster()
	c.ControlKey(kmsg.ApiVersions.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		response := request.ResponseKind().(*kmsg.ApiVersionsResponse)
		for _, key := range answer.ApiKeys {
			if key.ApiKey == kmsg.Fetch.Int16() {
				key.MaxVersion = 12
			}
			response.ApiKeys = append(response.ApiKeys, key)
		}
		return response, nil, true
	})
}

// TestFetchWithoutTopicIDs: a topic is deleted and made anew between two fetches
// that name it by name alone, and has records where the next one reads on. They are
// not taken for those of the topic before, whose archive ends; they are the new
// one's.
func TestFetchWithoutTopicIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.withoutFetchIDs(t)
	var old atomic.Int32
	var holding atomic.Bool
	anew := make(chan struct{})
	c := r.broker.Cluster()
	c.ControlKey(kmsg.Fetch.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if request.GetVersion() <= 12 {
			old.Add(1)
		}
		if holding.Load() {
			c.SleepControl(func() { <-anew })
		}
		return nil, nil, false
	})
	before := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 10)
	a, _ := r.archive(t, func(o *archiver.Options) {
		endsSoon(o)
		o.Discovery = time.Hour // but when somebody asks for a listing
	})
	r.sealed(t, a, before, 10)
	if old.Load() == 0 {
		t.Fatal("no fetch named topics by name alone")
	}
	holding.Store(true)
	time.Sleep(time.Second) // the fetch under way ends, and the next is held
	r.deleteTopic(t, "orders")
	after := r.stream("orders", r.topic(t, "orders", 1), 0)
	producer := embeddedtest.KafkaClient(t, r.broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 25 {
		must(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, "anew %d", i)}).FirstErr())
	}
	holding.Store(false)
	close(anew)
	time.Sleep(2 * time.Second) // what is taken wrongly is sealed
	if _, err := a.Seal(t.Context(), true); err != nil {
		t.Log(err)
	}
	for _, row := range r.rows(t, before) {
		if strings.HasPrefix(string(row.Value), "anew") {
			t.Fatalf("offset %d of the topic before is the new one's", row.Offset)
		}
	}
	r.sealed(t, a, after, 25)
	r.hasEnded(t, before, 10)
}
