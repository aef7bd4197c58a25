"""The official `anthropic` package for Python against `ossai serve`: one line per check, exit status 1 when one fails.

Usage: anthropic_python.py http://127.0.0.1:8080 [http://127.0.0.1:8081 API_KEY]

The second address is a server that wants keys.
"""

import asyncio
import sys

import anthropic

BASE = sys.argv[1].rstrip("/")
CLIENT = anthropic.Anthropic(base_url=BASE, api_key="unused", timeout=30)
PROMPT = "The sky is blue because air scatters blue light. Grass is green.\n\nWhy is the sky blue?"
MESSAGES = [{"role": "user", "content": PROMPT}]
ASK = {"model": "local/extract", "max_tokens": 500, "messages": MESSAGES}
FAILED = []


def check(promise):
    """Runs the function at once; what it raises fails the check."""

    def run(body):
        try:
            outcome = body()
            if asyncio.iscoroutine(outcome):
                asyncio.run(outcome)
            print(f"ok    {promise}")
        except Exception as error:  # noqa: BLE001
            FAILED.append(promise)
            print(f"FAIL  {promise}: {type(error).__name__}: {error}")
        return body

    return run


def refused(kind, call, *, status, word, says=""):
    """The error `call` ends in, with what it must say."""
    try:
        call()
    except kind as error:
        assert error.status_code == status, error.status_code
        assert error.request_id, "no request id"
        assert error.response.headers["x-should-retry"] == "false"
        body = error.response.json()
        assert set(body) == {"type", "error", "request_id"} and set(body["error"]) == {"type", "message"}, body
        assert body["type"] == "error" and body["error"]["type"] == word, body
        assert body["request_id"] == error.request_id == error.response.headers["request-id"]
        assert body["error"]["message"].startswith(says), body
        assert error.response.request.headers["x-stainless-retry-count"] == "0", "the SDK tried again"
        return error
    raise AssertionError("it was not refused")


def enter(answer):
    """A stream is asked for when it is entered."""
    if hasattr(answer, "__enter__"):
        with answer:
            pass


@check("a message answers with text, usage and a stop reason")
def _():
    answer = CLIENT.messages.create(**ASK)
    assert answer.type == "message" and answer.role == "assistant" and answer.id and answer.model
    assert [block.type for block in answer.content] == ["text"], answer.content
    assert "scatters blue light" in answer.content[0].text
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer._request_id


@check("a raw answer carries the ossai headers")
def _():
    raw = CLIENT.messages.with_raw_response.create(**ASK)
    for name in ("request-id", "x-ossai-cost-usd", "x-ossai-cache", "x-ossai-overhead-ms", "x-ossai-attempts"):
        assert raw.headers.get(name) is not None, name
    assert raw.headers["x-ossai-model"] == "local/extract"


@check("a stream has the API's events in their order")
def _():
    # A kept whole answer would come in one piece.
    with CLIENT.messages.create(**ASK, stream=True, extra_headers={"x-ossai-cache": "no-cache"}) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    deltas = kinds.count("content_block_delta")
    assert deltas >= 1, kinds
    assert kinds == [
        "message_start", "content_block_start", *["content_block_delta"] * deltas,
        "content_block_stop", "message_delta", "message_stop",
    ], kinds  # fmt: skip
    assert events[-2].delta.stop_reason == "end_turn" and events[-2].usage.output_tokens > 0


@check("the SDK's own accumulator gives the final message that a whole answer is")
def _():
    whole = CLIENT.messages.create(**ASK)
    with CLIENT.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        assert getattr(final.usage, name) == getattr(whole.usage, name), name


@check("the asynchronous client answers and streams")
async def _():
    async with anthropic.AsyncAnthropic(base_url=BASE, api_key="unused") as client:
        answers = await asyncio.gather(*(client.messages.create(**ASK) for _ in range(20)))
        assert len({answer.content[0].text for answer in answers}) == 1
        async with client.messages.stream(**ASK) as stream:
            assert "scatters" in await stream.get_final_text()


@check("tokens are counted, and a system prompt and tools add to them")
def _():
    count = lambda **more: CLIENT.messages.count_tokens(  # noqa: E731
        model="local/extract", messages=MESSAGES, **more
    ).input_tokens
    few = count()
    tool = {"name": "f", "description": "Looks up.", "input_schema": {"type": "object", "properties": {}}}
    assert 10 < few < count(system="Answer briefly.") and few < count(tools=[tool])


