// Answers out of a file: no key, no network, no cost. RECORD=1 asks the provider instead, and writes the file anew.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/ossai-dev/ossai-go"
)

func main() {
	cassette := ossai.Cassette{Path: "../cassettes/sky.json"} // from examples/go, where the examples run
	if os.Getenv("RECORD") != "" {
		cassette.Mode = "record"
	}
	client, err := ossai.New(ossai.Config{Cassette: cassette})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	ask := func(text string) ossai.CompletionRequest {
		return ossai.CompletionRequest{Model: "openai/gpt-4o-mini", Messages: []ossai.Message{ossai.User(text)}}
	}
	// On the file the first try meets a 429; the retry runs as with a provider.
	answer, err := client.Complete(ctx, ask("Why is the sky blue?"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s (%d tries)\n", answer.Text, len(answer.Attempts))

	for event, err := range client.Stream(ctx, ask("Why is the sky blue?")).All() {
		if err != nil {
			log.Fatal(err)
		}
		if event.Type == ossai.EventTextDelta {
			fmt.Print(event.Text, "|")
		}
	}
	fmt.Println()

	// What is not on it is an error that says in what it differs.
	var wrong *ossai.Error
	if _, err := client.Complete(ctx, ask("Why is the grass green?")); errors.As(err, &wrong) {
		fmt.Println(wrong)
	}
}
