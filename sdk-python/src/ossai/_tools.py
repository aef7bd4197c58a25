"""Tools whose handlers are functions: what goes to the model, and what runs when it calls one.

A handler runs in the context variables its caller had. A plain function runs in a thread of its own, so that neither a loop
nor another handler waits for it; an async one is a task of the caller's loop (in a thread that has its own loop, when the
caller has none). Whatever it raises is told to the model, or becomes the cause of the call's ``CallbackError``.
"""

from __future__ import annotations

import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast, overload

from . import _native
from ._call import invalid, mapping, milliseconds
from ._errors import CallbackError, OssaiError

if TYPE_CHECKING:
    from ._home import Home
    from ._telemetry import Telemetry

__all__ = ["Approve", "Plan", "RunnableTool", "Runner", "ToolContext", "definitions", "planned", "tool"]

Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)


class ToolContext:
    """What a handler, or an approval, knows of the tool call it serves. A parameter annotated with it is given it.

    ``cancelled`` is set when nobody waits for the result any more: the time ran out, or the call is over. A coroutine is
    cancelled as well; a thread has to look.
    """

    __slots__ = ("_stop", "cancelled", "deadline", "input", "name", "tool", "tool_call_id")

    def __init__(self, tool: RunnableTool, tool_call_id: str, input: Any, deadline: float) -> None:
        self.tool = tool
        #: The tool's name, as the model called it.
        self.name = tool.name
        #: The model's id of the tool call.
        self.tool_call_id = tool_call_id
        #: The arguments as JSON values.
        self.input = input
        #: When the time is up, by ``time.monotonic()``.
        self.deadline = deadline
        self.cancelled = threading.Event()
        self._stop: Callable[[], object] | None = None

    @property
    def time_left(self) -> float:
        """Seconds until the time is up."""
        return max(0.0, self.deadline - time.monotonic())

    def _cancel(self) -> None:
        self.cancelled.set()
        if self._stop is not None:
            self._stop()


#: May this tool call run? True, False, or why not.
Approve = Callable[[ToolContext], "bool | str | Awaitable[bool | str]"]


class RunnableTool:
    """A tool and its handler. Made of a function by ``tool``; with schemas given, the handler takes the input as it is.

    Called, it is its function.
    """

    def __init__(
        self,
        handler: Handler,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        id: str | None = None,
        capabilities: Sequence[str] = (),
        input_schema: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        strict: bool | None = None,
    ) -> None:
        if not callable(handler):
            raise invalid("tools", f"expected a function, found {type(handler).__name__}")
        self.handler = handler
        self.name: str = getattr(handler, "__name__", "tool") if name is None else name
        self.id: str = id or self.name
        self.description = _summary(handler) if description is None else description
        self.capabilities = tuple(capabilities)
        self._bind: Callable[[Any, ToolContext], tuple[tuple[Any, ...], dict[str, Any]]]
        if input_schema is None:
            self.input_schema, self._bind = _signature(handler)
            if output_schema is None:
                output_schema = _returned(handler)
        else:
            self.input_schema = dict(input_schema)
            context = _context_parameter(handler)
            self._bind = lambda value, given: ((value,), {} if context is None else {context: given})
        self.output_schema = None if output_schema is None else dict(output_schema)
        self.timeout = timeout
        self.strict = strict

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.handler(*arguments, **keywords)

    def __repr__(self) -> str:
        return f"RunnableTool({self.name!r})"

    def definition(self) -> dict[str, Any]:
        """The tool as a request has it, without its handler."""
        made = {"name": self.name, "description": self.description, "parameters": self.input_schema, "strict": self.strict}
        return {key: value for key, value in made.items() if value is not None}

    def _spec(self) -> dict[str, Any]:
        spec = {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "capabilities": list(self.capabilities),
            "input_schema": self.input_schema,
            "output_schema": self.output_schema,
            "timeout_ms": None if self.timeout is None else milliseconds(self.timeout, "tools.timeout"),
            "strict": self.strict,
        }
        return {key: value for key, value in spec.items() if value is not None}


