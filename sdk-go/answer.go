package ossai

import (
	"encoding/json"
	"strconv"
	"strings"
)

// NanoUSD is money in nanodollars (1 USD = 1,000,000,000): an integer, because summed floats drift.
type NanoUSD uint64

// USD is the amount in dollars, for display only: sums are made of the integers.
func (n NanoUSD) USD() float64 { return float64(n) / 1e9 }

// String is dollars with at least two and at most nine decimals: `$0.00`, `$1.50`, `$0.000012`.
func (n NanoUSD) String() string {
	decimals := strconv.FormatUint(uint64(n)%1e9+1e9, 10)[1:]
	kept := strings.TrimRight(decimals, "0")
	for len(kept) < 2 {
		kept += "0"
	}
	return "$" + strconv.FormatUint(uint64(n)/1e9, 10) + "." + kept
}

// FinishReason is why the model stopped. A word without a name here is the vendor's.
type FinishReason string

// The finish reasons.
const (
	FinishStop          FinishReason = "stop"
	FinishLength        FinishReason = "length"
	FinishToolCalls     FinishReason = "tool_calls"
	FinishContentFilter FinishReason = "content_filter"
	FinishRefusal       FinishReason = "refusal"
	FinishPause         FinishReason = "pause"
)

// Completion is a finished answer, with what it used, what it cost and how it came about. It belongs to its caller.
type Completion struct {
	// ID is the vendor's id of the answer.
	ID string `json:"id"`
	// Model is the model asked for, `provider/model`.
	Model string `json:"model"`
	// ResponseModel is the model that answered, as the vendor names it.
	ResponseModel string `json:"response_model,omitempty"`
	// Created is when the vendor made it, in seconds since 1970, where it says so.
	Created *uint64 `json:"created,omitempty"`
	// Text is all text of the answer.
	Text string `json:"text"`
	// Parts is the answer in order: text, reasoning, refusals, tool calls.
	Parts []Part `json:"parts"`
	// FinishReason is why the model stopped.
	FinishReason FinishReason `json:"finish_reason"`
	// RawFinishReason is the vendor's own word for it, where it differs.
	RawFinishReason string `json:"raw_finish_reason,omitempty"`
	// Usage is tokens used.
	Usage Usage `json:"usage"`
	// RawUsage is the vendor's usage object, unchanged.
	RawUsage json.RawMessage `json:"raw_usage,omitempty"`
	// UpstreamRequestID is the vendor's request id, for its support.
	UpstreamRequestID string `json:"upstream_request_id,omitempty"`
	// DroppedParams are parameters that were left out because the model does not take them.
	DroppedParams []string `json:"dropped_params,omitempty"`
	// Extra are fields of the vendor's answer without a name here.
	Extra Extra `json:"extra,omitempty"`
	// Cost is what it cost the caller: nothing out of a cache.
	Cost Cost `json:"cost"`
	// Cache is what the cache and the shared calls did for it.
	Cache CacheOutcome `json:"cache"`
	// Attempts is every try at an upstream, in order; empty when the answer was kept.
	Attempts []Attempt `json:"attempts,omitempty"`
	// RequestID is our id of the call.
	RequestID string `json:"request_id"`
	// Timing is where the time went.
	Timing Timing `json:"timing"`
	// Trace is why the call came out as it did, where that was asked for.
	Trace *Trace `json:"trace,omitempty"`
	// ToolRun is what the call's tool loop did, where it had tools with handlers.
	ToolRun *ToolRun `json:"tool_run,omitempty"`
}

// ToolCalls are the tools the model wants called, in order.
func (c *Completion) ToolCalls() []ToolCall {
	var calls []ToolCall
	for _, part := range c.Parts {
		if part.Type == "tool_call" {
			calls = append(calls, ToolCall{part.ID, part.Name, part.Arguments, part.Extra})
		}
	}
	return calls
}

