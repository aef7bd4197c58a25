package tests

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go"
)

func TestACancelledContextEndsTheCallAndItsConnection(t *testing.T) {
	script := upstream(t, nil, hangs())
	client := open(t, script.settings())
	reason := errors.New("the user went away")
	ctx, cancel := context.WithCancelCause(background)
	go func() {
		script.reached(1)
		cancel(reason)
	}()
	began := time.Now()
	_, err := client.Complete(ctx, hello())
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ossai.ErrCancelled) || !errors.Is(err, reason) {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	equal(t, "outcome", script.outcomes()[0], "client_closed")
	equal(t, "under way", client.CallsUnderWay(), 0)
}

func TestTheContextsDeadlineIsTheCalls(t *testing.T) {
	script := upstream(t, nil, hangs(), hangs())
	client := open(t, script.settings())
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	_, err := client.Complete(ctx, hello())
	var failure *ossai.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &failure) || !failure.Timeout() {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	stream := client.Stream(ctx, hello())
	if stream.Next() || !errors.Is(stream.Err(), context.DeadlineExceeded) {
		t.Error(stream.Err())
	}
	for _, outcome := range script.outcomes() {
		equal(t, "outcome", outcome, "client_closed")
	}
}

func TestTheNearestLimitHolds(t *testing.T) {
	client := open(t, ossai.WithTimeout(time.Minute))
	long, cancel := context.WithTimeout(background, time.Hour)
	defer cancel()
	// An hour of the context's does not lengthen the client's minute: the core is asked for a plan of the same call.
	equal(t, "time", must(client.Explain(local()))(t).TimeoutMS, 60000)
	must(client.Complete(long, local(), ossai.WithNoCache()))(t)
	script := upstream(t, object{"default": hangs()})
	client = open(t, script.settings(), ossai.WithTimeout(40*time.Millisecond))
	for _, options := range [][]ossai.CallOption{nil, {ossai.WithTimeout(40 * time.Millisecond)}, {ossai.WithTimeout(0)}} {
		_, err := client.Complete(long, hello(), options...)
		if !errors.Is(err, ossai.ErrTimeout) {
			t.Error(err)
		}
	}
}

