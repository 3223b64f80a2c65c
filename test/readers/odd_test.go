package readers_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

const (
	topic   = "odd.records"
	traceID = "0af7651916cd43dd8448eb211c80319c"
	tenant  = "nord"
	far     = 2 // the partition of farRows
)

func stream(partition int32) schema.Stream {
	return schema.Stream{Cluster: "test-cluster", Topic: topic, TopicID: schema.TopicID{0xfb, 0xff, 7}, Partition: partition}
}

// extremes are timestamps that 64 bits of microseconds hold: the last and first
// that common types know, and years of more than four digits.
func extremes() []int64 {
	year := func(y int) int64 { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() }
	return []int64{
		-1, 0, 1,
		math.MaxInt64 / 1_000_000, math.MaxInt64/1_000_000 + 1,
		year(1582) - 1, year(1900) - 1, year(1900), year(2299) - 1, year(2300), year(10000) - 1, year(10000), year(1) - 1,
		math.MaxInt64 / 1000, math.MinInt64 / 1000,
	}
}

// beyond are timestamps that only milliseconds hold. Kafka takes any number.
func beyond() []int64 {
	return []int64{math.MinInt64, math.MaxInt64, math.MaxInt64/1000 + 1, math.MinInt64/1000 - 1}
}

// farRows makes the rows of the partition whose timestamps are beyond.
func farRows() []segment.Row {
	w := &oddWriter{partition: far, offset: 0}
	for _, ms := range beyond() {
		w.add(func(r *segment.Row) { r.Timestamp = ms })
	}
	return w.rows
}

// oddRows makes the rows of a partition, each with its own oddity, in the order
// of their offsets.
func oddRows(partition int32) []segment.Row {
	w := &oddWriter{partition: partition, offset: 1000}
	allBytes := make([]byte, 256)
	for i := range allBytes {
		allBytes[i] = byte(i)
	}
	w.add(func(r *segment.Row) { r.Key, r.Value = nil, nil })
	w.add(func(r *segment.Row) { r.Key, r.Value, r.Headers = []byte{}, []byte{}, nil })
	w.add(func(r *segment.Row) { r.Value = nil }) // a tombstone
	w.add(func(r *segment.Row) { r.Key, r.Value = allBytes, allBytes })
	w.add(func(r *segment.Row) {
		r.Headers = []schema.Header{
			{Name: "b", Value: []byte("1")},
			{Name: "a", Value: []byte("2")},
			{Name: "b", Value: []byte("1")},
			{Name: "b", Value: nil},
			{Name: "b", Value: []byte{}},
			{Name: "", Value: allBytes},
			{Name: "\xff\xfe\x00", Value: []byte{0xc3, 0x28}},
			{Name: "grüße", Value: nil},
		}
	})
	w.add(func(r *segment.Row) {
		r.Headers = nil
		for i := range 1000 {
			r.Headers = append(r.Headers, schema.Header{Name: fmt.Sprint("h", i%7), Value: binary.BigEndian.AppendUint32(nil, uint32(i))})
		}
	})
	w.add(func(r *segment.Row) { r.Value = bytes.Repeat([]byte{0, 0xff, '"', '\\', '\n'}, 1_000_003) })
	w.offset += 5 // never served
	for _, ms := range extremes() {
		w.add(func(r *segment.Row) { r.Timestamp = ms })
	}
	for _, kind := range []schema.TimestampType{schema.NoTimestamp, schema.LogAppendTime} {
		w.add(func(r *segment.Row) { r.TimestampType = kind })
	}
	w.add(func(r *segment.Row) {
		r.ProducerID, r.ProducerEpoch, r.LeaderEpoch = math.MaxInt64, math.MaxInt16, math.MaxInt32
	})
	for range 3 {
		w.add(func(r *segment.Row) { r.Status, r.ProducerID, r.ProducerEpoch = schema.Aborted, 4711, 3 })
	}
	w.add(func(r *segment.Row) { // the marker that aborts them (KIP-98)
		r.Status, r.ProducerID, r.ProducerEpoch = schema.Control, 4711, 3
		r.Key, r.Value, r.Headers = []byte{0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 0}, nil
	})
	for i := range 3 {
		w.add(func(r *segment.Row) { event(r, i) })
	}
	for _, us := range []int64{math.MinInt64, math.MaxInt64, -1, math.MaxInt64 / 1000} {
		w.add(func(r *segment.Row) {
			r.X = schema.Extraction{
				EventTime: us, HasEventTime: true, SchemaID: math.MaxInt32, HasSchemaID: true,
				EventID: "ungültig \ufffd", Errors: []string{"no trace id", `timestamp: "x" is none`},
			}
		})
	}
	for i := range 400 { // enough for several row groups and pages
		w.add(func(r *segment.Row) { r.Value = bytes.Repeat([]byte{byte(i)}, 3000) })
	}
	return w.rows
}

// event makes a row one of a trace, with every extracted column filled.
func event(r *segment.Row, i int) {
	r.Headers = append(r.Headers, schema.Header{Name: "tenant", Value: []byte(tenant)})
	r.X = schema.Extraction{
		EventID: fmt.Sprintf("event-%d-%d", r.Partition, i), EventType: "RateEnriched", EventVersion: "2", SourceService: "enricher",
		TraceID: traceID, SpanID: fmt.Sprintf("%016x", i+1),
		Causes: []schema.Cause{
			{Kind: schema.CauseEvent, ID: fmt.Sprint("cause-", i)},
			{Kind: schema.CauseRecord, ID: "in/0/7"},
			{Kind: schema.CauseEvent, ID: fmt.Sprint("cause-", i)},
		},
		EventTime: 1_700_000_000_000_001 + int64(i), HasEventTime: true, Stage: schema.StageEnrichment,
		SchemaID: 7, HasSchemaID: true, Errors: []string{},
	}
}

type oddWriter struct {
	partition int32
	offset    int64
	rows      []segment.Row
}

func (w *oddWriter) add(change func(*segment.Row)) {
	s := stream(w.partition)
	r := segment.Row{Record: schema.Record{
		Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Offset: w.offset, LeaderEpoch: 3,
		Timestamp: 1_700_000_000_000 + w.offset, TimestampType: schema.CreateTime, ProducerID: -1, ProducerEpoch: -1,
		Status: schema.Committed, Key: fmt.Append(nil, "key-", w.offset), Value: []byte(`{"a":1}`),
		Headers: []schema.Header{{Name: "h", Value: []byte{byte(w.offset)}}},
	}}
	change(&r)
	w.offset++
	w.rows = append(w.rows, r)
}
