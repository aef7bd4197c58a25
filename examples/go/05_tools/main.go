// Let the model call functions. Set OPENAI_API_KEY to ask a real model; without it what the model would be told is shown.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/ossai-dev/ossai-go"
)

type place struct {
	City string `json:"city" description:"The city's name."`
}

type weather struct {
	City string `json:"city"`
	Sky  string `json:"sky"`
}

func main() {
	tool, err := ossai.NewTool("weather", "The weather of a city.", func(ctx context.Context, in place) (weather, error) {
		fmt.Println("weather runs for", in.City)
		return weather{in.City, "rain"}, nil
	}, ossai.WithCapabilities("read"))
	if err != nil {
		log.Fatal(err)
	}
	definition, err := json.MarshalIndent(tool.Definition(), "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(definition))
	if os.Getenv("OPENAI_API_KEY") == "" {
		return
	}

	client, err := ossai.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	request := ossai.CompletionRequest{
		Model:    "openai/gpt-4o-mini",
		Messages: []ossai.Message{ossai.User("Do I need an umbrella in Oslo?")},
	}
	// Asked before each handler.
	approve := func(ctx context.Context, call ossai.ToolContext) (ossai.Approval, error) {
		return ossai.Approval{Allow: slices.Contains(call.Tool.Capabilities(), "read")}, nil
	}
	answer, err := client.Complete(context.Background(), request, ossai.WithTools(tool), ossai.WithApproval(approve), ossai.WithMaxTurns(4))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Text)
	for n, turn := range answer.ToolRun.Turns {
		fmt.Printf("turn %d: %v\n", n+1, turn.Cost.Total)
	}
	fmt.Println("in all:", answer.Cost.Total)
}
