// What calls leave in the program's own OpenTelemetry: the shared table of conformance/telemetry, and what is Node's own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { before, beforeEach, test } from "node:test";
import { context, metrics, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { tool } from "@ossai/sdk";
import { ask, hangs, LOCAL, open, ROOT, run, says, streams, upstream } from "./support.mjs";

const table = JSON.parse(readFileSync(path.join(ROOT, "conformance/telemetry/calls.json")));
const spans = new InMemorySpanExporter();
let points;

before(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
});

beforeEach(() => {
  spans.reset();
  metrics.disable();
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1 << 30 });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  points = async () => {
    await reader.forceFlush();
    const [{ scopeMetrics }] = exporter.getMetrics();
    return scopeMetrics.flatMap(({ metrics }) => metrics).flatMap(({ descriptor, dataPoints }) => dataPoints.map((point) => ({ name: descriptor.name, point })));
  };
});

function matches(found, wanted, where) {
  if (wanted?.$any) return assert.notEqual(found, undefined, where);
  assert.deepEqual(wanted?.$json ? JSON.parse(found) : found, wanted?.$json ?? wanted, where);
}

function attributesMatch(found, wanted, where) {
  assert.deepEqual(Object.keys(found).sort(), Object.keys(wanted).sort(), where);
  for (const [name, value] of Object.entries(wanted)) matches(found[name], value, `${where}: ${name}`);
}

for (const { name, op, times = 1, provider = "openai", content, responses, request, options, fails, spans: wanted, metrics: measured } of table.cases) {
  test(`as in every language: ${name}`, async (t) => {
    const script = await upstream(responses);
    const { openai } = script.settings.providers;
    const client = open(t, { ...script.settings, providers: { [provider]: openai }, ...(content && { telemetry: { content } }) });
    for (let i = 0; i < times; i++) {
      const call = op === "stream" ? client.stream(request, options).final() : client[op](request, options);
      if (fails) await assert.rejects(call);
      else await call;
    }
    const found = spans.getFinishedSpans();
    assert.deepEqual(found.map((span) => span.name), wanted.map((span) => span.name));
    wanted.forEach((span, i) => {
      attributesMatch(found[i].attributes, span.attributes, name);
      assert.equal(found[i].kind, 2, "a client's");
      assert.equal(found[i].status.code, span.error ? 2 : 0);
    });
    const all = await points();
    const text = (attributes) => JSON.stringify(Object.entries(attributes).sort());
    assert.deepEqual(
      all.map(({ name, point }) => [name, text(point.attributes), point.value.count]).sort(),
      measured.map(({ name, attributes, count }) => [name, text(attributes), count]).sort(),
    );
    for (const { name, attributes, sum } of measured) {
      const { value } = all.find((one) => one.name === name && text(one.point.attributes) === text(attributes)).point;
      if (sum !== undefined) assert.equal(value.sum, sum);
    }
  });
}

test("a call is the child of the span that is active, and tells the upstream of itself", async (t) => {
  const script = await upstream([says("Hi"), streams(["Hi"])]);
  const client = open(t, script.settings);
  await trace.getTracer("test").startActiveSpan("parent", async (parent) => {
    await client.complete(ask("Hello"));
    await client.stream(ask("Hello")).final();
    parent.end();
  });
  const [whole, streamed, parent] = spans.getFinishedSpans();
  const sent = (await script.requests()).map(({ headers }) => Object.fromEntries(headers).traceparent);
  for (const [i, span] of [whole, streamed].entries()) {
    assert.equal(span.parentSpanContext.spanId, parent.spanContext().spanId);
    assert.equal(sent[i], `00-${parent.spanContext().traceId}-${span.spanContext().spanId}-01`);
  }
});

test("a trace context the caller gives is the one that is told", async (t) => {
  const script = await upstream([says("Hi")]);
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await open(t, script.settings).complete(ask("Hello"), { traceparent });
  assert.equal(Object.fromEntries((await script.requests())[0].headers).traceparent, traceparent);
});

