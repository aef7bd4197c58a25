"""What both clients share: configuration, the arguments of calls, and the session, reopened in a forked child."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from math import ceil, isinf, isnan
from typing import TYPE_CHECKING, Any, cast

from . import _errors, _native, _process
from ._credentials import Credentials
from ._results import Estimate, Explanation, Stats, TokenCount, Truncated

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._credentials import Credential, Fetch
    from ._telemetry import Telemetry, Watch
    from ._types import CatalogKeywords, CompletionKeywords, CompletionRequest, EstimateKeywords

__all__ = ["NOTHING", "Base", "arguments", "invalid", "mapping", "may_have_tools", "milliseconds", "record"]

#: Names that are the client's own and never sent; every other keyword is the request's.
OPTIONS = frozenset(_native.field_names("CallOptions"))

NOTHING: dict[str, Any] = {}


def invalid(field: str, expected: str) -> _errors.OssaiError:
    message = f"{field}: {expected}"
    fields = {"kind": "invalid_request", "message": message, "retriable": False, "field": field, "billed": "no"}
    return _errors.from_fields(fields)


def milliseconds(seconds: Any, field: str = "options.timeout") -> int:
    """Seconds as whole milliseconds, rounded up: a time-out is never shorter than asked for."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or isnan(seconds) or seconds < 0:
        raise invalid(field, "expected seconds, 0 or more")
    return 2**63 if isinf(seconds) else ceil(seconds * 1000)


def _as_options(options: Any) -> Any:
    """A mapping of options with ``timeout`` in milliseconds."""
    if isinstance(options, Mapping) and "timeout" in options:
        changed = dict(cast("Mapping[str, Any]", options))
        changed["timeout_ms"] = milliseconds(changed.pop("timeout"))
        return changed
    return options


def arguments(request: Any, keywords: Any, own: frozenset[str] = OPTIONS) -> tuple[Any, Any]:
    """A call's request and options out of what its caller gave: a request, keywords, or a request changed by keywords."""
    options: Any = _as_options(keywords.pop("options", NOTHING)) if keywords else NOTHING
    if keywords:
        if "timeout" in keywords:
            keywords["timeout_ms"] = milliseconds(keywords.pop("timeout"))
        named = [name for name in keywords if name in own]
        if named:
            options = dict(mapping("options", options))
            for name in named:
                options[name] = keywords.pop(name)
        if "extra" in keywords:
            extra = mapping("extra", keywords.pop("extra"))
            keywords = {**extra, **keywords}
        if request is None:
            request = keywords
        elif keywords:
            request = {**mapping("request", request), **keywords}
        if isinstance(request, Mapping) and type(cast("Mapping[str, Any]", request).get("messages")) is str:
            request = {**cast("Mapping[str, Any]", request), "messages": [{"role": "user", "content": request["messages"]}]}
    if type(request) is dict and request.get("tools"):
        tools: Any = cast("dict[str, Any]", request)["tools"]
        if not all(type(one) is dict for one in tools):
            from ._tools import definitions

            request = {**request, "tools": definitions(tools)}
    return (NOTHING if request is None else request), options


def may_have_tools(request: Any, keywords: Mapping[str, Any]) -> bool:
    """Whether a call may have tools with handlers; cheap, for every call asks."""
    if "tools" in keywords or not LOOP.isdisjoint(keywords):
        return True
    return request is not None and bool(
        cast("Mapping[str, Any]", request).get("tools") if isinstance(request, Mapping) else getattr(request, "tools", None)
    )


#: A tool loop's settings among a call's keywords.
LOOP = frozenset({"max_turns", "max_parallel", "tool_timeout", "approval_timeout", "on_tool_error", "approve"})


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return cast("Mapping[str, Any]", dump())
    raise invalid(name, f"expected a mapping, found {type(value).__name__}")


def record(op: str, answer: Any) -> None:
    """Tells the logger ``ossai`` of a call that went out: at INFO after more than one try, else at DEBUG. Never prompts."""
    logging = sys.modules.get("logging")
    if logging is None:  # nobody in this process listens
        return
    log = logging.getLogger("ossai")
    attempts = len(answer.attempts)
    level = logging.INFO if attempts > 1 else logging.DEBUG
    if log.isEnabledFor(level):
        cost = answer.cost.total
        log.log(
            level,
            "%s %s: %d ms, %d attempt(s), %d+%d tokens, %s",
            op,
            answer.model,
            answer.timing.total_us // 1000,
            attempts,
            answer.usage.input_tokens,
            answer.usage.output_tokens,
            "price unknown" if cost is None else f"{cost} nUSD",
            extra={"ossai": {"op": op, "model": answer.model, "request_id": answer.request_id, "attempts": attempts}},
        )