// Message is the answer as a message to append to the conversation, reasoning included where it must be sent back.
func (c *Completion) Message() Message {
	var parts []Part
	for _, part := range c.Parts {
		switch part.Type {
		case "tool_call":
		case "text", "refusal":
			parts = append(parts, TextPart(part.Text))
		default:
			parts = append(parts, part)
		}
	}
	message := Message{Role: RoleAssistant, ToolCalls: c.ToolCalls()}
	if len(parts) == 1 && parts[0].Type == "text" {
		message.Content = parts[0].Text
	} else {
		message.Parts = parts
	}
	return message
}

// Usage is tokens a call used, normalised over all vendors. InputTokens includes cached and written ones and OutputTokens
// includes reasoning; the other counts are parts of these two.
type Usage struct {
	InputTokens          uint64 `json:"input_tokens"`
	OutputTokens         uint64 `json:"output_tokens"`
	CacheReadTokens      uint64 `json:"cache_read_tokens,omitempty"`
	CacheWriteTokens     uint64 `json:"cache_write_tokens,omitempty"`
	CacheWrite1hTokens   uint64 `json:"cache_write_1h_tokens,omitempty"`
	CacheWrite12hTokens  uint64 `json:"cache_write_12h_tokens,omitempty"`
	ReasoningTokens      uint64 `json:"reasoning_tokens,omitempty"`
	AudioInputTokens     uint64 `json:"audio_input_tokens,omitempty"`
	AudioCacheReadTokens uint64 `json:"audio_cache_read_tokens,omitempty"`
	AudioOutputTokens    uint64 `json:"audio_output_tokens,omitempty"`
	ImageInputTokens     uint64 `json:"image_input_tokens,omitempty"`
	CitationTokens       uint64 `json:"citation_tokens,omitempty"`
	// WebSearches is how many searches the vendor made for the call, billed by the piece.
	WebSearches uint64 `json:"web_searches,omitempty"`
	// ServiceTier is the processing tier the vendor says it billed.
	ServiceTier string `json:"service_tier,omitempty"`
	// Speed is the vendor's speed mode.
	Speed string `json:"speed,omitempty"`
	// Region is the one the vendor says it ran in, where that is priced.
	Region string `json:"region,omitempty"`
	// Estimated says that the vendor sent no usage and these are our own counts.
	Estimated bool `json:"estimated,omitempty"`
}

// TotalTokens is input and output together.
func (u Usage) TotalTokens() uint64 { return u.InputTokens + u.OutputTokens }

// Cost is what a call cost: Total in nanodollars, rounded up once; the shares in picodollars. An unknown price has no Total.
type Cost struct {
	// Status is `exact`, `estimated` or `unknown`.
	Status string `json:"status"`
	// Total is nil exactly when the status is `unknown`.
	Total          *NanoUSD `json:"total,omitempty"`
	InputPico      uint64   `json:"input_pico"`
	CacheReadPico  uint64   `json:"cache_read_pico"`
	CacheWritePico uint64   `json:"cache_write_pico"`
	OutputPico     uint64   `json:"output_pico"`
	OtherPico      uint64   `json:"other_pico"`
	// PromptCacheSavedPico is what the vendor's prompt cache saved; negative where writing cost more than reading saved.
	PromptCacheSavedPico int64 `json:"prompt_cache_saved_pico,omitempty"`
	// PriceVersion is which table and entry priced it.
	PriceVersion string `json:"price_version,omitempty"`
}

