package tests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go"
)

type place struct {
	City string `json:"city" description:"The city's name."`
	Days int    `json:"days,omitempty"`
}

type forecast struct {
	Sky string `json:"sky"`
}

// wants is an answer that calls tools, with these arguments.
func wants(calls ...[2]string) object {
	list := []object{}
	for i, call := range calls {
		list = append(list, object{"id": fmt.Sprintf("call_%d", i+1), "name": call[0], "arguments": call[1]})
	}
	return object{"body": object{"openai_chat": object{"tool_calls": list}}}
}

var oslo = [2]string{"weather", `{"city":"Oslo"}`}

func weather(t *testing.T, handler func(context.Context, place) (forecast, error), options ...ossai.ToolOption) *ossai.RunnableTool {
	t.Helper()
	return must(ossai.NewTool("weather", "The weather of a city.", handler, options...))(t)
}

func rain(context.Context, place) (forecast, error) { return forecast{"rain"}, nil }

func TestAHandlerRunsAndTheModelHasItsResult(t *testing.T) {
	script := upstream(t, nil, wants(oslo), says("Take one."))
	client := open(t, script.settings())
	type key struct{}
	ctx := context.WithValue(background, key{}, "the caller's")
	tool := weather(t, func(ctx context.Context, in place) (forecast, error) {
		call := ossai.ToolContextOf(ctx)
		if call == nil || call.ToolCallID != "call_1" || string(call.Input) != oslo[1] || call.Tool.Name() != "weather" {
			t.Errorf("%+v", call)
		}
		deadline, limited := ctx.Deadline()
		if !limited || !deadline.Equal(call.Deadline) || ctx.Value(key{}) != "the caller's" {
			t.Error("the context is not made of the call's")
		}
		return forecast{"rain in " + in.City}, nil
	})
	answer := must(client.Complete(ctx, hello(), ossai.WithTools(tool)))(t)
	equal(t, "text", answer.Text, "Take one.")
	run := answer.ToolRun
	if run == nil || len(run.Turns) != 2 || len(run.Calls) != 1 || len(run.Messages) != 3 {
		t.Fatalf("%+v", run)
	}
	equal(t, "outcome", run.Calls[0].Outcome, ossai.OutcomeOK)
	equal(t, "output", string(run.Calls[0].Output), `{"sky":"rain in Oslo"}`)
	requests := script.requests()
	equal(t, "requests", len(requests), 2)
	said, _ := json.Marshal(requests[0].Body["tools"])
	if !strings.Contains(string(said), `"The city's name."`) || !strings.Contains(string(said), `"required":["city"]`) {
		t.Errorf("%s", said)
	}
	// The conversation goes on with what was added.
	if tail := run.Messages[1]; tail.Role != ossai.RoleTool || tail.ToolCallID != "call_1" || tail.Content != `{"sky":"rain in Oslo"}` {
		t.Errorf("%+v", tail)
	}
}

func TestAStreamHasTheEventsOfEveryTurn(t *testing.T) {
	called := object{"body": object{"openai_chat_stream": object{"tool_calls": []object{{"id": "call_1", "name": "weather", "arguments": oslo[1]}}}}}
	script := upstream(t, nil, called, streams("Take ", "one."))
	client := open(t, script.settings())
	stream := client.Stream(background, hello(), ossai.WithTools(weather(t, rain)))
	var types []string
	for event, err := range stream.All() {
		if err != nil {
			t.Fatal(err)
		}
		switch event.Type {
		case ossai.EventToolStarted:
			if event.Turn != 1 || event.ID != "call_1" || event.Name != "weather" || string(event.Input) != oslo[1] {
				t.Errorf("%+v", event)
			}
		case ossai.EventToolResult:
			if one := event.Result; one == nil || one.Turn != 1 || one.ID != "call_1" || one.Outcome != ossai.OutcomeOK || string(one.Output) != `{"sky":"rain"}` {
				t.Errorf("%+v", one)
			}
		case ossai.EventTurn:
			equal(t, "turn", event.Turn, 2)
		default:
			continue
		}
		types = append(types, string(event.Type))
	}
	equal(t, "events", strings.Join(types, " "), "tool_started tool_result turn")
	if answer := stream.Completion(); answer == nil || answer.Text != "Take one." || answer.ToolRun == nil {
		t.Errorf("%+v", answer)
	}
}

