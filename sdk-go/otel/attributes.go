package ossaiotel

import (
	"encoding/json"
	"strings"

	"github.com/ossai-dev/ossai-go"
	"go.opentelemetry.io/otel/attribute"
)

// asked is the request's settings, by their names in the conventions.
func asked(call ossai.CallInfo) (all []attribute.KeyValue) {
	integer := func(name string, value int64) {
		if value != 0 {
			all = append(all, attribute.Int64(name, value))
		}
	}
	number := func(name string, value *float64) {
		if value != nil {
			all = append(all, attribute.Float64(name, *value))
		}
	}
	if call.Op == "stream" {
		all = append(all, attribute.Bool("gen_ai.request.stream", true))
	}
	if e := call.Embedding; e != nil {
		integer("gen_ai.embeddings.dimension.count", e.Dimensions)
	}
	r := call.Completion
	if r == nil {
		return all
	}
	integer("gen_ai.request.max_tokens", r.MaxTokens)
	number("gen_ai.request.temperature", r.Temperature)
	number("gen_ai.request.top_p", r.TopP)
	integer("gen_ai.request.top_k", r.TopK)
	number("gen_ai.request.frequency_penalty", r.FrequencyPenalty)
	number("gen_ai.request.presence_penalty", r.PresencePenalty)
	if r.Seed != nil {
		all = append(all, attribute.Int64("gen_ai.request.seed", *r.Seed))
	}
	if len(r.Stop) > 0 {
		all = append(all, attribute.StringSlice("gen_ai.request.stop_sequences", r.Stop))
	}
	if r.ReasoningEffort != "" {
		all = append(all, attribute.String("gen_ai.request.reasoning.level", string(r.ReasoningEffort)))
	}
	if f := r.ResponseFormat; f != nil && f.Type != "" {
		kind := "json"
		if f.Type == "text" {
			kind = "text"
		}
		all = append(all, attribute.String("gen_ai.output.type", kind))
	}
	return all
}

// An answer is what is told of one.
type answer struct {
	id, model, finish string
	usage             ossai.Usage
	cost              ossai.Cost
	cache             ossai.CacheOutcome
	attempts          int
	requestID         string
	timing            ossai.Timing
}

func (a *answer) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.Int("ossai.attempts", a.attempts),
		attribute.Int64("gen_ai.usage.input_tokens", int64(a.usage.InputTokens)),
	}
	text := func(name, value string) {
		if value != "" {
			all = append(all, attribute.String(name, value))
		}
	}
	part := func(name string, count uint64) {
		if count != 0 {
			all = append(all, attribute.Int64(name, int64(count)))
		}
	}
	if a.finish != "" {
		all = append(all,
			attribute.StringSlice("gen_ai.response.finish_reasons", []string{a.finish}),
			attribute.Int64("gen_ai.usage.output_tokens", int64(a.usage.OutputTokens)))
	}
	text("gen_ai.response.id", a.id)
	text("gen_ai.response.model", a.model)
	part("gen_ai.usage.cache_read.input_tokens", a.usage.CacheReadTokens)
	part("gen_ai.usage.cache_write.input_tokens", a.usage.CacheWriteTokens)
	part("gen_ai.usage.reasoning.output_tokens", a.usage.ReasoningTokens)
	if first := a.timing.FirstTokenUS; first != nil && *first != 0 {
		all = append(all, attribute.Float64("gen_ai.response.time_to_first_chunk", float64(*first)/1e6))
	}
	text("ossai.request_id", a.requestID)
	text("ossai.cache.status", a.cache.Status)
	text("ossai.cache.tier", a.cache.Tier)
	if a.cost.Total != nil {
		all = append(all, attribute.Float64("ossai.cost.usd", float64(*a.cost.Total)/1e9))
	}
	return all
}

// A told is one part of a message as the conventions write it.
type told struct {
	Type      string  `json:"type"`
	Content   *string `json:"content,omitempty"`
	ID        string  `json:"id,omitempty"`
	Name      string  `json:"name,omitempty"`
	Arguments string  `json:"arguments,omitempty"`
	Response  *string `json:"response,omitempty"`
	Modality  string  `json:"modality,omitempty"`
	MimeType  string  `json:"mime_type,omitempty"`
	URI       string  `json:"uri,omitempty"`
}

type message struct {
	Role         string `json:"role"`
	Parts        []told `json:"parts"`
	FinishReason string `json:"finish_reason,omitempty"`
}

func part(p ossai.Part) told {
	switch p.Type {
	case "text", "refusal":
		return told{Type: "text", Content: &p.Text}
	case "reasoning":
		return told{Type: p.Type, Content: &p.Text}
	case "tool_call":
		return told{Type: p.Type, ID: p.ID, Name: p.Name, Arguments: p.Arguments}
	case "image", "audio", "file": // bytes are left out: a span is no place for them
		one := told{Type: "blob", Modality: p.Type, MimeType: p.MediaType, URI: p.URL}
		if p.URL != "" {
			one.Type = "uri"
		}
		return one
	default:
		return told{Type: p.Type}
	}
}

func written(name string, messages []message) []attribute.KeyValue {
	text, err := json.Marshal(messages)
	if err != nil {
		return nil // the call itself says what is wrong with it
	}
	return []attribute.KeyValue{attribute.String(name, string(text))}
}

func messages(given []ossai.Message) []attribute.KeyValue {
	all := make([]message, 0, len(given))
	for _, one := range given {
		parts := []told{}
		if one.Content != "" {
			parts = append(parts, told{Type: "text", Content: &one.Content})
		}
		for _, p := range one.Parts {
			parts = append(parts, part(p))
		}
		if one.Role == ossai.RoleTool {
			var response strings.Builder
			for _, p := range parts {
				if p.Content != nil {
					response.WriteString(*p.Content)
				}
			}
			text := response.String()
			parts = []told{{Type: "tool_call_response", ID: one.ToolCallID, Response: &text}}
		}
		for _, call := range one.ToolCalls {
			parts = append(parts, told{Type: "tool_call", ID: call.ID, Name: call.Name, Arguments: call.Arguments})
		}
		all = append(all, message{Role: string(one.Role), Parts: parts})
	}
	return written("gen_ai.input.messages", all)
}

func answered(c *ossai.Completion) []attribute.KeyValue {
	parts := make([]told, 0, len(c.Parts))
	for _, p := range c.Parts {
		parts = append(parts, part(p))
	}
	return written("gen_ai.output.messages", []message{{Role: "assistant", Parts: parts, FinishReason: string(c.FinishReason)}})
}
