// Command go measures one thing about one Go client and prints it as a line of JSON, as bench/src/bin/clients does for Rust's.
//
//	go MEASURE CLIENT [--url http://HOST:PORT] [--at N] [--seconds S] [--bytes N]
//
// MEASURE: calls (CPU and throughput), burst (streams of 2,000 events), hit (look-ups in the memory cache).
// CLIENT: go-http (net/http and encoding/json, nothing else), openai-go, ossai-go.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/ossai-dev/ossai-go"
)

const model = "gpt-4o-mini"

var background = context.Background()

// A target is what a client can be asked to do: the length of an answer's text, the number of a stream's events with text.
type target interface {
	call(prompt string) (int, error)
	stream(prompt string) (int, error)
}

type plain struct {
	base   string
	client *http.Client
}

type chat struct {
	Model    string          `json:"model"`
	Messages []chatMessage   `json:"messages"`
	Stream   bool            `json:"stream,omitempty"`
	Options  map[string]bool `json:"stream_options,omitempty"`
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatAnswer struct {
	ID      string `json:"id"`
	Model   string `json:"model"`
	Created int64  `json:"created"`
	Choices []struct {
		Message      chatMessage `json:"message"`
		Delta        chatMessage `json:"delta"`
		FinishReason string      `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	} `json:"usage"`
}

func (p *plain) post(prompt string, stream bool) (*http.Response, error) {
	request := chat{Model: model, Messages: []chatMessage{{"user", prompt}}, Stream: stream}
	if stream {
		request.Options = map[string]bool{"include_usage": true}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	sent, err := http.NewRequest("POST", p.base+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sent.Header.Set("authorization", "Bearer sk-bench")
	sent.Header.Set("content-type", "application/json")
	return p.client.Do(sent)
}

func (p *plain) call(prompt string) (int, error) {
	response, err := p.post(prompt, false)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	var answer chatAnswer
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Choices) == 0 {
		return 0, fmt.Errorf("%d: %s: %w", response.StatusCode, body, err)
	}
	return len(answer.Choices[0].Message.Content), nil
}

func (p *plain) stream(prompt string) (int, error) {
	response, err := p.post(prompt, true)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	events := 0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, is := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !is || string(data) == "[DONE]" {
			continue
		}
		var chunk chatAnswer
		if err := json.Unmarshal(data, &chunk); err != nil {
			return 0, err
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			events++
		}
	}
	return events, lines.Err()
}

type peer struct{ client openai.Client }

func (p *peer) params(prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)}}
}

func (p *peer) call(prompt string) (int, error) {
	answer, err := p.client.Chat.Completions.New(background, p.params(prompt))
	if err != nil {
		return 0, err
	}
	return len(answer.Choices[0].Message.Content), nil
}

func (p *peer) stream(prompt string) (int, error) {
	params := p.params(prompt)
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := p.client.Chat.Completions.NewStreaming(background, params)
	defer stream.Close()
	events := 0
	for stream.Next() {
		if chunk := stream.Current(); len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			events++
		}
	}
	return events, stream.Err()
}

type ours struct{ client *ossai.Client }

func (o *ours) request(prompt string) ossai.CompletionRequest {
	return ossai.CompletionRequest{Model: "openai/" + model, Messages: []ossai.Message{ossai.User(prompt)}}
}

func (o *ours) call(prompt string) (int, error) {
	answer, err := o.client.Complete(background, o.request(prompt))
	if err != nil {
		return 0, err
	}
	return len(answer.Text), nil
}

func (o *ours) stream(prompt string) (int, error) {
	stream := o.client.Stream(background, o.request(prompt))
	defer stream.Close()
	events := 0
	for stream.Next() {
		if event := stream.Current(); event.Type == ossai.EventTextDelta && event.Text != "" {
			events++
		}
	}
	return events, stream.Err()
}

func open(client, base string, store bool) (target, error) {
	switch client {
	case "go-http":
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 1024
		return &plain{base, &http.Client{Transport: transport}}, nil
	case "openai-go":
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 1024
		return &peer{openai.NewClient(option.WithBaseURL(base+"/"), option.WithAPIKey("sk-bench"), option.WithHTTPClient(&http.Client{Transport: transport}))}, nil
	case "ossai-go":
		client, err := ossai.New(ossai.WithoutEnvironment(), ossai.Config{
			Providers: map[string]ossai.Provider{"openai": {BaseURL: base, APIKey: "sk-bench", API: "openai_chat"}},
			Coalesce:  "all",
			Cache:     ossai.Cache{Enabled: &store, Store: "all"},
		})
		return &ours{client}, err
	}
	return nil, fmt.Errorf("no client %s", client)
}

var next atomic.Uint64

// prompt is one of that size that was never asked before, so that nothing can be shared or remembered.
func prompt(size int) string {
	const words = "Why is the sky blue, and why is it red in the evening? Answer in two sentences. "
	text := fmt.Sprintf("%020d ", next.Add(1))
	return (text + strings.Repeat(words, size/len(words)+1))[:max(size, 20)]
}

func cpu() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func residentMB() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			return kib * 1024 / 1e6
		}
	}
	return 0
}

func load(client target, at, size int, lasting time.Duration) (int, error) {
	end := time.Now().Add(lasting)
	var calls atomic.Int64
	var failed atomic.Value
	var group sync.WaitGroup
	for range at {
		group.Add(1)
		go func() {
			defer group.Done()
			for time.Now().Before(end) {
				if _, err := client.call(prompt(size)); err != nil {
					failed.Store(err)
					return
				}
				calls.Add(1)
			}
		}()
	}
	group.Wait()
	err, _ := failed.Load().(error)
	return int(calls.Load()), err
}

type figures map[string]any

func measure(what, client, url string, at, size int, lasting time.Duration) (figures, error) {
	kind := map[string]string{"burst": "/burst", "hit": "/kb"}[what]
	target, err := open(client, url+kind+"/v1", what == "hit")
	if err != nil {
		return nil, err
	}
	switch what {
	case "calls":
		if _, err := load(target, at, size, lasting/5); err != nil {
			return nil, err
		}
		began, used := time.Now(), cpu()
		calls, err := load(target, at, size, lasting)
		spent, wall := cpu()-used, time.Since(began)
		return figures{"at": at, "bytes": size, "calls": calls, "cpu_us": spent.Seconds() * 1e6 / float64(calls),
			"per_s": float64(calls) / wall.Seconds(), "resident_mb": residentMB()}, err
	case "burst":
		for range 5 {
			if events, err := target.stream(prompt(size)); err != nil || events != 2000 {
				return nil, fmt.Errorf("%d events: %w", events, err)
			}
		}
		events, began, used := 0, time.Now(), cpu()
		for time.Since(began) < lasting {
			seen, err := target.stream(prompt(size))
			if err != nil {
				return nil, err
			}
			events += seen
		}
		spent, wall := cpu()-used, time.Since(began)
		return figures{"events": events, "cpu_us": spent.Seconds() * 1e6 / float64(events), "per_s": float64(events) / wall.Seconds()}, nil
	case "hit":
		text := prompt(size)
		if _, err := target.call(text); err != nil {
			return nil, err
		}
		const lookUps = 20_000
		for range 2_000 {
			if _, err := target.call(text); err != nil {
				return nil, err
			}
		}
		began, used := time.Now(), cpu()
		for range lookUps {
			if _, err := target.call(text); err != nil {
				return nil, err
			}
		}
		spent, wall := cpu()-used, time.Since(began)
		return figures{"bytes": size, "cpu_us": spent.Seconds() * 1e6 / lookUps, "wall_us": wall.Seconds() * 1e6 / lookUps}, nil
	}
	return nil, fmt.Errorf("no measure %s", what)
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "go MEASURE CLIENT [--url http://HOST:PORT] [--at N] [--seconds S] [--bytes N]")
		os.Exit(2)
	}
	url, at, seconds, size := "http://127.0.0.1:8900", 1, 1.0, 330
	for i := 3; i+1 < len(os.Args); i += 2 {
		value := os.Args[i+1]
		switch os.Args[i] {
		case "--url":
			url = value
		case "--at":
			at, _ = strconv.Atoi(value)
		case "--seconds":
			seconds, _ = strconv.ParseFloat(value, 64)
		case "--bytes":
			size, _ = strconv.Atoi(value)
		}
	}
	found, err := measure(os.Args[1], os.Args[2], url, at, size, time.Duration(seconds*float64(time.Second)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	found["measure"], found["client"] = os.Args[1], os.Args[2]
	line, _ := json.Marshal(found)
	fmt.Println(string(line))
}
