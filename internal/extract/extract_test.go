package extract_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

const (
	trace1 = "4bf92f3577b34da6a3ce929d0e0e4736"
	trace2 = "0af7651916cd43dd8448eb211c80319c"
	span1  = "00f067aa0ba902b7"
	span2  = "b7ad6b7169203331"
	parent = "00-" + trace1 + "-" + span1 + "-01"
)

// headers takes names and values in turn.
func headers(pairs ...string) []schema.Header {
	list := make([]schema.Header, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, schema.Header{Name: pairs[i], Value: []byte(pairs[i+1])})
	}
	return list
}

func int32BE(n int32) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
func int64BE(n int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// render writes an extraction on lines, absent fields left out.
func render(x *schema.Extraction) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
		}
	}
	line("id", x.EventID)
	line("type", x.EventType)
	line("version", x.EventVersion)
	line("service", x.SourceService)
	line("trace", x.TraceID)
	line("span", x.SpanID)
	for _, c := range x.Causes {
		line("cause", c.String())
	}
	if x.HasEventTime {
		line("time", fmt.Sprint(x.EventTime))
	}
	if x.Stage != schema.StageUnknown {
		line("stage", x.Stage.String())
	}
	if x.HasSchemaID {
		line("schema", fmt.Sprint(x.SchemaID))
	}
	for _, i := range x.Identifiers {
		line(i.Kind.String(), i.ID)
	}
	for _, e := range x.Errors {
		line("error", e)
	}
	return b.String()
}

func extraction(t *testing.T, options extract.Options, rec *schema.Record) string {
	t.Helper()
	rules, err := extract.New(options)
	if err != nil {
		t.Fatal(err)
	}
	// What an earlier record left must not shine through.
	x := schema.Extraction{
		EventID: "stale", HasEventTime: true, SchemaID: 9, HasSchemaID: true, Stage: schema.StageReplay,
		Causes: []schema.Cause{{Kind: schema.CauseEvent, ID: "stale"}}, Errors: []string{"stale"},
		Identifiers: []schema.Identifier{{Kind: schema.IDAlias, ID: "stale"}},
	}
	rules.Extract(rec, &x)
	return render(&x)
}

