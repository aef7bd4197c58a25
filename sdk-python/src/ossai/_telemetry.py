"""Calls as spans and metrics of the program's own OpenTelemetry, by the GenAI conventions.

Loaded only by a program that has imported OpenTelemetry's API by itself; until then a call pays one look into ``sys.modules``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from opentelemetry import context, metrics, trace

from ._errors import OssaiError
from ._native import __version__ as VERSION

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._tools import ToolContext

__all__ = ["Telemetry", "Watch"]

_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [4**i for i in range(14)]

#: The request's settings, by their names in the conventions.
_SETTINGS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "dimensions": "gen_ai.embeddings.dimension.count",
}


def _field(of: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", of).get(name) if isinstance(of, Mapping) else getattr(of, name, None)


class _Instruments:
    """The instruments of one meter provider."""

    def __init__(self, provider: metrics.MeterProvider) -> None:
        self.provider = provider
        meter = provider.get_meter("ossai", VERSION)

        def histogram(name: str, unit: str, bounds: list[Any], description: str) -> metrics.Histogram:
            try:
                return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=bounds)
            except TypeError:  # an API from before 1.30, which takes no advice
                return meter.create_histogram(name, unit, description)

        self.duration = histogram("gen_ai.client.operation.duration", "s", _SECONDS, "How long calls took.")
        self.first_chunk = histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", _SECONDS, "How long streams took to begin."
        )
        self.tokens = histogram("gen_ai.client.token.usage", "{token}", _TOKENS, "Tokens that calls used.")
        self.tool = histogram("gen_ai.execute_tool.duration", "s", _SECONDS, "How long handlers of tools took.")


_instruments: _Instruments | None = None


def _measuring() -> _Instruments:
    """The instruments of the meter provider that is set now."""
    global _instruments
    provider = metrics.get_meter_provider()
    if _instruments is None or _instruments.provider is not provider:
        _instruments = _Instruments(provider)
    return _instruments


def _asked(read: Callable[[str], Any], op: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for field, name in _SETTINGS.items():
        value = read(field)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            attributes[name] = value
    stop, form = read("stop"), read("response_format")
    if isinstance(stop, str):
        attributes["gen_ai.request.stop_sequences"] = [stop]
    elif isinstance(stop, (list, tuple)):
        attributes["gen_ai.request.stop_sequences"] = [one for one in cast("list[Any]", stop) if isinstance(one, str)]
    kind = None if form is None else _field(form, "type")
    if kind is not None:
        attributes["gen_ai.output.type"] = "text" if kind == "text" else "json"
    if op == "stream":
        attributes["gen_ai.request.stream"] = True
    return attributes


def _answered(answer: Any) -> dict[str, Any]:
    finish = getattr(answer, "finish_reason", None)
    usage, total, first = answer.usage, answer.cost.total, answer.timing.first_token_us
    attributes: dict[str, Any] = {
        "ossai.attempts": len(answer.attempts or ()),
        "gen_ai.usage.input_tokens": usage.input_tokens,
    }
    if finish is not None:
        attributes["gen_ai.response.finish_reasons"] = [str(finish)]
        attributes["gen_ai.usage.output_tokens"] = usage.output_tokens
    for name, value in (
        ("gen_ai.response.id", getattr(answer, "id", None)),
        ("gen_ai.response.model", answer.response_model),
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read_tokens),
        ("gen_ai.usage.cache_write.input_tokens", usage.cache_write_tokens),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
        ("gen_ai.response.time_to_first_chunk", first and first / 1e6),
        ("ossai.request_id", answer.request_id),
        ("ossai.cache.status", answer.cache.status),
        ("ossai.cache.tier", answer.cache.tier),
    ):
        if value:
            attributes[name] = value
    if total is not None:
        attributes["ossai.cost.usd"] = total / 1e9
    return attributes


def _part(of: Any) -> dict[str, Any]:
    kind, text, url = (_field(of, name) for name in ("type", "text", "url"))
    if kind in ("text", "refusal"):
        return {"type": "text", "content": text}
    if kind == "reasoning":
        return {"type": kind, "content": text}
    if kind == "tool_call":
        return _call(of)
    if kind in ("image", "audio", "file"):  # bytes are left out: a span is no place for them
        media = _field(of, "media_type")
        told: dict[str, Any] = {"type": "uri" if url else "blob", "modality": kind}
        return {**told, **({"mime_type": media} if media else {}), **({"uri": url} if url else {})}
    return {"type": kind}


def _call(of: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": _field(of, "id"), "name": _field(of, "name"), "arguments": _field(of, "arguments")}


def _message(of: Any) -> dict[str, Any]:
    role, content = _field(of, "role"), _field(of, "content")
    parts = [{"type": "text", "content": content}] if isinstance(content, str) else [_part(one) for one in content or ()]
    if role == "tool":
        response = "".join(part.get("content") or "" for part in parts)
        return {"role": role, "parts": [{"type": "tool_call_response", "id": _field(of, "tool_call_id"), "response": response}]}
    parts = [part for part in parts if part.get("content") != ""]
    return {"role": role, "parts": parts + [_call(one) for one in _field(of, "tool_calls") or ()]}


def _messages(messages: Any) -> dict[str, Any]:
    """A request's messages. What cannot be written is left out: the call itself says what is wrong with it."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    try:
        return {"gen_ai.input.messages": json.dumps([_message(one) for one in messages or ()])}
    except (TypeError, ValueError, AttributeError):
        return {}


