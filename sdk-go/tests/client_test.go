package tests

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go"
)

var background = context.Background()

func TestAnAnswerSaysWhatItUsedAndCostAndTheSecondOneIsKept(t *testing.T) {
	script := upstream(t, nil, says("Hi"))
	client := open(t, script.settings())
	answer := must(client.Complete(background, cold()))(t)
	equal(t, "text", answer.Text, "Hi")
	equal(t, "usage", answer.Usage, ossai.Usage{InputTokens: 11, OutputTokens: 7})
	equal(t, "tokens", answer.Usage.TotalTokens(), 18)
	equal(t, "cost", *answer.Cost.Total, ossai.NanoUSD(5850))
	equal(t, "shown", answer.Cost.Total.String(), "$0.00000585")
	equal(t, "dollars", answer.Cost.Total.USD(), 5.85e-6)
	equal(t, "status", answer.Attempts[0].Status, 200)
	kept := must(client.Complete(background, cold()))(t)
	equal(t, "kept", kept.Text+" "+kept.Cache.Status+" "+kept.Cache.Tier, "Hi hit memory")
	equal(t, "cost of the kept one", *kept.Cost.Total, 0)
	equal(t, "looked up", must(client.Lookup(cold()))(t).Text, "Hi")
	other := cold()
	other.Messages[0].Content = "Other"
	if found := must(client.Lookup(other))(t); found != nil {
		t.Error("found what was never asked")
	}
	if err := client.ClearCache(); err != nil {
		t.Fatal(err)
	}
	if found := must(client.Lookup(cold()))(t); found != nil {
		t.Error("kept what was forgotten")
	}
	stats := must(client.Stats())(t)
	equal(t, "calls", stats.Calls, 2)
	equal(t, "flights", stats.Flights, 1)
	equal(t, "spent", stats.Spent, 5850)
	equal(t, "under way", client.CallsUnderWay(), 0)
}

func TestDataOfTheProgramsOwnIsSentUnchanged(t *testing.T) {
	script := upstream(t, object{"default": says("Hi")})
	config := script.settings()
	openai := config.Providers["openai"]
	openai.Headers = map[string]string{"X-Given": "1"}
	config.Providers["openai"] = openai
	client := open(t, config)
	schema := object{"type": "object", "properties": object{"maxTokens": object{"type": "integer"}}}
	request := hello()
	request.Tools = []ossai.Tool{{Name: "read", Description: "Reads.", Parameters: schema, Strict: ossai.Ptr(false)}}
	request.Metadata = ossai.Extra{"userId": "u"}
	request.ResponseFormat = ossai.JSONSchema("answer", object{"type": "object"})
	request.ToolChoice = ossai.ToolChoice{Function: "read"}
	request.Stop = []string{"\n\x01\"\\", "é\t\r"}
	request.Seed, request.TopP, request.MaxTokens = ossai.Ptr(int64(math.MaxInt64)), ossai.Ptr(0.25), 7
	request.ParallelToolCalls = ossai.Ptr(false)
	request.Extra = ossai.Extra{"logit_bias": object{"50256": -100}, "raw": json.RawMessage(`12345678901234567890`), "max_tokens": 9}
	must(client.Complete(background, request, ossai.WithHeader("x-other", "2"), ossai.WithHeader("X-Third", "3"),
		ossai.WithTags(map[string]string{"cost": "a"}), ossai.WithRetries(0)))(t)
	sent := script.requests()[0]
	equal(t, "headers", sent.header("x-given")+sent.header("x-other")+sent.header("x-third"), "123")
	function := sent.Body["tools"].([]any)[0].(object)["function"].(object)
	text, _ := json.Marshal(function["parameters"])
	want, _ := json.Marshal(schema)
	equal(t, "schema", string(text), string(want))
	equal(t, "strict", function["strict"], any(false))
	equal(t, "metadata", sent.Body["metadata"].(object)["userId"], any("u"))
	equal(t, "stop", sent.Body["stop"].([]any)[0], any("\n\x01\"\\"))
	equal(t, "stop", sent.Body["stop"].([]any)[1], any("é\t\r"))
	equal(t, "choice", sent.Body["tool_choice"].(object)["function"].(object)["name"], any("read"))
	equal(t, "format", sent.Body["response_format"].(object)["json_schema"].(object)["name"], any("answer"))
	equal(t, "extra", sent.Body["logit_bias"].(object)["50256"], any(-100.0))
	if _, given := sent.Body["raw"]; !given {
		t.Error("a raw field was lost")
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if value, given := sent.Body[name]; given {
			equal(t, name+": extra wins", value, any(9.0))
		}
	}
}

