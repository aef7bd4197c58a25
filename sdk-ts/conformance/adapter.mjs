// The conformance cases' calls, made through the public API of this SDK. Driven by `conformance-rust --client`; the protocol
// stands in conformance/rust/src/adapter.rs. Cancelling a call aborts its signal.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, OssaiError, parse, stringify, tool } from "@ossai/sdk";

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

/** What a scripted handler does at each of its calls. */
function script(does, client) {
  let calls = 0;
  return async (input, { signal }) => {
    const one = does[Math.min(calls++, does.length - 1)];
    if (one.after_ms !== undefined) await sleep(one.after_ms, undefined, { signal });
    if (one.hangs) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    if (one.throws !== undefined) throw Object.assign(new Error(one.throws.message), { name: one.throws.type });
    if (one.completes !== undefined) return (await client.complete(one.completes)).text;
    return one.echoes ? input : one.returns;
  };
}

/** The request and options with which a program gives a call these tools. */
function tooled(client, tools, request, options) {
  if (!tools) return [request, options];
  const made = tools.handlers.map(({ tool: spec, does }) => {
    const { input_schema, output_schema, timeout_ms, ...rest } = spec;
    const schemas = { ...(input_schema && { input: input_schema }), ...(output_schema && { output: output_schema }) };
    return tool({ ...rest, ...schemas, ...(timeout_ms != null && { timeout: timeout_ms }), handler: script(does, client) });
  });
  const { timeout_ms, on_error, ...loop } = tools.options ?? {};
  const settings = Object.fromEntries(Object.entries(loop).map(([name, value]) => [LOOP[name], value]));
  if (timeout_ms !== undefined) settings.toolTimeout = timeout_ms;
  if (on_error !== undefined) settings.onToolError = on_error;
  if (tools.approve !== undefined) {
    const scripts = new Map(Object.entries(tools.approve).map(([name, does]) => [name, script(does, client)]));
    settings.approve = (asked) => scripts.get(asked.name)?.(asked.input, asked) ?? true;
  }
  return [{ ...request, tools: [...(request.tools ?? []), ...made] }, { ...options, ...settings }];
}

const LOOP = { max_turns: "maxTurns", max_parallel: "maxParallel", approval_timeout_ms: "approvalTimeout" };

async function call(question) {
  const { id, op } = question;
  const client = clients.get(question.client);
  const [request, options] = tooled(client, question.tools, question.request, question.options);
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
  if (op === "count" || op === "estimate" || op === "invalidate") return client[op](request);
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
    case "shut":
      return clients.get(question.client).close({ patience: 200 });
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
