"""What both clients promise, each test run through either: the same names, arguments, answers and errors."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import json
import logging
import pickle
from typing import Any

import pydantic
import pytest

import ossai

from .conftest import MODEL, says, streams


class Both:
    """One client or the other, called alike."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def run(self, config: Any, work: Any) -> Any:
        """Runs ``work(client, do)``; ``do`` gives what a call gives, whether it must be awaited or not."""
        if self.kind == "sync":
            with ossai.Client(config, environment=False) as client:
                return _drive(work(client))

        async def main() -> Any:
            async with ossai.AsyncClient(config, environment=False) as client:
                return await _drive_async(work(client))

        return asyncio.run(main())


def _drive(steps: Any) -> Any:
    """Runs a generator that yields what calls give, sending it the answers."""
    try:
        value = next(steps)
        while True:
            try:
                value = list(value) if isinstance(value, ossai.Stream) else value
            except Exception as error:
                value = steps.throw(error)
                continue
            value = steps.send(value)
    except StopIteration as end:
        return end.value


async def _drive_async(steps: Any) -> Any:
    try:
        value = next(steps)
        while True:
            try:
                if isinstance(value, ossai.AsyncStream):
                    value = [event async for event in value]
                elif inspect.isawaitable(value):
                    value = await value
            except Exception as error:
                value = steps.throw(error)
                continue
            value = steps.send(value)
    except StopIteration as end:
        return end.value


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    def shape(client: type) -> dict[str, str]:
        methods = {}
        for name, method in inspect.getmembers(client, inspect.isfunction):
            if not name.startswith("_"):
                parameters = inspect.signature(method).parameters.values()
                methods[name] = ", ".join(f"{p.kind.name} {p.name}={p.default}: {p.annotation}" for p in parameters)
        return methods

    assert shape(ossai.Client) == shape(ossai.AsyncClient)


def test_every_operation_of_the_core_has_its_method() -> None:
    for name in ossai._native.operations():
        assert hasattr(ossai.Client, name), name
        assert hasattr(ossai.AsyncClient, name), name


def test_an_answer_has_typed_attributes_and_its_plain_form(both: Both, upstream: Any) -> None:
    def work(client: Any) -> Any:
        answer = yield client.complete(model=MODEL, messages="Hello", temperature=0)
        assert isinstance(answer, ossai.Completion)
        assert (answer.text, answer.finish_reason, answer.model) == ("Hi", "stop", MODEL)
        assert (answer.usage.input_tokens, answer.usage.total_tokens) == (11, 18)
        assert (answer.cost.status, answer.cost.total) == ("exact", 5850)
        assert answer.cost.usd == pytest.approx(5.85e-6)
        assert (answer.cache.status, answer.attempts[0].status, answer.attempts[0].error) == ("miss", 200, None)
        assert isinstance(answer.parts[0], ossai.TextPart) and answer.parts[0].text == "Hi"
        assert answer.timing.total_us >= answer.timing.overhead_us
        assert answer.to_message() == {"role": "assistant", "content": "Hi"}
        plain = answer.model_dump()
        assert plain["usage"] == {"input_tokens": 11, "output_tokens": 7}
        assert json.loads(answer.model_dump_json()) == plain
        assert ossai.Completion.model_validate(plain) == answer == pickle.loads(pickle.dumps(answer)) == copy.deepcopy(answer)
        assert repr(answer.usage) == "Usage(input_tokens=11, output_tokens=7)"
        kept = yield client.complete(model=MODEL, messages="Hello", temperature=0)
        assert (kept.text, kept.cache.status, kept.cache.tier, kept.cost.total) == ("Hi", "hit", "memory", 0)
        assert client.lookup(model=MODEL, messages="Hello", temperature=0).text == "Hi"
        assert client.lookup(model=MODEL, messages="Other", temperature=0) is None
        client.clear_cache()
        assert client.lookup(model=MODEL, messages="Hello", temperature=0) is None

    both.run(upstream(says("Hi")).config, work)


