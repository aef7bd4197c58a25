"""The official `anthropic` package for Python against `ossai serve`: one line per check, exit status 1 when one fails.

Usage: anthropic_python.py http://127.0.0.1:8080 [KEY LOGS]   (LOGS: from behind.py, for what needs the scripted upstream)
"""

import urllib.request

import anthropic
from checks import BASE, FAILED, KEY, LOGS, PROMPT, check, end, raised, requests  # noqa: F401

CLIENT = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0, timeout=30)
MESSAGES = [{"role": "user", "content": PROMPT}]
TOOL = {"name": "look_up", "description": "Looks up.", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}


def create(client=CLIENT, **values):
    return client.messages.create(**{"model": "local/extract", "max_tokens": 500, "messages": MESSAGES, **values})


def refused(kind, call, *, status, word):
    error = raised(kind, call)
    assert error.status_code == status, error.status_code
    assert error.body["type"] == "error" and error.body["error"]["type"] == word, error.body
    assert error.request_id and error.request_id == error.body["request_id"], error.body
    assert error.response.headers["x-should-retry"] == "false"
    return error


@check("a message answers with text, usage and a stop reason")
def _():
    answer = create()
    assert answer.type == "message" and answer.role == "assistant" and answer.id
    assert "scatters blue light" in answer.content[0].text and answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer._request_id


@check("max_tokens cuts the answer with stop reason max_tokens")
def _():
    answer = create(max_tokens=3)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens <= 3


