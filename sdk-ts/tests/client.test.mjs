// What any program relies on: answers, errors, settings, offline operations.
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as esm from "@ossai/sdk";
import { Client, createClient, InvalidRequestError, OssaiError, TimeoutError, toMessage, toolCalls, usd } from "@ossai/sdk";
import { render } from "../tools/errors.mjs";
import { ask, LOCAL, MODEL, open, run, says, streams, upstream } from "./support.mjs";

const require = createRequire(import.meta.url);
const native = require("../native/ossai.linux-x64-gnu.node");
const source = (name) => readFileSync(new URL(`../src/${name}`, import.meta.url), "utf8");
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const offline = () => createClient({ environment: false });

test("an answer says what it used, what it cost and how it came about; the second one is kept", async (t) => {
  const script = await upstream([says("Hi")]);
  const client = open(t, script.settings);
  const answer = await client.complete(ask("Hello", { temperature: 0 }));
  assert.equal(answer.text, "Hi");
  assert.deepEqual(answer.usage, { input_tokens: 11, output_tokens: 7 });
  assert.deepEqual([answer.cost.status, answer.cost.total, usd(answer.cost.total)], ["exact", 5850, 5.85e-6]);
  assert.equal(answer.attempts[0].status, 200);
  const kept = await client.complete(ask("Hello", { temperature: 0 }));
  assert.deepEqual([kept.text, kept.cache.status, kept.cache.tier, kept.cost.total], ["Hi", "hit", "memory", 0]);
  assert.equal(client.lookup(ask("Hello", { temperature: 0 })).text, "Hi");
  assert.equal(client.lookup(ask("Other", { temperature: 0 })), null);
  client.clearCache();
  assert.equal(client.lookup(ask("Hello", { temperature: 0 })), null);
  assert.deepEqual([client.stats().calls, client.stats().flights, client.stats().spent], [2, 1, 5850]);
});

test("data of the program's own is never renamed, neither in requests nor in settings", async (t) => {
  const script = await upstream([], { default: says("Hi") });
  const { settings } = script;
  settings.providers.openai.headers = { "X-Given": "1", aB: "2" };
  const client = open(t, settings);
  const schema = { type: "object", properties: { maxTokens: { type: "integer" }, snake_case: {} } };
  await client.complete(
    ask("Hello", { tools: [{ name: "read", parameters: schema }], metadata: { userId: "u" }, logitBias: { camelCase: 1 } }),
    { headers: { "x-Other-Name": "3" }, tags: { costCentre: "a" }, maxAttempts: 1 },
  );
  const [{ body, headers }] = await script.requests();
  assert.deepEqual(body.tools[0].function.parameters, schema);
  assert.deepEqual(body.metadata, { userId: "u" });
  assert.deepEqual(body.logitBias, { camelCase: 1 });
  const sent = Object.fromEntries(headers);
  assert.deepEqual([sent["x-given"], sent.ab, sent["x-other-name"]], ["1", "2", "3"]);
});

test("tool calls go back as they came", async (t) => {
  const calls = { tool_calls: [{ id: "call_1", name: "read", arguments: '{"path":"a"}' }] };
  const script = await upstream([{ body: { openai_chat: calls } }, says("Hi")]);
  const client = open(t, script.settings);
  const tools = [{ name: "read", parameters: { type: "object" } }];
  const first = await client.complete(ask("Hello", { tools }));
  assert.equal(first.finish_reason, "tool_calls");
  assert.deepEqual(toolCalls(first), calls.tool_calls);
  const messages = [...ask("Hello").messages, toMessage(first), { role: "tool", tool_call_id: "call_1", content: "text" }];
  const second = await client.complete({ model: MODEL, messages, tools });
  assert.deepEqual(toMessage(second), { role: "assistant", content: "Hi" });
  const sent = (await script.requests())[1].body.messages[1].tool_calls;
  assert.deepEqual(sent, [{ id: "call_1", type: "function", function: { name: "read", arguments: '{"path":"a"}' } }]);
});

test("an answer of several parts goes back as parts, a refusal as text", () => {
  const parts = [
    { type: "reasoning", text: "hm", signature: "s" },
    { type: "refusal", text: "no" },
  ];
  assert.deepEqual(toMessage({ parts }), { role: "assistant", content: [parts[0], { type: "text", text: "no" }] });
  assert.deepEqual(toMessage({ parts: [] }), { role: "assistant", content: "" });
});

