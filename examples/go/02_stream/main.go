// Print an answer as it is written; the last event carries the whole of it.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ossai-dev/ossai-go"
)

func main() {
	client, err := ossai.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	stream := client.Stream(context.Background(), ossai.CompletionRequest{
		Model: cmp.Or(os.Getenv("OSSAI_MODEL"), "local/extract"),
		Messages: []ossai.Message{
			ossai.User("Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\nWhat bounds a cache?"),
		},
	})
	for event, err := range stream.All() {
		if err != nil {
			log.Fatal(err)
		}
		switch event.Type {
		case ossai.EventTextDelta:
			fmt.Print(event.Text)
		case ossai.EventEnd:
			fmt.Printf("\n[%d output tokens]\n", event.Completion.Usage.OutputTokens)
		}
	}
}
