"""The official `openai` package for Python against `ossai serve`: one line per check, exit status 1 when one fails.

Usage: openai_python.py http://127.0.0.1:8080 [API_KEY]
"""

import asyncio
import json
import math
import sys
import urllib.error
import urllib.request

import openai

BASE = sys.argv[1].rstrip("/")
KEY = sys.argv[2] if len(sys.argv) > 2 else "unused"
CLIENT = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0, timeout=30)
PROMPT = "The sky is blue because air scatters blue light. Grass is green.\n\nWhy is the sky blue?"
MESSAGES = [{"role": "user", "content": PROMPT}]
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


def refused(kind, call, *, status, code=..., param=...):
    """The error `call` ends in, with what it must say."""
    try:
        call()
    except kind as error:
        assert error.status_code == status, error.status_code
        assert error.request_id, "no request id"
        assert error.response.headers["x-should-retry"] == "false"
        assert set(error.response.json()["error"]) == {"message", "type", "param", "code"}
        if code is not ...:
            assert error.code == code, error.code
        if param is not ...:
            assert error.param == param, error.param
        return error
    raise AssertionError("it was not refused")


@check("a completion answers with text, usage and a finish reason")
def _():
    answer = CLIENT.chat.completions.create(model="local/extract", messages=MESSAGES, temperature=0)
    assert answer.object == "chat.completion" and answer.id
    choice = answer.choices[0]
    assert "scatters blue light" in choice.message.content, choice.message.content
    assert choice.message.role == "assistant" and choice.finish_reason == "stop"
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@check("a raw answer carries the ossai headers")
def _():
    raw = CLIENT.chat.completions.with_raw_response.create(model="local/extract", messages=MESSAGES, temperature=0)
    for name in ("x-request-id", "x-ossai-cost-usd", "x-ossai-cache", "x-ossai-overhead-ms", "x-ossai-attempts"):
        assert raw.headers.get(name) is not None, name
    assert raw.headers["x-ossai-provider"] == "local" and raw.headers["x-ossai-model"] == "local/extract"
    assert raw.parse().choices[0].message.content


