// A web server that streams answers as they are written. The request's context is the call's: a reader who leaves ends the call
// upstream, and a slow one holds it back.
//
//	go run ./09_web_server -listen 127.0.0.1:8080
//	curl -N 'http://127.0.0.1:8080/?q=What+bounds+a+cache%3F'
//
// Without -listen it asks itself once and ends.
package main

import (
	"cmp"
	"context"
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

// statuses are those of errors a visitor may hear of; all others are ours.
var statuses = map[ossai.ErrorKind]int{
	ossai.ErrInvalidRequest: http.StatusBadRequest,
	ossai.ErrRateLimited:    http.StatusTooManyRequests,
	ossai.ErrOverloaded:     http.StatusServiceUnavailable,
	ossai.ErrTimeout:        http.StatusGatewayTimeout,
}

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
		begun := false
		for text, err := range stream.Text() {
			var failure *ossai.Error
			if errors.As(err, &failure) {
				if !begun {
					http.Error(w, string(failure.Kind), cmp.Or(statuses[failure.Kind], http.StatusBadGateway))
				}
				return
			}
			begun = true
			io.WriteString(w, text)
			http.NewResponseController(w).Flush()
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
	fmt.Println("listening")

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
