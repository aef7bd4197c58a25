"""The client for threads that wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast, overload

from ._call import NOTHING, Base, arguments, may_have_tools, record
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
    from ._types import (
        CompletionKeywords,
        CompletionRequest,
        ConfigKeywords,
        EmbeddingKeywords,
        EmbeddingRequest,
    )
    from ._waiting import Waiting

__all__ = ["Client", "Stream"]


class Client(Base):
    """A client for language models, over an orchestrator or straight to the providers, for programs that wait.

    ``Client()`` is configured by the environment (``OSSAI_…`` and the providers' own key variables); a configuration
    document, as a mapping or JSON text, and keywords lie over it. It may be shared by threads; waiting releases the
    interpreter's lock, Ctrl-C ends a wait. ``credentials`` has a callback by provider, plain or async, for keys that do not
    last: it is asked before the first call and again when the provider answers 401. Opening one starts nothing; in a
    forked child it goes on by itself with the same configuration. Calls are told to the program's OpenTelemetry where it has
    imported it; ``telemetry=False`` says no, ``telemetry={"content": True}`` tells prompts and answers too.
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

    def complete(self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]) -> Completion:
        """Asks for a completion and waits for the whole answer; a KeyboardInterrupt cancels it."""
        watch = self._watch("complete", request, keywords)
        if watch is None:
            return self._complete(request, keywords)
        with watch:
            answer = self._complete(request, keywords)
        watch.done(answer)
        return answer

    def _complete(self, request: Any, keywords: Any) -> Completion:
        if may_have_tools(request, keywords):
            from ._waiting import complete

            answer = complete(self._session, request, keywords, self._telling)
        else:
            answer = self._session.call("complete", *arguments(request, keywords))
        if answer.attempts:
            record("complete", answer)
        return cast("Completion", answer)

    def stream(self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]) -> Stream:
        """Asks for a completion as a stream of events; leaving the stream early cancels it."""
        watch = self._watch("stream", request, keywords)
        if watch is None:
            return self._stream(request, keywords)
        with watch:
            stream = self._stream(request, keywords)
        stream._watch = watch
        return stream

    def _stream(self, request: Any, keywords: Any) -> Stream:
        if may_have_tools(request, keywords):
            from ._waiting import stream

            return stream(self._session, request, keywords, self._telling)
        return Stream(self._session.stream(*arguments(request, keywords)))

    def embed(self, request: EmbeddingRequest | None = None, /, **keywords: Unpack[EmbeddingKeywords]) -> EmbeddingResponse:
        """Turns texts into vectors, in the order of the inputs."""
        watch = self._watch("embed", request, keywords)
        if watch is None:
            return self._embed(request, keywords)
        with watch:
            answer = self._embed(request, keywords)
        watch.done(answer)
        return answer

    def _embed(self, request: Any, keywords: Any) -> EmbeddingResponse:
        answer = self._session.call("embed", *arguments(request, keywords))
        if answer.attempts:
            record("embed", answer)
        return cast("EmbeddingResponse", answer)

    def models(self, provider: str | None = None) -> list[ModelInfo]:
        """The models of one provider, or of every provider that can be called as things are."""
        return [ModelInfo(one) for one in self._session.call("models", {"provider": provider}, NOTHING)]

    def health(self) -> list[Health]:
        """Asks every upstream that can be called whether it takes calls."""
        return [Health(one) for one in self._session.call("health", NOTHING, NOTHING)]

    def budgets(self) -> list[BudgetState]:
        """The budgets with what is spent, held and left in the present windows: those with a name, and every other one in use.

        Of a client over an orchestrator they are its own, on which nothing is booked: the orchestrator's hold.
        """
        return [BudgetState(one) for one in self._session.call("budgets", NOTHING, NOTHING)]

    @overload
    def invalidate(self, *, model: str) -> Invalidated: ...
    @overload
    def invalidate(self, *, tag: str, value: str) -> Invalidated: ...
    @overload
    def invalidate(self, *, all: Literal[True]) -> Invalidated: ...
    def invalidate(self, **what: Any) -> Invalidated:
        """Lets kept answers count no more: a model's, those kept for calls with a tag, or all of the client's tenant.

        It holds for this client when it returns, and within a second for other processes with the same Redis or folder.
        """
        return Invalidated(self._session.call("invalidate", what, NOTHING))

    def close(self, patience: float = 0.0) -> bool:
        """Refuses new calls and gives those under way ``patience`` seconds; the rest end with ``cancelled``.

        Returns whether all of them ended by themselves. A second call is harmless.
        """
        self._closed = True
        if patience <= 0:
            idle = self._session.calls_under_way == 0
            self._session.close()
            return idle
        return bool(self._session.call("close", {"patience_ms": int(patience * 1000)}, NOTHING)["drained"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


class Stream(Iterator["StreamEvent"]):
    """The events of a streamed answer, in order; the last of a good one is ``StreamEnd``.

    Iterate, or read ``text()``, or ``finish()``. One thread reads at a time. Leaving it early (``with``, ``close``, dropping
    it) cancels the call and closes its connection unless others share it.
    """

    def __init__(self, native: _native.Stream | Waiting) -> None:
        self._native = native
        self._completion: Completion | None = None
        self._watch: Watch | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        try:
            event: StreamEvent = self._native.__next__()
        except StopIteration:
            raise
        except BaseException as error:
            if self._watch is not None:
                self._watch.failed(error)
            raise
        if event.type == "end":
            self._completion = event.completion
            if self._watch is not None:
                self._watch.done(event.completion)
            if event.completion.attempts:
                record("stream", event.completion)
        return event

    def text(self) -> Iterator[str]:
        """The pieces of text as they come."""
        for event in self:
            if event.type == "text_delta":
                yield event.text

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once the stream has ended."""
        return self._completion

    def finish(self) -> Completion:
        """Reads to the end and gives the whole answer: what ``complete`` would have."""
        for _ in self:
            pass
        if self._completion is None:
            from ._errors import InvalidStateError

            raise InvalidStateError("the stream was closed before its end")
        return self._completion

    def close(self) -> None:
        """Ends the stream."""
        if self._watch is not None:
            self._watch.left()
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
