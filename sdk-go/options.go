package ossai

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// A CallOption says what a caller wants of the client for one call; none of it reaches a provider unless it says so. A
// [CallOptions] is one too.
type CallOption interface {
	applyCall(*CallOptions)
}

// An Option is of a client and of a call alike.
type Option interface {
	ClientOption
	CallOption
}

// CallOptions is every option of a call as one value; zero values are absent, and fall back to the client's. Given to a call
// it replaces what the options before it said.
type CallOptions struct {
	// Timeout is for the whole call: queueing, all tries and the waits between them; of a stream until its first event. A
	// nearer deadline of the context holds too.
	Timeout time.Duration `json:"timeout_ms"`
	// AttemptTimeout is for each try.
	AttemptTimeout time.Duration `json:"attempt_timeout_ms"`
	// FirstByteTimeout is from sending a try to its response headers.
	FirstByteTimeout time.Duration `json:"first_byte_timeout_ms"`
	// StreamIdleTimeout is the longest silence inside a body.
	StreamIdleTimeout time.Duration `json:"stream_idle_timeout_ms"`
	// MaxAttempts is the most tries, the first included.
	MaxAttempts int `json:"max_attempts"`
	// Fallbacks are models asked in this one's place when it cannot answer, in order; empty but not nil is none.
	Fallbacks []string `json:"fallbacks"`
	// FallbackOn are kinds of errors after which they are asked, beside the usual ones.
	FallbackOn []ErrorKind `json:"fallback_on"`
	// Hedge is whether a second copy goes out when the first is late; only for a call that is safe. Both are paid for.
	Hedge *bool `json:"hedge"`
	// HedgeAfter is after how long; 0 is the 95th percentile measured for the model.
	HedgeAfter time.Duration `json:"hedge_after_ms"`
	// Safe says that a second copy of the call does no harm but cost.
	Safe *bool `json:"safe"`
	// Batch says that the call is not urgent: it goes through the vendor's batch API at half the price and is answered within 24
	// hours, mostly within one. Timeout is its deadline. Only for whole completions of openai and anthropic.
	Batch *bool `json:"batch"`
	// Cache is how the call uses the caches.
	Cache CacheOptions `json:"cache"`
	// PromptCache is whether vendors' prompt caches are put to use: `off`, `auto`, `5m` or `1h`; empty means as configured.
	PromptCache string `json:"prompt_cache"`
	// Coalesce is whether the call may share another identical one's flight; nil means only if it is deterministic.
	Coalesce *bool `json:"coalesce"`
	// IdempotencyKey is sent instead of one of ours.
	IdempotencyKey string `json:"idempotency_key"`
	// Headers are further request headers, sent to the provider on the direct road.
	Headers map[string]string `json:"headers"`
	// Tags are attribution, recorded with the call's usage and never sent to a provider.
	Tags map[string]string `json:"tags"`
	// MaxCost refuses the call when its highest estimated cost is above it.
	MaxCost *NanoUSD `json:"max_cost"`
	// Prices are for this call only, in the price table's entry form.
	Prices any `json:"prices"`
	// Traceparent is the W3C trace context of the caller, passed on to the upstream.
	Traceparent string `json:"traceparent"`
	// Priority is from -10 to 10: who is ahead where calls wait for a provider's limit.
	Priority int `json:"priority"`
	// Unsupported is what becomes of parameters that the model does not take: `drop` or `refuse`.
	Unsupported string `json:"unsupported"`
	// Trace is whether the answer, or the error, tells why the call came out as it did.
	Trace *bool `json:"trace"`
	// Tools are tools with handlers: see [WithTools].
	Tools []*RunnableTool `json:"-"`
	// Approve is asked before each handler runs.
	Approve Approver `json:"-"`
	// Loop is the bounds of a call whose tools have handlers.
	Loop LoopOptions `json:"-"`
	// Extra are options without a name here, and win over one of the same name; one the core does not know is an error. What
	// the fields cannot hold of options read from JSON is here, so that the core says what is wrong.
	Extra Extra `json:"-"`
}

// CacheOptions is how one call uses the caches.
type CacheOptions struct {
	// NoCache neither reads nor keeps.
	NoCache bool `json:"no_cache"`
	// Refresh does not read, but keeps the fresh answer.
	Refresh bool `json:"refresh"`
	// MaxAge accepts only answers at most this old. It lets a request that is not deterministic use the cache.
	MaxAge time.Duration `json:"max_age_ms"`
	// TTL keeps the answer this long. It lets a request that is not deterministic use the cache.
	TTL time.Duration `json:"ttl_ms"`
}

func (o CallOptions) applyCall(to *CallOptions) { *to = o }

type callOption func(*CallOptions)

func (o callOption) applyCall(to *CallOptions) { o(to) }

// WithCache is how a call uses the caches.
func WithCache(cache CacheOptions) CallOption {
	return callOption(func(o *CallOptions) { o.Cache = cache })
}

// WithNoCache neither reads nor keeps the answer.
func WithNoCache() CallOption { return WithCache(CacheOptions{NoCache: true}) }

