package extract_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

// Whatever 10 kB stand under any name, once or many times, what comes of
// it is bounded and printable.
func TestEveryNameIsBounded(t *testing.T) {
	rules, err := extract.New(extract.Options{})
	if err != nil {
		t.Fatal(err)
	}
	values := []string{
		strings.Repeat("a", 10_000), strings.Repeat("1", 10_000), strings.Repeat("a,", 5_000), strings.Repeat("-", 10_000),
		strings.Repeat("=;", 5_000), strings.Repeat(":", 10_000), strings.Repeat("%3A", 3_333), "[" + strings.Repeat(`"a",`, 2_499) + `"b"]`,
		"[" + strings.Repeat("[", 9_999), strings.Repeat("\xff", 10_000), "'; DROP TABLE records --\x00", "\"", "",
	}
	for _, name := range extract.Names() {
		for i, value := range values {
			var x schema.Extraction
			rules.Extract(&schema.Record{Headers: headers(name, value)}, &x)
			checkPromises(t, &x)
			if i > 3 {
				continue
			}
			many := make([]schema.Header, 0, 1500) // more than MaxCauses
			for len(many) < cap(many) {
				many = append(many, schema.Header{Name: name, Value: []byte(value[:min(len(value), 40)])})
			}
			rules.Extract(&schema.Record{Headers: many}, &x)
			checkPromises(t, &x)
			if len(x.Causes) > extract.MaxCauses || len(x.Identifiers) > extract.MaxIdentifiers || len(x.Errors) > 8 {
				t.Fatalf("%s: %d causes, %d identifiers, %q", name, len(x.Causes), len(x.Identifiers), x.Errors)
			}
		}
	}
}

// A value is refused by its size, or by its depth as soon as that is met: it
// is neither read to its end nor copied.
func TestHugePayloadsCostNothing(t *testing.T) {
	rules, err := extract.New(extract.Options{Topics: []extract.TopicRule{{Topic: "t", TraceID: "/a/b"}}})
	if err != nil {
		t.Fatal(err)
	}
	filled := func(begin string, size int, c string) []byte {
		return append(append(make([]byte, 0, size), begin...), bytes.Repeat([]byte(c), size-len(begin))...)
	}
	for name, c := range map[string]struct {
		value []byte
		want  string
	}{
		"text":         {filled(`{"eventId":"`, 100<<20, "x"), extract.PayloadTooLarge},
		"white space":  {filled(`{`, 8<<20, " "), extract.PayloadTooLarge},
		"only spaces":  {filled("", 8<<20, " "), ""},
		"binary":       {filled("\x00\x00\x00\x00\x07", 8<<20, "\xff"), ""},
		"depth 10,000": {[]byte(`{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,"eventId":"e"}`), extract.PayloadTooDeep},
		"objects":      {[]byte(strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)), extract.PayloadTooDeep},
	} {
		var x schema.Extraction
		rec := &schema.Record{Topic: "t", Value: c.value}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		rules.Extract(rec, &x)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if got := strings.Join(x.Errors, " "); got != c.want || x.EventID != "" {
			t.Errorf("%s: errors %q, want %q; id %q", name, got, c.want, x.EventID)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; took > time.Second || allocated > 1<<20 {
			t.Errorf("%s took %s and %d bytes", name, took, allocated)
		}
	}
}
