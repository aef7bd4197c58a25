"""What there is once per process: the hooks for a fork and for the interpreter's end.

Importing starts no thread and opens nothing; the core's threads start with the first call that has to wait.
"""

from __future__ import annotations

import atexit
import os

from . import _native

__all__ = ["generation"]

#: Seconds the interpreter's end waits for connections to close.
_PATIENCE = 2.0

_generation = 0


def generation() -> int:
    """How many forks lie between the process that imported the package and this one."""
    return _generation


def _after_fork_in_child() -> None:
    global _generation
    _native.after_fork_in_child()
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_native.shutdown, _PATIENCE)
