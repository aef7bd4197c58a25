package ossai

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ossai-dev/ossai-go/internal/native"
)

// credit is how many events a stream may send ahead of its reader; topped up as they are read.
const credit = 512

// Stream is the events of a streamed answer, in order; the last of a good one is `end`.
//
//	stream := client.Stream(ctx, request)
//	defer stream.Close()
//	for stream.Next() {
//		fmt.Print(stream.Current().Text)
//	}
//	return stream.Err()
//
// or `for event, err := range stream.All()`. Leaving it early (Close, break, the context, or dropping it) cancels the call and
// closes its connection unless others share it. A program that does not read holds the upstream back. Only Close may be called
// by another goroutine than the one that reads.
type Stream struct {
	client     *Client
	ctx        context.Context
	model      string
	inbox      *inbox
	events     []StreamEvent
	next       int
	taken      uint32
	ended      bool
	err        error
	completion *Completion
	watch      *watch // nil when nobody is told
}

// An inbox is what has come for a stream. The queue and the context know this and not the stream, so that a stream that the
// program has dropped can be collected and its call cancelled.
type inbox struct {
	home    *home
	call    uint64
	arrived chan struct{} // has one when something has changed
	dropped atomic.Bool   // what has come is not wanted any more
	tools   *runner       // nil without tools

	sync.Mutex
	batches [][]byte
	ended   bool
	failure error
	stop    func() bool // hears no more of the context
}

