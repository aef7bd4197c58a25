"""What goes in, as types for checkers. At run time everything is a plain dict: nothing here costs anything at import.

The core reads requests; names and meanings are its own (``ossai::CompletionRequest`` and the types beneath it). Fields it
does not know go to the provider unchanged, in ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from ._tools import Approve, RunnableTool

__all__ = [
    "AttemptDict",
    "BudgetRefusalDict",
    "CacheOptions",
    "CallKeywords",
    "CallOptions",
    "CassetteOptions",
    "CatalogKeywords",
    "CompletionKeywords",
    "CompletionRequest",
    "ConfigKeywords",
    "Content",
    "EmbeddingKeywords",
    "EmbeddingRequest",
    "EstimateKeywords",
    "EstimateOptions",
    "Message",
    "ReasoningEffort",
    "ResponseFormat",
    "Role",
    "SemanticCache",
    "SemanticGates",
    "SemanticPostgres",
    "SemanticWatch",
    "Tool",
    "ToolChoice",
]

Role = Literal["system", "developer", "user", "assistant", "tool"]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
#: Text, or parts: ``{"type": "text", "text": …}``, ``{"type": "image", …}``, ``{"type": "file", …}`` …
Content: TypeAlias = str | Sequence[Mapping[str, Any]]


class AttemptDict(TypedDict, total=False):
    """One try at an upstream, as errors have it."""

    error: str
    status: int
    delay_ms: int
    upstream_request_id: str
    duration_us: int
    model: str
    parallel: bool
    endpoint: str


class BudgetRefusalDict(TypedDict, total=False):
    """A budget that has not enough for a call. Amounts are nanodollars or tokens, as ``unit`` says."""

    scope: str
    tag: str
    name: str
    window: str
    unit: Literal["nano_usd", "tokens"]
    limit: int
    spent: int
    held: int
    asked: int
    available: int
    #: When the window ends, in milliseconds since 1970; absent for ``total``.
    resets_at_ms: int


class _MessageRole(TypedDict):
    role: Role


class Message(_MessageRole, total=False):
    """One message of a conversation."""

    content: Content | None
    name: str
    tool_calls: Sequence[Mapping[str, Any] | Any]
    tool_call_id: str


class _ToolName(TypedDict):
    name: str


class Tool(_ToolName, total=False):
    """A function the model may call."""

    description: str
    parameters: Mapping[str, Any]
    strict: bool


class ToolByName(TypedDict):
    """Exactly this function."""

    name: str


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | ToolByName
#: ``{"type": "text"}``, ``{"type": "json_object"}`` or ``{"type": "json_schema", "name": …, "schema": …}``.
ResponseFormat = Mapping[str, Any]
#: ``provider/model`` and messages, as one mapping or pydantic model or dataclass.
CompletionRequest: TypeAlias = Mapping[str, Any] | Any
EmbeddingRequest: TypeAlias = Mapping[str, Any] | Any


class CacheOptions(TypedDict, total=False):
    """How one call uses the caches."""

    no_cache: bool
    refresh: bool
    max_age_ms: int
    ttl_ms: int


class CassetteOptions(TypedDict, total=False):
    """Recorded answers of providers, in a file: the same in every language."""

    path: str
    #: ``replay`` (unless said otherwise) asks nobody: a request without a recorded answer is an error.
    mode: Literal["replay", "record", "replay_or_record", "off"]
    #: When what is replayed arrives: at once (unless said otherwise), or as it was recorded.
    timing: Literal["instant", "kept"]
    #: In what a request must be like a recorded one: ``method``, ``host``, ``path``, ``query``, ``body``, ``header:NAME``.
    match: Sequence[str]
    #: Places in the body that may differ, as JSON pointers.
    ignore: Sequence[str]
    allow_repeats: bool
    #: Headers, query parameters and fields of JSON bodies whose values are not written.
    scrub: Sequence[str]
    #: Texts that are not written, beside the credentials.
    scrub_values: Sequence[str]
    max_bytes: int


class CallOptions(TypedDict, total=False):
    """What a caller wants of the client for one call; none of it reaches a provider unless it says so."""

    #: Seconds for the whole call; the same as ``timeout_ms`` / 1000.
    timeout: float
    timeout_ms: int
    attempt_timeout_ms: int
    first_byte_timeout_ms: int
    stream_idle_timeout_ms: int
    max_attempts: int
    cache: CacheOptions
    #: Whether vendors' prompt caches are put to use for the call; absent means as configured.
    prompt_cache: Literal["off", "auto", "5m", "1h"]
    coalesce: bool
    idempotency_key: str
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    #: Nanodollars.
    max_cost: int
    prices: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    traceparent: str
    #: Models asked in this one's place when it cannot answer, in order.
    fallbacks: Sequence[str]
    fallback_on: Sequence[str]
    #: Whether a second copy goes out when the first is late; only for a call that is ``safe``.
    hedge: bool
    hedge_after_ms: int
    #: A second copy of the call does no harm but cost.
    safe: bool
    #: The call is not urgent: it goes through the vendor's batch API at half the price and is answered within 24 hours, mostly
    #: within one. Its deadline is ``timeout``. Only for whole completions of ``openai`` and ``anthropic``.
    batch: bool
    #: From -10 to 10.
    priority: int
    #: What becomes of parameters that the model does not take.
    unsupported: Literal["drop", "refuse"]
    #: Whether the answer, or the error, tells why the call came out as it did.
    trace: bool


class CallKeywords(CallOptions, total=False):
    """Keyword arguments of every call."""

    #: The same as a mapping.
    options: CallOptions
    #: Provider fields without a name here, sent unchanged.
    extra: Mapping[str, Any]


class CompletionKeywords(CallKeywords, total=False):
    """Keyword arguments of a completion."""

    #: ``provider/model``.
    model: str
    #: The conversation; text alone is one message of the user's.
    messages: str | Sequence[Message | Mapping[str, Any] | Any]
    #: What the model may call; a function, or a ``RunnableTool`` made of one, is called when it does, until there is an answer.
    tools: Sequence[Tool | Mapping[str, Any] | RunnableTool | Callable[..., Any]]
    #: Most answers asked of the model, when there are tools with handlers; 10 unless said otherwise.
    max_turns: int
    #: Most handlers at work at once; 8 unless said otherwise.
    max_parallel: int
    #: Seconds for each tool call; 30 unless said otherwise.
    tool_timeout: float
    #: Asked before each handler: True, False, or why not.
    approve: Approve
    #: Seconds for each approval; 600 unless said otherwise.
    approval_timeout: float
    #: What a handler raises is told to the model, or ends the call in ``CallbackError``.
    on_tool_error: Literal["tell", "fail"]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    response_format: ResponseFormat
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    frequency_penalty: float
    presence_penalty: float
    seed: int
    stop: str | Sequence[str]
    reasoning_effort: ReasoningEffort
    service_tier: str
    metadata: Mapping[str, Any]
    user: str


class EmbeddingKeywords(CallKeywords, total=False):
    """Keyword arguments of an embedding."""

    #: ``provider/model``.
    model: str
    #: A text, texts, tokens or lists of tokens.
    input: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
    dimensions: int
    user: str


class EstimateOptions(TypedDict, total=False):
    """Assumptions of an estimate."""

    output_tokens: int
    cached_tokens: int
    batch: bool
    prices: Mapping[str, Any] | Sequence[Mapping[str, Any]]


class EstimateKeywords(CompletionKeywords, total=False):
    """Keyword arguments of an estimate: a completion's and its assumptions."""

    output_tokens: int
    cached_tokens: int
    batch: bool


