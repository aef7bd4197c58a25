"""What calls leave in the program's own OpenTelemetry: the shared table of conformance/telemetry, and what is Python's own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import ossai

from .conftest import MODEL, ROOT, hangs, says, streams

TABLE = json.loads((ROOT / "conformance/telemetry/calls.json").read_text())["cases"]
LOCAL = {"model": "local/extract", "messages": "The sky is blue.\n\nWhat colour is the sky?", "temperature": 0}


class Host:
    """A program with OpenTelemetry's SDK, whose exporters are in memory."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import Histogram, MeterProvider
        from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.trace = trace
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        trace.set_tracer_provider(provider)
        self.reader = InMemoryMetricReader({Histogram: AggregationTemporality.DELTA})
        metrics.set_meter_provider(MeterProvider([self.reader]))

    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())

    def points(self) -> list[tuple[str, Any]]:
        data = self.reader.get_metrics_data()
        found = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return [(metric.name, point) for metric in found for point in metric.data.data_points]


@pytest.fixture(scope="module")
def program() -> Iterator[Host]:
    """It is taken out again, so that the other tests are of a program without it."""
    yield Host()
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry" or name == "ossai._telemetry"]:
        del sys.modules[name]


@pytest.fixture
def host(program: Host) -> Host:
    program.points()
    program.exporter.clear()
    return program


def matches(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and "$any" in wanted:
        return found is not None
    if isinstance(wanted, dict) and "$json" in wanted:
        return bool(json.loads(found) == wanted["$json"])
    return bool((list(found) if isinstance(found, tuple) else found) == wanted)


def settings(script: Any, case: dict[str, Any]) -> dict[str, Any]:
    config = script.config
    provider = case.get("provider", "openai")
    config["providers"] = {provider: config["providers"]["openai"]}
    return {**config, **({"telemetry": {"content": True}} if case.get("content") else {})}


def call(client: ossai.Client, case: dict[str, Any]) -> None:
    options = case.get("options", {})
    if case["op"] == "stream":
        client.stream(case["request"], options=options).finish()
    else:
        getattr(client, case["op"])(case["request"], options=options)


async def acall(client: ossai.AsyncClient, case: dict[str, Any]) -> None:
    options = case.get("options", {})
    if case["op"] == "stream":
        await client.stream(case["request"], options=options).finish()
    else:
        await getattr(client, case["op"])(case["request"], options=options)


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "awaiting"])
@pytest.mark.parametrize("case", TABLE, ids=[case["name"] for case in TABLE])
def test_as_in_every_language(host: Host, upstream: Any, case: dict[str, Any], waits: bool) -> None:
    script = upstream(*case["responses"])

    async def awaited() -> None:
        async with ossai.AsyncClient(environment=False, **settings(script, case)) as client:
            for _ in range(case.get("times", 1)):
                await acall(client, case)

    def waited() -> None:
        with ossai.Client(environment=False, **settings(script, case)) as client:
            for _ in range(case.get("times", 1)):
                call(client, case)

    run = waited if waits else lambda: asyncio.run(awaited())
    if case.get("fails"):
        with pytest.raises(ossai.OssaiError):
            run()
    else:
        run()

    spans = host.spans()
    assert [span.name for span in spans] == [span["name"] for span in case["spans"]]
    for found, wanted in zip(spans, case["spans"], strict=True):
        assert set(found.attributes) == set(wanted["attributes"])
        for name, value in wanted["attributes"].items():
            assert matches(found.attributes[name], value), (name, found.attributes[name], value)
        assert found.kind.name == "CLIENT"
        assert found.status.status_code.name == ("ERROR" if wanted.get("error") else "UNSET")
    points = host.points()
    key = lambda name, attributes, count: (name, sorted(attributes.items()), count)  # noqa: E731
    assert sorted(key(name, point.attributes, point.count) for name, point in points) == sorted(
        key(one["name"], one["attributes"], one["count"]) for one in case["metrics"]
    )
    for one in case["metrics"]:
        [point] = [point for name, point in points if name == one["name"] and dict(point.attributes) == one["attributes"]]
        assert "sum" not in one or point.sum == one["sum"]