func TestWhateverAHandlerFailsWithIsToldAndNothingCrashes(t *testing.T) {
	sealed := errors.New("the vault is sealed")
	for name, one := range map[string]struct {
		handler       func(context.Context, place) (forecast, error)
		kind, message string
	}{
		"error": {func(context.Context, place) (forecast, error) { return forecast{}, sealed }, "*errors.errorString", "the vault is sealed"},
		"named": {func(context.Context, place) (forecast, error) {
			return forecast{}, fmt.Errorf("at home: %w", &ossai.ToolError{Type: "Sealed", Message: "no"})
		}, "Sealed", "at home: no"},
		"panic":  {func(context.Context, place) (forecast, error) { panic(sealed) }, "*ossai.panicError", "the handler panicked: the vault is sealed"},
		"goexit": {func(context.Context, place) (forecast, error) { runtime.Goexit(); return forecast{}, nil }, "*ossai.panicError", "the handler ended its goroutine"},
	} {
		t.Run(name, func(t *testing.T) {
			script := upstream(t, nil, wants(oslo), says("Sorry."), wants(oslo), says("Still there."))
			client := open(t, script.settings())
			tool := weather(t, one.handler)
			answer := must(client.Complete(background, hello(), ossai.WithTools(tool)))(t)
			record := answer.ToolRun.Calls[0]
			equal(t, "outcome", record.Outcome, ossai.OutcomeFailed)
			equal(t, "type", record.Error.Type, one.kind)
			equal(t, "message", record.Error.Message, one.message)
			_, err := client.Complete(background, hello(), ossai.WithTools(tool), ossai.LoopOptions{OnError: ossai.OnErrorFail})
			var failure *ossai.Error
			if !errors.Is(err, ossai.ErrCallbackError) || !errors.As(err, &failure) || failure.Unwrap() == nil || failure.Partial.ToolRun == nil {
				t.Fatal(err)
			}
			if name == "error" || name == "panic" {
				if !errors.Is(err, sealed) {
					t.Error("the handler's error is not the cause")
				}
			}
			equal(t, "text", must(client.Complete(background, hello()))(t).Text, "Still there.")
		})
	}
}

func TestAPanicInAStreamIsTheCauseOfItsError(t *testing.T) {
	called := object{"body": object{"openai_chat_stream": object{"tool_calls": []object{{"id": "call_1", "name": "weather", "arguments": oslo[1]}}}}}
	script := upstream(t, nil, called)
	oh := errors.New("oh")
	tool := weather(t, func(context.Context, place) (forecast, error) { panic(oh) })
	_, err := open(t, script.settings()).Stream(background, hello(), ossai.WithTools(tool), ossai.LoopOptions{OnError: ossai.OnErrorFail}).Final()
	if !errors.Is(err, ossai.ErrCallbackError) || !errors.Is(err, oh) {
		t.Error(err)
	}
}

func TestAHandlerHearsThatNobodyWaitsAnyMore(t *testing.T) {
	for name, leave := range map[string]func(cancel context.CancelFunc, client *ossai.Client, stream *ossai.Stream){
		"context": func(cancel context.CancelFunc, _ *ossai.Client, _ *ossai.Stream) { cancel() },
		"close":   func(_ context.CancelFunc, client *ossai.Client, _ *ossai.Stream) { client.Close() },
		"stream":  func(_ context.CancelFunc, _ *ossai.Client, stream *ossai.Stream) { stream.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			called := object{"body": object{"openai_chat_stream": object{"tool_calls": []object{{"id": "call_1", "name": "weather", "arguments": oslo[1]}}}}}
			script := upstream(t, nil, called)
			client := open(t, script.settings())
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			started, heard := make(chan struct{}), make(chan error, 1)
			tool := weather(t, func(ctx context.Context, _ place) (forecast, error) {
				close(started)
				<-ctx.Done()
				heard <- ctx.Err()
				return forecast{}, ctx.Err()
			})
			stream := client.Stream(ctx, hello(), ossai.WithTools(tool))
			<-started
			leave(cancel, client, stream)
			if err := <-heard; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			for stream.Next() {
			}
		})
	}
}

func TestAHandlerWhoseTimeIsUpIsCancelledAndTheModelIsTold(t *testing.T) {
	script := upstream(t, nil, wants(oslo), says("Sorry."))
	var heard atomic.Bool
	tool := weather(t, func(ctx context.Context, _ place) (forecast, error) {
		<-ctx.Done()
		heard.Store(true)
		return forecast{}, ctx.Err()
	}, ossai.WithToolTimeout(50*time.Millisecond))
	answer := must(open(t, script.settings()).Complete(background, hello(), ossai.WithTools(tool), ossai.WithToolTimeout(time.Hour)))(t)
	equal(t, "outcome", answer.ToolRun.Calls[0].Outcome, ossai.OutcomeTimeout)
}

