"""What a checker must know of the public API; checked by mypy and pyright in strict mode, never run."""

from __future__ import annotations

from typing_extensions import assert_type

import ossai


def sync(client: ossai.Client) -> None:
    answer = client.complete(model="openai/gpt-4o-mini", messages="Hello", temperature=0, timeout=2.5)
    assert_type(answer, ossai.Completion)
    assert_type(answer.text, str)
    assert_type(answer.cost.total, "int | None")
    assert_type(client.count(model="openai/gpt-4o-mini", messages=[{"role": "user", "content": "x"}]).tokens, int)
    assert_type(client.estimate({"model": "x"}).high, "int | None")
    with client.stream(model="openai/gpt-4o-mini", messages="Hello") as stream:
        for event in stream:
            if event.type == "text_delta":
                assert_type(event, ossai.TextDelta)
                assert_type(event.text, str)
            elif event.type == "end":
                assert_type(event.completion, ossai.Completion)
    for part in answer.parts:
        if isinstance(part, ossai.ToolCall):
            assert_type(part.arguments, str)
    try:
        client.embed(model="openai/text-embedding-3-small", input=["a"])
    except ossai.RateLimitedError as error:
        assert_type(error.retry_after_ms, "int | None")


def cassettes() -> ossai.CassetteOptions:
    kept: ossai.CassetteOptions = {"path": "x.json", "mode": "replay", "match": ["path", "body"], "allow_repeats": True}
    with ossai.Client(cassette=kept) as client:
        sync(client)
    return kept


async def asynchronous(client: ossai.AsyncClient) -> None:
    assert_type(await client.complete(model="openai/gpt-4o-mini", messages="Hello"), ossai.Completion)
    async for event in client.stream(model="openai/gpt-4o-mini", messages="Hello"):
        if event.type == "text_delta":
            assert_type(event.text, str)
    assert_type(await client.models(), "list[ossai.ModelInfo]")


def tools(client: ossai.Client) -> None:
    @ossai.tool(timeout=2.0, capabilities=["read"])
    def weather(city: str, context: ossai.ToolContext) -> dict[str, str]:
        assert_type(context.time_left, float)
        return {"sky": city}

    def approve(call: ossai.ToolContext) -> bool | str:
        return call.name != "remove" or "not now"

    answer = client.complete(
        model="openai/gpt-4o-mini", messages="Hello", tools=[weather, len], max_turns=3, approve=approve, on_tool_error="fail"
    )
    if answer.tool_run is not None:
        assert_type(answer.tool_run.turns[0].cost.total, "int | None")
        assert_type(answer.tool_run.calls[0].turn, int)
    for event in client.stream(model="openai/gpt-4o-mini", messages="Hello", tools=[weather]):
        if event.type == "tool_result":
            assert_type(event.call, ossai.ToolCallRecord)
