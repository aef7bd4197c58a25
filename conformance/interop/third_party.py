"""Direct calls of `ossai ask` against a third-party OpenAI-compatible server: LiteLLM's proxy with mock responses.

Usage: third_party.py OSSAI BASE_URL
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

OSSAI, BASE = sys.argv[1], sys.argv[2].rstrip("/")
FAILED = []


def ask(*arguments, key="sk-interop"):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "config.json")
        config.write_text(json.dumps({"providers": {"proxy": {"base_url": f"{BASE}/v1", "api_key": key}}}))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OSSAI_")}
        return subprocess.run(
            [OSSAI, "ask", "--config", str(config), *arguments, "Say hello."],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=clean,
        )


def check(promise, good, detail=""):
    print(f"ok    {promise}" if good else f"FAIL  {promise}: {detail}")
    if not good:
        FAILED.append(promise)


done = ask("-m", "proxy/mock", "--json")
answer = json.loads(done.stdout) if done.returncode == 0 else {}
check("a completion arrives whole", answer.get("text") == "Hello from the mock.", done.stdout + done.stderr)
check("its usage is read", answer.get("usage", {}).get("output_tokens", 0) > 0, str(answer.get("usage")))
check("it stopped by itself", answer.get("finish_reason") == "stop", str(answer.get("finish_reason")))

done = ask("-m", "proxy/mock", "--jsonl")
events = [json.loads(line) for line in done.stdout.splitlines()]
text = "".join(event.get("text", "") for event in events if event["type"] == "text_delta")
check("a stream arrives in pieces", sum(event["type"] == "text_delta" for event in events) > 1, done.stdout + done.stderr)
check("its pieces are the answer", text == "Hello from the mock.", text)
check("it ends with the whole answer", bool(events) and events[-1]["type"] == "end", done.stdout)

for promise, arguments, key, kinds in [
    # Without a database the proxy answers a wrong key with 400.
    ("a wrong key is refused", ["-m", "proxy/mock"], "sk-wrong", {"authentication", "invalid_request"}),
    ("an unknown model is an error of the request", ["-m", "proxy/none"], "sk-interop", {"invalid_request", "not_found"}),
    ("a rate limit is one after its tries", ["-m", "proxy/limited"], "sk-interop", {"rate_limited"}),
]:
    done = ask(*arguments, "--json", key=key)
    try:
        error = json.loads(done.stderr.splitlines()[-1])["error"]
    except (ValueError, IndexError, KeyError):
        error = {}
    check(promise, done.returncode != 0 and error.get("kind") in kinds, done.stdout + done.stderr)
    check(f"{promise}: its status and tries are there", error.get("http_status") is not None and error.get("attempts"), str(error))
sys.exit(bool(FAILED))