test("embeddings are exact singles; models and health are asked of the upstream", async (t) => {
  const script = await upstream([
    { when: { path: "/v1/embeddings" }, body: { openai_embeddings: { vectors: [[0.1, 1]] } } },
    { when: { path: "/v1/models" }, times: 2, body: { openai_models: { ids: ["gpt-x"] } } },
  ]);
  const client = open(t, script.settings);
  const { embeddings } = await client.embed({ model: "openai/text-embedding-3-small", input: ["a"] });
  assert.deepEqual(embeddings[0].vector, [Math.fround(0.1), 1]);
  assert.deepEqual((await client.models("openai")).map((model) => model.id), ["openai/gpt-x"]);
  const health = (await client.health()).find((one) => one.upstream === "openai");
  assert.equal(health.status, "serving");
});

test("tokens, prices, plans and counters need no upstream", async () => {
  const client = offline();
  assert.equal(client.count({ model: "openai/gpt-4o", messages: [{ role: "user", content: "one two three" }] }).exact, true);
  assert.equal(client.countText("one two three", { model: "openai/gpt-4o" }).tokens, 3);
  const cut = client.truncate("one two three", { model: "openai/gpt-4o", maxTokens: 2 });
  assert.deepEqual([cut.text, cut.tokens, cut.truncated], ["one two", 2, true]);
  assert.deepEqual(client.split("one two three", { model: "openai/gpt-4o", maxTokens: 1 }), ["one", " two", " three"]);
  const estimate = client.estimate(ask("Hello", { max_tokens: 10 }), { outputTokens: 5 });
  assert.ok(estimate.low <= estimate.expected && estimate.expected <= estimate.high);
  assert.equal(estimate.output_tokens.high, 10);
  assert.equal(client.price(MODEL).id, MODEL);
  assert.equal(client.price("openai/no-such"), null);
  assert.ok(client.catalog({ provider: "anthropic", caps: ["tools"], minContext: 1 }).every((model) => model.caps.includes("tools")));
  assert.ok(client.catalog().length > 10);
  assert.match(client.key(ask("Hello")), /^[0-9a-f]{64}$/);
  assert.equal(client.explain(LOCAL).route.road, "local");
  assert.equal(client.stats().calls, 0);
  assert.equal(client.callsUnderWay, 0);
});

test("a model whose price nobody knows has no amounts, not 0", () => {
  const estimate = offline().estimate({ model: "openai/no-such", messages: [] }, {});
  assert.deepEqual([estimate.status, estimate.expected], ["unknown", null]);
});

test("a mistake names its field before anything is sent", async () => {
  const client = offline();
  const cyclic = ask("Hello");
  cyclic.metadata = { cyclic };
  for (const [request, options, field] of [
    [{}, undefined, "request"],
    [undefined, undefined, "request"],
    [7, undefined, "request"],
    [{ model: MODEL, messages: "text" }, undefined, "messages"],
    [ask("Hello", { temperature: Number.NaN }), undefined, "temperature"],
    [ask("Hello", { metadata: { at: [1, Infinity] } }), undefined, "metadata.at[1]"],
    [ask("Hello", { tools: [{ name: "a", parameters: { run() {} } }] }), undefined, "tools[0].parameters.run"],
    [ask("Hello", { metadata: { m: new Map() } }), undefined, "metadata.m"],
    [ask("Hello", { metadata: { m: [undefined] } }), undefined, "metadata.m[0]"],
    [ask("Hello"), { timeout: "1 s" }, "options.timeout"],
    [ask("Hello"), { timeout: 1, timeoutMs: 1 }, "options.timeout"],
    [ask("Hello"), { retries: 0.5 }, "options.retries"],
    [ask("Hello"), { maxAttempts: 1, max_attempts: 2 }, "options.max_attempts"],
    [ask("Hello"), { noSuch: 1 }, "options.no_such"],
    [ask("Hello"), { signal: {} }, "options.signal"],
    [ask("Hello"), 7, "options"],
  ]) {
    await assert.rejects(client.complete(request, options), (error) => {
      assert.ok(error instanceof InvalidRequestError, String(error));
      assert.equal(error.field, field);
      assert.equal(error.code, "invalid_request");
      assert.ok(error.message.startsWith(field) || field === "request" || field === "options.no_such", error.message);
      return true;
    });
  }
  await assert.rejects(client.complete(cyclic), /at most 128 levels/);
  assert.throws(() => client.countText(7, { model: MODEL }), { field: "text" });
  assert.throws(() => client.countText("a"), { field: "request" });
  assert.throws(() => client.truncate("a", null), { field: "options" });
  assert.throws(() => client.catalog({ sort: "size" }), { field: "sort" });
  await assert.rejects(client.close({ patience: -1 }), { field: "patience" });
});

