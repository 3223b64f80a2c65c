package extract_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

func TestTopicRules(t *testing.T) {
	options := extract.Options{Topics: []extract.TopicRule{
		{
			Topic: "orders.*", TraceID: "/ctx/ids/1", EventID: "header:My_Event", EventType: "/a~1b",
			CausationID: "/parents", BusinessIDs: []extract.Location{"/orderId", "header:customer", "/lines"}, Stage: "/ctx/step",
		},
		{Topic: "orders.v2", EventID: "header:never"},
		{Topic: "strict", Contract: true},
	}}
	full := &schema.Record{
		Topic: "orders.v2",
		Headers: headers("traceId", trace2, "eventId", "usual", "my-event", "e1", "customer", "c-7", "eventVersion", "1",
			"sourceService", "s", "timestamp", "0", "causationId", "e0"),
		Value: []byte(`{"ctx":{"ids":["x","` + trace1 + `"],"step":"enrich"},"a/b":"T","parents":["p1","p2"],"orderId":17,"lines":["l1","l2",{}],"orderId":18}`),
	}
	cases := []struct {
		name string
		rec  *schema.Record
		want string
	}{
		{
			"an override wins over headers, and is read though they suffice", full,
			want("id=e1", "type=T", "version=1", "service=s", "trace="+trace1, "cause=event:e0", "cause=event:p1", "cause=event:p2",
				"time=0", "stage=enrichment", "alias=usual", "correlation=c-7", "correlation=18", "correlation=l1", "correlation=l2", "alias="+trace2),
		},
		{
			"where it finds nothing the usual rules apply",
			&schema.Record{Topic: "orders.v1", Headers: headers("eventId", "usual"), Value: []byte(`{"traceId":"t","ctx":{"ids":["x"]}}`)},
			want("id=usual", "trace=t"),
		},
		{"another topic", &schema.Record{Topic: "payments", Value: full.Value}, ""},
		{
			"a contract names what is missing",
			&schema.Record{Topic: "strict", Headers: headers("eventType", "T", "traceId", "0")},
			want("type=T", "error=trace_id:malformed", "error=event_version:missing", "error=source_service:missing", "error=trace_id:missing", "error=timestamp:missing"),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := extraction(t, options, c.rec); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestTopicRulesAreChecked(t *testing.T) {
	for field, rule := range map[string]extract.TopicRule{
		"topic":        {Topic: "[", TraceID: "/a"},
		"trace_id":     {Topic: "a", TraceID: "a.b"},
		"event_id":     {Topic: "a", EventID: "header:"},
		"business_ids": {Topic: "a", BusinessIDs: []extract.Location{"/ok", extract.Location(strings.Repeat("/x", 65))}},
	} {
		_, err := extract.New(extract.Options{Topics: []extract.TopicRule{rule}})
		var fault *schema.Error
		if !errors.As(err, &fault) || fault.Kind != schema.Invalid || fault.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := extract.New(extract.Options{Topics: make([]extract.TopicRule, 1001)}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("1,001 rules: %v", err)
	}
}

func TestExtractIsSafeForConcurrentUse(t *testing.T) {
	rules, err := extract.New(extract.Options{Topics: []extract.TopicRule{{Topic: "t?", EventID: "/k"}}})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			var x schema.Extraction
			for i := range 200 {
				id := fmt.Sprint(worker, "-", i)
				rules.Extract(&schema.Record{Topic: fmt.Sprint("t", i%10), Value: []byte(`{"k":"` + id + `"}`)}, &x)
				if x.EventID != id {
					t.Errorf("got %q want %q", x.EventID, id)
				}
			}
		})
	}
	group.Wait()
}

func TestStringsOutliveTheRecord(t *testing.T) {
	rules, err := extract.New(extract.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rec := &schema.Record{
		Headers: headers("causationId", "e0", "traceparent", parent, "x-src-topic", "a", "x-src-partition", "1", "x-src-offset", "2", "correlationId", "c"),
		Value:   []byte(`{"eventId":"e1","eventType":"T"}`),
	}
	var x schema.Extraction
	rules.Extract(rec, &x)
	before := render(&x)
	for _, h := range rec.Headers {
		clear(h.Value)
	}
	clear(rec.Value)
	if after := render(&x); after != before {
		t.Errorf("got\n%swant\n%s", after, before)
	}
}

func TestNormalizeID(t *testing.T) {
	padded := "0000000000000000" + span1
	for text, expected := range map[string][]string{
		"evt-1":                {"evt-1"},
		" Evt-1\n":             {"Evt-1"},
		"a\nb":                 nil,
		"  Evt-1 ":             {"  Evt-1 ", "Evt-1"},
		`"Evt-1"`:              {`"Evt-1"`, "Evt-1"},
		strings.ToUpper(span1): {strings.ToUpper(span1), span1, padded},
		"4BF92F35-77B3-4DA6-A3CE-929D0E0E4736": {
			"4BF92F35-77B3-4DA6-A3CE-929D0E0E4736", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", trace1,
		},
		"urn:uuid:4bf92f35-77b3-4da6-a3ce-929d0e0e4736": {
			"urn:uuid:4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", trace1,
		},
		trace1:                     {trace1, "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"},
		parent:                     {parent, trace1, span1},
		"67667974448284343":        {"67667974448284343", "00f067aa0ba902b7", padded},
		"S/kvNXezTaajzpKdDg5HNg==": {"S/kvNXezTaajzpKdDg5HNg==", trace1, "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"},
		"S_kvNXezTaajzpKdDg5HNg":   {"S_kvNXezTaajzpKdDg5HNg", trace1, "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"},
		"APBnqgupArc=":             {"APBnqgupArc=", span1, padded},
		"0":                        {"0"},
		"":                         nil,
		"  ":                       nil,
		"a\xff":                    nil,
		strings.Repeat("x", 513):   nil,
	} {
		if got := extract.NormalizeID(text); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", expected) {
			t.Errorf("%q: got %q want %q", text, got, expected)
		}
	}
}
