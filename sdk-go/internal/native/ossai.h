// The C interface of ossai. Written by cbindgen from bindings/c: change that, not this.
//
// The rules are in bindings/CONTRACT.md. In short: nothing here blocks but `ossai_shutdown`, and nothing calls back. Sessions,
// queues and calls are numbers; one that is closed, freed or made up is an error, never undefined. Text is UTF-8, given as
// pointer and length, and read before the function returns. What comes out is JSON (of a drain: records), and belongs to the
// caller until `ossai_bytes_free`. Every function may be called from any thread. A process that forks without exec must not
// use it in the child.

#ifndef OSSAI_H
#define OSSAI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// It is done; `out` has the answer, where there is one.
#define OSSAI_OK 0

// The call is under way; its events come to the queue.
#define OSSAI_PENDING 1

// It went wrong; `out` has the error's fields as JSON.
#define OSSAI_FAILED 2

// Bytes of a record before its JSON.
#define OSSAI_RECORD_HEADER 16

// A call's answer.
#define OSSAI_EVENT_ANSWER 1

// A call's or stream's end in an error: its fields.
#define OSSAI_EVENT_ERROR 2

// A list of a stream's events; more come.
#define OSSAI_EVENT_STREAM 3

// A list of a stream's events, the last of which is its end.
#define OSSAI_EVENT_LAST_STREAM 4

// Something the host is to do, and to answer with `ossai_complete_host_call`.
#define OSSAI_EVENT_HOST_CALL 5

// A host call that nobody waits for any more.
#define OSSAI_EVENT_HOST_CALL_CANCELLED 6

// Bytes that belong to the caller until `ossai_bytes_free`. Zeroed is empty.
typedef struct OssaiBytes {
  // The first byte; null when there is none.
  uint8_t *ptr;
  // How many bytes there are.
  size_t len;
  // How many the memory holds; for `ossai_bytes_free`.
  size_t cap;
} OssaiBytes;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Gives bytes back and leaves empty ones behind, so that a second time is harmless. Null is harmless too.
//
// # Safety
// `bytes` is null or points to an `OssaiBytes` that a function of this library wrote, or a zeroed one, and no other thread
// uses it.
void ossai_bytes_free(struct OssaiBytes *bytes);

// The version, so that an SDK can refuse a library of another. It ends with a NUL and is never freed.
const char *ossai_version(void);

// The names of every operation, as a list.
//
// # Safety
// `out` may be written, or is null.
int32_t ossai_operations(struct OssaiBytes *out);

// The core's kinds of errors, as a list of `{"name", "retriable", "http"}`.
//
// # Safety
// `out` may be written, or is null.
int32_t ossai_error_kinds(struct OssaiBytes *out);

// The names of a type's fields, as a list; empty for a type there is none of.
//
// # Safety
// `of` points to `of_len` bytes; `out` may be written, or is null.
int32_t ossai_field_names(const uint8_t *of, size_t of_len, struct OssaiBytes *out);

// The configuration with every default.
//
// # Safety
// `out` may be written, or is null.
int32_t ossai_default_config(struct OssaiBytes *out);

// How many threads the runtime gets, 1 to 64; 2 unless said otherwise. 0 once it runs, else 1.
int32_t ossai_configure_threads(uint32_t threads);

// Ends everything for the process's exit: refuses new calls, cancels those under way and waits, at most so many
// milliseconds, until their connections are closed. 1 when all were. The one function that blocks.
int32_t ossai_shutdown(uint64_t patience_ms);

// Opens a queue: `*queue` names it, and `*descriptor`, which belongs to the caller (close it, at any time), becomes readable
// when there is something to drain. Read the byte, then drain.
//
// # Safety
// `queue`, `descriptor` and `out` may each be written, or are null.
int32_t ossai_queue_open(uint64_t *queue,
                         int32_t *descriptor,
                         struct OssaiBytes *out);

// Takes at most `max` events, oldest first, as records (see `OSSAI_RECORD_HEADER`); wakes again when some are left.
//
// # Safety
// `out` may be written, or is null.
int32_t ossai_queue_drain(uint64_t queue, uint32_t max, struct OssaiBytes *out);

// Ends a queue: what is in it and what would come is dropped. An unknown one is harmless.
void ossai_queue_free(uint64_t queue);

// Opens a session with a configuration document (empty is `{}`); `*session` names it. With `environment` other than 0 what
// the document leaves out is taken from the `OSSAI_…` variables. `credentials` is empty, or a list of
// `{"provider", "identity"}` whose credentials the host gives: then `queue` must be served as long as the session is open.
//
// # Safety
// Texts point to as many bytes as their lengths say; `session` and `out` may each be written, or are null.
int32_t ossai_session_open(const uint8_t *config,
                           size_t config_len,
                           int32_t environment,
                           const uint8_t *credentials,
                           size_t credentials_len,
                           uint64_t queue,
                           uint64_t *session,
                           struct OssaiBytes *out);

// Begins an operation. `OSSAI_OK`: it is over, and `out` has the answer; `OSSAI_PENDING`: it is under way, `*call` names it,
// and its events come to `queue`; `OSSAI_FAILED`: it is over, and `out` has the error.
//
// # Safety
// Texts point to as many bytes as their lengths say; `call` and `out` may each be written, or are null.
int32_t ossai_begin(uint64_t session,
                    const uint8_t *op,
                    size_t op_len,
                    const uint8_t *request,
                    size_t request_len,
                    const uint8_t *options,
                    size_t options_len,
                    uint64_t queue,
                    uint64_t *call,
                    struct OssaiBytes *out);

// Ends a call; its connection is closed unless others share it. 1 when it was under way: then nothing more comes of it but
// what is in the queue already; else 0.
int32_t ossai_cancel(uint64_t session,
                     uint64_t call);

// Lets a stream send this many more events.
void ossai_grant(uint64_t session, uint64_t call, uint32_t events);

// Answers a host call with `{"ok": …}` or `{"error": {"type", "message"}}`; `*waited` is 1 when somebody waited for it.
//
// # Safety
// `result` points to `result_len` bytes; `waited` and `out` may each be written, or are null.
int32_t ossai_complete_host_call(uint64_t session,
                                 uint64_t id,
                                 const uint8_t *result,
                                 size_t result_len,
                                 int32_t *waited,
                                 struct OssaiBytes *out);

// How many calls are under way.
uint64_t ossai_calls_under_way(uint64_t session);

// Refuses new calls and cancels those under way, whose `cancelled` errors come to their queues. Again is harmless.
void ossai_session_close(uint64_t session);

// Closes a session, if it is not, and forgets its number. Again is harmless.
void ossai_session_free(uint64_t session);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* OSSAI_H */
