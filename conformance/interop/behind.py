"""Runs a command against `ossai serve` in front of the scripted upstream, with keys required.

Usage: behind.py OSSAI SCRIPTED_UPSTREAM COMMAND…
The command gets three more arguments: the server's address, a key for it, and a file with the scenarios' control addresses.
Each scenario is a provider of its name; the scripts are below.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request


def failing(status, body):
    return {"default": {"status": status, "body": body}}


def cut(body, event):
    return {"default": {"body": body, "close_after": {"event": event}}}


SCENARIOS = {
    "anthropic_messages": {
        "a-cut": cut({"anthropic_stream": {"deltas": ["Hel", "lo"]}}, 4),
        "a-down": failing(529, {"anthropic_error": {"type": "overloaded_error", "message": "Overloaded"}}),
        "a-limit": failing(429, {"anthropic_error": {"type": "rate_limit_error", "message": "slow down"}}),
    },
    "openai_responses": {
        "r-cut": cut({"openai_responses_stream": {"deltas": ["Hel", "lo"]}}, 6),
        "r-down": failing(503, {"openai_error": {"message": "down"}}),
        "r-limit": failing(429, {"openai_error": {"message": "slow down"}}),
    },
}


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main():
    ossai, upstream, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        scripts = subprocess.Popen([upstream], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        server = None
        try:
            control = json.loads(scripts.stdout.readline())["control"]
            providers, logs = {}, {}
            for api, scenarios in SCENARIOS.items():
                for name, script in scenarios.items():
                    made = post(f"{control}/scripts", script)
                    providers[name] = {"api": api, "base_url": made["base_url"] + "/v1", "api_key": "sk-upstream"}
                    logs[name] = f"{control}/scripts/{made['id']}/log"
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                bind = f"127.0.0.1:{free.getsockname()[1]}"
            data = str(pathlib.Path(folder, "data"))
            config = pathlib.Path(folder, "serve.json")
            retry = {"base_ms": 1, "throttle_base_ms": 1}
            config.write_text(json.dumps({"client": {"providers": providers, "retry": retry}}))
            control_file = pathlib.Path(folder, "logs.json")
            control_file.write_text(json.dumps(logs))
            clean = {name: value for name, value in os.environ.items() if not name.startswith("OSSAI_")}
            clean["OSSAI_DATA_DIR"] = data
            made = subprocess.run([ossai, "keys", "create", "--json"], env=clean, capture_output=True, text=True, check=True)
            key = json.loads(made.stdout)["key"]
            log = open(pathlib.Path(folder, "serve.log"), "w+")
            serve = [ossai, "serve", "--config", str(config), "--bind", bind, "--require-keys"]
            server = subprocess.Popen(serve, env=clean, stdout=subprocess.DEVNULL, stderr=log)
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://{bind}/readyz", timeout=1).close()
                    break
                except OSError:
                    if server.poll() is not None:
                        log.seek(0)
                        sys.exit(f"the server did not start: {log.read()}")
                    time.sleep(0.1)
            sys.exit(subprocess.run([*command, f"http://{bind}", key, str(control_file)], check=False).returncode)
        finally:
            if server:
                server.terminate()
                server.wait(timeout=30)
            scripts.stdin.close()
            scripts.wait(timeout=30)


main()
