package tests

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ossai-dev/ossai-go"
)

// keyless settings leave the key to a callback.
func keyless(script *script) ossai.Config {
	config := script.settings()
	openai := config.Providers["openai"]
	openai.APIKey = ""
	config.Providers["openai"] = openai
	return config
}

func TestACredentialIsAskedForBeforeTheFirstCallAndAfterARefusal(t *testing.T) {
	script := upstream(t, nil, says("Hi"), says("Hi"), object{"status": 401, "body": object{"openai_error": object{}}}, says("Hi"))
	var asked atomic.Int64
	client := open(t, keyless(script), ossai.WithCredential("openai", ossai.Credential{
		Fetch: func(context.Context) (string, error) {
			return "sk-" + string(rune('0'+asked.Add(1))), nil
		},
		Identity: "me",
	}))
	equal(t, "at opening", asked.Load(), 0)
	for range 3 {
		must(client.Complete(background, hello()))(t)
	}
	var sent []string
	for _, request := range script.requests() {
		sent = append(sent, strings.TrimPrefix(request.header("authorization"), "Bearer "))
	}
	equal(t, "keys", strings.Join(sent, " "), "sk-1 sk-1 sk-1 sk-2")
}

func TestACallbackThatFailsEndsTheCallAndNotTheClient(t *testing.T) {
	script := upstream(t, object{"default": says("Hi")})
	sealed := errors.New("the vault is sealed")
	fail := atomic.Int64{}
	client := open(t, keyless(script), ossai.WithCredential("openai", ossai.Credential{
		Fetch: func(context.Context) (string, error) {
			switch fail.Load() {
			case 0:
				return "", sealed
			case 1:
				panic("oh")
			}
			return "sk-1", nil
		},
	}))
	_, err := client.Complete(background, hello())
	if !errors.Is(err, ossai.ErrCallbackError) || !errors.Is(err, sealed) {
		t.Error(err)
	}
	fail.Store(1)
	if _, err := client.Complete(background, hello()); !errors.Is(err, ossai.ErrCallbackError) {
		t.Error(err)
	}
	if stream := client.Stream(background, hello()); stream.Next() || !errors.Is(stream.Err(), ossai.ErrCallbackError) {
		t.Error(stream.Err())
	}
	fail.Store(2)
	must(client.Complete(background, hello()))(t)
}

func TestACallbackHearsThatNobodyWaitsAnyMore(t *testing.T) {
	script := upstream(t, nil)
	heard, asked := make(chan error, 1), make(chan struct{})
	client := open(t, keyless(script), ossai.WithCredential("openai", ossai.Credential{
		Fetch: func(ctx context.Context) (string, error) {
			close(asked)
			<-ctx.Done()
			heard <- ctx.Err()
			return "", ctx.Err()
		},
	}))
	answered := make(chan error, 1)
	go func() {
		_, err := client.Complete(background, hello())
		answered <- err
	}()
	<-asked
	client.Close()
	if err := <-heard; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestACredentialForNobodyIsAMistake(t *testing.T) {
	fetch := func(context.Context) (string, error) { return "sk", nil }
	_, err := ossai.New(ossai.WithoutEnvironment(), ossai.WithCredential("no-such", ossai.Credential{Fetch: fetch}))
	if !errors.Is(err, ossai.ErrInvalidRequest) {
		t.Error(err)
	}
}

func TestTheLoggerHearsOfCallsThatWentOutAndOfNothingSecret(t *testing.T) {
	script := upstream(t, nil, says("Hi"), streams("Hi"), object{"status": 400, "body": object{"openai_error": object{}}},
		object{"when": object{"path": "/v1/embeddings"}, "body": object{"openai_embeddings": object{"vectors": [][]float64{{1}}}}})
	var said bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client := open(t, script.settings(), ossai.WithLogger(logger))
	request := cold()
	request.Messages[0].Content = "canary"
	must(client.Complete(background, request))(t)
	must(client.Complete(background, request))(t) // kept: nobody was asked
	must(client.Stream(background, hello()).Final())(t)
	if _, err := client.Complete(background, hello()); err == nil {
		t.Error("no error")
	}
	must(client.Embed(background, ossai.EmbeddingRequest{Model: "openai/text-embedding-3-small", Input: []string{"canary"}}))(t)
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	equal(t, "lines", len(lines), 4)
	for i, words := range []string{"level=DEBUG op=complete cost_nanousd=5850", "level=DEBUG op=stream", "level=WARN error=invalid_request", "level=DEBUG op=embed"} {
		for _, word := range strings.Fields(words) {
			if !strings.Contains(lines[i], word) {
				t.Errorf("%q is not in %s", word, lines[i])
			}
		}
	}
	if strings.Contains(said.String(), "canary") {
		t.Error("a secret was logged")
	}
	var none context.Context // is logged too
	if stream := client.Stream(none, hello()); stream.Next() {
		t.Error("an event")
	}
}