// CacheOutcome is what the cache and the shared calls did for a call.
type CacheOutcome struct {
	// Status is `hit`, `miss` or `bypass`.
	Status string `json:"status"`
	// Tier is which cache answered: `memory`, `redis`, `disk`, `semantic`, `orchestrator`.
	Tier string `json:"tier,omitempty"`
	// AgeMS is how old the kept answer was, in milliseconds.
	AgeMS *uint64 `json:"age_ms,omitempty"`
	// Joined says that the call joined another's flight.
	Joined bool `json:"joined"`
	// Saved is money not spent; nil when the price is unknown.
	Saved *NanoUSD `json:"saved,omitempty"`
	// Stale says that the answer's time was over: it was given while a new one is fetched, or because none could be had.
	Stale bool `json:"stale,omitempty"`
	// Similarity is how near the question is whose answer this is, where that was another one: the cosine of the two vectors.
	Similarity *float64 `json:"similarity,omitempty"`
	// LookupCost is what looking for a similar question cost, which is no part of the answer's cost; nil where nothing was
	// looked for, and where the price is unknown.
	LookupCost *NanoUSD `json:"lookup_cost,omitempty"`
}

// Attempt is one try at an upstream.
type Attempt struct {
	// Error is the kind it ended in; empty when it succeeded.
	Error ErrorKind `json:"error,omitempty"`
	// Status is the HTTP status, where there was one.
	Status int `json:"status,omitempty"`
	// DelayMS is the wait before it, in milliseconds.
	DelayMS uint64 `json:"delay_ms"`
	// UpstreamRequestID is the vendor's request id.
	UpstreamRequestID string `json:"upstream_request_id,omitempty"`
	// DurationUS is how long it took, in microseconds.
	DurationUS uint64 `json:"duration_us"`
	// Model is the one asked, where the call may fall back to another.
	Model string `json:"model,omitempty"`
	// Parallel says that it ran beside the try that decided: one of the two copies of a hedged call.
	Parallel bool `json:"parallel,omitempty"`
	// Endpoint is which further address was asked, as a path of the configuration.
	Endpoint string `json:"endpoint,omitempty"`
}

// Timing is where a call's time went, in microseconds.
type Timing struct {
	QueueUS      uint64  `json:"queue_us"`
	FirstTokenUS *uint64 `json:"first_token_us,omitempty"`
	TotalUS      uint64  `json:"total_us"`
	// OverheadUS is our own share.
	OverheadUS uint64 `json:"overhead_us"`
}

// Trace is why a call came out as it did: names of stages, reasons and fields, never their values.
type Trace struct {
	Steps []TraceStep `json:"steps"`
	// Omitted is how many steps were left out.
	Omitted uint32 `json:"omitted,omitempty"`
}

// TraceStep is one decision of a call. Its words are stable; new ones may be added.
type TraceStep struct {
	AtUS    uint64   `json:"at_us"`
	Stage   string   `json:"stage"`
	Outcome string   `json:"outcome"`
	Why     string   `json:"why,omitempty"`
	Fields  []string `json:"fields,omitempty"`
	WaitMS  *uint64  `json:"wait_ms,omitempty"`
	Attempt uint32   `json:"attempt,omitempty"`
	By      string   `json:"by,omitempty"`
}

// Embedding is one vector.
type Embedding struct {
	// Index is the place of its input.
	Index int `json:"index"`
	// Vector is in single precision, as the vendor sent it.
	Vector []float32 `json:"vector"`
}

// EmbeddingResponse is vectors, in the order of the inputs.
type EmbeddingResponse struct {
	Model             string          `json:"model"`
	ResponseModel     string          `json:"response_model,omitempty"`
	Embeddings        []Embedding     `json:"embeddings"`
	Usage             Usage           `json:"usage"`
	RawUsage          json.RawMessage `json:"raw_usage,omitempty"`
	Cost              Cost            `json:"cost"`
	Cache             CacheOutcome    `json:"cache"`
	Attempts          []Attempt       `json:"attempts,omitempty"`
	RequestID         string          `json:"request_id"`
	UpstreamRequestID string          `json:"upstream_request_id,omitempty"`
	Timing            Timing          `json:"timing"`
	Trace             *Trace          `json:"trace,omitempty"`
}

