"""What a program that waits relies on: the interpreter's lock is released, Ctrl-C works, streams end when left."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ossai

from .conftest import MODEL, hangs, says, streams


def test_threads_wait_at_once(upstream: Any) -> None:
    script = upstream(default=says("Hi", delay_ms=300))
    with ossai.Client(script.config) as client, ThreadPoolExecutor(32) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda n: client.complete(model=MODEL, messages=str(n)).text, range(32)))
        assert answers == ["Hi"] * 32
        assert time.monotonic() - began < 32 * 0.3 / 2


@pytest.mark.parametrize("what", ["complete", "stream"])
def test_ctrl_c_ends_a_wait_and_closes_the_connection(upstream: Any, what: str) -> None:
    script = upstream(hangs())
    client = ossai.Client(script.config)

    def interrupt() -> None:
        script.reached(1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        if what == "complete":
            client.complete(model=MODEL, messages="Hello")
        else:
            next(client.stream(model=MODEL, messages="Hello"))
    thread.join()
    assert client.calls_under_way == 0
    assert script.outcomes()[0].startswith("client_")


@pytest.mark.parametrize("how", ["break", "close", "drop"])
def test_leaving_a_stream_early_closes_its_connection(upstream: Any, how: str) -> None:
    script = upstream(streams("a", "b", "c", stall_after={"event": 3}))
    with ossai.Client(script.config) as client:
        stream = client.stream(model=MODEL, messages="Hello")
        if how == "break":
            with stream:
                for _ in stream:
                    break
        elif how == "close":
            next(stream)
            stream.close()
            assert list(stream) == []
            with pytest.raises(ossai.InvalidStateError):
                stream.finish()
        else:
            next(stream)
            del stream
            gc.collect()
        assert client.calls_under_way == 0
        assert script.outcomes()[0].startswith("client_")


def test_a_stream_gives_text_and_the_finished_answer(upstream: Any) -> None:
    with ossai.Client(upstream(streams("a", "b"), streams("a", "b")).config) as client:
        stream = client.stream(model=MODEL, messages="Hello")
        assert list(stream.text()) == ["a", "b"]
        assert stream.completion is not None and stream.completion.text == "ab"
        assert client.stream(model=MODEL, messages="Hello").finish().text == "ab"


def test_a_long_stream_is_read_in_credit_sized_bites(upstream: Any) -> None:
    deltas = [f"{n} " for n in range(5000)]
    with ossai.Client(upstream(streams(*deltas)).config) as client:
        assert client.stream(model=MODEL, messages="Hello").finish().text == "".join(deltas)


def test_two_threads_do_not_read_one_stream(upstream: Any) -> None:
    script = upstream(hangs())
    with ossai.Client(script.config) as client:
        stream = client.stream(model=MODEL, messages="Hello")
        ended: list[BaseException] = []

        def read() -> None:
            try:
                next(stream)
            except ossai.OssaiError as error:
                ended.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        script.reached(1)
        while True:
            try:
                next(stream)
            except ossai.InvalidStateError:
                break
        client.close()
        thread.join()
        assert [type(error) for error in ended] == [ossai.CancelledError]


def test_closing_ends_calls_of_other_threads(upstream: Any) -> None:
    script = upstream(default=hangs())
    client = ossai.Client(script.config)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.complete, model=MODEL, messages=str(n)) for n in range(4)]
        script.reached(4)
        assert not client.close()
        assert {type(call.exception()) for call in calls} == {ossai.CancelledError}


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_importing_and_opening_start_no_thread_and_no_descriptor() -> None:
    ran = run_python(
        """
        import os
        def threads(): return len(os.listdir("/proc/self/task"))
        def descriptors(): return len(os.listdir("/proc/self/fd"))
        before = threads(), descriptors()
        import ossai
        client = ossai.Client(environment=False)
        ossai.AsyncClient(environment=False)
        client.count(model="openai/gpt-4o", messages="x")
        assert (threads(), descriptors()) == before, (threads(), descriptors(), before)
        client.close()
        assert threads() == before[0]
        assert ossai.configure_threads(3)
        client = ossai.Client(environment=False)
        client.complete(model="local/extract", messages="Context:\\nBlue.\\n\\nWhat?")
        assert threads() == before[0] + 3, threads()
        assert not ossai.configure_threads(1)
        """
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("what", ["threads", "tasks", "streams"])
def test_the_interpreter_ends_cleanly_with_calls_under_way(upstream: Any, what: str) -> None:
    script = upstream(default=hangs())
    code = {
        "threads": """
            for n in range(8):
                threading.Thread(target=lambda n=n: client.complete(model=MODEL, messages=str(n)), daemon=True).start()
            wait(8)
        """,
        "tasks": """
            async def main():
                tasks = [asyncio.ensure_future(aclient.complete(model=MODEL, messages=str(n))) for n in range(200)]
                await asyncio.sleep(0.2)
                raise SystemExit(0)
            asyncio.run(main())
        """,
        "streams": """
            streams = [client.stream(model=MODEL, messages=str(n)) for n in range(8)]
            wait(8)
        """,
    }[what]
    ran = run_python(
        f"""
import asyncio, sys, threading, time
import ossai
MODEL = {MODEL!r}
client, aclient = ossai.Client({script.config!r}), ossai.AsyncClient({script.config!r})
threading.excepthook = lambda args: None
def wait(n):
    while client.calls_under_way < n: time.sleep(0.01)
{textwrap.dedent(code)}
"""
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    assert all(outcome.startswith("client_") for outcome in script.outcomes())
