"""What there is once per process: the hooks for a fork and for the interpreter's end.

Importing starts no thread and opens nothing; the core's threads start with the first call that has to wait.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from . import _native

__all__ = ["generation", "serve"]

#: Seconds the interpreter's end waits for connections to close.
_PATIENCE = 2.0

_generation = 0


def generation() -> int:
    """How many forks lie between the process that imported the package and this one."""
    return _generation


def _after_fork_in_child() -> None:
    global _generation
    _native.after_fork_in_child()
    _served.clear()
    _generation += 1


_served: list[tuple[_native.LoopQueue, threading.Thread]] = []


def serve(queue: _native.LoopQueue, run: Callable[[], None]) -> None:
    """Serves a queue in a thread of the package's own, until the queue is closed or the interpreter ends."""
    thread = threading.Thread(target=run, name="ossai-serve", daemon=True)
    _served[:] = [(other, at_work) for other, at_work in _served if at_work.is_alive()]
    _served.append((queue, thread))
    thread.start()


def _end() -> None:
    for queue, _ in _served:
        queue.close()
    _native.shutdown(_PATIENCE)
    for _, thread in _served:
        thread.join(_PATIENCE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_end)
