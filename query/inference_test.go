package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/demo"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The bar of inference on labelled records: edges that were declared, and taken
// away before the records were archived.
const (
	leastPrecision = 0.95
	leastRecall    = 0.90
)

// tally is how inference did.
type tally struct {
	traces, truth, claimed, right int
	elsewhere, said               int // parents in other traces, and how many the answers speak of
	byRule                        map[string][2]int
	byKind                        map[string][3]int
}

// labelled is a record whose parents in its trace are known.
type labelled struct {
	*schema.Record
	trace   string
	parents []string // coordinates
	outside int
}

// judge holds the edges of a trace's answer against the truth.
func (t *tally) judge(found *answer.Trace, truth []labelled) {
	if t.byRule == nil {
		t.byRule, t.byKind = map[string][2]int{}, map[string][3]int{}
	}
	t.traces++
	t.said += found.NotInferred
	parents := map[string][]*answer.Edge{}
	for i := range found.Edges {
		e := &found.Edges[i]
		if e.Parent >= 0 {
			child := found.Hops[e.Child].Coordinates().String()
			parents[child] = append(parents[child], e)
		}
	}
	for _, l := range truth {
		kind := t.byKind[l.Topic]
		t.truth += len(l.parents)
		t.elsewhere += l.outside
		kind[0] += len(l.parents)
		for _, e := range parents[position(l.Record)] {
			rule := t.byRule[e.Rule]
			rule[0]++
			kind[1]++
			t.claimed++
			if slices.Contains(l.parents, found.Hops[e.Parent].Coordinates().String()) {
				t.right++
				rule[1]++
				kind[2]++
			}
			t.byRule[e.Rule] = rule
		}
		t.byKind[l.Topic] = kind
	}
}

func (t *tally) precision() float64 { return float64(t.right) / float64(max(1, t.claimed)) }
func (t *tally) recall() float64    { return float64(t.right) / float64(max(1, t.truth)) }

// report prints the figures, and fails below the bar.
func (t *tally) report(test testing.TB, name string) {
	test.Helper()
	test.Logf("%s: %d traces, %d edges within them, %d claimed, %d right: precision %.4f, recall %.4f; %d parents in other traces are not inferred, the answers speak of %d",
		name, t.traces, t.truth, t.claimed, t.right, t.precision(), t.recall(), t.elsewhere, t.said)
	for rule, n := range t.byRule {
		test.Logf("  %-50s %6d claimed, %6d right", rule, n[0], n[1])
	}
	for topic, n := range t.byKind {
		test.Logf("  %-50s %6d edges, %6d claimed, %6d right", topic, n[0], n[1], n[2])
	}
	if t.precision() < leastPrecision || t.recall() < leastRecall {
		test.Errorf("%s: precision %.4f and recall %.4f, want at least %.2f and %.2f", name, t.precision(), t.recall(), leastPrecision, leastRecall)
	}
}

// measure asks for traces, every one of some, and judges the answers.
func (a *archive) measure(truth map[string][]labelled, every int, diffs bool) *tally {
	a.t.Helper()
	t := &tally{}
	ids := make([]string, 0, len(truth))
	for id := range truth {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for i := 0; i < len(ids); i += every {
		found := a.trace(everybody(), ids[i], answer.TraceRequest{Diffs: diffs})
		for _, e := range found.Edges {
			if !e.Declared && (e.Kind != answer.Inferred || e.Confidence >= 0.9 || e.Evidence == "") {
				a.t.Fatalf("an inferred edge is not labelled: %+v", e)
			}
		}
		t.judge(found, truth[ids[i]])
		if facts := a.trace(everybody(), ids[i], answer.TraceRequest{FactsOnly: true}); slices.ContainsFunc(facts.Edges, func(e answer.Edge) bool { return !e.Declared }) || facts.NotInferred != 0 {
			a.t.Fatalf("facts only, and %+v", facts.Edges)
		}
	}
	return t
}

// TestInferenceOnTheDemo has the demo's services run over some years of rates,
// archives the first with all headers and the later ones without those that
// declare causes, and holds what is inferred in these against what was declared.
// What the enricher makes of a rate is never declared: it is of the same currency
// and fixing. ANNALS_TEST_LONG=1 takes all years.
func TestInferenceOnTheDemo(t *testing.T) {
	from, to, every := day("2015-06-01"), day("2016-02-29"), 2
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		from, to, every = day("1999-01-01"), day("2023-12-31"), 8
	}
	all := runDemo(t, from, to)
	a := newArchive(t, nil)
	known := newDemoLabels()
	later := laterThan(all, day("2016-01-01"))
	var test []labelled
	for _, stripped := range []bool{false, true} {
		for _, r := range all {
			if stripped != later[r] {
				continue
			}
			record := a.take(r, stripped)
			x := a.extract(record)
			known.add(r, record, x)
			if stripped && len(x.Causes) > 0 {
				t.Fatalf("%s still declares %v", position(record), x.Causes)
			}
			if stripped {
				test = append(test, labelled{Record: record, trace: x.TraceID})
			}
		}
		a.sealAll()
	}
	truth := map[string][]labelled{}
	for _, l := range test {
		known.label(&l)
		truth[l.trace] = append(truth[l.trace], l)
	}
	for name, diffs := range map[string]bool{"the demo, with diffs": true, "the demo, without": false} {
		a.measure(truth, every, diffs).report(t, name)
	}
	a.saysWhatItDidNotLearn(test[len(test)-1].trace)
}