test("a tool's handler runs beneath the call's span", async (t) => {
  const script = await upstream([{ body: { openai_chat: { tool_calls: [{ id: "1", name: "inner", arguments: "{}" }] } } }, says("Done.")]);
  const inner = tool({ name: "inner", handler: async () => trace.getTracer("test").startSpan("handler").end() });
  await open(t, script.settings).complete({ ...ask("Go."), tools: [inner] });
  const [handler, run, call] = spans.getFinishedSpans();
  assert.deepEqual([handler.name, run.name, run.kind], ["handler", "execute_tool inner", 0]);
  assert.equal(handler.parentSpanContext.spanId, run.spanContext().spanId);
  assert.equal(run.parentSpanContext.spanId, call.spanContext().spanId);
  assert.deepEqual(run.attributes, {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "inner",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.call.id": "1",
  });
  const measured = (await points()).filter(({ name }) => name === "gen_ai.execute_tool.duration");
  assert.deepEqual(measured.map(({ point }) => point.attributes), [{ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "inner" }]);
});

test("a handler that throws is an error of its span; arguments and result are told when they are asked for", async (t) => {
  const calls = [
    { id: "1", name: "lookup", arguments: '{"city":"Oslo"}' },
    { id: "2", name: "broken", arguments: "{}" },
  ];
  const script = await upstream([{ body: { openai_chat: { tool_calls: calls } } }, says("Done.")]);
  const lookup = tool({
    name: "lookup",
    description: "Looks a city up.",
    input: { type: "object", properties: { city: { type: "string" } } },
    handler: async ({ city }) => ({ weather: `fine in ${city}` }),
  });
  const broken = tool({
    name: "broken",
    handler: () => {
      throw new RangeError("no such town");
    },
  });
  await open(t, { ...script.settings, telemetry: { content: true } }).complete({ ...ask("Go."), tools: [lookup, broken] });
  const told = Object.fromEntries(spans.getFinishedSpans().map((span) => [span.name, span]));
  const { attributes } = told["execute_tool lookup"];
  assert.deepEqual(JSON.parse(attributes["gen_ai.tool.call.arguments"]), { city: "Oslo" });
  assert.deepEqual(JSON.parse(attributes["gen_ai.tool.call.result"]), { weather: "fine in Oslo" });
  assert.equal(attributes["gen_ai.tool.description"], "Looks a city up.");
  assert.equal(told["execute_tool broken"].attributes["error.type"], "RangeError");
  assert.equal(told["execute_tool broken"].status.code, 2);
});

test("an abort is an error of type cancelled; a stream that is left early is none", async (t) => {
  const script = await upstream([hangs(), streams(["One", "two"], { stall_after: { event: 2 } })]);
  const client = open(t, script.settings);
  const control = new AbortController();
  const call = client.complete(ask("Hello"), { signal: control.signal });
  await script.reached(1);
  control.abort();
  await assert.rejects(call);
  for await (const event of client.stream(ask("Hello"))) if (event.type === "text_delta") break;
  const [aborted, left] = spans.getFinishedSpans();
  assert.equal(aborted.attributes["error.type"], "cancelled");
  assert.equal(left.attributes["error.type"], undefined);
  assert.equal(left.ended, true);
});

test("requests that are wrong in every way are told and refused as ever", async (t) => {
  const client = open(t, { environment: false, telemetry: { content: true } });
  for (const request of [undefined, null, 7, {}, { model: 7, messages: 7, stop: 7, response_format: null, seed: {} }, { model: "x", messages: [null], stop: [1] }]) {
    await assert.rejects(client.complete(request), { code: "invalid_request" });
    await assert.rejects(client.embed(request), { code: "invalid_request" });
    await assert.rejects(client.stream(request).final(), { code: "invalid_request" });
  }
  assert.equal(spans.getFinishedSpans().length, 18);
});

test("nothing is told when the settings say so; a mistake in them is named", async (t) => {
  const client = open(t, { environment: false, telemetry: false });
  await client.complete(LOCAL);
  assert.equal(spans.getFinishedSpans().length, 0);
  assert.throws(() => open(t, { telemetry: { contents: true } }), { code: "invalid_request", field: "telemetry.contents" });
  assert.throws(() => open(t, { telemetry: { content: 1 } }), { code: "invalid_request", field: "telemetry.content" });
  propagation.disable();
});

test("a program without OpenTelemetry loads none of it", async () => {
  const program = `
    const { createClient } = require("@ossai/sdk");
    const client = createClient({ environment: false });
    client.complete(${JSON.stringify(LOCAL)}).then(() => {
      console.log(Object.keys(require.cache).filter((name) => name.includes("opentelemetry")).length, globalThis[Symbol.for("opentelemetry.js.api.1")]);
    });`;
  const { said } = await run(["-e", program]);
  assert.match(said, /^0 undefined/);
});
