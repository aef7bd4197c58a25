package ossai

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// ErrorKind is what went wrong, as a stable name, the same in every language; new ones may be added. The kinds are errors, so
// that errors.Is(err, ossai.ErrRateLimited) asks for one.
type ErrorKind string

// Error is the kind's name.
func (k ErrorKind) Error() string { return string(k) }

// Error is a failed call: every error of this package is one (errors.As). Its text holds neither prompts nor keys.
//
// errors.Is(err, context.Canceled) holds for a call that was cancelled, by its context or by Close, and errors.Is(err,
// context.DeadlineExceeded) for one whose time ran out, whoever kept it.
type Error struct {
	// Kind is its stable name.
	Kind ErrorKind `json:"kind"`
	// Message is a sentence for people.
	Message string `json:"message"`
	// Retriable is whether a new call later may work; the client has used up its own tries by then.
	Retriable bool `json:"retriable"`
	// Field is which field of the input is wrong, as a path in the wire's names.
	Field string `json:"field,omitempty"`
	// Detail is a finer word than the kind (`dns`, `tls`, `lagged` …).
	Detail string `json:"detail,omitempty"`
	// RetryAfter is when to try again; 0 where nobody said so.
	RetryAfter time.Duration `json:"retry_after_ms,omitempty"`
	// HTTPStatus is the upstream's.
	HTTPStatus int `json:"http_status,omitempty"`
	// GRPCCode is the upstream's.
	GRPCCode int `json:"grpc_code,omitempty"`
	// ProviderCode is the vendor's own code for it.
	ProviderCode string `json:"provider_code,omitempty"`
	// Provider is the one asked.
	Provider string `json:"provider,omitempty"`
	// Model is the one asked for.
	Model string `json:"model,omitempty"`
	// RequestID is our id of the call.
	RequestID string `json:"request_id,omitempty"`
	// UpstreamRequestID is the vendor's request id, for its support.
	UpstreamRequestID string `json:"upstream_request_id,omitempty"`
	// Phase is where time ran out.
	Phase string `json:"phase,omitempty"`
	// Scope is whose time ran out: `attempt` or `total`.
	Scope string `json:"scope,omitempty"`
	// GaveUp is why no further try was made.
	GaveUp string `json:"gave_up,omitempty"`
	// Billed is whether the vendor bills it: `no`, `maybe` or `yes`.
	Billed string `json:"billed"`
	// Attempts is every try, in order.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Budgets are those that refused the call, each with its limit, what is spent and held, and what is left.
	Budgets []BudgetRefusal `json:"budgets,omitempty"`
	// Partial is what arrived before a stream broke.
	Partial *Completion `json:"partial,omitempty"`
	// Trace is why the call came out as it did, where that was asked for.
	Trace *Trace `json:"trace,omitempty"`

	cause error
}

// Error is the kind and the message.
func (e *Error) Error() string { return "ossai: " + string(e.Kind) + ": " + e.Message }

// Unwrap is the cause of the context that ended the call, or the error of the program's own that did.
func (e *Error) Unwrap() error { return e.cause }

// Is holds for the error's kind, and for the context errors its kind stands for.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Kind == ErrCancelled
	case context.DeadlineExceeded:
		return e.Kind == ErrTimeout
	}
	kind, ok := target.(ErrorKind)
	return ok && kind == e.Kind
}

// Timeout is whether time ran out, as in net.Error.
func (e *Error) Timeout() bool { return e.Kind == ErrTimeout }

// BudgetRefusal is a budget that has not enough for a call. Amounts are nanodollars or tokens, as Unit says.
type BudgetRefusal struct {
	// Scope is what it is of: `tenant`, `key`, `user`, `model` or `tag`.
	Scope string `json:"scope"`
	// Tag is the tag, where it is of a tag's values.
	Tag string `json:"tag,omitempty"`
	// Name is whose it is; empty for calls without a tenant.
	Name string `json:"name,omitempty"`
	// Window is how long it lasts, in UTC: `hour`, `day`, `month` or `total`.
	Window string `json:"window"`
	// Unit is `nano_usd` or `tokens`.
	Unit  string `json:"unit"`
	Limit uint64 `json:"limit"`
	Spent uint64 `json:"spent"`
	Held  uint64 `json:"held"`
	// Asked is what the call would have held.
	Asked uint64 `json:"asked"`
	// Available is what is left.
	Available uint64 `json:"available"`
	// ResetsAtMS is when the window ends, in milliseconds since 1970; 0 for `total`.
	ResetsAtMS uint64 `json:"resets_at_ms,omitempty"`
}

type plainError Error

// wireError is the error with its duration as the number it is on the wire.
type wireError struct {
	*plainError
	RetryAfter uint64 `json:"retry_after_ms,omitempty"`
}

// MarshalJSON is the error's fields as they cross every language's border.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireError{(*plainError)(e), uint64(max(e.RetryAfter, 0) / time.Millisecond)})
}

// UnmarshalJSON reads the error's fields.
func (e *Error) UnmarshalJSON(data []byte) error {
	wire := wireError{plainError: &plainError{Billed: "no"}}
	if err := json.Unmarshal(data, &wire); err != nil {
		return err
	}
	*e = Error(*wire.plainError)
	e.RetryAfter = time.Duration(min(wire.RetryAfter, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
	return nil
}

// errorOf reads the core's error.
func errorOf(data []byte) *Error {
	failure := new(Error)
	if json.Unmarshal(data, failure) != nil {
		return &Error{Kind: ErrInternal, Message: "the core's error cannot be read", Billed: "maybe"}
	}
	return failure
}

// invalid is a mistake in what a caller gave.
func invalid(field, expected string) *Error {
	message := expected
	if field != "" {
		message = field + ": " + expected
	} else {
		field = "request"
	}
	return &Error{Kind: ErrInvalidRequest, Message: message, Field: field, Billed: "no"}
}

// ended is the error of a call whose context ended it.
func ended(ctx context.Context) *Error {
	failure := &Error{Kind: ErrCancelled, Message: "the caller cancelled", Billed: "maybe", cause: context.Cause(ctx)}
	if ctx.Err() == context.DeadlineExceeded {
		failure.Kind, failure.Message = ErrTimeout, "the context's deadline has passed"
		failure.Phase, failure.Scope = "wait", "total"
	}
	return failure
}

// closed is the error of a client that is.
func closed() *Error {
	return &Error{Kind: ErrInvalidState, Message: "the client is closed", Billed: "no"}
}
