// Refuse a call that could cost more than it may, before anything is sent.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ossai-dev/ossai-go"
)

func main() {
	// A cent a day for each user, however many calls come at once.
	cent := ossai.Budget{Scope: "user", Window: "day", NanoUSD: ossai.Ptr(ossai.NanoUSD(10_000_000))}
	client, err := ossai.New(
		ossai.WithProvider("openai", ossai.Provider{APIKey: "not used"}),
		ossai.Config{Budgets: ossai.Budgets{Limits: []ossai.Budget{cent}}},
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.Complete(context.Background(), ossai.CompletionRequest{
		Model:     "openai/gpt-4o",
		Messages:  []ossai.Message{ossai.User("Write a book.")},
		MaxTokens: 16_000,
		User:      "ada",
	})
	if !errors.Is(err, ossai.ErrBudgetExceeded) {
		log.Fatalf("not refused: %v", err)
	}
	fmt.Println("refused:", err)
	var refusal *ossai.Error
	if errors.As(err, &refusal) {
		for _, budget := range refusal.Budgets {
			fmt.Printf("%s's %s: asked for %d of %d %s\n", budget.Name, budget.Window, budget.Asked, budget.Available, budget.Unit)
		}
	}
}
