"""Measures one thing about one Python client and prints it as a line of JSON, as bench/src/bin/clients does for Rust's.

    clients.py MEASURE CLIENT --url http://HOST:PORT [--at N] [--seconds S] [--bytes N]

MEASURE: calls (CPU and throughput, asyncio), burst (streams of 2,000 events), hit (look-ups in the memory cache), import (time, and
resident memory after it). CLIENT: openai-python, litellm, liter-llm, ossai-python.
"""

import argparse
import asyncio
import itertools
import json
import os
import pathlib
import re
import sys
import time

MODEL = "gpt-4o-mini"
WORDS = "Why is the sky blue, and why is it red in the evening? Answer in two sentences. "
EVENTS = 2_000
LOOK_UPS = 5_000


def openai_python(base):
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base, api_key="sk-bench")

    async def call(text):
        answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
        return len(answer.choices[0].message.content)

    async def stream(text):
        events = 0
        chunks = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": text}], stream=True, stream_options={"include_usage": True}
        )
        async for chunk in chunks:
            events += bool(chunk.choices and chunk.choices[0].delta.content)
        return events

    return call, stream


def litellm(base):
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price table is not fetched
    import litellm

    litellm.REPEATED_STREAMING_CHUNK_LIMIT = EVENTS + 1  # equal events are what is measured here
    litellm.suppress_debug_info = True
    at = {"model": f"openai/{MODEL}", "api_base": base, "api_key": "sk-bench"}

    async def call(text):
        answer = await litellm.acompletion(messages=[{"role": "user", "content": text}], **at)
        return len(answer.choices[0].message.content)

    async def stream(text):
        events = 0
        chunks = await litellm.acompletion(messages=[{"role": "user", "content": text}], stream=True, stream_options={"include_usage": True}, **at)
        async for chunk in chunks:
            events += bool(chunk.choices and chunk.choices[0].delta.content)
        return events

    return call, stream


def liter_llm(base):
    import liter_llm

    client = liter_llm.create_client("sk-bench", base_url=base)

    def request(text):
        return liter_llm.ChatCompletionRequest.from_json(json.dumps({"model": f"openai/{MODEL}", "messages": [{"role": "user", "content": text}]}))

    async def call(text):
        answer = await liter_llm.chat(client, request(text))
        return len(answer.choices[0].message.content.text)

    async def stream(text):
        events = 0
        async for chunk in liter_llm.chat_stream(client, request(text)):
            events += bool(chunk.choices and chunk.choices[0].delta.content)
        return events

    return call, stream


def ossai_python(base, *, store=False):
    import ossai

    config = {
        "providers": {"openai": {"base_url": base, "api_key": "sk-bench", "api": "openai_chat"}},
        "coalesce": "all",
        "cache": {"enabled": store, "store": "all"},
    }
    client = ossai.AsyncClient(config, environment=False)

    async def call(text):
        answer = await client.complete(model=f"openai/{MODEL}", messages=text)
        return len(answer.text)

    async def stream(text):
        events = 0
        async for event in client.stream(model=f"openai/{MODEL}", messages=text):
            events += event.type == "text_delta" and event.text != ""
        return events

    return call, stream


CLIENTS = {"openai-python": openai_python, "litellm": litellm, "liter-llm": liter_llm, "ossai-python": ossai_python}
MODULES = {"openai-python": "openai", "litellm": "litellm", "liter-llm": "liter_llm", "ossai-python": "ossai"}
ASKED = itertools.count(1)


def prompt(size):
    """One of that size that was never asked before, so that nothing can be shared or remembered."""
    return (f"{next(ASKED):020d} " + WORDS * (size // len(WORDS) + 1))[: max(size, 20)]


def resident_mb():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6


async def load(call, at, size, seconds):
    end = time.perf_counter() + seconds
    calls = 0

    async def caller():
        nonlocal calls
        while time.perf_counter() < end:
            await call(prompt(size))
            calls += 1

    await asyncio.gather(*(caller() for _ in range(at)))
    return calls


async def calls(call, args):
    await load(call, args.at, args.bytes, args.seconds / 5)
    began, used = time.perf_counter(), time.process_time()
    made = await load(call, args.at, args.bytes, args.seconds)
    spent, wall = time.process_time() - used, time.perf_counter() - began
    return {"at": args.at, "bytes": args.bytes, "calls": made, "cpu_us": spent * 1e6 / made, "per_s": made / wall, "resident_mb": resident_mb()}


async def burst(stream, args):
    for _ in range(2):
        events = await stream(prompt(args.bytes))
        if events != EVENTS:
            raise SystemExit(f"{events} events, expected {EVENTS}")
    events, began, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < args.seconds:
        events += await stream(prompt(args.bytes))
    spent, wall = time.process_time() - used, time.perf_counter() - began
    return {"cpu_us": spent * 1e6 / events, "per_s": events / wall}


async def hit(call, args):
    text = prompt(args.bytes)
    for _ in range(500):
        await call(text)
    began, used = time.perf_counter(), time.process_time()
    for _ in range(LOOK_UPS):
        await call(text)
    spent, wall = time.process_time() - used, time.perf_counter() - began
    return {"bytes": args.bytes, "cpu_us": spent * 1e6 / LOOK_UPS, "wall_us": wall * 1e6 / LOOK_UPS}


def measured(args):
    if args.measure == "import":
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        before, began = resident_mb(), time.perf_counter()
        __import__(MODULES[args.client])
        return {"wall_ms": (time.perf_counter() - began) * 1e3, "resident_mb": resident_mb() - before}
    base = args.url + {"burst": "/burst", "hit": "/kb"}.get(args.measure, "") + "/v1"
    opened = ossai_python(base, store=True) if args.measure == "hit" else CLIENTS[args.client](base)
    of = {"calls": (calls, opened[0]), "burst": (burst, opened[1]), "hit": (hit, opened[0])}
    work, ask = of[args.measure]
    return asyncio.run(work(ask, args))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("measure", choices=["calls", "burst", "hit", "import"])
    parser.add_argument("client", choices=list(CLIENTS))
    parser.add_argument("--url", default="http://127.0.0.1:8900")
    parser.add_argument("--at", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--bytes", type=int, default=330)
    args = parser.parse_args()
    if args.measure == "hit" and args.client != "ossai-python":
        parser.error("hit: expected ossai-python, whose cache it is")
    print(json.dumps({"measure": args.measure, "client": args.client} | measured(args)))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
