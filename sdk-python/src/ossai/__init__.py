"""A client for language models whose retries, shared calls, caches, token counts and money are decided once, in a Rust core.

>>> import ossai
>>> client = ossai.Client()
>>> answer = client.complete(model="local/extract", messages="Context:\\nThe sky is blue.\\n\\nWhat colour is the sky?")
>>> answer.usage.total_tokens > 0
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _native
from ._errors import (
    KINDS,
    AuthenticationError,
    BudgetExceededError,
    BudgetUnavailableError,
    CallbackError,
    CancelledError,
    CircuitOpenError,
    ConflictError,
    ConnectFailedError,
    ContentFilteredError,
    ContextLengthExceededError,
    DecodeError,
    InternalError,
    InvalidRequestError,
    InvalidStateError,
    NotFoundError,
    OssaiError,
    OverloadedError,
    PermissionDeniedError,
    PriceUnknownError,
    QuotaExhaustedError,
    RateLimitedError,
    RedirectBlockedError,
    RequestTooLargeError,
    ResponseTooLargeError,
    ShuttingDownError,
    StreamInterruptedError,
    TimeoutError,
    TransportInterruptedError,
    UnexpectedContentTypeError,
    UnsupportedError,
    UpstreamError,
    VersionIncompatibleError,
    from_fields,
)

_native.set_error_factory(from_fields)

from . import _process  # noqa: E402, F401
from ._client import Client, Stream  # noqa: E402
from ._credentials import Credential
from ._native import (
    AnnotationEvent,
    Attempt,
    CacheOutcome,
    Completion,
    Cost,
    Embedding,
    EmbeddingResponse,
    ExtraEvent,
    FinishEvent,
    PartEvent,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    StreamEnd,
    StreamStart,
    TextDelta,
    TextPart,
    Timing,
    ToolCall,
    ToolCallDelta,
    ToolCallRecord,
    ToolCallStart,
    ToolResult,
    ToolRun,
    ToolStarted,
    ToolTurn,
    Trace,
    TraceStep,
    TurnEvent,
    Usage,
    UsageEvent,
    configure_threads,
)
from ._results import (  # noqa: E402
    BudgetState,
    Estimate,
    Explanation,
    Health,
    Invalidated,
    ModelInfo,
    Span,
    Stats,
    TokenCount,
    Truncated,
)

if TYPE_CHECKING:
    from ._async import AsyncClient, AsyncStream
    from ._native import OutputPart, StreamEvent
    from ._tools import RunnableTool, ToolContext, tool
    from ._types import (
        CacheOptions,
        CallOptions,
        CassetteOptions,
        CompletionRequest,
        EmbeddingRequest,
        EstimateOptions,
        Message,
        SemanticCache,
        SemanticGates,
        SemanticPostgres,
        SemanticWatch,
        Tool,
        ToolChoice,
    )

__version__: str = _native.__version__

__all__ = [
    "KINDS",
    "AnnotationEvent",
    "AsyncClient",
    "AsyncStream",
    "Attempt",
    "AuthenticationError",
    "BudgetExceededError",
    "BudgetState",
    "BudgetUnavailableError",
    "CacheOptions",
    "CacheOutcome",
    "CallOptions",
    "CallbackError",
    "CancelledError",
    "CassetteOptions",
    "CircuitOpenError",
    "Client",
    "Completion",
    "CompletionRequest",
    "ConflictError",
    "ConnectFailedError",
    "ContentFilteredError",
    "ContextLengthExceededError",
    "Cost",
    "Credential",
    "DecodeError",
    "Embedding",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Estimate",
    "EstimateOptions",
    "Explanation",
    "ExtraEvent",
    "FinishEvent",
    "Health",
    "InternalError",
    "InvalidRequestError",
    "InvalidStateError",
    "Invalidated",
    "Message",
    "ModelInfo",
    "NotFoundError",
    "OssaiError",
    "OutputPart",
    "OverloadedError",
    "PartEvent",
    "PermissionDeniedError",
    "PriceUnknownError",
    "QuotaExhaustedError",
    "RateLimitedError",
    "ReasoningDelta",
    "ReasoningPart",
    "RedirectBlockedError",
    "RefusalDelta",
    "RefusalPart",
    "RequestTooLargeError",
    "ResponseTooLargeError",
    "RunnableTool",
    "SemanticCache",
    "SemanticGates",
    "SemanticPostgres",
    "SemanticWatch",
    "ShuttingDownError",
    "Span",
    "Stats",
    "Stream",
    "StreamEnd",
    "StreamEvent",
    "StreamInterruptedError",
    "StreamStart",
    "TextDelta",
    "TextPart",
    "TimeoutError",
    "Timing",
    "TokenCount",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallRecord",
    "ToolCallStart",
    "ToolChoice",
    "ToolContext",
    "ToolResult",
    "ToolRun",
    "ToolStarted",
    "ToolTurn",
    "Trace",
    "TraceStep",
    "TransportInterruptedError",
    "Truncated",
    "TurnEvent",
    "UnexpectedContentTypeError",
    "UnsupportedError",
    "UpstreamError",
    "Usage",
    "UsageEvent",
    "VersionIncompatibleError",
    "configure_threads",
    "tool",
]

#: Imported when they are first asked for: asyncio and typing are slow to import, and not every program wants them.
_LATER = {
    "AsyncClient": "_async",
    "AsyncStream": "_async",
    "RunnableTool": "_tools",
    "ToolContext": "_tools",
    "tool": "_tools",
}
_TYPES = frozenset(
    {
        "CacheOptions",
        "CallOptions",
        "CassetteOptions",
        "CompletionRequest",
        "EmbeddingRequest",
        "EstimateOptions",
        "Message",
        "SemanticCache",
        "SemanticGates",
        "SemanticPostgres",
        "SemanticWatch",
        "Tool",
        "ToolChoice",
    }
)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _LATER or name in _TYPES:
        value: object = getattr(import_module("." + _LATER.get(name, "_types"), __name__), name)
    elif name == "StreamEvent":
        value = (
            StreamStart
            | TextDelta
            | RefusalDelta
            | ReasoningDelta
            | ToolCallStart
            | ToolCallDelta
            | PartEvent
            | AnnotationEvent
            | UsageEvent
            | FinishEvent
            | ExtraEvent
            | TurnEvent
            | ToolStarted
            | ToolResult
            | StreamEnd
        )
    elif name == "OutputPart":
        value = TextPart | RefusalPart | ReasoningPart | ToolCall | dict
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
