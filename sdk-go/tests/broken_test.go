package tests

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go"
)

// A write to a connection that the server has reset raises SIGPIPE, which would end the process without a word: the core's
// threads are none of Go's.
func TestAServerThatResetsUnderTheRequestEndsTheCallAndNotTheProcess(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connection.Read(make([]byte, 1))
			connection.(*net.TCPConn).SetLinger(0)
			connection.Close()
		}
	}()
	client := open(t, ossai.Config{
		Providers: map[string]ossai.Provider{"openai": {BaseURL: "http://" + listener.Addr().String() + "/v1", APIKey: "k", API: "openai_chat"}},
		Retry:     ossai.Retry{Base: time.Millisecond},
	})
	request := hello()
	request.Messages = []ossai.Message{ossai.User(strings.Repeat("a long prompt ", 500_000))}
	for range 10 {
		_, err := client.Complete(background, request)
		if !errors.Is(err, ossai.ErrTransportInterrupted) && !errors.Is(err, ossai.ErrCircuitOpen) {
			t.Fatal(err)
		}
	}
}
