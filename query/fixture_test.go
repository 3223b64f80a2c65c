package query_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

func TestMain(m *testing.M) {
	query.LearnPatiently()
	embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...)
}

// archive is a real one, small: the embedded ClickHouse and S3, real segments
// and ledger. Records are put into it by hand instead of by an archiver.
type archive struct {
	*query.Engine
	t       testing.TB
	index   *index.Index
	options index.Options
	store   *objstore.Store
	ledger  *ledger.Ledger
	rules   *extract.Rules
	streams map[string]*stream // by topic/partition
	clock   time.Time
	missing schema.GapClass // of offsets that are not served; empty: cleaned
}

// stream is one partition while it is written.
type stream struct {
	schema.Stream
	branch  int32
	head    ledger.Head
	next    int64 // offset of the next record
	pending []*schema.Record
}

const partitions = 3

// indexedAt is the archiver's clock at every insert.
var indexedAt = time.Date(2024, 6, 2, 0, 0, 0, 0, time.UTC)

func newArchive(t testing.TB, change func(*query.Options)) *archive {
	t.Helper()
	a := &archive{t: t, streams: map[string]*stream{}, clock: time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)}
	a.options.Addr, a.options.User, a.options.Password = embeddedtest.ClickHouse(t)
	a.options.Database, a.options.Partition = embeddedtest.Database(t), "years"
	var err error
	if a.index, err = index.Open(a.options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.index.Close() })
	if err := a.index.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.store = objstoretest.Embedded(t)
	a.ledger = ledger.New(a.store, slog.New(slog.DiscardHandler))
	if a.rules, err = extract.New(extract.Options{}); err != nil {
		t.Fatal(err)
	}
	options := query.Options{
		Index: a.index, Store: a.store, Ledger: a.ledger, Extract: a.rules, Bucket: a.store.Bucket(), Prefix: a.store.Prefix(),
	}
	if change != nil {
		change(&options)
	}
	if a.Engine, err = query.New(options); err != nil {
		t.Fatal(err)
	}
	return a
}

func topicID(topic string) schema.TopicID {
	sum := sha256.Sum256([]byte(topic))
	return schema.TopicID(sum[:16])
}

// partitionOf spreads keys as a producer would.
func partitionOf(key string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return int32(h.Sum32() % partitions)
}

func (a *archive) stream(topic string, partition int32) *stream {
	name := fmt.Sprintf("%s/%d", topic, partition)
	s := a.streams[name]
	if s == nil {
		s = &stream{Stream: schema.Stream{Cluster: "c1", Topic: topic, TopicID: topicID(topic), Partition: partition}}
		a.streams[name] = s
	}
	return s
}

// produce makes the next record of a partition; headers are name, value, ….
func (a *archive) produce(topic, key, value string, at time.Time, headers ...string) *schema.Record {
	s := a.stream(topic, partitionOf(key))
	r := &schema.Record{
		Topic: topic, TopicID: s.TopicID, Partition: s.Partition, Branch: s.branch, Offset: s.next,
		Timestamp: at.UnixMilli(), TimestampType: schema.CreateTime, ProducerID: -1, ProducerEpoch: -1,
		Status: schema.Committed, Key: []byte(key), Value: []byte(value),
	}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, schema.Header{Name: headers[i], Value: []byte(headers[i+1])})
	}
	s.next++
	s.pending = append(s.pending, r)
	return r
}

func (a *archive) extract(r *schema.Record) *schema.Extraction {
	x := &schema.Extraction{}
	a.rules.Extract(r, x)
	return x
}

func (a *archive) rows(records []*schema.Record) []index.Row {
	rows := make([]index.Row, len(records))
	for i, r := range records {
		rows[i] = index.Row{Record: r, Extraction: a.extract(r)}
	}
	return rows
}

// indexAll indexes everything that is not sealed yet.
func (a *archive) indexAll() {
	a.t.Helper()
	var rows []index.Row
	for _, s := range a.streams {
		rows = append(rows, a.rows(s.pending)...)
	}
	if err := a.index.InsertRecords(a.t.Context(), rows, indexedAt); err != nil {
		a.t.Fatal(err)
	}
}

// sealAll indexes and seals everything.
func (a *archive) sealAll() {
	a.t.Helper()
	a.indexAll()
	for _, s := range a.streams {
		a.seal(s)
	}
}

// commit gives the next commit of a stream, to be filled in.
func (a *archive) commit(s *stream, kind schema.CommitKind) *schema.Commit {
	a.clock = a.clock.Add(time.Second)
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID,
		Partition: s.Partition, Branch: s.branch, Attempt: uuid.NewString(), Writer: "test",
		Base: s.head.Next, Next: s.head.Next,
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "test"},
		Clock:    a.clock.Format(time.RFC3339Nano),
	}
	if s.head.Commit != nil {
		c.Seq = s.head.Commit.Seq + 1
		digest := s.head.Digest
		c.Previous = &digest
	}
	return c
}

