"""A tool loop of the official `anthropic` package over `ossai serve`, in front of a scripted vendor.

Usage: anthropic_tools.py OSSAI SCRIPTED_UPSTREAM
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import anthropic

OSSAI, UPSTREAM = sys.argv[1:3]
TOOL = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = {"id": "toolu_1", "name": "weather", "arguments": '{"city": "Oslo"}'}
THINKING = {"text": "Hm.", "signature": "c2ln"}
CALLING = {"thinking": THINKING, "redacted_thinking": "b3BhcXVl", "text": "Let me look.", "tool_calls": [CALL]}
STREAMED = {"thinking": THINKING, "deltas": ["Let me ", "look."], "tool_calls": [CALL | {"pieces": 3}]}
FAILED = []


def check(promise, good, detail=""):
    print(f"ok    {promise}" if good else f"FAIL  {promise}: {detail}")
    if not good:
        FAILED.append(promise)


def control(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{CONTROL}{path}", data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def loop(client, stream):
    """Asks, runs the tool, and sends everything back; the last answer and what the vendor got."""
    messages = [{"role": "user", "content": "How is the weather in Oslo?"}]
    ask = {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 2000, "tools": [TOOL]}
    while True:
        if stream:
            with client.messages.stream(**ask, messages=messages) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**ask, messages=messages)
        if answer.stop_reason != "tool_use":
            return answer, messages
        messages.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"Rain in {call.input['city']}."} for call in calls
        ]
        messages.append({"role": "user", "content": results})


def run(provider, bodies, stream):
    """One loop against a vendor that says these things."""
    script = control("/scripts", {"responses": [{"body": body} for body in bodies]})
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "serve.json")
        providers = {"anthropic": {"base_url": script["base_url"], "api_key": "k"} | provider}
        config.write_text(json.dumps({"bind": "127.0.0.1:0", "data_dir": folder, "client": {"providers": providers}}))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OSSAI_")}
        server = subprocess.Popen(
            [OSSAI, "serve", "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean
        )
        try:
            line = server.stdout.readline().split()
            assert line, server.stderr.read()
            answer, messages = loop(anthropic.Anthropic(base_url=line[-1], api_key="unused", timeout=30), stream)
        finally:
            server.terminate()
            server.communicate(timeout=30)
    return answer, messages, [entry["body"] for entry in control(f"/scripts/{script['id']}/log")["requests"]]


upstream = subprocess.Popen([UPSTREAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
try:
    CONTROL = json.loads(upstream.stdout.readline())["control"]
    for name, stream, bodies in [
        ("whole", False, [{"anthropic": CALLING}, {"anthropic": {"text": "It rains."}}]),
        ("streamed", True, [{"anthropic_stream": STREAMED}, {"anthropic_stream": {"deltas": ["It ", "rains."]}}]),
    ]:
        answer, messages, sent = run({}, bodies, stream)
        check(f"{name}: a tool loop ends with the answer", answer.content[0].text == "It rains.", answer)
        kinds = [block.type for block in messages[1]["content"]]
        wanted = ["thinking", *(["redacted_thinking"] if not stream else []), "text", "tool_use"]
        check(f"{name}: thinking, text and call come in their order", kinds == wanted, kinds)
        check(f"{name}: two requests were sent", len(sent) == 2, len(sent))
        back = sent[-1]["messages"]
        thought = back[1]["content"][0]
        check(f"{name}: signed thinking goes back", thought.get("signature") == "c2ln", thought)
        call = back[1]["content"][-1]
        check(f"{name}: the call goes back with its input", call.get("input") == {"city": "Oslo"}, call)
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain in Oslo."}
        check(f"{name}: its result goes back", back[2]["content"] == [result], back[2])
        check(f"{name}: the tool is the caller's", sent[0]["tools"] == [TOOL], sent[0].get("tools"))
    for name, stream, bodies in [
        ("another vendor", False, [
            {"openai_chat": {"text": "Let me look.", "tool_calls": [CALL]}}, {"openai_chat": {"text": "It rains."}},
        ]),
        ("another vendor, streamed", True, [
            {"openai_chat_stream": {"deltas": ["Let me ", "look."], "tool_calls": [CALL | {"pieces": 3}]}},
            {"openai_chat_stream": {"deltas": ["It ", "rains."]}},
        ]),
    ]:  # fmt: skip
        answer, messages, sent = run({"kind": "openai", "api": "openai_chat"}, bodies, stream)
        check(f"{name}: a tool loop ends with the answer", answer.content[0].text == "It rains.", answer)
        call, result = sent[-1]["messages"][-2:]
        check(f"{name}: the call goes back in its form", call["tool_calls"][0]["id"] == "toolu_1", call)
        check(f"{name}: the result, too", (result["role"], result["content"]) == ("tool", "Rain in Oslo."), result)
finally:
    upstream.stdin.close()
    upstream.wait(timeout=30)

print(f"anthropic {anthropic.__version__}, tools: {len(FAILED)} failed")
sys.exit(1 if FAILED else 0)
