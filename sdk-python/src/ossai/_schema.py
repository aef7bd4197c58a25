"""JSON Schemas of type hints, and values read back into the types.

Standard types, ``Literal``, enums, ``TypedDict``, dataclasses and pydantic models; pydantic itself is not needed for the
others. Imported only when a tool is made of a function.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Schema", "Unsupported", "of", "to_json"]

#: Makes a value of the type out of JSON's; None where JSON's own is the value.
Reader = Callable[[Any], Any]
_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
    inspect.Parameter.empty: {},
    dict: {"type": "object"},
    list: {"type": "array"},
}
_TEXTUAL: dict[Any, tuple[str, Reader]] = {
    datetime.datetime: ("date-time", lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))),
    datetime.date: ("date", datetime.date.fromisoformat),
    uuid.UUID: ("uuid", uuid.UUID),
}
_LISTS: dict[Any, Callable[[Any], Any] | None] = {
    list: None,
    collections.abc.Sequence: None,
    collections.abc.Iterable: None,
    collections.abc.Collection: None,
    set: set,
    frozenset: frozenset,
    collections.abc.Set: set,
}
_MAPS = {dict, collections.abc.Mapping, collections.abc.MutableMapping}


class Unsupported(TypeError):
    """A hint that has no JSON Schema."""


class Schema(NamedTuple):
    """A type's JSON Schema and how its values are made."""

    schema: dict[str, Any]
    read: Reader | None


