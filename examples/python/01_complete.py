"""Ask once and see what came of it. `local/extract` is built in and offline; set OSSAI_MODEL to ask another."""

import os

import ossai

with ossai.Client() as client:
    answer = client.complete(
        model=os.environ.get("OSSAI_MODEL", "local/extract"),
        messages="Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\nWhat bounds a cache?",
        max_tokens=200,
    )
print(answer.text)
print(answer.usage.total_tokens, "tokens,", answer.cost.usd, "USD,", answer.cache.status)