// saysWhatItDidNotLearn asks an engine that has no time to learn how records name
// parents, also a moment later, when it does not try again yet.
func (a *archive) saysWhatItDidNotLearn(trace string) {
	a.t.Helper()
	if found := a.trace(everybody(), trace, answer.TraceRequest{}); found.NotLearned != 0 {
		a.t.Errorf("all was learned, and of %d kinds the answer says that it was not", found.NotLearned)
	}
	hasty, err := query.New(query.Options{Index: a.index, Store: a.store, Ledger: a.ledger, Extract: a.rules})
	if err != nil {
		a.t.Fatal(err)
	}
	patiently := query.LearnPatternsInNoTime()
	defer patiently()
	for range 2 {
		found, err := hasty.Trace(a.t.Context(), everybody(), answer.TraceRequest{TraceID: trace})
		if err != nil || found.NotLearned == 0 {
			a.t.Errorf("nothing was learned, and the answer does not say so: %+v, %v", found, err)
		}
	}
}

func day(text string) time.Time {
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return at
}

// laterThan tells which records are of a time or later, and which follow one that
// is in their partition: the alerts of two topics are not in the order of times.
func laterThan(all []*kgo.Record, at time.Time) map[*kgo.Record]bool {
	later, began := map[*kgo.Record]bool{}, map[string]bool{}
	for _, r := range all {
		partition := fmt.Sprint(r.Topic, r.Partition)
		began[partition] = began[partition] || !r.Timestamp.Before(at)
		later[r] = began[partition]
	}
	return later
}

// demoLabels are what the demo's records said of themselves, before anything was
// taken away.
type demoLabels struct {
	received map[string]string // place of a fixing's rate
	traces   map[string]string // of a place
	places   map[string]string // of an event id
	sent     map[string]*kgo.Record
}

func newDemoLabels() *demoLabels {
	return &demoLabels{map[string]string{}, map[string]string{}, map[string]string{}, map[string]*kgo.Record{}}
}

func (d *demoLabels) add(sent *kgo.Record, r *schema.Record, x *schema.Extraction) {
	at := position(r)
	d.traces[at], d.places[x.EventID], d.sent[at] = x.TraceID, at, sent
	if r.Topic == demo.TopicReceived {
		d.received[fixingOf(sent)] = at
	}
}

// fixingOf names the run, day and currency of a rate.
func fixingOf(r *kgo.Record) string {
	var body struct {
		Run                  int
		FixingDate, Currency string
	}
	_ = json.Unmarshal(r.Value, &body) // of dead letters nothing is asked
	return fmt.Sprintf("%d %s %s", body.Run, body.FixingDate, body.Currency)
}

// label fills in the parents of a record.
func (d *demoLabels) label(l *labelled) {
	sent := d.sent[position(l.Record)]
	if sent.Topic == demo.TopicEnriched {
		l.parents = []string{d.received[fixingOf(sent)]}
		return
	}
	for _, parent := range d.declared(sent) {
		if d.traces[parent] == l.trace {
			l.parents = append(l.parents, parent)
		} else {
			l.outside++
		}
	}
}

