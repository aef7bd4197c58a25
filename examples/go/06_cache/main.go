// The same question twice: the second answer comes out of memory, and fifty at once share one flight.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/ossai-dev/ossai-go"
)

func main() {
	client, err := ossai.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	request := ossai.CompletionRequest{
		Model: "local/extract",
		Messages: []ossai.Message{
			ossai.User("The memory cache is looked up on the caller's goroutine.\n\nWhere is the memory cache looked up?"),
		},
	}
	for range 2 {
		answer, err := client.Complete(ctx, request)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer.Cache.Status)
	}
	if err := client.ClearCache(); err != nil {
		log.Fatal(err)
	}
	var calls sync.WaitGroup
	for range 50 {
		calls.Add(1)
		go func() {
			defer calls.Done()
			if _, err := client.Complete(ctx, request); err != nil {
				log.Print(err)
			}
		}()
	}
	calls.Wait()
	stats, err := client.Stats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("52 calls: %d flights, %d joined, %d from the cache\n", stats.Flights, stats.Joined, stats.CacheHits)
}
