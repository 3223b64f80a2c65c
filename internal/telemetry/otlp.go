package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fx-risk-ai/annals/internal/retry"
)

// How long one batch of spans may take, and how often it is sent.
const (
	exportTimeout = 20 * time.Second
	exportTries   = 3
)

// exporter sends spans by OTLP/HTTP, in protobuf. OpenTelemetry's own client
// would bring gRPC into the program (ADR 0016).
type exporter struct {
	url     string
	headers map[string]string
	client  *http.Client
	counts  *spanCounts
	log     *slog.Logger
	flush   func(context.Context)
}

func newExporter(url string, o TraceOptions, counts *spanCounts) *exporter {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.MaxIdleConnsPerHost = o.TLS, 2
	limited, flush := Limit(o.Logger.With("component", "traces"), time.Minute)
	return &exporter{
		url: url, headers: o.Headers, counts: counts, log: limited, flush: flush,
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Start implements otlptrace.Client.
func (e *exporter) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (e *exporter) Stop(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It returns nil: what fails is
// counted and said here, not by OpenTelemetry's global handler.
func (e *exporter) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	n := 0
	for _, r := range spans {
		for _, s := range r.GetScopeSpans() {
			n += len(s.GetSpans())
		}
	}
	err := e.send(ctx, spans)
	if err != nil {
		e.counts.sent.WithLabelValues("failed").Add(float64(n))
		e.log.Warn("traces are not taken; they are dropped", "spans", n, "err", err)
		return nil
	}
	e.counts.sent.WithLabelValues("taken").Add(float64(n))
	return nil
}

// send posts a batch: TracesData has the bytes of an ExportTraceServiceRequest.
func (e *exporter) send(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	pauses := retry.Between(500*time.Millisecond, 5*time.Second)
	for try := 1; ; try++ {
		again, err := e.post(ctx, body)
		if err == nil || !again || try == exportTries {
			return err
		}
		if ended := pauses.Wait(ctx); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

// post sends once; again tells whether another try may succeed, by the rules of
// the OTLP specification.
func (e *exporter) post(ctx context.Context, body []byte) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("send spans: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	for name, value := range e.headers {
		request.Header.Set(name, value)
	}
	response, err := e.client.Do(request)
	if err != nil {
		return true, fmt.Errorf("send spans: %w", err)
	}
	// Read to the end, so that the connection serves again; what it says is of
	// no use to us.
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	err = errors.Join(err, response.Body.Close())
	switch response.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, errors.Join(fmt.Errorf("send spans: the receiver answers %s", response.Status), err)
}

// spanCounts counts spans as they end and as they are sent. Those that ended,
// were neither sent nor failed, and are not waiting (2,048 at most) found the
// queue full and were dropped.
type spanCounts struct {
	ended prometheus.Counter
	sent  *prometheus.CounterVec
}

func newSpanCounts() *spanCounts {
	c := &spanCounts{
		ended: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_traces_spans_ended_total", Help: "Spans that were to be sent. The difference to annals_traces_spans_sent_total waits, 2,048 at most, or was dropped.",
		}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_traces_spans_sent_total", Help: "Spans that were sent, by outcome: taken or failed.",
		}, []string{"outcome"}),
	}
	c.sent.WithLabelValues("taken")
	c.sent.WithLabelValues("failed")
	return c
}

// OnStart implements sdk.SpanProcessor.
func (c *spanCounts) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor.
func (c *spanCounts) OnEnd(s sdk.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		c.ended.Inc()
	}
}

// Shutdown implements sdk.SpanProcessor.
func (c *spanCounts) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdk.SpanProcessor.
func (c *spanCounts) ForceFlush(context.Context) error { return nil }
