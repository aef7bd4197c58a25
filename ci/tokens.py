"""Compares `ossai count` with tiktoken, count by count. Usage: tokens.py OSSAI VOCABULARIES"""

import base64
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import tiktoken

OSSAI, VOCABULARIES = sys.argv[1], pathlib.Path(sys.argv[2])
# The patterns stand in the crate's neighbour: tiktoken publishes them as code, with the vocabularies as files.
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS,
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS,
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


def published(name, pattern):
    lines = (VOCABULARIES / f"{name}.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


ENCODINGS = {"o200k_base": published("o200k_base", O200K), "cl100k_base": published("cl100k_base", CL100K)}
RANGES = [(32, 126), (32, 126), (0xA0, 0x24F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0x97F), (0x3040, 0x30FF),
          (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF), (0x300, 0x36F), (9, 13), (0x2000, 0x206F)]


def random_text(source):
    length = source.randrange(1, 40)
    low, high = source.choice(RANGES)
    text = []
    for _ in range(length):
        if source.random() < 0.3:
            low, high = source.choice(RANGES)
        text.append(chr(source.randrange(low, high + 1)))
    return "".join(text)


def main():
    failures = 0

    def check(name, good, detail=""):
        nonlocal failures
        failures += not good
        print(("ok   " if good else "FAIL ") + name + (f": {detail}" if detail and not good else ""))

    fixed = {
        "prose": "The quick brown fox doesn't jump; it's 3.14159 o'clock, isn't it?\n" * 50,
        "code": pathlib.Path(__file__).read_text(),
        "json": json.dumps({"a": [1, 2.5, None, True, "x\ny"], "b": {"c": "d"}}, indent=1) * 50,
        "cjk": "流れは誰も導かない。飞行没有领导者。항공편에는 지도자가 없다。" * 50,
        "arabic": "لا أحد يقود الرحلة، فلا يُفشل إلغاءُ أحدٍ غيره. " * 50,
        "russian": "Никто не ведёт полёт, и ничья отмена не мешает другим. " * 50,
        "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 ☃️ \U0001f9d1\U0001f3fd‍\U0001f680" * 50,
        "combining": "e\u0301a\u0308o\u0302\u0301 Z\u0351\u036b\u0343 'ſ x'ſt 'S 'LL",
        "specials": "<|endoftext|> <|im_start|>user<|im_end|>",
        "crlf": "a\r\n\r\n  b \t\r c\n\n\n   d   ",
        "one letter, 1 MB": "a" * 1_000_000,
    }
    for encoding, oracle in ENCODINGS.items():
        for name, text in fixed.items():
            ours = count(["--encoding", encoding], text)
            # tiktoken's own merge is quadratic on the long run; equal halves of a run of one letter are its count.
            theirs = len(oracle.encode_ordinary(text)) if len(text) < 1_000_000 else None
            if theirs is None:
                theirs = LONG[encoding]
            check(f"{encoding}: {name}", ours == theirs, f"{ours} and not {theirs}")

    source = random.Random(20261121)
    texts = [random_text(source) for _ in range(100_000)]
    with tempfile.TemporaryDirectory() as folder:
        # A thousand files of a hundred lines: each line is a text of its own in its own file would be too many processes.
        for at in range(0, len(texts), 50):
            for n, text in enumerate(texts[at : at + 50]):
                pathlib.Path(folder, f"{at + n:06}.txt").write_bytes(text.encode())
        for encoding, oracle in ENCODINGS.items():
            result = subprocess.run([OSSAI, "count", "--json", "--encoding", encoding, folder], capture_output=True, check=True)
            report = json.loads(result.stdout)
            ours = {pathlib.Path(file["path"]).stem: file["tokens"] for file in report["files"]}
            skipped = {pathlib.Path(file["path"]).stem for file in report["skipped"]}
            wrong = [
                (text, ours.get(f"{n:06}"), len(oracle.encode_ordinary(text)))
                for n, text in enumerate(texts)
                if f"{n:06}" not in skipped and ours.get(f"{n:06}") != len(oracle.encode_ordinary(text))
            ]
            check(f"{encoding}: {len(ours)} random strings", not wrong and len(ours) + len(skipped) == len(texts), str(wrong[:3]))
            check(f"{encoding}: none passed over", not skipped, str(len(skipped)))
    sys.exit(bool(failures))


def count(options, text):
    result = subprocess.run([OSSAI, "count", "--json", *options], input=text.encode(), capture_output=True, check=True)
    return json.loads(result.stdout)["total"]


LONG = {}
if __name__ == "__main__":
    for name, encoding in ENCODINGS.items():
        LONG[name] = len(encoding.encode_ordinary("a" * 1_000_000))
    main()