// WithRefresh asks anew and keeps the fresh answer.
func WithRefresh() CallOption { return WithCache(CacheOptions{Refresh: true}) }

// WithMaxCost refuses a call whose highest estimated cost is above this.
func WithMaxCost(most NanoUSD) CallOption {
	return callOption(func(o *CallOptions) { o.MaxCost = &most })
}

// WithTags are attribution, recorded with the call's usage and never sent to a provider.
func WithTags(tags map[string]string) CallOption {
	return callOption(func(o *CallOptions) { o.Tags = tags })
}

// WithHeader is a further request header, sent to the provider on the direct road.
func WithHeader(name, value string) CallOption {
	return callOption(func(o *CallOptions) {
		headers := map[string]string{name: value}
		for name, value := range o.Headers {
			if _, given := headers[name]; !given {
				headers[name] = value
			}
		}
		o.Headers = headers
	})
}

// WithIdempotencyKey is sent instead of one of ours.
func WithIdempotencyKey(key string) CallOption {
	return callOption(func(o *CallOptions) { o.IdempotencyKey = key })
}

// WithFallbacks are models asked in this one's place when it cannot answer, in order.
func WithFallbacks(models ...string) CallOption {
	return callOption(func(o *CallOptions) { o.Fallbacks = append([]string{}, models...) })
}

// WithHedge sends a second copy when the first is late (0: later than the 95th percentile measured for the model), and takes
// the earlier answer. It says that a second copy does no harm but cost.
func WithHedge(after time.Duration) CallOption {
	return callOption(func(o *CallOptions) { o.Hedge, o.HedgeAfter, o.Safe = Ptr(true), after, Ptr(true) })
}

// WithBatch says that the call is not urgent: it goes through the vendor's batch API at half the price.
func WithBatch() CallOption {
	return callOption(func(o *CallOptions) { o.Batch = Ptr(true) })
}

// WithTraceparent is the W3C trace context of the caller, passed on to the upstream.
func WithTraceparent(traceparent string) CallOption {
	return callOption(func(o *CallOptions) { o.Traceparent = traceparent })
}

// encodeOptions writes a call's options, with the context's deadline where it is nearer, and a stream's credit. Nothing to
// say is nothing. The plan is nil without tools that have handlers.
func (h *home) encodeOptions(ctx context.Context, e *encoder, options []CallOption, credit int64) ([]byte, *plan) {
	var o CallOptions
	for _, option := range options {
		if option != nil {
			option.applyCall(&o)
		}
	}
	limit, limited := h.limit(ctx, &o)
	if len(options) == 0 && !limited && credit == 0 {
		return nil, nil
	}
	start := len(e.buf)
	e.path = append(e.path[:0], step{"options", -1})
	f := e.fields(o.Extra)
	if limited {
		f.value("timeout_ms", int(limit))
	} else {
		f.milliseconds("timeout_ms", o.Timeout)
	}
	f.integer("credit", credit)
	if len(options) > 0 {
		o.encode(f)
	}
	f.close()
	if e.fault != nil {
		return nil, nil
	}
	return e.buf[start:], o.plan()
}

// limit is the time a call has in milliseconds, where something nearer than the client's own limit says so.
func (h *home) limit(ctx context.Context, o *CallOptions) (int64, bool) {
	limit, limited := milliseconds(o.Timeout), o.Timeout > 0
	if deadline, ok := ctx.Deadline(); ok {
		left := max(milliseconds(time.Until(deadline)), 0)
		if limited && left < limit || !limited && left < h.total {
			return left, true
		}
	}
	return limit, limited
}

func (o *CallOptions) encode(f fields) {
	f.milliseconds("attempt_timeout_ms", o.AttemptTimeout)
	f.milliseconds("first_byte_timeout_ms", o.FirstByteTimeout)
	f.milliseconds("stream_idle_timeout_ms", o.StreamIdleTimeout)
	f.integer("max_attempts", int64(o.MaxAttempts))
	if f.wanted("fallbacks", o.Fallbacks != nil) {
		f.name("fallbacks")
		f.appendTexts(o.Fallbacks)
	}
	if o.FallbackOn != nil {
		f.value("fallback_on", o.FallbackOn)
	}
	f.boolean("hedge", o.Hedge)
	f.milliseconds("hedge_after_ms", o.HedgeAfter)
	f.boolean("safe", o.Safe)
	f.boolean("batch", o.Batch)
	if f.wanted("cache", o.Cache != (CacheOptions{})) {
		f.name("cache")
		f.path = append(f.path, step{"cache", -1})
		c := f.fields(nil)
		c.truth("no_cache", o.Cache.NoCache)
		c.truth("refresh", o.Cache.Refresh)
		c.milliseconds("max_age_ms", o.Cache.MaxAge)
		c.milliseconds("ttl_ms", o.Cache.TTL)
		c.end()
		f.path = f.path[:len(f.path)-1]
	}
	f.text("prompt_cache", o.PromptCache)
	f.boolean("coalesce", o.Coalesce)
	f.text("idempotency_key", o.IdempotencyKey)
	if len(o.Headers) > 0 {
		f.value("headers", o.Headers)
	}
	if len(o.Tags) > 0 {
		f.value("tags", o.Tags)
	}
	if o.MaxCost != nil {
		f.value("max_cost", *o.MaxCost)
	}
	f.value("prices", o.Prices)
	f.text("traceparent", o.Traceparent)
	f.integer("priority", int64(o.Priority))
	f.text("unsupported", o.Unsupported)
	f.boolean("trace", o.Trace)
	o.encodeTools(f)
}

