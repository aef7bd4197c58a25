package tests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go"
	ossaiotel "github.com/ossai-dev/ossai-go/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// What calls leave in the program's own OpenTelemetry: the shared table of conformance/telemetry, and what is Go's own.

// A host is a program with OpenTelemetry's SDK, whose exporters are in memory.
type host struct {
	*tracetest.SpanRecorder
	traces *sdk.TracerProvider
	reader *metric.ManualReader
	meters *metric.MeterProvider
}

func newHost(t *testing.T) *host {
	recorder, reader := tracetest.NewSpanRecorder(), metric.NewManualReader()
	h := &host{recorder, sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)), reader, metric.NewMeterProvider(metric.WithReader(reader))}
	t.Cleanup(func() {
		h.traces.Shutdown(context.Background())
		h.meters.Shutdown(context.Background())
	})
	return h
}

func (h *host) telemetry(options ...ossaiotel.Option) ossai.ClientOption {
	options = append(options, ossaiotel.WithTracerProvider(h.traces), ossaiotel.WithMeterProvider(h.meters))
	return ossai.WithTelemetry(ossaiotel.New(options...))
}

// A point is what one metric says for one set of attributes.
type point struct {
	Name       string
	Attributes object
	Count      uint64
	Sum        *float64
}

func (h *host) points(t *testing.T) (all []point) {
	t.Helper()
	var found metricdata.ResourceMetrics
	if err := h.reader.Collect(context.Background(), &found); err != nil {
		t.Fatal(err)
	}
	for _, scope := range found.ScopeMetrics {
		for _, one := range scope.Metrics {
			switch data := one.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					all = append(all, point{one.Name, told(p.Attributes.ToSlice()), p.Count, &p.Sum})
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					sum := float64(p.Sum)
					all = append(all, point{one.Name, told(p.Attributes.ToSlice()), p.Count, &sum})
				}
			}
		}
	}
	return all
}

// told is attributes as JSON has them.
func told(attributes []attribute.KeyValue) object {
	all := object{}
	for _, one := range attributes {
		all[string(one.Key)] = one.Value.AsInterface()
	}
	text, _ := json.Marshal(all)
	all = object{}
	json.Unmarshal(text, &all)
	return all
}

// same is what was found, wherever anything would do or JSON stands for its text.
func same(found any, wanted any) any {
	operator, ok := wanted.(object)
	if !ok {
		return wanted
	}
	if _, any := operator["$any"]; any && found != nil {
		return found
	}
	if value, is := operator["$json"]; is {
		var read any
		if text, ok := found.(string); ok && json.Unmarshal([]byte(text), &read) == nil && reflect.DeepEqual(read, value) {
			return found
		}
	}
	return wanted
}

type telemetryCase struct {
	Name, Op, Provider string
	Times              int
	Content, Fails     bool
	Responses          []object
	Request            json.RawMessage
	Options            *ossai.CallOptions
	Spans              []struct {
		Name       string
		Error      bool
		Attributes object
	}
	Metrics []point
}

func (c *telemetryCase) call(t *testing.T, client *ossai.Client) error {
	ctx := context.Background()
	var options []ossai.CallOption
	if c.Options != nil {
		options = append(options, *c.Options)
	}
	if c.Op == "embed" {
		var request ossai.EmbeddingRequest
		if err := json.Unmarshal(c.Request, &request); err != nil {
			t.Fatal(err)
		}
		_, err := client.Embed(ctx, request, options...)
		return err
	}
	var request ossai.CompletionRequest
	if err := json.Unmarshal(c.Request, &request); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.Op == "stream" {
		_, err = client.Stream(ctx, request, options...).Final()
	} else {
		_, err = client.Complete(ctx, request, options...)
	}
	return err
}

