package ossai

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ossai-dev/ossai-go/internal/native"
)

// Version is the module's; the static library's is the same.
const Version = "0.1.0"

// Client is a client for language models, over an orchestrator or straight to the providers.
//
// Opening one starts no thread and no goroutine, and opens no socket. It may be used by any number of goroutines at once. Close
// it when it is done with; one that is dropped closes itself when it is collected.
type Client struct {
	home        *home
	logger      *slog.Logger
	telemetry   Telemetry
	vendors     sync.Map // what the conventions call a provider, by its name here
	vendorCount atomic.Int32
}

// New opens a client; what the options leave out comes from the environment and the providers' own key variables. What is
// wrong is an *Error that names the key's path.
func New(options ...ClientOption) (*Client, error) {
	if version := native.Version(); version != Version {
		return nil, &Error{
			Kind:    ErrVersionIncompatible,
			Message: "the static library is version " + version + ", expected " + Version,
			Billed:  "no",
		}
	}
	settings := settings{document: map[string]any{}, environment: true}
	for _, option := range options {
		if option == nil {
			continue
		}
		if err := option.applyClient(&settings); err != nil {
			return nil, err
		}
	}
	config, err := json.Marshal(settings.document)
	if err != nil {
		return nil, invalid("config", "expected values JSON can hold: "+err.Error())
	}
	under, failure := openHome()
	if failure != nil {
		return nil, failure
	}
	sources, hosts := questions(settings.credentials)
	under.hosts = hosts
	under.total = total(settings.document)
	session, refused := native.Open(config, settings.environment, sources, under.queue)
	if refused != nil {
		under.close()
		return nil, errorOf(refused)
	}
	under.session = session
	client := &Client{home: under, logger: settings.logger, telemetry: settings.telemetry}
	runtime.AddCleanup(client, (*home).close, under)
	return client, nil
}

// total is the client's own limit of a call, in milliseconds: the document's, or the core's default.
func total(document map[string]any) int64 {
	var config struct {
		Timeouts struct {
			Total *int64 `json:"total_ms"`
		} `json:"timeouts"`
	}
	_ = json.Unmarshal(native.DefaultConfig(), &config)
	if text, err := json.Marshal(document); err == nil {
		_ = json.Unmarshal(text, &config)
	}
	if config.Timeouts.Total == nil {
		return 0
	}
	return *config.Timeouts.Total
}

// Complete asks for a completion and waits for the whole answer. An answer out of memory comes on the caller's own goroutine,
// without a wait. When the context ends, the call does: its connection is closed unless others share it.
func (c *Client) Complete(ctx context.Context, request CompletionRequest, options ...CallOption) (*Completion, error) {
	answer := new(Completion)
	var watch *watch
	if c.telemetry != nil {
		told := request // or each call would put its request on the heap
		ctx, options, watch = c.watched(ctx, CallInfo{Op: "complete", Completion: &told}, request.Model, options)
	}
	err := c.call(ctx, "complete", request.encode, options, answer.decode)
	if c.logger != nil {
		c.log(ctx, "complete", request.Model, answer.record(), err)
	}
	if err != nil {
		watch.end(CallResult{Err: err})
		return nil, err
	}
	watch.end(CallResult{Completion: answer})
	return answer, nil
}

// Embed turns texts into vectors, in the order of the inputs.
func (c *Client) Embed(ctx context.Context, request EmbeddingRequest, options ...CallOption) (*EmbeddingResponse, error) {
	answer := new(EmbeddingResponse)
	var watch *watch
	if c.telemetry != nil {
		told := request
		ctx, options, watch = c.watched(ctx, CallInfo{Op: "embed", Embedding: &told}, request.Model, options)
	}
	err := c.call(ctx, "embed", request.encode, options, answer.decode)
	if c.logger != nil {
		c.log(ctx, "embed", request.Model, answer.record(), err)
	}
	if err != nil {
		watch.end(CallResult{Err: err})
		return nil, err
	}
	watch.end(CallResult{Embedding: answer})
	return answer, nil
}

// Models are the models of one provider, or (provider "") of every provider that can be called as things are.
func (c *Client) Models(ctx context.Context, provider string) ([]ModelInfo, error) {
	var models []ModelInfo
	err := c.call(ctx, "models", func(e *encoder) {
		f := e.fields(nil)
		f.text("provider", provider)
		f.end()
	}, nil, reflected(&models))
	if err != nil {
		return nil, err
	}
	return models, nil
}

// Health asks every upstream that can be called whether it takes calls.
func (c *Client) Health(ctx context.Context) ([]Health, error) {
	var health []Health
	if err := c.call(ctx, "health", nothing, nil, reflected(&health)); err != nil {
		return nil, err
	}
	return health, nil
}

// Budgets are the client's budgets with what is spent, held and left in the present windows: those with a name, and every other one
// in use. Of a client over an orchestrator they are its own, on which nothing is booked: the orchestrator's hold.
func (c *Client) Budgets(ctx context.Context) ([]BudgetState, error) {
	var budgets []BudgetState
	if err := c.call(ctx, "budgets", nothing, nil, reflected(&budgets)); err != nil {
		return nil, err
	}
	return budgets, nil
}

