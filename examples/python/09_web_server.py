"""A web server that streams answers to browsers as server-sent events. A reader who leaves ends the call upstream.

    pip install ossai starlette uvicorn
    python 09_web_server.py --listen 8080
    curl -N 'http://127.0.0.1:8080/?q=What+bounds+a+cache%3F'

Without --listen it asks itself once and ends.
"""

import argparse
import asyncio
import contextlib
import json
import os
import urllib.request
from collections.abc import AsyncIterator
from urllib.parse import quote

import ossai
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

#: Opening it starts nothing: the first call does.
client = ossai.AsyncClient()


def event(kind: str, data: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


async def events(question: str) -> AsyncIterator[str]:
    # Leaving the block cancels the call: at its end, and when the server throws this generator away.
    async with client.stream(
        model=os.environ.get("OSSAI_MODEL", "local/extract"),
        messages=f"Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\n{question}",
        tags={"route": "/"},
    ) as stream:
        try:
            async for text in stream.text():
                yield event("text", text)
            yield event("done", {"output_tokens": stream.completion.usage.output_tokens} if stream.completion else {})
        except ossai.OssaiError as error:  # the response has begun: the reader hears it as an event
            yield event("error", error.kind)


async def answer(request: Request) -> StreamingResponse:
    return StreamingResponse(events(request.query_params.get("q", "")), media_type="text/event-stream")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await client.close(patience=10)  # no more requests come by now: then no more calls


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--listen", type=int, help="port")
    port: int | None = arguments.parse_args().listen
    app = Starlette(routes=[Route("/", answer)], lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, port=port or 0, log_level="warning", timeout_graceful_shutdown=10))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    print("listening", address, flush=True)
    if port is None:
        question = f"{address}/?q={quote('What bounds a cache?')}"
        print(await asyncio.to_thread(lambda: urllib.request.urlopen(question).read().decode()))
        server.should_exit = True
    await serving


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