// want joins lines as render writes them.
func want(lines ...string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

type extractCase struct {
	name    string
	headers []schema.Header
	value   string
	want    string
}

func runCases(t *testing.T, cases []extractCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rec := &schema.Record{Topic: "orders", Status: schema.Committed, Headers: c.headers, Value: []byte(c.value)}
			if got := extraction(t, extract.Options{}, rec); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestPlainNamesInEverySpelling(t *testing.T) {
	for _, spelling := range [][5]string{
		{"eventId", "eventType", "eventVersion", "sourceService", "traceId"},
		{"event_id", "event_type", "event_version", "source_service", "trace_id"},
		{"event-id", "event-type", "event-version", "source-service", "trace-id"},
		{"X-Event-Id", "X-Event-Type", "X-Event-Version", "X-Source-Service", "X-Trace-Id"},
		{"EVENTID", "EventType", "Event.Version", "source.service", "TRACEID"},
	} {
		t.Run(spelling[0], func(t *testing.T) {
			rec := &schema.Record{Headers: headers(
				spelling[0], "evt-1", spelling[1], "OrderCreated", spelling[2], "2", spelling[3], "shop",
				spelling[4], strings.ToUpper(trace1), "timestamp", "2024-03-01T10:00:00.000123Z")}
			expected := want("id=evt-1", "type=OrderCreated", "version=2", "service=shop", "trace="+trace1, "time=1709287200000123")
			if got := extraction(t, extract.Options{}, rec); got != expected {
				t.Errorf("got\n%swant\n%s", got, expected)
			}
		})
	}
}

func TestTraceHeaders(t *testing.T) {
	runCases(t, []extractCase{
		{
			"traceparent as Java's agent writes a root (flags 03)",
			headers("traceparent", "00-"+trace1+"-"+span1+"-03"), "",
			want("trace="+trace1, "span="+span1, "span="+span1),
		},
		{
			"a forwarded traceparent: the first is the parent's",
			headers("traceparent", "00-"+trace1+"-"+span2+"-01", "traceparent", parent), "",
			want("trace="+trace1, "span="+span1, "span="+span1, "parent span="+span2),
		},
		{
			"a forwarded traceparent of another trace",
			headers("Traceparent", "00-"+trace2+"-"+span2+"-01", "traceparent", parent), "",
			want("trace="+trace1, "span="+span1, "span="+span1, "linked trace="+trace2, "parent span="+span2),
		},
		{
			"the contract's trace id wins over traceparent, which stays findable",
			headers("traceparent", parent, "traceId", trace2), "",
			want("trace="+trace2, "span="+span1, "span="+span1, "alias="+trace1),
		},
		{
			"CloudEvents' traceparent is the start of the trace, not this hop",
			headers("traceparent", parent, "ce_traceparent", "00-"+trace2+"-"+span2+"-01"), "",
			want("trace="+trace1, "span="+span1, "span="+span1, "alias="+trace2, "parent span="+span2),
		},
		{
			"CloudEvents' traceparent alone gives the trace",
			headers("ce_traceparent", parent), "",
			want("trace="+trace1, "parent span="+span1),
		},
		{
			"B3 multi as kafkajs writes it",
			headers("x-b3-traceid", trace1, "x-b3-spanid", span1, "x-b3-parentspanid", span2, "x-b3-sampled", "1"), "",
			want("trace="+trace1, "span="+span1, "cause=span:"+span2, "span="+span1),
		},
		{
			"B3 multi as Java writes it, 64 bits",
			headers("X-B3-TraceId", "A3CE929D0E0E4736", "X-B3-SpanId", span1), "",
			want("trace=0000000000000000a3ce929d0e0e4736", "span="+span1, "span="+span1),
		},
		{
			"B3 single wins over multi",
			headers("X-B3-TraceId", trace2, "X-B3-SpanId", span2, "b3", trace1+"-"+span1+"-1-05e3ac9a4f6e3b90"), "",
			want("trace="+trace1, "span="+span1, "cause=span:05e3ac9a4f6e3b90", "span="+span1, "alias="+trace2, "span="+span2),
		},
		{"B3 single that only says sampled", headers("b3", "0"), "", ""},
		{
			"a UUID as trace id", headers("trace_id", "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736"), "",
			want("trace=" + trace1),
		},
		{"an opaque trace id stays as it is", headers("traceId", "Order-17/a"), "", want("trace=Order-17/a")},
		{
			"a declared parent span",
			headers("traceparent", parent, "parentSpanId", strings.ToUpper(span2)), "",
			want("trace="+trace1, "span="+span1, "cause=span:"+span2, "span="+span1),
		},
		{"zero ids name nothing", headers("traceparent", "00-00000000000000000000000000000000-"+span1+"-01"), "", want("error=traceparent:malformed")},
		{"a traceparent that kafkajs joined", headers("traceparent", parent+","+parent), "", want("error=traceparent:malformed")},
		{"a later version may go on", headers("traceparent", "01-"+trace1+"-"+span1+"-01-more"), "", want("trace="+trace1, "span="+span1, "span="+span1)},
		{"B3 cut short", headers("b3", trace1+"-"+span1[:8]), "", want("error=b3:malformed")},
		{"a zero trace id", headers("traceId", "0000000000000000"), "", want("error=trace_id:malformed")},
		{"a broken header does not hide the payload's", headers("traceId", "a\x00b"), `{"traceId":"` + trace1 + `"}`, want("trace="+trace1, "error=trace_id:malformed")},
	})
}

func TestCloudEvents(t *testing.T) {
	runCases(t, []extractCase{
		{
			"binary mode",
			headers("ce_specversion", "1.0", "ce_id", "A234-1234-1234", "ce_source", "/market-data/rate-enricher", "ce_type", "FxRateEnriched",
				"ce_time", "2018-04-05T17:31:00Z", "content-type", "application/json", "ce_causationid", "A1", "ce_correlationid", "flow-9"), `{"rate":1.1}`,
			want("id=A234-1234-1234", "type=FxRateEnriched", "service=/market-data/rate-enricher", "cause=event:A1",
				"time=1522949460000000", "correlation=flow-9"),
		},
		{
			"structured mode",
			headers("content-type", "application/cloudevents+json; charset=UTF-8"),
			`{"specversion":"1.0","id":"e1","type":"T","source":"/s","time":"2018-04-05T17:31:00Z","causationid":"e0","traceparent":"` + parent + `","data":{"id":"order-17","type":"B2B"}}`,
			want("id=e1", "type=T", "service=/s", "trace="+trace1, "cause=event:e0", "time=1522949460000000", "parent span="+span1),
		},
		{
			"structured mode without the content type",
			nil, `{"id":"e1","source":"/s","specversion":"1.0","type":"T"}`,
			want("id=e1", "type=T", "service=/s"),
		},
		{
			"a business object's words are not an event's",
			nil, `{"id":"order-17","type":"B2B","source":"web","version":3,"stage":"delivery","time":"2018-04-05T17:31:00Z"}`, "",
		},
	})
}

func TestCauses(t *testing.T) {
	runCases(t, []extractCase{
		{
			"a repeated header names several parents, once each",
			headers("causationId", "e1", "causation-id", "e2", "X-Causation-Id", "e3", "causationId", "e1"), "",
			want("cause=event:e1", "cause=event:e2", "cause=event:e3"),
		},
		{
			"lists",
			headers("causationIds", "e1, e2", "causationIds", `["e3","e\u0034"]`), `{"causationIds":["e5",{"x":1},"e1"]}`,
			want("cause=event:e1", "cause=event:e2", "cause=event:e3", "cause=event:e4", "cause=event:e5"),
		},
		{
			"input coordinates, interleaved",
			headers("x-src-topic", "a.b", "x-src-partition", "2", "x-src-offset", "17",
				"X-Src-Topic", "c", "X-Src-Offset", "9223372036854775807", "X-Src-Partition", "0"), "",
			want("cause=record:a.b/2/17", "cause=record:c/0/9223372036854775807"),
		},
		{
			"input coordinates that do not add up name nothing",
			headers("x-src-topic", "a", "x-src-topic", "b", "x-src-partition", "2", "x-src-offset", "17"), "",
			want("error=source_record:incomplete"),
		},
		{
			"a wrong triple does not hide a right one",
			headers("x-src-topic", "a/b", "x-src-partition", "2", "x-src-offset", "17",
				"x-src-topic", "a", "x-src-partition", "-1", "x-src-offset", "17",
				"x-src-topic", "a", "x-src-partition", "2147483648", "x-src-offset", "17",
				"x-src-topic", "a", "x-src-partition", "1", "x-src-offset", "5"), "",
			want("cause=record:a/1/5", "error=source_record:malformed"),
		},
	})
}

func TestCopies(t *testing.T) {
	runCases(t, []extractCase{
		{
			"Spring's dead letter, binary numbers",
			headers("stage", "enrichment", "kafka_dlt-original-topic", "orders", "kafka_dlt-original-partition", int32BE(3),
				"kafka_dlt-original-offset", int64BE(1<<40), "kafka_dlt-exception-message", "boom\n\tat x"), "",
			want("cause=copy:orders/3/1099511627776", "stage=dead-letter"),
		},
		{
			"Spring's headers in decimal text of the same length",
			headers("kafka_dlt-original-topic", "orders", "kafka_dlt-original-partition", "0003", "kafka_dlt-original-offset", "12345678"), "",
			want("cause=copy:orders/3/12345678", "stage=dead-letter"),
		},
		{
			"Spring's retry topic is a copy, not a dead letter",
			headers("kafka_original-topic", "orders", "kafka_original-partition", int32BE(0), "kafka_original-offset", int64BE(7)), "",
			want("cause=copy:orders/0/7"),
		},
		{
			"Connect's dead letter",
			headers("__connect.errors.topic", "orders", "__connect.errors.partition", "1", "__connect.errors.offset", "42",
				"__connect.errors.stage", "VALUE_CONVERTER"), "\x00\x01",
			want("cause=copy:orders/1/42", "stage=dead-letter"),
		},
		{
			"Streams' dead letter",
			headers("__streams.errors.topic", "orders", "__streams.errors.partition", "1", "__streams.errors.offset", "42"), "",
			want("cause=copy:orders/1/42", "stage=dead-letter"),
		},
		{
			"a dead letter without coordinates is one still",
			headers("__connect.errors.topic", "orders"), "",
			want("stage=dead-letter", "error=original_record:incomplete"),
		},
		{
			"our replay of a dead letter",
			headers("__connect.errors.topic", "orders", "__connect.errors.partition", "1", "__connect.errors.offset", "42",
				extract.HeaderReplayID, "9f86d081", extract.HeaderSourceTopic, "orders.dlq",
				extract.HeaderSourceTopicID, "AQEBAQEBAQEBAQEBAQEBAQ", extract.HeaderSourcePartition, "0", extract.HeaderSourceOffset, "8"), "",
			want("cause=copy:orders/1/42", "cause=copy:orders.dlq/0/8", "stage=replay", "source record=AQEBAQEBAQEBAQEBAQEBAQ/0/8"),
		},
		{
			"our replay without the topic's name",
			headers(extract.HeaderReplayID, "9f86d081", extract.HeaderSourceTopicID, "AQEBAQEBAQEBAQEBAQEBAQ",
				extract.HeaderSourcePartition, "0", extract.HeaderSourceOffset, "8"), "",
			want("cause=copy:AQEBAQEBAQEBAQEBAQEBAQ/0/8", "stage=replay"),
		},
		{
			"Spring's correlation id of 16 bytes",
			headers("kafka_correlationId", "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36"), "",
			want("correlation=4bf92f35-77b3-4da6-a3ce-929d0e0e4736"),
		},
	})
}

func TestPayload(t *testing.T) {
	runCases(t, []extractCase{
		{
			"a flat contract",
			nil, `{"eventId":"e1","eventType":"FxRateReceived","eventVersion":2,"sourceService":"ecb-gateway","traceId":"` + trace1 + `","timestamp":1709287200123,"stage":"ingestion","rate":1.10}`,
			want("id=e1", "type=FxRateReceived", "version=2", "service=ecb-gateway", "trace="+trace1, "time=1709287200123000", "stage=ingestion"),
		},
		{
			"an envelope; the root wins over it",
			nil, `{"eventType":"A","meta":{"event_type":"B","id":"e1","version":"3","service":"s","time":"2018-04-05T19:31:00+02:00","correlationId":["c1","c2"]},"data":{"eventId":"x"}}`,
			want("id=e1", "type=A", "version=3", "service=s", "time=1522949460000000", "correlation=c1", "correlation=c2"),
		},
		{
			"headers win, field by field",
			headers("eventType", "H"), `{"eventType":"P","eventVersion":"1","eventId":"e1"}`,
			want("id=e1", "type=H", "version=1"),
		},
		{
			"of two members with one name the last counts",
			nil, `{"eventId":"a","eventId":"b"}`,
			want("id=b", "alias=a"),
		},
		{"escapes", nil, `{"event\u0049d":"\u00fc\"x"}`, want(`id=ü"x`)},
		{
			"a JSON document behind a schema registry's frame",
			nil, "\x00\x00\x00\x01\x02" + `{"eventId":"e1"}`,
			want("id=e1", "schema=258"),
		},
		{
			"Avro behind a frame", nil, "\x00\x00\x00\x00\x07\x06abc", want("schema=7"),
		},
		{"a zero byte before JSON is no frame", nil, "\x00" + `{"a":1}`, ""},
		{
			"a schema id in a header: no frame in the value",
			headers("__value_schema_id", "\x00\x00\x00\x00\x09"), `{"eventId":"e1"}`,
			want("id=e1", "schema=9"),
		},
		{
			"a schema GUID in a header",
			headers("__value_schema_id", "\x01\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36"), "\x00\x00\x00\x00\x09abc", "",
		},
		{"broken JSON gives nothing but the code", nil, `{"eventId":"e1","x":`, want("error=payload:not_json")},
		{"the content type says JSON", headers("Content-Type", "application/vnd.acme+json"), "hello", want("error=payload:not_json")},
		{"text in braces is not JSON and does not claim to be", nil, "{hello}", ""},
		{"an array is JSON without fields", headers("content-type", "application/json"), `[{"eventId":"e1"}]`, ""},
		{"not an id", nil, `{"eventId":{"a":1},"eventType":null,"traceId":true,"eventVersion":1.0}`, want("version=1.0")},
		{"invalid UTF-8 in an id", nil, "{\"eventId\":\"a\xff\"}", want("error=event_id:not_printable")},
		{"a control character in an id", nil, `{"eventId":"a\u0000b"}`, want("error=event_id:not_printable")},
		{"an id too long", headers("eventId", strings.Repeat("x", 513)), "", want("error=event_id:too_long")},
		{"an id just long enough", headers("eventId", strings.Repeat("x", 512)), "", want("id=" + strings.Repeat("x", 512))},
		{"too deep", nil, `{"eventId":"e1","x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, want("error=payload:too_deep")},
		{"just deep enough", nil, `{"eventId":"e1","x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, want("id=e1")},
		{"too large", nil, `{"eventId":"e1","x":"` + strings.Repeat("y", 1<<20) + `"}`, want("error=payload:too_large")},
		{"large and binary", nil, strings.Repeat("\xff", 2<<20), ""},
		{"a stage that is none", headers("x-lineage-stage", "cooking"), "", want("error=stage:unknown")},
		{"empty and null values say nothing", []schema.Header{{Name: "eventId"}, {Name: "traceId", Value: []byte{}}, {Name: "eventType", Value: []byte("  ")}}, "", ""},
		{"quotes of a JSON header converter", headers("eventId", `"e1"`, "eventType", `"T"`), "", want("id=e1", "type=T")},
	})
}

func TestTimestamps(t *testing.T) {
	for text, expected := range map[string]string{
		"2024-03-01T10:00:00Z":         "time=1709287200000000",
		"2024-03-01T11:00:00.5+01:00":  "time=1709287200500000",
		"2024-03-01T11:00:00.000+0100": "time=1709287200000000",
		"2024-03-01 10:00:00Z":         "time=1709287200000000",
		"2024-03-01t10:00:00z":         "time=1709287200000000",
		"1709287200":                   "time=1709287200000000",
		"1709287200123":                "time=1709287200123000",
		"1709287200123456":             "time=1709287200123456",
		"1709287200123456789":          "time=1709287200123456",
		"1709287200.123456":            "time=1709287200123456",
		"1.709287200123E9":             "time=1709287200123000",
		"-1":                           "time=-1000000",
		"0":                            "time=0",
		"2024-03-01T10:00:00":          "error=timestamp:no_zone",
		"2024-03-01":                   "error=timestamp:malformed",
		"2024-02-30T10:00:00Z":         "error=timestamp:malformed",
		"NaN":                          "error=timestamp:malformed",
		"0x10":                         "error=timestamp:malformed",
		"1e400":                        "error=timestamp:malformed",
		"-9223372036854775808":         "error=timestamp:malformed",
		"yesterday":                    "error=timestamp:malformed",
		strings.Repeat("1", 41):        "error=timestamp:malformed",
		"0001-01-01T00:00:00+10:00":    "error=timestamp:malformed",
	} {
		rec := &schema.Record{Headers: headers("timestamp", text)}
		if got := extraction(t, extract.Options{}, rec); got != want(expected) {
			t.Errorf("%s: got %s want %s", text, got, expected)
		}
	}
}

func TestBounds(t *testing.T) {
	var many []schema.Header
	for i := range 5000 {
		many = append(many, headers("causationId", fmt.Sprint("e", i), "correlationId", fmt.Sprint("c", i))...)
	}
	rules, err := extract.New(extract.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var x schema.Extraction
	rules.Extract(&schema.Record{Headers: many}, &x)
	if len(x.Causes) != extract.MaxCauses || len(x.Identifiers) != extract.MaxIdentifiers {
		t.Errorf("%d causes, %d identifiers", len(x.Causes), len(x.Identifiers))
	}
	if got := strings.Join(x.Errors, " "); got != "headers:truncated identifiers:truncated causes:truncated" {
		t.Errorf("errors: %s", got)
	}
	rules.Extract(&schema.Record{Headers: many, Status: schema.Control}, &x)
	if got := render(&x); got != "" {
		t.Errorf("a transaction marker gave %s", got)
	}
}
