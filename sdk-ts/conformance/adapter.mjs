// The conformance cases' calls, made through the public API of this SDK. Driven by `conformance-rust --client`; the protocol
// stands in conformance/rust/src/adapter.rs. Cancelling a call aborts its signal.
import { createInterface } from "node:readline";
import { createClient, OssaiError, parse, stringify } from "@ossai/sdk";

const clients = new Map();
const aborts = new Map();
const nexts = new Map();

function say(document) {
  process.stdout.write(`${stringify(document)}\n`);
}

/** The properties of an error and the names they have on the wire: what they say is what counts for a user. */
const PROPERTIES = {
  kind: "code",
  retry_after_ms: "retryAfter",
  http_status: "httpStatus",
  grpc_code: "grpcCode",
  provider_code: "providerCode",
  request_id: "requestId",
  upstream_request_id: "upstreamRequestId",
  gave_up: "gaveUp",
};

function failure(error) {
  if (!(error instanceof OssaiError)) return { kind: "internal", message: `not an error of ours: ${error?.stack ?? error}` };
  const fields = {};
  for (const name of Object.keys(error.fields)) fields[name] = error[PROPERTIES[name] ?? name];
  return fields;
}

async function call(question) {
  const { id, op, request, options } = question;
  const client = clients.get(question.client);
  if (op === "complete" || op === "embed" || op === "stream") {
    const abort = new AbortController();
    aborts.set(id, abort);
    const settings = { ...options, signal: abort.signal };
    if (op !== "stream") return client[op](request, settings);
    const waiting = [];
    let ready = 0;
    nexts.set(id, () => (waiting.shift() ?? (() => void (ready += 1)))());
    const stream = client.stream(request, settings);
    for await (const event of stream) {
      say({ id, event });
      if (ready > 0) ready -= 1;
      else await new Promise((resolve) => void waiting.push(resolve));
    }
    return stream.completion;
  }
  if (op === "lookup" || op === "explain") return client[op](request, options);
  if (op === "count" || op === "estimate") return client[op](request);
  return client[op]();
}

async function answer(question) {
  switch (question.do) {
    case "open":
      clients.set(question.id, createClient({ ...question.config, environment: false }));
      return null;
    case "call":
      return call(question);
    case "stats":
      return clients.get(question.client).stats();
    case "close": {
      const client = clients.get(question.client);
      clients.delete(question.client);
      return client.close({ patience: 200 });
    }
    default:
      throw new Error(`unknown question ${question.do}`);
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const question = parse(line);
  const { id } = question;
  if (question.do === "next") nexts.get(id)?.();
  else if (question.do === "cancel") aborts.get(id)?.abort();
  else {
    answer(question)
      .then(
        (ok) => say({ id, ok }),
        (error) => {
          if (!aborts.get(id)?.signal.aborted) say({ id, error: failure(error) });
        },
      )
      .finally(() => {
        aborts.delete(id);
        nexts.delete(id);
      });
  }
}
await Promise.all([...clients.values()].map((client) => client.close()));
