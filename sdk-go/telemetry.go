package ossai

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"sync"
)

// Telemetry is told of a client's calls: what makes spans and metrics of them. The module
// github.com/ossai-dev/ossai-go/otel has one for OpenTelemetry; this one depends on nothing.
//
// Begin is told before a call goes out, on its caller's goroutine, and must not block. The context it returns is what tool
// handlers are given; it must be made of the one it was given.
type Telemetry interface {
	Begin(ctx context.Context, call CallInfo) (context.Context, CallWatch)
}

// CallInfo is what is known of a call before it goes out.
type CallInfo struct {
	// Op is `complete`, `stream` or `embed`.
	Op string
	// Provider is what OpenTelemetry's GenAI conventions call the model's provider.
	Provider string
	// Model is the provider's own name of the model.
	Model string
	// Completion is the request of `complete` and `stream`, Embedding that of `embed`; not to be changed.
	Completion *CompletionRequest
	Embedding  *EmbeddingRequest
}

// CallWatch hears how one call went.
type CallWatch interface {
	// Traceparent is the W3C trace context that the upstream is told, where the caller gave none; "" for none.
	Traceparent() string
	// End is told once of the call's end, by whichever goroutine saw it.
	End(CallResult)
}

// ToolWatch is what a [CallWatch] may be as well: it hears of the call's tool handlers.
//
// BeginTool is told before a handler runs, on its goroutine; the context it returns, which must be made of the one it was given,
// is the handler's. The function it returns is called once, with what the handler returned.
type ToolWatch interface {
	BeginTool(ctx context.Context, call ToolContext) (context.Context, func(output any, err error))
}

type watchKey struct{}

// toolWatch is who hears of the handlers of a call with this context.
func (c *Client) toolWatch(ctx context.Context) ToolWatch {
	if c.telemetry == nil || ctx == nil {
		return nil
	}
	watch, _ := ctx.Value(watchKey{}).(ToolWatch)
	return watch
}

// CallResult is how a call ended: in an answer, in an error, or, for a stream that was left before its end, in neither.
type CallResult struct {
	Completion *Completion
	Embedding  *EmbeddingResponse
	Err        error
}

// WithTelemetry tells of each call: who is told decides whether prompts and answers are kept.
func WithTelemetry(telemetry Telemetry) ClientOption {
	return clientOption(func(s *settings) error {
		s.telemetry = telemetry
		return nil
	})
}

// A watch ends once.
type watch struct {
	CallWatch
	once sync.Once
}

func (w *watch) end(result CallResult) {
	if w != nil {
		w.once.Do(func() { w.End(result) })
	}
}

// endWith ends it with a stream, whichever way that ended.
func (w *watch) endWith(s *Stream) {
	if w != nil {
		w.end(CallResult{Completion: s.completion, Err: s.err})
	}
}

// watched tells of a call that begins; only where somebody is told.
func (c *Client) watched(ctx context.Context, info CallInfo, model string, options []CallOption) (context.Context, []CallOption, *watch) {
	if ctx == nil {
		return ctx, options, nil
	}
	provider, name, found := strings.Cut(model, "/")
	if !found {
		provider, name = "", model
	}
	info.Model, info.Provider = name, c.vendor(provider)
	ctx, begun := c.telemetry.Begin(ctx, info)
	trace := begun.Traceparent()
	if trace != "" {
		ours := callOption(func(o *CallOptions) {
			if _, given := o.Extra["traceparent"]; o.Traceparent == "" && !given {
				o.Traceparent = trace
			}
		})
		options = append(options[:len(options):len(options)], ours)
	}
	if tools, ok := begun.(ToolWatch); ok {
		ctx = context.WithValue(ctx, watchKey{}, tools)
	}
	return ctx, options, &watch{CallWatch: begun}
}

// vendor is what the conventions call a provider, as the price table knows it.
func (c *Client) vendor(provider string) string {
	if provider == "" {
		return "ossai"
	}
	if known, ok := c.vendors.Load(provider); ok {
		return known.(string)
	}
	vendor := provider
	if models, err := c.Catalog(CatalogOptions{Provider: provider}); err == nil && len(models) > 0 {
		if json.Unmarshal(models[0].Fields["otel"], &vendor) != nil || vendor == "" {
			vendor = provider
		}
	}
	if c.vendorCount.Add(1) <= 256 {
		c.vendors.Store(provider, vendor)
	}
	return vendor
}

// follow ends the watch of a stream that the program drops.
func (w *watch) follow(s *Stream) {
	runtime.AddCleanup(s, func(w *watch) { w.end(CallResult{}) }, w)
}
