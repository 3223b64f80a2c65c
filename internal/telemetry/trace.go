package telemetry

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fx-risk-ai/annals/schema"
)

// TraceOptions say where spans go. Endpoint and Logger are required.
type TraceOptions struct {
	Endpoint string            // of an OTLP/HTTP receiver; /v1/traces is added to an address without a path
	Headers  map[string]string // sent with every request; secret
	TLS      *tls.Config       // of an https endpoint; nil: the system's authorities
	Share    float64           // of the traces that begin here, 0 to 1; one that a caller began is as the caller says
	Instance string            // names the process
	Build    Build
	Logger   *slog.Logger
}

// Tracer makes spans of the process's own work. A nil *Tracer makes none, at
// no cost, and so does everything that it returns. Safe for concurrent use.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdk.TracerProvider
	spans    *spanCounts
	exporter *exporter
}

// NewTracer starts to send. Close ends it. What cannot be sent is counted, said
// in the log once a minute, and dropped: work never waits for its trace.
func NewTracer(ctx context.Context, o TraceOptions) (*Tracer, error) {
	address, err := url.Parse(o.Endpoint)
	if err != nil || address.Host == "" {
		return nil, schema.Errorf(schema.Invalid, "send traces: %q is not the address of an OTLP/HTTP receiver", o.Endpoint)
	}
	if address.Path == "" || address.Path == "/" {
		address.Path = "/v1/traces"
	}
	counts := newSpanCounts()
	client := newExporter(address.String(), o, counts)
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithSpanProcessor(counts),
		sdk.WithBatcher(exporter, sdk.WithExportTimeout(exportTimeout)),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Share))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "annals"),
			attribute.String("service.version", o.Build.Version),
			attribute.String("service.instance.id", o.Instance),
		)),
	)
	return &Tracer{tracer: provider.Tracer("github.com/fx-risk-ai/annals"), provider: provider, spans: counts, exporter: client}, nil
}

// Collectors returns the Tracer's metrics, to be registered by the process.
func (t *Tracer) Collectors() []prometheus.Collector {
	if t == nil {
		return nil
	}
	return []prometheus.Collector{t.spans.ended, t.spans.sent}
}

// Close sends what is left, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	defer t.exporter.flush(ctx)
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Start begins a span below the one in ctx, or a trace. End must follow.
func (t *Tracer) Start(ctx context.Context, name string, attributes ...slog.Attr) (context.Context, *Span) {
	return t.StartAt(ctx, time.Time{}, name, attributes...)
}

// StartAt is Start for what began earlier; the zero time is now.
func (t *Tracer) StartAt(ctx context.Context, began time.Time, name string, attributes ...slog.Attr) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	var options []trace.SpanStartOption
	if !began.IsZero() {
		options = append(options, trace.WithTimestamp(began))
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	s := &Span{span}
	s.Set(attributes...)
	return ctx, s
}

// Past makes a span of what is over.
func (t *Tracer) Past(ctx context.Context, name string, began, ended time.Time) {
	if t == nil {
		return
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(began))
	span.End(trace.WithTimestamp(ended))
}

// Do runs f in a span.
func (t *Tracer) Do(ctx context.Context, name string, f func(context.Context) error) error {
	if t == nil {
		return f(ctx)
	}
	ctx, span := t.Start(ctx, name)
	err := f(ctx)
	span.End(err)
	return err
}

// StartRequest begins the span of an HTTP request that is answered: the
// caller's trace goes on if it sent a W3C traceparent.
func (t *Tracer) StartRequest(r *http.Request) (context.Context, *Span) {
	if t == nil {
		return r.Context(), nil
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, &Span{span}
}

// Span is work under way. A nil *Span does nothing.
type Span struct{ span trace.Span }

// Set adds attributes; those of a log line.
func (s *Span) Set(attributes ...slog.Attr) {
	if s == nil || !s.span.IsRecording() {
		return
	}
	for _, a := range attributes {
		s.span.SetAttributes(keyValue(a))
	}
}

// Rename gives the span a better name than it began with.
func (s *Span) Rename(name string) {
	if s != nil {
		s.span.SetName(name)
	}
}

// End ends the span; err says that it failed.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.RecordError(err)
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}

func keyValue(a slog.Attr) attribute.KeyValue {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindInt64:
		return attribute.Int64(a.Key, v.Int64())
	case slog.KindFloat64:
		return attribute.Float64(a.Key, v.Float64())
	case slog.KindBool:
		return attribute.Bool(a.Key, v.Bool())
	default:
		return attribute.String(a.Key, v.String())
	}
}

// Place is a span to which other work is added later. The zero Place is none.
type Place struct{ span trace.SpanContext }

// PlaceOf is where ctx is.
func PlaceOf(ctx context.Context) Place { return Place{trace.SpanContextFromContext(ctx)} }

// In gives a context in which spans begin below the place.
func (p Place) In(ctx context.Context) context.Context {
	if !p.span.IsValid() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, p.span)
}

// TraceID is the id of the trace that ctx is in, in lower-case hex; "": none.
func TraceID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.IsValid() {
		return c.TraceID().String()
	}
	return ""
}

// traced adds the trace that the context is in to a message, unless it names
// one itself.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return h.Handler.Handle(ctx, r)
	}
	named := false
	r.Attrs(func(a slog.Attr) bool {
		named = strings.EqualFold(a.Key, "trace_id")
		return !named
	})
	if !named {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", c.TraceID().String()), slog.String("span_id", c.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
