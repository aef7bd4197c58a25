// Command conformance makes the conformance cases' calls through the public API of this SDK. Driven by `conformance-rust
// --client`; the protocol stands in conformance/rust/src/adapter.rs. Cancelling a call cancels its context.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ossai-dev/ossai-go"
)

type question struct {
	ID      uint64          `json:"id"`
	Do      string          `json:"do"`
	Client  uint64          `json:"client"`
	Op      string          `json:"op"`
	Config  json.RawMessage `json:"config"`
	Request json.RawMessage `json:"request"`
	Options json.RawMessage `json:"options"`
	Tools   *tools          `json:"tools"`
}

type adapter struct {
	out     sync.Mutex
	mutex   sync.Mutex
	clients map[uint64]*ossai.Client
	cancels map[uint64]context.CancelFunc
	next    map[uint64]chan struct{}
}

func (a *adapter) say(document map[string]any) {
	text, err := json.Marshal(document)
	if err != nil {
		text, _ = json.Marshal(map[string]any{"id": document["id"], "error": failure(err)})
	}
	a.out.Lock()
	defer a.out.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func failure(err error) any {
	var known *ossai.Error
	if errors.As(err, &known) {
		return known
	}
	return map[string]string{"kind": "internal", "message": fmt.Sprintf("not an error of ours: %T %v", err, err)}
}

func (a *adapter) call(ctx context.Context, q question, next chan struct{}) (any, error) {
	a.mutex.Lock()
	client := a.clients[q.Client]
	a.mutex.Unlock()
	var options []ossai.CallOption
	if len(q.Options) > 0 && string(q.Options) != "null" {
		var given ossai.CallOptions
		if err := json.Unmarshal(q.Options, &given); err != nil {
			return nil, err
		}
		options = append(options, given)
	}
	if q.Tools != nil {
		more, err := q.Tools.options(client)
		if err != nil {
			return nil, err
		}
		options = append(options, more...)
	}
	if q.Op == "invalidate" {
		var what ossai.Invalidation
		if err := json.Unmarshal(q.Request, &what); err != nil {
			return nil, err
		}
		return client.Invalidate(ctx, what)
	}
	if q.Op == "embed" {
		var request ossai.EmbeddingRequest
		if err := json.Unmarshal(q.Request, &request); err != nil {
			return nil, err
		}
		answer, err := client.Embed(ctx, request, options...)
		if err != nil {
			return nil, err
		}
		return exactly(answer), nil
	}
	var request ossai.CompletionRequest
	if len(q.Request) > 0 && string(q.Request) != "null" {
		if err := json.Unmarshal(q.Request, &request); err != nil {
			return nil, err
		}
	}
	switch q.Op {
	case "complete":
		return client.Complete(ctx, request, options...)
	case "stream":
		stream := client.Stream(ctx, request, options...)
		defer stream.Close()
		for stream.Next() {
			a.say(map[string]any{"id": q.ID, "event": stream.Current()})
			select {
			case <-next:
			case <-ctx.Done():
			}
		}
		return stream.Completion(), stream.Err()
	case "models":
		return client.Models(ctx, "")
	case "health":
		return client.Health(ctx)
	case "budgets":
		return client.Budgets(ctx)
	case "lookup":
		return client.Lookup(request, options...)
	case "explain":
		return client.Explain(request, options...)
	case "count":
		return client.Count(request)
	case "estimate":
		return client.Estimate(request, ossai.EstimateOptions{})
	}
	return nil, fmt.Errorf("unknown operation %s", q.Op)
}

// exactly writes vectors with all digits of their single precision, as languages with doubles have them.
func exactly(answer *ossai.EmbeddingResponse) any {
	type embedding struct {
		Index  int       `json:"index"`
		Vector []float64 `json:"vector"`
	}
	type response struct {
		ossai.EmbeddingResponse
		Embeddings []embedding `json:"embeddings"`
	}
	exact := response{EmbeddingResponse: *answer}
	for _, one := range answer.Embeddings {
		vector := make([]float64, len(one.Vector))
		for i, value := range one.Vector {
			vector[i] = float64(value)
		}
		exact.Embeddings = append(exact.Embeddings, embedding{one.Index, vector})
	}
	return exact
}

func (a *adapter) answer(q question) (any, error) {
	switch q.Do {
	case "open":
		client, err := ossai.New(ossai.WithConfigJSON(q.Config), ossai.WithoutEnvironment())
		if err != nil {
			return nil, err
		}
		a.mutex.Lock()
		a.clients[q.ID] = client
		a.mutex.Unlock()
		return nil, nil
	case "stats":
		a.mutex.Lock()
		client := a.clients[q.Client]
		a.mutex.Unlock()
		return client.Stats()
	case "shut", "close":
		a.mutex.Lock()
		client := a.clients[q.Client]
		if q.Do == "close" {
			delete(a.clients, q.Client)
		}
		a.mutex.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		return client.Shutdown(ctx) == nil, nil
	}
	return nil, fmt.Errorf("unknown question %s", q.Do)
}

func main() {
	a := &adapter{clients: map[uint64]*ossai.Client{}, cancels: map[uint64]context.CancelFunc{}, next: map[uint64]chan struct{}{}}
	in := bufio.NewReader(os.Stdin)
	var all sync.WaitGroup
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		switch q.Do {
		case "next":
			a.mutex.Lock()
			next := a.next[q.ID]
			a.mutex.Unlock()
			if next != nil {
				next <- struct{}{}
			}
		case "cancel":
			a.mutex.Lock()
			cancel := a.cancels[q.ID]
			a.mutex.Unlock()
			if cancel != nil {
				cancel()
			}
		default:
			ctx, cancel := context.WithCancel(context.Background())
			next := make(chan struct{}, 1<<16)
			if q.Do == "call" {
				a.mutex.Lock()
				a.cancels[q.ID], a.next[q.ID] = cancel, next
				a.mutex.Unlock()
			}
			all.Add(1)
			go func() {
				defer all.Done()
				defer cancel()
				var ok any
				var err error
				if q.Do == "call" {
					ok, err = a.call(ctx, q, next)
				} else {
					ok, err = a.answer(q)
				}
				cancelled := ctx.Err() != nil
				a.mutex.Lock()
				delete(a.cancels, q.ID)
				delete(a.next, q.ID)
				a.mutex.Unlock()
				switch {
				case err == nil:
					a.say(map[string]any{"id": q.ID, "ok": ok})
				case !cancelled:
					a.say(map[string]any{"id": q.ID, "error": failure(err)})
				}
			}()
		}
	}
	for _, cancel := range a.cancels {
		cancel()
	}
	all.Wait()
	for _, client := range a.clients {
		client.Close()
	}
}