// ModelInfo is a model one can call.
type ModelInfo struct {
	// ID is `provider/model`, as a request names it.
	ID string `json:"id"`
	// Created is when it was made, in seconds since 1970, where known.
	Created *uint64 `json:"created,omitempty"`
	// OwnedBy is who owns it, in the vendor's words.
	OwnedBy string `json:"owned_by,omitempty"`
	// Extra is what the vendor says beyond that.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
}

// Invalidation says which kept answers are meant, always of the client's own tenant: exactly one of Model, Tag and All.
type Invalidation struct {
	// Model is a model by its whole name, provider/model: what it has answered.
	Model string `json:"model"`
	// Tag is the name of a tag, and Value its value: what was kept for calls that had it.
	Tag   string `json:"tag"`
	Value string `json:"value"`
	// All is everything.
	All bool `json:"all"`
}

// MarshalJSON writes it as it stands in every language: only what is meant.
func (i Invalidation) MarshalJSON() ([]byte, error) {
	fields := map[string]any{}
	if i.Model != "" {
		fields["model"] = i.Model
	}
	if i.Tag != "" {
		fields["tag"] = i.Tag
	}
	if i.Tag != "" || i.Value != "" {
		fields["value"] = i.Value
	}
	if i.All {
		fields["all"] = true
	}
	return json.Marshal(fields)
}

// Invalidated is what an invalidation did.
type Invalidated struct {
	// Dropped are the answers dropped out of memory, an orchestrator's included; what counts no more beneath is not counted.
	Dropped int64 `json:"dropped"`
	// Tiers is where it holds, in the order tiers are asked.
	Tiers []string `json:"tiers"`
}

// Health is the health of one upstream.
type Health struct {
	// Upstream is `orchestrator`, or the provider's name.
	Upstream string `json:"upstream"`
	// Status is `serving` or `not_serving`.
	Status string `json:"status"`
	// LatencyUS is how long the answer took, in microseconds.
	LatencyUS uint64 `json:"latency_us"`
	// Message is what went wrong, where something did.
	Message string `json:"message,omitempty"`
}

// BudgetState is a budget and what is on it in the present window.
type BudgetState struct {
	// Scope is what it is of: `tenant`, `key`, `user`, `model` or `tag`.
	Scope string `json:"scope"`
	// Tag is the tag, where it is of a tag's values.
	Tag string `json:"tag,omitempty"`
	// Tenant is whose tenant's it is, where it is not the tenant's itself.
	Tenant *string `json:"tenant,omitempty"`
	// Name is whose it is; nil for calls without a tenant.
	Name *string `json:"name,omitempty"`
	// Window is how long it lasts, in UTC: `hour`, `day`, `month` or `total`.
	Window string `json:"window"`
	// Soft is booked and never refuses.
	Soft bool `json:"soft"`
	// LimitNanoUSD and LimitTokens are the limits; nil where there is none.
	LimitNanoUSD *NanoUSD `json:"limit_nano_usd,omitempty"`
	LimitTokens  *uint64  `json:"limit_tokens,omitempty"`
	SpentNanoUSD NanoUSD  `json:"spent_nano_usd"`
	SpentTokens  uint64   `json:"spent_tokens"`
	// HeldNanoUSD and HeldTokens are held for calls under way.
	HeldNanoUSD NanoUSD `json:"held_nano_usd"`
	HeldTokens  uint64  `json:"held_tokens"`
	// LeftNanoUSD and LeftTokens are what calls can still have; nil without a limit of the kind.
	LeftNanoUSD *NanoUSD `json:"left_nano_usd,omitempty"`
	LeftTokens  *uint64  `json:"left_tokens,omitempty"`
	// ResetsAtMS is when the window ends, in milliseconds since 1970; 0 for `total`.
	ResetsAtMS uint64 `json:"resets_at_ms,omitempty"`
}

// TokenCount is how many tokens something is.
type TokenCount struct {
	// Tokens is the count, or the likely one; Low and High are its bounds.
	Tokens uint64 `json:"tokens"`
	Low    uint64 `json:"low"`
	High   uint64 `json:"high"`
	// Exact says that it is the published encoding's own count with nothing estimated in it.
	Exact bool `json:"exact"`
	// Encoding is the one counted with.
	Encoding string `json:"encoding"`
}

