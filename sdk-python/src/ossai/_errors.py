"""Every error the client raises. Written by tools/errors.py from the core's error table: change that, not this."""

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


class InvalidRequestError(OssaiError):
    """``invalid_request``"""

    kind = "invalid_request"


class ContextLengthExceededError(OssaiError):
    """``context_length_exceeded``"""

    kind = "context_length_exceeded"


class InvalidStateError(OssaiError):
    """``invalid_state``"""

    kind = "invalid_state"


class AuthenticationError(OssaiError):
    """``authentication``"""

    kind = "authentication"


class PermissionDeniedError(OssaiError):
    """``permission_denied``"""

    kind = "permission_denied"


class NotFoundError(OssaiError):
    """``not_found``"""

    kind = "not_found"


class ConflictError(OssaiError):
    """``conflict``"""

    kind = "conflict"


class RequestTooLargeError(OssaiError):
    """``request_too_large``"""

    kind = "request_too_large"


class ResponseTooLargeError(OssaiError):
    """``response_too_large``"""

    kind = "response_too_large"


class ContentFilteredError(OssaiError):
    """``content_filtered``"""

    kind = "content_filtered"


class RateLimitedError(OssaiError):
    """``rate_limited``"""

    kind = "rate_limited"


class QuotaExhaustedError(OssaiError):
    """``quota_exhausted``"""

    kind = "quota_exhausted"


class BudgetExceededError(OssaiError):
    """``budget_exceeded``"""

    kind = "budget_exceeded"


class PriceUnknownError(OssaiError):
    """``price_unknown``"""

    kind = "price_unknown"


class BudgetUnavailableError(OssaiError):
    """``budget_unavailable``"""

    kind = "budget_unavailable"


class OverloadedError(OssaiError):
    """``overloaded``"""

    kind = "overloaded"


class CircuitOpenError(OssaiError):
    """``circuit_open``"""

    kind = "circuit_open"


class ShuttingDownError(OssaiError):
    """``shutting_down``"""

    kind = "shutting_down"


class UpstreamError(OssaiError):
    """``upstream_error``"""

    kind = "upstream_error"


class ConnectFailedError(OssaiError):
    """``connect_failed``"""

    kind = "connect_failed"


class TransportInterruptedError(OssaiError):
    """``transport_interrupted``"""

    kind = "transport_interrupted"


class StreamInterruptedError(OssaiError):
    """``stream_interrupted``"""

    kind = "stream_interrupted"


class TimeoutError(OssaiError, builtins.TimeoutError):
    """``timeout``"""

    kind = "timeout"


class CancelledError(OssaiError):
    """``cancelled``"""

    kind = "cancelled"


class DecodeError(OssaiError):
    """``decode_error``"""

    kind = "decode_error"


class UnexpectedContentTypeError(OssaiError):
    """``unexpected_content_type``"""

    kind = "unexpected_content_type"


class RedirectBlockedError(OssaiError):
    """``redirect_blocked``"""

    kind = "redirect_blocked"


class UnsupportedError(OssaiError):
    """``unsupported``"""

    kind = "unsupported"


class VersionIncompatibleError(OssaiError):
    """``version_incompatible``"""

    kind = "version_incompatible"


class CallbackError(OssaiError):
    """``callback_error``"""

    kind = "callback_error"


class InternalError(OssaiError):
    """``internal``"""

    kind = "internal"


#: The class of each kind.
KINDS: dict[str, type[OssaiError]] = {
    "invalid_request": InvalidRequestError,
    "context_length_exceeded": ContextLengthExceededError,
    "invalid_state": InvalidStateError,
    "authentication": AuthenticationError,
    "permission_denied": PermissionDeniedError,
    "not_found": NotFoundError,
    "conflict": ConflictError,
    "request_too_large": RequestTooLargeError,
    "response_too_large": ResponseTooLargeError,
    "content_filtered": ContentFilteredError,
    "rate_limited": RateLimitedError,
    "quota_exhausted": QuotaExhaustedError,
    "budget_exceeded": BudgetExceededError,
    "price_unknown": PriceUnknownError,
    "budget_unavailable": BudgetUnavailableError,
    "overloaded": OverloadedError,
    "circuit_open": CircuitOpenError,
    "shutting_down": ShuttingDownError,
    "upstream_error": UpstreamError,
    "connect_failed": ConnectFailedError,
    "transport_interrupted": TransportInterruptedError,
    "stream_interrupted": StreamInterruptedError,
    "timeout": TimeoutError,
    "cancelled": CancelledError,
    "decode_error": DecodeError,
    "unexpected_content_type": UnexpectedContentTypeError,
    "redirect_blocked": RedirectBlockedError,
    "unsupported": UnsupportedError,
    "version_incompatible": VersionIncompatibleError,
    "callback_error": CallbackError,
    "internal": InternalError,
}


def from_fields(fields: dict[str, Any], partial: Completion | None = None) -> OssaiError:
    """The exception for an error's fields; a kind of a newer core is the base class."""
    return KINDS.get(fields["kind"], OssaiError)(fields["message"], fields, partial)