def test_a_call_is_the_child_of_the_active_span_and_tells_the_upstream_of_itself(host: Host, upstream: Any) -> None:
    script = upstream(says("Hi"), streams("Hi"), says("Hi"))

    async def awaited() -> None:
        async with ossai.AsyncClient(script.config, environment=False) as client:
            await client.complete(model=MODEL, messages="Hello")

    with host.trace.get_tracer("test").start_as_current_span("parent") as parent:
        with ossai.Client(script.config, environment=False) as client:
            client.complete(model=MODEL, messages="Hello")
            client.stream(model=MODEL, messages="Hello").finish()
        asyncio.run(awaited())
    *spans, _ = host.spans()
    sent = [dict(request["headers"])["traceparent"] for request in script.requests()]
    assert len(spans) == len(sent) == 3
    for span, header in zip(spans, sent, strict=True):
        assert span.parent.span_id == parent.get_span_context().span_id
        assert header == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
        assert span.context.trace_id == parent.get_span_context().trace_id


@pytest.mark.parametrize("among_options", [False, True])
def test_a_trace_context_the_caller_gives_is_the_one_that_is_told(host: Host, upstream: Any, among_options: bool) -> None:
    script = upstream(says("Hi"))
    own: dict[str, Any] = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    with ossai.Client(script.config, environment=False) as client:
        client.complete(model=MODEL, messages="Hello", **({"options": own} if among_options else own))
    assert dict(script.requests()[0]["headers"])["traceparent"] == own["traceparent"]
    assert len(host.spans()) == 1


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "awaiting"])
def test_a_tools_handler_runs_beneath_the_calls_span(host: Host, upstream: Any, waits: bool) -> None:
    calls = {"body": {"openai_chat": {"tool_calls": [{"id": "1", "name": "inner", "arguments": "{}"}]}}}
    script = upstream(calls, says("Done."))

    @ossai.tool
    def inner() -> str:
        host.trace.get_tracer("test").start_span("handler").end()
        return "ok"

    async def awaited() -> None:
        async with ossai.AsyncClient(script.config, environment=False) as client:
            await client.complete(model=MODEL, messages="Go.", tools=[inner])

    if waits:
        with ossai.Client(script.config, environment=False) as client:
            client.complete(model=MODEL, messages="Go.", tools=[inner])
    else:
        asyncio.run(awaited())
    handler, tool, span = host.spans()
    assert (handler.name, tool.name, tool.kind) == ("handler", "execute_tool inner", host.trace.SpanKind.INTERNAL)
    assert handler.parent.span_id == tool.context.span_id
    assert tool.parent.span_id == span.context.span_id
    assert dict(tool.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "inner",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "1",
    }
    measured = [dict(point.attributes) for name, point in host.points() if name == "gen_ai.execute_tool.duration"]
    assert measured == [{"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "inner"}]


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "awaiting"])
def test_a_handler_that_raises_is_an_error_of_its_span_and_content_is_told_when_asked_for(
    host: Host, upstream: Any, waits: bool
) -> None:
    calls = [
        {"id": "1", "name": "lookup", "arguments": '{"city": "Oslo"}'},
        {"id": "2", "name": "broken", "arguments": "{}"},
    ]
    script = upstream({"body": {"openai_chat": {"tool_calls": calls}}}, says("Done."))

    @ossai.tool
    async def lookup(city: str) -> dict[str, str]:
        """Looks a city up."""
        return {"weather": f"fine in {city}"}

    @ossai.tool
    async def broken() -> None:
        raise KeyError("no such town")

    async def awaited() -> None:
        async with ossai.AsyncClient(script.config, environment=False, telemetry={"content": True}) as client:
            await client.complete(model=MODEL, messages="Go.", tools=[lookup, broken])

    if waits:
        with ossai.Client(script.config, environment=False, telemetry={"content": True}) as client:
            client.complete(model=MODEL, messages="Go.", tools=[lookup, broken])
    else:
        asyncio.run(awaited())
    told = {span.name: span for span in host.spans()}
    good, bad = told["execute_tool lookup"], told["execute_tool broken"]
    assert json.loads(good.attributes["gen_ai.tool.call.arguments"]) == {"city": "Oslo"}
    assert json.loads(good.attributes["gen_ai.tool.call.result"]) == {"weather": "fine in Oslo"}
    assert good.attributes["gen_ai.tool.description"] == "Looks a city up."
    assert bad.attributes["error.type"] == "KeyError"
    assert bad.status.status_code == host.trace.StatusCode.ERROR