@overload
def tool(handler: F, /) -> RunnableTool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    id: str | None = None,
    capabilities: Sequence[str] = (),
    input_schema: Mapping[str, Any] | None = None,
    output_schema: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    strict: bool | None = None,
) -> Callable[[F], RunnableTool]: ...
def tool(handler: Any = None, /, **settings: Any) -> Any:
    """Makes a tool of a function: its name, docstring and type hints say what the model is told.

    As a decorator, with or without settings. A single parameter that is a pydantic model is the whole input; otherwise each
    parameter is a property. ``Annotated[str, "what it is"]`` describes one.
    """
    if handler is not None:
        return RunnableTool(handler, **settings)
    return lambda function: RunnableTool(function, **settings)


def _summary(handler: Handler) -> str | None:
    text = inspect.getdoc(handler)
    return None if not text else text.split("\n\n", 1)[0].replace("\n", " ")


def _hints(handler: Handler) -> dict[str, Any]:
    import typing

    function: Any = inspect.unwrap(handler)
    if not inspect.isroutine(function):  # a partial, or an object that can be called
        function = getattr(function, "func", None) or type(function).__call__
    try:
        return typing.get_type_hints(function, None, _locals(function), include_extras=True)
    except (NameError, TypeError) as error:
        raise invalid("tools", f"the hints of {getattr(handler, '__name__', handler)!s} cannot be read: {error}") from error


def _locals(function: Any) -> dict[str, Any]:
    """What a hint may mean that is text and names a local class: locals of those in the function's module who make the tool."""
    import sys

    found: dict[str, Any] = {}
    frame = sys._getframe()
    while frame is not None and "<locals>" in getattr(function, "__qualname__", ""):
        if frame.f_globals is getattr(function, "__globals__", None):
            found = {**frame.f_locals, **found}
        frame = cast("Any", frame.f_back)
    return found


def _context_parameter(handler: Handler) -> str | None:
    hints = _hints(handler)
    return next((name for name, hint in hints.items() if hint is ToolContext and name != "return"), None)


def _signature(handler: Handler) -> tuple[dict[str, Any], Any]:
    """The schema of a function's parameters, and how an input becomes its arguments."""
    from . import _schema

    hints = _hints(handler)
    context: str | None = None
    taken: dict[str, Any] = {}
    required: list[str] = []
    readers: dict[str, Callable[[Any], Any]] = {}
    shared: dict[str, Any] = {}
    found: dict[str, Any] = {}
    try:
        for name, parameter in inspect.signature(handler).parameters.items():
            hint = hints.get(name, parameter.annotation)
            if hint is ToolContext:
                context = name
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise invalid("tools", f"`{name}` of {handler!r}: expected parameters that can be given by name")
            taken[name] = hint
            found[name] = parameter
        if len(taken) == 1:
            (only, hint) = next(iter(taken.items()))
            if hasattr(hint, "model_json_schema"):
                whole = _schema.of(hint, shared)
                made = cast("Callable[[Any], Any]", whole.read)
                return _schema.closed(whole.schema, shared), lambda value, given: (
                    (),
                    {only: made(value)} if context is None else {only: made(value), context: given},
                )
        properties: dict[str, Any] = {}
        for name, hint in taken.items():
            properties[name], reader = _schema.of(hint, shared)
            if reader is not None:
                readers[name] = reader
            if found[name].default is inspect.Parameter.empty:
                required.append(name)
    except _schema.Unsupported as error:
        raise invalid("tools", f"{getattr(handler, '__name__', handler)!s}: {error}") from error
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required

    def bind(value: Any, given: ToolContext) -> tuple[tuple[Any, ...], dict[str, Any]]:
        keywords = {name: readers[name](one) if name in readers else one for name, one in value.items()}
        if context is not None:
            keywords[context] = given
        return (), keywords

    return _schema.closed(schema, shared), bind


