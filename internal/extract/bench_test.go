package extract_test

import (
	"fmt"
	"testing"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// The pipeline's budget is 20,000 to 40,000 records/s on two cores for
// everything: extraction may take 3 µs a record where headers suffice and 6 µs
// with a payload.
func BenchmarkExtract(b *testing.B) {
	parents := func(n int) []schema.Header {
		list := headers("eventId", trace2, "eventType", "VolatilityComputed", "eventVersion", "2", "sourceService", "risk-engine",
			"traceId", trace1, "timestamp", "2024-03-01T14:15:00.003Z")
		for i := range n {
			list = append(list, headers("causationId", fmt.Sprintf("%032x", i+1))...)
		}
		return list
	}
	body := []byte(`{"eventId":"` + trace2 + `","eventType":"FxRateReceived","eventVersion":"2","sourceService":"ecb-gateway","traceId":"` +
		trace1 + `","timestamp":"2024-03-01T14:15:00Z","base":"EUR","currency":"USD","rate":"1.0813","date":"2024-03-01","dayCount":30,"fixing":"ECB 14:15 CET"}`)
	for _, c := range []struct {
		name string
		rec  *schema.Record
	}{
		{"headers suffice", &schema.Record{Headers: parents(1), Value: body}},
		{"20 parents", &schema.Record{Headers: parents(20), Value: body}},
		{"30 parents", &schema.Record{Headers: parents(30), Value: body}},
		{"traceparent and payload", &schema.Record{Headers: headers("traceparent", parent), Value: body}},
		{"cloudevents and payload", &schema.Record{Headers: headers("ce_specversion", "1.0", "ce_id", trace2, "ce_source", "rate-enricher",
			"ce_type", "FxRateEnriched", "ce_time", "2024-03-01T14:15:00.001Z", "ce_traceparent", parent, "content-type", "application/json"), Value: body}},
		{"opaque", &schema.Record{Headers: headers("traceparent", parent), Value: []byte("\x00\x00\x00\x00\x07binary")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			rules, err := extract.New(extract.Options{})
			if err != nil {
				b.Fatal(err)
			}
			var x schema.Extraction
			b.ReportAllocs()
			for b.Loop() {
				rules.Extract(c.rec, &x)
			}
		})
	}
}
