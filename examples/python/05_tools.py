"""Let the model call functions. Set OPENAI_API_KEY to ask a real model; without it what the model would be told is shown."""

import json
import os
from dataclasses import dataclass
from typing import Annotated

import ossai


@dataclass
class Weather:
    city: str
    sky: str


@ossai.tool(capabilities=["read"])
def weather(city: Annotated[str, "The city's name."]) -> Weather:
    """The weather of a city."""
    print(f"weather runs for {city}")
    return Weather(city, "rain")


def approve(call: ossai.ToolContext) -> bool:
    """Asked before each handler."""
    return "read" in call.tool.capabilities


print(json.dumps(weather.definition(), indent=2))
if "OPENAI_API_KEY" in os.environ:
    with ossai.Client() as client:
        answer = client.complete(
            model="openai/gpt-4o-mini",
            messages="Do I need an umbrella in Oslo?",
            tools=[weather],
            approve=approve,
        )
    print(answer.text)
    if answer.tool_run is not None:
        for n, turn in enumerate(answer.tool_run.turns, 1):
            print(f"turn {n}: {turn.cost.total} nUSD")
    print(f"in all: {answer.cost.total} nUSD")
