package query_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

var deadAt = time.Date(2024, 3, 4, 9, 0, 0, 0, time.UTC)

// dead produces the dead letter of a record, with the headers that Spring writes.
func (a *archive) dead(topic string, of *schema.Record, at time.Time, class, message, group string, more ...string) *schema.Record {
	return a.produce(topic, string(of.Key), string(of.Value), at, append(more,
		"kafka_dlt-original-topic", of.Topic, "kafka_dlt-original-partition", string(binary.BigEndian.AppendUint32(nil, uint32(of.Partition))),
		"kafka_dlt-original-offset", string(binary.BigEndian.AppendUint64(nil, uint64(of.Offset))),
		"kafka_dlt-exception-fqcn", class, "kafka_dlt-exception-message", message, "kafka_dlt-original-consumer-group", group)...)
}

// deadArchive has orders, of which some failed in Spring, Connect and Streams, in
// topics of which one is named as such, one only by policy, and one by neither.
func deadArchive(t *testing.T) (*archive, []*schema.Record) {
	yes := true
	rules, err := policy.NewRules([]policy.Rule{{Pattern: "parking", DeadLetters: &yes}})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Policy = rules })
	var orders []*schema.Record
	for i := range 12 {
		orders = append(orders, a.produce("orders", fmt.Sprintf("k%d", i), fmt.Sprintf(`{"order":%d}`, i), deadAt.Add(time.Duration(i)*time.Second), "sourceService", "shop"))
	}
	for i := range 5 {
		a.dead("orders-dlt", orders[i], deadAt.Add(time.Minute+time.Duration(i)*time.Second), "java.lang.IllegalStateException", fmt.Sprintf("no rate for order %d", i), "billing")
	}
	for i := 5; i < 8; i++ {
		a.produce("rubbish", string(orders[i].Key), string(orders[i].Value), deadAt.Add(2*time.Minute+time.Duration(i)*time.Second),
			"__connect.errors.topic", "orders", "__connect.errors.partition", fmt.Sprint(orders[i].Partition), "__connect.errors.offset", fmt.Sprint(orders[i].Offset),
			"__connect.errors.stage", "VALUE_CONVERTER", "__connect.errors.connector.name", "sink-pg", "__connect.errors.exception.class.name", "DataException",
			"__connect.errors.exception.message", "Converting byte[] to Kafka Connect data failed")
	}
	a.produce("parking", "p", "by hand", deadAt.Add(3*time.Minute), "reason", "unknown")
	a.sealAll()
	return a, orders
}

func places(list []answer.DeadRecord) []string {
	var out []string
	for i := range list {
		out = append(out, list[i].Hit.Coordinates().String())
	}
	return out
}