func TestAContextThatHasEndedSendsNothing(t *testing.T) {
	script := upstream(t, nil)
	client := open(t, script.settings())
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := client.Complete(ctx, hello()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if stream := client.Stream(ctx, hello()); stream.Next() || !errors.Is(stream.Err(), context.Canceled) {
		t.Error(stream.Err())
	}
	if _, err := client.Models(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := client.Health(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := client.Embed(ctx, ossai.EmbeddingRequest{Model: "openai/text-embedding-3-small", Input: []string{"a"}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	equal(t, "requests", len(script.requests()), 0)
}

func TestCancellingOneOfACallsSharersLeavesTheOthersTheirAnswer(t *testing.T) {
	late := says("Hi")
	late["delay_ms"] = 300
	script := upstream(t, nil, late)
	client := open(t, script.settings())
	ctx, cancel := context.WithCancel(background)
	var group sync.WaitGroup
	for i := range 10 {
		group.Add(1)
		go func() {
			defer group.Done()
			if i%2 == 0 {
				if _, err := client.Complete(ctx, cold()); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			if answer, err := client.Complete(background, cold()); err != nil || answer.Text != "Hi" {
				t.Error(answer, err)
			}
		}()
	}
	script.reached(1)
	for must(client.Stats())(t).Waiters < 10 {
		runtime.Gosched()
	}
	cancel()
	group.Wait()
	equal(t, "requests", len(script.requests()), 1)
}

func TestCloseEndsCallsUnderWayAndRefusesNewOnes(t *testing.T) {
	script := upstream(t, object{"default": hangs()})
	client := open(t, script.settings())
	var group sync.WaitGroup
	for i := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			request := hello()
			request.User = string(rune('a' + i))
			var err error
			if i%2 == 0 {
				_, err = client.Complete(background, request)
			} else {
				stream := client.Stream(background, request)
				for stream.Next() {
				}
				err = stream.Err()
			}
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
	}
	script.reached(20)
	equal(t, "under way", client.CallsUnderWay(), 20)
	var closers sync.WaitGroup
	for range 3 {
		closers.Add(1)
		go func() { defer closers.Done(); client.Close() }()
	}
	closers.Wait()
	group.Wait()
	for _, outcome := range script.outcomes() {
		equal(t, "outcome", outcome, "client_closed")
	}
	if _, err := client.Complete(background, hello()); !errors.Is(err, ossai.ErrInvalidState) {
		t.Error(err)
	}
	if stream := client.Stream(background, hello()); stream.Next() || !errors.Is(stream.Err(), ossai.ErrInvalidState) {
		t.Error(stream.Err())
	}
	if _, err := client.Stats(); !errors.Is(err, ossai.ErrInvalidState) {
		t.Error(err)
	}
	if _, err := client.Lookup(hello()); !errors.Is(err, ossai.ErrInvalidState) {
		t.Error(err)
	}
	if err := client.Shutdown(background); err != nil {
		t.Error(err)
	}
	equal(t, "under way", client.CallsUnderWay(), 0)
}

func TestShutdownLetsCallsFinish(t *testing.T) {
	late := says("Hi")
	late["delay_ms"] = 150
	script := upstream(t, nil, late)
	client := open(t, script.settings())
	answered := make(chan error, 1)
	go func() {
		_, err := client.Complete(background, hello())
		answered <- err
	}()
	script.reached(1)
	if err := client.Shutdown(background); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	for _, deadline := range []bool{true, false} {
		script := upstream(t, nil, hangs())
		client := open(t, script.settings())
		answered := make(chan error, 1)
		go func() {
			_, err := client.Complete(background, hello())
			answered <- err
		}()
		script.reached(1)
		ctx, cancel := context.WithCancel(background)
		want := context.Canceled
		if deadline {
			ctx, cancel = context.WithTimeout(background, 30*time.Millisecond)
			want = context.DeadlineExceeded
		} else {
			time.AfterFunc(30*time.Millisecond, cancel)
		}
		if err := client.Shutdown(ctx); !errors.Is(err, want) {
			t.Error(err)
		}
		cancel()
		if err := <-answered; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		equal(t, "outcome", script.outcomes()[0], "client_closed")
	}
}

// collected runs the collector until the script's requests have ended.
func collected(script *script) {
	done := make(chan struct{})
	go func() {
		script.outcomes()
		close(done)
	}()
	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestADroppedClientAndADroppedStreamCloseThemselves(t *testing.T) {
	script := upstream(t, nil, stalls(), stalls())
	func() { // a stream dropped by itself, and one with its client
		client := open(&testing.T{}, script.settings())
		for range 2 {
			stream := client.Stream(background, hello())
			if !stream.Next() {
				t.Fatal(stream.Err())
			}
		}
	}()
	collected(script)
	for _, outcome := range script.outcomes() {
		equal(t, "outcome", outcome, "client_closed")
	}
	for range 200 { // and clients that were never used
		must(ossai.New(ossai.WithoutEnvironment()))(t)
	}
	for range 3 {
		runtime.GC()
	}
}

func TestACallHoldsItsClient(t *testing.T) {
	late := says("Hi")
	late["delay_ms"] = 100
	script := upstream(t, nil, late)
	answered := make(chan error, 1)
	go func() {
		_, err := must(ossai.New(ossai.WithoutEnvironment(), script.settings()))(t).Complete(background, hello())
		answered <- err
	}()
	for {
		runtime.GC()
		select {
		case err := <-answered:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestTenThousandCancelledCallsLeaveNothing(t *testing.T) {
	script := upstream(t, object{"default": hangs()})
	config := script.settings()
	config.Breaker.Enabled = ossai.Ptr(false) // time-outs would open the circuit
	client := open(t, config)
	before := runtime.NumGoroutine()
	var group sync.WaitGroup
	for worker := range 50 {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range 200 {
				ctx, cancel := context.WithCancel(background)
				after, want := time.Duration(n%5)*100*time.Microsecond, context.Canceled
				if n%2 == 0 {
					ctx, cancel = context.WithTimeout(background, after)
					want = context.DeadlineExceeded
				} else {
					time.AfterFunc(after, cancel)
				}
				var err error
				if worker%2 == 0 {
					_, err = client.Complete(ctx, hello())
				} else {
					_, err = client.Stream(ctx, hello()).Final()
				}
				if !errors.Is(err, want) {
					t.Error(err)
				}
				cancel()
			}
		}()
	}
	group.Wait()
	equal(t, "under way", client.CallsUnderWay(), 0)
	for range 200 {
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), before)
}

func TestOneClientServesManyGoroutinesAtOnce(t *testing.T) {
	script := upstream(t, object{"default": says("Hi")})
	client := open(t, script.settings())
	var group sync.WaitGroup
	for worker := range 32 {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range 30 {
				request := cold()
				request.User = string(rune('a' + (worker*n)%7))
				answer, err := client.Complete(background, request)
				if err != nil || answer.Text != "Hi" {
					t.Error(answer, err)
				}
				if _, err := client.Count(request); err != nil {
					t.Error(err)
				}
				if _, err := client.Stream(background, request).Final(); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
	equal(t, "requests", len(script.requests()), 7)
}

func TestOpeningAndClosingWhileOthersCallHarmsNobody(t *testing.T) {
	script := upstream(t, object{"default": says("Hi")})
	var group sync.WaitGroup
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 20 {
				client := open(t, script.settings())
				var calls sync.WaitGroup
				for range 4 {
					calls.Add(1)
					go func() {
						defer calls.Done()
						_, err := client.Complete(background, hello())
						if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ossai.ErrInvalidState) {
							t.Error(err)
						}
					}()
				}
				client.Close()
				calls.Wait()
			}
		}()
	}
	group.Wait()
}
