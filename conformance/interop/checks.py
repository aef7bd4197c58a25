"""What the Python scripts beside this one share: checks that print a line each, and what the scripted upstream saw."""

import json
import sys
import urllib.request

BASE = sys.argv[1].rstrip("/")
KEY = sys.argv[2] if len(sys.argv) > 2 else "unused"
LOGS = json.load(open(sys.argv[3])) if len(sys.argv) > 3 else {}
PROMPT = "The sky is blue because air scatters blue light. Grass is green.\n\nWhy is the sky blue?"
FAILED = []


def check(promise):
    """Runs the function at once; what it raises fails the check."""

    def run(body):
        try:
            body()
            print(f"ok    {promise}")
        except Exception as error:  # noqa: BLE001
            FAILED.append(promise)
            print(f"FAIL  {promise}: {type(error).__name__}: {error}")
        return body

    return run


def raised(kind, call):
    """The error of exactly this kind that `call` ends in."""
    try:
        call()
    except kind as error:
        assert type(error) is kind, type(error)
        return error
    raise AssertionError("nothing was raised")


def requests(scenario):
    """What the scripted upstream got for a scenario."""
    with urllib.request.urlopen(LOGS[scenario], timeout=10) as answer:
        return json.load(answer)["requests"]


def end(name):
    print(f"{name}: {len(FAILED)} failed")
    sys.exit(1 if FAILED else 0)
