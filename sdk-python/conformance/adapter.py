"""The conformance cases' calls, made through the public API of this SDK.

``adapter.py [async|sync]`` is driven by ``conformance-rust --client``; the protocol stands in conformance/rust/src/adapter.rs.
``sync`` makes each call in a thread of its own through ``ossai.Client``, ``async`` all in one event loop through
``ossai.AsyncClient``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import Any

import ossai

_out = threading.Lock()


def say(document: dict[str, Any]) -> None:
    line = json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
    with _out:
        sys.stdout.write(line)
        sys.stdout.flush()


def plain(value: Any) -> Any:
    """A result in the public types' JSON form."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.model_dump() if hasattr(value, "model_dump") else value


def failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, ossai.OssaiError):
        fields = dict(error.fields)
        # What the attributes say is what counts for a user.
        assert (error.kind, error.retriable, error.message) == (fields["kind"], fields["retriable"], fields["message"])
        if error.partial is not None:
            fields["partial"] = error.partial.model_dump()
        return fields
    return {"kind": "internal", "message": f"{type(error).__name__}: {error}"}


class Script:
    """What a scripted handler does at each of its calls; sync or async, as the client's programs would write it."""

    def __init__(self, does: list[dict[str, Any]], client: Any) -> None:
        self.does = does
        self.calls = 0
        self.client = client

    def _next(self) -> dict[str, Any]:
        one = self.does[min(self.calls, len(self.does) - 1)]
        self.calls += 1
        return one

    def _outcome(self, one: dict[str, Any], value: Any) -> Any:
        if "throws" in one:
            raise type(one["throws"]["type"], (Exception,), {})(one["throws"]["message"])
        return value if one.get("echoes") else one.get("returns")

    def play(self, value: Any, context: ossai.ToolContext) -> Any:
        one = self._next()
        if "after_ms" in one:
            context.cancelled.wait(one["after_ms"] / 1000)
        if one.get("hangs"):
            context.cancelled.wait()
        if "completes" in one:
            return self.client.complete(one["completes"]).text
        return self._outcome(one, value)

    async def play_async(self, value: Any, context: ossai.ToolContext) -> Any:
        one = self._next()
        if "after_ms" in one:
            await asyncio.sleep(one["after_ms"] / 1000)
        if one.get("hangs"):
            await asyncio.Event().wait()
        if "completes" in one:
            return (await self.client.complete(one["completes"])).text
        return self._outcome(one, value)


def tooled(client: Any, tools: Any, request: Any) -> tuple[Any, dict[str, Any]]:
    """The request and keywords with which a program gives a call these tools."""
    if not tools:
        return request, {}
    waits = isinstance(client, ossai.Client)

    def handler(script: Script) -> Any:
        # A function made for each: a bound method's hints say the same.
        def play(value: Any, context: ossai.ToolContext) -> Any:
            return script.play(value, context)

        async def play_async(value: Any, context: ossai.ToolContext) -> Any:
            return await script.play_async(value, context)

        return play if waits else play_async

    runnable = []
    for one in tools["handlers"]:
        tool = dict(one["tool"])
        timeout = tool.pop("timeout_ms", None)
        tool.setdefault("input_schema", None)
        schema = tool.pop("input_schema")
        made = ossai.RunnableTool(
            handler(Script(one["does"], client)),
            **tool,
            input_schema={} if schema is None else schema,
            timeout=None if timeout is None else timeout / 1000,
        )
        if schema is None:
            made.input_schema = None
        runnable.append(made)
    keywords: dict[str, Any] = {}
    for name, value in tools.get("options", {}).items():
        known = {"max_turns": "max_turns", "max_parallel": "max_parallel", "on_error": "on_tool_error"}
        seconds = {"timeout_ms": "tool_timeout", "approval_timeout_ms": "approval_timeout"}
        keywords[seconds.get(name) or known[name]] = value / 1000 if name in seconds else value
    approve = tools.get("approve")
    if approve is not None:
        scripts = {name: Script(does, client) for name, does in approve.items()}

        def asked(call: ossai.ToolContext) -> Any:
            return scripts[call.name].play(call.input, call) if call.name in scripts else True

        async def asked_async(call: ossai.ToolContext) -> Any:
            return await scripts[call.name].play_async(call.input, call) if call.name in scripts else True

        keywords["approve"] = asked if waits else asked_async
    return request, {**keywords, "tools": [*request.get("tools", []), *runnable]}