func TestEveryPartOfAMessageReachesTheProvider(t *testing.T) {
	script := upstream(t, object{"default": says("Hi")})
	client := open(t, script.settings())
	request := hello()
	request.Messages = []ossai.Message{
		ossai.System("Be brief."),
		ossai.UserParts(ossai.TextPart("What?"), ossai.ImageURL("https://example.org/a.png"), ossai.ImageData("image/png", "AAAA"),
			ossai.AudioData("wav", "AAAA"), ossai.FileData("application/pdf", "AAAA", "a.pdf"), ossai.FileID("file-1")),
		ossai.Assistant("That."),
		ossai.User("Again?"),
	}
	must(client.Complete(background, request))(t)
	messages := script.requests()[0].Body["messages"].([]any)
	equal(t, "messages", len(messages), 4)
	equal(t, "parts", len(messages[1].(object)["content"].([]any)), 6)
}

func TestToolCallsGoBackAsTheyCame(t *testing.T) {
	call := object{"id": "call_1", "name": "read", "arguments": `{"path":"a"}`}
	script := upstream(t, nil, object{"body": object{"openai_chat": object{"tool_calls": []object{call}}}}, says("Hi"))
	client := open(t, script.settings())
	request := hello()
	request.Tools = []ossai.Tool{{Name: "read", Parameters: object{"type": "object"}}}
	first := must(client.Complete(background, request))(t)
	equal(t, "finish", first.FinishReason, ossai.FinishToolCalls)
	calls := first.ToolCalls()
	equal(t, "calls", len(calls), 1)
	equal(t, "arguments", calls[0].Arguments, `{"path":"a"}`)
	request.Messages = append(request.Messages, first.Message(), ossai.ToolResult(calls[0].ID, "text"))
	second := must(client.Complete(background, request))(t)
	equal(t, "message", second.Message().Content, "Hi")
	sent := script.requests()[1].Body["messages"].([]any)
	function := sent[1].(object)["tool_calls"].([]any)[0].(object)["function"].(object)
	equal(t, "sent", function["arguments"], any(`{"path":"a"}`))
	equal(t, "result", sent[2].(object)["tool_call_id"], any("call_1"))
}

func TestAnAnswerOfSeveralPartsGoesBackAsParts(t *testing.T) {
	answer := ossai.Completion{Parts: []ossai.Part{{Type: "reasoning", Text: "hm", Signature: "s"}, {Type: "refusal", Text: "no"}}}
	message := answer.Message()
	want := []ossai.Part{{Type: "reasoning", Text: "hm", Signature: "s"}, ossai.TextPart("no")}
	if !reflect.DeepEqual(message.Parts, want) || message.Content != "" {
		t.Errorf("%+v", message)
	}
}

func TestEmbeddingsModelsAndHealthAreAskedOfTheUpstream(t *testing.T) {
	script := upstream(t, nil,
		object{"when": object{"path": "/v1/embeddings"}, "body": object{"openai_embeddings": object{"vectors": [][]float64{{0.1, 1}}}}},
		object{"when": object{"path": "/v1/models"}, "times": 2, "body": object{"openai_models": object{"ids": []string{"gpt-x"}}}},
	)
	client := open(t, script.settings())
	answer := must(client.Embed(background, ossai.EmbeddingRequest{Model: "openai/text-embedding-3-small", Input: []string{"a"}}))(t)
	if !reflect.DeepEqual(answer.Embeddings[0].Vector, []float32{0.1, 1}) {
		t.Errorf("vector %v", answer.Embeddings[0].Vector)
	}
	models := must(client.Models(background, "openai"))(t)
	equal(t, "models", models[0].ID, "openai/gpt-x")
	found := false
	for _, health := range must(client.Health(background))(t) {
		found = found || health.Upstream == "openai" && health.Status == "serving"
	}
	equal(t, "serving", found, true)
}

