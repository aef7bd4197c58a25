//go:build cgo && linux && (amd64 || arm64)

// Package native is the C interface of the core, as Go values. It holds no policy and no state; the header beside it is the
// one of the static library.
//
// No function blocks, and none calls back into Go. Memory that comes out is C's: it is read in place and given back.
package native

// #include <stdlib.h>
// #include "ossai.h"
// #cgo noescape ossai_begin
// #cgo nocallback ossai_begin
// #cgo noescape ossai_bytes_free
// #cgo nocallback ossai_bytes_free
// #cgo noescape ossai_queue_drain
// #cgo nocallback ossai_queue_drain
// #cgo noescape ossai_complete_host_call
// #cgo nocallback ossai_complete_host_call
// #cgo nocallback ossai_cancel
// #cgo nocallback ossai_grant
import "C"

import (
	"encoding/binary"
	"unsafe"
)

// Status is what a function came to.
type Status int32

// What a function came to.
const (
	OK      Status = C.OSSAI_OK
	Pending Status = C.OSSAI_PENDING
	Failed  Status = C.OSSAI_FAILED
)

// Kind is the kind of a queue's event.
type Kind uint32

// The kinds of a queue's events.
const (
	Answer            Kind = C.OSSAI_EVENT_ANSWER
	Error             Kind = C.OSSAI_EVENT_ERROR
	Stream            Kind = C.OSSAI_EVENT_STREAM
	LastStream        Kind = C.OSSAI_EVENT_LAST_STREAM
	HostCall          Kind = C.OSSAI_EVENT_HOST_CALL
	HostCallCancelled Kind = C.OSSAI_EVENT_HOST_CALL_CANCELLED
)

// Bytes is memory of C's. It must be given back exactly once, after the last look at it.
type Bytes struct {
	c C.OssaiBytes
}

// View is the memory itself: valid until Free, and never to be changed.
func (b *Bytes) View() []byte {
	if b.c.ptr == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(b.c.ptr)), int(b.c.len))
}

// Free gives it back.
func (b *Bytes) Free() {
	if b.c.ptr != nil {
		C.ossai_bytes_free(&b.c)
	}
}

// take copies the memory and gives it back.
func (b *Bytes) take() []byte {
	copied := append([]byte(nil), b.View()...)
	b.Free()
	return copied
}

func bytesOf(b []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.SliceData(b)), C.size_t(len(b))
}

func textOf(s string) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.StringData(s)), C.size_t(len(s))
}

// Version is the library's.
func Version() string {
	return C.GoString(C.ossai_version())
}

// OpenQueue opens a queue; the descriptor is the caller's. The failure is an error's fields as JSON.
func OpenQueue() (queue uint64, descriptor int, failure []byte) {
	var handle C.uint64_t
	var fd C.int32_t
	var out Bytes
	if Status(C.ossai_queue_open(&handle, &fd, &out.c)) != OK {
		return 0, -1, out.take()
	}
	return uint64(handle), int(fd), nil
}

// recordHeader is the length of what stands before an event's JSON.
const recordHeader = C.OSSAI_RECORD_HEADER

// Drain hands at most max events, oldest first, to handle, and says how many there were. The payload is Go's. A failure is an
// error's fields as JSON.
func Drain(queue uint64, max uint32, handle func(kind Kind, id uint64, payload []byte)) (events int, failure []byte) {
	var out Bytes
	status := Status(C.ossai_queue_drain(C.uint64_t(queue), C.uint32_t(max), &out.c))
	batch := out.take()
	if status != OK {
		return 0, batch
	}
	for len(batch) >= recordHeader {
		kind := Kind(binary.LittleEndian.Uint32(batch))
		length := binary.LittleEndian.Uint32(batch[4:])
		id := binary.LittleEndian.Uint64(batch[8:])
		batch = batch[recordHeader:]
		if uint64(length) > uint64(len(batch)) {
			break
		}
		handle(kind, id, batch[:length:length])
		batch = batch[length:]
		events++
	}
	return events, nil
}

// FreeQueue ends a queue.
func FreeQueue(queue uint64) {
	C.ossai_queue_free(C.uint64_t(queue))
}

// Open opens a session. The failure is an error's fields as JSON.
func Open(config []byte, environment bool, credentials []byte, queue uint64) (session uint64, failure []byte) {
	var handle C.uint64_t
	var out Bytes
	var fromEnvironment C.int32_t
	if environment {
		fromEnvironment = 1
	}
	configPtr, configLen := bytesOf(config)
	credentialsPtr, credentialsLen := bytesOf(credentials)
	status := C.ossai_session_open(configPtr, configLen, fromEnvironment, credentialsPtr, credentialsLen, C.uint64_t(queue), &handle, &out.c)
	if Status(status) != OK {
		return 0, out.take()
	}
	return uint64(handle), nil
}

// Begin begins an operation: the answer or the error in out, or the number of the call whose events come to the queue.
func Begin(session uint64, op string, request, options []byte, queue uint64, out *Bytes) (Status, uint64) {
	var call C.uint64_t
	opPtr, opLen := textOf(op)
	requestPtr, requestLen := bytesOf(request)
	optionsPtr, optionsLen := bytesOf(options)
	status := C.ossai_begin(C.uint64_t(session), opPtr, opLen, requestPtr, requestLen, optionsPtr, optionsLen, C.uint64_t(queue), &call, &out.c)
	return Status(status), uint64(call)
}

// Cancel ends a call; whether it was under way.
func Cancel(session, call uint64) bool {
	return C.ossai_cancel(C.uint64_t(session), C.uint64_t(call)) != 0
}

// Grant lets a stream send more events.
func Grant(session, call uint64, events uint32) {
	C.ossai_grant(C.uint64_t(session), C.uint64_t(call), C.uint32_t(events))
}

// CompleteHostCall answers a host call; whether somebody waited. The failure is an error's fields as JSON.
func CompleteHostCall(session, id uint64, result []byte) (waited bool, failure []byte) {
	var waiting C.int32_t
	var out Bytes
	resultPtr, resultLen := bytesOf(result)
	status := C.ossai_complete_host_call(C.uint64_t(session), C.uint64_t(id), resultPtr, resultLen, &waiting, &out.c)
	if Status(status) != OK {
		return false, out.take()
	}
	return waiting != 0, nil
}

// CallsUnderWay is how many calls of the session are.
func CallsUnderWay(session uint64) int {
	return int(C.ossai_calls_under_way(C.uint64_t(session)))
}

// CloseSession refuses new calls and cancels those under way.
func CloseSession(session uint64) {
	C.ossai_session_close(C.uint64_t(session))
}

// FreeSession closes a session and forgets it.
func FreeSession(session uint64) {
	C.ossai_session_free(C.uint64_t(session))
}

// Operations are the names of the operations, as a JSON list.
func Operations() []byte {
	var out Bytes
	C.ossai_operations(&out.c)
	return out.take()
}

// ErrorKinds are the kinds of errors, as a JSON list of name, retriable and http.
func ErrorKinds() []byte {
	var out Bytes
	C.ossai_error_kinds(&out.c)
	return out.take()
}

// FieldNames are the names of a type's fields, as a JSON list.
func FieldNames(of string) []byte {
	var out Bytes
	ptr, length := textOf(of)
	C.ossai_field_names(ptr, length, &out.c)
	return out.take()
}

// DefaultConfig is the configuration with every default, as JSON.
func DefaultConfig() []byte {
	var out Bytes
	C.ossai_default_config(&out.c)
	return out.take()
}
