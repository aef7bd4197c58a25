"""The client for event loops: asyncio, uvloop, trio."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast, overload

from ._call import NOTHING, Base, arguments, may_have_tools, record
from ._errors import InvalidStateError, OssaiError
from ._home import Home, Inbox, Waiter, here
from ._results import BudgetState, Health, Invalidated, ModelInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Literal

    from typing_extensions import Self, Unpack

    from . import _native
    from ._credentials import Credential, Fetch
    from ._native import Completion, EmbeddingResponse, StreamEvent
    from ._telemetry import Watch
    from ._tools import Runner
    from ._types import (
        CompletionKeywords,
        CompletionRequest,
        ConfigKeywords,
        EmbeddingKeywords,
        EmbeddingRequest,
    )

__all__ = ["AsyncClient", "AsyncStream"]


class AsyncClient(Base):
    """A client for language models, over an orchestrator or straight to the providers, for programs with an event loop.

    The same methods and keyword arguments as :class:`ossai.Client`; what waits is awaited. Cancelling a task cancels its
    call and closes its connection unless others share it. One client serves any number of tasks and loops.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | str | None = None,
        /,
        *,
        environment: bool = True,
        credentials: Mapping[str, Fetch | Credential] | None = None,
        telemetry: bool | Mapping[str, Any] = True,
        **changes: Unpack[ConfigKeywords],
    ) -> None:
        super().__init__(config, environment, credentials, telemetry, changes)
        self._home: Home | None = None

    async def _call(self, op: str, request: Any, options: Any) -> Any:
        self._home = home = here(self._home)
        session = self._session
        answer = session.begin(op, request, options, home.queue)
        if type(answer) is int:
            return await home.answer(session, answer)
        await home.breathe()
        return answer

    async def complete(self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]) -> Completion:
        """Asks for a completion and waits for the whole answer. An answer out of memory does not yield to the loop."""
        watch = self._watch("complete", request, keywords)
        if watch is None:
            return await self._complete(request, keywords)
        with watch:
            answer = await self._complete(request, keywords)
        watch.done(answer)
        return answer

    async def _complete(self, request: Any, keywords: Any) -> Completion:
        if may_have_tools(request, keywords):
            answer = await self._complete_with_tools(request, keywords)
        else:
            answer = await self._call("complete", *arguments(request, keywords))
        if answer.attempts:
            record("complete", answer)
        return cast("Completion", answer)

    async def _complete_with_tools(self, request: Any, keywords: Any) -> Any:
        from ._tools import Runner, planned

        request, keywords, plan = planned(request, keywords)
        if plan is None:
            return await self._call("complete", *arguments(request, keywords))
        self._home = home = here(self._home)
        session = self._session
        runner = Runner(session, plan, self._telling)
        answer = session.begin("complete", *arguments(request, keywords), home.queue, plan.document)
        if type(answer) is not int:
            return answer
        home.tools[answer] = runner
        try:
            return await home.answer(session, answer)
        except OssaiError as error:
            cause = runner.cause(error)
            if cause is None:
                raise
            raise error from cause
        finally:
            home.leave(answer)

    def stream(self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]) -> AsyncStream:
        """Asks for a completion as a stream of events; leaving the stream early cancels it. Begins at once."""
        watch = self._watch("stream", request, keywords)
        if watch is None:
            return self._stream(request, keywords)
        with watch:
            stream = self._stream(request, keywords)
        stream._watch = watch
        return stream

    def _stream(self, request: Any, keywords: Any) -> AsyncStream:
        self._home = home = here(self._home)
        session = self._session
        if may_have_tools(request, keywords):
            from ._tools import Runner, planned

            request, keywords, plan = planned(request, keywords)
            if plan is not None:
                runner = Runner(session, plan, self._telling)
                begun = session.begin("stream", *arguments(request, keywords), home.queue, plan.document)
                return AsyncStream(home, session, begun, runner)
        return AsyncStream(home, session, session.begin("stream", *arguments(request, keywords), home.queue))

    async def embed(
        self, request: EmbeddingRequest | None = None, /, **keywords: Unpack[EmbeddingKeywords]
    ) -> EmbeddingResponse:
        """Turns texts into vectors, in the order of the inputs."""
        watch = self._watch("embed", request, keywords)
        if watch is None:
            return await self._embed(request, keywords)
        with watch:
            answer = await self._embed(request, keywords)
        watch.done(answer)
        return answer

    async def _embed(self, request: Any, keywords: Any) -> EmbeddingResponse:
        answer = await self._call("embed", *arguments(request, keywords))
        if answer.attempts:
            record("embed", answer)
        return cast("EmbeddingResponse", answer)

    async def models(self, provider: str | None = None) -> list[ModelInfo]:
        """The models of one provider, or of every provider that can be called as things are."""
        return [ModelInfo(one) for one in await self._call("models", {"provider": provider}, NOTHING)]

    async def health(self) -> list[Health]:
        """Asks every upstream that can be called whether it takes calls."""
        return [Health(one) for one in await self._call("health", NOTHING, NOTHING)]

    async def budgets(self) -> list[BudgetState]:
        """The budgets with what is spent, held and left in the present windows: those with a name, and every other one in use.

        Of a client over an orchestrator they are its own, on which nothing is booked: the orchestrator's hold.
        """
        return [BudgetState(one) for one in await self._call("budgets", NOTHING, NOTHING)]

    @overload
    async def invalidate(self, *, model: str) -> Invalidated: ...
    @overload
    async def invalidate(self, *, tag: str, value: str) -> Invalidated: ...
    @overload
    async def invalidate(self, *, all: Literal[True]) -> Invalidated: ...
    async def invalidate(self, **what: Any) -> Invalidated:
        """Lets kept answers count no more: a model's, those kept for calls with a tag, or all of the client's tenant.

        It holds for this client when it returns, and within a second for other processes with the same Redis or folder.
        """
        return Invalidated(await self._call("invalidate", what, NOTHING))

    async def close(self, patience: float = 0.0) -> bool:
        """Refuses new calls and gives those under way ``patience`` seconds; the rest end with ``cancelled``.

        Returns whether all of them ended by themselves. A second call is harmless.
        """
        self._closed = True
        if patience <= 0:
            idle = self._session.calls_under_way == 0
            self._session.close()
            return idle
        return bool((await self._call("close", {"patience_ms": int(patience * 1000)}, NOTHING))["drained"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class AsyncStream(AsyncIterator["StreamEvent"]):
    """The events of a streamed answer, in order; the last of a good one is ``StreamEnd``.

    Iterate, or read ``text()``, or ``finish()``. One task reads at a time. Leaving it early (``async with``, ``close``,
    cancelling the task that waits, dropping it) cancels the call and closes its connection unless others share it.
    """

    def __init__(self, home: Home, session: _native.Session, begun: int | list[Any], runner: Runner | None = None) -> None:
        self._completion: Completion | None = None
        self._watch: Watch | None = None
        self._runner = runner
        self._taken = 0
        self._home = home
        self._session = session
        self._call: int | None = None
        if isinstance(begun, int):
            self._call = begun
            self._inbox = home.waiting[begun] = Inbox(deque(), False)
            if runner is not None:
                home.tools[begun] = runner
        else:
            self._inbox = Inbox(deque(begun), True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self._watch is None:
            return await self._next()
        try:
            event = await self._next()
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self._watch.failed(error)
            raise
        if event.type == "end":
            self._watch.done(event.completion)
        return event

    async def _next(self) -> StreamEvent:
        inbox = self._inbox
        while not inbox.ready:
            if inbox.error is not None:
                error, inbox.error = inbox.error, None
                self._leave()
                cause = None if self._runner is None else self._runner.cause(error)
                if cause is None:
                    raise error
                raise error from cause
            if inbox.ended or self._call is None:
                raise StopAsyncIteration
            await self._more(self._call)
        self._taken += 1
        event: StreamEvent = inbox.ready.popleft()
        if event.type == "end":
            self._completion = event.completion
            self._leave()
            if event.completion.attempts:
                record("stream", event.completion)
        return event

    async def _more(self, call: int) -> None:
        inbox = self._inbox
        if inbox.waiter is not None:
            raise InvalidStateError("another task is reading the stream")
        if not self._session.is_of_this_process:
            raise InvalidStateError("the stream was begun before the process forked")
        if self._taken:
            self._session.grant(call, self._taken)
            self._taken = 0

        def put(waiter: Waiter) -> None:
            inbox.waiter = waiter

        await self._home.park(put, self._end)

    def _leave(self) -> None:
        if self._runner is not None and self._call is not None:
            self._home.leave(self._call)

    def _end(self) -> None:
        self._inbox.waiter = None
        self._inbox.ended = True
        self._leave()
        if self._call is not None and self._home.waiting.pop(self._call, None) is not None:
            self._session.cancel(self._call)

    async def text(self) -> AsyncIterator[str]:
        """The pieces of text as they come."""
        async for event in self:
            if event.type == "text_delta":
                yield event.text

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once the stream has ended."""
        return self._completion

    async def finish(self) -> Completion:
        """Reads to the end and gives the whole answer: what ``complete`` would have."""
        async for _ in self:
            pass
        if self._completion is None:
            raise InvalidStateError("the stream was closed before its end")
        return self._completion

    async def close(self) -> None:
        """Ends the stream."""
        if self._watch is not None:
            self._watch.left()
        self._inbox.wake()
        self._end()
        self._inbox.ready.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:
            self._end()