func TestTokensPricesPlansAndCountersNeedNoUpstream(t *testing.T) {
	client := open(t)
	question := ossai.CompletionRequest{Model: "openai/gpt-4o", Messages: []ossai.Message{ossai.User("one two three")}}
	equal(t, "exact", must(client.Count(question))(t).Exact, true)
	equal(t, "tokens", must(client.CountText("openai/gpt-4o", "one two three"))(t).Tokens, 3)
	cut := must(client.Truncate("openai/gpt-4o", "one two three", 2))(t)
	equal(t, "cut", *cut, ossai.Truncated{Text: "one two", Tokens: 2, Truncated: true, Encoding: cut.Encoding})
	parts := must(client.Split("openai/gpt-4o", "one two three", 1, 0))(t)
	equal(t, "parts", strings.Join(parts, "|"), "one| two| three")
	request := hello()
	request.MaxTokens = 10
	estimate := must(client.Estimate(request, ossai.EstimateOptions{OutputTokens: 5}))(t)
	if *estimate.Low > *estimate.Expected || *estimate.Expected > *estimate.High {
		t.Errorf("%+v", estimate)
	}
	equal(t, "output", *estimate.OutputTokens.High, 10)
	price := must(client.Price(model))(t)
	equal(t, "price", price.ID, model)
	if text, _ := json.Marshal(price); !strings.Contains(string(text), `"limits"`) {
		t.Errorf("an entry is whole: %s", text)
	}
	if none := must(client.Price("openai/no-such"))(t); none != nil {
		t.Error("a price for no model")
	}
	for _, entry := range must(client.Catalog(ossai.CatalogOptions{Provider: "anthropic", Caps: []string{"tools"}, MinContext: 1}))(t) {
		equal(t, "provider", entry.Provider, "anthropic")
	}
	if all := must(client.Catalog(ossai.CatalogOptions{}))(t); len(all) < 10 {
		t.Errorf("%d models", len(all))
	}
	equal(t, "key", len(must(client.Key(hello()))(t)), 64)
	equal(t, "road", must(client.Explain(local()))(t).Route.Road, "local")
	refused := must(client.Explain(request, ossai.WithMaxCost(1)))(t)
	if !errors.Is(refused.Refused, ossai.ErrBudgetExceeded) {
		t.Errorf("refused: %v", refused.Refused)
	}
	equal(t, "calls", must(client.Stats())(t).Calls, 0)
}

func TestAModelWhosePriceNobodyKnowsHasNoAmounts(t *testing.T) {
	estimate := must(open(t).Estimate(ossai.CompletionRequest{Model: "openai/no-such", Messages: []ossai.Message{}}, ossai.EstimateOptions{}))(t)
	equal(t, "status", estimate.Status, "unknown")
	if estimate.Expected != nil {
		t.Error("an amount")
	}
}