class Watch:
    """One call that is watched. As a context manager: the span is the active one, and an error that leaves is told."""

    def __init__(self, span: trace.Span, labels: dict[str, Any], content: bool) -> None:
        self._span = span
        self._labels = labels
        self._content = content
        self._began = time.perf_counter()
        self._over = False
        self._token: Any = None

    def traceparent(self) -> str | None:
        """What the upstream is told; None when no span is recorded anywhere."""
        it = self._span.get_span_context()
        return f"00-{it.trace_id:032x}-{it.span_id:016x}-{it.trace_flags:02x}" if it.is_valid else None

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        context.detach(self._token)
        if error is not None:
            self.failed(error)

    def done(self, answer: Any) -> None:
        if self._over:
            return
        finish = getattr(answer, "finish_reason", None)
        if self._span.is_recording():
            self._span.set_attributes(_answered(answer))
            if self._content and finish is not None:
                told = [{"role": "assistant", "parts": [_part(one) for one in answer.parts], "finish_reason": str(finish)}]
                self._span.set_attribute("gen_ai.output.messages", json.dumps(told))
        model = answer.response_model
        labels = {**self._labels, "gen_ai.response.model": model} if model else self._labels
        measured = self._end(labels)
        # A kept answer uses none, and one that several calls share is counted with the call that asked for it.
        if answer.cache.status != "hit" and not answer.cache.joined:
            measured.tokens.record(answer.usage.input_tokens, {**labels, "gen_ai.token.type": "input"})
            if finish is not None:
                measured.tokens.record(answer.usage.output_tokens, {**labels, "gen_ai.token.type": "output"})
        if answer.timing.first_token_us is not None:
            measured.first_chunk.record(answer.timing.first_token_us / 1e6, labels)

    def failed(self, error: BaseException) -> None:
        if self._over:
            return
        known = error if isinstance(error, OssaiError) else None
        kind = "cancelled" if known is None else known.kind  # what is not the client's ends the wait from outside
        self._span.set_attribute("error.type", kind)
        self._span.set_attribute("ossai.attempts", 0 if known is None else len(known.attempts))
        if known is not None and known.request_id:
            self._span.set_attribute("ossai.request_id", known.request_id)
        self._span.set_status(trace.StatusCode.ERROR, None if known is None else str(known))
        self._end({**self._labels, "error.type": kind})

    def left(self) -> None:
        """The program left a stream before its end."""
        if not self._over:
            self._end(self._labels)

    def __del__(self) -> None:
        self.left()

    def _end(self, labels: dict[str, Any]) -> _Instruments:
        self._over = True
        self._span.end()
        measured = _measuring()
        measured.duration.record(time.perf_counter() - self._began, labels)
        return measured


class Telemetry:
    """How a client's calls are told; ``vendor_of`` is what the conventions call a provider."""

    def __init__(self, content: bool, vendor_of: Callable[[str], str | None]) -> None:
        self._content = content
        self._vendor_of = vendor_of
        self._vendors: dict[str, str] = {}

    def watch(self, op: str, request: Any, keywords: dict[str, Any]) -> Watch:
        """Begins to watch a call; its context is among the keywords then, unless the caller gave one."""

        def read(name: str) -> Any:
            return keywords[name] if name in keywords else _field(request, name)

        model = read("model")
        provider, slash, name = model.partition("/") if isinstance(model, str) else ("", "", "")
        if not slash:
            provider, name = "", provider
        operation = "embeddings" if op == "embed" else "chat"
        labels: dict[str, Any] = {"gen_ai.operation.name": operation, "gen_ai.provider.name": self._vendor(provider)}
        if name:
            labels["gen_ai.request.model"] = name
        attributes = {**_asked(read, op), **labels}
        if self._content and op != "embed":
            attributes.update(_messages(read("messages")))
        title = f"{operation} {name}" if name else operation
        span = trace.get_tracer("ossai", VERSION).start_span(title, kind=trace.SpanKind.CLIENT, attributes=attributes)
        watch = Watch(span, labels, self._content)
        options: Any = keywords.get("options")
        if "traceparent" not in keywords and (options is None or _field(options, "traceparent") is None):
            traceparent = watch.traceparent()
            if traceparent is not None:
                keywords["traceparent"] = traceparent
        return watch

    @contextmanager
    def tool(self, asked: ToolContext) -> Iterator[Callable[[Any], None]]:
        """Tells of a handler while it runs, beneath the active span; what it returned is given to what this yields."""
        labels: dict[str, Any] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": asked.name}
        attributes = {**labels, "gen_ai.tool.type": "function", "gen_ai.tool.call.id": asked.tool_call_id}
        if asked.tool.description:
            attributes["gen_ai.tool.description"] = asked.tool.description
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = json.dumps(asked.input)
        title = f"execute_tool {asked.name}"
        span = trace.get_tracer("ossai", VERSION).start_span(title, kind=trace.SpanKind.INTERNAL, attributes=attributes)
        token = context.attach(trace.set_span_in_context(span))
        began = time.perf_counter()

        def returned(value: Any) -> None:
            if self._content and span.is_recording():
                from ._schema import to_json

                span.set_attribute("gen_ai.tool.call.result", to_json(value))

        try:
            yield returned
        except BaseException as error:
            labels["error.type"] = type(error).__name__
            span.set_attribute("error.type", labels["error.type"])
            span.set_status(trace.StatusCode.ERROR, str(error))
            raise
        finally:
            context.detach(token)
            span.end()
            _measuring().tool.record(time.perf_counter() - began, labels)

    def _vendor(self, provider: str) -> str:
        vendor = self._vendors.get(provider)
        if vendor is None:
            vendor = (self._vendor_of(provider) if provider else None) or provider or "ossai"
            if len(self._vendors) < 256:
                self._vendors[provider] = vendor
        return vendor