@check("a conversation with the SDK's own blocks, tools and their results is taken")
def _():
    first = CLIENT.messages.create(**ASK)
    tool = {"name": "look_up", "input_schema": {"type": "object", "properties": {}}}
    answer = CLIENT.messages.create(
        model="local/extract",
        max_tokens=500,
        system=[{"type": "text", "text": "Answer briefly.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            *MESSAGES,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [{"type": "text", "text": "Look it up."}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"q": "sky"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Blue light scatters most."},
                {"type": "text", "text": "Which light scatters most?"},
            ]},
        ],
        tools=[tool],
        tool_choice={"type": "auto"},
        stop_sequences=["###"],
        metadata={"user_id": "u-1"},
        extra_body={"ossai": {"tags": {"team": "interop"}}},
    )  # fmt: skip
    assert "scatter" in answer.content[0].text.lower()


@check("max_tokens cuts the answer")
def _():
    answer = CLIENT.messages.create(model="local/extract", max_tokens=3, messages=MESSAGES)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens <= 3


@check("bad values are refused by name, and not tried again")
def _():
    bad = anthropic.BadRequestError
    for says, values in {
        "messages: ": {"messages": []},
        "max_tokens: ": {"max_tokens": 0},
        "messages[0].role: ": {"messages": [{"role": "nobody", "content": "x"}]},
        "messages[0].content[0].text: ": {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].source.data: ": {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "a/b"}}]}
            ]
        },
        "tools[0].name: ": {"tools": [{"name": "no spaces", "input_schema": {"type": "object"}}]},
        "tools[0].input_schema: ": {"tools": [{"name": "f"}]},
        "tool_choice.name: ": {"tool_choice": {"type": "tool"}},
        "stop_sequences[0]: ": {"stop_sequences": [""]},
        "temperature: ": {"extra_body": {"temperature": 3}},
        "metadata.user_id: ": {"metadata": {"user_id": 5}},
    }.items():
        for call in (CLIENT.messages.create, CLIENT.messages.stream):
            run = lambda: enter(call(**{**ASK, **values}))  # noqa: B023, E731
            refused(bad, run, status=400, word="invalid_request_error", says=says)
    count = lambda: CLIENT.messages.count_tokens(model="local/extract", messages=[])  # noqa: E731
    refused(bad, count, status=400, word="invalid_request_error", says="messages: ")


@check("an unknown model is not found")
def _():
    for model in ("local/nope", "nobody/nope", "claude-opus-5"):
        call = lambda: CLIENT.messages.create(**{**ASK, "model": model})  # noqa: B023, E731
        refused(anthropic.NotFoundError, call, status=404, word="not_found_error")


if len(sys.argv) > 3:
    CLOSED, KEY = sys.argv[2].rstrip("/"), sys.argv[3]

    @check("a key is taken as x-api-key and as a bearer token")
    def _():
        for client in (
            anthropic.Anthropic(base_url=CLOSED, api_key=KEY),
            anthropic.Anthropic(base_url=CLOSED, auth_token=KEY),
            anthropic.Anthropic(base_url=CLOSED, default_headers={"X-Api-Key": KEY, "Authorization": anthropic.Omit()}),
        ):
            assert client.messages.create(**ASK).content
            with client.messages.stream(**ASK) as stream:
                assert stream.get_final_message().content

    @check("a missing or unknown key is refused")
    def _():
        for client in (
            anthropic.Anthropic(base_url=CLOSED, api_key=KEY[:-1] + "x"),
            anthropic.Anthropic(base_url=CLOSED, api_key="sk-ant-unknown"),
            anthropic.Anthropic(base_url=CLOSED, auth_token="unknown"),
            anthropic.Anthropic(base_url=CLOSED, default_headers={"Authorization": "Nothing"}),
            anthropic.Anthropic(base_url=CLOSED, default_headers={"Authorization": anthropic.Omit(), "X-Api-Key": "x"}),
        ):
            call = lambda: client.messages.create(**ASK)  # noqa: B023, E731
            refused(anthropic.AuthenticationError, call, status=401, word="authentication_error")


print(f"anthropic {anthropic.__version__}: {len(FAILED)} failed")
sys.exit(1 if FAILED else 0)
