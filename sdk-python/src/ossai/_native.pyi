"""The native half of ``ossai``. Results' attributes are made when they are read."""

from typing import Any, Literal, TypeAlias, final

from typing_extensions import Self

__version__: str

def after_fork_in_child() -> None: ...
def shutdown(patience: float) -> bool: ...
def configure_threads(threads: int) -> bool:
    """How many threads the core's runtime gets, 1 to 64; False, and nothing changes, once it runs."""

def operations() -> list[str]: ...
def field_names(of: str) -> list[str]: ...
def error_table() -> list[tuple[str, bool, int]]: ...
def set_error_factory(factory: Any) -> bool: ...

class _Record:
    def model_dump(self) -> dict[str, Any]:
        """The whole as dicts, lists, strings and numbers, as it crosses every language's border."""

    def model_dump_json(self) -> str:
        """The same as JSON text."""

    @staticmethod
    def model_validate(value: Any) -> Any:
        """The reverse of ``model_dump``."""

    def __eq__(self, other: object, /) -> bool: ...

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause"] | str

@final
class Usage(_Record):
    """Tokens a call used, normalised over all vendors.

    ``input_tokens`` includes cached and written ones and ``output_tokens`` includes reasoning; the other counts are parts of
    these two.
    """

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def cache_write_1h_tokens(self) -> int: ...
    @property
    def cache_write_12h_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def audio_input_tokens(self) -> int: ...
    @property
    def audio_cache_read_tokens(self) -> int: ...
    @property
    def audio_output_tokens(self) -> int: ...
    @property
    def image_input_tokens(self) -> int: ...
    @property
    def citation_tokens(self) -> int: ...
    @property
    def web_searches(self) -> int: ...
    @property
    def service_tier(self) -> str | None: ...
    @property
    def speed(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def estimated(self) -> bool: ...
    @property
    def total_tokens(self) -> int: ...

@final
class Cost(_Record):
    """What a call cost: ``total`` in nanodollars, rounded up once; the shares in picodollars."""

    @property
    def status(self) -> Literal["exact", "estimated", "unknown"]: ...
    @property
    def total(self) -> int | None: ...
    @property
    def input_pico(self) -> int: ...
    @property
    def cache_read_pico(self) -> int: ...
    @property
    def cache_write_pico(self) -> int: ...
    @property
    def output_pico(self) -> int: ...
    @property
    def other_pico(self) -> int: ...
    @property
    def prompt_cache_saved_pico(self) -> int:
        """What the vendor's prompt cache saved; negative where writing cost more than reading saved."""
    @property
    def price_version(self) -> str: ...
    @property
    def usd(self) -> float | None:
        """The whole in dollars, for display only."""

@final
class CacheOutcome(_Record):
    """What the cache and the shared calls did for a call."""

    @property
    def status(self) -> Literal["hit", "miss", "bypass"]: ...
    @property
    def tier(self) -> Literal["memory", "redis", "disk", "semantic", "orchestrator"] | None: ...
    @property
    def age_ms(self) -> int | None: ...
    @property
    def joined(self) -> bool: ...
    @property
    def saved(self) -> int | None: ...
    @property
    def stale(self) -> bool:
        """The answer's time was over: it was given while a new one is fetched, or because none could be had."""
    @property
    def similarity(self) -> float | None:
        """How near the question is whose answer this is, where that was another one: the cosine of the two vectors."""
    @property
    def lookup_cost(self) -> int | None:
        """What looking for a similar question cost, in nanodollars, which is no part of ``cost``; None where nothing was
        looked for, and where the price is unknown."""

@final
class Attempt(_Record):
    """One try at an upstream."""

    @property
    def error(self) -> str | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def delay_ms(self) -> int: ...
    @property
    def upstream_request_id(self) -> str | None: ...
    @property
    def duration_us(self) -> int: ...
    @property
    def model(self) -> str | None:
        """The model asked, where the call may fall back to another."""
    @property
    def parallel(self) -> bool:
        """It ran beside the try that decided: one of the two copies of a hedged call."""
    @property
    def endpoint(self) -> str | None:
        """Which further address was asked, as a path of the configuration; absent for the first."""

@final
class TraceStep(_Record):
    """One decision of a call. Its words are stable; new ones may be added."""

    @property
    def at_us(self) -> int: ...
    @property
    def stage(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def why(self) -> str | None: ...
    @property
    def fields(self) -> list[str]: ...
    @property
    def wait_ms(self) -> int | None: ...
    @property
    def attempt(self) -> int | None: ...
    @property
    def by(self) -> str | None: ...

@final
class Trace(_Record):
    """Why a call came out as it did, where that was asked for: names of stages, reasons and fields, never their values."""

    @property
    def steps(self) -> list[TraceStep]: ...
    @property
    def omitted(self) -> int: ...

@final
class Timing(_Record):
    """Where a call's time went, in microseconds."""

    @property
    def queue_us(self) -> int: ...
    @property
    def first_token_us(self) -> int | None: ...
    @property
    def total_us(self) -> int: ...
    @property
    def overhead_us(self) -> int: ...

ToolOutcome: TypeAlias = Literal["ok", "unknown_tool", "invalid_input", "denied", "failed", "timeout", "invalid_output"] | str

@final
class ToolRun(_Record):
    """What a call's tool loop did, beside the answer it ended with."""

    @property
    def turns(self) -> list[ToolTurn]:
        """Every answer that was asked of the model, in order."""
    @property
    def calls(self) -> list[ToolCallRecord]:
        """Every tool call, in the order in which the model made them."""
    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was added to the request's messages, the last answer included: ready to go on with."""

@final
class ToolTurn(_Record):
    """One answer of the model's within a tool loop, with what it cost by itself."""

    @property
    def request_id(self) -> str: ...
    @property
    def response_model(self) -> str | None: ...
    @property
    def finish_reason(self) -> FinishReason: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def cache(self) -> CacheOutcome: ...
    @property
    def attempts(self) -> list[Attempt]: ...
    @property
    def timing(self) -> Timing: ...
    @property
    def trace(self) -> Trace | None: ...

@final
class ToolCallRecord(_Record):
    """One tool call and what came of it."""

    @property
    def turn(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def tool_id(self) -> str | None: ...
    @property
    def input(self) -> Any: ...
    @property
    def outcome(self) -> ToolOutcome: ...
    @property
    def output(self) -> Any: ...
    @property
    def error(self) -> dict[str, Any] | None:
        """``type``, ``message`` and, for a value that does not fit its schema, ``path``."""
    @property
    def duration_us(self) -> int: ...

@final
class ToolCall(_Record):
    """A tool the model wants called; ``arguments`` is JSON text as the model wrote it."""

    type: Literal["tool_call"]
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> str: ...
    @property
    def extra(self) -> dict[str, Any]: ...

@final
class ReasoningPart(_Record):
    """Reasoning the provider shows, or must get back."""

    type: Literal["reasoning"]
    @property
    def text(self) -> str: ...
    @property
    def signature(self) -> str | None: ...
    @property
    def redacted(self) -> str | None: ...
    @property
    def extra(self) -> dict[str, Any]: ...

@final
class TextPart:
    """Text of an answer."""

    type: Literal["text"]
    def __new__(cls, text: str) -> Self: ...
    @property
    def text(self) -> str: ...
    def model_dump(self) -> dict[str, Any]:
        """The whole as dicts, lists, strings and numbers."""

@final
class RefusalPart:
    """The model declined, in its own words."""

    type: Literal["refusal"]
    def __new__(cls, text: str) -> Self: ...
    @property
    def text(self) -> str: ...
    def model_dump(self) -> dict[str, Any]:
        """The whole as dicts, lists, strings and numbers."""

OutputPart: TypeAlias = TextPart | RefusalPart | ReasoningPart | ToolCall | dict[str, Any]

@final
class Completion(_Record):
    """A finished answer, with what it used, what it cost and how it came about."""

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def response_model(self) -> str | None: ...
    @property
    def created(self) -> int | None: ...
    @property
    def text(self) -> str: ...
    @property
    def parts(self) -> list[OutputPart]: ...
    @property
    def tool_calls(self) -> list[ToolCall]: ...
    @property
    def finish_reason(self) -> FinishReason: ...
    @property
    def raw_finish_reason(self) -> str | None: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def raw_usage(self) -> Any: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def cache(self) -> CacheOutcome: ...
    @property
    def attempts(self) -> list[Attempt]: ...
    @property
    def request_id(self) -> str: ...
    @property
    def upstream_request_id(self) -> str | None: ...
    @property
    def timing(self) -> Timing: ...
    @property
    def dropped_params(self) -> list[str]: ...
    @property
    def trace(self) -> Trace | None: ...
    @property
    def tool_run(self) -> ToolRun | None:
        """What the call's tool loop did, where it had tools with handlers."""
    @property
    def extra(self) -> dict[str, Any]: ...
    def to_message(self) -> dict[str, Any]:
        """The answer as a message to append to the conversation, reasoning included where it must be sent back."""

@final
class Embedding(_Record):
    """One vector."""

    @property
    def index(self) -> int: ...
    @property
    def vector(self) -> list[float]: ...

@final
class EmbeddingResponse(_Record):
    """Vectors, in the order of the inputs."""

    @property
    def model(self) -> str: ...
    @property
    def response_model(self) -> str | None: ...
    @property
    def embeddings(self) -> list[Embedding]: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def raw_usage(self) -> Any: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def cache(self) -> CacheOutcome: ...
    @property
    def attempts(self) -> list[Attempt]: ...
    @property
    def request_id(self) -> str: ...
    @property
    def upstream_request_id(self) -> str | None: ...
    @property
    def timing(self) -> Timing: ...
    @property
    def trace(self) -> Trace | None: ...

class _Event:
    def model_dump(self) -> dict[str, Any]:
        """The whole as dicts, lists, strings and numbers."""

@final
class StreamStart(_Event):
    """The vendor accepted the request."""

    type: Literal["start"]
    @property
    def id(self) -> str: ...
    @property
    def response_model(self) -> str | None: ...
    @property
    def created(self) -> int | None: ...

@final
class TextDelta(_Event):
    """More text."""

    type: Literal["text_delta"]
    @property
    def index(self) -> int: ...
    @property
    def text(self) -> str: ...

@final
class RefusalDelta(_Event):
    """More text of a refusal."""

    type: Literal["refusal_delta"]
    @property
    def index(self) -> int: ...
    @property
    def text(self) -> str: ...

@final
class ReasoningDelta(_Event):
    """More reasoning."""

    type: Literal["reasoning_delta"]
    @property
    def index(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def signature(self) -> str | None: ...
    @property
    def redacted(self) -> str | None: ...
    @property
    def extra(self) -> dict[str, Any]: ...

@final
class ToolCallStart(_Event):
    """A tool call begins."""

    type: Literal["tool_call_start"]
    @property
    def index(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def extra(self) -> dict[str, Any]: ...

@final
class ToolCallDelta(_Event):
    """More of a tool call's arguments, as JSON text."""

    type: Literal["tool_call_delta"]
    @property
    def index(self) -> int: ...
    @property
    def arguments(self) -> str: ...

@final
class PartEvent(_Event):
    """A whole part of another kind."""

    type: Literal["part"]
    @property
    def index(self) -> int: ...
    @property
    def part(self) -> Any: ...

@final
class AnnotationEvent(_Event):
    """A note on a part: a citation, a source. The answer has it in its ``extra``, in the list that ``field`` names."""

    type: Literal["annotation"]
    @property
    def index(self) -> int: ...
    @property
    def field(self) -> str: ...
    @property
    def annotation(self) -> Any: ...

@final
class UsageEvent(_Event):
    """Usage so far; a later one replaces it."""

    type: Literal["usage"]
    @property
    def usage(self) -> Usage: ...
    @property
    def raw(self) -> Any: ...

@final
class FinishEvent(_Event):
    """The model stopped."""

    type: Literal["finish"]
    @property
    def reason(self) -> FinishReason: ...
    @property
    def raw(self) -> str | None: ...

@final
class ExtraEvent(_Event):
    """Fields of the vendor's answer without a name here."""

    type: Literal["extra"]
    @property
    def fields(self) -> dict[str, Any]: ...

@final
class TurnEvent(_Event):
    """A further turn of a tool loop begins: its parts are numbered anew, and the answer is the last turn's."""

    type: Literal["turn"]
    @property
    def turn(self) -> int: ...

@final
class ToolStarted(_Event):
    """A tool's handler begins."""

    type: Literal["tool_started"]
    @property
    def turn(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def input(self) -> Any: ...

@final
class ToolResult(_Event):
    """What came of a tool call."""

    type: Literal["tool_result"]
    @property
    def call(self) -> ToolCallRecord: ...

@final
class StreamEnd(_Event):
    """The end, with the whole answer: what ``complete`` would have returned."""

    type: Literal["end"]
    @property
    def completion(self) -> Completion: ...

StreamEvent: TypeAlias = (
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

@final
class Stream:
    def __iter__(self) -> Self: ...
    def __next__(self) -> StreamEvent: ...
    def close(self) -> None: ...

@final
class LoopQueue:
    def __new__(cls, descriptor: bool) -> Self: ...
    def fileno(self) -> int: ...
    @property
    def is_closed(self) -> bool: ...
    def wait(self, seconds: float) -> bool: ...
    def drain(self) -> list[tuple[int, int, Any]]: ...
    def close(self) -> None: ...

@final
class Session:
    def __new__(
        cls,
        config: str,
        environment: bool,
        queue: LoopQueue | None = None,
        credentials: list[tuple[str, str | None]] | None = None,
    ) -> Self: ...
    def begin(self, op: str, request: Any, options: Any, queue: LoopQueue, tools: str | None = None) -> Any: ...
    def call(self, op: str, request: Any, options: Any) -> Any: ...
    def stream(self, request: Any, options: Any) -> Stream: ...
    def cancel(self, call: int) -> bool: ...
    def grant(self, call: int, events: int) -> None: ...
    def complete_host_call(self, id: int, result: str) -> bool: ...
    def close(self) -> None: ...
    @property
    def is_of_this_process(self) -> bool: ...
    @property
    def calls_under_way(self) -> int: ...