// declared gives the coordinates that a record of the demo names as its causes.
func (d *demoLabels) declared(r *kgo.Record) (parents []string) {
	source := map[string]string{}
	for _, h := range r.Headers {
		source[h.Key] = string(h.Value)
		if h.Key == "causationId" {
			parents = append(parents, d.places[string(h.Value)])
		}
	}
	if topic := source["x-src-topic"]; topic != "" {
		parents = append(parents, topic+"/"+source["x-src-partition"]+"/"+source["x-src-offset"])
	}
	return parents
}

// take archives a record of Kafka where it is, with or without the headers that
// declare causes.
func (a *archive) take(r *kgo.Record, stripped bool) *schema.Record {
	s := a.stream(r.Topic, r.Partition)
	record := &schema.Record{
		Topic: r.Topic, TopicID: s.TopicID, Partition: r.Partition, Offset: r.Offset,
		Timestamp: r.Timestamp.UnixMilli(), TimestampType: schema.CreateTime, ProducerID: -1, ProducerEpoch: -1,
		Status: schema.Committed, Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		if !stripped || h.Key != "causationId" && !strings.HasPrefix(h.Key, "x-src-") {
			record.Headers = append(record.Headers, schema.Header{Name: h.Key, Value: h.Value})
		}
	}
	if r.Offset < s.next {
		a.t.Fatalf("%s comes after offset %d", position(record), s.next-1)
	}
	s.next = r.Offset + 1
	s.pending = append(s.pending, record)
	return record
}

