package extract_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

const (
	low1     = "11803532876627986230" // a3ce929d0e0e4736, the low half of trace1
	decimal1 = "67667974448284343"    // span1
	padded1  = "0000000000000000a3ce929d0e0e4736"
)

func skyWalking(trace, segment, span string) string {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return strings.Join([]string{"1", b64(trace), b64(segment), span, b64("shop"), b64("shop-1"), b64("/order"), b64("kafka:9092")}, "-")
}

func TestTracersOfVendors(t *testing.T) {
	runCases(t, []extractCase{
		{
			"Jaeger", headers("uber-trace-id", trace1+":f067aa0ba902b7:"+span2+":1"), "",
			want("trace="+trace1, "span="+span1, "cause=span:"+span2, "span="+span1),
		},
		{
			"Jaeger, short, percent-encoded, without a parent", headers("Uber-Trace-Id", "a3ce929d0e0e4736%3A1%3a0%3A0"), "",
			want("trace="+padded1, "span=0000000000000001", "span=0000000000000001"),
		},
		{"Jaeger, cut short", headers("uber-trace-id", trace1+":"+span1), "", want("error=uber_trace_id:malformed")},
		{"Jaeger, too many digits", headers("uber-trace-id", trace1+"0:1:0:1"), "", want("error=uber_trace_id:malformed")},
		{
			"Datadog, 64 bits", headers("x-datadog-trace-id", low1, "x-datadog-parent-id", decimal1, "x-datadog-sampling-priority", "1"), "",
			want("trace="+padded1, "span="+span1, "span="+span1),
		},
		{
			"Datadog, 128 bits", headers("x-datadog-tags", "_dd.p.dm=-1,_dd.p.tid="+trace1[:16], "x-datadog-trace-id", low1, "x-datadog-parent-id", decimal1), "",
			want("trace="+trace1, "span="+span1, "span="+span1),
		},
		{
			"Datadog, forwarded: the earlier span is the parent's",
			headers("x-datadog-trace-id", low1, "x-datadog-parent-id", "1", "x-datadog-trace-id", low1, "x-datadog-parent-id", decimal1), "",
			want("trace="+padded1, "span="+span1, "span="+span1, "parent span=0000000000000001"),
		},
		{"Datadog, no number", headers("x-datadog-trace-id", trace1, "x-datadog-parent-id", "0"), "", want("error=x_datadog:malformed")},
		{"Datadog, more than 64 bits", headers("x-datadog-trace-id", low1+"0"), "", want("error=x_datadog:malformed")},
		{
			"Amazon", headers("X-Amzn-Trace-Id", "Root=1-"+trace1[:8]+"-"+trace1[8:]+";Parent="+span1+";Sampled=1;Lineage=a:0"), "",
			want("trace="+trace1, "span="+span1, "span="+span1),
		},
		{"Amazon, its parts in another order, no parent", headers("x-amzn-trace-id", "Sampled=0; Root=1-"+trace1[:8]+"-"+trace1[8:]), "", want("trace=" + trace1)},
		{"Amazon without a root", headers("X-Amzn-Trace-Id", "Parent="+span1), "", want("error=x_amzn_trace_id:malformed")},
		{"Amazon, zero", headers("X-Amzn-Trace-Id", "Root=1-00000000-000000000000000000000000"), "", want("error=x_amzn_trace_id:malformed")},
		{
			"SkyWalking", headers("sw8", skyWalking("a.12.17", "seg.9", "3")), "",
			want("trace=a.12.17", "span=seg.9/3", "span=seg.9/3"),
		},
		{"SkyWalking, not base64", headers("sw8", "1-*-*-3-a-b-c-d"), "", want("error=sw8:malformed")},
		{"Elastic", headers("elastic-apm-traceparent", parent), "", want("trace="+trace1, "span="+span1, "span="+span1)},
		{
			"W3C wins over vendors, whose ids stay findable",
			headers("x-datadog-trace-id", low1, "x-datadog-parent-id", "1", "uber-trace-id", trace2+":2:0:1", "traceparent", parent), "",
			want("trace="+trace1, "span="+span1, "span="+span1, "alias="+trace2, "span=0000000000000002", "alias="+padded1, "span=0000000000000001"),
		},
		{
			"a vendor's header wins over where a CloudEvent's trace began",
			headers("ce_traceparent", "00-"+trace2+"-"+span2+"-01", "uber-trace-id", trace1+":"+span1+":0:1"), "",
			want("trace="+trace1, "span="+span1, "span="+span1, "alias="+trace2, "parent span="+span2),
		},
	})
}

