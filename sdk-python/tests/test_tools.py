"""Tools whose handlers are functions: what the model is told, what runs, and that nothing a handler does harms the rest."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import datetime
import enum
import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import pydantic
import pytest

import ossai
from ossai import _schema

from .conftest import MODEL, says, streams
from .test_threads import run_python

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


def asks(name: str, *arguments: Any, **response: Any) -> dict[str, Any]:
    """An answer that calls a tool, once for each of these arguments."""
    calls = [{"id": f"call_{n}", "name": name, "arguments": json.dumps(one)} for n, one in enumerate(arguments, 1)]
    return {"body": {"openai_chat": {"tool_calls": calls}}, **response}


def asks_in_a_stream(name: str, arguments: Any) -> dict[str, Any]:
    call = {"id": "call_1", "name": name, "arguments": json.dumps(arguments)}
    return {"body": {"openai_chat_stream": {"tool_calls": [call]}}}


def told(script: Any, at: int = -1) -> str:
    """What the last request says the tool returned."""
    content: str = script.requests()[-1]["body"]["messages"][at]["content"]
    return content


class Unit(enum.Enum):
    C = "c"
    F = "f"


@dataclasses.dataclass
class Place:
    city: str
    country: str = "no"


@dataclasses.dataclass
class Node:
    name: str
    next: Node | None = None


class Day(TypedDict, total=False):
    date: str
    hour: int


class Weather(pydantic.BaseModel):
    sky: str
    degrees: float = 0.0


def test_a_function_s_hints_and_docstring_are_what_the_model_is_told() -> None:
    @ossai.tool(capabilities=["read"])
    def weather(
        place: Place,
        days: Annotated[int, "how many"] = 1,
        unit: Unit = Unit.C,
        kind: Literal["brief", "long"] | None = None,
        when: list[Day] | None = None,
        *,
        context: ossai.ToolContext,
    ) -> Weather:
        """The weather
        of a place.

        More that the model need not know.
        """
        raise NotImplementedError

    definition = weather.definition()
    assert (definition["name"], definition["description"]) == ("weather", "The weather of a place.")
    schema = definition["parameters"]
    assert schema["required"] == ["place"]
    assert "context" not in schema["properties"]
    assert schema["properties"]["days"] == {"type": "integer", "description": "how many"}
    assert schema["properties"]["unit"] == {"enum": ["c", "f"]}
    assert schema["$defs"]["Place"]["required"] == ["city"]
    assert schema["$defs"]["Day"]["properties"]["hour"] == {"type": "integer"}
    assert weather.output_schema is not None and "sky" in weather.output_schema["properties"]
    json.dumps(schema)


def test_a_pydantic_model_as_the_only_parameter_is_the_whole_input(upstream: Any) -> None:
    class Query(pydantic.BaseModel):
        city: str
        days: int = pydantic.Field(default=1, description="how many")

    def weather(query: Query) -> Weather:
        assert isinstance(query, Query) and query.days == 1
        return Weather(sky=f"rain in {query.city}")

    script = upstream(asks("weather", {"city": "Oslo"}), says("Yes."))
    with ossai.Client(script.config, environment=False) as client:
        assert client.complete(model=MODEL, messages="Umbrella?", tools=[weather]).text == "Yes."
    assert json.loads(told(script)) == {"sky": "rain in Oslo", "degrees": 0.0}
    sent = script.requests()[0]["body"]["tools"][0]["function"]
    assert sent["parameters"]["properties"]["days"]["description"] == "how many"


def test_a_handler_gets_values_of_its_types_and_what_it_returns_may_be_any(upstream: Any) -> None:
    seen: list[Any] = []

    def weather(place: Place, unit: Unit, days: set[int]) -> Place:
        seen.append((place, unit, days))
        return place

    script = upstream(asks("weather", {"place": {"city": "Oslo"}, "unit": "f", "days": [1, 2]}), says("Yes."))
    with ossai.Client(script.config, environment=False) as client:
        answer = client.complete(model=MODEL, messages="Umbrella?", tools=[weather])
    assert seen == [(Place("Oslo"), Unit.F, {1, 2})]
    run = answer.tool_run
    assert run is not None and run.calls[0].output == {"city": "Oslo", "country": "no"}
    assert [turn.cost.total for turn in run.turns] == [5850, 5850] and answer.cost.total == 11700
    assert run.messages[-1]["content"] == "Yes."


def test_what_only_the_types_can_say_goes_back_to_the_model_as_its_mistake(upstream: Any) -> None:
    class Even(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def even(cls, value: int) -> int:
            if value % 2:
                raise ValueError("not even")
            return value

    def half(query: Even) -> int:
        return query.n // 2

    script = upstream(asks("half", {"n": 3}), says("Sorry."))
    with ossai.Client(script.config, environment=False) as client:
        answer = client.complete(model=MODEL, messages="Half?", tools=[half], on_tool_error="fail")
    run = answer.tool_run
    assert run is not None and run.calls[0].outcome == "invalid_input"
    assert "not even" in told(script)


def outcomes(client: Any, both: bool, tools: Any, **keywords: Any) -> Any:
    """The answer of either client."""
    if not both:
        return client.complete(model=MODEL, messages="Go on.", tools=tools, **keywords)
    return asyncio.run(client.complete(model=MODEL, messages="Go on.", tools=tools, **keywords))


async def async_echo(text: str) -> str:
    await asyncio.sleep(0)
    return VARIABLE.get() + " " + text


def sync_echo(text: str) -> str:
    return VARIABLE.get() + " " + text


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("handler", [sync_echo, async_echo])
def test_handlers_of_either_kind_serve_either_client_in_their_caller_s_context(
    upstream: Any, asynchronous: bool, handler: Callable[..., Any]
) -> None:
    script = upstream(asks(handler.__name__, {"text": "a"}, {"text": "b"}), says("Done."))
    kind = ossai.AsyncClient if asynchronous else ossai.Client
    client = kind(script.config, environment=False)
    token = VARIABLE.set("mine")
    try:
        answer = outcomes(client, asynchronous, [handler])
    finally:
        VARIABLE.reset(token)
    assert [call.output for call in answer.tool_run.calls] == ["mine a", "mine b"]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_what_a_handler_raises_is_told_or_is_the_cause(upstream: Any, asynchronous: bool, fails: bool) -> None:
    script = upstream(asks("look", {}), says("Never mind."), default=says("Still there."))

    def look() -> str:
        raise KeyError("no such city")

    client = (ossai.AsyncClient if asynchronous else ossai.Client)(script.config, environment=False)
    if fails:
        with pytest.raises(ossai.CallbackError) as caught:
            outcomes(client, asynchronous, [look], on_tool_error="fail")
        assert isinstance(caught.value.__cause__, KeyError)
        assert caught.value.partial is not None and caught.value.partial.tool_run is not None
        assert "city" not in str(caught.value)
    else:
        answer = outcomes(client, asynchronous, [look])
        assert answer.text == "Never mind." and "KeyError" in told(script)
        assert answer.tool_run.calls[0].error["type"] == "KeyError"


def test_a_handler_that_blocks_is_left_behind_when_its_time_is_up(upstream: Any) -> None:
    script = upstream(asks("block", {}), says("Without it."))
    released = threading.Event()
    seen: list[bool] = []

    def block(context: ossai.ToolContext) -> None:
        assert 0 < context.time_left <= 0.05
        context.cancelled.wait(10)
        seen.append(context.cancelled.is_set())
        released.set()

    with ossai.Client(script.config, environment=False) as client:
        answer = client.complete(model=MODEL, messages="Go on.", tools=[block], tool_timeout=0.05)
        assert answer.text == "Without it." and client.calls_under_way == 0
    assert released.wait(10) and seen == [True]


def test_cancelling_a_task_cancels_its_handlers(upstream: Any) -> None:
    script = upstream(asks("wait", {}), default=says("Still there."))

    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        async with ossai.AsyncClient(script.config, environment=False) as client:
            task = asyncio.create_task(client.complete(model=MODEL, messages="Go on.", tools=[wait]))
            await asyncio.wait_for(begun.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(ended.wait(), 10)
            assert client.calls_under_way == 0
            assert (await client.complete(model=MODEL, messages="There?")).text == "Still there."

    asyncio.run(main())


def test_a_handler_may_use_the_client_it_serves(upstream: Any) -> None:
    script = upstream(asks("ask", {}), says("Rain."), says("Take one."))
    client = ossai.Client(script.config, environment=False)

    def ask() -> str:
        return client.complete(model=MODEL, messages="What is the weather?").text

    assert client.complete(model=MODEL, messages="Umbrella?", tools=[ask]).text == "Take one."


@pytest.mark.parametrize("asynchronous", [False, True])
def test_nothing_runs_that_was_not_approved(upstream: Any, asynchronous: bool) -> None:
    script = upstream(asks("remove", {"path": "a"}, {"path": "b"}), says("As you like."))
    removed: list[str] = []

    def remove(path: str) -> str:
        removed.append(path)
        return "removed"

    def approve(call: ossai.ToolContext) -> bool | str:
        assert call.name == "remove"
        return True if call.input["path"] == "b" else "not a"

    client = (ossai.AsyncClient if asynchronous else ossai.Client)(script.config, environment=False)
    answer = outcomes(client, asynchronous, [remove], approve=approve)
    assert removed == ["b"]
    assert [call.outcome for call in answer.tool_run.calls] == ["denied", "ok"]


def test_streams_have_the_events_of_the_turns_and_of_the_calls(upstream: Any) -> None:
    responses = (asks_in_a_stream("sync_echo", {"text": "a"}), streams("Do", "ne."))
    expected = ["tool_started", "tool_result", "turn", "text_delta", "text_delta", "end"]
    with ossai.Client(upstream(*responses).config, environment=False) as client:
        with client.stream(model=MODEL, messages="Go on.", tools=[sync_echo]) as stream:
            events = list(stream)
        assert stream.completion is not None and stream.completion.text == "Done."
        assert [event.type for event in events if event.type in expected] == expected
        result = next(event for event in events if event.type == "tool_result")
        assert result.call.output == "nothing a" and result.model_dump()["outcome"] == "ok"

    async def main() -> None:
        async with ossai.AsyncClient(upstream(*responses).config, environment=False) as client:
            stream = client.stream(model=MODEL, messages="Go on.", tools=[sync_echo])
            assert [event.type async for event in stream if event.type in expected] == expected
            assert (await stream.finish()).text == "Done."

    asyncio.run(main())


def test_leaving_a_stream_cancels_its_handlers(upstream: Any) -> None:
    script = upstream(asks_in_a_stream("block", {}))
    ended = threading.Event()

    def block(context: ossai.ToolContext) -> None:
        context.cancelled.wait(10)
        ended.set()

    with ossai.Client(script.config, environment=False) as client:
        with client.stream(model=MODEL, messages="Go on.", tools=[block]) as stream:
            for event in stream:
                if event.type == "tool_started":
                    break
        assert ended.wait(10) and client.calls_under_way == 0


def test_what_a_handler_of_a_stream_raises_is_the_cause(upstream: Any) -> None:
    def look() -> str:
        raise KeyError("no such city")

    async def main() -> None:
        config = upstream(asks_in_a_stream("look", {})).config
        async with ossai.AsyncClient(config, environment=False) as client:
            with pytest.raises(ossai.CallbackError) as caught:
                await client.stream(model=MODEL, messages="Go on.", tools=[look], on_tool_error="fail").finish()
            assert isinstance(caught.value.__cause__, KeyError)

    asyncio.run(main())
    with ossai.Client(upstream(asks_in_a_stream("look", {})).config, environment=False) as client:
        with pytest.raises(ossai.CallbackError) as caught:
            client.stream(model=MODEL, messages="Go on.", tools=[look], on_tool_error="fail").finish()
        assert isinstance(caught.value.__cause__, KeyError)


def test_under_trio_too(upstream: Any) -> None:
    trio = pytest.importorskip("trio")
    script = upstream(asks("slow", {"n": 1}), says("Done."), asks("hang", {}))

    async def slow(n: int) -> str:
        await trio.sleep(0.001)
        return f"{VARIABLE.get()} {n}"

    async def hang() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    ended: list[bool] = []

    async def main() -> None:
        client = ossai.AsyncClient(script.config, environment=False)
        VARIABLE.set("mine")
        answer = await client.complete(model=MODEL, messages="Go on.", tools=[slow])
        assert answer.tool_run is not None and answer.tool_run.calls[0].output == "mine 1"
        with trio.move_on_after(0.3):
            await client.complete(model=MODEL, messages="Further.", tools=[hang])
        with trio.fail_after(10):
            while not ended:
                await trio.sleep(0.01)

    trio.run(main)


def test_counting_and_looking_up_know_a_tool_with_a_handler_as_what_it_is() -> None:
    client = ossai.Client(environment=False)
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    tool = ossai.tool(sync_echo)
    bare = {**request, "tools": [tool.definition()]}
    assert client.key(request, tools=[sync_echo]) == client.key(bare) == client.key({**request, "tools": [tool]})
    assert client.count(request, tools=[sync_echo]).tokens == client.count(bare).tokens > client.count(request).tokens


@pytest.mark.parametrize(
    ("keywords", "field"),
    [
        ({"tools": [{"name": "x"}], "max_turns": 3}, "max_turns"),
        ({"tools": [sync_echo], "max_turns": 0}, "options.tools.max_turns"),
        ({"tools": [sync_echo], "approve": 7}, "approve"),
        ({"tools": [sync_echo], "on_tool_error": "ignore"}, "options.tools.on_error"),
        ({"tools": [sync_echo], "tool_timeout": -1}, "tool_timeout"),
        ({"tools": [sync_echo, sync_echo]}, "tools[1].name"),
        ({"tools": [lambda **more: None]}, "tools"),
    ],
)
def test_a_mistake_names_its_field(keywords: dict[str, Any], field: str) -> None:
    client = ossai.Client(environment=False)
    with pytest.raises(ossai.InvalidRequestError) as caught:
        client.complete(model=MODEL, messages="Hello", **keywords)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("hint", "schema", "given", "made"),
    [
        (bool | None, {"anyOf": [{"type": "boolean"}, {"type": "null"}]}, None, None),
        (list[Unit], {"type": "array", "items": {"enum": ["c", "f"]}}, ["c"], [Unit.C]),
        (tuple[int, Unit], None, [1, "f"], (1, Unit.F)),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1, 2], (1, 2)),
        (frozenset[str], None, ["a"], frozenset({"a"})),
        (dict[str, Unit], {"type": "object", "additionalProperties": {"enum": ["c", "f"]}}, {"a": "c"}, {"a": Unit.C}),
        (dict[str, Any], {"type": "object"}, {"a": 1}, {"a": 1}),
        (datetime.date, {"type": "string", "format": "date"}, "2026-11-21", datetime.date(2026, 11, 21)),
        (uuid.UUID, None, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        (Unit | int, None, 7, 7),
        (Unit | None, None, "f", Unit.F),
        (Place | Unit, None, {"city": "Oslo"}, Place("Oslo")),
        (Day, None, {"hour": 1}, {"hour": 1}),
        (Weather, None, {"sky": "rain"}, Weather(sky="rain")),
        (list[Weather] | None, None, [{"sky": "rain"}], [Weather(sky="rain")]),
        (Node, None, {"name": "a", "next": {"name": "b"}}, Node("a", Node("b"))),
    ],
)
def test_a_hint_is_a_schema_and_the_schema_s_values_are_the_hint_s(hint: Any, schema: Any, given: Any, made: Any) -> None:
    shared: dict[str, Any] = {}
    found = _schema.of(hint, shared)
    assert schema is None or found.schema == schema
    json.dumps(_schema.closed(found.schema, shared))
    assert (found.read(given) if found.read else given) == made
    assert (found.read(json.loads(_schema.to_json(made))) if found.read else given) == made


@pytest.mark.parametrize("hint", [threading.Lock, dict[int, str], Callable[[], int], complex, Place])
def test_a_hint_without_a_json_schema_is_refused(hint: Any) -> None:
    with pytest.raises(_schema.Unsupported):
        _schema.of(hint, {"Place": {"x-python": object}})  # another type has the name


def test_hints_without_a_json_schema_are_refused_when_the_tool_is_made() -> None:
    def odd(value: threading.Lock) -> None: ...

    with pytest.raises(ossai.InvalidRequestError, match="JSON Schema"):
        ossai.tool(odd)


def test_the_process_ends_while_a_handler_hangs(upstream: Any) -> None:
    script = upstream(asks("hang", {}))
    program = f"""
import threading, ossai
client = ossai.Client({script.config!r}, environment=False)
def hang() -> None:
    threading.Event().wait()
try:
    client.complete(model={MODEL!r}, messages="Go on.", tools=[hang], timeout=0.5)
except ossai.TimeoutError as error:
    print(error.scope)
"""
    began = time.monotonic()
    result = run_python(program)
    assert result.stdout.strip() == "total" and time.monotonic() - began < 15