// Truncated is the beginning of a text.
type Truncated struct {
	Text   string `json:"text"`
	Tokens int    `json:"tokens"`
	// Truncated says that something was cut off.
	Truncated bool   `json:"truncated"`
	Encoding  string `json:"encoding"`
}

// Span is a range with its likely value; High is nil where nothing bounds it.
type Span struct {
	Low      uint64  `json:"low"`
	Expected uint64  `json:"expected"`
	High     *uint64 `json:"high"`
}

// Estimate is what a call will cost, in nanodollars; nil amounts are unknown, never 0.
type Estimate struct {
	// Status is `exact`, `estimated` or `unknown`.
	Status       string   `json:"status"`
	Low          *NanoUSD `json:"low"`
	Expected     *NanoUSD `json:"expected"`
	High         *NanoUSD `json:"high"`
	InputTokens  Span     `json:"input_tokens"`
	OutputTokens Span     `json:"output_tokens"`
	PriceVersion string   `json:"price_version"`
	// Notes are what else to know.
	Notes []Note `json:"notes"`
}

// Note is something to know about an estimate.
type Note struct {
	// Code is a stable name.
	Code string `json:"code"`
	// Message is a sentence for people.
	Message string `json:"message"`
}

// Explanation is what a call would do. It holds names of fields, never their values.
type Explanation struct {
	// Key is the call's, 64 hexadecimal digits: equal keys are equal calls.
	Key string `json:"key"`
	// KeyFields is what is in the key and set, as paths.
	KeyFields []string `json:"key_fields"`
	// Route is where it would go, and Fallbacks after that as long as nobody answers.
	Route         RoutePlan   `json:"route"`
	Fallbacks     []RoutePlan `json:"fallbacks,omitempty"`
	Deterministic bool        `json:"deterministic"`
	Cache         CachePlan   `json:"cache"`
	// Sharing is whether it would share a flight.
	Sharing struct {
		Allowed  bool `json:"allowed"`
		UnderWay bool `json:"under_way"`
	} `json:"sharing"`
	// PaceMS is how long it would wait for its provider's limit, in milliseconds.
	PaceMS uint64 `json:"pace_ms"`
	// Parameters is what would become of its parameters.
	Parameters struct {
		Dropped []string `json:"dropped"`
	} `json:"parameters"`
	TimeoutMS   uint64 `json:"timeout_ms"`
	MaxAttempts uint32 `json:"max_attempts"`
	// Estimate is what it would cost if it were sent.
	Estimate Estimate `json:"estimate"`
	// Refused is the error it would end in before anything is sent, where that is known.
	Refused *Error `json:"refused,omitempty"`
}

// RoutePlan is where a call would go.
type RoutePlan struct {
	// Road is `direct`, `orchestrator` or `local`.
	Road     string `json:"road"`
	Provider string `json:"provider"`
	Model    string `json:"model"`
	API      string `json:"api,omitempty"`
	URL      string `json:"url,omitempty"`
	Place    string `json:"place,omitempty"`
}

// CachePlan is what a call would do with the cache.
type CachePlan struct {
	Status string  `json:"status"`
	Tier   string  `json:"tier,omitempty"`
	AgeMS  *uint64 `json:"age_ms,omitempty"`
	// Stores is whether its answer would be kept, and TTLMS for how long.
	Stores bool   `json:"stores"`
	TTLMS  uint64 `json:"ttl_ms"`
	// Why is why not a hit, and Differs in what the nearest traced call before differs.
	Why     string   `json:"why,omitempty"`
	Differs []string `json:"differs,omitempty"`
}

