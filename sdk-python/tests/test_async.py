"""What a program with an event loop relies on: cancellation, streams, several loops, uvloop, trio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

import pytest
import trio
import uvloop

import ossai

from .conftest import MODEL, hangs, says, streams

RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.fixture(params=list(RUNNERS))
def run(request: pytest.FixtureRequest) -> Any:
    return RUNNERS[request.param]


def test_cancelling_a_task_closes_its_connection(run: Any, upstream: Any) -> None:
    script = upstream(hangs())

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            task = asyncio.create_task(client.complete(model=MODEL, messages="Hello"))
            await asyncio.to_thread(script.reached, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client.calls_under_way == 0
            assert (await asyncio.to_thread(script.outcomes))[0].startswith("client_")

    run(main())


def test_cancelling_one_of_two_who_share_a_call_leaves_the_other_its_answer(run: Any, upstream: Any) -> None:
    script = upstream(says("Hi", delay_ms=200))

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            ask = {"model": MODEL, "messages": "Hello", "temperature": 0}
            first, second = (asyncio.create_task(client.complete(ask, messages="Hello")) for _ in range(2))
            await asyncio.to_thread(script.reached, 1)
            first.cancel()
            assert (await second).text == "Hi"
        assert script.outcomes() == ["sent"]

    run(main())


def test_ten_thousand_cancelled_calls_leave_nothing_behind(upstream: Any) -> None:
    script = upstream(default=says("late", delay_ms=60_000))

    async def main() -> None:
        async with ossai.AsyncClient(script.config, limits={"max_in_flight": 20_000}) as client:
            for _ in range(10):
                tasks = [
                    asyncio.create_task(client.complete(model=MODEL, messages=f"Hello {n}", temperature=0)) for n in range(1000)
                ]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert client.calls_under_way == 0
            while client.stats().flights_in_flight:
                await asyncio.sleep(0.01)
            assert client.stats().waiters == 0

    asyncio.run(main())


def test_a_time_limit_of_asyncio_s_own_ends_a_call(run: Any, upstream: Any) -> None:
    script = upstream(hangs())

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            with pytest.raises(TimeoutError) as caught:
                await asyncio.wait_for(client.complete(model=MODEL, messages="Hello"), 0.2)
            assert not isinstance(caught.value, ossai.OssaiError)

    run(main())
    assert script.outcomes()[0].startswith("client_")


@pytest.mark.parametrize("how", ["break", "close", "drop", "cancel"])
def test_leaving_a_stream_early_closes_its_connection(run: Any, upstream: Any, how: str) -> None:
    script = upstream(streams("a", "b", "c", stall_after={"event": 3}))

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            stream = client.stream(model=MODEL, messages="Hello")
            if how == "cancel":

                async def read() -> None:
                    async for _ in stream:
                        pass

                task = asyncio.create_task(read())
                await asyncio.to_thread(script.reached, 1)
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            elif how == "break":
                async with stream:
                    async for _ in stream:
                        break
            else:
                await stream.__anext__()
                if how == "close":
                    await stream.close()
                    assert [event async for event in stream] == []
                    with pytest.raises(ossai.InvalidStateError):
                        await stream.finish()
                else:
                    del stream
                    gc.collect()
            assert client.calls_under_way == 0
            assert (await asyncio.to_thread(script.outcomes))[0].startswith("client_")

    run(main())


def test_a_stream_gives_text_and_the_finished_answer(run: Any, upstream: Any) -> None:
    script = upstream(streams("a", "b"), streams("a", "b"))

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            stream = client.stream(model=MODEL, messages="Hello")
            assert [piece async for piece in stream.text()] == ["a", "b"]
            assert stream.completion is not None and stream.completion.text == "ab"
            assert (await client.stream(model=MODEL, messages="Hello").finish()).text == "ab"

    run(main())


def test_a_long_stream_is_read_in_credit_sized_bites(run: Any, upstream: Any) -> None:
    deltas = [f"{n} " for n in range(5000)]
    script = upstream(streams(*deltas))

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            seen = []
            async for event in client.stream(model=MODEL, messages="Hello"):
                if event.type == "text_delta":
                    seen.append(event.text)
            assert "".join(seen) == "".join(deltas)

    run(main())


def test_two_tasks_do_not_read_one_stream(upstream: Any) -> None:
    script = upstream(hangs())

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            stream = client.stream(model=MODEL, messages="Hello")
            first = asyncio.create_task(stream.__anext__())
            await asyncio.sleep(0)
            with pytest.raises(ossai.InvalidStateError):
                await stream.__anext__()
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first

    asyncio.run(main())


def test_closing_ends_calls_and_streams_under_way(run: Any, upstream: Any) -> None:
    script = upstream(default=hangs())

    async def main() -> None:
        client = ossai.AsyncClient(script.config)
        stream = client.stream(model=MODEL, messages="Hello", temperature=1)
        call = asyncio.create_task(client.complete(model=MODEL, messages="Hello"))
        read = asyncio.create_task(stream.__anext__())
        await asyncio.to_thread(script.reached, 2)
        assert not await client.close()
        for task in (call, read):
            with pytest.raises(ossai.CancelledError):
                await task

    run(main())


def test_one_client_serves_many_loops_one_after_the_other_and_at_once(upstream: Any) -> None:
    script = upstream(default=says("Hi"))
    client = ossai.AsyncClient(script.config)

    async def ask(n: int) -> str:
        answers = await asyncio.gather(*(client.complete(model=MODEL, messages=f"{n}.{i}") for i in range(20)))
        return answers[0].text

    assert [asyncio.run(ask(n)) for n in range(3)] == ["Hi"] * 3

    async def threads() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(asyncio.run, ask(n)) for n in range(10, 14)))

    assert asyncio.run(threads()) == ["Hi"] * 4


def test_hits_let_other_tasks_run(upstream: Any) -> None:
    script = upstream(says("Hi"))

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            ask = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
            await client.complete(ask)
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            for _ in range(640):
                await client.complete(ask)
            task.cancel()
            assert turns >= 9

    asyncio.run(main())


def test_without_an_event_loop_it_says_so() -> None:
    client = ossai.AsyncClient(environment=False)
    with pytest.raises(ossai.InvalidStateError, match="event loop"):
        client.stream(model="local/extract", messages="x")
    with pytest.raises(ossai.InvalidStateError, match="event loop"):
        client.complete(model="local/extract", messages="x").send(None)


def test_a_loop_that_cannot_watch_descriptors_is_served_too(upstream: Any) -> None:
    script = upstream(default=says("Hi"))

    class NoReaders(asyncio.SelectorEventLoop):
        def add_reader(self, *_: Any) -> None:
            raise NotImplementedError

        def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:  # the loop's own wake-up
            return super()._add_reader(fd, callback, *args)  # type: ignore[misc]

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            answers = await asyncio.gather(*(client.complete(model=MODEL, messages=str(n)) for n in range(50)))
            assert {answer.text for answer in answers} == {"Hi"}

    loop = NoReaders()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_trio_calls_streams_and_cancels(upstream: Any) -> None:
    script = upstream(says("Hi"), streams("a", "b"), {"status": 401, "body": {"openai_error": {}}}, hangs())

    async def main() -> None:
        async with ossai.AsyncClient(script.config) as client:
            assert (await client.complete(model=MODEL, messages="Hello")).text == "Hi"
            seen = [event.type async for event in client.stream(model=MODEL, messages="Hello")]
            assert seen[-1] == "end" and seen.count("text_delta") == 2
            with pytest.raises(ossai.AuthenticationError):
                await client.complete(model=MODEL, messages="Hello")
            with trio.move_on_after(0.2) as scope:
                await client.complete(model=MODEL, messages="Hello")
            assert scope.cancelled_caught and client.calls_under_way == 0
            hits = 0
            await client.complete(model="local/extract", messages="Context:\nBlue.\n\nWhat?")
            for _ in range(130):
                hits += (
                    await client.complete(model="local/extract", messages="Context:\nBlue.\n\nWhat?")
                ).cache.status == "hit"
            assert hits == 130

    trio.run(main)
    assert script.outcomes()[3].startswith("client_")


def test_trio_tasks_run_at_once_and_again_in_a_second_run(upstream: Any) -> None:
    script = upstream(default=says("Hi", delay_ms=50))
    client = ossai.AsyncClient(script.config)

    async def main(n: int) -> None:
        async def one(i: int) -> None:
            assert (await client.complete(model=MODEL, messages=f"{n}.{i}")).text == "Hi"

        async with trio.open_nursery() as nursery:
            for i in range(20):
                nursery.start_soon(one, i)

    trio.run(main, 1)
    trio.run(main, 2)
