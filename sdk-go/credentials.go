package ossai

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/ossai-dev/ossai-go/internal/native"
)

// Credential is where a provider's credential comes from while calls are made, and whose it is: short-lived tokens, a vault, a
// cloud's identity.
type Credential struct {
	// Fetch gives the credential as it is now. It is asked before the first call and again when the provider answers 401,
	// never twice at once, on a goroutine of its own. Its context ends when nobody waits any more. Required.
	Fetch func(ctx context.Context) (string, error)
	// Identity is whose it is: two sources of one identity share kept answers, though the credential itself may change from
	// hour to hour; without one nothing is shared beyond the client.
	Identity string
}

// WithCredential gives a provider's credential while calls are made.
func WithCredential(provider string, credential Credential) ClientOption {
	return clientOption(func(s *settings) error {
		if credential.Fetch == nil {
			return invalid("credentials."+provider+".fetch", "expected a function")
		}
		if s.credentials == nil {
			s.credentials = map[string]Credential{}
		}
		s.credentials[provider] = credential
		return nil
	})
}

// hosts answers what a session asks the program: for credentials itself, for tools through the runner of their call.
type hosts struct {
	credentials map[string]Credential
	context     context.Context
	cancel      context.CancelFunc

	sync.Mutex
	under  map[uint64]context.CancelFunc
	failed error // the last error of a callback
}

// questions are the credentials as the core is told of them, and who gives them.
func questions(credentials map[string]Credential) ([]byte, *hosts) {
	ctx, cancel := context.WithCancel(context.Background())
	asked := &hosts{credentials: credentials, context: ctx, cancel: cancel, under: map[uint64]context.CancelFunc{}}
	if len(credentials) == 0 {
		return nil, asked
	}
	type source struct {
		Provider string  `json:"provider"`
		Identity *string `json:"identity,omitempty"`
	}
	var sources []source
	for provider, credential := range credentials {
		one := source{Provider: provider}
		if credential.Identity != "" {
			one.Identity = &credential.Identity
		}
		sources = append(sources, one)
	}
	slices.SortFunc(sources, func(a, b source) int {
		if a.Provider < b.Provider {
			return -1
		}
		return 1
	})
	text, _ := json.Marshal(sources)
	return text, asked
}

func (h *hosts) hear(home *home, kind native.Kind, id uint64, payload []byte) {
	if kind == native.HostCallCancelled {
		h.Lock()
		cancel := h.under[id]
		delete(h.under, id)
		h.Unlock()
		if cancel != nil {
			cancel()
		}
		return
	}
	asked := new(question)
	_ = json.Unmarshal(payload, asked)
	parent, runner := h.context, (*runner)(nil)
	if asked.Call != 0 {
		if runner = home.runner(asked.Call); runner == nil {
			return // the call is over
		}
		parent = runner.context
	}
	ctx, cancel := context.WithTimeout(parent, asked.limit())
	h.Lock()
	h.under[id] = cancel
	h.Unlock()
	tell := func(result []byte) {
		h.Lock()
		_, wanted := h.under[id]
		delete(h.under, id)
		h.Unlock()
		if !wanted || result == nil {
			return
		}
		// What is no JSON to the core (half a surrogate pair) is the handler's failure.
		if _, failure := native.CompleteHostCall(home.session, id, result); failure != nil {
			native.CompleteHostCall(home.session, id, failed("error", errorOf(failure)))
		}
	}
	go func() {
		defer cancel()
		if runner != nil {
			runner.answer(ctx, asked, tell)
			return
		}
		tell(h.answer(ctx, asked.Kind, asked.Name))
	}()
}

// answer is the result of one question; whatever the callback fails with becomes an error of the calls that need it.
func (h *hosts) answer(ctx context.Context, kind, name string) (result []byte) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = h.failure("panic", fmt.Errorf("the callback panicked: %v", panicked))
		}
	}()
	credential, known := h.credentials[name]
	if kind != "credential" || !known {
		return h.failure("error", fmt.Errorf("the client has no handler for it"))
	}
	value, err := credential.Fetch(ctx)
	if err != nil {
		return h.failure(fmt.Sprintf("%T", err), err)
	}
	text, _ := json.Marshal(map[string]string{"ok": value})
	return text
}

func (h *hosts) failure(kind string, err error) []byte {
	h.Lock()
	h.failed = err
	h.Unlock()
	return failed(kind, err)
}

// cause is the last error of a callback.
func (h *hosts) cause() error {
	h.Lock()
	defer h.Unlock()
	return h.failed
}

// close ends the callbacks' contexts.
func (h *hosts) close() { h.cancel() }