func (b *inbox) signal() {
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

func (b *inbox) deliver(kind native.Kind, payload []byte) {
	switch kind {
	case native.Stream:
		b.Lock()
		b.batches = append(b.batches, payload)
		b.Unlock()
		b.signal()
	case native.LastStream:
		b.end(payload, nil)
	case native.Error:
		b.end(nil, b.tools.blame(b.home.errorOf(payload)))
	default:
		b.end(nil, &Error{Kind: ErrInternal, Message: "the stream has no events", Billed: "maybe"})
	}
}

func (b *inbox) end(batch []byte, failure error) {
	b.Lock()
	if !b.ended {
		b.ended, b.failure = true, failure
		if batch != nil {
			b.batches = append(b.batches, batch)
		}
	}
	stop := b.stop
	b.Unlock()
	if stop != nil {
		stop()
	}
	if b.tools != nil {
		b.tools.end()
	}
	b.signal()
}

// abort ends the call, if it has not ended.
func (b *inbox) abort(failure error) {
	underWay := b.home.forget(b.call)
	b.Lock()
	if !b.ended {
		b.dropped.Store(true)
		b.batches = nil
	}
	b.Unlock()
	b.end(nil, failure) // the caller hears first
	if underWay {
		native.Cancel(b.home.session, b.call)
	}
}

// take is the next batch; nil when the stream has ended, and why. It lets `granted` more events come before it waits.
func (b *inbox) take(granted uint32) ([]byte, error) {
	if granted >= credit/2 {
		native.Grant(b.home.session, b.call, granted)
		granted = 0
	}
	for {
		b.Lock()
		if len(b.batches) > 0 {
			batch := b.batches[0]
			b.batches = b.batches[1:]
			b.Unlock()
			return batch, nil
		}
		ended, failure := b.ended, b.failure
		b.Unlock()
		if ended {
			return nil, failure
		}
		if granted > 0 {
			native.Grant(b.home.session, b.call, granted)
			granted = 0
		}
		<-b.arrived
	}
}

// Stream asks for a completion as events; it begins at once. What is wrong is told by Err after the first Next.
func (c *Client) Stream(ctx context.Context, request CompletionRequest, options ...CallOption) *Stream {
	var watch *watch
	if c.telemetry != nil {
		told := request
		ctx, options, watch = c.watched(ctx, CallInfo{Op: "stream", Completion: &told}, request.Model, options)
	}
	s := &Stream{client: c, ctx: ctx, model: request.Model, watch: watch}
	if watch != nil {
		watch.follow(s)
	}
	if err := s.begin(ctx, &request, options); err != nil {
		s.ended, s.err = true, err
		s.log()
	}
	return s
}

func (s *Stream) begin(ctx context.Context, request *CompletionRequest, options []CallOption) error {
	if ctx == nil {
		return invalid("ctx", "expected a context")
	}
	if ctx.Err() != nil {
		failure := ended(ctx)
		failure.Billed = "no"
		return failure
	}
	e := newEncoder()
	defer e.free()
	request.encode(e)
	length := len(e.buf)
	home := s.client.home
	given, plan := home.encodeOptions(ctx, e, options, credit)
	if e.fault != nil {
		return e.fault
	}
	box := &inbox{home: home, arrived: make(chan struct{}, 1), tools: plan.runner(ctx, s.client.toolWatch(ctx))}
	var out native.Bytes
	call, pending, failure := home.begin("stream", e.buf[:length], given, &out, box.tools.tend(box))
	if box.tools != nil && !pending {
		box.tools.end()
	}
	if failure != nil {
		return failure
	}
	if !pending {
		s.ended = true
		err := s.read(out.View())
		out.Free()
		return err
	}
	s.inbox = box
	box.Lock()
	box.call = call
	if !box.ended {
		box.stop = context.AfterFunc(ctx, func() { box.abort(ended(ctx)) })
	}
	box.Unlock()
	runtime.AddCleanup(s, func(b *inbox) { b.abort(nil) }, box)
	return nil
}

// read takes a batch of events over.
func (s *Stream) read(batch []byte) error {
	d := decoder{data: batch}
	s.events, s.next = s.events[:0], 0
	if d.open('[') {
		for first := true; d.more(']', &first); {
			s.events = append(s.events, StreamEvent{})
			s.events[len(s.events)-1].decode(&d)
		}
	}
	return unreadable(d.done())
}

// Next waits for the next event; false at the end of the stream, and after an error.
func (s *Stream) Next() bool {
	defer runtime.KeepAlive(s)
	for {
		if s.inbox != nil && s.inbox.dropped.Load() {
			s.events, s.next = nil, 0
		}
		if s.next < len(s.events) {
			s.next++
			s.taken++
			if event := &s.events[s.next-1]; event.Type == EventEnd {
				s.completion = event.Completion
				s.log()
			}
			return true
		}
		if s.ended {
			return false
		}
		batch, failure := s.inbox.take(s.taken)
		s.taken = 0
		if batch == nil {
			s.ended, s.err = true, failure
			if failure != nil {
				s.log()
			}
			continue
		}
		if err := s.read(batch); err != nil {
			s.ended, s.err, s.events = true, err, nil
			s.watch.endWith(s)
			s.inbox.abort(nil)
		}
	}
}

// Current is the event that Next found.
func (s *Stream) Current() StreamEvent {
	if s.next == 0 || s.next > len(s.events) {
		return StreamEvent{}
	}
	return s.events[s.next-1]
}

// Err is the error that ended the stream, an *Error; nil when it ended well or was closed.
func (s *Stream) Err() error { return s.err }

// Close ends the stream; its call is cancelled unless it is over. Again is harmless.
func (s *Stream) Close() error {
	if s.inbox != nil {
		s.inbox.abort(nil)
	}
	s.watch.end(CallResult{})
	runtime.KeepAlive(s)
	return nil
}

// All is the events, and at last the error that ended the stream, if one did. Leaving the loop closes the stream.
func (s *Stream) All() iter.Seq2[StreamEvent, error] {
	return func(yield func(StreamEvent, error) bool) {
		defer s.Close()
		for s.Next() {
			if !yield(s.Current(), nil) {
				return
			}
		}
		if s.err != nil {
			yield(StreamEvent{}, s.err)
		}
	}
}

// Text is the pieces of text as they come, and at last the error that ended the stream, if one did. Leaving the loop closes
// the stream.
func (s *Stream) Text() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range s.All() {
			if (err != nil || event.Type == EventTextDelta) && !yield(event.Text, err) {
				return
			}
		}
	}
}

// Completion is the whole answer once the stream has ended; nil before.
func (s *Stream) Completion() *Completion { return s.completion }

// Final reads to the end and gives the whole answer: what Complete would have.
func (s *Stream) Final() (*Completion, error) {
	defer s.Close()
	for s.Next() {
		// only the last one matters
	}
	if s.completion != nil {
		return s.completion, nil
	}
	if s.err != nil {
		return nil, s.err
	}
	return nil, &Error{Kind: ErrInvalidState, Message: "the stream was closed before its end", Billed: "maybe"}
}
