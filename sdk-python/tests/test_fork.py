"""Forks, as gunicorn, multiprocessing and Celery make them: a child goes on, whatever its parent was doing."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import ossai

from .conftest import MODEL, hangs, says, streams


def in_child(work: Callable[[], None], seconds: float = 20.0) -> None:
    """Runs ``work`` in a forked child, which must end well within some seconds."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            sys.stderr.write(f"in the child: {error!r}\n")
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)


def ask(client: ossai.Client, text: str) -> str:
    return client.complete(model=MODEL, messages=text, temperature=0).text


def test_a_client_opened_before_the_fork_goes_on_in_parent_and_child(upstream: Any) -> None:
    script = upstream(default=says("Hi"))
    client = ossai.Client(script.config)  # as in a preloaded module, before any call

    def child() -> None:
        assert ask(client, "child") == "Hi"
        assert client.stats().flights == 1
        in_child(lambda: [ask(client, "grandchild")] and None)

    in_child(child)
    assert ask(client, "parent") == "Hi"


def test_a_client_used_before_the_fork_goes_on_in_parent_and_child(upstream: Any) -> None:
    script = upstream(default=says("Hi"))
    client = ossai.Client(script.config)
    ask(client, "parent")

    def child() -> None:
        assert ask(client, "child") == "Hi"
        # The child's cache is its own.
        assert client.stats().calls == 1

    for _ in range(3):
        in_child(child)
    assert client.complete(model=MODEL, messages="parent", temperature=0).cache.status == "hit"


def test_forks_under_eight_busy_threads_never_hang(upstream: Any) -> None:
    script = upstream(default=says("Hi"))
    client = ossai.Client(script.config)
    stop = threading.Event()

    def busy(n: int) -> None:
        i = 0
        while not stop.is_set():
            i += 1
            ask(client, f"{n} {i}")

    threads = [threading.Thread(target=busy, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        for i in range(40):
            in_child(lambda i=i: [ask(client, f"child {i}")] and None)  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_what_was_under_way_goes_on_in_the_parent_and_says_so_in_the_child(upstream: Any) -> None:
    script = upstream(streams("a", "b", delay_ms=300), default=says("Hi"))
    client = ossai.Client(script.config)
    stream = client.stream(model=MODEL, messages="Hello")
    script.reached(1)

    def child() -> None:
        with pytest.raises(ossai.InvalidStateError, match="forked"):
            next(stream)
        assert ask(client, "child") == "Hi"

    in_child(child)
    assert stream.finish().text == "ab"


def test_a_closed_client_stays_closed_in_the_child() -> None:
    client = ossai.Client(environment=False)
    client.close()

    def child() -> None:
        with pytest.raises(ossai.InvalidStateError):
            client.complete(model="local/extract", messages="x")

    in_child(child)


def test_a_child_runs_its_own_event_loop(upstream: Any) -> None:
    script = upstream(default=says("Hi"))
    client = ossai.AsyncClient(script.config)

    async def main(text: str) -> None:
        assert (await client.complete(model=MODEL, messages=text)).text == "Hi"
        assert [event.type async for event in client.stream(model="local/extract", messages="Blue.\n\nWhat?")][-1] == "end"

    asyncio.run(main("parent"))
    in_child(lambda: asyncio.run(main("child")))
    asyncio.run(main("parent again"))


def test_an_async_stream_of_the_parent_says_so_in_the_child(upstream: Any) -> None:
    script = upstream(hangs())

    async def main() -> None:
        client = ossai.AsyncClient(script.config)
        stream = client.stream(model=MODEL, messages="Hello")

        def child() -> None:
            with pytest.raises(ossai.InvalidStateError, match="forked"):
                stream.__anext__().send(None)

        in_child(child)
        await client.close()

    asyncio.run(main())


def _work(config: dict[str, Any], text: str) -> str:
    with ossai.Client(config) as client:
        return ask(client, text)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_pools_work_however_they_start(upstream: Any, method: str) -> None:
    script = upstream(default=says("Hi"))
    with ossai.Client(script.config) as client:
        ask(client, "parent")
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            assert pool.starmap(_work, [(script.config, str(n)) for n in range(6)]) == ["Hi"] * 6


def test_gunicorn_with_a_preloaded_client_answers_from_every_worker(upstream: Any, tmp_path: Any) -> None:
    pytest.importorskip("gunicorn")
    script = upstream(default=says("Hi"))
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            f"""
            import os
            import ossai
            client = ossai.Client({script.config!r})
            client.complete(model="local/extract", messages="Blue.\\n\\nWhat?")  # used before the fork
            def app(environ, start_response):
                text = client.complete(model={MODEL!r}, messages=environ["PATH_INFO"]).text
                start_response("200 OK", [("content-type", "text/plain")])
                return [f"{{os.getpid()}} {{text}}".encode()]
            """
        )
    )
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "-w", "4", "-b", "127.0.0.1:0", "app:app"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        address = next(line.split("Listening at: ")[1].split()[0] for line in server.stderr if "Listening at" in line)
        reader = threading.Thread(target=server.stderr.read)
        reader.start()
        import urllib.request

        workers = set()
        end = time.monotonic() + 30
        while len(workers) < 4 and time.monotonic() < end:
            with urllib.request.urlopen(f"{address}/{len(workers)}", timeout=20) as response:
                pid, text = response.read().decode().split()
            assert text == "Hi"
            workers.add(pid)
        assert len(workers) == 4
    finally:
        server.terminate()
        assert server.wait(20) == 0
        reader.join()
        server.stderr.close()
