package segment_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
)

func stream() schema.Stream {
	return schema.Stream{Cluster: "c1", Topic: "fx.rates.received", TopicID: schema.TopicID{1, 2, 3}, Partition: 4}
}

// write makes a segment of rows and fails the test if it cannot.
func write(t testing.TB, o segment.Options, rows []segment.Row) ([]byte, segment.Summary) {
	t.Helper()
	var file bytes.Buffer
	w, err := segment.NewWriter(&file, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := w.Append(&rows[i].Record, &rows[i].X); err != nil {
			t.Fatal(err)
		}
	}
	summary, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), summary
}

// sample makes rows like those of a busy topic, with values of about a size.
func sample(n, size int) []segment.Row {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	id := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return fmt.Sprintf("%x", b)
	}
	rows := make([]segment.Row, n)
	trace := id(16)
	for i := range rows {
		if i%40 == 0 {
			trace = id(16)
		}
		span, event := id(8), id(16)
		value := fmt.Appendf(nil, `{"eventType":"FxRateReceived","eventId":%q,"traceId":%q,"currency":"USD","rate":%.4f`,
			event, trace, random.Float64()*2)
		for len(value) < size-24 {
			value = fmt.Appendf(value, `,"f%d":%q`, len(value), id(8))
		}
		rows[i] = segment.Row{
			Record: schema.Record{
				Topic: stream().Topic, TopicID: stream().TopicID, Partition: stream().Partition,
				Offset: int64(1000 + i), LeaderEpoch: 3, Timestamp: 1_700_000_000_000 + int64(i/3), ProducerID: 4000,
				Status: schema.Committed, Key: []byte("EUR"), Value: append(value, '}'),
				Headers: []schema.Header{
					{Name: "traceparent", Value: []byte("00-" + trace + "-" + span + "-01")},
					{Name: "ce_type", Value: []byte("FxRateReceived")},
					{Name: "ce_id", Value: []byte(event)},
				},
			},
			X: schema.Extraction{
				EventID: event, EventType: "FxRateReceived", EventVersion: "2", SourceService: "ecb-gateway",
				TraceID: trace, SpanID: span, Causes: []schema.Cause{{Kind: schema.CauseEvent, ID: id(16)}},
				EventTime: 1_700_000_000_000_000 + int64(i), HasEventTime: true, Stage: schema.StageIngestion,
			},
		}
	}
	return rows
}

func optionalBytes(small bool) *rapid.Generator[[]byte] {
	if small {
		return rapid.OneOf(rapid.Just([]byte(nil)), rapid.Just([]byte{}), rapid.SliceOfN(rapid.Byte(), 0, 20))
	}
	large := rapid.Map(rapid.IntRange(1000, 9000), func(n int) []byte { return bytes.Repeat([]byte{'x', 0xff}, n/2) })
	return rapid.OneOf(rapid.Just([]byte(nil)), rapid.Just([]byte{}), rapid.SliceOfN(rapid.Byte(), 0, 200), large)
}

func text() *rapid.Generator[string] {
	return rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{"a", "b"}), rapid.StringN(0, 40, 60))
}

// drawRows makes rows of every shape: nulls, empties, bytes that are no text,
// no headers and many, gaps between offsets, extremes of numbers.
func drawRows(t *rapid.T) []segment.Row {
	rows := make([]segment.Row, rapid.IntRange(1, 60).Draw(t, "rows"))
	offset := rapid.Int64Range(0, 1<<60).Draw(t, "first")
	for i := range rows {
		offset += rapid.SampledFrom([]int64{1, 1, 1, 2, 1 << 40}).Draw(t, "step")
		r := schema.Record{
			Topic: stream().Topic, TopicID: stream().TopicID, Partition: stream().Partition, Branch: 2, Offset: offset,
			LeaderEpoch: rapid.Int32().Draw(t, "epoch"), Timestamp: rapid.Int64().Draw(t, "timestamp"),
			TimestampType: schema.TimestampType(rapid.Int8Range(-1, 1).Draw(t, "type")),
			ProducerID:    rapid.Int64().Draw(t, "producer"), ProducerEpoch: rapid.Int16().Draw(t, "producer epoch"),
			Status: schema.Status(rapid.Uint8Range(1, 3).Draw(t, "status")),
			Key:    optionalBytes(true).Draw(t, "key"), Value: optionalBytes(false).Draw(t, "value"),
		}
		headers := rapid.SampledFrom([]int{0, 0, 1, 3, 1000}).Draw(t, "headers")
		for j := range headers {
			h := schema.Header{Name: "same", Value: []byte{byte(j)}}
			if headers < 1000 {
				h.Name = string(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "name"))
				h.Value = optionalBytes(true).Draw(t, "header value")
			}
			r.Headers = append(r.Headers, h)
		}
		rows[i] = segment.Row{Record: r, X: drawExtraction(t)}
	}
	return rows
}

func drawExtraction(t *rapid.T) schema.Extraction {
	x := schema.Extraction{
		EventID: text().Draw(t, "event id"), EventType: text().Draw(t, "event type"),
		EventVersion: text().Draw(t, "version"), SourceService: text().Draw(t, "service"),
		TraceID: text().Draw(t, "trace"), SpanID: text().Draw(t, "span"),
		HasEventTime: rapid.Bool().Draw(t, "has time"), HasSchemaID: rapid.Bool().Draw(t, "has schema"),
		Stage: schema.Stage(rapid.Uint8Range(0, 6).Draw(t, "stage")),
	}
	if x.HasEventTime {
		x.EventTime = rapid.Int64().Draw(t, "event time")
	}
	if x.HasSchemaID {
		x.SchemaID = rapid.Int32().Draw(t, "schema id")
	}
	for range rapid.IntRange(0, 3).Draw(t, "causes") {
		kind := schema.CauseKind(rapid.Uint8Range(1, 4).Draw(t, "cause"))
		x.Causes = append(x.Causes, schema.Cause{Kind: kind, ID: text().Draw(t, "parent")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "errors") {
		x.Errors = append(x.Errors, "e"+text().Draw(t, "error"))
	}
	return x
}

// small options make several row groups and many pages of few rows.
func small(t *rapid.T) segment.Options {
	return segment.Options{
		Stream: stream(), Branch: 2,
		Rows:          rapid.IntRange(0, 100).Draw(t, "rows expected"),
		RowGroupBytes: rapid.SampledFrom([]int64{1, 20_000, 1 << 20}).Draw(t, "row group"),
		PageBytes:     rapid.SampledFrom([]int64{1, 16 << 10, 0}).Draw(t, "page"),
	}
}

// compare holds two rows against each other: nil is not empty.
func compare(t interface{ Fatalf(string, ...any) }, what string, got, want *segment.Row) {
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Fatalf("%s, offset %d:\n got %s\nwant %s", what, want.Offset, g, w)
	}
}

func TestIndependentReaderGivesEveryRowBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := drawRows(rt)
		raw, summary := write(t, small(rt), rows)
		got := segmenttest.Read(t, raw)
		if len(got) != len(rows) || summary.Counts.Rows() != int64(len(rows)) {
			rt.Fatalf("wrote %d rows, counted %d, read %d", len(rows), summary.Counts.Rows(), len(got))
		}
		for i := range rows {
			compare(rt, "parquet-go", &got[i], &rows[i])
		}
	})
}
