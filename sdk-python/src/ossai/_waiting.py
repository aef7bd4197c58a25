"""Calls with tools for a thread that waits: handlers run in threads of their own while it does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _native
from ._call import arguments
from ._client import Stream
from ._errors import InvalidStateError
from ._tools import Plan, Runner, planned

if TYPE_CHECKING:
    from ._native import StreamEvent
    from ._telemetry import Telemetry

__all__ = ["Waiting", "complete", "stream"]

#: How often a waiting main thread hears signals (Ctrl-C), and how long others wait in one go, in seconds.
_SIGNALS = 0.05
_SLICE = 60.0


def complete(session: _native.Session, request: Any, keywords: Any, telemetry: Telemetry | None) -> Any:
    """A completion that may have tools, and its answer."""
    request, keywords, plan = planned(request, keywords)
    if plan is None:
        return session.call("complete", *arguments(request, keywords))
    waiting = Waiting(session, "complete", *arguments(request, keywords), plan, telemetry)
    return waiting.answer()


def stream(session: _native.Session, request: Any, keywords: Any, telemetry: Telemetry | None) -> Stream:
    """A stream that may have tools."""
    request, keywords, plan = planned(request, keywords)
    if plan is None:
        return Stream(session.stream(*arguments(request, keywords)))
    return Stream(Waiting(session, "stream", *arguments(request, keywords), plan, telemetry))


class Waiting(Iterator["StreamEvent"]):
    """What has come for one call with tools, and the thread that waits for it."""

    def __init__(
        self, session: _native.Session, op: str, request: Any, options: Any, plan: Plan, telemetry: Telemetry | None
    ) -> None:
        self._session = session
        self._queue = _native.LoopQueue(False)
        self._runner = Runner(session, plan, telemetry)
        self._ready: deque[Any] = deque()
        self._error: BaseException | None = None
        self._taken = 0
        self._reading = threading.Lock()
        begun: Any = session.begin(op, request, options, self._queue, plan.document)
        self._call: int | None = begun if type(begun) is int else None
        self._ended = self._call is None
        if self._ended:
            self._ready.extend(begun if op == "stream" else [begun])

    def answer(self) -> Any:
        """The call's one answer."""
        return self.__next__()

    def __next__(self) -> Any:
        if not self._reading.acquire(blocking=False):
            raise InvalidStateError("another thread is reading the stream")
        try:
            while not self._ready:
                if self._error is not None:
                    error, self._error = self._error, None
                    cause = self._runner.cause(error)
                    raise error from cause if cause is not None else error.__cause__
                if self._ended or self._call is None:
                    raise StopIteration
                self._wait(self._call)
            self._taken += 1
            return self._ready.popleft()
        finally:
            self._reading.release()

    def _wait(self, call: int) -> None:
        if not self._session.is_of_this_process:
            raise InvalidStateError("the call was begun before the process forked")
        if self._taken:
            self._session.grant(call, self._taken)
            self._taken = 0
        main = threading.current_thread() is threading.main_thread()
        try:
            self._queue.wait(_SIGNALS if main else _SLICE)
            for other, kind, payload in self._queue.drain():
                self._take(other, kind, payload)
        except BaseException:  # Ctrl-C, most likely
            self.close()
            raise

    def _take(self, call: int, kind: int, payload: Any) -> None:
        if kind == 0:
            self._ready.append(payload)
        elif kind == 1:
            self._error = payload
        elif kind in (2, 3):
            self._ready.extend(payload)
        elif kind == 4:
            self._runner.ask(payload, None)
        elif kind == 5:
            self._runner.cancel(call)
        if kind in (0, 1, 3):
            self._ended = True
            self._runner.end()

    def close(self) -> None:
        """Ends the call, and every handler it has at work."""
        if self._call is not None and not self._ended:
            self._session.cancel(self._call)
        self._ended = True
        self._queue.close()
        self._runner.end()
        self._ready.clear()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:
            self.close()