func TestAMistakeNamesItsFieldBeforeAnythingIsSent(t *testing.T) {
	client := open(t)
	with := func(change func(*ossai.CompletionRequest)) ossai.CompletionRequest {
		request := hello()
		change(&request)
		return request
	}
	cyclic := object{}
	cyclic["self"] = cyclic
	cases := []struct {
		field   string
		request ossai.CompletionRequest
		option  ossai.CallOption
	}{
		{"request", ossai.CompletionRequest{}, nil},
		{"model", with(func(r *ossai.CompletionRequest) { r.Model = "no provider" }), nil},
		{"temperature", with(func(r *ossai.CompletionRequest) { r.Temperature = ossai.Ptr(math.NaN()) }), nil},
		{"temperature", with(func(r *ossai.CompletionRequest) { r.Temperature = ossai.Ptr(7.0) }), nil},
		{"x", with(func(r *ossai.CompletionRequest) { r.Extra = ossai.Extra{"x": math.Inf(1)} }), nil},
		{"x", with(func(r *ossai.CompletionRequest) { r.Extra = ossai.Extra{"x": cyclic} }), nil},
		{"x", with(func(r *ossai.CompletionRequest) { r.Extra = ossai.Extra{"x": json.RawMessage("{")} }), nil},
		{"tools[0].parameters", with(func(r *ossai.CompletionRequest) {
			r.Tools = []ossai.Tool{{Name: "a", Parameters: func() {}}}
		}), nil},
		{"messages[1].content[0].y", with(func(r *ossai.CompletionRequest) {
			r.Messages = append(r.Messages, ossai.UserParts(ossai.Part{Type: "text", Extra: ossai.Extra{"y": make(chan int)}}))
		}), nil},
		{"response_format.schema", with(func(r *ossai.CompletionRequest) { r.ResponseFormat = ossai.JSONSchema("a", func() {}) }), nil},
		{"options.timeout_ms", hello(), ossai.WithTimeout(-1)},
		{"options.cache.ttl_ms", hello(), ossai.WithCache(ossai.CacheOptions{TTL: -1})},
		{"options.max_attempts", hello(), ossai.WithRetries(-1)},
		{"options.no_such", hello(), ossai.CallOptions{Extra: ossai.Extra{"no_such": 1}}},
		{"options.priority", hello(), ossai.CallOptions{Priority: 11}},
	}
	for _, one := range cases {
		_, err := client.Complete(background, one.request, one.option)
		var failure *ossai.Error
		if !errors.As(err, &failure) || !errors.Is(err, ossai.ErrInvalidRequest) {
			t.Errorf("%s: %v", one.field, err)
			continue
		}
		equal(t, "field", failure.Field, one.field)
		if stream := client.Stream(background, one.request, one.option); stream.Next() || !errors.Is(stream.Err(), ossai.ErrInvalidRequest) {
			t.Errorf("%s: stream %v", one.field, stream.Err())
		}
	}
	if _, err := client.Embed(background, ossai.EmbeddingRequest{Model: model, Input: []string{"a"}, InputTokens: [][]uint32{{1}}}); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	var none context.Context
	if _, err := client.Complete(none, hello()); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	if stream := client.Stream(none, hello()); stream.Next() || !errors.Is(stream.Err(), ossai.ErrInvalidRequest) {
		t.Error(stream.Err())
	}
	if err := client.Shutdown(none); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	if _, err := client.Catalog(ossai.CatalogOptions{Sort: "size"}); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	equal(t, "calls", must(client.Stats())(t).Flights, 0)
}

func TestAMistakeInTheSettingsNamesItsPath(t *testing.T) {
	for field, options := range map[string][]ossai.ClientOption{
		"config.retyr":                             {ossai.WithConfigJSON([]byte(`{"retyr": {}}`))},
		"config":                                   {ossai.WithConfigJSON([]byte(`[`))},
		"config.tenant":                            {ossai.WithTenant("a b")},
		"config.timeouts.total_ms":                 {ossai.WithTimeout(-1)},
		"config.retry.max_attempts":                {ossai.WithRetries(-1)},
		"config.breaker.failure_percent":           {ossai.Config{Breaker: ossai.Breaker{FailurePercent: 101}}},
		"config.providers.openai.fallback_urls[0]": {ossai.WithProvider("openai", ossai.Provider{FallbackURLs: []string{"no address"}})},
		"credentials.openai.fetch":                 {ossai.WithCredential("openai", ossai.Credential{})},
	} {
		_, err := ossai.New(append(options, nil, ossai.WithoutEnvironment())...)
		var failure *ossai.Error
		if !errors.As(err, &failure) {
			t.Errorf("%s: %v", field, err)
			continue
		}
		equal(t, "kind", failure.Kind, ossai.ErrInvalidRequest)
		equal(t, "field", failure.Field, field)
	}
}

