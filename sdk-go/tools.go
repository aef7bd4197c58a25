package ossai

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// RunnableTool is a tool with its handler, made by [NewTool] and given to a call by [WithTools]. It does not change, and any
// number of calls may use it at once.
type RunnableTool struct {
	spec     toolSpec
	document json.RawMessage
	run      func(context.Context, json.RawMessage) (any, error)
}

// A toolSpec is what the core is told of a tool.
type toolSpec struct {
	ID           string   `json:"id,omitempty"`
	Name         string   `json:"name"`
	Description  string   `json:"description,omitempty"`
	Capabilities []string `json:"capabilities,omitempty"`
	InputSchema  any      `json:"input_schema,omitempty"`
	OutputSchema any      `json:"output_schema,omitempty"`
	Timeout      *int64   `json:"timeout_ms,omitempty"`
	Strict       *bool    `json:"strict,omitempty"`

	given bool // the input's schema, though it may be none
}

// A ToolOption says more of a tool than its name and its handler do.
type ToolOption interface {
	applyTool(*toolSpec) error
}

type toolOption func(*toolSpec) error

func (o toolOption) applyTool(s *toolSpec) error { return o(s) }

// WithSchema is the JSON Schema of the arguments (draft 4 to 2020-12, an object at the root; anything encoding/json takes)
// instead of the one the handler's input type says; nil is a tool that takes none.
func WithSchema(schema any) ToolOption {
	return toolOption(func(s *toolSpec) error {
		s.InputSchema, s.given = schema, true
		return nil
	})
}

// WithOutputSchema is the JSON Schema of what the handler returns, checked after it; the model never sees it. Without one
// anything goes.
func WithOutputSchema(schema any) ToolOption {
	return toolOption(func(s *toolSpec) error {
		s.OutputSchema = schema
		return nil
	})
}

// WithToolID is what the tool is known by to the program; without it its name.
func WithToolID(id string) ToolOption {
	return toolOption(func(s *toolSpec) error {
		s.ID = id
		return nil
	})
}

// WithCapabilities is what the tool can do and may need (`read`, `network` …), in words of the program's own, for whoever
// approves its calls; the model never sees them.
func WithCapabilities(capabilities ...string) ToolOption {
	return toolOption(func(s *toolSpec) error {
		s.Capabilities = slices.Clone(capabilities)
		return nil
	})
}

// WithStrict is whether the provider must hold the arguments to the schema.
func WithStrict(strict bool) ToolOption {
	return toolOption(func(s *toolSpec) error {
		s.Strict = &strict
		return nil
	})
}

// A ToolTimeout is an option of a tool and of a call alike.
type ToolTimeout interface {
	ToolOption
	CallOption
}

type toolTimeout time.Duration

func (d toolTimeout) applyTool(s *toolSpec) error {
	if d < 0 {
		return invalid("tools.timeout_ms", "expected no negative duration")
	}
	s.Timeout = Ptr(milliseconds(time.Duration(d)))
	return nil
}

func (d toolTimeout) applyCall(o *CallOptions) {
	if o.Loop.Timeout = time.Duration(d); d == 0 {
		o.Loop.Extra = with(o.Loop.Extra, "timeout_ms", 0) // the core says that this is none
	}
}

// WithToolTimeout is the time for one call of a tool, given to [NewTool]; given to a call it is for the tools that have none
// of their own.
func WithToolTimeout(timeout time.Duration) ToolTimeout { return toolTimeout(timeout) }

