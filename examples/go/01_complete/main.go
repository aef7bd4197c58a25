// Ask once and read the answer, what it used and what it cost.
//
// Runs offline with the built-in model; OSSAI_MODEL=openai/gpt-4o-mini and a key ask a real one.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ossai-dev/ossai-go"
)

func main() {
	client, err := ossai.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	answer, err := client.Complete(ctx, ossai.CompletionRequest{
		Model: cmp.Or(os.Getenv("OSSAI_MODEL"), "local/extract"),
		Messages: []ossai.Message{
			ossai.System("A flight is the one piece of upstream work that serves all identical calls under way. " +
				"Nobody leads a flight, so nobody's cancellation fails the others."),
			ossai.User("Who leads a flight?"),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Text)
	fmt.Printf("finish: %s, tokens: %d in, %d out\n", answer.FinishReason, answer.Usage.InputTokens, answer.Usage.OutputTokens)
	if answer.Cost.Total != nil {
		fmt.Println("cost:", answer.Cost.Total)
	} else {
		fmt.Println("cost: unknown, the model has no price")
	}
}
