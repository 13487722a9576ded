package trace

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"github.com/occid/occid/occi"
)

// Tracer makes the spans. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   api.Tracer
	carrier  propagation.TraceContext
}

// closeTime bounds how long the last spans may take to be sent.
const closeTime = 5 * time.Second

// protocol is the only one of OTLP's that is spoken.
const protocol = "http/protobuf"

// enabled reports whether variables of the environment name a collector.
func enabled() bool {
	return (os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "") &&
		os.Getenv("OTEL_SDK_DISABLED") != "true" && os.Getenv("OTEL_TRACES_EXPORTER") != "none"
}

// Open makes a Tracer of what the standard OTEL_ variables say, nil if they name no
// collector. It does not wait for that; that spans cannot be sent is logged.
func Open(ctx context.Context, version string, log *slog.Logger) (*Tracer, error) {
	if !enabled() {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if v := os.Getenv(name); v != "" && v != protocol {
			return nil, fmt.Errorf("%s: %q is not spoken, only %s", name, v, protocol)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// What the environment says of the service comes last and so wins.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "occid"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces were not sent", "error", err) }))
	t := &Tracer{provider: sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))}
	t.tracer = t.provider.Tracer("github.com/occid/occid", api.WithInstrumentationVersion(version))
	return t, nil
}

// Close sends the spans that are left.
func (t *Tracer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// quiet are paths that programs ask for all the time.
var quiet = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// Request begins the span of a request, in the trace that the request names if it
// does. What it gives ends it.
func (t *Tracer) Request(r *http.Request) (context.Context, func(route string, status int)) {
	ctx := r.Context()
	if quiet[r.URL.Path] {
		return ctx, func(string, int) {}
	}
	ctx, span := t.tracer.Start(t.carrier.Extract(ctx, propagation.HeaderCarrier(r.Header)), r.Method, api.WithSpanKind(api.SpanKindServer),
		api.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
	return ctx, func(route string, status int) {
		span.SetName(r.Method + " " + route)
		span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// parent is the field of the W3C's Trace Context that tells all there is to a parent.
const parent = "traceparent"

// Carry gives what a task stores to be in the trace of a request, "" for nothing.
func (t *Tracer) Carry(ctx context.Context) string {
	c := propagation.MapCarrier{}
	t.carrier.Inject(ctx, c)
	return c[parent]
}

// Task begins the span of an attempt at a task, in the trace of the request that left
// it. What it gives ends it.
func (t *Tracer) Task(ctx context.Context, x *occi.Task) (context.Context, func(error)) {
	ctx = t.carrier.Extract(ctx, propagation.MapCarrier{parent: x.Trace})
	ctx, span := t.tracer.Start(ctx, "task "+x.Verb, api.WithSpanKind(api.SpanKindConsumer), api.WithAttributes(
		attribute.String("occid.task", x.ID.String()), attribute.String("occid.task.verb", x.Verb), attribute.Int("occid.task.attempt", x.Attempts),
		attribute.String("occid.entity", x.Entity.String()), attribute.String("occid.kind", x.Kind), attribute.String("occid.host", x.Host),
		attribute.Float64("occid.task.wait_seconds", x.Started.Sub(x.Created).Seconds())))
	return ctx, ending(span)
}

func ending(span api.Span) func(error) {
	return func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Host traces the calls of one host's driver.
type Host struct {
	t    *Tracer
	name string
}

// Host gives the observer of the driver of a host.
func (t *Tracer) Host(name string) *Host { return &Host{t, name} }

// Call begins the span of a call of the driver that is part of a trace. What the server
// asks hosts by itself, all the time, has none.
func (h *Host) Call(ctx context.Context, operation string) (context.Context, func(error)) {
	if !api.SpanContextFromContext(ctx).IsValid() {
		return ctx, func(error) {}
	}
	ctx, span := h.t.tracer.Start(ctx, operation, api.WithSpanKind(api.SpanKindClient), api.WithAttributes(attribute.String("occid.host", h.name)))
	return ctx, ending(span)
}

// Change begins the span of a libvirt call that changes the host.
func (h *Host) Change(ctx context.Context, op string) (context.Context, func(error)) {
	return h.Call(ctx, op)
}
