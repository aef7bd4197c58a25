package ossai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ossai-dev/ossai-go/internal/native"
)

// A plan is the tools of a call whose handlers are the program's.
type plan struct {
	tools   map[string]*RunnableTool
	approve Approver
}

// A runner carries out the tool calls of one call. It holds neither the client nor the stream, so that those that the program
// has dropped can be collected.
type runner struct {
	*plan
	watch   ToolWatch
	context context.Context // the call's, until the call is over
	end     context.CancelFunc

	sync.Mutex
	failed map[string]error // what handlers failed with, by the tool call's id
}

// runner is who carries out the tool calls of a call; nil without tools.
func (p *plan) runner(ctx context.Context, watch ToolWatch) *runner {
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	return &runner{plan: p, watch: watch, context: ctx, end: cancel}
}

// A tended is whoever waits for a call with tools.
type tended struct {
	waiter
	runner *runner
}

func (t tended) deliver(kind native.Kind, payload []byte) {
	if kind != native.Stream {
		t.runner.end()
	}
	t.waiter.deliver(kind, payload)
}

// tend is the waiter, who hears the call's tool calls too where it has tools.
func (r *runner) tend(expect waiter) waiter {
	if r == nil {
		return expect
	}
	return tended{expect, r}
}

// blame makes what a handler failed with the cause of the error that it led to.
func (r *runner) blame(err error) error {
	failure, ok := err.(*Error)
	if r == nil || !ok || failure == nil || failure.Kind != ErrCallbackError || failure.Partial == nil || failure.Partial.ToolRun == nil {
		return err
	}
	r.Lock()
	defer r.Unlock()
	calls := failure.Partial.ToolRun.Calls
	for i := len(calls) - 1; i >= 0; i-- {
		if cause := r.failed[calls[i].ID]; cause != nil {
			failure.cause = cause
			break
		}
	}
	return err
}

// A question is what the core asks the program.
type question struct {
	Call       uint64          `json:"call"`
	Kind       string          `json:"kind"`
	Name       string          `json:"name"`
	ToolCallID string          `json:"tool_call_id"`
	Input      json.RawMessage `json:"input"`
	TimeoutMS  uint64          `json:"timeout_ms"`
}

func (q *question) limit() time.Duration {
	return time.Duration(min(q.TimeoutMS, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// answer runs what is asked for, and tells the result; nil when nobody waits for it any more.
func (r *runner) answer(ctx context.Context, asked *question, tell func(result []byte)) {
	var result []byte
	returned := false
	fail := func(err error) {
		var known *ToolError
		kind := fmt.Sprintf("%T", err)
		switch {
		case errors.As(err, &known):
			kind = known.Type
		case errors.As(err, new(invalidInput)):
			kind = "invalid_input"
		}
		if ctx.Err() == nil {
			r.Lock()
			if r.failed == nil {
				r.failed = map[string]error{}
			}
			r.failed[asked.ToolCallID] = err
			r.Unlock()
		}
		result = failed(kind, err)
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			if cause, ok := panicked.(error); ok {
				fail(&panicError{fmt.Sprintf("the handler panicked: %v", panicked), cause})
			} else {
				fail(&panicError{fmt.Sprintf("the handler panicked: %v", panicked), nil})
			}
		} else if !returned { // runtime.Goexit: the goroutine ends after this
			fail(&panicError{"the handler ended its goroutine", nil})
		}
		// The core keeps the time: what comes after it is a time-out there.
		if ctx.Err() != nil {
			result = nil
		}
		tell(result)
	}()
	value, err := r.carryOut(ctx, asked)
	returned = true
	if err != nil {
		fail(err)
		return
	}
	text, err := json.Marshal(struct {
		OK any `json:"ok"`
	}{value})
	if err != nil {
		fail(err)
		return
	}
	result = text
}

// panicError is a panic of a handler's; the error it panicked with is its cause.
type panicError struct {
	message string
	cause   error
}

func (e *panicError) Error() string { return e.message }
func (e *panicError) Unwrap() error { return e.cause }

func (r *runner) carryOut(ctx context.Context, asked *question) (any, error) {
	tool := r.tools[asked.Name]
	if tool == nil {
		return nil, fmt.Errorf("the call has no tool %q", asked.Name)
	}
	call := &ToolContext{Tool: tool, ToolCallID: asked.ToolCallID, Input: asked.Input}
	call.Deadline, _ = ctx.Deadline()
	ctx = context.WithValue(ctx, toolContextKey{}, call)
	if asked.Kind != "approval" {
		return r.handle(ctx, tool, call)
	}
	if r.approve == nil {
		return nil, errors.New("the call has no approval")
	}
	approval, err := r.approve(ctx, *call)
	switch {
	case err != nil:
		return nil, err
	case !approval.Allow && approval.Reason != "":
		return approval.Reason, nil
	}
	return approval.Allow, nil
}

// handle runs a handler, and tells of it.
func (r *runner) handle(ctx context.Context, tool *RunnableTool, call *ToolContext) (value any, err error) {
	if r.watch == nil {
		return tool.run(ctx, call.Input)
	}
	ctx, end := r.watch.BeginTool(ctx, *call)
	err = &panicError{"the handler panicked, or ended its goroutine", nil} // unless it returns
	defer func() { end(value, err) }()
	return tool.run(ctx, call.Input)
}

// failed is a failure as the core takes it.
func failed(kind string, err error) []byte {
	text, _ := json.Marshal(map[string]any{"error": map[string]string{"type": kind, "message": err.Error()}})
	return text
}
