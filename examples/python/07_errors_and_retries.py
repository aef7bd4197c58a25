"""Errors are one tree: what went wrong, where, what was tried, and whether a new call may work."""

import ossai

# A server that is not there: three tries with waits between them, then the last real error.
with ossai.Client({"providers": {"mine": {"base_url": "http://127.0.0.1:9/v1"}}, "retry": {"base_ms": 10}}) as client:
    try:
        client.complete(model="mine/model", messages="Hello")
    except ossai.OssaiError as error:
        print(error)
        print("retriable by the caller:", error.retriable)
        for n, attempt in enumerate(error.attempts, 1):
            print(f"  try {n}: {attempt.get('error')} after {attempt.get('delay_ms')} ms")

    # A mistake names its field and costs nothing.
    try:
        client.complete(model="mine/model", messages="Hello", temperature=7.0)
    except ossai.InvalidRequestError as error:
        print(error, "(field:", error.field, ")")
