// What a user of the Go module for OpenTelemetry does: a call leaves a span with the program's own provider.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/ossai-dev/ossai-go"
	ossaiotel "github.com/ossai-dev/ossai-go/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func main() {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	client, err := ossai.New(ossai.WithoutEnvironment(), ossai.WithTelemetry(ossaiotel.New(ossaiotel.WithTracerProvider(provider))))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	request := ossai.CompletionRequest{
		Model:    "local/extract",
		Messages: []ossai.Message{ossai.User("The sky is blue.\n\nWhat colour is the sky?")},
	}
	if _, err := client.Complete(context.Background(), request); err != nil {
		log.Fatal(err)
	}
	ended := spans.GetSpans()
	if len(ended) != 1 || ended[0].Name != "chat extract" {
		log.Fatalf("got %d spans, expected the one of the call: %v", len(ended), ended)
	}
	fmt.Printf("ok the otel module: a span %q with %d attributes\n", ended[0].Name, len(ended[0].Attributes))
}