test("a wrong setting names its path", () => {
  const loop = {};
  loop.cache = loop;
  for (const [settings, field] of [
    [{ retry: { maxAttempts: 0 } }, "config.retry.max_attempts"],
    [{ timeouts: { total: 1 } }, "config.timeouts.total"],
    [{ noSuch: 1 }, "config.no_such"],
    [JSON.parse('{"__proto__": {"tenant": "x"}}'), "config.__proto__"],
    [{ timeout: 1, timeouts: { totalMs: 1 } }, "config.timeout"],
    [{ retries: -1 }, "config.retries"],
    [{ fallback: { endpoints: ["x"], direct: true } }, "config.fallback.endpoints"],
    [{ providers: { mine: { fallbackUrls: 7 } } }, "config.providers.mine.fallback_urls"],
    [{ timeout: 1, timeouts: 7 }, "config.timeouts"],
    [{ environment: "yes" }, "environment"],
    [{ credentials: 7 }, "credentials"],
    [{ credentials: { openai: {} } }, "credentials.openai"],
    [{ credentials: { openai: { fetch() {}, identity: 7 } } }, "credentials.openai.identity"],
    [7, "config"],
  ]) {
    assert.throws(() => createClient(settings), (error) => error instanceof InvalidRequestError && error.field === field, field);
  }
  assert.throws(() => createClient(loop), /fewer levels/);
});

test("timeout and retries are short for their places", async (t) => {
  const script = await upstream([], { default: { status: 503, body: { openai_error: {} } } });
  const client = open(t, { ...script.settings, retries: 1, retry: { baseMs: 1 }, timeout: 60_000 });
  await assert.rejects(client.complete(ask("Hello")), (error) => error.attempts.length === 2);
  await assert.rejects(client.complete(ask("Hello"), { retries: 0 }), (error) => error.attempts.length === 1);
  assert.equal(client.explain(ask("Hello")).timeout_ms, 60_000);
  assert.equal(client.explain(ask("Hello"), { timeout: 0.5 }).timeout_ms, 1);
  assert.equal(client.explain(ask("Hello"), { timeout: Infinity }).timeout_ms > 1e12, true);
});

test("the environment fills what settings leave out, unless told not to", (t) => {
  t.after(() => delete process.env.OSSAI_TENANT);
  process.env.OSSAI_TENANT = "not allowed!";
  assert.throws(() => createClient({}), { field: "config.tenant" });
  assert.ok(createClient({ environment: false }) instanceof Client);
});

test("an error has its class, its code and every attempt", async (t) => {
  const refused = { status: 429, headers: [["retry-after", "7"], ["x-request-id", "up-1"]], body: { openai_error: {} } };
  const script = await upstream([], { default: refused });
  const client = open(t, { ...script.settings, retry: { maxRetryAfterMs: 1 } });
  await assert.rejects(client.complete(ask("Hello")), (error) => {
    assert.ok(error instanceof esm.RateLimitedError && error instanceof OssaiError && error instanceof Error);
    assert.ok(!(error instanceof TimeoutError));
    assert.deepEqual([error.name, error.code, error.httpStatus, error.retriable], ["RateLimitedError", "rate_limited", 429, true]);
    assert.ok(error.retryAfter >= 7000, String(error.retryAfter));
    assert.equal(error.attempts[0].status, 429);
    assert.equal(error.provider, "openai");
    assert.match(error.requestId, /./);
    assert.equal(error.upstreamRequestId, "up-1");
    assert.equal(error.fields.retry_after_ms, error.retryAfter);
    assert.ok(!JSON.stringify(error).includes("sk-canary"));
    return true;
  });
});

test("a time-out is a TimeoutError", async (t) => {
  const script = await upstream([], { default: says("late", { delay_ms: 60_000 }) });
  const client = open(t, script.settings);
  await assert.rejects(client.complete(ask("Hello"), { timeout: 50 }), { name: "TimeoutError", code: "timeout", scope: "total" });
});

