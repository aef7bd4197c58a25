package ossai

import "encoding/json"

// Extra is fields without a name here, by their names on the wire. In a request they go to the provider unchanged, and win
// over a field of the same name; values are anything encoding/json takes, a json.RawMessage as it stands. In an answer they
// are json.RawMessage, as the provider gave them.
type Extra map[string]any

// Get reads the field of this name into a value; false when there is none or it does not fit.
func (e Extra) Get(name string, into any) bool {
	value, given := e[name]
	if !given {
		return false
	}
	text, ok := value.(json.RawMessage)
	if !ok {
		var err error
		if text, err = json.Marshal(value); err != nil {
			return false
		}
	}
	return json.Unmarshal(text, into) == nil
}

// Role is who a message is from.
type Role string

// The roles.
const (
	RoleSystem    Role = "system"
	RoleDeveloper Role = "developer"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// ReasoningEffort is how hard a reasoning model thinks.
type ReasoningEffort string

// The reasoning efforts.
const (
	EffortNone    ReasoningEffort = "none"
	EffortMinimal ReasoningEffort = "minimal"
	EffortLow     ReasoningEffort = "low"
	EffortMedium  ReasoningEffort = "medium"
	EffortHigh    ReasoningEffort = "high"
	EffortXHigh   ReasoningEffort = "xhigh"
	EffortMax     ReasoningEffort = "max"
)

// CompletionRequest is one request for a completion, the same whichever provider answers it. Zero values are absent; a pointer
// is a field whose zero means something (see [Ptr]). One read from JSON is passed on as it stands, with what is wrong in it.
type CompletionRequest struct {
	// Model is `provider/model`, for example `openai/gpt-4o-mini`.
	Model string
	// Messages is the conversation, oldest first; at least one.
	Messages []Message
	// Tools the model may call. They come back as calls; those with handlers are given by [WithTools].
	Tools []Tool
	// ToolChoice is whether and which tool must be called.
	ToolChoice ToolChoice
	// ParallelToolCalls is whether the model may call several tools in one turn.
	ParallelToolCalls *bool
	// ResponseFormat is the form of the answer.
	ResponseFormat *ResponseFormat
	// MaxTokens is the most tokens of the answer, reasoning included.
	MaxTokens int64
	// Temperature 0 makes a request deterministic in the sense of the cache and of shared calls.
	Temperature *float64
	// TopP is nucleus sampling.
	TopP *float64
	// TopK is sampling among the best k.
	TopK int64
	// FrequencyPenalty is on repeated tokens by frequency.
	FrequencyPenalty *float64
	// PresencePenalty is on repeated tokens by presence.
	PresencePenalty *float64
	// Seed is for best-effort repeatability.
	Seed *int64
	// Stop are sequences that end the answer.
	Stop []string
	// ReasoningEffort is how hard a reasoning model thinks.
	ReasoningEffort ReasoningEffort
	// ServiceTier is the vendor's processing tier (`auto`, `default`, `flex`, `priority` …).
	ServiceTier string
	// Metadata is stored by the vendor with the call.
	Metadata Extra
	// User is the end user, for the vendor's abuse detection.
	User string
	// Extra are provider fields without a name here, sent unchanged.
	Extra Extra
}

// Message is one message of a conversation.
type Message struct {
	// Role is who it is from.
	Role Role
	// Content is what it says, as text.
	Content string
	// Parts is what it says, in its place where it is more than text.
	Parts []Part
	// Name of the participant, where the provider knows it.
	Name string
	// ToolCalls are the tools the assistant called.
	ToolCalls []ToolCall
	// ToolCallID is, in a tool's message, the call it answers.
	ToolCallID string
	// IsError says, in a tool's message, that the tool failed and the content says how.
	IsError bool
	// Extra are provider fields.
	Extra Extra
}

// System is instructions for the model.
func System(content string) Message { return Message{Role: RoleSystem, Content: content} }

// User is a question or input.
func User(content string) Message { return Message{Role: RoleUser, Content: content} }

// Assistant is an earlier answer of the model.
func Assistant(content string) Message { return Message{Role: RoleAssistant, Content: content} }

// ToolResult is the result of the tool call with this id.
func ToolResult(toolCallID, content string) Message {
	return Message{Role: RoleTool, ToolCallID: toolCallID, Content: content}
}

// UserParts is a question of several parts.
func UserParts(parts ...Part) Message { return Message{Role: RoleUser, Parts: parts} }

// Part is one part of a message or of an answer. Which fields it has depends on its type: `text` and `refusal` (Text), `image`
// (URL or Data and MediaType, Detail), `audio` (Data, Format), `file` (URL, FileID, or Data and MediaType, Filename),
// `reasoning` (Text, Signature, Redacted), `tool_call` (ID, Name, Arguments). One of a type without a name here has all of its
// fields in Extra and is passed on whole.
type Part struct {
	Type      string
	Text      string
	URL       string
	Data      string
	MediaType string
	Detail    string
	Format    string
	FileID    string
	Filename  string
	Signature string
	Redacted  string
	ID        string
	Name      string
	Arguments string
	Extra     Extra
}

// TextPart is text.
func TextPart(text string) Part { return Part{Type: "text", Text: text} }

// ImageURL is an image by its address.
func ImageURL(url string) Part { return Part{Type: "image", URL: url} }

// ImageData is an image itself, in base64, and its media type (`image/png` …).
func ImageData(mediaType, base64 string) Part {
	return Part{Type: "image", MediaType: mediaType, Data: base64}
}

// AudioData is audio itself, in base64, and its format (`wav`, `mp3` …).
func AudioData(format, base64 string) Part { return Part{Type: "audio", Format: format, Data: base64} }

// FileData is a document itself, in base64, its media type (`application/pdf` …) and the name the model is shown.
func FileData(mediaType, base64, filename string) Part {
	return Part{Type: "file", MediaType: mediaType, Data: base64, Filename: filename}
}

// FileID is a document by the provider's id of an uploaded file.
func FileID(id string) Part { return Part{Type: "file", FileID: id} }

// ToolCall is a tool the model wants called.
type ToolCall struct {
	// ID is what the result must name.
	ID string
	// Name is which tool.
	Name string
	// Arguments are JSON text as the model wrote it, not checked.
	Arguments string
	// Extra are provider fields.
	Extra Extra
}

// Tool is a function the model may call, or one the provider runs itself (then Type is the provider's, and its settings are
// in Extra).
type Tool struct {
	// Type is empty, or a provider's own (`web_search` …).
	Type string
	// Name is 1 to 128 of `A-Za-z0-9_-.`.
	Name string
	// Description is what it does, for the model.
	Description string
	// Parameters is a JSON Schema of the arguments, an object at the root: anything encoding/json takes.
	Parameters any
	// Strict is whether the provider must hold the arguments to the schema.
	Strict *bool
	// Extra are provider fields.
	Extra Extra
}

// ToolChoice is whether and which tool must be called; its zero leaves it to the provider.
type ToolChoice struct {
	// Mode is `auto`, `none` or `required`.
	Mode string
	// Function is the one function that must be called, in place of a mode.
	Function string
}

// The tool choices without a name in them.
var (
	ToolChoiceAuto     = ToolChoice{Mode: "auto"}
	ToolChoiceNone     = ToolChoice{Mode: "none"}
	ToolChoiceRequired = ToolChoice{Mode: "required"}
)

// ResponseFormat is the form of the answer.
type ResponseFormat struct {
	// Type is `text`, `json_object` or `json_schema`.
	Type string
	// Name is a name for the schema.
	Name string
	// Schema is a JSON Schema, an object at the root.
	Schema any
	// Strict is whether the provider must hold the answer to the schema.
	Strict *bool
	// Description is what the schema is for, for the model.
	Description string
}

// JSONObject asks for any JSON object.
func JSONObject() *ResponseFormat { return &ResponseFormat{Type: "json_object"} }

// JSONSchema asks for JSON after a schema, held to it by the provider.
func JSONSchema(name string, schema any) *ResponseFormat {
	return &ResponseFormat{Type: "json_schema", Name: name, Schema: schema, Strict: Ptr(true)}
}

// EmbeddingRequest is one request for embeddings; inputs over a vendor's limits are split into several upstream calls and
// joined again.
type EmbeddingRequest struct {
	// Model is `provider/model`.
	Model string
	// Input are the texts; at least one, none empty.
	Input []string
	// InputTokens are lists of tokens, in place of texts.
	InputTokens [][]uint32
	// Dimensions is the length of the vectors, where the model can shorten them.
	Dimensions int64
	// User is the end user, for the vendor's abuse detection.
	User string
	// Extra are provider fields (`input_type` …), sent unchanged.
	Extra Extra
}

// Ptr is a pointer to a value, for fields whose zero means something: Temperature: ossai.Ptr(0.0).
func Ptr[T any](value T) *T { return &value }
