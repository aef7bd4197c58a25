"""Credentials that the program gives while calls are made: short-lived tokens, a vault, a cloud's identity.

The core asks when it needs one (before the first call, and again when the provider answers 401), never twice at once. The
callbacks run in a thread of the package's own, started by the first question's client, so that neither a blocked thread
nor a busy loop is needed to answer.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from . import _native, _process

__all__ = ["Credential", "Credentials", "Fetch"]

#: Gives the credential as it is now.
Fetch = Callable[[], str | Awaitable[str]]


class Credential(NamedTuple):
    """Where a provider's credential comes from, and whose it is.

    Two sources of one ``identity`` share kept answers, though the credential itself may change from hour to hour; without one
    nothing is shared beyond the client.
    """

    fetch: Fetch
    identity: str | None = None


class Credentials:
    """The callbacks of a client."""

    def __init__(self, by_provider: Mapping[str, Fetch | Credential]) -> None:
        self._sources = {
            provider: source if isinstance(source, Credential) else Credential(source)
            for provider, source in by_provider.items()
        }

    def open(self, config: str, environment: bool) -> _native.Session:
        """A session whose credentials are these; its thread ends with it."""
        queue = _native.LoopQueue(False)
        identities = [(provider, source.identity) for provider, source in self._sources.items()]
        session = _native.Session(config, environment, queue, identities)
        _process.serve(queue, _Service(weakref.ref(session), queue, self._sources).run)
        weakref.finalize(session, queue.close)
        return session


class _Service:
    def __init__(self, session: weakref.ref[_native.Session], queue: _native.LoopQueue, sources: dict[str, Credential]) -> None:
        self._session = session
        self._queue = queue
        self._sources = sources

    def run(self) -> None:
        while not self._queue.is_closed:
            self._queue.wait(60.0)
            for _, kind, payload in self._queue.drain():
                if kind == 4:
                    self._answer(payload)

    def _answer(self, question: dict[str, Any]) -> None:
        import json

        try:
            credential = self._sources[question["name"]].fetch()
            if isinstance(credential, Awaitable):
                import asyncio

                credential = asyncio.run(_of(credential))
            result = json.dumps({"ok": credential})
        except Exception as error:  # whatever the callback raises ends the calls that need the credential
            result = json.dumps({"error": {"type": type(error).__name__, "message": str(error)}})
        session = self._session()
        if session is not None:
            session.complete_host_call(question["id"], result)


async def _of(awaitable: Awaitable[str]) -> str:
    return await awaitable
