// Errors are values with fields: what went wrong, where, what was tried, and whether a new call may work.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ossai-dev/ossai-go"
)

func main() {
	// A server that is not there: three tries with waits between them, then the last real error.
	client, err := ossai.New(
		ossai.WithProvider("mine", ossai.Provider{BaseURL: "http://127.0.0.1:9/v1"}),
		ossai.Config{Retry: ossai.Retry{Base: 10 * time.Millisecond}},
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	request := ossai.CompletionRequest{Model: "mine/model", Messages: []ossai.Message{ossai.User("Hello")}}
	_, err = client.Complete(context.Background(), request)
	var failure *ossai.Error
	if errors.As(err, &failure) {
		fmt.Println(failure)
		fmt.Println("retriable by the caller:", failure.Retriable)
		for n, attempt := range failure.Attempts {
			fmt.Printf("  try %d: %s after %d ms\n", n+1, attempt.Error, attempt.DelayMS)
		}
	}

	// A mistake names its field and costs nothing.
	wrong := request
	wrong.Temperature = ossai.Ptr(7.0)
	if _, err := client.Complete(context.Background(), wrong); errors.Is(err, ossai.ErrInvalidRequest) && errors.As(err, &failure) {
		fmt.Printf("%v (field: %s)\n", failure, failure.Field)
	}

	// Time for the whole call, waits and tries included, is the context's. A wait that does not fit in is not begun.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if _, err := client.Complete(ctx, request); errors.As(err, &failure) {
		late := errors.Is(err, context.DeadlineExceeded) || failure.GaveUp == "deadline"
		fmt.Printf("%s (out of time: %t)\n", failure.Kind, late)
	}
}
