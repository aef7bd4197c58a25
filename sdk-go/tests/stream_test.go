package tests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go"
)

func TestAStreamIsEventsInOrderAndTheWholeAnswerAtItsEnd(t *testing.T) {
	script := upstream(t, nil, streams("Hel", "lo"))
	client := open(t, script.settings())
	stream := client.Stream(background, hello())
	defer stream.Close()
	equal(t, "before", stream.Current().Type, "")
	var types []string
	text := ""
	for stream.Next() {
		event := stream.Current()
		types = append(types, string(event.Type))
		text += event.Text
		if event.Type != ossai.EventEnd && stream.Completion() != nil {
			t.Error("whole before its end")
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	equal(t, "text", text, "Hello")
	equal(t, "whole", stream.Completion().Text, "Hello")
	equal(t, "last", types[len(types)-1], "end")
	equal(t, "first", types[0], "start")
	if stream.Next() || stream.Err() != nil {
		t.Error("more after the end")
	}
}

func TestAStreamIsRangedOver(t *testing.T) {
	long := make([]string, 3000)
	for i := range long {
		long[i] = fmt.Sprintf("%d ", i)
	}
	script := upstream(t, nil, streams(long...), streams("a", "b"), streams(long...))
	client := open(t, script.settings())
	text := ""
	for piece, err := range client.Stream(background, hello()).Text() {
		if err != nil {
			t.Fatal(err)
		}
		text += piece
	}
	equal(t, "text", text, strings.Join(long, ""))
	answer := must(client.Stream(background, hello()).Final())(t)
	equal(t, "final", answer.Text, "ab")
	stream := client.Stream(background, hello())
	for event, err := range stream.All() {
		if err != nil {
			t.Fatal(err)
		}
		if event.Type == ossai.EventTextDelta {
			break
		}
	}
	if stream.Next() || stream.Err() != nil {
		t.Error("a stream that was left goes on")
	}
	if _, err := stream.Final(); !errors.Is(err, ossai.ErrInvalidState) {
		t.Error(err)
	}
	equal(t, "under way", client.CallsUnderWay(), 0)
}

func TestAKeptAnswerStreamsAtOnce(t *testing.T) {
	script := upstream(t, nil, says("Hi"))
	client := open(t, script.settings())
	must(client.Complete(background, cold()))(t)
	stream := client.Stream(background, cold())
	answer := must(stream.Final())(t)
	equal(t, "kept", answer.Text+answer.Cache.Status, "Hihit")
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
}

func TestAStreamThatBreaksGivesItsEventsThenItsErrorWithWhatCame(t *testing.T) {
	cut := streams("Hel", "lo")
	cut["close_after"] = object{"event": 2}
	script := upstream(t, nil, cut, cut)
	client := open(t, script.settings())
	stream := client.Stream(background, hello())
	text := ""
	for stream.Next() {
		text += stream.Current().Text
	}
	var failure *ossai.Error
	if !errors.As(stream.Err(), &failure) || !errors.Is(stream.Err(), ossai.ErrStreamInterrupted) {
		t.Fatal(stream.Err())
	}
	equal(t, "text", text, "Hel")
	equal(t, "partial", failure.Partial.Text, "Hel")
	var last error
	for _, err := range client.Stream(background, hello()).Text() {
		last = err
	}
	if !errors.Is(last, ossai.ErrStreamInterrupted) {
		t.Error(last)
	}
}

func TestACancelledContextEndsAStreamWhetherItIsReadOrNot(t *testing.T) {
	script := upstream(t, nil, stalls(), stalls())
	client := open(t, script.settings())
	ctx, cancel := context.WithCancel(background)
	read, unread := client.Stream(ctx, hello()), client.Stream(ctx, hello())
	for !strings.Contains(read.Current().Text, "one") && read.Next() {
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if read.Next() || !errors.Is(read.Err(), context.Canceled) {
		t.Error(read.Err())
	}
	for _, outcome := range script.outcomes() {
		equal(t, "outcome", outcome, "client_closed")
	}
	for unread.Next() {
	}
	if !errors.Is(unread.Err(), context.Canceled) {
		t.Error(unread.Err())
	}
}

func TestAnotherGoroutineMayCloseAStream(t *testing.T) {
	script := upstream(t, nil, stalls())
	client := open(t, script.settings())
	stream := client.Stream(background, hello())
	time.AfterFunc(50*time.Millisecond, func() { stream.Close() })
	for stream.Next() {
	}
	if stream.Err() != nil {
		t.Error(stream.Err())
	}
	equal(t, "outcome", script.outcomes()[0], "client_closed")
}

func TestAProgramThatDoesNotReadHoldsTheUpstreamBack(t *testing.T) {
	piece := strings.Repeat("x", 1<<10)
	long := make([]string, 16_000)
	for i := range long {
		long[i] = piece
	}
	script := upstream(t, nil, streams(long...))
	config := script.settings()
	config.Limits.MaxStreamLogBytes = 1 << 20
	client := open(t, config)
	stream := client.Stream(background, hello())
	for range 10 {
		stream.Next()
	}
	time.Sleep(300 * time.Millisecond)
	var log struct {
		Requests []struct {
			SentBytes *int `json:"sent_bytes"`
			Outcome   *string
		}
	}
	ask(t, "GET", script.at+"/log", nil, &log)
	if log.Requests[0].Outcome != nil {
		t.Errorf("all was sent although nobody read: %v", *log.Requests[0].Outcome)
	}
	stream.Close()
	if outcome := script.outcomes()[0]; outcome != "client_closed" && outcome != "client_reset" {
		t.Error(outcome)
	}
}

func TestEveryKindOfEventIsReadAndWrittenAlike(t *testing.T) {
	for _, text := range []string{
		`{"type":"start","id":"a","response_model":"m","created":7}`,
		`{"type":"text_delta","index":1,"text":""}`,
		`{"type":"refusal_delta","index":1,"text":"no"}`,
		`{"type":"reasoning_delta","index":0,"text":"hm","signature":"s","redacted":"r","extra":{"a":[1]}}`,
		`{"type":"tool_call_start","index":2,"id":"c","name":"read","extra":{"b":null}}`,
		`{"type":"tool_call_delta","index":2,"arguments":"{\"a\":"}`,
		`{"type":"part","index":3,"part":{"type":"new","x":1}}`,
		`{"type":"usage","usage":{"input_tokens":1,"output_tokens":2},"raw":{"x":1}}`,
		`{"type":"finish","reason":"stop","raw":"end_turn"}`,
		`{"type":"extra","fields":{"system_fingerprint":"f"}}`,
	} {
		var event ossai.StreamEvent
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		again, err := json.Marshal(event)
		if err != nil {
			t.Error(err)
		}
		equal(t, "again", string(again), text)
	}
}
