package query_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Fresh records of one partition that lie far apart, in offsets or in bytes, are
// each read where they are.
func TestFreshRecordsFarApart(t *testing.T) {
	broker := embeddedtest.MemoryKafka(t)
	client, reader, admin := clientsOf(t, broker)
	id, err := admin.CreateTopic(t.Context(), "far", partitions, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Fresh, o.Broker = reader, admin })
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	s := a.stream("far", partitionOf("EUR"))
	s.TopicID = id
	a.genesis(s)
	at := time.Date(2024, 5, 1, 14, 0, 0, 0, time.UTC)
	var records []*kgo.Record
	between := func(n int, value []byte) {
		for range n {
			records = append(records, &kgo.Record{Topic: "far", Partition: s.Partition, Value: value})
		}
	}
	wanted := func() {
		s.next = int64(len(records))
		headers := []string{"traceId", trace, "eventId", fmt.Sprint("e-", s.next), "eventType", "Step", "eventVersion", "1", "sourceService", "far"}
		if n := len(s.pending); n > 0 {
			headers = append(headers, "causationId", fmt.Sprint("e-", s.pending[n-1].Offset))
		}
		e := a.produce("far", "EUR", fmt.Sprintf(`{"n":%d}`, s.next), at.Add(time.Duration(s.next)*time.Millisecond), headers...)
		records = append(records, asProduced(e))
	}
	wanted()
	between(5500, []byte("small"))
	wanted()
	between(3, nil)
	wanted()
	between(100, make([]byte, 40<<10))
	wanted()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	a.indexAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
	if len(found.Hops) != 4 {
		t.Fatalf("%d hops", len(found.Hops))
	}
	for i := range found.Hops[1:] {
		h := &found.Hops[i+1]
		if h.Diff == nil || !h.Diff.Comparable || len(h.Diff.Changes) != 1 {
			t.Errorf("%s: diff %+v", h.Coordinates(), h.Diff)
		}
	}
}

// A record that was sealed a moment ago, when the catalog was read already, is read
// from its segment, whether or not Kafka still has it.
func TestSealedSinceTheCatalog(t *testing.T) {
	a := newArchive(t, nil) // no Kafka
	at := day("2024-05-01")
	trace, cause := hexID(16), hexID(16)
	a.produce("orders", "k", `{"n":1}`, at, "traceId", trace, "eventId", cause)
	a.sealAll()
	diff := func(child *schema.Record) *answer.Diff {
		t.Helper()
		found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
		return found.Hops[place(t, found, child)].Diff
	}
	for n := range 3 { // a new catalog may be read between the two
		a.trace(everybody(), trace, answer.TraceRequest{})
		since := a.produce("orders", "k", `{"n":2}`, at.Add(time.Duration(n+1)*time.Second), "traceId", trace, "causationId", cause)
		a.sealAll()
		if d := diff(since); d == nil || !d.Comparable || len(d.Changes) != 1 {
			t.Fatalf("%+v", d)
		}
	}
	unsealed := a.produce("orders", "k", `{"n":3}`, at.Add(time.Minute), "traceId", trace, "causationId", cause)
	a.indexAll()
	if d := diff(unsealed); d == nil || d.Comparable {
		t.Errorf("in no segment and without Kafka: %+v", d)
	}
}
