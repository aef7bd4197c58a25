// What a user of the Go module does, with no key, and then before a server (`ci/with-upstream`) if the environment names one.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"

	"github.com/ossai-dev/ossai-go"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func expect(what string, got, want any) {
	if got != want {
		log.Fatalf("%s: got %v, expected %v", what, got, want)
	}
}

type thing struct {
	Of string `json:"of"`
}

func main() {
	ctx := context.Background()
	client := must(ossai.New(ossai.WithoutEnvironment()))
	defer client.Close()
	request := ossai.CompletionRequest{
		Model:       "local/extract",
		Messages:    []ossai.Message{ossai.User("Context:\nThe sky is blue.\n\nWhat colour is the sky?")},
		Temperature: ossai.Ptr(0.0),
	}
	expect("the answer's length", len(must(client.Complete(ctx, request)).Text) > 0, true)
	expect("the second answer's cache", string(must(client.Stream(ctx, request).Final()).Cache.Status), "hit")
	expect("the tokens", must(client.CountText("openai/gpt-4o", "one two three")).Tokens, uint64(3))
	_, err := client.Complete(ctx, ossai.CompletionRequest{})
	expect("the error's kind", errors.Is(err, ossai.ErrInvalidRequest), true)
	did := "local/extract"

	if os.Getenv("OPENAI_BASE_URL") != "" {
		client := must(ossai.New())
		defer client.Close()
		ask := func(text string) ossai.CompletionRequest {
			return ossai.CompletionRequest{Model: "openai/gpt-4o-mini", Messages: []ossai.Message{ossai.User(text)}}
		}
		var seen string
		colour := must(ossai.NewTool("colour", "The colour of something.", func(_ context.Context, in thing) (string, error) {
			seen = in.Of
			return "blue", nil
		}))
		expect("the answer after the tool", must(client.Complete(ctx, ask("What colour is the sky?"), ossai.WithTools(colour))).Text, "It is blue.")
		expect("what the tool was asked", seen, "sky")
		text := ""
		for piece, err := range client.Stream(ctx, ask("And grass?")).Text() {
			text += must(piece, err)
		}
		expect("the stream", text, "It is green.")
		did += ", a tool's handler and a stream over HTTP"
	}
	fmt.Printf("ok Go %s on %s: %s\n", runtime.Version(), runtime.GOARCH, did)
}