func TestMessageBuses(t *testing.T) {
	runCases(t, []extractCase{
		{
			"Axon 4: beside a trace id the correlation id is the cause",
			headers("axon-metadata-correlationId", "m1", "axon-metadata-traceId", "m0", "axon-message-id", "m2", "axon-message-type", "Placed", "axon-message-revision", "3"), "",
			want("id=m2", "type=Placed", "version=3", "trace=m0", "cause=event:m1"),
		},
		{
			"Axon 5: the cause has a name of its own",
			headers("axon-message-id", "m2", "axon-metadata-correlationId", "m0", "axon-metadata-causationId", "m1"), "",
			want("id=m2", "cause=event:m1", "correlation=m0"),
		},
		{
			"NServiceBus",
			headers("NServiceBus.MessageId", "m2", "NServiceBus.RelatedTo", "m1", "NServiceBus.ConversationId", "c", "NServiceBus.CorrelationId", "r",
				"NServiceBus.OriginatingEndpoint", "Sales"), "",
			want("id=m2", "service=Sales", "cause=event:m1", "correlation=c", "correlation=r"),
		},
		{
			"MassTransit", headers("MessageId", "m2", "ConversationId", "c", "InitiatorId", "m1"), "",
			want("id=m2", "cause=event:m1", "correlation=c"),
		},
		{
			"streams-bootstrap: the direct input is the last",
			headers("streams.bootstrap.lineage.topic", "a", "streams.bootstrap.lineage.partition", int32BE(1), "streams.bootstrap.lineage.offset", int64BE(5),
				"streams.bootstrap.lineage.topic", "b", "streams.bootstrap.lineage.partition", int32BE(0), "streams.bootstrap.lineage.offset", int64BE(7)), "",
			want("cause=record:b/0/7", "source record=a/1/5"),
		},
		{
			"Spring Cloud Stream's dead letter",
			headers("x-original-topic", "orders", "x-original-partition", int32BE(3), "x-original-offset", int64BE(9), "x-exception-message", "boom"), "",
			want("cause=copy:orders/3/9", "stage=dead-letter"),
		},
	})
}

// Whatever numbers a tracer gives, the id in its spelling and in W3C's are one.
func TestOneTraceUnderEveryTracersSpelling(t *testing.T) {
	rules, err := extract.New(extract.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		high, low, span := rapid.Uint64().Draw(t, "high"), rapid.Uint64Min(1).Draw(t, "low"), rapid.Uint64Min(1).Draw(t, "span")
		trace := fmt.Sprintf("%016x%016x", high, low)
		for name, list := range map[string][]schema.Header{
			"w3c": headers("traceparent", fmt.Sprintf("00-%s-%016x-01", trace, span)),
			"b3":  headers("b3", fmt.Sprintf("%s-%016x", trace, span)),
			"b3 multi": headers("X-B3-TraceId", strings.ToUpper(trace), "X-B3-SpanId",
				fmt.Sprintf("%016X", span)),
			"jaeger": headers("uber-trace-id", fmt.Sprintf("%s:%x:0:1", strings.TrimLeft(trace, "0"), span)),
			"datadog": headers("x-datadog-trace-id", fmt.Sprint(low), "x-datadog-parent-id", fmt.Sprint(span),
				"x-datadog-tags", fmt.Sprintf("_dd.p.tid=%016x", high)),
			"amazon": headers("X-Amzn-Trace-Id", fmt.Sprintf("Root=1-%s-%s;Parent=%016x", trace[:8], trace[8:], span)),
		} {
			var x schema.Extraction
			rules.Extract(&schema.Record{Headers: list}, &x)
			if want := fmt.Sprintf("%016x", span); x.TraceID != trace || x.SpanID != want || len(x.Errors) > 0 {
				t.Fatalf("%s: trace %q span %q errors %q, want %s %s", name, x.TraceID, x.SpanID, x.Errors, trace, want)
			}
		}
	})
}
