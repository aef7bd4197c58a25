// Count tokens offline and see what a call would cost before making it.
package main

import (
	"fmt"
	"log"

	"github.com/ossai-dev/ossai-go"
)

func main() {
	client, err := ossai.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	text := "Tokens are counted in the binary, with no network."
	count, err := client.CountText("openai/gpt-4o-mini", text)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d tokens in %d bytes\n", count.Tokens, len(text))
	cut, err := client.Truncate("openai/gpt-4o-mini", text, 4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("cut to 4 tokens: %q\n", cut.Text)

	for _, model := range []string{"openai/gpt-4o-mini", "openai/gpt-5", "anthropic/claude-sonnet-4-6"} {
		request := ossai.CompletionRequest{
			Model:     model,
			Messages:  []ossai.Message{ossai.User("Summarise the history of tea in three paragraphs.")},
			MaxTokens: 500,
		}
		count, err := client.Count(request)
		if err != nil {
			log.Fatal(err)
		}
		estimate, err := client.Estimate(request, ossai.EstimateOptions{})
		if err != nil {
			log.Fatal(err)
		}
		most, how := "unknown", "estimated"
		if estimate.High != nil {
			most = estimate.High.String()
		}
		if count.Exact {
			how = "exact"
		}
		fmt.Printf("%s: %d input tokens (%s), at most %s\n", model, count.Tokens, how, most)
	}
}
