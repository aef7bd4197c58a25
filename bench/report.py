#!/usr/bin/env python3
"""Reduces the lines of bench/run to medians and spreads, writes them with what they were measured on, and prints the goals.

Usage: bench/report.py LINES ROOT OUT, or bench/report.py RESULT to print an earlier result again.

A ratio is taken within a repetition, where both sides met the same machine, and the median of those is shown with the least and the greatest. Nothing
here fails a build: a slow moment of a shared machine is no fault of the code.
"""
import collections, datetime, json, pathlib, platform, re, statistics, subprocess, sys

KEYS = ["measure", "client", "threads", "at", "bytes", "room", "encoding", "file", "state", "kind"]
# Plain measures that vary with the run and are not part of what was asked for.
FIGURES = ["cpu_us", "per_s", "p50_us", "p95_us", "p99_us", "join_us", "wall_us", "wall_ms", "upstream", "client_ms", "first_answer_ms", "resident_mb", "mb_s", "us",
           "again_us", "us_10k", "us_100k", "ratio", "load_ms", "tokens", "share", "best", "calls", "distinct", "held_mb", "all_mb", "before_mb", "first_mb", "kb_each"]


def versions(root):
    lock = (root / "Cargo.lock").read_text()
    found = dict(re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', lock))
    names = ["ossai", "hyper", "reqwest", "async-openai", "liter-llm", "tokio", "serde_json"]
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    return {name: found.get(name) for name in names} | {"rustc": rustc, "python": platform.python_version()}


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    load = pathlib.Path("/proc/loadavg").read_text().split()[:3]
    return {"cpu": model[1] if model else platform.processor(), "cores": len(re.findall(r"^processor", pathlib.Path("/proc/cpuinfo").read_text(), re.M)),
            "memory_gb": round(int(memory[1]) / 1e6, 1) if memory else None, "system": f"{platform.system()} {platform.release()}",
            "load_at_the_end": load}


def reduce(lines):
    groups = collections.defaultdict(list)
    for line in lines:
        key = {name: line[name] for name in KEYS if name in line}
        if line["measure"] in ("tokens", "tokens-load"):
            key.pop("bytes", None)
        groups[json.dumps(key)].append(line)
    out = []
    for key, rows in groups.items():
        entry = json.loads(key)
        failed = [row["failed"] for row in rows if "failed" in row]
        if failed:
            entry["failed"] = failed
        rows = [row for row in rows if "failed" not in row]
        entry["reps"] = {str(row["rep"]): {name: row[name] for name in FIGURES if name in row and name not in entry} for row in rows}
        for name in FIGURES:
            values = [row[name] for row in rows if name in row and name not in entry]
            if values:
                entry[name] = {"median": round(statistics.median(values), 4), "min": round(min(values), 4), "max": round(max(values), 4)}
        out.append(entry)
    return out


class Results:
    def __init__(self, entries):
        self.entries = entries

    def find(self, **key):
        for entry in self.entries:
            if all(entry.get(name) == value for name, value in key.items()):
                return entry
        return None

    def value(self, figure, **key):
        entry = self.find(**key)
        return entry[figure]["median"] if entry and figure in entry else None

    def ratio(self, figure, ours, theirs):
        """Ours over theirs within each repetition: median, least, greatest."""
        a, b = self.find(**ours), self.find(**theirs)
        if not a or not b:
            return None
        ratios = [a["reps"][rep][figure] / b["reps"][rep][figure] for rep in a["reps"] if rep in b["reps"] and b["reps"][rep].get(figure)
                  and figure in a["reps"][rep]]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def added(self, figure, ours, theirs):
        """Ours less theirs within each repetition: median, least, greatest."""
        a, b = self.find(**ours), self.find(**theirs)
        if not a or not b:
            return None
        more = [a["reps"][rep][figure] - b["reps"][rep][figure] for rep in a["reps"] if figure in a["reps"][rep] and figure in b["reps"].get(rep, {})]
        return (statistics.median(more), min(more), max(more)) if more else None


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Table:
    def __init__(self):
        self.rows, self.met, self.missed = [], 0, 0

    def section(self, title):
        self.rows.append((title, None, None, None, None))

    def row(self, what, measured, ratio, goal, met):
        verdict = "" if goal is None else "not measured" if met is None else "met" if met else "NOT MET"
        self.met += verdict == "met"
        self.missed += verdict == "NOT MET"
        self.rows.append((what, measured, ratio, goal or "", verdict))

    def show(self):
        widths = [max(len(str(row[i])) for row in self.rows if row[1] is not None) for i in range(5)]
        for row in self.rows:
            if row[1] is None:
                print(f"\n{row[0]}")
            else:
                print("  " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
        print(f"\n{self.met} goals met, {self.missed} not met.")


def spread(ratio):
    return "–" if ratio is None else f"{ratio[0]:.2f}x ({ratio[1]:.2f}–{ratio[2]:.2f})"


def at_most(ratio, limit):
    return None if ratio is None else ratio[0] <= limit


def at_least(ratio, limit):
    return None if ratio is None else ratio[0] >= limit


def client_goals(r, table):
    for threads, title in (("default", "Tokio's default runtime"), (1, "runtime on one thread")):
        table.section(f"Call, CPU per call, {title}: ossai without cache, all policies on")
        for at in (1, 16, 64, 256):
            def key(client):
                return {"measure": "calls", "client": client, "threads": threads, "at": at}
            ours = r.value("cpu_us", **key("ossai"))
            for client, goal, check in (("reqwest", "<= 1.25x", 1.25), ("hyper", None, None), ("async-openai", None, None), ("liter-llm", None, None)):
                theirs = r.value("cpu_us", **key(client))
                if theirs is None:
                    continue
                ratio = r.ratio("cpu_us", key("ossai"), key(client))
                met = at_most(ratio, check) if check else None
                if client == "liter-llm" and at == 64:
                    goal, met = "<= 0.56x (1.8x less)", at_most(ratio, 1 / 1.8)
                table.row(f"{at} at once, over {client}", f"{number(ours)} / {number(theirs)} µs", spread(ratio), goal, met)
            ratio = r.ratio("per_s", key("ossai"), key("reqwest"))
            table.row(f"{at} at once, calls/s over reqwest", f"{number(r.value('per_s', **key('ossai')))} / {number(r.value('per_s', **key('reqwest')))}",
                      spread(ratio), None, None)
            stored = r.value("cpu_us", **key("ossai-store"))
            if stored is not None:
                table.row(f"{at} at once, cache on (a miss, stored)", f"{number(stored)} µs", spread(r.ratio("cpu_us", key("ossai-store"), key("reqwest"))),
                          None, None)

    table.section("Memory-cache hit, answer of 1 kB (time per call; CPU in brackets)")
    for size, goal in ((100, None), (2_000, 1.0), (10_000, None), (100_000, 40.0)):
        for client, name in (("ossai", "complete"), ("ossai-lookup", "lookup")):
            key = {"measure": "hit", "client": client, "bytes": size}
            p50, p95, cpu = (r.value(figure, **key) for figure in ("p50_us", "p95_us", "cpu_us"))
            table.row(f"{name}, {size:,} B request", f"p50 {number(p50)}, p95 {number(p95)} ({number(cpu)}) µs",
                      spread(r.ratio("cpu_us", key, {**key, "client": "liter-llm"})) + " of liter-llm", f"<= {goal:g} µs" if goal else None,
                      p50 <= goal if goal and p50 is not None else None)

    for threads, title in (("default", "Tokio's default runtime"), (1, "runtime on one thread")):
        table.section(f"Streaming, 2,000 events as fast as they come, {title}")
        def key(client, measure="burst"):
            return {"measure": measure, "client": client, "threads": threads}
        ours = r.value("per_s", **key("ossai"))
        table.row("events/s", number(ours), "", ">= 900,000/s", None if ours is None else ours >= 900_000)
        for client, goal in (("hyper", None), ("reqwest", 0.95), ("async-openai", None), ("liter-llm", 3)):
            if r.find(**key(client)):
                ratio = r.ratio("per_s", key("ossai"), key(client))
                table.row(f"events/s over {client}", f"{number(ours)} / {number(r.value('per_s', **key(client)))}", spread(ratio), f">= {goal}x" if goal else None,
                          at_least(ratio, goal) if goal else None)
                table.row(f"CPU per event over {client}", f"{number(r.value('cpu_us', **key('ossai')))} / {number(r.value('cpu_us', **key(client)))} µs",
                          spread(r.ratio("cpu_us", key("ossai"), key(client))), None, None)
    table.section("Streaming at one event per millisecond, CPU per event")
    for client, goal in (("hyper", 1.5), ("reqwest", None), ("async-openai", None), ("liter-llm", None)):
        a, b = ({"measure": "paced", "client": name} for name in ("ossai", client))
        ratio = r.ratio("cpu_us", a, b)
        table.row(f"over {client}", f"{number(r.value('cpu_us', **a))} / {number(r.value('cpu_us', **b))} µs", spread(ratio), f"<= {goal}x" if goal else None,
                  at_most(ratio, goal) if goal else None)

    table.section("Shared calls: 1,000 identical calls at once, upstream takes 50 ms")
    for client in ("ossai", "reqwest", "async-openai", "liter-llm"):
        key = {"measure": "identical", "client": client}
        upstream = r.value("upstream", **key)
        table.row(client, f"{number(upstream)} upstream calls, {number(r.value('cpu_us', **key))} µs CPU each, {number(r.value('wall_ms', **key))} ms in all", "",
                  "1 upstream call" if client == "ossai" else None, upstream == 1 if client == "ossai" and upstream is not None else None)
    for at in (1, 10, 100, 1_000, 10_000):
        key = {"measure": "join", "client": "ossai", "at": at}
        joining = r.value("join_us", **key)
        table.row(f"{at:,} waiters: joining; all CPU with task, wake-up and answer", f"{number(joining)}; {number(r.value('cpu_us', **key))} µs each", "",
                  "join <= 3 µs" if at >= 100 else None, joining <= 3 if at >= 100 and joining is not None else None)

    table.section("Growth")
    few, many = ({"measure": "calls", "client": "ossai", "threads": "default", "at": at} for at in (64, 1000))
    ratio = r.ratio("cpu_us", many, few)
    table.row("CPU per call, 1,000 at once over 64", f"{number(r.value('cpu_us', **many))} / {number(r.value('cpu_us', **few))} µs", spread(ratio), "constant (<= 1.25x)",
              at_most(ratio, 1.25))
    few, many = ({"measure": "calls", "client": "reqwest", "threads": "default", "at": at} for at in (64, 1000))
    table.row("the same of reqwest", f"{number(r.value('cpu_us', **many))} / {number(r.value('cpu_us', **few))} µs", spread(r.ratio("cpu_us", many, few)), None, None)
    few, many = ({"measure": "join", "client": "ossai", "at": at} for at in (100, 10_000))
    ratio = r.ratio("join_us", many, few)
    table.row("joining, 10,000 waiters over 100", f"{number(r.value('join_us', **many))} / {number(r.value('join_us', **few))} µs", spread(ratio), "constant (<= 1.25x)",
              at_most(ratio, 1.25))
    for size in (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        a, b = ({"measure": "sizes", "client": client, "bytes": size} for client in ("ossai", "reqwest"))
        table.row(f"CPU per call, prompt of {size:,} B, over reqwest", f"{number(r.value('cpu_us', **a))} / {number(r.value('cpu_us', **b))} µs",
                  spread(r.ratio("cpu_us", a, b)), None, None)
    few, many = ({"measure": "sizes", "client": "ossai", "bytes": size} for size in (1_000_000, 10_000_000))
    ratio = r.ratio("cpu_us", many, few)
    table.row("CPU per call, 10 MB over 1 MB", f"{number(r.value('cpu_us', **many))} / {number(r.value('cpu_us', **few))} µs", spread(ratio), "linear (<= 12x)",
              at_most(ratio, 12))

    table.section("Start-up and memory")
    for client in ("ossai", "hyper", "reqwest", "async-openai", "liter-llm"):
        key = {"measure": "startup", "client": client}
        made = r.value("client_ms", **key)
        goal = client == "ossai"
        table.row(client, f"client {number(made)} ms, first answer {number(r.value('first_answer_ms', **key))} ms, {number(r.value('resident_mb', **key))} MB", "",
                  "client < 2 ms" if goal else None, made < 2 if goal and made is not None else None)
    for client in ("ossai", "ossai-store", "reqwest", "async-openai", "liter-llm"):
        key = {"measure": "calls", "client": client, "threads": "default", "at": 64}
        table.row(f"{client}, after the calls at 64 at once", f"{number(r.value('resident_mb', **key))} MB", "", None, None)


def go_goals(r, table):
    table.section("Go: CPU per call, per stream event and per memory hit (answer of 1 kB)")
    for at in (1, 16, 64):
        def key(client):
            return {"measure": "calls", "client": client, "at": at}
        for client, goal in (("go-http", 1.5), ("openai-go", 1)):
            ratio = r.ratio("cpu_us", key("ossai-go"), key(client))
            table.row(f"call, {at} at once, over {client}", f"{number(r.value('cpu_us', **key('ossai-go')))} / {number(r.value('cpu_us', **key(client)))} µs",
                      spread(ratio), f"<= {goal}x", at_most(ratio, goal))
    for client in ("go-http", "openai-go"):
        a, b = ({"measure": "burst", "client": name} for name in ("ossai-go", client))
        table.row(f"event over {client}", f"{number(r.value('cpu_us', **a))} / {number(r.value('cpu_us', **b))} µs", spread(r.ratio("cpu_us", a, b)), None, None)
    for size in (100, 2_000):
        hit = r.value("cpu_us", measure="hit", client="ossai-go", bytes=size)
        goal = "<= 3 µs" if size == 2_000 else None
        table.row(f"hit, {size:,} B request", f"{number(hit)} µs", "", goal, hit <= 3 if goal and hit is not None else None)


def python_goals(r, table):
    language_goals(r, table, "Python", "ossai-python", ("openai-python", "litellm", "liter-llm"), 30)


def node_goals(r, table):
    language_goals(r, table, "Node", "ossai-node", ("openai-node", "ai-sdk"), None)


def language_goals(r, table, language, ours, peers, import_ms):
    table.section(f"{language}: CPU per call and per stream event, import and what it adds to the memory, a memory hit (answer of 1 kB)")
    for theirs in peers:
        for at in (1, 16, 64):
            a, b = ({"measure": "calls", "client": name, "at": at} for name in (ours, theirs))
            table.row(f"call, {at} at once, over {theirs}", f"{number(r.value('cpu_us', **a))} / {number(r.value('cpu_us', **b))} µs", spread(r.ratio("cpu_us", a, b)), None, None)
        a, b = ({"measure": "burst", "client": name} for name in (ours, theirs))
        table.row(f"stream event over {theirs}", f"{number(r.value('cpu_us', **a))} / {number(r.value('cpu_us', **b))} µs", spread(r.ratio("cpu_us", a, b)), None, None)
        a, b = ({"measure": "import", "client": name} for name in (ours, theirs))
        table.row(f"import, and resident memory, over {theirs}",
                  f"{number(r.value('wall_ms', **a))} / {number(r.value('wall_ms', **b))} ms, {number(r.value('resident_mb', **a))} / {number(r.value('resident_mb', **b))} MB",
                  spread(r.ratio("wall_ms", a, b)), None, None)
    took = r.value("wall_ms", measure="import", client=ours)
    if import_ms:
        table.row("import", f"{number(took)} ms", "", f"< {import_ms} ms", None if took is None else took < import_ms)
    for size in (100, 2000):
        hit = r.value("cpu_us", measure="hit", client=ours, bytes=size)
        table.row(f"memory hit awaited, prompt of {size} B", f"{number(hit)} µs", "", None, None)


def remembered_goals(r, table):
    def percent(share):
        return "–" if share is None else f"{share:.1%}"
    table.section("Hits by tier, one at a time, answer of 10 kB (each in its own process, nothing in the tiers above)")
    for tier, goal in (("memory", 1), ("redis", 10), ("disk", 100)):
        key = {"measure": "tier", "client": f"ossai-{tier}"}
        p50, p95, p99, cpu = (r.value(figure, **key) for figure in ("p50_us", "p95_us", "p99_us", "cpu_us"))
        table.row(tier, f"p50 {number(p50)}, p95 {number(p95)}, p99 {number(p99)} ({number(cpu)}) µs", "", f"p95 <= {goal} ms", None if p95 is None else p95 <= goal * 1e3)
    table.section("What is not asked twice")
    for room, goal in ((100, True), (20, True), (10, False)):
        share, best = (r.value(figure, measure="zipf", room=room) for figure in ("share", "best"))
        name = "the usual memory" if room == 100 else f"a memory for {room} % of the answers"
        table.row(f"warm, {number(r.value('calls', measure='zipf', room=room))} calls on 10,000 questions (Zipf, exponent 1), {name}",
                  f"{number(r.value('upstream', measure='zipf', room=room))} upstream calls", f"{percent(share)} hits; at best {percent(best)}",
                  "> 70 % hits" if goal else None, share > 0.7 if goal and share is not None else None)
    share = r.value("share", measure="duplicates")
    if share is not None:
        at = r.find(measure="duplicates")["at"]
        table.row(f"shared calls alone, {at} callers, 100 questions (Zipf), upstream 50 ms: {number(r.value('calls', measure='duplicates'))} calls",
                  f"{number(r.value('upstream', measure='duplicates'))} upstream calls", percent(share) + " of duplicates", "> 60 % removed", share > 0.6)
    for at in (1, 4, 16, 64):
        share = r.value("share", measure="gather", at=at)
        table.row(f"gathered embeddings, {at} callers, upstream 50 ms: {number(r.value('calls', measure='gather', at=at))} calls",
                  f"{number(r.value('upstream', measure='gather', at=at))} upstream calls", percent(share) + " of calls", "> 50 % saved" if at >= 16 else None,
                  share > 0.5 if at >= 16 and share is not None else None)
    table.section("Budgets in memory: three accounts a call, CPU per call with them less CPU without")
    for at in (1, 64, 1_000):
        a, b = ({"measure": "calls", "client": client, "at": at, "threads": 1} for client in ("ossai-budget", "ossai-no-budget"))
        added = r.added("cpu_us", a, b)
        shown = "–" if added is None else f"{added[0]:+.1f} µs ({added[1]:.1f}–{added[2]:.1f})"
        table.row(f"{at:,} at once", f"{number(r.value('cpu_us', **a))} / {number(r.value('cpu_us', **b))} µs", shown, "< 20 µs", None if added is None else added[0] < 20)
    table.section("Tenants at once, each with a budget on one ledger: resident memory before, after a call of each, after three")
    for client, at, name in (("ossai-turns", 10_000, "64 clients kept, as an orchestrator does"), ("ossai-users", 10_000, "users of one client"),
                             ("ossai-clients", 1_000, "a client each, with its connection")):
        many = {"measure": "tenants", "client": client, "at": at}
        before, first, last, each = (r.value(figure, **many) for figure in ("before_mb", "first_mb", "resident_mb", "kb_each"))
        table.row(f"{at:,}, {name}", f"{number(before)}, {number(first)}, {number(last)} MB; {number(each)} kB each", "" if last is None else f"{last / first:.2f}x",
                  "flat (<= 1.1x)", None if last is None else last <= 1.1 * first)
    few, many = ({"measure": "tenants", "client": "ossai-users", "at": at} for at in (100, 10_000))
    ratio = r.ratio("cpu_us", many, few)
    table.row("CPU per call, 10,000 users over 100", f"{number(r.value('cpu_us', **many))} / {number(r.value('cpu_us', **few))} µs", spread(ratio), "constant (<= 1.25x)",
              at_most(ratio, 1.25))


def token_goals(r, table):
    encodings = sorted({entry["encoding"] for entry in r.entries if "encoding" in entry}, reverse=True)
    for encoding in encodings:
        table.section(f"Token counting, {encoding}, one thread, MB/s")
        for file in ("english", "code", "json", "chat", "rst", "chinese", "japanese", "russian", "arabic"):
            hard = file in ("chinese", "japanese")
            for state in ("cold", "warm"):
                def key(client):
                    return {"measure": "tokens", "encoding": encoding, "file": file, "state": state, "client": client}
                ours = r.value("mb_s", **key("ossai"))
                if ours is None:
                    continue
                goals = {"tiktoken": 20 if state == "warm" else 4 if hard else 8, "gpt-tokenizer": 20 if state == "warm" else 4 if hard else 12}
                for client in ("tiktoken", "gpt-tokenizer"):
                    ratio = r.ratio("mb_s", key("ossai"), key(client))
                    goal = goals[client] if file in ("english", "code", "json", "chat", "chinese", "japanese") else None
                    table.row(f"{file}, {state}, over {client}", f"{number(ours)} / {number(r.value('mb_s', **key(client)))}", spread(ratio),
                              f">= {goal}x" if goal else None, at_least(ratio, goal) if goal else None)
        for size, goal in ((100, 1), (2_000, 10), (1_000_000, 8_000)):
            entry = next((e for e in r.entries if e["measure"] == "tokens-size" and e["encoding"] == encoding and abs(e["bytes"] - size) < 4), None)
            us = entry["us"]["median"] if entry else None
            table.row(f"prompt of {size:,} B", f"{number(us)} µs", "", f"<= {goal:,} µs", us <= goal if us is not None else None)
        for entry in r.entries:
            if entry["measure"] == "tokens-adversarial" and entry["encoding"] == encoding:
                ratio = entry["ratio"]["median"]
                table.row(f"100 kB of {entry['kind']} over 10 kB", f"{number(entry['us_100k']['median'])} / {number(entry['us_10k']['median'])} µs", f"{ratio:.1f}x", "<= 12x",
                          ratio <= 12)
        load = {"measure": "tokens-load", "encoding": encoding, "client": "ossai"}
        ms, mb = r.value("load_ms", **load), r.value("resident_mb", **load)
        table.row("vocabulary ready; resident", f"{number(ms)} ms; {number(mb)} MB", "", "<= 20 ms, <= 40 MB", ms <= 20 and mb <= 40 if ms is not None else None)
        for client in ("tiktoken", "gpt-tokenizer"):
            table.row(f"the same of {client}", f"{number(r.value('load_ms', **{**load, 'client': client}))} ms", "", None, None)


def main():
    if len(sys.argv) == 2:
        document = json.loads(pathlib.Path(sys.argv[1]).read_text())
    elif len(sys.argv) == 4:
        lines = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]
        root = pathlib.Path(sys.argv[2])
        packages = versions(root) | {line["client"]: line["version"] for line in lines if "version" in line}
        document = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "machine": machine(), "versions": packages,
                    "results": reduce(lines)}
        pathlib.Path(sys.argv[3]).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    else:
        sys.exit(__doc__)
    print(f"{document['date']}, {document['machine']['cpu']}, {document['machine']['cores']} cores")
    print(", ".join(f"{name} {version}" for name, version in document["versions"].items() if version))
    table, results = Table(), Results(document["results"])
    for client, goals in (("reqwest", client_goals), ("go-http", go_goals), ("ossai-python", python_goals), ("ossai-node", node_goals), ("ossai-memory", remembered_goals), ("tiktoken", token_goals)):
        if results.find(client=client):
            goals(results, table)
    table.show()
    for entry in document["results"]:
        for failure in entry.get("failed", []):
            print(f"failed: {failure}")


if __name__ == "__main__":
    main()