func TestCallsAreToldAsInEveryLanguage(t *testing.T) {
	text, err := os.ReadFile("../../conformance/telemetry/calls.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct{ Cases []telemetryCase }
	if err := json.Unmarshal(text, &table); err != nil || len(table.Cases) == 0 {
		t.Fatal(err)
	}
	for _, c := range table.Cases {
		t.Run(c.Name, func(t *testing.T) {
			script, host := upstream(t, nil, c.Responses...), newHost(t)
			config := script.settings()
			if c.Provider != "" {
				config.Providers = map[string]ossai.Provider{c.Provider: config.Providers["openai"]}
			}
			var options []ossaiotel.Option
			if c.Content {
				options = append(options, ossaiotel.WithContent())
			}
			client := open(t, config, host.telemetry(options...))
			for range max(c.Times, 1) {
				if err := c.call(t, client); (err != nil) != c.Fails {
					t.Fatal(err)
				}
			}
			spans := host.Ended()
			equal(t, "spans", len(spans), len(c.Spans))
			for i, wanted := range c.Spans {
				span := spans[i]
				equal(t, "name", span.Name(), wanted.Name)
				equal(t, "kind", span.SpanKind(), trace.SpanKindClient)
				equal(t, "failed", span.Status().Code == codes.Error, wanted.Error)
				found, expected := told(span.Attributes()), object{}
				for name, value := range wanted.Attributes {
					expected[name] = same(found[name], value)
				}
				if !reflect.DeepEqual(found, expected) {
					t.Errorf("attributes:\n got %v\nwant %v", found, expected)
				}
			}
			points := host.points(t)
			equal(t, "points", len(points), len(c.Metrics))
			for _, wanted := range c.Metrics {
				if !has(points, wanted) {
					t.Errorf("no %v among %v", wanted, points)
				}
			}
		})
	}
}

func has(points []point, wanted point) bool {
	for _, p := range points {
		if p.Name == wanted.Name && p.Count == wanted.Count && reflect.DeepEqual(p.Attributes, wanted.Attributes) {
			return wanted.Sum == nil || *p.Sum == *wanted.Sum
		}
	}
	return false
}

func TestACallIsTheChildOfItsContextsSpanAndTellsTheUpstreamOfItself(t *testing.T) {
	script, host := upstream(t, nil, says("Hi"), streams("Hi")), newHost(t)
	client := open(t, script.settings(), host.telemetry())
	ctx, parent := host.traces.Tracer("test").Start(context.Background(), "parent")
	if _, err := client.Complete(ctx, hello()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Stream(ctx, hello()).Final(); err != nil {
		t.Fatal(err)
	}
	parent.End()
	for i, request := range script.requests() {
		span := host.Ended()[i]
		equal(t, "parent", span.Parent().SpanID(), parent.SpanContext().SpanID())
		own := span.SpanContext()
		equal(t, "traceparent", request.header("traceparent"), "00-"+own.TraceID().String()+"-"+own.SpanID().String()+"-01")
	}
}

func TestATraceContextTheCallerGivesIsTheOneThatIsTold(t *testing.T) {
	script, host := upstream(t, nil, says("Hi"), says("Hi")), newHost(t)
	client := open(t, script.settings(), host.telemetry())
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, option := range []ossai.CallOption{ossai.WithTraceparent(own), ossai.CallOptions{Traceparent: own}} {
		if _, err := client.Complete(context.Background(), hello(), option); err != nil {
			t.Fatal(err)
		}
	}
	for _, request := range script.requests() {
		equal(t, "traceparent", request.header("traceparent"), own)
	}
}

func TestAToolsHandlerRunsBeneathTheCallsSpan(t *testing.T) {
	calls := object{"body": object{"openai_chat": object{"tool_calls": []object{{"id": "1", "name": "inner", "arguments": "{}"}}}}}
	script, host := upstream(t, nil, calls, says("Done.")), newHost(t)
	inner := must(ossai.NewTool("inner", "", func(ctx context.Context, _ struct{}) (string, error) {
		_, span := host.traces.Tracer("test").Start(ctx, "handler")
		span.End()
		return "ok", nil
	}))(t)
	client := open(t, script.settings(), host.telemetry())
	if _, err := client.Complete(context.Background(), hello(), ossai.WithTools(inner)); err != nil {
		t.Fatal(err)
	}
	spans := host.Ended()
	equal(t, "spans", len(spans), 3)
	equal(t, "name", spans[1].Name(), "execute_tool inner")
	equal(t, "parent", spans[0].Parent().SpanID(), spans[1].SpanContext().SpanID())
	equal(t, "its parent", spans[1].Parent().SpanID(), spans[2].SpanContext().SpanID())
	equal(t, "attributes", fmt.Sprint(told(spans[1].Attributes())), fmt.Sprint(object{
		"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "inner", "gen_ai.tool.type": "function", "gen_ai.tool.call.id": "1",
	}))
}

func TestAHandlerThatFailsIsAnErrorOfItsSpanAndContentIsToldWhenAskedFor(t *testing.T) {
	calls := []object{
		{"id": "1", "name": "lookup", "arguments": `{"city":"Oslo"}`},
		{"id": "2", "name": "broken", "arguments": "{}"},
		{"id": "3", "name": "panics", "arguments": "{}"},
	}
	script, host := upstream(t, nil, object{"body": object{"openai_chat": object{"tool_calls": calls}}}, says("Done.")), newHost(t)
	type city struct {
		City string `json:"city"`
	}
	lookup := must(ossai.NewTool("lookup", "Looks a city up.", func(_ context.Context, in city) (string, error) { return "fine in " + in.City, nil }))(t)
	broken := must(ossai.NewTool("broken", "", func(context.Context, struct{}) (string, error) {
		return "", &ossai.ToolError{Type: "NoSuchTown", Message: "no such town"}
	}))(t)
	panics := must(ossai.NewTool("panics", "", func(context.Context, struct{}) (string, error) { panic("no") }))(t)
	client := open(t, script.settings(), host.telemetry(ossaiotel.WithContent()))
	if _, err := client.Complete(context.Background(), hello(), ossai.WithTools(lookup, broken, panics)); err != nil {
		t.Fatal(err)
	}
	ended := map[string]object{}
	for _, span := range host.Ended() {
		ended[span.Name()] = told(span.Attributes())
		if span.Name() == "execute_tool broken" || span.Name() == "execute_tool panics" {
			equal(t, span.Name(), span.Status().Code, codes.Error)
		}
	}
	good := ended["execute_tool lookup"]
	equal(t, "arguments", good["gen_ai.tool.call.arguments"], any(`{"city":"Oslo"}`))
	equal(t, "result", good["gen_ai.tool.call.result"], any(`"fine in Oslo"`))
	equal(t, "description", good["gen_ai.tool.description"], any("Looks a city up."))
	equal(t, "error", ended["execute_tool broken"]["error.type"], any("NoSuchTown"))
	equal(t, "panic", ended["execute_tool panics"]["error.type"], any("*ossai.panicError"))
}

func TestAContextThatEndsIsAnErrorAndAStreamThatIsLeftIsNone(t *testing.T) {
	script, host := upstream(t, nil, hangs(), stalls(), stalls()), newHost(t)
	client := open(t, script.settings(), host.telemetry())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		script.reached(1)
		cancel()
	}()
	if _, err := client.Complete(ctx, hello()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	stream := client.Stream(context.Background(), hello())
	stream.Next()
	stream.Close()
	stream.Close()
	func() { client.Stream(context.Background(), hello()).Next() }() // dropped
	for tries := 0; len(host.Ended()) < 3 && tries < 200; tries++ {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
	}
	spans := host.Ended()
	equal(t, "spans", len(spans), 3)
	equal(t, "error", told(spans[0].Attributes())["error.type"], any("cancelled"))
	for _, left := range spans[1:] {
		equal(t, "status", left.Status().Code, codes.Unset)
	}
}

func TestWithoutASpanNothingIsToldToTheUpstream(t *testing.T) {
	script := upstream(t, nil, says("Hi"))
	client := open(t, script.settings(), ossai.WithTelemetry(ossaiotel.New())) // the global providers: none
	if _, err := client.Complete(context.Background(), hello()); err != nil {
		t.Fatal(err)
	}
	equal(t, "traceparent", script.requests()[0].header("traceparent"), "")
	var none context.Context
	if _, err := client.Complete(none, hello()); err == nil || !strings.Contains(err.Error(), "ctx") {
		t.Fatal(err)
	}
}
