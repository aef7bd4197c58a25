// A web server that streams answers to browsers as server-sent events. The request's context is the call's: a reader who leaves
// ends the call upstream, and a slow one holds it back.
//
//	go run ./09_web_server -listen 127.0.0.1:8080
//	curl -N 'http://127.0.0.1:8080/?q=What+bounds+a+cache%3F'
//
// Without -listen it asks itself once and ends.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ossai-dev/ossai-go"
)

func answer(client *ossai.Client, model string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream := client.Stream(r.Context(), ossai.CompletionRequest{
			Model: model,
			Messages: []ossai.Message{
				ossai.System("Caches are bounded by bytes, not by entries. Only complete answers are kept."),
				ossai.User(r.FormValue("q")),
			},
		}, ossai.WithTags(map[string]string{"route": r.URL.Path}))
		defer stream.Close()
		w.Header().Set("content-type", "text/event-stream")
		w.Header().Set("cache-control", "no-cache")
		send := func(kind string, data any) {
			text, err := json.Marshal(data)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, text)
			http.NewResponseController(w).Flush()
		}
		for text, err := range stream.Text() {
			var failure *ossai.Error
			if errors.As(err, &failure) { // the response has begun: the reader hears it as an event
				send("error", failure.Kind)
				return
			}
			send("text", text)
		}
		if done := stream.Completion(); done != nil {
			send("done", map[string]uint64{"output_tokens": done.Usage.OutputTokens})
		}
	}
}

func main() {
	listen := flag.String("listen", "", "where to listen")
	flag.Parse()
	client, err := ossai.New(ossai.WithLogger(slog.Default()))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", cmp.Or(*listen, "127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Handler:           answer(client, cmp.Or(os.Getenv("OSSAI_MODEL"), "local/extract")),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go server.Serve(listener)
	address := "http://" + listener.Addr().String()
	fmt.Println("listening", address)

	if *listen == "" {
		response, err := http.Get(address + "/?q=" + url.QueryEscape("What bounds a cache?"))
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Printf("%s %s\n", response.Status, body)
	} else {
		stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		<-stop.Done()
	}
	// First no more requests, then no more calls.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	if err := client.Shutdown(ctx); err != nil {
		log.Print(err)
	}
}
