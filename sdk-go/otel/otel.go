// Package ossaiotel tells OpenTelemetry of ossai's calls: a span and metrics for each, by the GenAI conventions.
//
//	client, err := ossai.New(ossai.WithTelemetry(ossaiotel.New()))
//
// A call's span is the child of its context's span, and the upstream is told of it (`traceparent`). Names, numbers and money are
// told; prompts and answers only [WithContent].
package ossaiotel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ossai-dev/ossai-go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

var (
	seconds = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	tokens  = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
)

// An Option is a setting of [New].
type Option func(*settings)

type settings struct {
	traces  trace.TracerProvider
	meters  metric.MeterProvider
	content bool
}

// WithTracerProvider is used instead of the global one.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(s *settings) { s.traces = provider }
}

// WithMeterProvider is used instead of the global one.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(s *settings) { s.meters = provider }
}

// WithContent puts prompts and answers on the spans.
func WithContent() Option {
	return func(s *settings) { s.content = true }
}

type telemetry struct {
	tracer     trace.Tracer
	duration   metric.Float64Histogram
	firstChunk metric.Float64Histogram
	tokens     metric.Int64Histogram
	tool       metric.Float64Histogram
	content    bool
}

// New is for [ossai.WithTelemetry].
func New(options ...Option) ossai.Telemetry {
	s := settings{traces: otel.GetTracerProvider(), meters: otel.GetMeterProvider()}
	for _, option := range options {
		option(&s)
	}
	meter := s.meters.Meter("ossai", metric.WithInstrumentationVersion(ossai.Version))
	histogram := func(name, description string) metric.Float64Histogram {
		made, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(seconds...))
		if err != nil {
			otel.Handle(err) // what is returned beside it works
		}
		return made
	}
	used, err := meter.Int64Histogram("gen_ai.client.token.usage", metric.WithUnit("{token}"),
		metric.WithDescription("Tokens that calls used."), metric.WithExplicitBucketBoundaries(tokens...))
	if err != nil {
		otel.Handle(err)
	}
	return &telemetry{
		tracer:     s.traces.Tracer("ossai", trace.WithInstrumentationVersion(ossai.Version)),
		duration:   histogram("gen_ai.client.operation.duration", "How long calls took."),
		firstChunk: histogram("gen_ai.client.operation.time_to_first_chunk", "How long streams took to begin."),
		tokens:     used,
		tool:       histogram("gen_ai.execute_tool.duration", "How long handlers of tools took."),
		content:    s.content,
	}
}

func (t *telemetry) Begin(ctx context.Context, call ossai.CallInfo) (context.Context, ossai.CallWatch) {
	operation := "chat"
	if call.Op == "embed" {
		operation = "embeddings"
	}
	labels := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", operation),
		attribute.String("gen_ai.provider.name", call.Provider),
	}
	title := operation
	if call.Model != "" {
		title += " " + call.Model
		labels = append(labels, attribute.String("gen_ai.request.model", call.Model))
	}
	ctx, span := t.tracer.Start(ctx, title, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(labels...))
	if span.IsRecording() {
		span.SetAttributes(asked(call)...)
		if t.content && call.Completion != nil {
			span.SetAttributes(messages(call.Completion.Messages)...)
		}
	}
	return ctx, &watch{telemetry: t, ctx: ctx, span: span, labels: labels, began: time.Now()}
}

// A watch is one call.
type watch struct {
	*telemetry
	ctx    context.Context
	span   trace.Span
	labels []attribute.KeyValue
	began  time.Time
}

