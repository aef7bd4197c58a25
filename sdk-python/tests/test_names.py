"""The package knows the names the core knows: a field added there is missed here, by name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import ossai
from ossai import _call, _native, _tools, _types


def annotations(of: type) -> set[str]:
    names: set[str] = set()
    for base in of.__mro__:
        names |= set(inspect.get_annotations(base))
    return names


@pytest.mark.parametrize(
    "name",
    [
        "EmbeddingResponse",
        "Embedding",
        "Usage",
        "Cost",
        "CacheOutcome",
        "Attempt",
        "Timing",
        "Trace",
        "TraceStep",
        "ToolRun",
        "ToolTurn",
        "ToolCallRecord",
    ],
)
def test_every_field_of_a_result_is_an_attribute(name: str) -> None:
    fields = _native.field_names(name)
    assert fields
    assert [field for field in fields if not hasattr(getattr(ossai, name), field)] == []


def test_every_field_of_a_completion_is_an_attribute() -> None:
    own = ["cost", "cache", "attempts", "request_id", "timing", "trace", "tool_run"]
    fields = _native.field_names("Answer") + own
    assert len(fields) > len(own)
    assert [field for field in fields if not hasattr(ossai.Completion, field)] == []


@pytest.mark.parametrize("name", ["Stats", "TokenCount", "Health", "BudgetState"])
def test_every_field_of_a_small_result_is_annotated(name: str) -> None:
    fields = _native.field_names(name)
    assert fields and set(fields) <= annotations(getattr(ossai, name))


@pytest.mark.parametrize(
    ("name", "keywords", "own"),
    [
        ("CallOptions", _types.CallOptions, {"timeout"}),
        ("EstimateOptions", _types.EstimateOptions, set()),
        ("Config", _types.ConfigKeywords, {"timeout"}),
    ],
)
def test_every_option_is_a_keyword_for_checkers_and_none_is_made_up(name: str, keywords: Any, own: set[str]) -> None:
    assert keywords.__required_keys__ | keywords.__optional_keys__ == set(_native.field_names(name)) | own


def test_every_setting_of_a_tool_loop_is_a_keyword() -> None:
    fields = set(_native.field_names("LoopOptions"))
    assert fields and fields == set(_tools.SETTINGS.values()) - {"approve"}
    assert set(_tools.SETTINGS) == _call.LOOP
    assert set(_tools.SETTINGS) <= _types.CompletionKeywords.__optional_keys__


def test_every_field_of_a_tool_crosses_the_border() -> None:
    schema: dict[str, Any] = {"type": "object"}
    tool = ossai.RunnableTool(
        lambda value: value, name="x", description="x", input_schema=schema, output_schema=schema, timeout=1, strict=True
    )
    assert set(tool._spec()) == set(_native.field_names("ToolSpec"))


def test_every_field_of_an_error_is_an_attribute() -> None:
    fields = set(_native.field_names("Error"))
    assert fields and fields <= annotations(ossai.OssaiError)
