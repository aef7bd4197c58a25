package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go"
	"go.uber.org/goleak"
)

// A scripted upstream, as the conformance cases have it, for every test that wants one; and no goroutine is left at the end.

const model = "openai/gpt-4o-mini"

type object = map[string]any

var (
	starting sync.Once
	process  *exec.Cmd
	stdin    io.Closer
	control  string
	talk     = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
)

func TestMain(m *testing.M) {
	code := m.Run()
	if process != nil {
		stdin.Close()
		process.Wait()
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func startUpstreams() {
	target := os.Getenv("CARGO_TARGET_DIR")
	if target == "" {
		target = "../../target"
	}
	program := os.Getenv("OSSAI_SCRIPTED_UPSTREAM")
	if program == "" {
		program = filepath.Join(target, "debug/scripted-upstream")
	}
	process = exec.Command(program)
	process.Stderr = os.Stderr
	stdin, _ = process.StdinPipe()
	stdout, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	var said struct{ Control string }
	if err == nil {
		var line []byte
		if line, err = bufio.NewReader(stdout).ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, &said)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no scripted upstream:", err)
		os.Exit(1)
	}
	control = said.Control
}

// A script is one scripted upstream: its address and what has come to it.
type script struct {
	t   *testing.T
	at  string
	url string
}

func ask(t *testing.T, method, url string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, _ := http.NewRequest(method, url, bytes.NewReader(text))
	response, err := talk.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(response.Body)
	if err := json.Unmarshal(said, into); err != nil || response.StatusCode != 200 {
		t.Fatalf("%s %s: %d %s", method, url, response.StatusCode, said)
	}
}

// upstream answers with these responses.
func upstream(t *testing.T, more object, responses ...object) *script {
	t.Helper()
	starting.Do(startUpstreams)
	if responses == nil {
		responses = []object{}
	}
	document := object{"responses": responses}
	for name, value := range more {
		document[name] = value
	}
	var answer struct {
		ID      string `json:"id"`
		BaseURL string `json:"base_url"`
	}
	ask(t, "POST", control+"/scripts", document, &answer)
	return &script{t, control + "/scripts/" + answer.ID, answer.BaseURL}
}

// reached waits until this many requests have come.
func (s *script) reached(requests int) {
	s.t.Helper()
	var answer struct{ Reached bool }
	ask(s.t, "GET", fmt.Sprintf("%s/wait?requests=%d&timeout_ms=10000", s.at, requests), nil, &answer)
	if !answer.Reached {
		s.t.Fatalf("%d requests were not reached", requests)
	}
}

// outcomes are how the responses ended, once all have.
func (s *script) outcomes() []string {
	s.t.Helper()
	var answer struct {
		Log struct{ Requests []struct{ Outcome string } }
	}
	ask(s.t, "GET", s.at+"/wait?settled=1&timeout_ms=10000", nil, &answer)
	list := []string{}
	for _, request := range answer.Log.Requests {
		list = append(list, request.Outcome)
	}
	return list
}

type request struct {
	Body    map[string]any
	Headers [][2]string
}

func (r request) header(name string) string {
	for _, header := range r.Headers {
		if header[0] == name {
			return header[1]
		}
	}
	return ""
}

func (s *script) requests() []request {
	s.t.Helper()
	var answer struct{ Requests []request }
	ask(s.t, "GET", s.at+"/log", nil, &answer)
	return answer.Requests
}

// settings are those with which OpenAI is this upstream.
func (s *script) settings() ossai.Config {
	return ossai.Config{
		Providers: map[string]ossai.Provider{"openai": {BaseURL: s.url + "/v1", APIKey: "sk-canary", API: "openai_chat"}},
		Retry:     ossai.Retry{Base: time.Millisecond, ThrottleBase: time.Millisecond},
	}
}

// open opens a client that is closed with its test.
func open(t *testing.T, options ...ossai.ClientOption) *ossai.Client {
	t.Helper()
	client, err := ossai.New(append([]ossai.ClientOption{ossai.WithoutEnvironment()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func says(text string) object { return object{"body": object{"openai_chat": object{"text": text}}} }

func streams(deltas ...string) object {
	return object{"body": object{"openai_chat_stream": object{"deltas": deltas}}}
}

func hangs() object {
	return object{"body": object{"openai_chat": object{"text": "never"}}, "stall_after": object{"head": 10}}
}

// stalls streams one event and then nothing.
func stalls() object {
	response := streams("one", "two")
	response["stall_after"] = object{"event": 2}
	return response
}

func hello() ossai.CompletionRequest {
	return ossai.CompletionRequest{Model: model, Messages: []ossai.Message{ossai.User("Hello")}}
}

func cold() ossai.CompletionRequest {
	request := hello()
	request.Temperature = ossai.Ptr(0.0)
	return request
}

func local() ossai.CompletionRequest {
	return ossai.CompletionRequest{
		Model:       "local/extract",
		Messages:    []ossai.Message{ossai.User("Context:\nThe sky is blue.\n\nWhat colour is the sky?")},
		Temperature: ossai.Ptr(0.0),
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
