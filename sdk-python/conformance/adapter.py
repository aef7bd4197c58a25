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
        if what == "close":
            return self.clients.pop(question["client"]).close(0.2)
        op, request, options = question["op"], question["request"], question["options"]
        if op == "stream":
            self.next[id] = threading.Semaphore(0)
            with client.stream(request, options=options) as stream:
                self.streams[id] = stream
                for event in stream:
                    say({"id": id, "event": event.model_dump()})
                    self.next[id].acquire()
                return stream.completion
        return call(client, op, request, options)


def call(client: Any, op: str, request: Any, options: Any) -> Any:
    """One call that is no stream, on either client."""
    if op in ("complete", "embed", "lookup", "explain"):
        return getattr(client, op)(request, options=options)
    if op in ("count", "estimate"):
        return getattr(client, op)(request)
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
        if what == "close":
            return await self.clients.pop(question["client"]).close(0.2)
        op, request, options = question["op"], question["request"], question["options"]
        if op == "stream":
            self.next[id] = asyncio.Semaphore(0)
            async with client.stream(request, options=options) as stream:
                async for event in stream:
                    say({"id": id, "event": event.model_dump()})
                    await self.next[id].acquire()
                return stream.completion
        answer = call(client, op, request, options)
        return await answer if op in ("complete", "embed", "models", "health") else answer


if __name__ == "__main__":
    which = sys.argv[1] if len(sys.argv) > 1 else "async"
    if which == "sync":
        Sync().run()
    else:
        asyncio.run(Async().run())
    sys.stdout.flush()
    os._exit(0) if which == "sync" else None