// Invalidate lets kept answers count no more: a model's, those kept for calls with a tag, or all of the client's tenant. It holds
// for this client when it returns, and within a second for other processes with the same Redis or folder.
func (c *Client) Invalidate(ctx context.Context, what Invalidation) (*Invalidated, error) {
	done := new(Invalidated)
	if err := c.call(ctx, "invalidate", func(e *encoder) { e.any("", what) }, nil, reflected(done)); err != nil {
		return nil, err
	}
	return done, nil
}

// Shutdown refuses new calls and waits until those under way have ended, or until the context ends: then the rest is cancelled,
// and the context's error is returned. The client is closed afterwards.
func (c *Client) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return invalid("ctx", "expected a context")
	}
	const long = 365 * 24 * time.Hour
	patience := long
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(max(time.Until(deadline), 0), long)
	}
	var answer struct {
		Drained bool `json:"drained"`
	}
	err := c.call(context.WithoutCancel(ctx), "close", func(e *encoder) {
		f := e.fields(nil)
		f.integer("patience_ms", milliseconds(patience))
		f.end()
	}, nil, reflected(&answer), ctx.Done())
	c.home.close()
	runtime.KeepAlive(c)
	if failure, ok := err.(*Error); ok && failure.Kind == ErrInvalidState {
		return nil // closed already
	}
	if err == nil && answer.Drained {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		err = context.DeadlineExceeded // the patience was the deadline's
	}
	return err
}

// Close refuses new calls and ends those under way with an error that is context.Canceled. A second call is harmless.
func (c *Client) Close() error {
	c.home.close()
	runtime.KeepAlive(c)
	return nil
}

// CallsUnderWay is how many calls of the client have not ended.
func (c *Client) CallsUnderWay() int {
	defer runtime.KeepAlive(c)
	return native.CallsUnderWay(c.home.session)
}

func nothing(e *encoder) { e.buf = append(e.buf, "{}"...) }

// reflected reads an answer that comes too rarely to be read by hand.
func reflected(into any) func(*decoder) {
	return func(d *decoder) {
		if raw := d.raw(); d.err == nil && json.Unmarshal(raw, into) != nil {
			d.fail()
		}
	}
}

// A reply waits for a whole answer.
type reply chan message

type message struct {
	kind    native.Kind
	payload []byte
}

func (r reply) deliver(kind native.Kind, payload []byte) { r <- message{kind, payload} } // room for the one that comes

// call makes an operation that may wait. It also ends when one of the other channels does.
func (c *Client) call(ctx context.Context, op string, request func(*encoder), options []CallOption, read func(*decoder), also ...<-chan struct{}) error {
	defer runtime.KeepAlive(c) // or it might be collected, and closed, in the middle of its call
	if ctx == nil {
		return invalid("ctx", "expected a context")
	}
	if ctx.Err() != nil {
		failure := ended(ctx)
		failure.Billed = "no"
		return failure
	}
	e := newEncoder()
	defer e.free()
	request(e)
	length := len(e.buf)
	given, plan := c.home.encodeOptions(ctx, e, options, 0)
	if e.fault != nil {
		return e.fault
	}
	wait := make(reply, 1)
	tools := plan.runner(ctx, c.toolWatch(ctx))
	if tools != nil {
		defer tools.end()
	}
	var out native.Bytes
	call, pending, failure := c.home.begin(op, e.buf[:length], given, &out, tools.tend(wait))
	if failure != nil {
		return failure
	}
	d := decoder{}
	if !pending {
		d.data = out.View()
		read(&d)
		out.Free()
		return unreadable(d.done())
	}
	var other <-chan struct{}
	if len(also) > 0 {
		other = also[0]
	}
	select {
	case come := <-wait:
		return tools.blame(c.home.answer(come, &d, read))
	case <-ctx.Done():
	case <-other:
	}
	if !c.home.forget(call) {
		come := <-wait // its end has come at the same moment
		return tools.blame(c.home.answer(come, &d, read))
	}
	native.Cancel(c.home.session, call)
	return ended(ctx)
}

func (h *home) answer(come message, d *decoder, read func(*decoder)) error {
	if come.kind != native.Answer {
		return h.errorOf(come.payload)
	}
	d.data = come.payload
	read(d)
	return unreadable(d.done())
}

func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: ErrInternal, Message: err.Error(), Billed: "maybe", cause: err}
}

// now makes an operation that never waits.
func (c *Client) now(op string, request func(*encoder), options func(*encoder), read func(*decoder)) error {
	defer runtime.KeepAlive(c)
	e := newEncoder()
	defer e.free()
	request(e)
	length := len(e.buf)
	if options != nil {
		options(e)
	}
	if e.fault != nil {
		return e.fault
	}
	var out native.Bytes
	_, pending, failure := c.home.begin(op, e.buf[:length], e.buf[length:], &out, make(reply, 1))
	if failure != nil {
		return failure
	}
	if pending {
		return &Error{Kind: ErrInternal, Message: op + " did not answer at once", Billed: "no"}
	}
	d := decoder{data: out.View()}
	read(&d)
	out.Free()
	return unreadable(d.done())
}

// given are a call's options, for an operation that never waits.
func (c *Client) given(options []CallOption) func(*encoder) {
	return func(e *encoder) { c.home.encodeOptions(context.Background(), e, options, 0) }
}
