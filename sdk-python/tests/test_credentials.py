"""Credentials that the program gives while calls are made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ossai

from .conftest import MODEL, says
from .test_fork import in_child
from .test_threads import run_python

REFUSED = {"status": 401, "body": {"openai_error": {}}}


def keyless(script: Any) -> dict[str, Any]:
    config: dict[str, Any] = script.config
    del config["providers"]["openai"]["api_key"]
    return config


def sent(script: Any) -> list[str]:
    return [dict(request["headers"])["authorization"] for request in script.requests()]


def test_a_callback_is_asked_once_and_again_after_a_401(upstream: Any) -> None:
    script = upstream(says("Hi"), REFUSED, says("Hi"))
    keys = iter(["old", "new"])
    with ossai.Client(keyless(script), credentials={"openai": lambda: next(keys)}) as client:
        for text in ("one", "two"):
            assert client.complete(model=MODEL, messages=text).text == "Hi"
    assert sent(script) == ["Bearer old", "Bearer old", "Bearer new"]


def test_an_async_callback_answers_either_client(upstream: Any) -> None:
    script = upstream(default=says("Hi"))

    async def fetch() -> str:
        await asyncio.sleep(0)
        return "token"

    with ossai.Client(keyless(script), credentials={"openai": ossai.Credential(fetch, identity="me")}) as client:
        client.complete(model=MODEL, messages="one")

    async def main() -> None:
        async with ossai.AsyncClient(keyless(script), credentials={"openai": fetch}) as client:
            answers = await asyncio.gather(*(client.complete(model=MODEL, messages=str(n)) for n in range(10)))
            assert {answer.text for answer in answers} == {"Hi"}

    asyncio.run(main())
    assert set(sent(script)) == {"Bearer token"}


@pytest.mark.parametrize("result", [KeyError("vault"), 7, None])
def test_a_callback_that_fails_ends_the_call_and_not_the_client(upstream: Any, result: Any) -> None:
    script = upstream(default=says("Hi"))
    results = [result, "token"]

    def fetch() -> Any:
        value = results.pop(0)
        if isinstance(value, Exception):
            raise value
        return value

    with ossai.Client(keyless(script), credentials={"openai": fetch}) as client:
        with pytest.raises(ossai.CallbackError):
            client.complete(model=MODEL, messages="one")
        assert client.complete(model=MODEL, messages="one").text == "Hi"


def test_a_callback_for_nobody_is_a_mistake() -> None:
    with pytest.raises(ossai.InvalidRequestError):
        ossai.Client(environment=False, credentials={"no_such_provider": lambda: "x"})


def test_a_forked_child_asks_for_itself(upstream: Any) -> None:
    script = upstream(default=says("Hi"))
    client = ossai.Client(keyless(script), credentials={"openai": lambda: "token"})
    client.complete(model=MODEL, messages="parent")

    def child() -> None:
        assert client.complete(model=MODEL, messages="child").text == "Hi"

    in_child(child)
    client.complete(model=MODEL, messages="parent again")


def test_the_interpreter_ends_cleanly_while_a_callback_is_served(upstream: Any) -> None:
    script = upstream(default=says("Hi"))
    ran = run_python(
        f"""
import threading, ossai
clients = [ossai.Client({keyless(script)!r}, credentials={{"openai": lambda: "token"}}) for _ in range(3)]
for client in clients:
    assert client.complete(model={MODEL!r}, messages="x").text == "Hi"
"""
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran


def test_a_client_that_is_gone_leaves_no_thread(upstream: Any) -> None:
    ran = run_python(
        """
        import gc, threading, time, ossai
        for _ in range(20):
            ossai.Client({"providers": {"openai": {}}}, credentials={"openai": lambda: "x"}, environment=False)
        gc.collect()
        end = time.monotonic() + 10
        while threading.active_count() > 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert threading.active_count() == 1, threading.enumerate()
        """
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran
