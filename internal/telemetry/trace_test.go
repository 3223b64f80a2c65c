package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/internal/telemetry/telemetrytest"
)

// TestSpansArriveWithTheirTrace sends spans to a receiver, which refuses the
// first request.
func TestSpansArriveWithTheirTrace(t *testing.T) {
	t.Parallel()
	receiver := telemetrytest.Receive(t)
	receiver.Refuse(1)
	tracer := receiver.Tracer(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ctx, outer := tracer.StartRequest(request)
	outer.Rename("GET /things")
	var log telemetrytest.Log
	place := telemetry.Place{}
	failed := errors.New("no")
	err = tracer.Do(ctx, "inner", func(ctx context.Context) error {
		log.Logger(t).InfoContext(ctx, "said inside", "topic", "a")
		place = telemetry.PlaceOf(ctx)
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("Do gives %v", err)
	}
	began := time.Now().Add(-time.Hour).Truncate(0)
	later, span := tracer.StartAt(place.In(context.Background()), began, "later", slog.Int("n", 7), slog.String("s", "x"))
	span.End(nil)
	outer.End(nil)
	if id := telemetry.TraceID(later); id != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace %s", id)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := map[string]telemetrytest.Span{}
	for _, s := range receiver.Spans() {
		found[s.Name] = s
	}
	whole, inner, late := found["GET /things"], found["inner"], found["later"]
	switch {
	case len(found) != 3, whole.Parent != "b7ad6b7169203331", inner.Parent != whole.ID, late.Parent != inner.ID:
		t.Errorf("the spans do not hang together: %+v", found)
	case inner.Error != "no" || whole.Error != "":
		t.Errorf("errors %q and %q", inner.Error, whole.Error)
	case late.Attributes["n"] != "7" || late.Attributes["s"] != "x" || !late.Began.Equal(began):
		t.Errorf("later: %+v", late)
	}
	if line := log.Lines(t)[0]; line["trace_id"] != inner.Trace || line["span_id"] != inner.ID {
		t.Errorf("the log names another span than %+v: %v", inner, line)
	}
	if headers := receiver.Headers(); len(headers) != 1 || headers[0].Get("X-Token") != "secret" {
		t.Errorf("headers %v", headers)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(tracer.Collectors()...)
	const want = `
# HELP annals_traces_spans_sent_total Spans that were sent, by outcome: taken or failed.
# TYPE annals_traces_spans_sent_total counter
annals_traces_spans_sent_total{outcome="failed"} 0
annals_traces_spans_sent_total{outcome="taken"} 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "annals_traces_spans_sent_total"); err != nil {
		t.Error(err)
	}
}

// TestWithoutTracer nothing is made, and nothing fails.
func TestWithoutTracer(t *testing.T) {
	var tracer *telemetry.Tracer
	ctx, span := tracer.Start(t.Context(), "x")
	span.Set(slog.Int("n", 1))
	span.Rename("y")
	span.End(errors.New("no"))
	tracer.Past(ctx, "z", time.Now(), time.Now())
	if telemetry.TraceID(ctx) != "" || tracer.Collectors() != nil || tracer.Close(ctx) != nil || ctx != t.Context() {
		t.Error("something was traced")
	}
	if n := testing.AllocsPerRun(100, func() {
		_ = tracer.Do(ctx, "x", func(context.Context) error { return nil })
	}); n != 0 {
		t.Errorf("%v allocations without a tracer", n)
	}
}

// TestReceiverThatRefusesIsSaid: what cannot be sent is counted and logged, and
// the headers are not.
func TestReceiverThatRefusesIsSaid(t *testing.T) {
	t.Parallel()
	receiver := telemetrytest.Receive(t)
	var log telemetrytest.Log
	tracer, err := telemetry.NewTracer(t.Context(), telemetry.TraceOptions{
		Endpoint: receiver.URL + "/elsewhere", Share: 1, Logger: log.Logger(t), Headers: map[string]string{"Authorization": "very secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(t.Context(), "x")
	span.End(nil)
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := log.Lines(t)
	if len(lines) != 1 || lines[0]["component"] != "traces" || lines[0]["spans"] != 1.0 || !strings.Contains(lines[0]["err"].(string), "400") {
		t.Errorf("log %v", lines)
	}
	if n := testutil.ToFloat64(tracer.Collectors()[0]); n != 1 {
		t.Errorf("%v spans ended", n)
	}
}