// UnmarshalJSON reads options in the core's form.
func (o *CallOptions) UnmarshalJSON(data []byte) (err error) {
	*o = CallOptions{}
	o.Extra, err = lossless(data, func(name string, raw json.RawMessage) bool {
		switch name {
		case "timeout_ms":
			return keepMilliseconds(&o.Timeout, raw)
		case "attempt_timeout_ms":
			return keepMilliseconds(&o.AttemptTimeout, raw)
		case "first_byte_timeout_ms":
			return keepMilliseconds(&o.FirstByteTimeout, raw)
		case "stream_idle_timeout_ms":
			return keepMilliseconds(&o.StreamIdleTimeout, raw)
		case "max_attempts":
			return keepCount(&o.MaxAttempts, raw)
		case "fallbacks":
			return keepTexts(&o.Fallbacks, raw)
		case "fallback_on":
			return keepList(&o.FallbackOn, raw)
		case "hedge":
			return keepAs(&o.Hedge, raw)
		case "hedge_after_ms":
			return keepMilliseconds(&o.HedgeAfter, raw)
		case "safe":
			return keepAs(&o.Safe, raw)
		case "batch":
			return keepAs(&o.Batch, raw)
		case "cache":
			return o.Cache.keep(raw)
		case "prompt_cache":
			return keepText(&o.PromptCache, raw)
		case "coalesce":
			return keepAs(&o.Coalesce, raw)
		case "idempotency_key":
			return keepText(&o.IdempotencyKey, raw)
		case "headers":
			return json.Unmarshal(raw, &o.Headers) == nil && len(o.Headers) > 0
		case "tags":
			return json.Unmarshal(raw, &o.Tags) == nil && len(o.Tags) > 0
		case "max_cost":
			return keepAs(&o.MaxCost, raw)
		case "prices":
			o.Prices = raw
			return string(raw) != "null"
		case "traceparent":
			return keepText(&o.Traceparent, raw)
		case "priority":
			return keepCount(&o.Priority, raw)
		case "unsupported":
			return keepText(&o.Unsupported, raw)
		case "trace":
			return keepAs(&o.Trace, raw)
		}
		return false
	})
	return err
}

func (c *CacheOptions) keep(raw json.RawMessage) bool {
	var read CacheOptions
	extra, err := lossless(raw, func(name string, raw json.RawMessage) bool {
		switch name {
		case "no_cache":
			return json.Unmarshal(raw, &read.NoCache) == nil
		case "refresh":
			return json.Unmarshal(raw, &read.Refresh) == nil
		case "max_age_ms":
			return keepMilliseconds(&read.MaxAge, raw)
		case "ttl_ms":
			return keepMilliseconds(&read.TTL, raw)
		}
		return false
	})
	if err != nil || extra != nil {
		return false
	}
	*c = read
	return true
}

func keepMilliseconds(place *time.Duration, raw json.RawMessage) bool {
	var n int64
	if !keepInt(&n, raw) || n < 0 || n > math.MaxInt64/int64(time.Millisecond) {
		return false
	}
	*place = time.Duration(n) * time.Millisecond
	return true
}

func keepCount(place *int, raw json.RawMessage) bool {
	var n int64
	if !keepInt(&n, raw) || int64(int(n)) != n {
		return false
	}
	*place = int(n)
	return true
}

// EstimateOptions are the assumptions of an estimate.
type EstimateOptions struct {
	// OutputTokens is how many are expected.
	OutputTokens uint64 `json:"output_tokens,omitempty"`
	// CachedTokens is how much of the input the vendor's prompt cache is expected to hold.
	CachedTokens uint64 `json:"cached_tokens,omitempty"`
	// Batch is through the vendor's batch API.
	Batch bool `json:"batch,omitempty"`
	// Prices are instead of the table's.
	Prices any `json:"prices,omitempty"`
}

// CatalogOptions are conditions on the price table's models.
type CatalogOptions struct {
	// Provider is whose only.
	Provider string `json:"provider,omitempty"`
	// Kind is `chat`, `embedding` or `rerank`.
	Kind string `json:"kind,omitempty"`
	// Caps are what they can do, all of it.
	Caps []string `json:"caps,omitempty"`
	// Text is in the id.
	Text string `json:"text,omitempty"`
	// MinContext is at least so many tokens of context.
	MinContext uint64 `json:"min_context,omitempty"`
	// Retired is also those no longer served.
	Retired bool `json:"retired,omitempty"`
	// Sort is `id`, `input`, `output`, `context` or `released`.
	Sort string `json:"sort,omitempty"`
}