// NewTool makes a tool of a function. What the model may give it is the JSON Schema of In, made of the type as encoding/json
// reads it: a struct whose fields are named by their json tags, told to the model by a description tag, and bound to a list of
// words by an enum tag; those with omitempty or omitzero and pointers need not be given. Another In than a struct or a map
// needs [WithSchema]. What the handler returns goes to the model as encoding/json writes it.
//
// The handler runs on a goroutine of its own, several of one turn at once. Its context is made of the call's, and ends when
// nobody waits for the result any more: the time ran out, the call was cancelled, or another failure ended it. Its error is
// told to the model in its own words, or ends the call ([OnErrorFail]), whose error then wraps it. A panic is an error.
func NewTool[In, Out any](name, description string, handler func(context.Context, In) (Out, error), options ...ToolOption) (*RunnableTool, error) {
	if handler == nil {
		return nil, invalid("tools.handler", "expected a function")
	}
	spec := toolSpec{Name: name, Description: description}
	for _, option := range options {
		if option == nil {
			continue
		}
		if err := option.applyTool(&spec); err != nil {
			return nil, err
		}
	}
	if !spec.given {
		schema, err := schemaOf[In]()
		if err != nil {
			return nil, err
		}
		spec.InputSchema = schema
	}
	document, err := json.Marshal(spec)
	if err != nil {
		return nil, invalid("tools", "expected schemas JSON can hold: "+err.Error())
	}
	return &RunnableTool{spec, document, func(ctx context.Context, text json.RawMessage) (any, error) {
		var input In
		if err := json.Unmarshal(text, &input); err != nil {
			return nil, invalidInput{err}
		}
		return handler(ctx, input)
	}}, nil
}

// invalidInput says that the arguments fit the schema but not the handler's type.
type invalidInput struct{ error }

// Name is what the model calls it.
func (t *RunnableTool) Name() string { return t.spec.Name }

// ID is what it is known by to the program.
func (t *RunnableTool) ID() string {
	if t.spec.ID == "" {
		return t.spec.Name
	}
	return t.spec.ID
}

// Capabilities are the words of [WithCapabilities].
func (t *RunnableTool) Capabilities() []string { return slices.Clone(t.spec.Capabilities) }

// Definition is the tool as a request has it, without its handler.
func (t *RunnableTool) Definition() Tool {
	return Tool{Name: t.spec.Name, Description: t.spec.Description, Parameters: t.spec.InputSchema, Strict: t.spec.Strict}
}

// ToolError is an error of a handler with a name of its own; of other errors the model is told the Go type.
type ToolError struct {
	// Type is its name; `invalid_input` says that the arguments are to blame.
	Type string
	// Message is what the model is told.
	Message string
}

// Error is the message.
func (e *ToolError) Error() string { return e.Message }

// ToolContext is what a handler, or an approval, may know of the tool call it serves.
type ToolContext struct {
	Tool *RunnableTool
	// ToolCallID is the model's id of the tool call.
	ToolCallID string
	// Input is the arguments to the digit as the model wrote them.
	Input json.RawMessage
	// Deadline is when the time is up.
	Deadline time.Time
}

type toolContextKey struct{}

// ToolContextOf is the tool call that a handler's context is of; nil in any other.
func ToolContextOf(ctx context.Context) *ToolContext {
	call, _ := ctx.Value(toolContextKey{}).(*ToolContext)
	return call
}

// Approval is whether a tool call may run; its zero is no.
type Approval struct {
	Allow bool
	// Reason is why not, for the model.
	Reason string
}

// An Approver is asked before each handler, once the arguments fit, on a goroutine of its own and several times at once. Its
// context is like a handler's.
type Approver func(ctx context.Context, call ToolContext) (Approval, error)

// OnError is what becomes of a handler that fails, takes too long or returns what does not fit its schema.
type OnError string

// What becomes of a handler that fails.
const (
	// OnErrorTell tells the model, as a tool result that is marked as an error. The default.
	OnErrorTell OnError = "tell"
	// OnErrorFail ends the call in an error of the kind ErrCallbackError.
	OnErrorFail OnError = "fail"
)