test("instanceof holds for errors of another copy of the package, and not for classes of the program's own", () => {
  for (const path of Object.keys(require.cache)) if (path.includes("/dist/errors")) delete require.cache[path];
  const other = require("../dist/errors.js");
  const error = new other.RateLimitedError("slow down");
  assert.notEqual(other.RateLimitedError, esm.RateLimitedError);
  assert.ok(error instanceof esm.RateLimitedError && error instanceof OssaiError);
  assert.ok(!(error instanceof esm.TimeoutError));
  class Mine extends esm.RateLimitedError {}
  assert.ok(!(error instanceof Mine) && new Mine("x") instanceof esm.RateLimitedError && new Mine("x") instanceof Mine);
  assert.ok(!(null instanceof OssaiError) && !("x" instanceof OssaiError) && !(new Error("x") instanceof OssaiError));
  assert.equal(new OssaiError("x").code, "internal");
  assert.equal(new esm.InvalidStateError("x").code, "invalid_state");
});

test("a closed client refuses, and closing again is harmless", async () => {
  const client = offline();
  assert.equal(await client.close(), true);
  assert.equal(await client.close({ patience: 5 }), true);
  await assert.rejects(client.complete(LOCAL), { code: "invalid_state" });
  await assert.rejects(client.stream(LOCAL).next(), { code: "invalid_state" });
});

test("a call that went out is told to whoever subscribes, a kept answer is not", async (t) => {
  const heard = [];
  const listener = (message) => heard.push([message.op, message.answer.model]);
  subscribe("ossai:call", listener);
  const script = await upstream([says("Hi"), streams(["a"]), { body: { openai_embeddings: { vectors: [[1]] } } }]);
  const client = open(t, script.settings);
  for (let i = 0; i < 2; i++) await client.complete(ask("Hello", { temperature: 0 }));
  await client.stream(ask("Hello")).final();
  await client.embed({ model: "openai/text-embedding-3-small", input: "a" });
  unsubscribe("ossai:call", listener);
  assert.deepEqual(heard, [
    ["complete", MODEL],
    ["stream", MODEL],
    ["embed", "openai/text-embedding-3-small"],
  ]);
});

test("every operation of the core has its method", () => {
  const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  for (const name of native.operations()) assert.equal(typeof Client.prototype[camel(name)], "function", name);
});

test("the error classes are those of the core's table, and the file is the generator's", () => {
  assert.deepEqual(Object.keys(esm.KINDS), native.errorKinds());
  for (const [code, kind] of Object.entries(esm.KINDS)) assert.equal(new kind("x").code, code);
  assert.equal(source("errors.ts"), render());
});

test("types have the core's names, no more and no less", () => {
  const fields = (text, name) => {
    const body = new RegExp(`interface ${name}\\b[^{]*\\{\\n(.*?)\\n\\}`, "s").exec(text)?.[1] ?? assert.fail(name);
    return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)].map(([, field]) => field);
  };
  const types = source("types.ts");
  for (const name of ["EmbeddingResponse", "Embedding", "Usage", "Cost", "CacheOutcome", "Attempt", "Timing", "Trace", "TraceStep", "ToolRun", "ToolTurn", "ToolCallRecord", "Stats", "TokenCount", "ModelInfo", "Health", "BudgetState"]) {
    assert.deepEqual(fields(types, name).sort(), native.fieldNames(name).sort(), name);
  }
  const answer = [...native.fieldNames("Answer"), "cost", "cache", "attempts", "request_id", "timing", "trace", "tool_run"];
  assert.deepEqual(fields(types, "Completion").sort(), answer.sort());
  assert.deepEqual(fields(source("errors.ts"), "ErrorFields").sort(), native.fieldNames("Error").sort());
  const options = source("options.ts");
  const ours = (name, short) => fields(options, name).map(snake).filter((field) => !short.includes(field)).sort();
  assert.deepEqual(ours("CallOptions", ["timeout", "retries"]), native.fieldNames("CallOptions").sort());
  assert.deepEqual(ours("EstimateOptions", []), native.fieldNames("EstimateOptions").sort());
  assert.deepEqual(ours("ClientOptions", ["timeout", "retries", "credentials", "environment", "telemetry"]), native.fieldNames("Config").sort());
});

test("ESM and CommonJS are the same classes, of one version", () => {
  const cjs = require("@ossai/sdk");
  assert.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).filter((name) => !["default", "module.exports", "__esModule"].includes(name)).sort());
  for (const name of Object.keys(cjs)) assert.equal(cjs[name], esm[name], name);
  assert.equal(esm.version, native.version());
  assert.equal(esm.version, require("../package.json").version);
});

test("the runtime's threads are set before it runs", async () => {
  const program = `
    const { configureThreads, createClient } = require("@ossai/sdk");
    const before = configureThreads(1);
    createClient({ environment: false }).complete(${JSON.stringify(LOCAL)}).then(() => console.log(before, configureThreads(2)));
  `;
  assert.deepEqual((await run(["-e", program])).said, "true false\n");
});