func TestHandlersOfOneTurnRunAtOnceAndMayUseTheirClient(t *testing.T) {
	script := upstream(t, nil, wants(oslo, oslo, oslo), says("one"), says("one"), says("one"), says("Take one."))
	client := open(t, script.settings())
	var met sync.WaitGroup
	met.Add(3)
	tool := weather(t, func(ctx context.Context, _ place) (forecast, error) {
		met.Done()
		met.Wait() // never, if they ran one by one
		answer, err := client.Complete(ctx, hello())
		if err != nil {
			return forecast{}, err
		}
		return forecast{answer.Text}, nil
	})
	answer := must(client.Complete(background, hello(), ossai.WithTools(tool)))(t)
	for _, record := range answer.ToolRun.Calls {
		equal(t, "output", string(record.Output), `{"sky":"one"}`)
	}
	equal(t, "text", answer.Text, "Take one.")
}

func TestApprovalIsAskedBeforeEachHandler(t *testing.T) {
	script := upstream(t, nil, wants(oslo, oslo, oslo), says("No."))
	var ran atomic.Int64
	tool := weather(t, func(context.Context, place) (forecast, error) {
		ran.Add(1)
		return forecast{}, nil
	}, ossai.WithCapabilities("read"), ossai.WithToolID("w"))
	answer := must(open(t, script.settings()).Complete(background, hello(), ossai.WithTools(tool),
		ossai.WithApproval(func(ctx context.Context, call ossai.ToolContext) (ossai.Approval, error) {
			switch call.ToolCallID {
			case "call_1":
				return ossai.Approval{Allow: slices.Contains(call.Tool.Capabilities(), "read") && call.Tool.ID() == "w"}, nil
			case "call_2":
				return ossai.Approval{Reason: "not now"}, nil
			}
			panic("oh")
		})))(t)
	equal(t, "ran", ran.Load(), 1)
	var outcomes []string
	for _, record := range answer.ToolRun.Calls {
		outcomes = append(outcomes, string(record.Outcome))
	}
	equal(t, "outcomes", strings.Join(outcomes, " "), "ok denied failed")
	equal(t, "reason", answer.ToolRun.Calls[1].Error.Message, "the call was not approved: not now")
}

func TestArgumentsThatDoNotFitRunNothing(t *testing.T) {
	type precise struct {
		N int8 `json:"n"`
	}
	script := upstream(t, nil, wants([2]string{"count", `{"n":"seven"}`}, [2]string{"count", `{"n":700}`}), says("Sorry."))
	tool := must(ossai.NewTool("count", "", func(context.Context, precise) (any, error) {
		t.Error("it ran")
		return nil, nil
	}))(t)
	answer := must(open(t, script.settings()).Complete(background, hello(), ossai.WithTools(tool)))(t)
	for _, record := range answer.ToolRun.Calls {
		equal(t, "outcome", record.Outcome, ossai.OutcomeInvalidInput)
	}
}

func TestTheLoopEndsAtItsBounds(t *testing.T) {
	script := upstream(t, object{"default": wants(oslo)})
	client := open(t, script.settings())
	_, err := client.Complete(background, hello(), ossai.WithTools(weather(t, rain)), ossai.WithMaxTurns(2))
	var failure *ossai.Error
	if !errors.Is(err, ossai.ErrBudgetExceeded) || !errors.As(err, &failure) || failure.Detail != "max_turns" || len(failure.Partial.ToolRun.Turns) != 2 {
		t.Error(err)
	}
}

