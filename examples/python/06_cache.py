"""The same question twice: the second answer comes out of memory, and fifty at once share one flight."""

import asyncio

import ossai

QUESTION = "The memory cache is looked up on the caller's thread.\n\nWhere is the memory cache looked up?"


async def main() -> None:
    async with ossai.AsyncClient() as client:
        for _ in range(2):
            answer = await client.complete(model="local/extract", messages=QUESTION)
            print(answer.cache.status)
        client.clear_cache()
        await asyncio.gather(*(client.complete(model="local/extract", messages=QUESTION) for _ in range(50)))
        stats = client.stats()
        print(f"52 calls: {stats.flights} flights, {stats.joined} joined, {stats.cache_hits} from the cache")


asyncio.run(main())