@check("a stream says the same as the whole answer and ends with usage")
def _():
    whole = CLIENT.chat.completions.create(model="local/extract", messages=MESSAGES, temperature=0)
    text, finish, usage = "", None, None
    stream = CLIENT.chat.completions.create(
        model="local/extract", messages=MESSAGES, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    for chunk in chunks:
        assert chunk.object == "chat.completion.chunk"
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and usage == whole.usage, usage
    assert text == whole.choices[0].message.content and finish == "stop"


@check("a stream without include_usage has no usage chunk")
def _():
    chunks = list(CLIENT.chat.completions.create(model="local/extract", messages=MESSAGES, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@check("the SDK's own stream accumulator gives the final answer")
def _():
    with CLIENT.chat.completions.stream(model="local/extract", messages=MESSAGES) as stream:
        for _event in stream:
            pass
        final = stream.get_final_completion()
    assert "scatters" in final.choices[0].message.content


@check("the asynchronous client completes and streams")
async def _():
    async with openai.AsyncOpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0) as client:
        answers = await asyncio.gather(
            *(client.chat.completions.create(model="local/extract", messages=MESSAGES, temperature=0) for _ in range(20))
        )
        assert len({answer.choices[0].message.content for answer in answers}) == 1
        stream = await client.chat.completions.create(model="local/extract", messages=MESSAGES, stream=True)
        assert [chunk async for chunk in stream]


@check("a conversation with the SDK's own message objects, tools and their results is taken")
def _():
    first = CLIENT.chat.completions.create(model="local/extract", messages=MESSAGES).choices[0].message
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "sky"}'}}
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    answer = CLIENT.chat.completions.create(
        model="local/extract",
        messages=[
            {"role": "developer", "content": "Answer briefly."},
            *MESSAGES,
            first,
            {"role": "user", "content": [{"type": "text", "text": "Look it up."}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Blue light scatters most."},
            {"role": "user", "content": "Which light scatters most?"},
        ],
        tools=[tool],
        tool_choice="auto",
        max_completion_tokens=500,
        seed=1,
        stop=["###"],
        metadata={"a": "b"},
        extra_body={"ossai": {"tags": {"team": "interop"}}},
    )
    assert "scatter" in answer.choices[0].message.content.lower()


@check("max_completion_tokens cuts the answer with finish reason length")
def _():
    answer = CLIENT.chat.completions.create(model="local/extract", messages=MESSAGES, max_completion_tokens=3)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens <= 3


@check("json_object answers with JSON")
def _():
    answer = CLIENT.chat.completions.create(
        model="local/extract", messages=MESSAGES, response_format={"type": "json_object"}
    )
    assert "answer" in json.loads(answer.choices[0].message.content)


@check("embeddings come as base64 and as floats, alike and of unit length")
def _():
    texts = ["blue sky", "green grass"]
    default = CLIENT.embeddings.create(model="local/hash", input=texts)
    floats = CLIENT.embeddings.create(model="local/hash", input=texts, encoding_format="float")
    assert [item.index for item in default.data] == [0, 1] and default.usage.prompt_tokens > 0
    for a, b in zip(default.data, floats.data):
        assert len(a.embedding) == len(b.embedding) > 0
        assert all(math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-9) for x, y in zip(a.embedding, b.embedding))
        assert math.isclose(sum(x * x for x in a.embedding), 1, rel_tol=1e-3)


@check("embeddings take one string and the length asked for")
def _():
    answer = CLIENT.embeddings.create(model="local/hash", input="blue sky", dimensions=64)
    assert len(answer.data) == 1 and len(answer.data[0].embedding) == 64


@check("models are listed and found by name")
def _():
    ids = [model.id for model in CLIENT.models.list()]
    assert "local/extract" in ids and "local/hash" in ids, ids
    assert CLIENT.models.retrieve("local/extract").id == "local/extract"


@check("an unknown model is not found")
def _():
    for model in ("local/nope", "nobody/nope", "gpt-4o"):
        create = lambda: CLIENT.chat.completions.create(model=model, messages=MESSAGES)  # noqa: B023, E731
        refused(openai.NotFoundError, create, status=404, code="model_not_found", param="model")
    refused(openai.NotFoundError, lambda: CLIENT.models.retrieve("local/nope"), status=404, code="model_not_found")


@check("bad values are refused by name")
def _():
    create = CLIENT.chat.completions.create
    for param, values in {
        "temperature": {"temperature": 3},
        "messages": {"messages": []},
        "n": {"n": 2},
        "max_tokens": {"max_tokens": 0},
        "tools[0].function.name": {"tools": [{"type": "function", "function": {"name": "no spaces"}}]},
        "messages[0].role": {"messages": [{"role": "nobody", "content": "x"}]},
        "messages[0].content[0].text": {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "api_base": {"extra_body": {"api_base": "http://169.254.169.254"}},
    }.items():
        call = lambda: create(**{"model": "local/extract", "messages": MESSAGES, **values})  # noqa: B023, E731
        refused(openai.BadRequestError, call, status=400, param=param)
    call = lambda: create(model="local/extract", messages=MESSAGES, temperature="warm")  # noqa: E731
    refused(openai.BadRequestError, call, status=400, param="temperature")
    empty = lambda: CLIENT.embeddings.create(model="local/hash", input=[])  # noqa: E731
    refused(openai.BadRequestError, empty, status=400, param="input")


@check("a stream's refusal has its status too")
def _():
    call = lambda: CLIENT.chat.completions.create(model="local/nope", messages=MESSAGES, stream=True)  # noqa: E731
    refused(openai.NotFoundError, call, status=404, code="model_not_found")


@check("bad JSON is refused with the error body")
def _():
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{BASE}/v1/chat/completions", b'{"model": ', headers)
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        body = json.load(error)
        assert error.code == 400 and body["error"]["type"] == "invalid_request_error", body
        return
    raise AssertionError("it was not refused")


if len(sys.argv) > 2:

    @check("a wrong key is refused")
    def _():
        client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY[:-1] + "x", max_retries=0)
        create = lambda: client.chat.completions.create(model="local/extract", messages=MESSAGES)  # noqa: E731
        refused(openai.AuthenticationError, create, status=401, code="invalid_api_key")


print(f"openai {openai.__version__}: {len(FAILED)} failed")
sys.exit(1 if FAILED else 0)