func TestMistakesWithToolsAreToldBeforeAnythingIsSent(t *testing.T) {
	script := upstream(t, nil)
	client := open(t, script.settings())
	tool := weather(t, rain)
	for field, options := range map[string][]ossai.CallOption{
		"options.tools":                     {ossai.WithMaxTurns(1)},
		"tools[1]":                          {ossai.WithTools(tool, nil)},
		"tools[1].name":                     {ossai.WithTools(tool), ossai.WithTools(tool)},
		"options.tools.max_turns":           {ossai.WithTools(tool), ossai.WithMaxTurns(0)},
		"options.tools.timeout_ms":          {ossai.WithTools(tool), ossai.WithToolTimeout(-1)},
		"options.tools.approval_timeout_ms": {ossai.WithTools(tool), ossai.LoopOptions{ApprovalTimeout: -1}},
	} {
		_, err := client.Complete(background, hello(), options...)
		var failure *ossai.Error
		if !errors.Is(err, ossai.ErrInvalidRequest) || !errors.As(err, &failure) || failure.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := client.Explain(hello(), ossai.WithTools(tool)); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	if _, err := ossai.NewTool[place, forecast]("a", "", nil); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	if _, err := ossai.NewTool("a", "", rain, ossai.WithToolTimeout(-1)); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	if _, err := ossai.NewTool("a", "", rain, ossai.WithSchema(make(chan int))); !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
	equal(t, "requests", len(script.requests()), 0)
}

func TestWhatAHandlerReturnsThatIsNoJSONIsItsFailure(t *testing.T) {
	script := upstream(t, nil, wants([2]string{"odd", "{}"}, [2]string{"half", "{}"}), says("Sorry."))
	odd := must(ossai.NewTool("odd", "", func(context.Context, struct{}) (any, error) { return make(chan int), nil }))(t)
	half := must(ossai.NewTool("half", "", func(context.Context, struct{}) (any, error) { return json.RawMessage(`"\ud800"`), nil }))(t)
	answer := must(open(t, script.settings()).Complete(background, hello(), ossai.WithTools(odd, half)))(t)
	for _, record := range answer.ToolRun.Calls {
		equal(t, "outcome", record.Outcome, ossai.OutcomeFailed)
	}
}

func schemaOf[In any](t *testing.T) string {
	t.Helper()
	tool := must(ossai.NewTool("a", "", func(context.Context, In) (any, error) { return nil, nil }))(t)
	text, err := json.Marshal(tool.Definition().Parameters)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type tree struct {
	Name     string `json:"name"`
	Children []tree `json:"children,omitempty"`
}

type Common struct {
	Unit string `json:"unit" enum:"celsius,kelvin"`
}

func TestTheSchemaIsTheInputsType(t *testing.T) {
	type inner struct {
		At    time.Time          `json:"at"`
		Maybe *float64           `json:"maybe"`
		Many  map[string][]uint8 `json:"many,omitempty"`
		Pair  [2]bool
		Not   chan int `json:"-"`
		Long  int64    `json:"long,string"`
		Any   any      `json:"any,omitzero"`
		quiet int
	}
	type outer struct {
		Common
		Inner inner `json:"inner" description:"what is in it"`
		Tree  *tree `json:"tree"`
	}
	_ = inner{quiet: 1}.quiet
	equal(t, "none", schemaOf[struct{}](t), `{"additionalProperties":false,"properties":{},"type":"object"}`)
	equal(t, "map", schemaOf[map[string]int](t), `{"additionalProperties":{"type":"integer"},"type":"object"}`)
	equal(t, "itself", schemaOf[tree](t), `{"additionalProperties":false,"properties":{"children":{"items":{"$ref":"#"},"type":"array"},"name":{"type":"string"}},"required":["name"],"type":"object"}`)
	equal(t, "whole", schemaOf[*outer](t), `{"$defs":{"tree1":{"additionalProperties":false,"properties":{"children":{"items":{"$ref":"#/$defs/tree1"},"type":"array"},"name":{"type":"string"}},"required":["name"],"type":"object"}},`+
		`"additionalProperties":false,"properties":{"inner":{"additionalProperties":false,"description":"what is in it","properties":{"Pair":{"items":{"type":"boolean"},"maxItems":2,"minItems":2,"type":"array"},"any":{},`+
		`"at":{"format":"date-time","type":"string"},"long":{"type":"string"},"many":{"additionalProperties":{"contentEncoding":"base64","type":"string"},"type":"object"},"maybe":{"type":["number","null"]}},"required":["at","Pair","long"],"type":"object"},`+
		`"tree":{"anyOf":[{"$ref":"#/$defs/tree1"},{"type":"null"}]},"unit":{"enum":["celsius","kelvin"],"type":"string"}},"required":["inner","unit"],"type":"object"}`)
	for _, err := range []error{
		second(ossai.NewTool("a", "", func(context.Context, int) (any, error) { return nil, nil })),
		second(ossai.NewTool("a", "", func(context.Context, json.RawMessage) (any, error) { return nil, nil })),
		second(ossai.NewTool("a", "", func(context.Context, struct{ C chan int }) (any, error) { return nil, nil })),
		second(ossai.NewTool("a", "", func(context.Context, struct{ M map[bool]int }) (any, error) { return nil, nil })),
		second(ossai.NewTool("a", "", func(context.Context, struct {
			N int `enum:"1,2"`
		}) (any, error) {
			return nil, nil
		})),
	} {
		if !errors.Is(err, ossai.ErrInvalidRequest) {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
