"""Writes src/ossai/_errors.py from the core's error table. Run after the table has changed; a test compares the two."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent.parent


def native() -> Any:
    """The native module by itself: the package cannot be imported while its errors are missing."""
    spec = importlib.util.spec_from_file_location("_native", HERE / "src/ossai/_native.abi3.so")
    if spec is None or spec.loader is None:
        raise SystemExit("build the native module first: tools/native")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: What each class says of itself, where the name does not say it all.
EXTRA_BASES = {"timeout": "builtins.TimeoutError"}

HEAD = '''"""Every error the client raises. Written by tools/errors.py from the core's error table: change that, not this."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ._native import Completion
    from ._types import AttemptDict, BudgetRefusalDict


class OssaiError(Exception):
    """A failed call. Everything it says is in its attributes; its text holds neither prompts nor keys."""

    #: The kind's stable name, the same in every language.
    kind: str = "internal"
    #: A sentence for people.
    message: str
    #: Whether a new call later may work; the client has used up its own tries by then.
    retriable: bool
    #: Which field of the input is wrong, as a path.
    field: str | None
    #: A finer word than the kind (``dns``, ``tls``, ``lagged`` …).
    detail: str | None
    #: When to try again, in milliseconds.
    retry_after_ms: int | None
    #: The upstream's HTTP status.
    http_status: int | None
    #: The upstream's gRPC code.
    grpc_code: int | None
    #: The vendor's own code for it.
    provider_code: str | None
    #: The provider asked.
    provider: str | None
    #: The model asked for.
    model: str | None
    #: Our id of the call.
    request_id: str | None
    #: The vendor's request id, for its support.
    upstream_request_id: str | None
    #: Where time ran out.
    phase: str | None
    #: Whose time ran out: ``attempt`` or ``total``.
    scope: str | None
    #: Why no further try was made.
    gave_up: str | None
    #: The budgets that refused the call, each with its limit, what is spent, held and left.
    budgets: list[BudgetRefusalDict]
    #: Whether the vendor bills it.
    billed: Literal["no", "maybe", "yes"]
    #: Every try, in order.
    attempts: list[AttemptDict]
    #: Why the call came out as it did, where that was asked for.
    trace: dict[str, Any] | None
    #: What arrived before a stream broke.
    partial: Completion | None
    #: All fields as they cross every language's border.
    fields: dict[str, Any]

    def __init__(self, message: str = "", fields: dict[str, Any] | None = None, partial: Completion | None = None) -> None:
        fields = {"kind": type(self).kind, "message": message, "retriable": False} if fields is None else fields
        super().__init__(message)
        self.fields = fields
        self.kind = fields["kind"]
        self.message = message
        self.retriable = fields["retriable"]
        self.field = fields.get("field")
        self.detail = fields.get("detail")
        self.retry_after_ms = fields.get("retry_after_ms")
        self.http_status = fields.get("http_status")
        self.grpc_code = fields.get("grpc_code")
        self.provider_code = fields.get("provider_code")
        self.provider = fields.get("provider")
        self.model = fields.get("model")
        self.request_id = fields.get("request_id")
        self.upstream_request_id = fields.get("upstream_request_id")
        self.phase = fields.get("phase")
        self.scope = fields.get("scope")
        self.gave_up = fields.get("gave_up")
        self.budgets = fields.get("budgets", [])
        self.billed = fields.get("billed", "no")
        self.attempts = fields.get("attempts", [])
        self.trace = fields.get("trace")
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        return from_fields, (self.fields, self.partial)
'''

TAIL = '''

#: The class of each kind.
KINDS: dict[str, type[OssaiError]] = {
%s}


def from_fields(fields: dict[str, Any], partial: Completion | None = None) -> OssaiError:
    """The exception for an error's fields; a kind of a newer core is the base class."""
    return KINDS.get(fields["kind"], OssaiError)(fields["message"], fields, partial)
'''


def class_name(kind: str) -> str:
    name = "".join(word.capitalize() for word in kind.split("_"))
    return name if name.endswith("Error") else name + "Error"


def render() -> str:
    kinds = [name for name, _, _ in native().error_table()]
    parts = [HEAD]
    for kind in kinds:
        bases = ", ".join(["OssaiError", *filter(None, [EXTRA_BASES.get(kind)])])
        parts.append(f'\n\nclass {class_name(kind)}({bases}):\n    """``{kind}``"""\n\n    kind = "{kind}"\n')
    parts.append(TAIL % "".join(f'    "{kind}": {class_name(kind)},\n' for kind in kinds))
    return "".join(parts)


if __name__ == "__main__":
    (HERE / "src/ossai/_errors.py").write_text(render())
