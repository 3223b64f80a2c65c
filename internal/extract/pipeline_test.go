package extract_test

import (
	"testing"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// One record of every hop of a pipeline whose services each speak another
// dialect, headers and body as a broker holds them.
func TestPipelineOfMixedDialects(t *testing.T) {
	const contract = `"eventVersion":2,"traceId":"` + trace1 + `",`
	for _, c := range []struct {
		name string
		rec  *schema.Record
		want string
	}{
		{
			"gateway: traceparent, the contract in the body",
			&schema.Record{
				Headers: headers("traceparent", parent, "content-type", "application/json"),
				Value: []byte(`{"eventId":"e1","eventType":"FxRateReceived",` + contract + `"sourceService":"ecb-gateway","timestamp":"2024-03-01T14:15:00.000Z",` +
					`"run":1,"sequence":7,"rate":1.0813,"line":4,"fixing":"ECB 14:15 CET"}`),
			},
			want("id=e1", "type=FxRateReceived", "version=2", "service=ecb-gateway", "trace="+trace1, "span="+span1, "time=1709302500000000", "span="+span1),
		},
		{
			"enricher: CloudEvents, the version in the body only",
			&schema.Record{
				Headers: headers("ce_specversion", "1.0", "ce_id", "e2", "ce_type", "FxRateEnriched", "ce_source", "/market-data/rate-enricher",
					"ce_time", "2024-03-01T14:15:00.050Z", "ce_subject", "USD", "ce_traceparent", parent, "content-type", "application/json"),
				Value: []byte(`{"eventId":"e2","eventType":"FxRateEnriched",` + contract + `"sourceService":"rate-enricher","timestamp":"2024-03-01T14:15:00.050Z","rate":1.0813}`),
			},
			want("id=e2", "type=FxRateEnriched", "version=2", "service=/market-data/rate-enricher", "trace="+trace1, "time=1709302500050000", "parent span="+span1),
		},
		{
			"engine: plain names, many causes",
			&schema.Record{
				Headers: headers("content-type", "application/json", "eventType", "FxVolatilityComputed", "eventVersion", "2", "sourceService", "risk-engine",
					"traceId", trace1, "timestamp", "2024-03-01T14:15:00.100Z", "eventId", "e3", "causationId", "e2", "causationId", "e0"),
				Value: []byte(`{"run":1,"rate":1.0813,"windowDays":20}`),
			},
			want("id=e3", "type=FxVolatilityComputed", "version=2", "service=risk-engine", "trace="+trace1, "cause=event:e2", "cause=event:e0", "time=1709302500100000"),
		},
		{
			"alerts: traceparent and the input's coordinates",
			&schema.Record{
				Headers: headers("traceparent", parent, "content-type", "application/json", "x-src-topic", "fx.risk.volatility", "x-src-partition", "3", "x-src-offset", "1042"),
				Value:   []byte(`{"eventId":"e4","eventType":"FxRiskAlertRaised",` + contract + `"sourceService":"risk-alerts","timestamp":"2024-03-01T14:15:00.160Z"}`),
			},
			want("id=e4", "type=FxRiskAlertRaised", "version=2", "service=risk-alerts", "trace="+trace1, "span="+span1,
				"cause=record:fx.risk.volatility/3/1042", "time=1709302500160000", "span="+span1),
		},
		{
			"dead letter: the record's headers, then where it came from",
			&schema.Record{
				Headers: headers("traceparent", parent, "__streams.errors.exception", "*json.SyntaxError", "__streams.errors.message", "unexpected end",
					"__streams.errors.topic", "fx.rates.received", "__streams.errors.partition", "2", "__streams.errors.offset", "17", "x-source-service", "rate-enricher"),
				Value: []byte(`{"eventId":"e1",`),
			},
			want("service=rate-enricher", "trace="+trace1, "span="+span1, "cause=copy:fx.rates.received/2/17", "stage=dead-letter", "span="+span1, "error=payload:not_json"),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := extraction(t, extract.Options{}, c.rec); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}