def of(hint: Any, definitions: dict[str, Any]) -> Schema:
    """The schema of a type hint; what it refers to is added to ``definitions`` (``$defs``)."""
    try:
        if hint in _SIMPLE:
            return Schema(dict(_SIMPLE[hint]), None)
        if hint in _TEXTUAL:
            form, read = _TEXTUAL[hint]
            return Schema({"type": "string", "format": form}, read)
    except TypeError:  # not hashable, so none of these
        pass
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _annotated(of(arguments[0], definitions), arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return _union([of(one, definitions) for one in arguments])
    if origin is typing.Literal:
        return Schema({"enum": list(arguments)}, None)
    if origin is tuple or hint is tuple:
        return _tuple(arguments, definitions)
    if origin in _LISTS or hint in _LISTS:
        return _list(_LISTS[origin or hint], arguments, definitions)
    if origin in _MAPS or hint in _MAPS:
        return _map(arguments, definitions)
    if isinstance(hint, type):
        return _class(hint, definitions)
    raise Unsupported(f"{hint!r} has no JSON Schema: give the tool one by `input_schema`")


def _annotated(inner: Schema, notes: tuple[Any, ...]) -> Schema:
    for note in notes:
        text = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(text, str):
            return Schema({**inner.schema, "description": text}, inner.read)
    return inner


def _union(arms: list[Schema]) -> Schema:
    readers = [arm.read for arm in arms]
    schema = {"anyOf": [arm.schema for arm in arms]}
    if not any(readers):
        return Schema(schema, None)

    def read(value: Any) -> Any:
        failure: Exception | None = None
        if value is None and {"type": "null"} in schema["anyOf"]:
            return None
        for reader in readers:
            if reader is None:
                continue
            try:
                return reader(value)
            except Exception as error:  # the value may be another arm's
                failure = error
        if None in readers or failure is None:
            return value
        raise failure

    return Schema(schema, read)


def _list(make: Callable[[Any], Any] | None, arguments: tuple[Any, ...], definitions: dict[str, Any]) -> Schema:
    item = of(arguments[0], definitions) if arguments else Schema({}, None)
    schema: dict[str, Any] = {"type": "array", "items": item.schema}
    if make is not None:
        schema["uniqueItems"] = True
    reader = item.read
    if reader is None:
        return Schema(schema, make)
    each = reader
    return Schema(schema, lambda values: (make or list)(each(value) for value in values))


def _tuple(arguments: tuple[Any, ...], definitions: dict[str, Any]) -> Schema:
    if not arguments or (len(arguments) == 2 and arguments[1] is Ellipsis):
        schema, read = _list(None, arguments[:1], definitions)
        return Schema(schema, lambda values: tuple(read(values) if read else values))
    places = [of(one, definitions) for one in arguments]
    count = len(places)
    schema = {"type": "array", "prefixItems": [one.schema for one in places], "minItems": count, "maxItems": count}
    return Schema(
        schema,
        lambda values: tuple(place.read(value) if place.read else value for place, value in zip(places, values, strict=True)),
    )


def _map(arguments: tuple[Any, ...], definitions: dict[str, Any]) -> Schema:
    if arguments and arguments[0] not in (str, Any):
        raise Unsupported("a JSON object's keys are strings")
    value = of(arguments[1], definitions) if arguments else Schema({}, None)
    schema: dict[str, Any] = {"type": "object"}
    if value.schema:
        schema["additionalProperties"] = value.schema
    each = value.read
    if each is None:
        return Schema(schema, None)
    return Schema(schema, lambda values: {key: each(one) for key, one in values.items()})


def _class(hint: type, definitions: dict[str, Any]) -> Schema:
    if issubclass(hint, enum.Enum):
        return Schema({"enum": [member.value for member in hint]}, hint)
    if hasattr(hint, "model_json_schema"):
        model: Any = hint
        schema: dict[str, Any] = model.model_json_schema()
        for name, definition in schema.pop("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                raise Unsupported(f"two types are called {name}")
        return Schema(schema, model.model_validate)
    if dataclasses.is_dataclass(hint):
        return _fields(hint, definitions, hint)
    if typing.is_typeddict(hint):
        return _fields(hint, definitions, None)
    raise Unsupported(f"{hint.__name__} has no JSON Schema: give the tool one by `input_schema`")


def _fields(hint: Any, definitions: dict[str, Any], make: Any) -> Schema:
    """A dataclass or a ``TypedDict``, by reference: it may hold its own kind."""
    name, reference = hint.__name__, {"$ref": f"#/$defs/{hint.__name__}"}
    readers: dict[str, Reader] = {}

    def read(value: Any) -> Any:
        values = {key: readers[key](one) if key in readers else one for key, one in value.items()}
        return values if make is None else make(**values)

    known = definitions.get(name)
    if known is not None:
        if known.get("x-python") is not hint:
            raise Unsupported(f"two types are called {name}")
        return Schema(reference, known["x-read"])
    schema: dict[str, Any] = {"type": "object", "x-python": hint, "x-read": read}
    definitions[name] = schema
    hints = typing.get_type_hints(hint, include_extras=True)
    if make is None:
        required = [field for field in hints if field in hint.__required_keys__]
    else:
        missing = dataclasses.MISSING
        fields = [field for field in dataclasses.fields(hint) if field.init]
        required = [one.name for one in fields if one.default is missing and one.default_factory is missing]
        hints = {one.name: hints[one.name] for one in fields}
    properties: dict[str, Any] = {}
    for field, one in hints.items():
        while typing.get_origin(one) in _QUALIFIERS:
            one = typing.get_args(one)[0]
        properties[field], reader = of(one, definitions)
        if reader is not None:
            readers[field] = reader
    schema["properties"] = properties
    if required:
        schema["required"] = required
    schema["additionalProperties"] = False
    return Schema(reference, read)


_QUALIFIERS = {getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly") if hasattr(typing, name)}
try:
    import typing_extensions

    _QUALIFIERS |= {
        getattr(typing_extensions, name) for name in ("Required", "NotRequired") if hasattr(typing_extensions, name)
    }
except ImportError:
    pass


def closed(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to."""
    if not definitions:
        return schema
    plain = {
        name: {key: value for key, value in definition.items() if not key.startswith("x-")}
        for name, definition in definitions.items()
    }
    return {**schema, "$defs": plain}


def to_json(value: Any) -> str:
    """What a handler returned, as JSON."""
    import json

    return json.dumps(value, default=_plain, allow_nan=False)


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        try:
            return dump(mode="json")
        except TypeError:  # our own results have one form
            return dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
