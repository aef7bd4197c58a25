#!/usr/bin/env python3
"""Measures token counting of this project, tiktoken and gpt-tokenizer on the same texts, one after the other, and prints JSON lines.

Usage: bench/tokens.py TOKENS_BENCH VOCABULARIES NODE_MODULES CORPORA ENCODING REPETITIONS PASSES, with a Python that has tiktoken. VOCABULARIES holds
the *.tiktoken files (tiktoken would download them), NODE_MODULES the folder where gpt-tokenizer is installed.

All three count the same pieces of about 16 kB, and the least time of each piece counts, so that a moment in which the machine did something
else does not: ours and tiktoken have 15 passes, gpt-tokenizer, the slowest, PASSES. Cold means that no word has been seen: tiktoken keeps nothing between calls, gpt-tokenizer's cache is emptied, ours has a new thread.
"""
import base64, json, pathlib, subprocess, sys, time

SIZE = 16_384


def batches(texts):
    """As in core/examples/tokens_bench.rs."""
    out, size = [], SIZE
    for text in texts:
        rest = text.encode()
        while rest:
            n = min(SIZE, len(rest))
            while n < len(rest) and rest[n] & 0xC0 == 0x80:
                n -= 1
            if size >= SIZE:
                out.append([])
                size = 0
            size += n
            out[-1].append(rest[:n].decode())
            rest = rest[n:]
    return out


def texts(path):
    text = path.read_bytes().decode()
    return json.loads(text) if path.suffix == ".json" else [text]


def tiktoken_encoding(folder, name):
    import tiktoken, tiktoken_ext.openai_public as public

    def load(url, *_, **__):
        lines = (folder / url.rsplit("/", 1)[1]).read_bytes().splitlines()
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}

    public.load_tiktoken_bpe = load
    start = time.perf_counter()
    encoding = tiktoken.Encoding(**getattr(public, name)())
    return encoding, (time.perf_counter() - start) * 1e3, tiktoken.__version__


def measure(encoding, files):
    for path in files:
        parts = batches(texts(path))
        best, tokens = [float("inf")] * len(parts), 0
        for _ in range(15):
            tokens = 0
            for i, part in enumerate(parts):
                start = time.perf_counter()
                for text in part:
                    tokens += len(encoding.encode_ordinary(text))
                best[i] = min(best[i], time.perf_counter() - start)
        size = sum(len(text.encode()) for part in parts for text in part)
        yield {"file": path.name, "bytes": size, "tokens": tokens, "mb_s": size / sum(best) / 1e6}


def main():
    if len(sys.argv) != 8:
        sys.exit(__doc__)
    ours, vocabularies, modules, corpora, name, repetitions, passes = sys.argv[1:]
    # The first is also the sample for prompts of all sizes: it must be the longest text.
    files = sorted((path for path in pathlib.Path(corpora).iterdir() if path.suffix in (".txt", ".json")), key=lambda path: (path.stem != "code", path.name))
    encoding, load_ms, version = tiktoken_encoding(pathlib.Path(vocabularies), name)
    script = pathlib.Path(__file__).with_name("tokens.mjs")
    counts = {}

    def put(client, rep, row, **figures):
        count = counts.setdefault(row["file"], {})
        count[client] = row["tokens"]
        # Ours counts texts whole, the others in parts of 16 kB: a cut can cost a token.
        if client != "ossai" and count.setdefault("parts", row["tokens"]) != row["tokens"]:
            sys.exit(f"{row['file']}: {client} counts {row['tokens']} tokens, expected {count['parts']}")
        for state, mb_s in figures.items():
            print(json.dumps({"measure": "tokens", "client": client, "encoding": name, "file": row["file"].split(".")[0], "state": state, "rep": rep,
                              "bytes": row["bytes"], "tokens": row["tokens"], "mb_s": round(mb_s, 2)}), flush=True)

    for rep in range(int(repetitions)):
        run = subprocess.run([ours, name, *map(str, files)], capture_output=True, text=True, check=True)
        result = json.loads(run.stdout)
        for row in result["corpora"]:
            row["file"] = pathlib.Path(row["file"]).name
            put("ossai", rep, row, cold=row["cold_mb_s"], warm=row["warm_mb_s"], again=row["again_mb_s"])
        for row in result["sizes"]:
            print(json.dumps({"measure": "tokens-size", "client": "ossai", "encoding": name, "rep": rep, **row}))
        for row in result["adversarial"]:
            print(json.dumps({"measure": "tokens-adversarial", "client": "ossai", "encoding": name, "rep": rep, **row}))
        print(json.dumps({"measure": "tokens-load", "client": "ossai", "encoding": name, "rep": rep, "load_ms": result["load_ms"],
                          "resident_mb": result["resident_mb"]}))
        print(json.dumps({"measure": "tokens-load", "client": "tiktoken", "version": version, "encoding": name, "rep": rep, "load_ms": load_ms}))
        for row in measure(encoding, files):
            put("tiktoken", rep, row, cold=row["mb_s"], warm=row["mb_s"])
        run = subprocess.run(["node", str(script), modules, name, passes, *map(str, files)], capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        for line in run.stdout.splitlines():
            row = json.loads(line)
            if "load_ms" in row:
                print(json.dumps({"measure": "tokens-load", "client": "gpt-tokenizer", "encoding": name, "rep": rep, **row}))
            else:
                row["file"] = pathlib.Path(row["file"]).name
                put("gpt-tokenizer", rep, row, cold=row["cold_mb_s"], warm=row["warm_mb_s"])


if __name__ == "__main__":
    main()
