"""The official `openai` package for Python against `/v1/responses` of `ossai serve`: one line per check, exit status 1
when one fails. A function's call goes through a second server, before a provider that speaks chat completions.

Usage: responses_python.py http://127.0.0.1:8080 OSSAI
"""

import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import openai

BASE, OSSAI = sys.argv[1].rstrip("/"), sys.argv[2]
CLIENT = openai.OpenAI(base_url=f"{BASE}/v1", api_key="unused", max_retries=0, timeout=30)
MODEL = "local/extract"
PROMPT = "The sky is blue because air scatters blue light. Grass is green.\n\nWhy is the sky blue?"
FAILED = []


def check(promise):
    """Runs the function at once; what it raises fails the check."""

    def run(body):
        try:
            body()
            print(f"ok    responses: {promise}")
        except Exception as error:  # noqa: BLE001
            FAILED.append(promise)
            print(f"FAIL  responses: {promise}: {type(error).__name__}: {error}")
        return body

    return run


def refused(kind, status, code=..., param=..., **values):
    try:
        CLIENT.responses.create(**{"model": MODEL, "input": PROMPT, **values})
    except kind as error:
        assert error.status_code == status and error.request_id, error
        assert error.response.headers["x-should-retry"] == "false"
        assert code is ... or error.code == code, error.code
        assert param is ... or error.param == param, error.param
        return
    raise AssertionError(f"{values} was not refused")


@check("an answer has text, status and usage")
def _():
    answer = CLIENT.responses.create(model=MODEL, input=PROMPT, temperature=0, instructions="Answer briefly.", store=True)
    assert "scatters blue light" in answer.output_text, answer.output_text
    assert answer.status == "completed" and answer.store is False and answer.error is None
    assert answer.instructions == "Answer briefly." and answer.output[0].role == "assistant"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0


@check("raw events come in order and say what the whole answer says")
def _():
    whole = CLIENT.responses.create(model=MODEL, input=PROMPT, temperature=0)
    events = list(CLIENT.responses.create(model=MODEL, input=PROMPT, temperature=0, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ], kinds
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ], kinds
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage == whole.usage


@check("the SDK's own accumulator gives the final response")
def _():
    with CLIENT.responses.stream(model=MODEL, input=PROMPT) as stream:
        for _event in stream:
            pass
        final = stream.get_final_response()
    assert "scatters" in final.output_text and final.status == "completed"


@check("max_output_tokens makes the answer incomplete")
def _():
    answer = CLIENT.responses.create(model=MODEL, input=PROMPT, max_output_tokens=3)
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"
    events = list(CLIENT.responses.create(model=MODEL, input=PROMPT, max_output_tokens=3, stream=True))
    assert events[-1].type == "response.incomplete"


@check("a conversation of the SDK's own items is taken")
def _():
    first = CLIENT.responses.create(model=MODEL, input=PROMPT)
    answer = CLIENT.responses.create(
        model=MODEL,
        input=[
            {"role": "developer", "content": "Answer briefly."},
            {"role": "user", "content": [{"type": "input_text", "text": PROMPT}]},
            *first.output,
            {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "Blue light scatters most."},
            {"role": "user", "content": "Which light scatters most?"},
        ],
        tools=[{"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}, "strict": False}],
        tool_choice="auto",
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        metadata={"a": "b"},
    )
    assert "scatter" in answer.output_text.lower() and answer.metadata == {"a": "b"}


@check("bad values are refused by name")
def _():
    for param, values in {
        "temperature": {"temperature": 3},
        "input": {"input": []},
        "input[0].content[0].text": {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
        "tools[0].name": {"tools": [{"type": "function", "name": "no spaces", "parameters": {}, "strict": False}]},
        "previous_response_id": {"previous_response_id": "resp_1"},
        "conversation": {"conversation": "conv_1"},
        "background": {"background": True},
        "prompt": {"prompt": {"id": "pmpt_1"}},
        "text.format.schema": {"text": {"format": {"type": "json_schema", "name": "a"}}},
    }.items():
        refused(openai.BadRequestError, 400, param=param, **values)


@check("an unknown model is not found, streamed or not")
def _():
    for model in (f"{MODEL}-nope", "nobody/nope", "gpt-4o"):
        for stream in (False, True):
            refused(openai.NotFoundError, 404, "model_not_found", "model", model=model, stream=stream)


CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
SEEN = []


class Provider(http.server.BaseHTTPRequestHandler):
    """Chat completions: calls the function first, then says what it gave."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        SEEN.append(body)
        results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        say = {"content": f"It is {results[0]}."} if results else {"content": None, "tool_calls": [CALL]}
        reason = "stop" if results else "tool_calls"
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        answer = {"id": "chatcmpl-1", "created": 1, "model": "m", "usage": usage}
        if body.get("stream"):
            calls = [{"index": 0, **call} for call in say.pop("tool_calls", [])]
            delta = {"role": "assistant", **say, **({"tool_calls": calls} if calls else {})}
            choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
            data = f"data: {json.dumps({**answer, 'object': 'chat.completion.chunk', 'choices': choices})}\n\ndata: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            choices = [{"index": 0, "message": {"role": "assistant", **say}, "finish_reason": reason}]
            data, kind = json.dumps({**answer, "object": "chat.completion", "choices": choices}), "application/json"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def with_tools(client):
    """A loop with one function, through the SDK's own objects."""
    tools = [{"type": "function", "name": "weather", "strict": True, "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
    }}]
    conversation = [{"role": "user", "content": "What is the weather in Paris?"}]
    for streamed in (False, True):
        items = list(conversation)
        for _ in range(2):
            if streamed:
                with client.responses.stream(model="openai/m", input=items, tools=tools) as stream:
                    kinds = [event.type for event in stream]
                    answer = stream.get_final_response()
            else:
                answer = client.responses.create(model="openai/m", input=items, tools=tools)
            items += answer.output
            for item in answer.output:
                if item.type == "function_call":
                    assert json.loads(item.arguments) == {"city": "Paris"} and item.name == "weather"
                    assert not streamed or "response.function_call_arguments.done" in kinds, kinds
                    items.append({"type": "function_call_output", "call_id": item.call_id, "output": "18 degrees"})
        assert answer.output_text == "It is 18 degrees.", answer.output_text
        said = SEEN[-1]["messages"]
        assert [message["role"] for message in said] == ["user", "assistant", "tool"], said
        assert said[1]["content"] is None and said[1]["tool_calls"] == [CALL], said[1]


@check("a function is called and its result taken, streamed or not")
def _():
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        upstream = {"base_url": f"http://127.0.0.1:{provider.server_port}/v1", "api_key": "sk-interop"}
        config = pathlib.Path(folder, "config.json")
        config.write_text(json.dumps({"client": {"providers": {"openai": upstream}}}))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OSSAI_")}
        server = subprocess.Popen(
            [OSSAI, "serve", "--config", str(config), "--bind", f"127.0.0.1:{port}", "--data-dir", f"{folder}/data"],
            env=clean, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            with_tools(openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="unused", max_retries=0, timeout=30))
        finally:
            server.terminate()
            server.wait()


print(f"openai {openai.__version__}, responses: {len(FAILED)} failed")
sys.exit(1 if FAILED else 0)