func (a *archive) append(s *stream, c *schema.Commit, summary *index.Summary) {
	a.t.Helper()
	head, err := a.ledger.Append(a.t.Context(), s.head, c)
	if err != nil {
		a.t.Fatal(err)
	}
	s.head = head
	row := index.SegmentOf(c)
	row.Summary = summary
	if err := a.index.InsertSegments(a.t.Context(), []index.SegmentRow{row}); err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) genesis(s *stream) {
	c := a.commit(s, schema.KindGenesis)
	c.Start = &schema.Start{Policy: "earliest"}
	a.append(s, c, nil)
}

// seal cuts what is pending of a stream into a segment.
func (a *archive) seal(s *stream) {
	a.t.Helper()
	if s.head.Commit == nil {
		a.genesis(s)
	}
	if len(s.pending) == 0 {
		return
	}
	var file bytes.Buffer
	w, err := segment.NewWriter(&file, segment.Options{Stream: s.Stream, Branch: s.branch, Rows: len(s.pending)})
	if err != nil {
		a.t.Fatal(err)
	}
	index := index.NewSummary()
	for _, r := range s.pending {
		x := a.extract(r)
		if err := w.Append(r, x); err != nil {
			a.t.Fatal(err)
		}
		index.Add(r, x)
	}
	summary, err := w.Close()
	if err != nil {
		a.t.Fatal(err)
	}
	c := a.commit(s, schema.KindSegment)
	c.Next = s.next
	c.Records = summary.Counts
	if missing := c.Next - c.Base - summary.Counts.Rows(); missing > 0 {
		c.Gaps = []schema.Gap{{Class: cmp.Or(a.missing, schema.GapCleaned), From: c.Next - missing, To: c.Next}}
		c.GapOffsets = missing
	}
	key := schema.SegmentKey(s.Stream, c.Base, c.Next, summary.SHA256)
	if _, err := a.store.Put(a.t.Context(), key, file.Bytes()); err != nil {
		a.t.Fatal(err)
	}
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: key, SHA256: summary.SHA256, Bytes: summary.Bytes},
		RecordRoot: summary.RecordRoot, MinTimestamp: summary.MinTimestamp, MaxTimestamp: summary.MaxTimestamp,
	}
	c.LeaderEpochs = summary.LeaderEpochs
	a.append(s, c, index)
	s.pending = nil
}

// event is what a service produced.
type event struct {
	*schema.Record
	id, trace, currency string
	parents             []*event
}

// pipeline produces what the demo's services would: rates received, enriched,
// their volatility over some days and an exposure, and an alert.
type pipeline struct {
	*archive
	currencies []string
	window     [][]*event // enriched, of the last days
	days       int
	span       int  // days of the window
	sameTime   bool // services pass record times on
	rejects    bool // a cell without a quote goes to a dead letter topic
}

func hexID(bytes int) string {
	id := uuid.New()
	second := uuid.New()
	return fmt.Sprintf("%x%x", id[:], second[:])[:2*bytes]
}

func newPipeline(a *archive, currencies int) *pipeline {
	p := &pipeline{archive: a, span: 20}
	for i := range currencies {
		p.currencies = append(p.currencies, fmt.Sprintf("C%02d", i))
	}
	return p
}

func (p *pipeline) at(hop, n int) time.Time {
	if p.sameTime {
		hop, n = 0, 0
	}
	return time.Date(2024, 1, 2, 14, 15, 0, 0, time.UTC).AddDate(0, 0, p.days).Add(time.Duration(hop*100+n) * time.Millisecond)
}

