"""Results that are small enough to be read from a dict: counts, estimates, counters, models, health, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Literal

__all__ = [
    "BudgetState",
    "Estimate",
    "Explanation",
    "Health",
    "Invalidated",
    "ModelInfo",
    "Span",
    "Stats",
    "TokenCount",
    "Truncated",
    "View",
]


class View:
    """Attributes over a dict as it crossed the border; what the core left out is None."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    @classmethod
    def model_validate(cls, fields: dict[str, Any]) -> Any:
        """The reverse of ``model_dump``."""
        return cls(fields)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            if name in type(self).__annotations__:
                return None
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def model_dump(self) -> dict[str, Any]:
        """The whole as dicts, lists, strings and numbers, as it crosses every language's border."""
        return self._fields

    def model_dump_json(self) -> str:
        """The same as JSON text."""
        import json

        return json.dumps(self._fields, separators=(",", ":"), ensure_ascii=False)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._fields.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._fields,)


class TokenCount(View):
    """How many tokens something is."""

    __slots__ = ()
    #: The count, or the likely one.
    tokens: int
    low: int
    high: int
    #: Whether it is the published encoding's own count with nothing estimated in it.
    exact: bool
    encoding: str


class Truncated(View):
    """The beginning of a text."""

    __slots__ = ()
    text: str
    tokens: int
    #: Whether something was cut off.
    truncated: bool
    encoding: str


class Span(View):
    """A range with its likely value."""

    __slots__ = ()
    low: int
    expected: int
    high: int | None


class Estimate(View):
    """What a call will cost, in nanodollars; absent amounts are unknown, never 0."""

    __slots__ = ()
    status: Literal["exact", "estimated", "unknown"]
    low: int | None
    expected: int | None
    high: int | None
    price_version: str
    notes: list[dict[str, str]]

    @property
    def input_tokens(self) -> Span:
        return Span(self._fields["input_tokens"])

    @property
    def output_tokens(self) -> Span:
        return Span(self._fields["output_tokens"])


class Explanation(View):
    """What a call would do. It holds names of fields, never their values."""

    __slots__ = ()
    key: str
    key_fields: list[str]
    #: ``road``, ``provider``, ``model``, ``api``, ``url``.
    route: dict[str, Any]
    deterministic: bool
    #: ``status``, ``tier``, ``age_ms``, ``stores``, ``ttl_ms``, ``why``, ``differs``.
    cache: dict[str, Any]
    #: ``allowed``, ``under_way``.
    sharing: dict[str, bool]
    pace_ms: int
    #: ``dropped``, ``unsupported`` …
    parameters: dict[str, Any]
    timeout_ms: int
    max_attempts: int
    #: The error it would end in before anything is sent, where that is known.
    refused: dict[str, Any] | None

    @property
    def estimate(self) -> Estimate:
        return Estimate(self._fields["estimate"])


class Stats(View):
    """What a client has done so far. Every number only grows, except the two that say what is under way."""

    __slots__ = ()
    calls: int
    failures: int
    flights: int
    joined: int
    flights_in_flight: int
    waiters: int
    flights_cancelled: int
    cache_hits: int
    cache_misses: int
    cache_entries: int
    cache_bytes: int
    attempts: int
    retries: int
    #: Nanodollars.
    spent: int
    #: Nanodollars.
    saved: int
    unpriced: int
    #: Records the usage ledger could not take.
    unrecorded: int
    #: The cache tiers beneath the memory, in the order they are asked: ``tier``, ``hits``, ``misses``, ``stores``,
    #: ``dropped``, ``faults``, ``skipped``, ``evicted``, ``ailing``.
    tiers: list[dict[str, Any]]
    #: The semantic cache, where there is one: ``lookups``, ``hits``, ``refused``, ``unverified``, ``failures``, ``checked``,
    #: ``false_hits``, ``entries``, ``bytes``, ``off``.
    semantic: dict[str, Any] | None


class ModelInfo(View):
    """A model one can call."""

    __slots__ = ()
    id: str
    created: int | None
    owned_by: str | None
    extra: dict[str, Any] | None


class Invalidated(View):
    """What an invalidation did."""

    __slots__ = ()
    #: Answers dropped out of memory, an orchestrator's included; what counts no more beneath is not counted.
    dropped: int
    #: Where it holds, in the order tiers are asked.
    tiers: list[Literal["memory", "redis", "disk", "orchestrator"]]


class Health(View):
    """The health of one upstream."""

    __slots__ = ()
    upstream: str
    status: Literal["serving", "not_serving"]
    latency_us: int
    message: str | None


class BudgetState(View):
    """A budget and what is on it in the present window. Money is nanodollars."""

    __slots__ = ()
    #: What it is of.
    scope: Literal["tenant", "key", "user", "model", "tag"]
    #: The tag, where it is of a tag's values.
    tag: str | None
    #: Whose tenant's it is, where it is not the tenant's itself.
    tenant: str | None
    #: Whose it is; None for calls without a tenant.
    name: str | None
    #: How long it lasts, in UTC.
    window: Literal["hour", "day", "month", "total"]
    #: It is booked and never refuses.
    soft: bool
    limit_nano_usd: int | None
    limit_tokens: int | None
    spent_nano_usd: int
    spent_tokens: int
    #: Held for calls under way.
    held_nano_usd: int
    held_tokens: int
    #: What calls can still have; None without a limit of the kind.
    left_nano_usd: int | None
    left_tokens: int | None
    #: When the window ends, in milliseconds since 1970; None for ``total``.
    resets_at_ms: int | None