def test_a_cancelled_task_is_an_error_of_type_cancelled(host: Host, upstream: Any) -> None:
    script = upstream(hangs(), streams("One", stall_after={"event": 2}))

    async def awaited() -> None:
        async with ossai.AsyncClient(script.config, environment=False) as client:
            task = asyncio.create_task(client.complete(model=MODEL, messages="Hello"))
            await asyncio.to_thread(script.reached, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with client.stream(model=MODEL, messages="Hello") as stream:
                async for event in stream:
                    if event.type == "text_delta":
                        break

    asyncio.run(awaited())
    cancelled, left = host.spans()
    assert cancelled.attributes["error.type"] == "cancelled"
    assert "error.type" not in left.attributes


def test_a_stream_that_is_dropped_or_closed_ends_its_span(host: Host, upstream: Any) -> None:
    script = upstream(streams("One", stall_after={"event": 2}), streams("One", stall_after={"event": 2}))
    with ossai.Client(script.config, environment=False) as client:
        stream = client.stream(model=MODEL, messages="Hello")
        next(stream)
        stream.close()
        stream = client.stream(model=MODEL, messages="Hello")
        next(stream)
        del stream
    assert len(host.spans()) == 2


@pytest.mark.parametrize(
    "request_",
    [
        None,
        7,
        {},
        {"model": 7, "messages": 7, "stop": 7, "response_format": None},
        {"model": "x", "messages": [None], "stop": [1]},
    ],
)
def test_requests_that_are_wrong_are_told_and_refused_as_ever(host: Host, request_: Any) -> None:
    with ossai.Client(environment=False, telemetry={"content": True}) as client:
        for call in (client.complete, client.embed, lambda request: client.stream(request).finish()):
            with pytest.raises(ossai.InvalidRequestError):
                call(request_)
    assert len(host.spans()) == 3


def test_requests_that_are_objects_are_told_and_sent_as_ever(host: Host) -> None:
    @dataclass
    class Question:
        model: str
        messages: list[dict[str, str]]
        temperature: float

    question = Question("local/extract", [{"role": "user", "content": str(LOCAL["messages"])}], 0.5)
    with ossai.Client(environment=False) as client:
        assert client.complete(question).text
    [span] = host.spans()
    assert (span.name, span.attributes["gen_ai.request.temperature"]) == ("chat extract", 0.5)


def test_nothing_is_told_when_the_settings_say_so_and_mistakes_in_them_are_named(host: Host) -> None:
    with ossai.Client(environment=False, telemetry=False) as client:
        client.complete(**LOCAL)
    assert host.spans() == []
    for telemetry, field in (
        ({"contents": True}, "telemetry.contents"),
        ({"content": 1}, "telemetry.content"),
        (7, "telemetry"),
    ):
        with pytest.raises(ossai.InvalidRequestError) as raised:
            ossai.Client(environment=False, telemetry=telemetry)  # type: ignore[arg-type]
        assert raised.value.field == field


def test_the_environment_asks_for_content_as_it_does_elsewhere(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    with ossai.Client() as client:
        client.complete(**LOCAL)
    with ossai.Client(environment=False) as client:
        client.complete(**LOCAL)
    first, second = host.spans()
    assert "gen_ai.input.messages" in first.attributes
    assert "gen_ai.input.messages" not in second.attributes


def test_a_program_without_opentelemetry_loads_none_of_it() -> None:
    program = f"""
import sys, ossai
ossai.Client(environment=False).complete(**{LOCAL!r})
print([name for name in sys.modules if "opentelemetry" in name or "telemetry" in name])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "[]"
