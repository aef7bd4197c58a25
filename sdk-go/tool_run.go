package ossai

import "encoding/json"

// ToolRun is what a call's tool loop did, beside the answer it ended with: whose cost, usage, attempts and times are those of
// all turns together.
type ToolRun struct {
	// Turns are every answer that was asked of the model, in order.
	Turns []ToolTurn `json:"turns"`
	// Calls are every tool call, in the order in which the model made them.
	Calls []ToolCallRecord `json:"calls,omitempty"`
	// Messages is what was added to the request's messages, the last answer included: ready to go on with.
	Messages []Message `json:"messages"`
}

// ToolTurn is one answer of the model's within a tool loop, with what it cost by itself.
type ToolTurn struct {
	// RequestID is our id of the turn's call.
	RequestID     string       `json:"request_id"`
	ResponseModel string       `json:"response_model,omitempty"`
	FinishReason  FinishReason `json:"finish_reason"`
	Usage         Usage        `json:"usage"`
	Cost          Cost         `json:"cost"`
	Cache         CacheOutcome `json:"cache"`
	// Attempts are empty on a cache hit.
	Attempts []Attempt `json:"attempts,omitempty"`
	Timing   Timing    `json:"timing"`
	Trace    *Trace    `json:"trace,omitempty"`
}

// ToolOutcome is what came of a tool call; new ones may be added.
type ToolOutcome string

// What comes of tool calls.
const (
	OutcomeOK            ToolOutcome = "ok"
	OutcomeUnknownTool   ToolOutcome = "unknown_tool"
	OutcomeInvalidInput  ToolOutcome = "invalid_input"
	OutcomeDenied        ToolOutcome = "denied"
	OutcomeFailed        ToolOutcome = "failed"
	OutcomeTimeout       ToolOutcome = "timeout"
	OutcomeInvalidOutput ToolOutcome = "invalid_output"
)

// ToolCallRecord is one tool call and what came of it.
type ToolCallRecord struct {
	// Turn is the one whose answer made it, from 1.
	Turn int `json:"turn"`
	// ID is the model's id of it.
	ID string `json:"id"`
	// Name is the tool's, as the model called it.
	Name string `json:"name"`
	// ToolID is the tool's id; empty where there is no such tool.
	ToolID string `json:"tool_id,omitempty"`
	// Input is the arguments; nil where they were no JSON.
	Input   json.RawMessage `json:"input,omitempty"`
	Outcome ToolOutcome     `json:"outcome"`
	// Output is what the handler returned, where that is what the model was told.
	Output json.RawMessage `json:"output,omitempty"`
	// Error is what the model was told instead.
	Error *ToolFailure `json:"error,omitempty"`
	// DurationUS is from the call to its result, approval included, in microseconds.
	DurationUS uint64 `json:"duration_us"`
}

// ToolFailure is why a tool call has no output.
type ToolFailure struct {
	// Type is the error's name: a [ToolError]'s own, the Go type, or the outcome's.
	Type string `json:"type"`
	// Message is what the model was told.
	Message string `json:"message"`
	// Path is where the first value is that does not fit its schema (`stops[2].city`); empty for the whole.
	Path *string `json:"path,omitempty"`
}
