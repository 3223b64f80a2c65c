package extract_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// FuzzExtract holds every extraction to the package's promises: bounded,
// printable, the same again, and payload errors that agree with encoding/json.
func FuzzExtract(f *testing.F) {
	f.Add("traceparent", parent, "causationId", "e0", []byte(`{"eventId":"e1","meta":{"type":"T"},"timestamp":1.5e9}`))
	f.Add("kafka_dlt-original-topic", "a", "kafka_dlt-original-partition", int32BE(1), []byte("\x00\x00\x00\x00\x01{\"a\":[1,2,{\"b\":\"\\u00e9\"}]}"))
	f.Add("content-type", "application/cloudevents+json", "b3", trace1+"-"+span1, []byte(`{"specversion":"1.0","id":"x","causationids":["a","\ud800"]}`))
	f.Add("causationIds", `["a",{"b":1}]`, "timestamp", "2024-03-01T10:00:00Z", []byte(`{"a":-0.5E+7,"b":[],"c":tru}`))
	f.Add("x-src-topic", "t", "__value_schema_id", "\x01", []byte(`{"eventId"`))
	f.Add("x-datadog-trace-id", "11803532876627986230", "x-datadog-tags", "_dd.p.tid=4bf92f3577b34da6", []byte(`{}`))
	f.Add("uber-trace-id", "a3ce929d0e0e4736%3A1%3a0%3A0", "sw8", skyWalking("a", "b", "3"), []byte("\x00\x00\x00\x00\x01"))
	f.Add("X-Amzn-Trace-Id", "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7", "axon-metadata-correlationId", "m", []byte(nil))
	f.Add("streams.bootstrap.lineage.topic", "t", "streams.bootstrap.lineage.offset", int64BE(1), []byte("{"))
	rules, err := extract.New(extract.Options{Topics: []extract.TopicRule{
		{Topic: "t", EventID: "/meta/id", CausationID: "/a/0", BusinessIDs: []extract.Location{"header:b3", "/a", "/"}, Contract: true},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, payload []byte) {
		for _, topic := range []string{"t", "u"} {
			rec := &schema.Record{Topic: topic, Headers: headers(name1, value1, name2, value2, name1, value2), Value: payload}
			var x, again schema.Extraction
			rules.Extract(rec, &x)
			rules.Extract(rec, &again)
			if !reflect.DeepEqual(x, again) {
				t.Fatalf("not the same again:\n%+v\n%+v", x, again)
			}
			checkPromises(t, &x)
			body := strings.TrimLeft(string(payload), " \t\r\n")
			if topic == "u" && strings.HasPrefix(body, `{"`) && len(payload) <= extract.MaxPayloadBytes {
				checkJSONVerdict(t, payload, &x)
			}
		}
		for _, id := range extract.NormalizeID(value1) {
			checkText(t, id)
		}
	})
}

func checkPromises(t *testing.T, x *schema.Extraction) {
	t.Helper()
	for _, text := range []string{x.EventID, x.EventType, x.EventVersion, x.SourceService, x.TraceID, x.SpanID} {
		checkText(t, text)
	}
	for i, c := range x.Causes {
		checkText(t, c.ID)
		if back, err := schema.ParseCause(c.String()); err != nil || back != c {
			t.Fatalf("cause %q does not read back: %v", c, err)
		}
		if slices.Contains(x.Causes[:i], c) {
			t.Fatalf("cause %q twice", c)
		}
		if c.Kind == schema.CauseRecord || c.Kind == schema.CauseCopy {
			if _, err := schema.ParseCoordinates(c.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, i := range x.Identifiers {
		if i.ID == "" {
			t.Fatal("an empty identifier")
		}
		checkText(t, i.ID)
	}
	for _, e := range x.Errors {
		if subject, problem, ok := strings.Cut(e, ":"); !ok || subject == "" || problem == "" {
			t.Fatalf("error code %q", e)
		}
	}
}

func checkText(t *testing.T, text string) {
	t.Helper()
	if len(text) > extract.MaxIDBytes || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\n\r\t\x7f") {
		t.Fatalf("%q is too long or not printable", text)
	}
}

// The scanner must agree with encoding/json on what is JSON wherever it gave a
// verdict, which it need not where the headers were enough.
func checkJSONVerdict(t *testing.T, payload []byte, x *schema.Extraction) {
	t.Helper()
	if slices.Contains(x.Errors, extract.PayloadTooDeep) {
		return
	}
	if refused := slices.Contains(x.Errors, extract.NotJSON); refused && json.Valid(payload) {
		t.Fatalf("valid JSON was refused: %q", payload)
	} else if !refused && !json.Valid(payload) {
		t.Fatalf("broken JSON was read: %q", payload)
	}
}