// Stats is what a client has done so far. Every number only grows, except the two that say what is under way.
type Stats struct {
	Calls            uint64  `json:"calls"`
	Failures         uint64  `json:"failures"`
	Flights          uint64  `json:"flights"`
	Joined           uint64  `json:"joined"`
	FlightsInFlight  uint64  `json:"flights_in_flight"`
	Waiters          uint64  `json:"waiters"`
	FlightsCancelled uint64  `json:"flights_cancelled"`
	CacheHits        uint64  `json:"cache_hits"`
	CacheMisses      uint64  `json:"cache_misses"`
	CacheEntries     uint64  `json:"cache_entries"`
	CacheBytes       uint64  `json:"cache_bytes"`
	Attempts         uint64  `json:"attempts"`
	Retries          uint64  `json:"retries"`
	Spent            NanoUSD `json:"spent"`
	Saved            NanoUSD `json:"saved"`
	Unpriced         uint64  `json:"unpriced"`
	// Unrecorded is how many records the usage ledger could not take.
	Unrecorded uint64 `json:"unrecorded"`
	// Tiers are the cache tiers beneath the memory, in the order they are asked.
	Tiers []TierStats `json:"tiers"`
	// Semantic is the semantic cache; nil where there is none.
	Semantic *SemanticStats `json:"semantic,omitempty"`
}

// SemanticStats is what the semantic cache has done.
type SemanticStats struct {
	Lookups uint64 `json:"lookups"`
	Hits    uint64 `json:"hits"`
	// Refused is looks that found near questions, all kept apart by a gate.
	Refused uint64 `json:"refused"`
	// Unverified is looks whose near question the verifying model did not take for the same.
	Unverified uint64 `json:"unverified"`
	// Failures is embeddings that could not be had.
	Failures uint64 `json:"failures"`
	// Checked is checks in the window, FalseHits those of them in which the two answers differed.
	Checked   uint64 `json:"checked"`
	FalseHits uint64 `json:"false_hits"`
	Entries   uint64 `json:"entries"`
	Bytes     uint64 `json:"bytes"`
	// Off says that it turned itself off, because too many of its hits were false.
	Off bool `json:"off"`
}

// TierStats is what a cache tier has done for all clients of the process that share it.
type TierStats struct {
	// Tier is `redis` or `disk`.
	Tier   string `json:"tier"`
	Hits   uint64 `json:"hits"`
	Misses uint64 `json:"misses"`
	Stores uint64 `json:"stores"`
	// Dropped is answers not written: too large, too many at once, or not taken.
	Dropped uint64 `json:"dropped"`
	// Faults is how often it could not be asked, broke off or refused.
	Faults uint64 `json:"faults"`
	// Skipped is looks and writes it was spared because it kept failing.
	Skipped uint64 `json:"skipped"`
	Evicted uint64 `json:"evicted"`
	// Ailing says that it is in trouble now; calls go on without it.
	Ailing bool `json:"ailing"`
}

// ModelEntry is a model's entry in the price table: prices, limits, capabilities.
type ModelEntry struct {
	ID        string   `json:"id"`
	Provider  string   `json:"provider"`
	Model     string   `json:"model"`
	Kind      string   `json:"kind"`
	API       []string `json:"api"`
	Tokenizer string   `json:"tokenizer,omitempty"`
	Caps      []string `json:"caps"`
	// Prices are the entry's, in dollars per million tokens, as they stand in the table.
	Prices []json.RawMessage `json:"prices"`
	// Fields is the whole entry.
	Fields map[string]json.RawMessage `json:"-"`
}

// UnmarshalJSON reads an entry.
func (m *ModelEntry) UnmarshalJSON(data []byte) error {
	type plain ModelEntry
	if err := json.Unmarshal(data, (*plain)(m)); err != nil {
		return err
	}
	return json.Unmarshal(data, &m.Fields)
}

// MarshalJSON is the whole entry, in the table's own form.
func (m ModelEntry) MarshalJSON() ([]byte, error) { return json.Marshal(m.Fields) }
