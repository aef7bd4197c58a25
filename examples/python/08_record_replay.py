"""Answers out of a file: no key, no network, no cost. ``RECORD=1`` asks the provider instead, and writes the file anew."""

import os
from pathlib import Path

import ossai

CASSETTE = Path(__file__).parent.parent / "cassettes" / "sky.json"
QUESTION = "Why is the sky blue?"

with ossai.Client(cassette={"path": str(CASSETTE), "mode": "record" if os.environ.get("RECORD") else "replay"}) as client:
    # On the file the first try meets a 429; the retry runs as with a provider.
    answer = client.complete(model="openai/gpt-4o-mini", messages=QUESTION)
    print(f"{answer.text} ({len(answer.attempts)} tries)")

    for event in client.stream(model="openai/gpt-4o-mini", messages=QUESTION):
        if event.type == "text_delta":
            print(event.text, end="|")
    print()

    # What is not on it is an error that says in what it differs.
    try:
        client.complete(model="openai/gpt-4o-mini", messages="Why is the grass green?")
    except ossai.InvalidStateError as error:
        print(error)