def test_requests_come_as_keywords_mappings_models_or_dataclasses(both: Both, upstream: Any) -> None:
    class Request(pydantic.BaseModel):
        model: str
        messages: list[dict[str, str]]

    @dataclasses.dataclass
    class Plain:
        role: str
        content: str

    messages = [{"role": "user", "content": "Hello"}]

    def work(client: Any) -> Any:
        yield client.complete(model=MODEL, messages=messages)
        yield client.complete({"model": MODEL, "messages": "Hello"} | {"messages": messages})
        yield client.complete(Request(model=MODEL, messages=messages))
        yield client.complete({"model": MODEL}, messages="Hello")
        yield client.complete(model=MODEL, messages=(Plain("user", "Hello"),), extra={"logit_bias": {"1": 2}})

    script = upstream(default=says("Hi"))
    both.run(script.config, work)
    bodies = [request["body"] for request in script.requests()]
    assert [body["messages"] for body in bodies] == [messages] * 5
    assert bodies[4]["logit_bias"] == {"1": 2}


def test_a_stream_gives_its_events_and_the_whole_answer(both: Both, upstream: Any) -> None:
    def work(client: Any) -> Any:
        events = yield client.stream(model=MODEL, messages="Hello", temperature=0)
        assert [event.text for event in events if event.type == "text_delta"] == ["a", "b", "c"]
        assert isinstance(events[0], ossai.StreamStart) and isinstance(events[-1], ossai.StreamEnd)
        assert events[-1].completion.text == "abc"
        assert events[1].model_dump() == {"type": "text_delta", "index": 0, "text": "a"}
        kept = yield client.stream(model=MODEL, messages="Hello", temperature=0)
        assert [event for event in kept if event.type != "end"] == [event for event in events if event.type != "end"]
        assert kept[-1].completion.cache.status == "hit"

    both.run(upstream(streams("a", "b", "c")).config, work)