// runDemo has the demo's services run over some days, and gives what they
// produced, in the order of each partition.
func runDemo(t *testing.T, from, to time.Time) []*kgo.Record {
	t.Helper()
	broker := embeddedtest.MemoryKafka(t)
	options := embeddedtest.KafkaOptions(broker)
	var mu sync.Mutex
	last := map[string]demo.Progress{}
	config := demo.Config{
		Brokers: options.Brokers, User: options.SASL.Username, Password: options.SASL.Password, From: from, To: to,
		LiveInterval: time.Millisecond,
		Progress: func(p demo.Progress) {
			mu.Lock()
			defer mu.Unlock()
			last[p.Service] = p
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	var services sync.WaitGroup
	for _, name := range demo.Services() {
		services.Go(func() {
			if err := demo.Run(ctx, name, config); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	defer services.Wait()
	defer stop()
	client := embeddedtest.KafkaClient(t, broker, kgo.ConsumeRegex(), kgo.ConsumeTopics("^fx\\..*"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100*time.Millisecond))
	var all []*kgo.Record
	count := map[string]int64{}
	quiet := time.Now()
	for deadline := time.Now().Add(10 * time.Minute); ; {
		wait, cancel := context.WithTimeout(t.Context(), time.Second)
		client.PollFetches(wait).EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			count[r.Topic]++
			quiet = time.Now()
		})
		cancel()
		mu.Lock()
		done := last[demo.ECBGateway].Phase == demo.PhaseDone && count[demo.TopicReceived] == last[demo.ECBGateway].Out &&
			count[demo.TopicEnriched] == count[demo.TopicReceived] && last[demo.RiskAlerts].In >= count[demo.TopicVolatility]+count[demo.TopicExposure]
		mu.Unlock()
		if done && time.Since(quiet) > 3*time.Second {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the demo does not come to rest: %v of %+v", count, last)
		}
	}
	return all
}

// business makes traces of a made-up pipeline, each a batch of some orders that
// have nothing to do with one another, as batch consumers write them.
type business struct {
	*archive
	random *rand.Rand
	at     time.Time
}

// event produces one event, and gives its label.
func (b *business) event(trace, topic, kind, key, body string, declare bool, causes ...labelled) labelled {
	b.at = b.at.Add(time.Duration(1+b.random.IntN(20)) * time.Millisecond)
	id := hexID(16)
	headers := []string{"traceId", trace, "eventId", id, "eventType", kind, "sourceService", topic + "-service", "timestamp", b.at.Format(time.RFC3339Nano)}
	l := labelled{trace: id}
	for _, c := range causes {
		if declare {
			headers = append(headers, "causationId", c.trace)
		}
		l.parents = append(l.parents, position(c.Record))
	}
	l.Record = b.produce(topic, key, body, b.at, headers...)
	return l
}

func (b *business) id(prefix string) string {
	return fmt.Sprintf("%s-%08d", prefix, b.random.IntN(1e8))
}

// customer is one of few: it is in many orders, and proves nothing.
func (b *business) customer() string { return fmt.Sprintf("C-%03d", b.random.IntN(5)) }

// fanOut: an order becomes lines, a line a pick. Only ids in payloads tell which.
func (b *business) fanOut(trace string, declare bool) (all []labelled) {
	var orders, lines []labelled
	names := map[int]string{}
	for i := range 2 + b.random.IntN(4) {
		names[i] = b.id("O")
		orders = append(orders, b.event(trace, "orders", "OrderPlaced", b.customer(), fmt.Sprintf(`{"orderId":%q,"customer":%q}`, names[i], b.customer()), declare))
	}
	var lineIDs []string
	for i, order := range orders {
		for n := range 1 + b.random.IntN(4) {
			lineIDs = append(lineIDs, fmt.Sprintf("%s-%d", names[i], n))
			lines = append(lines, b.event(trace, "order.lines", "LineAllocated", b.id("SKU")[:7], fmt.Sprintf(`{"order":{"id":%q},"line":%q,"warehouse":"W1"}`, names[i], lineIDs[len(lineIDs)-1]), declare, order))
		}
	}
	all = append(slices.Clone(orders), lines...)
	for i := range lines {
		all = append(all, b.event(trace, "picks", "LinePicked", b.customer(), fmt.Sprintf(`{"lineRef":%q,"by":"robot-1"}`, lineIDs[i]), declare, lines[i]))
	}
	return all
}

// join: a payment and a reservation of the same order become a shipment.
func (b *business) join(trace string, declare bool) (all []labelled) {
	var payments, reservations []labelled
	var names []string
	for range 2 + b.random.IntN(5) {
		names = append(names, b.id("O"))
	}
	for _, name := range names {
		payments = append(payments, b.event(trace, "payments", "PaymentTaken", name, fmt.Sprintf(`{"amount":%d,"customer":%q}`, b.random.IntN(100), b.customer()), declare))
	}
	for _, i := range b.random.Perm(len(names)) {
		reservations = append(reservations, b.event(trace, "stock", "StockReserved", b.id("SKU")[:7], fmt.Sprintf(`{"for":%q,"warehouse":"W1"}`, names[i]), declare))
	}
	all = append(slices.Clone(payments), reservations...)
	for _, i := range b.random.Perm(len(names)) {
		at := slices.IndexFunc(reservations, func(l labelled) bool { return strings.Contains(string(l.Value), names[i]) })
		all = append(all, b.event(trace, "shipments", "ShipmentSent", names[i], fmt.Sprintf(`{"customer":%q}`, b.customer()), declare, payments[i], reservations[at]))
	}
	return all
}

// TestInferenceOnMadeUpPipelines learns from some traces with their causes, and
// is held against others without.
func TestInferenceOnMadeUpPipelines(t *testing.T) {
	for name, make := range map[string]func(*business, string, bool) []labelled{"fan-out": (*business).fanOut, "join": (*business).join} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t, nil)
			b := &business{archive: a, random: rand.New(rand.NewPCG(1, 2)), at: day("2024-03-01")}
			for range 40 {
				make(b, hexID(16), true)
			}
			a.sealAll()
			truth := map[string][]labelled{}
			for range 60 {
				trace := hexID(16)
				truth[trace] = make(b, trace, false)
			}
			a.sealAll()
			a.measure(truth, 1, true).report(t, name+", with diffs")
			a.measure(truth, 3, false).report(t, name+", without")
		})
	}
}

// TestInferenceBelowTheBar: where nothing tells records apart, the figures say
// that too, and what is claimed is not called sure.
func TestInferenceThatCannotKnow(t *testing.T) {
	a := newArchive(t, nil)
	b := &business{archive: a, random: rand.New(rand.NewPCG(3, 4)), at: day("2024-03-01")}
	blind := func(trace string, declare bool) (all []labelled) {
		for range 6 {
			all = append(all, b.event(trace, "in", "In", "k", `{"n":1}`, declare))
		}
		for _, i := range b.random.Perm(6) {
			all = append(all, b.event(trace, "out", "Out", "k", `{"n":2}`, declare, all[i]))
		}
		return all
	}
	for range 20 {
		blind(hexID(16), true)
	}
	a.sealAll()
	truth := map[string][]labelled{}
	for range 10 {
		trace := hexID(16)
		truth[trace] = blind(trace, false)
	}
	a.sealAll()
	if got := a.measure(truth, 1, true); got.claimed != 0 {
		t.Errorf("%d edges are claimed where each way was wrong in most of the declared ones", got.claimed)
	}
}
