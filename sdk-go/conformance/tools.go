package main

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/ossai-dev/ossai-go"
)

// tools are a call's scripted handlers.
type tools struct {
	Handlers []struct {
		Tool struct {
			ID           string          `json:"id"`
			Name         string          `json:"name"`
			Description  string          `json:"description"`
			Capabilities []string        `json:"capabilities"`
			InputSchema  json.RawMessage `json:"input_schema"`
			OutputSchema json.RawMessage `json:"output_schema"`
			TimeoutMS    *float64        `json:"timeout_ms"`
			Strict       *bool           `json:"strict"`
		} `json:"tool"`
		Does []deed `json:"does"`
	} `json:"handlers"`
	Options ossai.LoopOptions `json:"options"`
	Approve map[string][]deed `json:"approve"`
}

// A deed is what a scripted handler does at one of its calls.
type deed struct {
	Returns json.RawMessage `json:"returns"`
	Echoes  bool            `json:"echoes"`
	Hangs   bool            `json:"hangs"`
	AfterMS float64         `json:"after_ms"`
	Throws  *struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"throws"`
	Completes *ossai.CompletionRequest `json:"completes"`
}

type script func(ctx context.Context, input json.RawMessage) (any, error)

func play(does []deed, client *ossai.Client) script {
	var calls atomic.Int64
	return func(ctx context.Context, input json.RawMessage) (any, error) {
		one := does[min(int(calls.Add(1)), len(does))-1]
		if one.AfterMS > 0 {
			select {
			case <-time.After(time.Duration(one.AfterMS * float64(time.Millisecond))):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		switch {
		case one.Hangs:
			<-ctx.Done()
			return nil, ctx.Err()
		case one.Throws != nil:
			return nil, &ossai.ToolError{Type: one.Throws.Type, Message: one.Throws.Message}
		case one.Completes != nil:
			answer, err := client.Complete(ctx, *one.Completes)
			if err != nil {
				return nil, err
			}
			return answer.Text, nil
		case one.Echoes:
			return input, nil
		}
		return one.Returns, nil
	}
}

// options are those with which a program gives a call these tools.
func (t *tools) options(client *ossai.Client) ([]ossai.CallOption, error) {
	options := []ossai.CallOption{t.Options}
	for _, one := range t.Handlers {
		spec := one.Tool
		says := []ossai.ToolOption{ossai.WithToolID(spec.ID), ossai.WithCapabilities(spec.Capabilities...)}
		if spec.InputSchema != nil {
			says = append(says, ossai.WithSchema(spec.InputSchema))
		} else {
			says = append(says, ossai.WithSchema(nil))
		}
		if spec.OutputSchema != nil {
			says = append(says, ossai.WithOutputSchema(spec.OutputSchema))
		}
		if spec.TimeoutMS != nil {
			says = append(says, ossai.WithToolTimeout(time.Duration(*spec.TimeoutMS*float64(time.Millisecond))))
		}
		if spec.Strict != nil {
			says = append(says, ossai.WithStrict(*spec.Strict))
		}
		tool, err := ossai.NewTool(spec.Name, spec.Description, play(one.Does, client), says...)
		if err != nil {
			return nil, err
		}
		options = append(options, ossai.WithTools(tool))
	}
	if t.Approve != nil {
		scripts := map[string]script{}
		for name, does := range t.Approve {
			scripts[name] = play(does, client)
		}
		options = append(options, ossai.WithApproval(func(ctx context.Context, call ossai.ToolContext) (ossai.Approval, error) {
			script := scripts[call.Tool.Name()]
			if script == nil {
				return ossai.Approval{Allow: true}, nil
			}
			said, err := script(ctx, call.Input)
			if err != nil {
				return ossai.Approval{}, err
			}
			var approval ossai.Approval
			if text, ok := said.(json.RawMessage); ok && json.Unmarshal(text, &approval.Allow) != nil {
				err = json.Unmarshal(text, &approval.Reason)
			}
			return approval, err
		}))
	}
	return options, nil
}