func TestDeadRecords(t *testing.T) {
	a, orders := deadArchive(t)
	everyone := policy.Everything()
	ask := func(r answer.DeadRecordRequest) *answer.DeadRecordPage {
		t.Helper()
		page, err := a.Engine.DeadRecords(t.Context(), everyone, r)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	all := ask(answer.DeadRecordRequest{})
	if len(all.Records) != 9 || all.Examined != 9 || all.NextCursor != "" || all.Note != "" {
		t.Fatalf("%d records of %d, %q: %v", len(all.Records), all.Examined, all.Note, places(all.Records))
	}
	if newest := all.Records[0]; newest.Hit.Topic != "parking" || newest.Failure.Framework != "" {
		t.Errorf("the newest is %+v", newest)
	}
	oldest := all.Records[8].Failure
	if want := (schema.Coordinates{Topic: "orders", Partition: orders[0].Partition, Offset: orders[0].Offset}); oldest.Original == nil || *oldest.Original != want ||
		oldest.Framework != "spring" || oldest.By != "billing" || oldest.Message != "no rate for order 0" {
		t.Errorf("the oldest tells %+v, want it from %v", oldest, want)
	}
	for name, c := range map[string]struct {
		request answer.DeadRecordRequest
		n       int
	}{
		"topic":                       {answer.DeadRecordRequest{Topic: "orders-dlt"}, 5},
		"topics by pattern":           {answer.DeadRecordRequest{Topic: "*r*"}, 21}, // all of a topic that is named count
		"original":                    {answer.DeadRecordRequest{Original: "orders"}, 8},
		"error, by its message":       {answer.DeadRecordRequest{Error: "NO RATE"}, 5},
		"error, by its class":         {answer.DeadRecordRequest{Error: "dataexc"}, 3},
		"service: who gave up":        {answer.DeadRecordRequest{Service: "sink-pg"}, 3},
		"service: nobody":             {answer.DeadRecordRequest{Service: "nobody"}, 0},
		"signature":                   {answer.DeadRecordRequest{Signature: oldest.Signature}, 5},
		"time":                        {answer.DeadRecordRequest{From: deadAt.Add(time.Minute + time.Second), To: deadAt.Add(time.Minute + 3*time.Second)}, 2},
		"everything at once":          {answer.DeadRecordRequest{Topic: "orders-d*", Original: "orders", Error: "rate", Service: "billing", From: deadAt}, 5},
		"an error of another service": {answer.DeadRecordRequest{Error: "no rate", Service: "sink-pg"}, 0},
	} {
		if page := ask(c.request); len(page.Records) != c.n {
			t.Errorf("%s: %d, want %d: %v", name, len(page.Records), c.n, places(page.Records))
		}
	}
	if page := ask(answer.DeadRecordRequest{Topic: "orders-dl"}); !strings.Contains(page.Note, "did you mean orders-dlt") {
		t.Errorf("of an unknown topic: %q", page.Note)
	}
	// Page by page the same come, whatever they are narrowed by.
	for _, limit := range []int{1, 2, 4} {
		request := answer.DeadRecordRequest{Original: "orders", Limit: limit}
		var got []string
		for {
			page := ask(request)
			got = append(got, places(page.Records)...)
			if request.Cursor = page.NextCursor; request.Cursor == "" {
				break
			}
		}
		if want := places(ask(answer.DeadRecordRequest{Original: "orders"}).Records); !slices.Equal(got, want) {
			t.Errorf("by %d: %v, want %v", limit, got, want)
		}
	}
	first := ask(answer.DeadRecordRequest{Limit: 1})
	for _, bad := range []answer.DeadRecordRequest{{Limit: -1}, {Limit: 1001}, {Cursor: "x"}, {Cursor: first.NextCursor, Original: "other"}, {Topic: "a b"}} {
		if _, err := a.Engine.DeadRecords(t.Context(), everyone, bad); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Who may not see a topic learns neither its dead letters nor that one came from it.
func TestDeadRecordsOfHiddenTopics(t *testing.T) {
	a, _ := deadArchive(t)
	topics, err := policy.Topics("orders-dlt")
	if err != nil {
		t.Fatal(err)
	}
	page, err := a.Engine.DeadRecords(t.Context(), policy.Principal{Name: "p", Topics: topics}, answer.DeadRecordRequest{})
	if err != nil || len(page.Records) != 5 {
		t.Fatalf("%v: %+v", err, page)
	}
	for _, r := range page.Records {
		if r.Failure.Original != nil || r.Failure.Last != nil || r.Failure.Problem == "" {
			t.Errorf("tells %+v", r.Failure)
		}
	}
}

func TestDeadRecordGroups(t *testing.T) {
	a, _ := deadArchive(t)
	found, err := a.DeadRecordGroups(t.Context(), policy.Everything(), answer.DeadRecordRequest{})
	if err != nil || !found.Complete || found.Examined != 9 || len(found.Groups) != 3 {
		t.Fatalf("%v: %+v", err, found)
	}
	g := found.Groups[0]
	if g.Records != 5 || g.Class != "java.lang.IllegalStateException" || g.Message != "no rate for order <n>" || !slices.Equal(g.Topics, []string{"orders-dlt"}) ||
		!slices.Equal(g.Originals, []string{"orders"}) || !slices.Equal(g.By, []string{"billing"}) || len(g.Samples) != answer.MaxGroupSamples ||
		!g.First.Equal(deadAt.Add(time.Minute)) || !g.Last.Equal(deadAt.Add(time.Minute+4*time.Second)) {
		t.Errorf("the largest group is %+v", g)
	}
	if g := found.Groups[1]; g.Records != 3 || g.Stage != "VALUE_CONVERTER" {
		t.Errorf("the second is %+v", g)
	}
	found, err = a.DeadRecordGroups(t.Context(), policy.Everything(), answer.DeadRecordRequest{Limit: 1})
	if err != nil || len(found.Groups) != 1 || found.LeftOut != 2 {
		t.Errorf("%v: %+v", err, found)
	}
	// A segment that is gone is said, and the rest counted.
	ref := a.stream("orders-dlt", partitionOf("k0")).head.Commit.Segment
	if err := a.store.Delete(t.Context(), ref.Key); err != nil {
		t.Fatal(err)
	}
	fresh, err := query.New(query.Options{Index: a.index, Store: a.store, Ledger: a.ledger, Extract: a.rules})
	if err != nil {
		t.Fatal(err)
	}
	found, err = fresh.DeadRecordGroups(t.Context(), policy.Everything(), answer.DeadRecordRequest{})
	if err != nil || found.Complete || found.Unread == 0 || !strings.Contains(found.Note, "could not be read") {
		t.Errorf("%v: %+v", err, found)
	}
}

// A record that failed, was put back, and failed again is one chain, from whichever
// of its records it is asked.
func TestDeadChain(t *testing.T) {
	a := newArchive(t, nil)
	original := a.produce("orders", "k", "v", deadAt)
	first := a.dead("orders-dlt", original, deadAt.Add(time.Minute), "E", "m", "billing")
	back := a.produce("orders", "k", "v", deadAt.Add(2*time.Minute), failure.HeaderRedriven, "1", "annals-replay-id", "x",
		"annals-source-topic", first.Topic, "annals-source-topic-id", first.TopicID.String(), "annals-source-partition", fmt.Sprint(first.Partition), "annals-source-offset", fmt.Sprint(first.Offset))
	second := a.dead("orders-dlt", back, deadAt.Add(3*time.Minute), "E", "m", "billing", failure.HeaderRedriven, "1")
	other := a.produce("orders", "k", "w", deadAt)
	gone := a.dead("orders-dlt", &schema.Record{Topic: "elsewhere", Key: []byte("k"), Value: []byte("v")}, deadAt, "E", "m", "billing")
	cause := a.produce("payments", "k", "w", deadAt, "eventId", "event-4711")
	caused := a.produce("payments.dlq", "k", "w", deadAt.Add(time.Second), "causationId", "event-4711")
	a.sealAll()
	// Which of them were put back is told, by name and by what they are narrowed by.
	for _, request := range []answer.DeadRecordRequest{{Topic: "orders-dlt"}, {Records: []schema.Coordinates{coordinatesOf(gone), coordinatesOf(second), coordinatesOf(first)}}} {
		page, err := a.Engine.DeadRecords(t.Context(), policy.Everything(), request)
		if err != nil || len(page.Records) != 3 || page.NextCursor != "" {
			t.Fatalf("%v: %+v", err, page)
		}
		for _, r := range page.Records {
			wanted := r.Hit.Coordinates() == coordinatesOf(first)
			if (r.PutBack != nil) != wanted || wanted && *r.PutBack != coordinatesOf(back) {
				t.Errorf("%s was put back to %v", r.Hit.Coordinates(), r.PutBack)
			}
		}
	}
	for kind, request := range map[schema.Kind]answer.DeadRecordRequest{
		schema.NotFound: {Records: []schema.Coordinates{{Topic: "orders-dlt", Offset: 99}}},
		schema.Invalid:  {Records: []schema.Coordinates{coordinatesOf(first)}, Original: "orders"},
	} {
		if _, err := a.Engine.DeadRecords(t.Context(), policy.Everything(), request); schema.KindOf(err) != kind {
			t.Errorf("%+v: %v", request, err)
		}
	}
	want := []string{answer.ChainOriginal, answer.ChainDeadLetter, answer.ChainRedriven, answer.ChainDeadLetter}
	for _, from := range []*schema.Record{original, first, back, second} {
		chain, err := a.DeadChain(t.Context(), policy.Everything(), answer.RecordRequest{Coordinates: coordinatesOf(from)})
		if err != nil {
			t.Fatal(err)
		}
		var roles []string
		for i, l := range chain.Links {
			roles = append(roles, l.Role)
			if l.Hit == nil || l.At != coordinatesOf([]*schema.Record{original, first, back, second}[i]) {
				t.Errorf("link %d from %s is %+v", i, coordinatesOf(from), l)
			}
		}
		if !slices.Equal(roles, want) || chain.Truncated {
			t.Errorf("from %s: %v", coordinatesOf(from), roles)
		}
	}
	chain, err := a.DeadChain(t.Context(), policy.Everything(), answer.RecordRequest{Coordinates: coordinatesOf(other)})
	if err != nil || len(chain.Links) != 1 {
		t.Errorf("%v: %+v", err, chain)
	}
	chain, err = a.DeadChain(t.Context(), policy.Everything(), answer.RecordRequest{Coordinates: coordinatesOf(gone)})
	if err != nil || len(chain.Links) != 2 || chain.Links[0].Hit != nil || chain.Links[0].Note == "" || chain.Links[0].At.Topic != "elsewhere" {
		t.Errorf("%v: %+v", err, chain)
	}
	chain, err = a.DeadChain(t.Context(), policy.Everything(), answer.RecordRequest{Coordinates: coordinatesOf(caused)})
	if err != nil || len(chain.Links) != 2 || chain.Links[0].At != coordinatesOf(cause) {
		t.Errorf("by causation: %v: %+v", err, chain)
	}
	if _, err := a.DeadChain(t.Context(), policy.Everything(), answer.RecordRequest{Coordinates: schema.Coordinates{Topic: "orders", Offset: 99}}); schema.KindOf(err) != schema.NotFound {
		t.Error(err)
	}
}

func coordinatesOf(r *schema.Record) schema.Coordinates {
	return schema.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// A bound that ends a look says so, and the cursor goes on from there; groups are then
// not complete.
func TestDeadRecordsSayWhereTheyStopped(t *testing.T) {
	a := newArchive(t, func(o *query.Options) { o.ScanTime = 1 })
	for i := range 450 {
		a.dead("orders-dlt", &schema.Record{Topic: "orders", Key: []byte("k"), Offset: int64(i)}, deadAt.Add(time.Duration(i)*time.Second), "E", fmt.Sprint("order ", i), []string{"billing", "audit"}[i%2])
	}
	a.sealAll()
	request := answer.DeadRecordRequest{Service: "audit", Limit: 1000}
	seen, pages := 0, 0
	for {
		page, err := a.Engine.DeadRecords(t.Context(), policy.Everything(), request)
		if err != nil {
			t.Fatal(err)
		}
		seen, pages = seen+len(page.Records), pages+1
		if request.Cursor = page.NextCursor; request.Cursor == "" {
			break
		}
		if !strings.Contains(page.Note, "passed") || page.Examined > 200 {
			t.Errorf("after %d of %d: %q", len(page.Records), page.Examined, page.Note)
		}
	}
	if seen != 225 || pages < 3 {
		t.Errorf("%d records on %d pages", seen, pages)
	}
	found, err := a.DeadRecordGroups(t.Context(), policy.Everything(), answer.DeadRecordRequest{})
	if err != nil || found.Complete || found.Examined >= 450 || !strings.Contains(found.Note, "what is older is in no group") {
		t.Errorf("%v: %+v", err, found)
	}
}

// What policy calls a dead letter topic is one in traces, searches and scans too,
// and what it says is none is none, whatever its name: nothing is inferred to
// follow a dead letter, or to lead to it.
func TestDeadLetterTopicsByPolicy(t *testing.T) {
	yes, no := true, false
	a := newPolicedArchive(t, policy.Rule{Pattern: "parking", DeadLetters: &yes}, policy.Rule{Pattern: "bank.dlt", DeadLetters: &no})
	const trace = "0123456789abcdef0123456789abcdef"
	for i, topic := range []string{"orders", "parking", "bank.dlt", "invoices", "orders.dlq"} {
		a.produce(topic, fmt.Sprint("k", i), fmt.Sprintf(`{"n":%d}`, i), deadAt.Add(time.Duration(i)*time.Second), "traceId", trace)
	}
	a.sealAll()

	found := a.trace(everybody(), trace, answer.TraceRequest{})
	var said, edges []string
	for i := range found.Hops {
		if h := &found.Hops[i]; h.Stage == schema.StageDeadLetter {
			said = append(said, h.Topic+": "+h.StageRule)
		}
	}
	for _, e := range found.Edges {
		edges = append(edges, found.Hops[e.Parent].Topic+" > "+found.Hops[e.Child].Topic)
	}
	slices.Sort(said)
	slices.Sort(edges)
	if want := []string{"orders.dlq: the topic's name", "parking: the topic's policy"}; !slices.Equal(said, want) {
		t.Errorf("dead letters in the trace: %q, want %q", said, want)
	}
	if want := []string{"bank.dlt > invoices", "orders > bank.dlt"}; !slices.Equal(edges, want) {
		t.Errorf("inferred %q, want %q", edges, want)
	}

	want := []string{"orders.dlq", "parking"}
	page, err := a.Search(t.Context(), everybody(), answer.SearchRequest{Stage: "dead-letter", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if got := topicsOf(page.Records); !slices.Equal(got, want) {
		t.Errorf("a search by stage finds %q, want %q", got, want)
	}
	byID, err := a.Search(t.Context(), everybody(), answer.SearchRequest{ID: trace, Stage: "dead-letter", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if got := topicsOf(byID.Records); !slices.Equal(got, want) {
		t.Errorf("a search by id and stage finds %q, want %q", got, want)
	}
}

func topicsOf(hits []answer.Hit) (topics []string) {
	for i := range hits {
		topics = append(topics, hits[i].Topic)
	}
	slices.Sort(topics)
	return topics
}
