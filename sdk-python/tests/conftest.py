"""A scripted upstream, as the conformance cases have it, for every test that wants one."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

# A shell that starts a job in the background lets it ignore Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _binary() -> str:
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return os.environ.get("OSSAI_SCRIPTED_UPSTREAM", str(target / "debug/scripted-upstream"))


class Script:
    """One scripted upstream: its address and what has come to it."""

    def __init__(self, control: str, script: dict[str, Any]) -> None:
        self._control = control
        answer = self._ask("POST", "/scripts", script)
        self.id: str = answer["id"]
        self.url: str = answer["base_url"]

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._control + path, data, method=method)
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)

    @property
    def config(self) -> dict[str, Any]:
        """A configuration whose OpenAI is this upstream."""
        return {
            "providers": {"openai": {"base_url": self.url + "/v1", "api_key": "sk-canary", "api": "openai_chat"}},
            "retry": {"base_ms": 1, "throttle_base_ms": 1},
        }

    def reached(self, requests: int) -> None:
        assert self._ask("GET", f"/scripts/{self.id}/wait?requests={requests}&timeout_ms=10000")["reached"]

    def outcomes(self) -> list[str]:
        """How the responses ended, once all have."""
        log = self._ask("GET", f"/scripts/{self.id}/wait?settled=1&timeout_ms=10000")["log"]
        return [entry.get("outcome", "under way") for entry in log["requests"]]

    def requests(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = self._ask("GET", f"/scripts/{self.id}/log")["requests"]
        return requests


@pytest.fixture(scope="session")
def control() -> Iterator[str]:
    process = subprocess.Popen([_binary()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    yield json.loads(process.stdout.readline())["control"]
    process.stdin.close()
    process.stdout.close()
    process.wait(10)


@pytest.fixture
def upstream(control: str) -> Any:
    """``upstream(*responses, **script)``: a script with these responses."""

    def start(*responses: dict[str, Any], **script: Any) -> Script:
        return Script(control, {"responses": list(responses), **script})

    return start


def says(text: str, **response: Any) -> dict[str, Any]:
    return {"body": {"openai_chat": {"text": text}}, **response}


def streams(*deltas: str, **response: Any) -> dict[str, Any]:
    return {"body": {"openai_chat_stream": {"deltas": list(deltas)}}, **response}


def hangs() -> dict[str, Any]:
    return {"body": {"openai_chat": {"text": "never"}}, "stall_after": {"head": 10}}


MODEL = "openai/gpt-4o-mini"