def test_tool_calls_and_reasoning_have_their_classes_and_go_back_as_they_came(both: Both, upstream: Any) -> None:
    response = {"body": {"openai_chat": {"tool_calls": [{"id": "call_1", "name": "read", "arguments": '{"path":"a"}'}]}}}
    tools = [{"name": "read", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}]

    def work(client: Any) -> Any:
        first = yield client.complete(model=MODEL, messages="Hello", tools=tools)
        assert first.finish_reason == "tool_calls"
        (call,) = first.tool_calls
        assert (call.id, call.name, json.loads(call.arguments), call.type) == ("call_1", "read", {"path": "a"}, "tool_call")
        messages = [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "", "tool_calls": first.tool_calls},
            {"role": "tool", "tool_call_id": call.id, "content": "text"},
        ]
        answer = yield client.complete(model=MODEL, messages=messages, tools=tools)
        assert answer.text == "Hi"

    script = upstream(response, says("Hi"))
    both.run(script.config, work)
    sent = script.requests()[1]["body"]["messages"][1]["tool_calls"]
    assert sent == [{"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"path":"a"}'}}]


def test_embeddings_models_and_health(both: Both, upstream: Any) -> None:
    def work(client: Any) -> Any:
        answer = yield client.embed(model="openai/text-embedding-3-small", input=["a"])
        assert answer.embeddings[0].vector == [0.5, 1.0]
        assert pickle.loads(pickle.dumps(answer)) == answer
        models = yield client.models("openai")
        assert [model.id for model in models] == ["openai/gpt-x"]
        health = yield client.health()
        assert [(one.upstream, one.status) for one in health if one.upstream == "openai"] == [("openai", "serving")]

    script = upstream(
        {"when": {"path": "/v1/embeddings"}, "body": {"openai_embeddings": {"vectors": [[0.5, 1.0]]}}},
        {"when": {"path": "/v1/models"}, "times": 2, "body": {"openai_models": {"ids": ["gpt-x"]}}},
    )
    both.run(script.config, work)


def test_tokens_prices_and_counters_need_no_upstream(both: Both) -> None:
    def work(client: Any) -> Any:
        yield None
        assert client.count(model="openai/gpt-4o", messages="one two three").exact
        assert client.count_text("one two three", model="openai/gpt-4o").tokens == 3
        cut = client.truncate("one two three", model="openai/gpt-4o", max_tokens=2)
        assert (cut.text, cut.tokens, cut.truncated) == ("one two", 2, True)
        assert client.split("one two three", model="openai/gpt-4o", max_tokens=1) == ["one", " two", " three"]
        estimate = client.estimate(model=MODEL, messages="Hello", max_tokens=10, output_tokens=5)
        assert estimate.low <= estimate.expected <= estimate.high
        assert estimate.output_tokens.high == 10 and estimate.input_tokens.low > 0
        assert client.price(MODEL)["id"] == MODEL
        assert client.price("openai/no-such") is None
        assert all("tools" in model["caps"] for model in client.catalog(provider="anthropic", caps=["tools"]))
        assert len(client.key(model=MODEL, messages="Hello")) == 64
        stats = client.stats()
        assert (stats.calls, stats.flights) == (0, 0)
        assert pickle.loads(pickle.dumps(stats)) == stats
        with pytest.raises(AttributeError):
            _ = stats.no_such
        assert client.calls_under_way == 0

    both.run({}, work)


@pytest.mark.parametrize(
    ("request_", "keywords", "field"),
    [
        ({"model": 1, "messages": []}, {}, "model"),
        ({"messages": []}, {}, "request"),
        ({"model": MODEL, "messages": [{"role": "usr"}]}, {}, "messages[0].role"),
        ({"model": MODEL, "messages": "x"}, {}, "messages"),
        ({"model": MODEL, "messages": [{"role": "user", "content": "\ud800"}]}, {}, "messages[0].content"),
        ({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "temperature": float("nan")}, {}, "temperature"),
        ({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "seed": 2**70}, {}, "seed"),
        ({"model": MODEL, "messages": [{"role": "user", "content": b"x"}]}, {}, "messages[0].content"),
        (object(), {}, "request"),
        (object(), {"model": MODEL}, "request"),
        ({}, {"options": {"timeout": "soon"}}, "options.timeout"),
        ({}, {"model": MODEL, "messages": "x", "timeout": -1}, "options.timeout"),
        ({}, {"model": MODEL, "messages": "x", "options": {"timout": 1}}, "options.timout"),
        ({}, {"model": MODEL, "messages": "x", "options": 1, "max_attempts": 1}, "options"),
        ({}, {"model": MODEL, "messages": "x", "extra": 1}, "extra"),
    ],
)
def test_a_mistake_names_its_field_before_anything_is_sent(
    both: Both, request_: Any, keywords: dict[str, Any], field: str
) -> None:
    def work(client: Any) -> Any:
        for call in (client.complete, client.stream):
            with pytest.raises(ossai.InvalidRequestError) as caught:
                yield call(request_, **copy.copy(keywords))
            assert caught.value.field == field, caught.value

    both.run({}, work)


def test_a_cycle_is_a_mistake_and_no_crash(both: Both) -> None:
    cycle: dict[str, Any] = {"model": MODEL, "messages": []}
    cycle["metadata"] = {"again": cycle}

    def work(client: Any) -> Any:
        with pytest.raises(ossai.InvalidRequestError, match="cycle"):
            yield client.complete(cycle)

    both.run({}, work)


def test_an_error_has_its_class_its_fields_and_every_attempt(both: Both, upstream: Any) -> None:
    def work(client: Any) -> Any:
        with pytest.raises(ossai.RateLimitedError) as caught:
            yield client.complete(model=MODEL, messages="Hello", max_attempts=2)
        error = caught.value
        assert isinstance(error, ossai.OssaiError) and error.retriable and error.http_status == 429
        assert [attempt["status"] for attempt in error.attempts] == [429, 429]
        assert error.request_id and error.provider == "openai" and error.model == MODEL
        assert "sk-canary" not in repr(error.fields)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and again.fields == error.fields

    both.run(upstream(default={"status": 429, "body": {"openai_error": {}}}).config, work)


def test_a_timeout_is_also_pythons_own(both: Both, upstream: Any) -> None:
    def work(client: Any) -> Any:
        with pytest.raises(TimeoutError) as caught:
            yield client.complete(model=MODEL, messages="Hello", timeout=0.05)
        assert isinstance(caught.value, ossai.TimeoutError) and caught.value.scope == "total"

    both.run(upstream(default=says("late", delay_ms=5000)).config, work)


def test_a_stream_that_breaks_says_so_after_its_events_and_keeps_what_came(both: Both, upstream: Any) -> None:
    broken = {"body": {"openai_chat_stream": {"deltas": ["a", "b"], "finish_reason": None, "usage": None, "done": False}}}

    def work(client: Any) -> Any:
        with pytest.raises(ossai.StreamInterruptedError) as caught:
            yield client.stream(model=MODEL, messages="Hello")
        assert caught.value.partial is not None and caught.value.partial.text == "ab"

    both.run(upstream(broken).config, work)


def test_a_closed_client_refuses(both: Both) -> None:
    def work(client: Any) -> Any:
        assert (yield client.close())
        with pytest.raises(ossai.InvalidStateError):
            yield client.complete(model="local/extract", messages="x")
        assert (yield client.close(patience=0.5))

    both.run({}, work)


def test_a_call_that_went_out_is_logged_without_its_prompt(both: Both, upstream: Any, caplog: pytest.LogCaptureFixture) -> None:
    def work(client: Any) -> Any:
        yield client.complete(model=MODEL, messages="canary")
        yield client.stream(model=MODEL, messages="canary")
        yield client.embed(model="openai/text-embedding-3-small", input="canary")

    caplog.set_level(logging.DEBUG, "ossai")
    script = upstream(
        {"status": 500, "body": {"openai_error": {}}},
        says("canary"),
        streams("canary"),
        {"body": {"openai_embeddings": {"vectors": [[1.0]]}}},
    )
    both.run(script.config, work)
    ours = [record for record in caplog.records if record.name == "ossai"]
    assert [record.levelname for record in ours] == ["INFO", "DEBUG", "DEBUG"]
    assert "canary" not in caplog.text and ours[0].ossai["attempts"] == 2  # type: ignore[attr-defined]


def test_a_configuration_comes_as_mapping_text_or_keywords_and_its_mistakes_name_their_path() -> None:
    for config in ({"retry": {"max_tries": 1}}, '{"retry": {"max_tries": 1}}'):
        with pytest.raises(ossai.InvalidRequestError) as caught:
            ossai.Client(config)
        assert caught.value.field == "config.retry.max_tries"
    with pytest.raises(ossai.InvalidRequestError) as caught:
        ossai.AsyncClient('{"cache": {}}', tenant="no spaces")
    assert caught.value.field == "config.tenant"
    for wrong in ("[", {"tenant": object()}, 1):
        with pytest.raises(ossai.InvalidRequestError):
            ossai.Client(wrong, timeout=1.5)  # type: ignore[arg-type]
    ossai.Client({"timeouts": {"connect_ms": 1}}, timeout=1.5).close()


def test_the_environment_fills_what_the_configuration_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSSAI_TENANT", "not allowed")
    with pytest.raises(ossai.InvalidRequestError):
        ossai.Client()
    ossai.Client(environment=False).close()
    ossai.Client(tenant="mine").close()


def test_a_client_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(ossai.Client(environment=False))


def test_the_error_classes_are_those_of_the_core_s_table() -> None:
    table = [name for name, _, _ in ossai._native.error_table()]
    assert list(ossai.KINDS) == table
    for name, error in ossai.KINDS.items():
        assert error.kind == name and issubclass(error, ossai.OssaiError)
        assert getattr(ossai, error.__name__) is error
    unknown = ossai.from_fields({"kind": "of_next_year", "message": "x", "retriable": False})
    assert type(unknown) is ossai.OssaiError and unknown.kind == "of_next_year"
    assert ossai.InvalidStateError("x").kind == "invalid_state"


def test_every_public_name_is_there() -> None:
    for name in ossai.__all__:
        assert getattr(ossai, name) is not None
    with pytest.raises(AttributeError):
        _ = ossai.no_such_name