// day produces one fixing day and gives its events.
func (p *pipeline) day() (trace string, all []*event) {
	trace = hexID(16)
	add := func(e *event) *event {
		e.trace = trace
		all = append(all, e)
		return e
	}
	body := func(kind, service, id string, at time.Time, more string) string {
		return fmt.Sprintf(`{"eventId":"%s","eventType":"%s","eventVersion":"2","sourceService":"%s","timestamp":"%s",%s}`,
			id, kind, service, at.Format(time.RFC3339Nano), more)
	}
	var received, enriched []*event
	for n, currency := range p.currencies {
		id, at := hexID(16), p.at(0, n)
		rate := fmt.Sprintf(`"currency":"%s","rate":1.%04d`, currency, n+p.days)
		received = append(received, add(&event{id: id, currency: currency, Record: p.produce("fx.rates.received", currency,
			body("FxRateReceived", "ecb-gateway", id, at, rate), at, "traceparent", "00-"+trace+"-"+hexID(8)+"-01")}))
	}
	if p.rejects {
		at := p.at(0, 40)
		add(&event{id: hexID(16), Record: p.produce("fx.rates.received.dlq", "ISK", `{"cell":"N/A"}`, at,
			"traceparent", "00-"+trace+"-"+hexID(8)+"-01", "eventType", "FxRateRejected", "x-error-class", "MissingQuote")})
	}
	for n, currency := range p.currencies {
		id, at := hexID(16), p.at(1, n)
		rate := fmt.Sprintf(`"currency":"%s","rate":1.%04d,"name":"Currency %d","region":"somewhere"`, currency, n+p.days, n)
		enriched = append(enriched, add(&event{id: id, currency: currency, parents: received[n : n+1], Record: p.produce("fx.rates.enriched", currency,
			fmt.Sprintf(`{%s}`, rate), at, "ce_specversion", "1.0", "ce_id", id, "ce_type", "FxRateEnriched", "ce_source", "rate-enricher",
			"ce_time", at.Format(time.RFC3339Nano), "ce_traceparent", "00-"+trace+"-"+hexID(8)+"-01")}))
	}
	if p.window = append(p.window, enriched); len(p.window) > p.span {
		p.window = p.window[1:]
	}
	plain := func(kind, id string, at time.Time, causes []*event) []string {
		headers := []string{
			"eventType", kind, "eventVersion", "1", "sourceService", "risk-engine", "traceId", trace,
			"timestamp", at.Format(time.RFC3339Nano), "eventId", id,
		}
		for _, c := range causes {
			headers = append(headers, "causationId", c.id)
		}
		return headers
	}
	var volatility []*event
	for n, currency := range p.currencies {
		var causes []*event
		for _, day := range p.window {
			causes = append(causes, day[n])
		}
		id, at := hexID(16), p.at(2, n)
		volatility = append(volatility, add(&event{id: id, currency: currency, parents: causes, Record: p.produce("fx.risk.volatility", currency,
			fmt.Sprintf(`{"currency":"%s","volatility":0.%03d}`, currency, n), at, plain("VolatilityComputed", id, at, causes)...)}))
	}
	id, at := hexID(16), p.at(3, 0)
	add(&event{id: id, parents: enriched, Record: p.produce("fx.risk.exposure", "P1", `{"portfolio":"P1","value":12.5}`,
		at, plain("ExposureComputed", id, at, enriched)...)})
	source := volatility[0]
	id, at = hexID(16), p.at(4, 0)
	add(&event{id: id, parents: volatility[:1], Record: p.produce("fx.risk.alerts", source.currency,
		body("RiskAlert", "risk-alerts", id, at, `"level":"high"`), at, "traceparent", "00-"+trace+"-"+hexID(8)+"-01",
		"x-src-topic", source.Topic, "x-src-partition", fmt.Sprint(source.Partition), "x-src-offset", fmt.Sprint(source.Offset))})
	p.days++
	return trace, all
}

func everybody() policy.Principal { return policy.Everything() }

func only(t testing.TB, patterns ...string) policy.Principal {
	t.Helper()
	set, err := policy.Topics(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Principal{Name: "somebody", Topics: set}
}

// trace reads a trace, which must be there.
func (a *archive) trace(who policy.Principal, id string, o answer.TraceRequest) *answer.Trace {
	a.t.Helper()
	o.TraceID = id
	found, err := a.Trace(a.t.Context(), who, o)
	if err != nil {
		a.t.Fatal(err)
	}
	return found
}

func position(r *schema.Record) string {
	return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
}

// at finds a record's place in an answer.
func place(t testing.TB, found *answer.Trace, r *schema.Record) int {
	t.Helper()
	for i := range found.Hops {
		if found.Hops[i].Coordinates().String() == position(r) {
			return i
		}
	}
	t.Fatalf("the trace has no %s", position(r))
	return -1
}

// clientsOf gives what a test needs of a broker: what produces into the partition
// that it names, and what the engine is given.
func clientsOf(t *testing.T, broker *embedded.Kafka) (*kgo.Client, *kafka.Reader, *kafka.Admin) {
	t.Helper()
	options := embeddedtest.KafkaOptions(broker)
	reader, err := kafka.NewReader(options)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := kafka.NewAdmin(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	return embeddedtest.KafkaClient(t, broker, kgo.RecordPartitioner(kgo.ManualPartitioner())), reader, admin
}

// asProduced is a record as its producer sends it.
func asProduced(e *schema.Record) *kgo.Record {
	r := &kgo.Record{Topic: e.Topic, Partition: e.Partition, Key: e.Key, Value: e.Value, Timestamp: time.UnixMilli(e.Timestamp)}
	for _, h := range e.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	return r
}
