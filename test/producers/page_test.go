package producers_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// read gives what the built-in rules read of headers, in the page's words.
func read(t testing.TB, headers []schema.Header) string {
	t.Helper()
	x := extraction(t, &schema.Record{Topic: "orders", Status: schema.Committed, Headers: headers})
	var said []string
	say := func(name, value string) {
		if value != "" {
			said = append(said, fmt.Sprintf("%s `%s`", name, value))
		}
	}
	say("event id", x.EventID)
	say("event type", x.EventType)
	say("event version", x.EventVersion)
	say("source service", x.SourceService)
	if x.HasEventTime {
		say("event time", fmt.Sprint(x.EventTime))
	}
	say("trace id", x.TraceID)
	say("span id", x.SpanID)
	if x.Stage != schema.StageUnknown {
		say("stage", x.Stage.String())
	}
	for _, cause := range x.Causes {
		say("cause", cause.String())
	}
	for _, id := range x.Identifiers {
		if id.Kind != schema.IDSpan || id.ID != x.SpanID { // said already
			say(id.Kind.String()+" id", id.ID)
		}
	}
	for _, code := range x.Errors {
		say("error", code)
	}
	return strings.Join(said, ", ")
}

func extraction(t testing.TB, record *schema.Record) (x schema.Extraction) {
	t.Helper()
	rules, err := extract.New(extract.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rules.Extract(record, &x)
	return x
}

// held finds the rows of a page's tables that say something else than is read.
func held(t testing.TB, page string) (rows int, wrong []string) {
	t.Helper()
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		rows++
		names, values := quoted.FindAllStringSubmatch(cells[1], -1), quoted.FindAllStringSubmatch(cells[2], -1)
		if len(names) != len(values) {
			wrong = append(wrong, fmt.Sprintf("%d headers and %d examples: %s", len(names), len(values), line))
			continue
		}
		var headers []schema.Header
		for i := range names {
			headers = append(headers, schema.Header{Name: names[i][1], Value: []byte(values[i][1])})
		}
		if got, want := read(t, headers), strings.TrimSpace(cells[4]); got != want {
			wrong = append(wrong, fmt.Sprintf("%s is read as %q, the page says %q", cells[1], got, want))
		}
	}
	return rows, wrong
}

// TestPageSaysWhatIsRead holds every row of the page, and its bounds.
func TestPageSaysWhatIsRead(t *testing.T) {
	raw, err := os.ReadFile("../../clients/README.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	rows, wrong := held(t, page)
	if rows < 19 {
		t.Errorf("only %d rows of the tables were found", rows)
	}
	for _, w := range wrong {
		t.Error(w)
	}
	if extract.MaxHeaders != 4096 || extract.MaxCauses != 1024 {
		t.Error("the page's bounds on headers and causes are not the extractor's any more")
	}
	for _, bound := range []string{fmt.Sprintf("at most %d bytes", extract.MaxIDBytes), "4,096 headers and 1,024 causes", extract.SourceIncomplete} {
		if !strings.Contains(page, bound) {
			t.Errorf("the page does not say %q", bound)
		}
	}
}

// TestPageCanBeWrong changes rows, each of which must be noticed.
func TestPageCanBeWrong(t *testing.T) {
	for _, row := range []string{
		"| `eventld` | `order-17` | | event id `order-17` |",
		"| `eventId` | `order-17` | | event type `order-17` |",
		"| `timestamp` | `2024-03-01T10:00:00` | | event time `1709287200000000` |",
		"| `x-src-topic`, `x-src-offset` | `orders`, `17` | | cause `record:orders/0/17` |",
		"| `causationId` | `a`, `b` | | cause `event:a` |",
	} {
		if rows, wrong := held(t, row); rows != 1 || len(wrong) != 1 {
			t.Errorf("%s: %d rows, found %q", row, rows, wrong)
		}
	}
}

// TestThreeHeadersOfOneInput holds the second rule of the page.
func TestThreeHeadersOfOneInput(t *testing.T) {
	got := read(t, []schema.Header{
		{Name: "x-src-topic", Value: []byte("orders")},
		{Name: "x-src-topic", Value: []byte("rates")},
		{Name: "x-src-partition", Value: []byte("0")},
		{Name: "x-src-offset", Value: []byte("1")},
		{Name: "x-src-offset", Value: []byte("2")},
	})
	if got != "error `source_record:incomplete`" {
		t.Errorf("read as %s", got)
	}
}
