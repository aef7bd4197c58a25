"""Runs a command beside a local sentence encoder that is asked like OpenAI's `/v1/embeddings`.

Usage: embedder.py MODEL JAR COMMAND…

MODEL is a key of MODELS, JAR the package that carries its weights and its tokenizer. Wherever COMMAND has `{config}` it gets a
client's configuration with the provider `encoder`, and wherever it has `{model}` the model's name there. Before it runs, the
encoder is compared with published values: a wrong pooling or a wrong tokenizer gives vectors too, only useless ones. The
server listens on the loopback address and ends with the command, whose exit status is this program's.
"""

import base64
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile

import numpy
import onnxruntime
import tokenizers

# `pooling`: how the model's card makes one vector of a token's vectors. `tokens`: the longest text it was made for.
# `hello`: the first coordinates of "hello world", as the tests of qdrant/fastembed have them
# (tests/test_text_onnx_embeddings.py, Apache-2.0), for the same weights.
MODELS = {
    "minilm": {
        "name": "all-MiniLM-L6-v2", "files": "all-minilm-l6-v2", "pooling": "mean", "tokens": 256,
        "hello": [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362],
        # The similarities Sentence Transformers' documentation prints for this model (sbert.net, "Quickstart").
        "similarities": ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."],
        "are": [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]],
    },
    "bge": {
        "name": "bge-small-en-v1.5", "files": "bge-small-en-v1.5", "pooling": "first", "tokens": 512,
        "hello": [0.01522374, -0.02271799, 0.00860278, -0.07424029, 0.00386434],
    },
}
MAX_BODY = 16 << 20
MAX_INPUTS = 2048


class Refused(Exception):
    """A request that is not as it should be: which field, and what was expected."""

    def __init__(self, param, expected, status=400, code=None):
        super().__init__(f"{param}: {expected}" if param else expected)
        self.status, self.error = status, {
            "message": str(self), "type": "invalid_request_error", "param": param, "code": code}


class Encoder:
    """Texts to unit vectors. Safe to use from several threads."""

    def __init__(self, model, jar):
        self.name, self.pooling, self.tokens = model["name"], model["pooling"], model["tokens"]
        with zipfile.ZipFile(jar) as package:
            self.tokenizer = tokenizers.Tokenizer.from_str(package.read(model["files"] + "-tokenizer.json").decode())
            weights = package.read(model["files"] + ".onnx")
        # Files for pipelines carry both; here a text is never cut nor padded.
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name for i in self.session.get_inputs()}

    def encode(self, text):
        """The vector of one text, and its tokens. One at a time: what a text's neighbours are must not move its vector."""
        tokens = self.tokenizer.encode(text)
        if len(tokens.ids) > self.tokens:
            raise Refused("input", f"expected at most {self.tokens} tokens, not {len(tokens.ids)}")
        mask = numpy.array([tokens.attention_mask], dtype=numpy.int64)
        feeds = {"input_ids": numpy.array([tokens.ids], dtype=numpy.int64), "attention_mask": mask}
        if "token_type_ids" in self.inputs:
            feeds["token_type_ids"] = numpy.array([tokens.type_ids], dtype=numpy.int64)
        states = self.session.run(["last_hidden_state"], feeds)[0][0]
        if self.pooling == "mean":
            weights = mask[0][:, None].astype(numpy.float32)
            vector = (states * weights).sum(axis=0) / weights.sum()
        else:
            vector = states[0]
        return vector / numpy.linalg.norm(vector), len(tokens.ids)

    def answer(self, body):
        """The answer to a request's body. Raises `Refused`."""
        try:
            request = json.loads(body)
        except ValueError:
            raise Refused(None, "expected a body of JSON") from None
        if not isinstance(request, dict):
            raise Refused(None, "expected a JSON object")
        if request.get("model") != self.name:
            raise Refused("model", f"expected {self.name!r}", 404, "model_not_found")
        if request.get("dimensions") is not None:
            raise Refused("dimensions", "expected none: this model's vectors cannot be shortened")
        form = request.get("encoding_format", "float")
        if form not in ("float", "base64"):
            raise Refused("encoding_format", "expected 'float' or 'base64'")
        texts = request.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not 0 < len(texts) <= MAX_INPUTS:
            raise Refused("input", f"expected a text or a list of 1 to {MAX_INPUTS} texts")
        if not all(isinstance(text, str) and text for text in texts):
            raise Refused("input", "expected texts that are not empty (another model's tokens mean nothing here)")
        encoded = [self.encode(text) for text in texts]
        used = sum(count for _, count in encoded)
        data = [{"object": "embedding", "index": i, "embedding": written(v, form)} for i, (v, _) in enumerate(encoded)]
        return {"object": "list", "data": data, "model": self.name, "usage": {"prompt_tokens": used, "total_tokens": used}}


