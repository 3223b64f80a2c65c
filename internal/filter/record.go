package filter

import (
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/fx-risk-ai/annals/internal/segment"
)

// The variables that are made of a record's bytes: who may not see those may not
// guess at them.
const (
	Key        = "key"
	Headers    = "headers"
	HeaderList = "headerList"
	Value      = "value"
)

// Variables of what was extracted when a record was sealed.
var extracted = []string{"eventType", "eventVersion", "service", "stage", "traceId", "spanId", "eventId", "eventTime"}

var variables = map[string]*cel.Type{
	"topic": cel.StringType, "partition": cel.IntType, "offset": cel.IntType, "timestamp": cel.TimestampType,
	Key: cel.DynType, Value: cel.DynType,
	Headers:     cel.MapType(cel.StringType, cel.DynType),
	HeaderList:  cel.ListType(cel.MapType(cel.StringType, cel.DynType)),
	"eventType": cel.StringType, "eventVersion": cel.StringType, "service": cel.StringType, "stage": cel.StringType,
	"traceId": cel.StringType, "spanId": cel.StringType, "eventId": cel.StringType, "eventTime": cel.DynType,
}

// Columns are those of a segment that the text asks for.
func (f *Filter) Columns() segment.Columns {
	columns := segment.Columns(0)
	if f.used["timestamp"] {
		columns |= segment.Times
	}
	if f.used[Key] || f.used[Headers] || f.used[HeaderList] || f.used[Value] {
		columns |= segment.Payload
	}
	for _, name := range extracted {
		if f.used[name] {
			columns |= segment.Extracted
		}
	}
	return columns
}

// record gives CEL what it asks for of a row, and makes nothing else.
type record struct {
	row     *segment.Row
	decode  func() (any, error)
	decoded bool
	value   any
	err     error // of decode
}

// Parent implements cel.Activation.
func (r *record) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (r *record) ResolveName(name string) (any, bool) {
	row := r.row
	switch name {
	case "topic":
		return row.Topic, true
	case "partition":
		return int64(row.Partition), true
	case "offset":
		return row.Offset, true
	case "timestamp":
		return time.UnixMilli(row.Timestamp).UTC(), true
	case Key:
		return text(row.Key), true
	case Headers:
		last := make(map[string]any, len(row.Headers))
		for i := range row.Headers {
			last[row.Headers[i].Name] = text(row.Headers[i].Value)
		}
		return last, true
	case HeaderList:
		all := make([]any, len(row.Headers))
		for i := range row.Headers {
			all[i] = map[string]any{"name": text([]byte(row.Headers[i].Name)), "value": text(row.Headers[i].Value)}
		}
		return all, true
	case Value:
		return r.payload()
	case "eventTime":
		if !row.X.HasEventTime {
			return types.NullValue, true
		}
		return time.UnixMicro(row.X.EventTime).UTC(), true
	}
	return extractedText(row, name)
}

func extractedText(row *segment.Row, name string) (any, bool) {
	switch name {
	case "eventType":
		return row.X.EventType, true
	case "eventVersion":
		return row.X.EventVersion, true
	case "service":
		return row.X.SourceService, true
	case "stage":
		return row.X.Stage.String(), true
	case "traceId":
		return row.X.TraceID, true
	case "spanId":
		return row.X.SpanID, true
	case "eventId":
		return row.X.EventID, true
	}
	return nil, false
}

// payload decodes once; after an error the whole answer is that error.
func (r *record) payload() (any, bool) {
	if !r.decoded {
		r.decoded = true
		r.value, r.err = r.decode()
	}
	switch {
	case r.err != nil:
		return types.WrapErr(r.err), true
	case r.value == nil:
		return types.NullValue, true
	}
	return r.value, true
}

// text is a string where the bytes are UTF-8.
func text(b []byte) any {
	switch {
	case b == nil:
		return types.NullValue
	case utf8.Valid(b):
		return string(b)
	}
	return types.Bytes(b)
}