@check("a stream has the vendor's events in the vendor's order and says the same as the whole answer")
def _():
    kinds = [event.type for event in create(stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"], kinds
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds
    with CLIENT.messages.stream(model="local/extract", max_tokens=500, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    whole = create()
    assert text == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens and final.stop_reason == "end_turn"


@check("tokens are counted without a call")
def _():
    counted = CLIENT.messages.count_tokens(model="local/extract", messages=MESSAGES).input_tokens
    longer = CLIENT.messages.count_tokens(model="local/extract", messages=MESSAGES, system="Be brief.", tools=[TOOL]).input_tokens
    assert 0 < counted < longer, (counted, longer)


@check("models are listed page by page and found by name, in Anthropic's form")
def _():
    ids = [model.id for model in CLIENT.models.list(limit=1)]
    assert "local/extract" in ids and len(ids) == len(set(ids)) > 1, ids
    model = CLIENT.models.retrieve("local/extract")
    assert (model.id, model.type, model.lifecycle) == ("local/extract", "model", "active") and model.created_at.year == 1970
    refused(anthropic.NotFoundError, lambda: CLIENT.models.retrieve("local/nope"), status=404, word="not_found_error")


@check("a conversation with system blocks, cache marks, tools, results and thinking is taken")
def _():
    mark = {"type": "ephemeral"}
    answer = create(
        system=[{"type": "text", "text": "Answer briefly.", "cache_control": mark}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": PROMPT, "cache_control": mark}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
                {"type": "text", "text": "I look it up."},
                {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"q": "sky"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Blue light scatters most."},
                {"type": "text", "text": "Which light scatters most?"},
            ]},
        ],
        tools=[TOOL],
        tool_choice={"type": "auto"},
        metadata={"user_id": "u"},
    )
    assert "scatter" in answer.content[0].text.lower()


@check("bad input is refused by name with the vendor's body")
def _():
    for name, values in {
        "messages": {"messages": []},
        "max_tokens": {"max_tokens": "many"},
        "messages[0].role": {"messages": [{"role": "nobody", "content": "x"}]},
        "messages[0].content[0].text": {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "tools[0].name": {"tools": [{**TOOL, "name": "no spaces"}]},
        "api_base": {"extra_body": {"api_base": "http://169.254.169.254"}},
    }.items():
        error = refused(anthropic.BadRequestError, lambda: create(**values), status=400, word="invalid_request_error")  # noqa: B023
        assert error.body["error"]["message"].startswith(name), error.body


@check("an unknown model is not found, streamed or not")
def _():
    for stream in (False, True):
        refused(anthropic.NotFoundError, lambda: create(model="local/nope", stream=stream), status=404, word="not_found_error")  # noqa: B023


@check("a server from before the newest version of the API is asked with the old header alike")
def _():
    assert create(extra_headers={"anthropic-version": "2023-06-01"}).content


if LOGS:

    @check("a missing key and a wrong one are refused, and a bearer token is as good as x-api-key")
    def _():
        for client in (
            anthropic.Anthropic(base_url=BASE, api_key=KEY[:-1] + "x", max_retries=0),
            anthropic.Anthropic(base_url=BASE, auth_token="nothing", api_key=None, max_retries=0),
        ):
            refused(anthropic.AuthenticationError, lambda: create(client), status=401, word="authentication_error")  # noqa: B023
            models = lambda: client.models.list()  # noqa: B023, E731
            refused(anthropic.AuthenticationError, models, status=401, word="authentication_error")
        bearer = anthropic.Anthropic(base_url=BASE, auth_token=KEY, api_key=None, max_retries=0)
        assert create(bearer).content

    def tools_round_trip(model):
        first = create(model=model, tools=[TOOL])
        text, use = first.content
        assert first.stop_reason == "tool_use" and text.text == "I look.", first
        assert (use.id, use.name, use.input) == ("call_1", "look_up", {"q": "sky"}), use
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "blue", "is_error": False}
        talk = [*MESSAGES, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        assert create(model=model, tools=[TOOL], messages=talk).content[0].text == "Blue."

    @check("tools go round with Anthropic's upstream: the second request has call and result unchanged")
    def _():
        tools_round_trip("a-tools/claude-sonnet-4-5")
        sent = requests("a-tools")[1]["body"]["messages"]
        assert sent[1]["content"][1] == {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {"q": "sky"}}, sent
        assert sent[2]["content"][0]["type"] == "tool_result" and sent[2]["content"][0]["tool_use_id"] == "call_1", sent

    @check("tools go round with an upstream of Chat Completions")
    def _():
        tools_round_trip("c-tools/gpt-4o-mini")
        sent = requests("c-tools")[1]["body"]["messages"]
        assert sent[1]["tool_calls"][0]["id"] == "call_1" and sent[2]["role"] == "tool", sent

    @check("a stream of thinking, text and a call accumulates in the SDK")
    def _():
        for model, kinds in {
            "a-stream/claude-sonnet-4-5": ["thinking", "text", "tool_use"],
            "c-stream/gpt-4o-mini": ["text", "tool_use"],
        }.items():
            with CLIENT.messages.stream(model=model, max_tokens=50, messages=MESSAGES, tools=[TOOL]) as stream:
                for _event in stream:
                    pass
                final = stream.get_final_message()
            assert [block.type for block in final.content] == kinds, final.content
            assert final.content[-2].text == "I look." and final.content[-1].input == {"q": "sky"}, final.content
            assert final.stop_reason == "tool_use"
            if kinds[0] == "thinking":
                assert (final.content[0].thinking, final.content[0].signature) == ("Let me see.", "sig-1")

    @check("a stream that breaks off ends in the SDK's error, not in silence")
    def _():
        error = raised(anthropic.APIStatusError, lambda: list(create(model="a-cut/claude-sonnet-4-5", stream=True)))
        assert error.body["error"]["type"] == "api_error", error.body

    @check("what was tried here already is not tried again by the SDK")
    def _():
        eager = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=2)
        for scenario, kind, word in [
            ("a-limit", anthropic.RateLimitError, "rate_limit_error"),
            ("a-down", anthropic.OverloadedError, "overloaded_error"),
        ]:
            error = raised(kind, lambda: create(eager, model=f"{scenario}/claude-sonnet-4-5"))  # noqa: B023
            assert error.body["error"]["type"] == word, error.body
            assert error.response.headers["x-should-retry"] == "false"
            assert len(requests(scenario)) == 3, len(requests(scenario))


end(f"anthropic {anthropic.__version__}")