class Sync:
    """Calls in threads; cancelling one closes its stream. A thread that waits for a whole answer cannot be cancelled from
    outside, as in any blocking API: its caller would send a signal or close the client."""

    def __init__(self) -> None:
        self.clients: dict[int, ossai.Client] = {}
        self.streams: dict[int, ossai.Stream] = {}
        self.next: dict[int, threading.Semaphore] = {}

    def run(self) -> None:
        for line in sys.stdin:
            question = json.loads(line)
            what, id = question["do"], question["id"]
            if what == "next":
                if id in self.next:
                    self.next[id].release()
            elif what == "cancel":
                if id in self.streams:
                    self.streams[id].close()
            else:
                threading.Thread(target=self.answer, args=(question,), daemon=True).start()

    def answer(self, question: dict[str, Any]) -> None:
        id = question["id"]
        try:
            say({"id": id, "ok": plain(self.make(question))})
        except BaseException as error:
            say({"id": id, "error": failure(error)})

    def make(self, question: dict[str, Any]) -> Any:
        id, what = question["id"], question["do"]
        if what == "open":
            self.clients[id] = ossai.Client(question["config"], environment=False)
            return None
        client = self.clients[question["client"]]
        if what == "stats":
            return client.stats()
        if what == "shut":
            return client.close(0.2)
        if what == "close":
            return self.clients.pop(question["client"]).close(0.2)
        op, options = question["op"], question["options"]
        request, more = tooled(client, question.get("tools"), question["request"])
        if op == "stream":
            self.next[id] = threading.Semaphore(0)
            with client.stream(request, options=options, **more) as stream:
                self.streams[id] = stream
                for event in stream:
                    say({"id": id, "event": event.model_dump()})
                    self.next[id].acquire()
                return stream.completion
        return call(client, op, request, options, more)


def call(client: Any, op: str, request: Any, options: Any, more: dict[str, Any]) -> Any:
    """One call that is no stream, on either client."""
    if op in ("complete", "embed", "lookup", "explain"):
        return getattr(client, op)(request, options=options, **more)
    if op in ("count", "estimate"):
        return getattr(client, op)(request)
    if op == "invalidate":
        return client.invalidate(**request)
    return getattr(client, op)()


class Async:
    """Calls in tasks of one event loop; cancelling one cancels its task."""

    def __init__(self) -> None:
        self.clients: dict[int, ossai.AsyncClient] = {}
        self.next: dict[int, asyncio.Semaphore] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 28)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            question = json.loads(line)
            what, id = question["do"], question["id"]
            if what == "next":
                if id in self.next:
                    self.next[id].release()
            elif what == "cancel":
                if id in self.tasks:
                    self.tasks[id].cancel()
            else:
                self.tasks[id] = loop.create_task(self.answer(question))
        for client in self.clients.values():
            await client.close()

    async def answer(self, question: dict[str, Any]) -> None:
        id = question["id"]
        try:
            say({"id": id, "ok": plain(await self.make(question))})
        except asyncio.CancelledError:
            pass
        except Exception as error:
            say({"id": id, "error": failure(error)})
        finally:
            self.tasks.pop(id, None)
            self.next.pop(id, None)

    async def make(self, question: dict[str, Any]) -> Any:
        id, what = question["id"], question["do"]
        if what == "open":
            self.clients[id] = ossai.AsyncClient(question["config"], environment=False)
            return None
        client = self.clients[question["client"]]
        if what == "stats":
            return client.stats()
        if what == "shut":
            return await client.close(0.2)
        if what == "close":
            return await self.clients.pop(question["client"]).close(0.2)
        op, options = question["op"], question["options"]
        request, more = tooled(client, question.get("tools"), question["request"])
        if op == "stream":
            self.next[id] = asyncio.Semaphore(0)
            async with client.stream(request, options=options, **more) as stream:
                async for event in stream:
                    say({"id": id, "event": event.model_dump()})
                    await self.next[id].acquire()
                return stream.completion
        answer = call(client, op, request, options, more)
        return await answer if op in ("complete", "embed", "models", "health", "budgets", "invalidate") else answer


if __name__ == "__main__":
    which = sys.argv[1] if len(sys.argv) > 1 else "async"
    if which == "sync":
        Sync().run()
    else:
        asyncio.run(Async().run())
    sys.stdout.flush()
    os._exit(0) if which == "sync" else None
