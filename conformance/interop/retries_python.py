"""The official `anthropic` and `openai` packages for Python over `ossai serve`, when the vendor behind it fails: nothing is
tried again that was tried already, and a stream that breaks off says so. Also keys, and models as each vendor lists them.

Usage: behind.py OSSAI SCRIPTED_UPSTREAM python retries_python.py
"""

import json
import sys
import urllib.request

import anthropic
import openai

BASE, KEY, LOGS = sys.argv[1], sys.argv[2], json.load(open(sys.argv[3]))
MESSAGES = [{"role": "user", "content": "Hi"}]
CLAUDE = anthropic.Anthropic(base_url=BASE, api_key=KEY, timeout=30)
GPT = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, timeout=30)
FAILED = []


def message(scenario, client=CLAUDE, **values):
    return client.messages.create(model=f"{scenario}/claude-sonnet-4-5", max_tokens=50, messages=MESSAGES, **values)


def response(scenario, client=GPT, **values):
    return client.responses.create(model=f"{scenario}/gpt-5-mini", input="Hi", **values)


def check(promise):
    """Runs the function at once; what it raises fails the check."""

    def run(body):
        try:
            body()
            print(f"ok    {promise}")
        except Exception as error:  # noqa: BLE001
            FAILED.append(promise)
            print(f"FAIL  {promise}: {type(error).__name__}: {error}")
        return body

    return run


def raised(kind, call):
    """The error of exactly this kind that `call` ends in."""
    try:
        call()
    except kind as error:
        assert type(error) is kind, type(error)
        return error
    raise AssertionError("nothing was raised")


def requests(scenario):
    """How many requests the vendor got."""
    with urllib.request.urlopen(LOGS[scenario], timeout=10) as answer:
        return len(json.load(answer)["requests"])


@check("anthropic: a vendor's failure has been tried three times, and its SDK adds none")
def _():
    for scenario, kind, word in [
        ("a-limit", anthropic.RateLimitError, "rate_limit_error"),
        ("a-down", anthropic.OverloadedError, "overloaded_error"),
    ]:
        error = raised(kind, lambda: message(scenario))  # noqa: B023
        assert error.body["error"]["type"] == word and error.body["request_id"] == error.request_id, error.body
        assert error.response.headers["x-should-retry"] == "false"
        assert requests(scenario) == 3, requests(scenario)


@check("openai: a vendor's failure has been tried three times, and its SDK adds none")
def _():
    for scenario, kind in [("r-limit", openai.RateLimitError), ("r-down", openai.InternalServerError)]:
        error = raised(kind, lambda: response(scenario))  # noqa: B023
        assert error.request_id and error.response.headers["x-should-retry"] == "false"
        assert requests(scenario) == 3, requests(scenario)


@check("anthropic: a stream that breaks off ends in the SDK's error")
def _():
    seen = []

    def read():
        for event in message("a-cut", stream=True):
            seen.append(event.type)

    error = raised(anthropic.APIStatusError, read)
    assert seen[:3] == ["message_start", "content_block_start", "content_block_delta"], seen
    assert error.body["type"] == "error" and error.body["error"]["type"] == "api_error", error.body


@check("openai: a response that breaks off ends with response.failed")
def _():
    events = list(response("r-cut", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and any(event.type == "response.output_text.delta" for event in events)
    failed = events[-1]
    assert failed.type == "response.failed" and failed.response.status == "failed", failed
    assert failed.response.error.message, failed


@check("anthropic: models are listed page by page and found by name")
def _():
    ids = [model.id for model in CLAUDE.models.list(limit=1)]
    assert "local/extract" in ids and len(ids) == len(set(ids)) > 1, ids
    model = CLAUDE.models.retrieve("local/extract")
    assert (model.id, model.type, model.lifecycle, model.created_at.year) == ("local/extract", "model", "active", 1970)
    error = raised(anthropic.NotFoundError, lambda: CLAUDE.models.retrieve("local/nope"))
    assert error.body["error"]["type"] == "not_found_error", error.body


@check("openai: models are listed in its form beside that")
def _():
    models = list(GPT.models.list())
    assert "local/extract" in [model.id for model in models] and all(model.object == "model" for model in models)


@check("both: a wrong key is refused once, on every path, in the vendor's form")
def _():
    wrong = KEY[:-1] + ("x" if KEY[-1] != "x" else "y")
    claude = anthropic.Anthropic(base_url=BASE, api_key=wrong)
    for call in [lambda: message("local", claude), lambda: claude.models.list(), lambda: claude.models.retrieve("local/extract")]:
        error = raised(anthropic.AuthenticationError, call)
        assert error.body["error"]["type"] == "authentication_error", error.body
    gpt = openai.OpenAI(base_url=f"{BASE}/v1", api_key=wrong)
    for call in [lambda: response("local", gpt), lambda: gpt.models.list()]:
        error = raised(openai.AuthenticationError, call)
        assert error.code == "invalid_api_key", error.body


print(f"anthropic {anthropic.__version__} and openai {openai.__version__}, failures: {len(FAILED)} failed")
sys.exit(1 if FAILED else 0)
