package ossai

import (
	"encoding/json"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ossai-dev/ossai-go/internal/native"
)

// A home is what a client has beneath it: its session, and the queue where calls that wait come home. One goroutine, parked
// in Go's own poller while there is nothing to do, hands each event to whoever waits for it. It holds no client, so that one
// that the program has dropped can be collected.
type home struct {
	session uint64
	queue   uint64
	pipe    *os.File
	total   int64 // the client's own limit of a call, in milliseconds

	// Whoever begins a call holds the gate until its waiter is there; so an event whose waiter is not there, once nobody
	// holds the gate, is of a call that was cancelled.
	gate   sync.RWMutex
	closed bool // under the gate

	starting sync.Once
	reading  chan struct{} // closed when the reader has ended
	closing  sync.Once

	shards [16]shard
	hosts  *hosts
}

type shard struct {
	sync.Mutex
	waiters map[uint64]waiter
}

// A waiter hears what comes for its call. It never blocks.
type waiter interface {
	deliver(kind native.Kind, payload []byte)
}

func (h *home) shard(call uint64) *shard { return &h.shards[call%uint64(len(h.shards))] }

// openHome opens the queue; no thread and no goroutine until a call has to wait.
func openHome() (*home, *Error) {
	queue, descriptor, failure := native.OpenQueue()
	if failure != nil {
		return nil, errorOf(failure)
	}
	if err := syscall.SetNonblock(descriptor, true); err != nil {
		native.FreeQueue(queue)
		syscall.Close(descriptor)
		return nil, &Error{Kind: ErrInternal, Message: "the queue's pipe cannot be watched: " + err.Error(), Billed: "no"}
	}
	// A descriptor that does not block is watched by Go's poller.
	return &home{queue: queue, pipe: os.NewFile(uintptr(descriptor), "ossai"), reading: make(chan struct{})}, nil
}

// begin begins an operation. The answer is in out (to be given back), or comes to the waiter; or it is an error.
func (h *home) begin(op string, request, options []byte, out *native.Bytes, expect waiter) (call uint64, pending bool, err *Error) {
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.closed {
		return 0, false, closed()
	}
	status, call := native.Begin(h.session, op, request, options, h.queue, out)
	switch status {
	case native.OK:
		return 0, false, nil
	case native.Pending:
		shard := h.shard(call)
		shard.Lock()
		if shard.waiters == nil {
			shard.waiters = map[uint64]waiter{}
		}
		shard.waiters[call] = expect
		shard.Unlock()
		h.starting.Do(func() { go h.read() })
		return call, true, nil
	}
	err = h.errorOf(out.View())
	out.Free()
	return 0, false, err
}

// errorOf is the core's error, with the program's own beneath it where a callback failed.
func (h *home) errorOf(data []byte) *Error {
	failure := errorOf(data)
	if failure.Kind == ErrCallbackError {
		failure.cause = h.hosts.cause()
	}
	return failure
}

// forget takes the right to end a call; false when its end has come.
func (h *home) forget(call uint64) bool {
	shard := h.shard(call)
	shard.Lock()
	defer shard.Unlock()
	if _, waits := shard.waiters[call]; !waits {
		return false
	}
	delete(shard.waiters, call)
	return true
}

// find is who waits for a call; with the last event nobody does any more.
func (h *home) find(call uint64, last bool) waiter {
	shard := h.shard(call)
	shard.Lock()
	defer shard.Unlock()
	found := shard.waiters[call]
	if last {
		delete(shard.waiters, call)
	}
	return found
}

// most events taken over in one go.
const batch = 256

func (h *home) read() {
	defer close(h.reading)
	var byte [1]byte
	for {
		// Consume the wake-up, then drain: what comes in between wakes again.
		_, err := h.pipe.Read(byte[:])
		for h.drain() == batch {
		}
		if err != nil {
			return
		}
	}
}

func (h *home) drain() int {
	events, failure := native.Drain(h.queue, batch, h.dispatch)
	if failure != nil {
		h.failAll(failure) // what was in the queue is lost
	}
	return events
}

func (h *home) dispatch(kind native.Kind, id uint64, payload []byte) {
	switch kind {
	case native.HostCall, native.HostCallCancelled:
		h.hosts.hear(h, kind, id, payload)
		return
	case native.Answer, native.Error, native.Stream, native.LastStream:
	default:
		return // of a newer core
	}
	if found := h.expect(id, kind != native.Stream); found != nil {
		found.deliver(kind, payload)
	}
}

// expect is who waits for a call, whether or not it has been noted yet.
func (h *home) expect(call uint64, last bool) waiter {
	found := h.find(call, last)
	if found == nil {
		h.gate.Lock() // whoever is beginning a call has noted its waiter by now
		found = h.find(call, last)
		h.gate.Unlock()
	}
	return found
}

// runner is who carries out a call's tool calls; nil when the call is over.
func (h *home) runner(call uint64) *runner {
	found, _ := h.expect(call, false).(tended)
	return found.runner
}

// close refuses new calls, ends those under way, and gives everything back. The second time is harmless.
func (h *home) close() {
	h.closing.Do(func() {
		h.gate.Lock()
		h.closed = true
		h.gate.Unlock()
		native.CloseSession(h.session)
		h.hosts.close()
		// The reader hears what the calls end in, and ends. If there is none, none can start any more.
		h.starting.Do(func() { close(h.reading) })
		_ = h.pipe.SetReadDeadline(time.Unix(1, 0))
		<-h.reading
		h.pipe.Close()
		// Those whose end was not in the queue yet.
		payload, _ := json.Marshal(&Error{Kind: ErrCancelled, Message: "the client was closed", Billed: "maybe"})
		h.failAll(payload)
		native.FreeSession(h.session)
		native.FreeQueue(h.queue)
	})
}

// failAll ends every call with this error.
func (h *home) failAll(payload []byte) {
	for i := range h.shards {
		shard := &h.shards[i]
		shard.Lock()
		waiters := shard.waiters
		shard.waiters = nil
		shard.Unlock()
		for call, waiter := range waiters {
			native.Cancel(h.session, call)
			waiter.deliver(native.Error, payload)
		}
	}
}