func TestEverySettingReachesTheCore(t *testing.T) {
	yes := ossai.Ptr(true)
	config := ossai.Config{
		Timeouts: ossai.Timeouts{Total: 1500 * time.Microsecond, Attempt: time.Second, Connect: time.Second, FirstByte: time.Second, StreamIdle: time.Second},
		Retry:    ossai.Retry{MaxAttempts: 2, Base: 1, ThrottleBase: 1, MaxBackoff: 1, MaxRetryAfter: 1},
		Pacing:   ossai.Pacing{Enabled: yes, MaxWaiting: 1},
		Gather:   ossai.Gather{Enabled: true, MaxWait: 1, MaxInputs: 1, MaxTokens: 1},
		Batch:    ossai.Batch{Journal: "never-opened", Window: 1, MaxRequests: 1, MaxBytes: 1, Poll: 1, MaxPoll: 1, Timeout: 1},
		Breaker:  ossai.Breaker{Enabled: ossai.Ptr(false), Window: 1, MinCalls: 1, FailurePercent: 1, Open: 1, HalfOpen: 1},
		Hedge:    ossai.Hedge{Enabled: true, After: 1},
		Fallback: ossai.Fallback{Models: map[string][]string{model: {"openai/gpt-4o"}}, On: []ossai.ErrorKind{ossai.ErrContentFiltered}},
		Cache: ossai.Cache{Enabled: yes, MaxBytes: ossai.Ptr(int64(1 << 20)), EmbeddingMaxBytes: ossai.Ptr(int64(0)), TTL: 1, EmbeddingTTL: 1, Store: "all", StaleIfError: 1, StaleWhileRevalidate: 1, EarlyRefresh: 1,
			Semantic: &ossai.SemanticCache{
				Model: "local/hash", Dimensions: 64, Mode: "shadow", Threshold: 0.9, Top: 3, MaxEntries: 1, MaxBytes: 1 << 20, TTL: 1, Timeout: 1,
				MaxTextBytes: 1, Gates: ossai.SemanticGates{Numbers: yes, Negation: yes, Entities: yes, Language: yes, Direction: yes},
				Verify: model, VerifyTimeout: 1,
				Watch: ossai.SemanticWatch{CheckPercent: ossai.Ptr(0.0), MaxFalsePercent: ossai.Ptr(1.0), Window: 2, MinChecks: 1, AnswerSimilarity: ossai.Ptr(0.9)},
			}},
		Budgets:  ossai.Budgets{Limits: []ossai.Budget{{Scope: "tenant", Window: "day", NanoUSD: ossai.Ptr(ossai.NanoUSD(1e9))}}},
		Coalesce: "off", PromptCache: "auto",
		Limits: ossai.Limits{MaxResponseBytes: 1, MaxEventBytes: 1, MaxGRPCMessageBytes: 1, MaxStreamLogBytes: 1, MaxInFlight: 1},
		TLS:    ossai.TLS{BundledRoots: true},
		Proxy:  ossai.Proxy{FromEnv: ossai.Ptr(false)},
		Egress: ossai.Egress{Checked: true, PrivateHosts: []string{"a.example"}},
		Cassette: ossai.Cassette{
			Path: "x.json", Mode: "off", Timing: "kept", Match: []string{"path", "header:openai-beta"}, Ignore: []string{"/user"},
			AllowRepeats: true, Scrub: []string{"user"}, ScrubValues: []string{"secret"}, MaxBytes: 1,
		},
		Trace:   true,
		Testing: ossai.Testing{TimeScale: 1, Seed: ossai.Ptr(uint64(0))},
	}
	client := open(t, config, ossai.WithRetries(4), ossai.WithTrace(false), ossai.WithEndpoint(""), ossai.WithAPIKey("k"), ossai.WithTenant("t"))
	plan := must(client.Explain(cold()))(t)
	equal(t, "time", plan.TimeoutMS, 2) // rounded up
	equal(t, "tries", plan.MaxAttempts, 5)
	equal(t, "fallbacks", len(plan.Fallbacks), 1)
	equal(t, "sharing", plan.Sharing.Allowed, false)
	plan = must(client.Explain(cold(), ossai.WithTimeout(time.Minute), ossai.WithRetries(0), ossai.WithFallbacks(), ossai.WithNoCache()))(t)
	equal(t, "time", plan.TimeoutMS, 60000)
	equal(t, "tries", plan.MaxAttempts, 1)
	equal(t, "fallbacks", len(plan.Fallbacks), 0)
	equal(t, "stores", plan.Cache.Stores, false)
}