func (w *watch) Traceparent() string {
	it := w.span.SpanContext()
	if !it.IsValid() {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-%s", it.TraceID(), it.SpanID(), it.TraceFlags())
}

// BeginTool tells of a tool's handler, beneath the call's span.
func (w *watch) BeginTool(ctx context.Context, call ossai.ToolContext) (context.Context, func(any, error)) {
	labels := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "execute_tool"),
		attribute.String("gen_ai.tool.name", call.Tool.Name()),
	}
	ctx, span := w.tracer.Start(ctx, "execute_tool "+call.Tool.Name(), trace.WithAttributes(labels...), trace.WithAttributes(
		attribute.String("gen_ai.tool.type", "function"), attribute.String("gen_ai.tool.call.id", call.ToolCallID)))
	if description := call.Tool.Definition().Description; description != "" {
		span.SetAttributes(attribute.String("gen_ai.tool.description", description))
	}
	if w.content {
		span.SetAttributes(attribute.String("gen_ai.tool.call.arguments", string(call.Input)))
	}
	began := time.Now()
	return ctx, func(output any, err error) {
		if err != nil {
			kind := fmt.Sprintf("%T", err)
			if known := new(ossai.ToolError); errors.As(err, &known) {
				kind = known.Type
			}
			failed := attribute.String("error.type", kind)
			labels = append(labels, failed)
			span.SetAttributes(failed)
			span.SetStatus(codes.Error, err.Error())
		} else if text, bad := json.Marshal(output); w.content && bad == nil {
			span.SetAttributes(attribute.String("gen_ai.tool.call.result", string(text)))
		}
		span.End()
		w.tool.Record(context.WithoutCancel(ctx), time.Since(began).Seconds(), metric.WithAttributes(labels...))
	}
}

func (w *watch) End(result ossai.CallResult) {
	labels := w.labels[:len(w.labels):len(w.labels)]
	defer w.span.End()
	switch {
	case result.Err != nil:
		labels = append(labels, w.failed(result.Err))
	case result.Completion != nil:
		c := result.Completion
		a := answer{c.ID, c.ResponseModel, string(c.FinishReason), c.Usage, c.Cost, c.Cache, len(c.Attempts), c.RequestID, c.Timing}
		labels = w.done(a, labels)
		if w.content && w.span.IsRecording() {
			w.span.SetAttributes(answered(c)...)
		}
	case result.Embedding != nil:
		e := result.Embedding
		labels = w.done(answer{"", e.ResponseModel, "", e.Usage, e.Cost, e.Cache, len(e.Attempts), e.RequestID, e.Timing}, labels)
	}
	// The context may have ended with the call; what is measured is told all the same.
	w.duration.Record(context.WithoutCancel(w.ctx), time.Since(w.began).Seconds(), metric.WithAttributes(labels...))
}

func (w *watch) failed(err error) attribute.KeyValue {
	kind, attempts := "cancelled", 0
	var failure *ossai.Error
	if errors.As(err, &failure) {
		kind, attempts = string(failure.Kind), len(failure.Attempts)
		if failure.RequestID != "" {
			w.span.SetAttributes(attribute.String("ossai.request_id", failure.RequestID))
		}
	}
	label := attribute.String("error.type", kind)
	w.span.SetAttributes(label, attribute.Int("ossai.attempts", attempts))
	w.span.SetStatus(codes.Error, err.Error())
	return label
}

func (w *watch) done(a answer, labels []attribute.KeyValue) []attribute.KeyValue {
	if w.span.IsRecording() {
		w.span.SetAttributes(a.attributes()...)
	}
	if a.model != "" {
		labels = append(labels, attribute.String("gen_ai.response.model", a.model))
	}
	ctx := context.WithoutCancel(w.ctx)
	// A kept answer uses none, and one that several calls share is counted with the call that asked for it.
	if a.cache.Status != "hit" && !a.cache.Joined {
		record := func(kind string, count uint64) {
			w.tokens.Record(ctx, int64(count), metric.WithAttributes(append(labels[:len(labels):len(labels)], attribute.String("gen_ai.token.type", kind))...))
		}
		record("input", a.usage.InputTokens)
		if a.finish != "" {
			record("output", a.usage.OutputTokens)
		}
	}
	if a.timing.FirstTokenUS != nil {
		w.firstChunk.Record(ctx, float64(*a.timing.FirstTokenUS)/1e6, metric.WithAttributes(labels...))
	}
	return labels
}