def _returned(handler: Handler) -> dict[str, Any] | None:
    from . import _schema

    hint = _hints(handler).get("return", Any)
    shared: dict[str, Any] = {}
    try:
        schema = _schema.of(hint, shared).schema
    except _schema.Unsupported:
        return None  # what it returns is its own affair
    return _schema.closed(schema, shared) if schema and hint is not type(None) else None


#: Names of the loop's settings among a call's keywords, and what the core calls them.
SETTINGS = {
    "max_turns": "max_turns",
    "max_parallel": "max_parallel",
    "tool_timeout": "timeout_ms",
    "approval_timeout": "approval_timeout_ms",
    "on_tool_error": "on_error",
    "approve": "approve",
}


class Plan(NamedTuple):
    """The tools of a call whose handlers are the program's."""

    tools: dict[str, RunnableTool]
    approve: Approve | None
    #: As it crosses the border.
    document: str


def _has_handler(one: Any) -> bool:
    return isinstance(one, RunnableTool) or (callable(one) and not isinstance(one, Mapping) and not hasattr(one, "model_dump"))


def definitions(tools: Any) -> Any:
    """Tools as a request has them: those with handlers without them."""
    if not isinstance(tools, (list, tuple)) or not any(map(_has_handler, tools)):
        return tools
    return [_runnable(one).definition() if _has_handler(one) else one for one in tools]


def _runnable(one: Any) -> RunnableTool:
    return one if isinstance(one, RunnableTool) else RunnableTool(one)


def planned(request: Any, keywords: Any) -> tuple[Any, Any, Plan | None]:
    """Takes the tools that have handlers, and the loop's settings, out of what a caller gave."""
    settings = {name: keywords.pop(name) for name in SETTINGS if name in keywords}
    tools: Any = keywords.get("tools")
    if tools is None and request is not None:
        request = mapping("request", request)
        tools = request.get("tools")
    handled = [_runnable(one) for one in tools if _has_handler(one)] if isinstance(tools, (list, tuple)) else []
    if not handled:
        if settings:
            raise invalid(next(iter(settings)), "expected a tool with a handler among `tools`")
        return request, keywords, None
    rest = [one for one in tools if not _has_handler(one)]
    if "tools" in keywords:
        keywords["tools"] = rest
    else:
        request = {**request, "tools": rest}
    approve: Any = settings.pop("approve", None)
    if approve is not None and not callable(approve):
        raise invalid("approve", f"expected a function, found {type(approve).__name__}")
    document: dict[str, Any] = {"specs": [one._spec() for one in handled], "approve": approve is not None}
    for name, value in settings.items():
        if value is not None:
            seconds = name in ("tool_timeout", "approval_timeout")
            document[SETTINGS[name]] = milliseconds(value, name) if seconds else value
    import json

    try:
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise invalid("tools", f"expected values JSON can hold: {error}") from error
    return request, keywords, Plan({one.id: one for one in handled}, approve, text)