func TestEveryOptionOfACallReachesTheCore(t *testing.T) {
	script := upstream(t, object{"default": says("Hi")})
	client := open(t, script.settings())
	all := ossai.CallOptions{
		Timeout: time.Minute, AttemptTimeout: time.Minute, FirstByteTimeout: time.Minute, StreamIdleTimeout: time.Minute, MaxAttempts: 2,
		Fallbacks: []string{"openai/gpt-4o"}, FallbackOn: []ossai.ErrorKind{ossai.ErrContentFiltered}, Hedge: ossai.Ptr(true), HedgeAfter: time.Minute,
		Safe: ossai.Ptr(true), Batch: ossai.Ptr(false), Cache: ossai.CacheOptions{MaxAge: time.Minute, TTL: time.Minute, Refresh: true}, PromptCache: "1h", Coalesce: ossai.Ptr(true),
		IdempotencyKey: "key-1", Headers: map[string]string{"x-a": "1"}, Tags: map[string]string{"a": "b"}, MaxCost: ossai.Ptr(ossai.NanoUSD(1e9)),
		Prices:      object{"input": 1, "output": 2},
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Priority: 1, Unsupported: "refuse", Trace: ossai.Ptr(true),
	}
	answer := must(client.Complete(background, hello(), all))(t)
	if answer.Trace == nil || len(answer.Trace.Steps) == 0 {
		t.Error("no trace")
	}
	sent := script.requests()[0]
	equal(t, "key", sent.header("idempotency-key"), "key-1")
	equal(t, "trace", sent.header("traceparent")[:35], "00-0af7651916cd43dd8448eb211c80319c")
	// The others say the same one by one.
	var one ossai.CallOptions
	text := `{"timeout_ms": 60000, "attempt_timeout_ms": 60000, "first_byte_timeout_ms": 60000, "stream_idle_timeout_ms": 60000, "max_attempts": 2,
		"fallbacks": ["openai/gpt-4o"], "fallback_on": ["content_filtered"], "hedge": true, "hedge_after_ms": 60000, "safe": true, "batch": false,
		"cache": {"max_age_ms": 60000, "ttl_ms": 60000, "refresh": true}, "prompt_cache": "1h", "coalesce": true, "idempotency_key": "key-1", "headers": {"x-a": "1"},
		"tags": {"a": "b"}, "max_cost": 1000000000, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "priority": 1,
		"unsupported": "refuse", "trace": true}`
	if err := json.Unmarshal([]byte(text), &one); err != nil {
		t.Fatal(err)
	}
	all.Prices = nil
	if !reflect.DeepEqual(one, all) {
		t.Errorf("%+v", one)
	}
	must(client.Complete(background, hello(), ossai.WithRefresh(), ossai.WithIdempotencyKey("key-2"), ossai.WithTraceparent(all.Traceparent),
		ossai.WithHedge(time.Minute), ossai.WithTrace(true)))(t)
	equal(t, "key", script.requests()[1].header("idempotency-key"), "key-2")
}

func TestErrorsAreValuesThatSayWhatWasTried(t *testing.T) {
	script := upstream(t, object{"default": object{"status": 503, "headers": [][]string{{"retry-after-ms", "2"}}, "body": object{"openai_error": object{}}}})
	client := open(t, script.settings())
	_, err := client.Complete(background, hello())
	var failure *ossai.Error
	if !errors.As(err, &failure) {
		t.Fatal(err)
	}
	equal(t, "attempts", len(failure.Attempts), 3)
	equal(t, "retriable", failure.Retriable, true)
	equal(t, "status", failure.HTTPStatus, 503)
	equal(t, "after", failure.RetryAfter, 2*time.Millisecond)
	equal(t, "gave up", failure.GaveUp, "attempts")
	if !errors.Is(err, failure.Kind) || errors.Is(err, ossai.ErrRateLimited) || errors.Is(err, context.Canceled) || failure.Timeout() {
		t.Error(err)
	}
	if strings.Contains(err.Error(), "sk-canary") || !strings.HasPrefix(err.Error(), "ossai: ") {
		t.Error(err)
	}
	text, _ := json.Marshal(failure)
	var again ossai.Error
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(*failure, again) {
		t.Errorf("%s: %v", text, err)
	}
	equal(t, "kind as an error", ossai.ErrTimeout.Error(), "timeout")
}
