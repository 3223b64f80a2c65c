package query_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

func request(r *schema.Record) answer.RecordRequest {
	return answer.RecordRequest{Coordinates: schema.Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}
}

func TestRecord(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	_, events := p.day()
	odd := a.produce("odd", "k", "", p.at(0, 0), "same", "1", "same", "2", "\xff\x00", "binary\x00")
	odd.Key, odd.Value = nil, nil
	odd.Headers = append(odd.Headers, schema.Header{Name: "null"}, schema.Header{Name: "empty", Value: []byte{}})
	a.sealAll()
	for _, r := range append(recordsOf(events), odd) {
		got, err := a.Record(t.Context(), everybody(), request(r))
		if err != nil {
			t.Fatal(err)
		}
		if !sameBytes(got.Record, r) || !got.Hit.Sealed || got.Source == "" {
			t.Errorf("%s: got %+v of %s, want %+v", position(r), got.Record, got.Source, r)
		}
	}
	got, err := a.Record(t.Context(), everybody(), request(events[6].Record))
	if err != nil || got.Hit.EventType != "VolatilityComputed" || len(got.Extraction.Causes) != 1 || got.Hit.TraceID != events[6].trace {
		t.Errorf("extraction %+v, %v", got, err)
	}
	if _, err := a.Record(t.Context(), only(t, "other"), request(odd)); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a hidden record: %v", err)
	}
	beyond, wrongID, branch := request(odd), request(odd), request(odd)
	beyond.Offset = 999
	wrongID.TopicID = &schema.TopicID{1}
	one := int32(1)
	branch.Branch = &one
	for _, r := range []answer.RecordRequest{beyond, wrongID, branch, {Coordinates: schema.Coordinates{Topic: "nobody's"}}} {
		var missing *answer.NotFoundError
		if _, err := a.Record(t.Context(), everybody(), r); !errors.As(err, &missing) || missing.Searched.Topics == 0 {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func recordsOf(events []*event) []*schema.Record {
	var records []*schema.Record
	for _, e := range events {
		records = append(records, e.Record)
	}
	return records
}

func sameBytes(a, b *schema.Record) bool {
	if a.Topic != b.Topic || a.Offset != b.Offset || a.Timestamp != b.Timestamp || len(a.Headers) != len(b.Headers) ||
		!same(a.Key, b.Key) || !same(a.Value, b.Value) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Name != b.Headers[i].Name || !same(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

// same tells null and empty apart.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func TestRecordInAGapAndOnBranches(t *testing.T) {
	a := newArchive(t, nil)
	at := time.Now()
	a.produce("t", "k", "first", at)
	second := a.produce("t", "k", "second", at)
	s := a.stream("t", second.Partition)
	s.next += 2 // two offsets that were never served
	a.sealAll()
	gap := request(second)
	gap.Offset++
	var missing *answer.NotFoundError
	if _, err := a.Record(t.Context(), everybody(), gap); !errors.As(err, &missing) {
		t.Errorf("in a gap: %v", err)
	}
	// An unclean election takes offset 1 away; another record gets it.
	s.branch = 1
	c := a.commit(s, schema.KindDivergence)
	c.Branch, c.Base, c.Next = 1, 1, 1
	c.Divergence = &schema.Divergence{ArchivedNext: 4, BranchPoint: 1, Evidence: "test"}
	a.append(s, c, nil)
	s.next = 1
	again := a.produce("t", "k", "second again", at)
	a.sealAll()
	time.Sleep(1100 * time.Millisecond) // what the engine knows may be a second old
	newest, err := a.Record(t.Context(), everybody(), request(again))
	if err != nil || string(newest.Record.Value) != "second again" || newest.Hit.Branch != 1 {
		t.Errorf("newest branch: %+v, %v", newest, err)
	}
	zero, older := int32(0), request(second)
	older.Branch = &zero
	old, err := a.Record(t.Context(), everybody(), older)
	if err != nil || string(old.Record.Value) != "second" {
		t.Errorf("older branch: %+v, %v", old, err)
	}
	first := request(second)
	first.Offset = 0
	got, err := a.Record(t.Context(), everybody(), first)
	if err != nil || string(got.Record.Value) != "first" || got.Hit.Branch != 0 {
		t.Errorf("below the branch point: %+v, %v", got, err)
	}
}

func TestRecordWithoutTheIndex(t *testing.T) {
	a := newArchive(t, nil)
	_, events := newPipeline(a, 2).day()
	a.sealAll()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	down, err := index.Open(index.Options{Addr: nobody.Addr().String(), Database: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer down.Close() //nolint:errcheck // nothing was opened
	engine, err := query.New(query.Options{Index: down, Store: a.store, Ledger: a.ledger, Extract: a.rules})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recordsOf(events) {
		got, err := engine.Record(t.Context(), everybody(), request(r))
		if err != nil || !sameBytes(got.Record, r) || !got.Hit.Sealed {
			t.Fatalf("%s: %+v, %v", position(r), got, err)
		}
	}
	if _, err := engine.Record(t.Context(), only(t, "other"), request(events[0].Record)); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a hidden record: %v", err)
	}
	if _, err := engine.Trace(t.Context(), everybody(), answer.TraceRequest{TraceID: "x"}); schema.KindOf(err) != schema.Unavailable {
		t.Errorf("a trace: %v", err)
	}
	coverage, err := engine.Coverage(t.Context(), everybody(), "")
	if err != nil || len(coverage.Partitions) == 0 || coverage.Partitions[0].ArchivedTo == 0 {
		t.Errorf("coverage: %+v, %v", coverage, err)
	}
}

// TestFreshRecords produces to a real Kafka what is indexed and not sealed.
func TestFreshRecords(t *testing.T) {
	broker := embeddedtest.Kafka(t)
	client, reader, admin := clientsOf(t, broker)
	a := newArchive(t, func(o *query.Options) { o.Fresh, o.Broker = reader, admin })
	p := newPipeline(a, 4)
	trace, events := p.day()
	ids := map[string]schema.TopicID{}
	for _, topic := range []string{"fx.rates.received", "fx.rates.enriched", "fx.risk.volatility", "fx.risk.exposure", "fx.risk.alerts"} {
		id, err := admin.CreateTopic(t.Context(), topic, partitions, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[topic] = id
	}
	for _, s := range a.streams {
		s.TopicID = ids[s.Topic]
		a.genesis(s)
	}
	for _, e := range events {
		e.TopicID = ids[e.Topic]
		r := asProduced(e.Record)
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil || r.Offset != e.Offset {
			t.Fatalf("offset %d, want %d: %v", r.Offset, e.Offset, err)
		}
	}
	a.indexAll()
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
	if len(found.Hops) != len(events) || found.Sealed != 0 {
		t.Fatalf("%d hops, %d sealed", len(found.Hops), found.Sealed)
	}
	for i := range found.Hops {
		if h := &found.Hops[i]; h.Topic == "fx.rates.enriched" && (h.Diff == nil || !h.Diff.Comparable || h.Stage != schema.StageEnrichment) {
			t.Errorf("%s: %s, diff %+v", h.Coordinates(), h.Stage, h.Diff)
		}
	}
	got, err := a.Record(t.Context(), everybody(), request(events[0].Record))
	if err != nil || !sameBytes(got.Record, events[0].Record) || got.Hit.Sealed || got.Source != "kafka" {
		t.Errorf("%+v, %v", got, err)
	}
	listed, err := a.Topics(t.Context(), everybody())
	if err != nil {
		t.Fatal(err)
	}
	topics := listed.Topics
	if len(topics) != 5 || topics[1].FreshRecords != 4 || topics[1].Lag != 0 || !topics[1].Archived {
		t.Errorf("topics %+v, %v", topics, err)
	}
}

// asked is a store that counts the ranges that are read of segments.
type asked struct {
	query.Store
	ranges atomic.Int64
}

func (s *asked) ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt {
	return &askedObject{s.Store.ReaderAt(ctx, key, size), s}
}

type askedObject struct {
	io.ReaderAt
	of *asked
}

func (o *askedObject) ReadAt(p []byte, off int64) (int, error) {
	o.of.ranges.Add(1)
	return o.ReaderAt.ReadAt(p, off)
}

// A record of a segment that was not opened before is one request to the store, where
// the segment is small; once its footer is known, it is one again.
func TestARecordCostsOneRequest(t *testing.T) {
	var store *asked
	a := newArchive(t, func(o *query.Options) { store = &asked{Store: o.Store}; o.Store = store })
	var last *schema.Record
	for range 1500 { // more than is read of a large segment's end
		last = a.produce("orders", "k", hexID(32)+hexID(32)+hexID(32), time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC))
	}
	a.sealAll()
	for range 2 {
		store.ranges.Store(0)
		r, err := a.Record(t.Context(), everybody(), answer.RecordRequest{Coordinates: schema.Coordinates{Topic: last.Topic, Partition: last.Partition, Offset: 7}})
		if err != nil || len(r.Record.Value) != 192 {
			t.Fatalf("%+v, %v", r, err)
		}
		if n := store.ranges.Load(); n != 1 {
			t.Errorf("%d ranges were read for one record", n)
		}
	}
}