class Runner:
    """Carries out the tool calls of one call."""

    def __init__(self, session: _native.Session, plan: Plan, telemetry: Telemetry | None = None) -> None:
        self._session = session
        self._plan = plan
        self._telemetry = telemetry
        self._context = contextvars.copy_context()
        self._under: dict[int, ToolContext] = {}
        self._raised: dict[str, BaseException] = {}

    def cause(self, error: BaseException) -> BaseException | None:
        """What a handler raised, when that is what ended the call."""
        if not isinstance(error, CallbackError) or not self._raised:
            return None
        run = None if error.partial is None else error.partial.tool_run
        for call in reversed([] if run is None else run.calls):
            if call.id in self._raised:
                return self._raised[call.id]
        return next(iter(self._raised.values()))

    def ask(self, question: dict[str, Any], home: Home | None) -> None:
        """Begins what a host call asks for, and does not wait for it."""
        call: int = question["id"]
        tool = self._plan.tools[question["name"]]
        deadline = time.monotonic() + question["timeout_ms"] / 1000
        context = ToolContext(tool, question["tool_call_id"], question["input"], deadline)
        self._under[call] = context
        work = self._approval if question["kind"] == "approval" else self._handler
        function: Any = self._plan.approve if question["kind"] == "approval" else tool.handler
        if home is not None and _is_async(function):
            home.spawn(self._context.copy(), context, lambda: self._awaited(call, work, context))
            return
        run = self._context.copy().run
        thread = threading.Thread(
            target=lambda: run(self._in_thread, call, work, context, home), name=f"ossai-tool-{tool.name}", daemon=True
        )
        thread.start()

    def cancel(self, call: int) -> None:
        """A host call that nobody waits for any more."""
        context = self._under.pop(call, None)
        if context is not None:
            context._cancel()

    def end(self) -> None:
        """The call is over: so is all it asked for."""
        for call in list(self._under):
            self.cancel(call)

    def _approval(self, context: ToolContext) -> Any:
        return cast("Approve", self._plan.approve)(context)

    def _handler(self, context: ToolContext) -> Any:
        try:
            arguments, keywords = context.tool._bind(context.input, context)
        except Exception as error:  # it fits the schema, but not the types
            raise _InvalidInput(str(error)) from error
        return context.tool.handler(*arguments, **keywords)

    async def _awaited(self, call: int, work: Callable[[ToolContext], Any], context: ToolContext) -> None:
        try:
            with self._told(work, context) as returned:
                value = work(context)
                if inspect.isawaitable(value):
                    value = await value
                returned(value)
            self._answer(call, value)
        except Exception as error:
            self._fail(call, context, error)

    def _in_thread(self, call: int, work: Callable[[ToolContext], Any], context: ToolContext, home: Home | None) -> None:
        try:
            with self._told(work, context) as returned:
                value = work(context)
                if inspect.isawaitable(value):
                    value = _run(value, context) if home is None else home.run(value)
                returned(value)
            self._answer(call, value)
        except BaseException as error:  # a thread of ours has nobody to raise to
            self._fail(call, context, error)

    def _told(self, work: Callable[[ToolContext], Any], context: ToolContext) -> AbstractContextManager[Callable[[Any], Any]]:
        """Around a handler: the program's OpenTelemetry is told of it, where it has one. Of an approval it is not."""
        if self._telemetry is None or work != self._handler:
            return nullcontext(_nobody)
        return self._telemetry.tool(context)

    def _answer(self, call: int, value: Any) -> None:
        from ._schema import to_json

        self._complete(call, f'{{"ok": {to_json(value)}}}')

    def _fail(self, call: int, context: ToolContext, error: BaseException) -> None:
        import json

        if isinstance(error, _InvalidInput):
            kind = "invalid_input"
        else:
            kind = type(error).__name__
            self._raised[context.tool_call_id] = error
        self._complete(call, json.dumps({"error": {"type": kind, "message": str(error)}}))

    def _complete(self, call: int, result: str) -> None:
        # Only who was not cancelled meanwhile has somebody who waits.
        if self._under.pop(call, None) is not None:
            try:
                self._session.complete_host_call(call, result)
            except OssaiError as error:  # what cannot be sent (a lone surrogate) is the handler's failure
                if error.kind == "invalid_request":
                    self._session.complete_host_call(
                        call, '{"error": {"type": "ValueError", "message": "the result is no JSON"}}'
                    )


class _InvalidInput(Exception):
    pass


def _nobody(value: Any) -> None:
    """Nobody is told of what a handler returned."""


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _run(value: Any, context: ToolContext) -> Any:
    """An async handler of a caller without a loop: one of its own, in the handler's thread."""
    import asyncio

    async def run() -> Any:
        task = asyncio.ensure_future(value)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:  # it has just ended
                pass

        context._stop = stop
        if context.cancelled.is_set():
            task.cancel()
        return await task

    return asyncio.run(run())
