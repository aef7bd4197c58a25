"""Print an answer as it is written; the last event carries the whole of it."""

import asyncio
import os

import ossai


async def main() -> None:
    async with ossai.AsyncClient() as client:
        stream = client.stream(
            model=os.environ.get("OSSAI_MODEL", "local/extract"),
            messages="Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\nWhat bounds a cache?",
        )
        async for event in stream:
            if event.type == "text_delta":
                print(event.text, end="", flush=True)
            elif event.type == "end":
                print(f"\n[{event.completion.usage.output_tokens} output tokens]")


asyncio.run(main())
