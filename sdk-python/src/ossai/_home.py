"""Where a client is at home: the event loop whose queue its answers come to.

One completion queue per loop, watched by the loop itself through a descriptor; one wake-up for as many answers as there are.
No thread of the core's ever enters the interpreter.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from . import _native, _process
from ._errors import InvalidStateError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from ._tools import Runner, ToolContext

__all__ = ["Home", "Inbox", "here"]

#: After so many answers at once a caller yields, so that a loop full of cache hits still serves its other tasks.
_FAIRNESS = 64


class Waiter(Protocol):
    """Something a task waits on: a future, or trio's equivalent."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...


class Inbox:
    """What has come for a stream and who waits for it."""

    __slots__ = ("ended", "error", "ready", "waiter")

    def __init__(self, ready: deque[Any], ended: bool) -> None:
        self.ready = ready
        self.error: BaseException | None = None
        self.ended = ended
        self.waiter: Waiter | None = None

    def wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Home:
    """The queue of one event loop, and who waits for what comes out of it."""

    def __init__(self, descriptor: bool) -> None:
        self.queue = _native.LoopQueue(descriptor)
        self.generation = _process.generation()
        self.waiting: dict[int, Waiter | Inbox] = {}
        #: Who carries out the tool calls of which call, and of which host call.
        self.tools: dict[int, Runner] = {}
        self._asked: dict[int, Runner] = {}
        self._hits = 0
        if descriptor:
            os.set_blocking(self.queue.fileno(), False)

    def is_here(self, loop: object) -> bool:
        """Whether this is the home of that loop, on this side of the last fork."""
        raise NotImplementedError

    async def park(self, put: Callable[[Waiter], None], abort: Callable[[], None]) -> Any:
        """Waits for the waiter it hands to ``put``; calls ``abort`` when the task is cancelled meanwhile."""
        raise NotImplementedError

    async def breathe(self) -> None:
        """Lets the loop's other tasks run, now and then."""
        self._hits += 1
        if self._hits >= _FAIRNESS:
            self._hits = 0
            await self._yield()

    async def _yield(self) -> None:
        raise NotImplementedError

    async def answer(self, session: _native.Session, call: int) -> Any:
        """Waits for a call's answer; cancelling the task cancels the call."""

        def put(waiter: Waiter) -> None:
            self.waiting[call] = waiter

        def abort() -> None:
            self.waiting.pop(call, None)
            session.cancel(call)

        return await self.park(put, abort)

    def drain(self) -> None:
        """Hands what has come to those who wait. A call nobody waits for any more was cancelled."""
        waiting = self.waiting
        for call, kind, payload in self.queue.drain():
            if kind in (0, 1):
                waiter = waiting.pop(call, None)
                if isinstance(waiter, Inbox):
                    waiter.ended = True
                    waiter.error = payload
                    waiter.wake()
                elif waiter is not None and not waiter.done():
                    if kind == 0:
                        waiter.set_result(payload)
                    else:
                        waiter.set_exception(payload)
            elif kind in (2, 3):
                inbox = waiting.pop(call, None) if kind == 3 else waiting.get(call)
                if isinstance(inbox, Inbox):
                    inbox.ended = kind == 3
                    inbox.ready.extend(payload)
                    inbox.wake()
            elif kind == 4:
                runner = self.tools.get(call)
                if runner is not None:
                    self._asked[payload["id"]] = runner
                    runner.ask(payload, self)
            elif kind == 5:
                runner = self._asked.pop(call, None)
                if runner is not None:
                    runner.cancel(call)

    def leave(self, call: int) -> None:
        """A call with tools is over."""
        runner = self.tools.pop(call, None)
        if runner is not None:
            for asked in [asked for asked, other in self._asked.items() if other is runner]:
                del self._asked[asked]
            runner.end()

    def spawn(self, variables: Context, context: ToolContext, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins a handler as a task of the loop's."""
        raise NotImplementedError

    def run(self, awaitable: Any) -> Any:
        """Waits in another thread for what a handler there returned to be awaited here."""
        raise NotImplementedError


class _AsyncioHome(Home):
    """On asyncio, uvloop and whatever else speaks its protocol."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            super().__init__(True)
            loop.add_reader(self.queue.fileno(), self.drain)
        except NotImplementedError:  # a loop that cannot watch descriptors (Windows' Proactor)
            super().__init__(False)
            weakref.finalize(loop, self.queue.close)
            _process.serve(self.queue, partial(_carry, weakref.ref(self), self.queue, weakref.ref(loop)))

    def is_here(self, loop: object) -> bool:
        return self._loop() is loop and self.generation == _process.generation()

    async def park(self, put: Callable[[Waiter], None], abort: Callable[[], None]) -> Any:
        future = asyncio.get_running_loop().create_future()
        put(future)
        try:
            return await future
        except BaseException:
            if future.cancelled() or not future.done():
                abort()
            raise

    async def _yield(self) -> None:
        await asyncio.sleep(0)

    def spawn(self, variables: Context, context: ToolContext, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = self._loop()
        if loop is None:
            return
        task = variables.run(loop.create_task, work())
        self._tasks.add(task)  # the loop holds its tasks weakly
        task.add_done_callback(self._tasks.discard)
        context._stop = task.cancel

    def run(self, awaitable: Any) -> Any:
        loop = self._loop()
        if loop is None:
            raise InvalidStateError("the event loop has ended")
        return asyncio.run_coroutine_threadsafe(_of(awaitable), loop).result()


async def _of(awaitable: Any) -> Any:
    return await awaitable


def _carry(home: weakref.ref[_AsyncioHome], queue: _native.LoopQueue, loop: weakref.ref[asyncio.AbstractEventLoop]) -> None:
    """Wakes a loop that cannot watch a descriptor: a thread of Python's, once per batch."""
    while not queue.is_closed:
        woken = queue.wait(1.0)
        there, where = home(), loop()
        if there is None or where is None or where.is_closed():
            return
        if woken:
            try:
                where.call_soon_threadsafe(there.drain)
            except RuntimeError:  # closed in between
                return
        del there, where


class _TrioWaiter:
    __slots__ = ("_done", "_task")

    def __init__(self, task: Any) -> None:
        self._task = task
        self._done = False

    def done(self) -> bool:
        return self._done

    def abandon(self) -> None:
        self._done = True

    def set_result(self, result: Any, /) -> None:
        import outcome
        import trio

        self._done = True
        trio.lowlevel.reschedule(self._task, outcome.Value(result))

    def set_exception(self, error: BaseException, /) -> None:
        import outcome
        import trio

        self._done = True
        trio.lowlevel.reschedule(self._task, outcome.Error(error))


class _TrioHome(Home):
    """On trio: a system task watches the queue."""

    def __init__(self, token: object) -> None:
        import trio

        super().__init__(True)
        self._token = token
        trio.lowlevel.spawn_system_task(self._watch)

    def is_here(self, loop: object) -> bool:
        return self._token is loop and self.generation == _process.generation()

    async def _watch(self) -> None:
        import trio

        while True:
            await trio.lowlevel.wait_readable(self.queue.fileno())
            self.drain()

    async def park(self, put: Callable[[Waiter], None], abort: Callable[[], None]) -> Any:
        import trio

        waiter = _TrioWaiter(trio.lowlevel.current_task())
        put(waiter)

        def aborted(_: object) -> Any:
            waiter.abandon()
            abort()
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(aborted)

    async def _yield(self) -> None:
        import trio

        await trio.lowlevel.checkpoint()

    def spawn(self, variables: Context, context: ToolContext, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        import trio

        scope = trio.CancelScope()
        context._stop = scope.cancel

        async def run() -> None:
            with scope:
                await work()

        trio.lowlevel.spawn_system_task(run, context=variables)

    def run(self, awaitable: Any) -> Any:
        import trio

        token: Any = self._token
        return trio.from_thread.run(_of, awaitable, trio_token=token)


_asyncio_homes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _AsyncioHome] = weakref.WeakKeyDictionary()
_trio_homes: weakref.WeakKeyDictionary[Any, _TrioHome] = weakref.WeakKeyDictionary()


def _trio_token() -> Any:
    trio = sys.modules.get("trio")
    return trio.lowlevel.current_trio_token() if trio is not None and trio.lowlevel.in_trio_run() else None


def here(last: Home | None) -> Home:
    """The home of the loop that runs; ``last`` is where the caller was before, most likely still there."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        token = _trio_token()
        if token is None:
            raise InvalidStateError("no event loop is running: await this in one, or use ossai.Client") from None
        if last is not None and last.is_here(token):
            return last
        home: Home | None = _trio_homes.get(token)
        if home is None or not home.is_here(token):
            home = _trio_homes[token] = _TrioHome(token)
        return home
    if last is not None and last.is_here(loop):
        return last
    home = _asyncio_homes.get(loop)
    if home is None or not home.is_here(loop):
        home = _asyncio_homes[loop] = _AsyncioHome(loop)
    return home
