// Package segmenttest reads segments with parquet-go, which shares no code
// with the writer: what both agree on is what is in the file. Only tests
// import it.
//
// Functions fail the test they are given; they are safe for concurrent use.
package segmenttest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Read returns every row of a segment, all memory its own. It reads the
// Parquet columns alone, by their names: no footer of ours, no page index.
func Read(t testing.TB, raw []byte) []segment.Row {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatalf("parquet-go opens the segment: %v", err)
	}
	paths := f.Schema().Columns()
	var out []segment.Row
	for _, group := range f.RowGroups() {
		rows := group.Rows()
		buffer := make([]parquet.Row, 256)
		for {
			n, err := rows.ReadRows(buffer)
			for _, row := range buffer[:n] {
				out = append(out, decode(t, paths, row))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("parquet-go reads row %d: %v", len(out), err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatalf("parquet-go closes a row group: %v", err)
		}
	}
	return out
}

// Index opens the segment again with its page index and bloom filters, and
// returns the file for a closer look.
func Index(t testing.TB, raw []byte) *parquet.File {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)),
		parquet.SkipPageIndex(false), parquet.SkipBloomFilters(false))
	if err != nil {
		t.Fatalf("parquet-go opens the segment with its indexes: %v", err)
	}
	return f
}

func decode(t testing.TB, paths [][]string, row parquet.Row) segment.Row {
	t.Helper()
	var out segment.Row
	var values [][]byte // of the headers
	for _, v := range row {
		path := strings.Join(paths[v.Column()], ".")
		inList := strings.Contains(path, ".list.")
		switch {
		case inList && v.DefinitionLevel() == 0: // an empty list
		case path == "headers.list.element.key":
			out.Headers = append(out.Headers, schema.Header{Name: string(v.ByteArray())})
		case path == "headers.list.element.value":
			values = append(values, optional(v))
		case inList:
			element(t, &out, path, string(v.ByteArray()))
		default:
			if !broker(t, &out.Record, path, v) && !extracted(t, &out.X, path, v) {
				t.Fatalf("column %q is not in the format", path)
			}
		}
	}
	if len(values) != len(out.Headers) {
		t.Fatalf("offset %d: %d header names, %d values", out.Offset, len(out.Headers), len(values))
	}
	for i := range values {
		out.Headers[i].Value = values[i]
	}
	return out
}

// optional copies a value; null is nil, empty is not.
func optional(v parquet.Value) []byte {
	if v.IsNull() {
		return nil
	}
	return append([]byte{}, v.ByteArray()...)
}

func element(t testing.TB, out *segment.Row, path, text string) {
	t.Helper()
	switch path {
	case "parent_ids.list.element":
		cause, err := schema.ParseCause(text)
		if err != nil {
			t.Fatalf("offset %d: %v", out.Offset, err)
		}
		out.X.Causes = append(out.X.Causes, cause)
	case "contract_errors.list.element":
		out.X.Errors = append(out.X.Errors, text)
	default:
		t.Fatalf("list %q is not in the format", path)
	}
}

func broker(t testing.TB, out *schema.Record, path string, v parquet.Value) bool {
	t.Helper()
	var err error
	switch path {
	case "topic":
		out.Topic = string(v.ByteArray())
	case "topic_id":
		out.TopicID, err = schema.ParseTopicID(string(v.ByteArray()))
	case "partition":
		out.Partition = v.Int32()
	case "branch":
		out.Branch = v.Int32()
	case "offset":
		out.Offset = v.Int64()
	case "leader_epoch":
		out.LeaderEpoch = v.Int32()
	case "timestamp":
		out.Timestamp = v.Int64()
	case "timestamp_type":
		out.TimestampType, err = timestampType(string(v.ByteArray()))
	case "producer_id":
		out.ProducerID = v.Int64()
	case "producer_epoch":
		out.ProducerEpoch = int16(v.Int32())
	case "status":
		out.Status, err = schema.ParseStatus(string(v.ByteArray()))
	case "key":
		out.Key = optional(v)
	case "value":
		out.Value = optional(v)
	case "proof_key", "proof_value", "proof_headers", "proof_seed":
		if !v.IsNull() {
			err = errors.New("is not null")
		}
	default:
		return false
	}
	if err != nil {
		t.Fatalf("offset %d, column %s: %v", out.Offset, path, err)
	}
	return true
}

func timestampType(text string) (schema.TimestampType, error) {
	for _, known := range []schema.TimestampType{schema.NoTimestamp, schema.CreateTime, schema.LogAppendTime} {
		if known.String() == text {
			return known, nil
		}
	}
	return 0, errors.New("no timestamp type: " + text)
}

func extracted(t testing.TB, x *schema.Extraction, path string, v parquet.Value) bool {
	t.Helper()
	if path == "event_time" || path == "schema_id" {
		if !v.IsNull() && path == "event_time" {
			x.EventTime, x.HasEventTime = v.Int64(), true
		}
		if !v.IsNull() && path == "schema_id" {
			x.SchemaID, x.HasSchemaID = v.Int32(), true
		}
		return true
	}
	text := string(optional(v))
	if !v.IsNull() && text == "" {
		t.Fatalf("column %s holds an empty text, which should be null", path)
	}
	switch path {
	case "event_id":
		x.EventID = text
	case "event_type":
		x.EventType = text
	case "event_version":
		x.EventVersion = text
	case "source_service":
		x.SourceService = text
	case "trace_id":
		x.TraceID = text
	case "span_id":
		x.SpanID = text
	case "stage":
		if v.IsNull() {
			return true
		}
		stage, known := schema.ParseStage(text)
		if !known {
			t.Fatalf("stage %q is not known", text)
		}
		x.Stage = stage
	default:
		return false
	}
	return true
}