def written(vector, form):
    vector = vector.astype("<f4")
    return base64.b64encode(vector.tobytes()).decode() if form == "base64" else vector.tolist()


def serve(encoder):
    """Starts the server on a free port of the loopback address; gives its base address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 60

        def do_POST(self):
            try:
                length = self.headers.get("content-length", "")
                if not length.isdecimal() or int(length) > MAX_BODY:
                    self.close_connection = True  # The body stays unread.
                    raise Refused(None, f"expected a content-length of at most {MAX_BODY} bytes")
                body = self.rfile.read(int(length))
                if self.path != "/v1/embeddings":
                    raise Refused(None, "expected POST /v1/embeddings", 404)
                self.reply(200, encoder.answer(body))
            except Refused as refused:
                self.reply(refused.status, {"error": refused.error})

        def do_GET(self):
            self.reply(404, {"error": Refused(None, "expected POST /v1/embeddings", 404).error})

        def reply(self, status, answer):
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def post(url, request):
    """Status and answer; asked directly, whatever proxies the environment names."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    asked = urllib.request.Request(url + "/embeddings", body, {"content-type": "application/json"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def near(what, got, expected, within):
    worst = float(numpy.abs(numpy.asarray(got) - numpy.asarray(expected)).max())
    if not worst <= within:
        sys.exit(f"error: {what}: expected {expected}, got {numpy.asarray(got).tolist()}")
    return worst


def check(url, model):
    """Ends the program unless the server's vectors are the published ones and its answers of the API's form."""
    name = model["name"]
    texts = ["hello world", *model.get("similarities", ["flag embedding"])]
    status, floats = post(url, {"model": name, "input": texts})
    if status != 200 or [item["index"] for item in floats["data"]] != list(range(len(texts))):
        sys.exit(f"error: expected {len(texts)} vectors in order, got {status} {floats}")
    vectors = numpy.array([item["embedding"] for item in floats["data"]])
    worst = near("hello world", vectors[0][:5], model["hello"], 1e-3)
    if "are" in model:
        worst = max(worst, near("similarities", vectors[1:] @ vectors[1:].T, model["are"], 1e-4))
    near("lengths", numpy.linalg.norm(vectors, axis=1), numpy.ones(len(texts)), 1e-5)
    _, coded = post(url, {"model": name, "input": texts[0], "encoding_format": "base64"})
    near("base64", numpy.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4"), vectors[0], 1e-6)
    long = "word " * (model["tokens"] + 1)
    for bad, expected in [(b"{", 400), ([], 400), ({"model": "other", "input": "x"}, 404), ({"model": name}, 400),
                          *(({"model": name, "input": i}, 400) for i in ("", [], [""], [1, 2], 3, ["a", None], long)),
                          ({"model": name, "input": "x", "encoding_format": "int8"}, 400),
                          ({"model": name, "input": "x", "dimensions": 64}, 400)]:
        status, answer = post(url, bad)
        if status != expected or not answer["error"]["message"]:
            sys.exit(f"error: expected {expected} for {str(bad)[:80]}, got {status} {answer}")
    print(f"{name}: as published, to {worst:.1e}", file=sys.stderr)


def main(model, jar, *command):
    model = MODELS[model]
    url = serve(Encoder(model, jar))
    check(url, model)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump({"providers": {"encoder": {"kind": "openai", "base_url": url, "auth": "none"}}}, config)
        config.flush()
        values = {"{config}": config.name, "{model}": f"encoder/{model['name']}"}
        return subprocess.run([values.get(word, word) for word in command], env={**os.environ, "NO_PROXY": "127.0.0.1"}).returncode


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in MODELS:
        sys.exit(f"usage: embedder.py {'|'.join(MODELS)} JAR COMMAND…")
    sys.exit(main(*sys.argv[1:]))