class Base:
    """A client's configuration and session."""

    def __init__(
        self,
        config: Mapping[str, Any] | str | None,
        environment: bool,
        credentials: Mapping[str, Fetch | Credential] | None,
        telemetry: bool | Mapping[str, Any],
        changes: Any,
    ) -> None:
        self._content = _content(telemetry, environment)
        self._telemetry: Telemetry | None = None
        self._config = _document(config, changes)
        self._environment = environment
        self._credentials = None if not credentials else Credentials(credentials)
        self._closed = False
        self._open()

    def _open(self) -> None:
        self._generation = _process.generation()
        if self._credentials is None:
            self._native = _native.Session(self._config, self._environment)
        else:
            self._native = self._credentials.open(self._config, self._environment)

    @property
    def _session(self) -> _native.Session:
        """The session; in a forked child a new one with the same configuration, for the parent's is not usable there."""
        if self._generation != _process.generation():
            self._open()
            if self._closed:
                self._native.close()
        return self._native

    @property
    def _telling(self) -> Telemetry | None:
        """Who is told of calls: the program's OpenTelemetry; None when the program has none, or wants it not to."""
        if "opentelemetry.trace" not in sys.modules or self._content is None:
            return None
        if self._telemetry is None:
            from ._telemetry import Telemetry

            self._telemetry = Telemetry(self._content, self._vendor)
        return self._telemetry

    def _watch(self, op: str, request: Any, keywords: Any) -> Watch | None:
        """Begins to tell a call to whoever is told of calls."""
        telemetry = self._telling
        return None if telemetry is None else telemetry.watch(op, request, keywords)

    def _vendor(self, provider: str) -> str | None:
        """What OpenTelemetry's conventions call a provider, as the price table knows it."""
        models = self.catalog(provider=provider)
        return cast("str | None", models[0].get("otel")) if models else None

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a client cannot be pickled: send its configuration and open a new one")

    # What never waits: the same for both clients.

    def lookup(
        self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]
    ) -> _native.Completion | None:
        """The answer to this request if the memory cache has it; never waits."""
        return cast("_native.Completion | None", self._session.call("lookup", *arguments(request, keywords)))

    def explain(self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]) -> Explanation:
        """What a call would do, worked out without sending it: route, cache, sharing, parameters, cost."""
        return Explanation(self._session.call("explain", *arguments(request, keywords)))

    def key(self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]) -> str:
        """The key under which this request's answer is kept and shared, in hex: equal in every language for equal calls."""
        return str(self._session.call("key", arguments(request, keywords)[0], NOTHING)["key"])

    def count(self, request: CompletionRequest | None = None, /, **keywords: Unpack[CompletionKeywords]) -> TokenCount:
        """How many input tokens a request is, counted offline: text, message frames, tools and images."""
        return TokenCount(self._session.call("count", arguments(request, keywords)[0], NOTHING))

    def count_text(self, text: str, *, model: str) -> TokenCount:
        """How many tokens a text is for a model, counted offline."""
        return TokenCount(self._session.call("count_text", {"model": model, "text": text}, NOTHING))

    def truncate(self, text: str, *, model: str, max_tokens: int) -> Truncated:
        """The longest beginning of a text that is at most ``max_tokens`` for the model."""
        request = {"model": model, "text": text, "max_tokens": max_tokens}
        return Truncated(self._session.call("truncate", request, NOTHING))

    def split(self, text: str, *, model: str, max_tokens: int, overlap: int = 0) -> list[str]:
        """A text cut into parts of at most ``max_tokens``, each repeating at most ``overlap`` of the one before."""
        request = {"model": model, "text": text, "max_tokens": max_tokens, "overlap": overlap}
        return cast("list[str]", self._session.call("split", request, NOTHING)["parts"])

    def estimate(self, request: CompletionRequest | None = None, /, **keywords: Unpack[EstimateKeywords]) -> Estimate:
        """What a request will cost, without sending it: a floor, a likely figure and a ceiling, in nanodollars."""
        request, options = arguments(request, keywords, ESTIMATE_OPTIONS)
        return Estimate(self._session.call("estimate", request, options))

    def price(self, model: str) -> dict[str, Any] | None:
        """The model's entry in the price table: prices, limits, capabilities; None when it is not listed."""
        return cast("dict[str, Any] | None", self._session.call("price", {"model": model}, NOTHING))

    def catalog(self, **conditions: Unpack[CatalogKeywords]) -> list[dict[str, Any]]:
        """The price table's models that fit the conditions."""
        return cast("list[dict[str, Any]]", self._session.call("catalog", conditions, NOTHING)["models"])

    def stats(self) -> Stats:
        """What the client has done so far."""
        return Stats(self._session.call("stats", NOTHING, NOTHING))

    def clear_cache(self) -> None:
        """Forgets every kept answer."""
        self._session.call("clear_cache", NOTHING, NOTHING)

    @property
    def calls_under_way(self) -> int:
        """How many calls of this client's have not ended."""
        return self._session.calls_under_way


#: Names that are an estimate's options.
ESTIMATE_OPTIONS = frozenset(_native.field_names("EstimateOptions"))


def _content(telemetry: Any, environment: bool) -> bool | None:
    """Whether prompts and answers are told beside names and numbers; None when nothing is."""
    if telemetry is False:
        return None
    fields = {} if telemetry is True else dict(mapping("telemetry", telemetry))
    content = fields.pop("content", None)
    if fields:
        raise invalid(f"telemetry.{next(iter(fields))}", "unknown")
    if content is None:
        return environment and os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT") == "true"
    if not isinstance(content, bool):
        raise invalid("telemetry.content", "expected true or false")
    return content


def _document(config: Mapping[str, Any] | str | None, changes: Mapping[str, Any]) -> str:
    if not config and not changes:
        return "{}"
    import json

    if isinstance(config, str):
        if not changes:
            return config
        try:
            config = cast("Mapping[str, Any]", json.loads(config))
        except ValueError as error:
            raise invalid("config", f"expected a JSON document: {error}") from error
    document = {**(mapping("config", config) if config is not None else {}), **changes}
    if "timeout" in document:
        total = milliseconds(document.pop("timeout"))
        document["timeouts"] = {**document.get("timeouts", {}), "total_ms": total}
    try:
        return json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise invalid("config", f"expected values JSON can hold: {error}") from error
