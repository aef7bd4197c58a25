// The whole of the interface from C, with one misuse of each kind: run under a sanitiser it shows that nothing is freed twice,
// used after it was freed, or kept. `smoke` prints a line per promise.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ossai.h"

#define TEXT(s) (const uint8_t *)(s), strlen(s)

static void check(int holds, const char *promise) {
  printf("%s %s\n", holds ? "ok" : "FAIL", promise);
  if (!holds) exit(1);
}

static int has(const OssaiBytes *bytes, const char *text) {
  return bytes->ptr != NULL && memmem(bytes->ptr, bytes->len, text, strlen(text)) != NULL;
}

static const char *REQUEST =
    "{\"model\": \"local/extract\", \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": "
    "\"Context:\\nThe sky is blue.\\n\\nWhat colour is the sky?\"}]}";

int main(void) {
  OssaiBytes out = {0};
  uint64_t queue = 0, session = 0, call = 0;
  int32_t descriptor = -1;

  check(strcmp(ossai_version(), "0.1.0") == 0, "the library says its version");
  check(ossai_queue_open(&queue, &descriptor, &out) == OSSAI_OK && queue != 0 && descriptor >= 0, "a queue opens");
  ossai_bytes_free(&out);
  check(ossai_session_open(TEXT("{\"no_such\": 1}"), 0, NULL, 0, queue, &session, &out) == OSSAI_FAILED && session == 0 &&
            has(&out, "config.no_such"),
        "an unknown setting is an error with its path");
  ossai_bytes_free(&out);
  check(ossai_session_open(NULL, 0, 0, NULL, 0, 0, &session, &out) == OSSAI_OK && session != 0, "a session opens");
  ossai_bytes_free(&out);

  int32_t status = ossai_begin(session, TEXT("complete"), TEXT(REQUEST), NULL, 0, queue, &call, &out);
  if (status == OSSAI_PENDING) {
    struct pollfd watched = {.fd = descriptor, .events = POLLIN};
    char byte;
    check(poll(&watched, 1, 10000) == 1 && read(descriptor, &byte, 1) == 1, "an answer wakes the host");
    ossai_bytes_free(&out);
    status = ossai_queue_drain(queue, 64, &out);
  }
  check(status == OSSAI_OK && has(&out, "blue"), "a call is answered");
  ossai_bytes_free(&out);
  ossai_bytes_free(&out);
  check(out.ptr == NULL, "bytes are given back once");
  check(ossai_begin(session, TEXT("complete"), TEXT(REQUEST), NULL, 0, queue, &call, &out) == OSSAI_OK && call == 0 &&
            has(&out, "\"hit\""),
        "a kept answer comes at once");
  ossai_bytes_free(&out);

  check(ossai_begin(session, TEXT("complete"), TEXT("\xff"), NULL, 0, queue, &call, &out) == OSSAI_FAILED && has(&out, "UTF-8"),
        "text that is none is an error");
  ossai_bytes_free(&out);
  check(ossai_begin(session, TEXT("no_such"), NULL, 0, NULL, 0, queue, NULL, NULL) == OSSAI_FAILED, "nowhere to write is allowed");
  check(ossai_begin(session, TEXT("stats"), NULL, 0, NULL, 0, session, &call, &out) == OSSAI_FAILED &&
            has(&out, "invalid_state"),
        "a session is no queue");
  ossai_bytes_free(&out);

  // Calls that are under way when their session ends.
  const char *settings =
      "{\"providers\": {\"openai\": {\"base_url\": \"http://127.0.0.1:9/v1\", \"api_key\": \"k\"}}, \"retry\": {\"base_ms\": 60000}}";
  uint64_t other = 0, pending[8];
  check(ossai_session_open(TEXT(settings), 0, NULL, 0, queue, &other, &out) == OSSAI_OK, "a second session opens");
  ossai_bytes_free(&out);
  for (int i = 0; i < 8; i++) {
    char request[128];
    snprintf(request, sizeof request, "{\"model\": \"openai/gpt-4o\", \"messages\": [{\"role\": \"user\", \"content\": \"%d\"}]}", i);
    check(ossai_begin(other, TEXT("stream"), TEXT(request), TEXT("{\"credit\": 1}"), queue, &pending[i], &out) == OSSAI_PENDING,
          "a call that waits is under way");
    ossai_bytes_free(&out);
  }
  check(ossai_calls_under_way(other) == 8, "calls are counted");
  check(ossai_cancel(other, pending[0]) == 1 && ossai_cancel(other, pending[0]) == 0, "a call is cancelled once");
  ossai_grant(other, pending[1], 7);
  ossai_grant(other, 12345, 7);
  ossai_session_free(other);
  ossai_session_free(other);
  check(ossai_queue_drain(queue, 64, &out) == OSSAI_OK && has(&out, "cancelled"), "calls end with their session");
  ossai_bytes_free(&out);
  check(ossai_begin(other, TEXT("stats"), NULL, 0, NULL, 0, queue, &call, &out) == OSSAI_FAILED && has(&out, "invalid_state"),
        "a session that is gone is an error");
  ossai_bytes_free(&out);

  int32_t waited = 1;
  check(ossai_complete_host_call(session, 1, TEXT("{\"ok\": 1}"), &waited, &out) == OSSAI_OK && waited == 0, "a late answer is for nobody");
  ossai_bytes_free(&out);
  check(ossai_operations(&out) == OSSAI_OK && has(&out, "complete"), "the operations are told");
  ossai_bytes_free(&out);
  check(ossai_error_kinds(&out) == OSSAI_OK && has(&out, "rate_limited"), "the kinds of errors are told");
  ossai_bytes_free(&out);
  check(ossai_field_names(TEXT("Usage"), &out) == OSSAI_OK && has(&out, "input_tokens"), "the fields are told");
  ossai_bytes_free(&out);
  check(ossai_default_config(&out) == OSSAI_OK && has(&out, "600000"), "the defaults are told");
  ossai_bytes_free(&out);

  // The host may close its end whenever it likes.
  close(descriptor);
  ossai_session_close(session);
  ossai_session_free(session);
  ossai_queue_free(queue);
  ossai_queue_free(queue);
  check(ossai_queue_drain(queue, 1, NULL) == OSSAI_FAILED, "a queue that is gone is an error");
  check(ossai_configure_threads(2) == 0, "threads are chosen before they run");
  check(ossai_shutdown(10000) == 1, "the library ends");
  return 0;
}