class SemanticGates(TypedDict, total=False):
    """What keeps two questions apart although their vectors are near; each on unless it is False."""

    numbers: bool
    negation: bool
    entities: bool
    language: bool
    direction: bool


class SemanticWatch(TypedDict, total=False):
    """How the share of false hits is measured: the call is made although an answer was found, and the two are compared."""

    #: The share of hits that are checked; 5 unless said otherwise.
    check_percent: float
    #: The share of false ones among them above which the cache turns itself off; 5 unless said otherwise.
    max_false_percent: float
    #: How many of the last checks count.
    window: int
    #: Fewest checks that can turn it off.
    min_checks: int
    #: The cosine of two answers from which on they say the same; absent means that only equal texts do.
    answer_similarity: float


class SemanticPostgres(TypedDict, total=False):
    """A PostgreSQL with the extension pgvector that keeps answers for all who name the same one."""

    #: ``postgres://user:password@host/database``; over a network it is TLS.
    url: str
    #: How long a look or a write may take.
    timeout_ms: int
    #: Most connections at once for looks and writes.
    connections: int
    max_entry_bytes: int
    compress_from_bytes: int
    #: Encrypts what is kept there; all who share it need the same.
    key: str


class SemanticCache(TypedDict, total=False):
    """Answers kept for questions that mean the same (``cache={"semantic": …}``)."""

    #: The embedding model, ``provider/model``, of any provider.
    model: str
    #: Length of its vectors, where the model can shorten them.
    dimensions: int
    #: Whether what is found is given (unless said otherwise), or only measured.
    mode: Literal["serve", "shadow"]
    #: The cosine of two questions from which on they may be the same; 0.95 unless said otherwise.
    threshold: float
    #: How many of the nearest questions are put to the gates.
    top: int
    max_entries: int
    max_bytes: int
    ttl_ms: int
    #: How long the embedding may take; after it the call goes on without.
    timeout_ms: int
    max_text_bytes: int
    gates: SemanticGates
    #: A model that is asked whether two questions want the same answer before one is given.
    verify: str
    verify_timeout_ms: int
    watch: SemanticWatch
    #: Keeps them in PostgreSQL with pgvector, for many machines and over restarts. For orchestrators, and refused here.
    postgres: SemanticPostgres


