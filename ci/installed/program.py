"""What a user of the installed Python package does, with no key, and then before a server (`ci/with-upstream`) if the environment names one."""

import asyncio
import os
import platform
import sys
import time

began = time.perf_counter()
import ossai  # noqa: E402

took = (time.perf_counter() - began) * 1000
assert "site-packages" in ossai.__file__, ossai.__file__

ask = {"model": "local/extract", "messages": "Context:\nThe sky is blue.\n\nWhat colour is the sky?", "temperature": 0}
with ossai.Client(environment=False) as client:
    assert "blue" in client.complete(**ask).text
    assert client.complete(**ask).cache.status == "hit"
    assert list(client.stream(**ask))[-1].type == "end"
    assert client.count_text("one two three", model="openai/gpt-4o").tokens == 3
    try:
        client.complete(model="", messages="")
    except ossai.InvalidRequestError:
        pass
    else:
        raise AssertionError("an empty model is taken")


async def main():
    async with ossai.AsyncClient(environment=False) as client:
        assert "blue" in (await client.complete(**ask)).text


asyncio.run(main())
did = "local/extract"

if "OPENAI_BASE_URL" in os.environ:
    seen = []

    @ossai.tool
    def colour(of: str) -> str:
        """The colour of something."""
        seen.append(of)
        return "blue"

    with ossai.Client() as client:
        answer = client.complete(model="openai/gpt-4o-mini", messages="What colour is the sky?", tools=[colour])
        assert answer.text == "It is blue." and seen == ["sky"], (answer.text, seen)
        text = "".join(event.text for event in client.stream(model="openai/gpt-4o-mini", messages="And grass?") if event.type == "text_delta")
        assert text == "It is green.", text
    did += ", a tool's handler and a stream over HTTP"

libc = "musl" if any("musl" in tag for tag in os.listdir("/lib") if tag.startswith("ld-")) and platform.libc_ver()[0] != "glibc" else "glibc"
print(f"ok Python {sys.version.split()[0]} on {platform.machine()} with {libc}: {did}; import {took:.1f} ms")
