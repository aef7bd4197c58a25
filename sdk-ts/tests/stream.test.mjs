// Streams: order, credit, every way to leave one early.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { StreamInterruptedError } from "@ossai/sdk";
import { ask, open, streams, upstream } from "./support.mjs";

const DELTAS = ["a", "b", "c"];
const stalling = () => streams(DELTAS, { stall_after: { event: 3 } });

test("a stream gives its events and the whole answer; a kept one replays them", async (t) => {
  const client = open(t, (await upstream([streams(DELTAS)])).settings);
  const read = async () => {
    const events = [];
    for await (const event of client.stream(ask("Hello", { temperature: 0 }))) events.push(event);
    return events;
  };
  const events = await read();
  assert.equal(events[0].type, "start");
  assert.deepEqual(events.filter((event) => event.type === "text_delta").map((event) => event.text), DELTAS);
  assert.equal(events.at(-1).completion.text, "abc");
  const kept = await read();
  assert.deepEqual(kept.slice(0, -1), events.slice(0, -1));
  assert.equal(kept.at(-1).completion.cache.status, "hit");
});

test("text, the finished answer and a web stream are read from it", async (t) => {
  const client = open(t, (await upstream([], { default: streams(DELTAS) })).settings);
  const stream = client.stream(ask("Hello"));
  const pieces = [];
  for await (const piece of stream.text()) pieces.push(piece);
  assert.deepEqual(pieces, DELTAS);
  assert.equal(stream.completion.text, "abc");
  assert.equal((await stream.final()).text, "abc");
  assert.equal((await client.stream(ask("Hello")).final()).text, "abc");
  const types = [];
  for await (const event of client.stream(ask("Hello")).toReadableStream()) types.push(event.type);
  assert.deepEqual([types[0], types.at(-1)], ["start", "end"]);
});

test("reads at once are answered in their order, and reads after the end say so", async (t) => {
  const client = open(t, (await upstream([streams(DELTAS)])).settings);
  const stream = client.stream(ask("Hello"));
  const results = await Promise.all(Array.from({ length: 20 }, () => stream.next()));
  const events = results.filter(({ done }) => !done).map(({ value }) => value);
  assert.deepEqual(events.filter((event) => event.type === "text_delta").map((event) => event.text), DELTAS);
  assert.equal(events.at(-1).type, "end");
  assert.deepEqual(results.at(-1), { done: true, value: undefined });
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test("a long stream is read in credit-sized bites", async (t) => {
  const deltas = Array.from({ length: 3000 }, (_, n) => `${n} `);
  const client = open(t, (await upstream([streams(deltas)])).settings);
  let text = "";
  for await (const piece of client.stream(ask("Hello")).text()) text += piece;
  assert.equal(text, deltas.join(""));
});

test("what arrived while nobody read is there in order", async (t) => {
  const client = open(t, (await upstream([streams(DELTAS, { chunk_delay_ms: 20 })])).settings);
  const stream = client.stream(ask("Hello"));
  await stream.next();
  await sleep(200);
  const texts = [];
  for await (const piece of stream.text()) texts.push(piece);
  assert.deepEqual(texts, DELTAS);
});

test("a stream that breaks says so after its events and keeps what came", async (t) => {
  const client = open(t, (await upstream([streams(DELTAS, { close_after: { event: 3 } })])).settings);
  const stream = client.stream(ask("Hello"));
  const seen = [];
  await assert.rejects(async () => {
    for await (const piece of stream.text()) seen.push(piece);
  }, (error) => error instanceof StreamInterruptedError && error.partial.text.startsWith("ab"));
  assert.deepEqual(seen.slice(0, 2), ["a", "b"]);
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
  await assert.rejects(stream.final(), StreamInterruptedError);
});

test("reads that wait when a stream breaks hear the error once", async (t) => {
  const script = await upstream([stalling()]);
  const client = open(t, script.settings);
  const stream = client.stream(ask("Hello"));
  const reads = Promise.allSettled(Array.from({ length: 10 }, () => stream.next()));
  await script.reached(1);
  await sleep(50);
  await client.close();
  const results = await reads;
  assert.equal(results.filter(({ status }) => status === "rejected").length, 1);
  assert.equal(results.find(({ status }) => status === "rejected").reason.code, "cancelled");
  assert.equal(results.at(-1).value.done, true);
});

const LEAVING = {
  async break(stream) {
    for await (const _ of stream) break;
  },
  async return(stream) {
    assert.deepEqual(await stream.return(), { done: true, value: undefined });
  },
  async close(stream) {
    await stream.next();
    await stream.close();
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
    await assert.rejects(stream.final(), { code: "invalid_state" });
  },
  async "close while reading"(stream) {
    const reads = Promise.all(Array.from({ length: 9 }, () => stream.next()));
    await sleep(50);
    await stream.close();
    assert.equal((await reads).at(-1).done, true);
  },
  async dispose(stream) {
    await stream.next();
    await stream[Symbol.asyncDispose]();
  },
  async "break of its text"(stream) {
    for await (const _ of stream.text()) break;
  },
  async "cancel of its web stream"(stream) {
    const web = stream.toReadableStream();
    const reader = web.getReader();
    await reader.read();
    await reader.cancel();
  },
  async signal(stream, abort) {
    await stream.next();
    abort.abort(new RangeError("enough"));
    const seen = [];
    await assert.rejects(async () => {
      for await (const event of stream) seen.push(event);
    }, RangeError);
    await assert.rejects(stream.final(), RangeError);
  },
  async "signal while reading"(stream, abort) {
    const reading = stream.final();
    await sleep(50);
    abort.abort();
    await assert.rejects(reading, { name: "AbortError" });
  },
};

for (const [how, leave] of Object.entries(LEAVING)) {
  test(`leaving a stream early closes its connection: ${how}`, async (t) => {
    const script = await upstream([stalling()]);
    const client = open(t, script.settings);
    const abort = new AbortController();
    const stream = client.stream(ask("Hello"), { signal: abort.signal });
    await script.reached(1);
    await leave(stream, abort);
    assert.equal(client.callsUnderWay, 0);
    assert.match((await script.outcomes())[0], /^client_/);
  });
}

test("dropping a stream closes its connection", async (t) => {
  const script = await upstream([stalling()]);
  const client = open(t, script.settings);
  await (async () => {
    await client.stream(ask("Hello")).next(); // nothing holds the stream while it is read
  })();
  assert.equal(client.callsUnderWay, 1);
  for (let i = 0; i < 100 && client.callsUnderWay > 0; i++) {
    globalThis.gc();
    await sleep(5);
  }
  assert.equal(client.callsUnderWay, 0);
  assert.match((await script.outcomes())[0], /^client_/);
});

test("a stream that cannot begin says so when it is read", async (t) => {
  const client = open(t, { environment: false });
  await assert.rejects(client.stream({ model: "x", messages: [] }).next(), { field: "model" });
  await assert.rejects(client.stream(ask("Hello"), { signal: AbortSignal.abort(new RangeError("no")) }).final(), RangeError);
  await assert.rejects(client.stream(ask("Hello"), { timeout: -1 }).toReadableStream().getReader().read(), { field: "options.timeout" });
});