// LoopOptions are the bounds of a call whose tools have handlers; zero values are absent, and have the core's defaults. They
// are an option of a call.
type LoopOptions struct {
	// MaxTurns is the most answers asked of the model: 10.
	MaxTurns int `json:"max_turns"`
	// MaxParallel is the most handlers at work at once: 8.
	MaxParallel int `json:"max_parallel"`
	// Timeout is for each tool call, where the tool has none of its own: 30 s.
	Timeout time.Duration `json:"timeout_ms"`
	// ApprovalTimeout is for each approval: 10 minutes.
	ApprovalTimeout time.Duration `json:"approval_timeout_ms"`
	// OnError is what becomes of a handler that fails.
	OnError OnError `json:"on_error"`
	// Extra are options without a name here, and win over one of the same name.
	Extra Extra `json:"-"`
}

func (l LoopOptions) applyCall(o *CallOptions) { o.Loop = l }

// UnmarshalJSON reads options in the core's form.
func (l *LoopOptions) UnmarshalJSON(data []byte) (err error) {
	*l = LoopOptions{}
	l.Extra, err = lossless(data, func(name string, raw json.RawMessage) bool {
		switch name {
		case "max_turns":
			return keepCount(&l.MaxTurns, raw)
		case "max_parallel":
			return keepCount(&l.MaxParallel, raw)
		case "timeout_ms":
			return keepMilliseconds(&l.Timeout, raw)
		case "approval_timeout_ms":
			return keepMilliseconds(&l.ApprovalTimeout, raw)
		case "on_error":
			var word string
			kept := keepText(&word, raw)
			l.OnError = OnError(word)
			return kept
		}
		return false
	})
	return err
}

// WithTools makes the call a loop: when the model calls one of these tools its handler runs and the result goes back, until the
// model has its answer or a bound is met. They are told to the model beside the request's own, which have no handlers.
func WithTools(tools ...*RunnableTool) CallOption {
	return callOption(func(o *CallOptions) { o.Tools = append(slices.Clip(o.Tools), tools...) })
}

// WithApproval asks before each handler runs.
func WithApproval(approve Approver) CallOption {
	return callOption(func(o *CallOptions) { o.Approve = approve })
}

// WithMaxTurns is the most answers asked of the model.
func WithMaxTurns(turns int) CallOption {
	return callOption(func(o *CallOptions) {
		if o.Loop.MaxTurns = turns; turns == 0 {
			o.Loop.Extra = with(o.Loop.Extra, "max_turns", 0) // the core says that this is none
		}
	})
}

// plan are the options' tools; nil without any.
func (o *CallOptions) plan() *plan {
	if len(o.Tools) == 0 {
		return nil
	}
	made := &plan{tools: make(map[string]*RunnableTool, len(o.Tools)), approve: o.Approve}
	for _, tool := range o.Tools {
		made.tools[tool.ID()] = tool
	}
	return made
}

// encodeTools writes what the core is told of the tools.
func (o *CallOptions) encodeTools(f fields) {
	l := &o.Loop
	looped := o.Approve != nil || l.MaxTurns != 0 || l.MaxParallel != 0 || l.Timeout != 0 || l.ApprovalTimeout != 0 || l.OnError != "" || l.Extra != nil
	if len(o.Tools) == 0 {
		if looped {
			f.wrong("tools", "expected a tool with a handler (WithTools) where there is an approval or a bound of the loop")
		}
		return
	}
	specs := make([]json.RawMessage, len(o.Tools))
	for i, tool := range o.Tools {
		if tool == nil || tool.run == nil {
			f.path = f.path[:0]
			f.wrong(fmt.Sprintf("tools[%d]", i), "expected a tool that NewTool made")
			return
		}
		specs[i] = tool.document
	}
	f.name("tools")
	f.path = append(f.path, step{"tools", -1})
	t := f.fields(l.Extra)
	t.value("specs", specs)
	t.truth("approve", o.Approve != nil)
	t.integer("max_turns", int64(l.MaxTurns))
	t.integer("max_parallel", int64(l.MaxParallel))
	t.milliseconds("timeout_ms", l.Timeout)
	t.milliseconds("approval_timeout_ms", l.ApprovalTimeout)
	t.text("on_error", string(l.OnError))
	t.close()
	f.path = f.path[:len(f.path)-1]
}
