package telemetrytest

import (
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fx-risk-ai/annals/internal/telemetry"
)

// Span is one that was received; ids are lower-case hex, attributes texts.
type Span struct {
	Name, Trace, ID, Parent, Error string
	Attributes                     map[string]string
	Began, Ended                   time.Time
}

// Receiver takes traces by OTLP/HTTP.
type Receiver struct {
	URL string

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
	refuse  int // so many requests yet
}

// Receive starts a receiver that the test's end stops.
func Receive(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Tracer makes a tracer that sends everything to the receiver; the test's end
// closes it, if nothing else does.
func (r *Receiver) Tracer(t testing.TB) *telemetry.Tracer {
	t.Helper()
	tracer, err := telemetry.NewTracer(t.Context(), telemetry.TraceOptions{
		Endpoint: r.URL, Share: 1, Instance: "test", Logger: slog.New(slog.DiscardHandler),
		Headers: map[string]string{"X-Token": "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tracer.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return tracer
}

// Refuse answers the next n requests with 503.
func (r *Receiver) Refuse(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = n
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(request.Body)
	var data tracepb.TracesData
	switch {
	case r.refuse > 0:
		r.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case err != nil, request.Method != http.MethodPost, request.URL.Path != "/v1/traces",
		request.Header.Get("Content-Type") != "application/x-protobuf", proto.Unmarshal(body, &data) != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.headers = append(r.headers, request.Header.Clone())
	for _, resource := range data.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, read(s))
			}
		}
	}
}

func read(s *tracepb.Span) Span {
	span := Span{
		Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()), Attributes: map[string]string{},
		Began: time.Unix(0, int64(s.GetStartTimeUnixNano())), Ended: time.Unix(0, int64(s.GetEndTimeUnixNano())),
	}
	if status := s.GetStatus(); status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		span.Error = status.GetMessage()
	}
	for _, a := range s.GetAttributes() {
		text := a.GetValue().GetStringValue()
		if text == "" {
			text = strconv.FormatInt(a.GetValue().GetIntValue(), 10)
		}
		span.Attributes[a.GetKey()] = text
	}
	return span
}

// Spans are those that were received, as they came.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Headers are those of the requests.
func (r *Receiver) Headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.headers)
}