class ConfigKeywords(TypedDict, total=False):
    """The configuration document; unknown keys are errors with their path. Durations in it are milliseconds."""

    #: An orchestrator (``host:port`` or a URL); absent means straight to the providers.
    endpoint: str
    #: The orchestrator's key.
    api_key: str
    #: Whose calls these are.
    tenant: str
    #: Providers by the name models are asked for under.
    providers: Mapping[str, Mapping[str, Any]]
    #: Seconds for a whole call; the same as ``timeouts={"total_ms": …}``.
    timeout: float
    timeouts: Mapping[str, int | None]
    retry: Mapping[str, int]
    #: The caches: in memory, beneath it (``redis``, ``disk``), and for questions that mean the same (``semantic``, a
    #: :class:`SemanticCache`).
    cache: Mapping[str, Any]
    #: Whether vendors' prompt caches are put to use; ``off`` unless said otherwise.
    prompt_cache: Literal["off", "auto", "5m", "1h"]
    coalesce: Literal["deterministic", "all", "off"]
    limits: Mapping[str, int]
    #: What calls may cost, by tenant, key, user, model and tag: ``limits``, ``ledger``, ``lease_ms``
    #: (``postgres`` is for orchestrators, and refused here).
    budgets: Mapping[str, Any]
    #: A file (SQLite) that keeps a record of every direct call; off without ``ledger``: ``ledger``, ``retention_days``.
    usage: Mapping[str, Any]
    pacing: Mapping[str, Any]
    #: Whether embeddings asked for at the same time go out as one request: ``enabled``, ``max_wait_ms``, ``max_inputs``,
    #: ``max_tokens``.
    gather: Mapping[str, Any]
    #: How calls that are not urgent go through the vendors' batch APIs: ``journal`` (a file, so that the same calls find their
    #: answers after a restart), ``window_ms``, ``max_requests``, ``max_bytes``, ``poll_ms``, ``max_poll_ms``, ``timeout_ms``.
    batch: Mapping[str, Any]
    breaker: Mapping[str, Any]
    fallback: Mapping[str, Any]
    hedge: Mapping[str, Any]
    #: Which hosts and addresses may be connected to: ``checked``, ``private_hosts``.
    egress: Mapping[str, Any]
    #: A file whose prices replace or add to the built-in table.
    prices: str
    #: Answers of providers, recorded or given again.
    cassette: CassetteOptions
    tls: Mapping[str, Any]
    proxy: Mapping[str, Any]
    trace: bool
    testing: Mapping[str, Any]


class CatalogKeywords(TypedDict, total=False):
    """Conditions on the price table's models."""

    provider: str
    kind: Literal["chat", "embedding", "rerank"]
    caps: Sequence[str]
    text: str
    min_context: int
    retired: bool
    sort: Literal["id", "input", "output", "context", "released"]
