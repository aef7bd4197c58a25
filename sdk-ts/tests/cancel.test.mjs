// Cancelling: the caller hears at once, then the connection closes.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { ask, hangs, LOCAL, open, says, upstream } from "./support.mjs";

test("aborting rejects with the signal's reason and closes the connection", async (t) => {
  const script = await upstream([hangs(), hangs()]);
  const client = open(t, script.settings);
  for (const [reason, expected] of [[undefined, { name: "AbortError" }], [new RangeError("enough"), RangeError]]) {
    const abort = new AbortController();
    const call = client.complete(ask("Hello"), { signal: abort.signal });
    await script.reached(reason === undefined ? 1 : 2);
    abort.abort(reason);
    assert.equal(client.callsUnderWay, 0);
    await assert.rejects(call, expected);
    assert.equal(getEventListeners(abort.signal, "abort").length, 0);
  }
  assert.ok((await script.outcomes()).every((outcome) => outcome.startsWith("client_")));
});

test("with a signal that is aborted already nothing is sent", async (t) => {
  const script = await upstream([], { default: says("Hi") });
  const client = open(t, script.settings);
  const signal = AbortSignal.abort(new RangeError("before"));
  for (const call of [client.complete(ask("a"), { signal }), client.models("openai", { signal }), client.health({ signal })]) {
    await assert.rejects(call, RangeError);
  }
  assert.equal((await script.requests()).length, 0);
});

test("a time-out of the program's own is its own error", async (t) => {
  const script = await upstream([hangs()]);
  const client = open(t, script.settings);
  await assert.rejects(client.complete(ask("Hello"), { signal: AbortSignal.timeout(50) }), (error) => error instanceof DOMException && error.name === "TimeoutError");
  assert.match((await script.outcomes())[0], /^client_/);
});

test("cancelling one of two who share a call leaves the other its answer", async (t) => {
  const script = await upstream([says("Hi", { delay_ms: 200 })]);
  const client = open(t, script.settings);
  const abort = new AbortController();
  const first = client.complete(ask("Hello", { temperature: 0 }), { signal: abort.signal });
  const second = client.complete(ask("Hello", { temperature: 0 }));
  await script.reached(1);
  abort.abort();
  await assert.rejects(first, { name: "AbortError" });
  assert.equal((await second).text, "Hi");
  assert.deepEqual(await script.outcomes(), ["sent"]);
});

test("a signal that outlives its calls keeps nothing of them", async (t) => {
  const client = open(t, (await upstream([], { default: says("Hi") })).settings);
  const { signal } = new AbortController();
  await client.complete(ask("Hello"), { signal });
  await client.stream(LOCAL, { signal }).final();
  await assert.rejects(client.complete(ask("x", { model: "nobody/x" }), { signal }));
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("ten thousand cancelled calls leave nothing behind", async (t) => {
  const warnings = [];
  const warn = (warning) => warnings.push(warning);
  process.on("warning", warn);
  t.after(() => process.off("warning", warn));
  const script = await upstream([], { default: says("late", { delay_ms: 60_000 }) });
  const client = open(t, { ...script.settings, limits: { maxInFlight: 20_000 } });
  for (let round = 0; round < 10; round++) {
    const abort = new AbortController();
    const calls = Array.from({ length: 1000 }, (_, n) => client.complete(ask(`Hello ${n}`, { temperature: 0 }), { signal: abort.signal }));
    const settled = Promise.allSettled(calls);
    if (round % 2) await turn();
    abort.abort();
    assert.ok((await settled).every(({ reason }) => reason?.name === "AbortError"));
  }
  assert.equal(client.callsUnderWay, 0);
  for (let i = 0; i < 500 && client.stats().flights_in_flight > 0; i++) await sleep(10);
  assert.deepEqual([client.stats().flights_in_flight, client.stats().waiters], [0, 0]);
  assert.deepEqual(warnings, []);
});

test("closing ends calls and streams under way", async (t) => {
  const script = await upstream([], { default: hangs() });
  const client = open(t, script.settings);
  const call = client.complete(ask("one"));
  const reading = client.stream(ask("two")).next();
  const settled = Promise.allSettled([call, reading]);
  await script.reached(2);
  assert.equal(await client.close(), false);
  for (const { reason } of await settled) assert.equal(reason.code, "cancelled");
  assert.equal(client.callsUnderWay, 0);
  assert.ok((await script.outcomes()).every((outcome) => outcome.startsWith("client_")));
});

test("closing with patience lets calls finish", async (t) => {
  const script = await upstream([says("Hi", { delay_ms: 100 })]);
  const client = open(t, script.settings);
  const call = client.complete(ask("one"));
  await script.reached(1);
  const closing = client.close({ patience: 10_000 });
  await assert.rejects(client.complete(ask("two")), { code: "invalid_state" });
  assert.equal((await call).text, "Hi");
  assert.equal(await closing, true);
});

test("closing under a storm of calls settles every one", async (t) => {
  const client = open(t, (await upstream([], { default: says("Hi", { delay_ms: 20 }) })).settings);
  const calls = Array.from({ length: 500 }, async (_, n) => {
    await sleep(n % 40);
    return client.complete(ask(String(n)));
  });
  const settled = Promise.allSettled(calls);
  await sleep(30);
  await client.close();
  for (const { status, reason } of await settled) {
    assert.ok(status === "fulfilled" || ["cancelled", "invalid_state"].includes(reason.code), reason?.stack);
  }
});

test("a hit is there before the event loop turns", async (t) => {
  const client = open(t, { environment: false });
  await client.complete(LOCAL);
  let turned = false;
  setImmediate(() => (turned = true));
  assert.equal((await client.complete(LOCAL)).cache.status, "hit");
  assert.equal((await client.stream(LOCAL).final()).cache.status, "hit");
  assert.equal(turned, false);
});

test("hits let other work run", async (t) => {
  const client = open(t, { environment: false });
  await client.complete(LOCAL);
  let turns = 0;
  const other = setInterval(() => (turns += 1), 0);
  const immediate = () => setImmediate(() => ((turns += 1), immediate.on && immediate()));
  immediate.on = true;
  immediate();
  for (let i = 0; i < 1000; i++) assert.equal((await client.complete(LOCAL)).cache.status, "hit");
  clearInterval(other);
  immediate.on = false;
  assert.ok(turns >= 10, String(turns));
});

test("the async context of the caller is there after the answer", async (t) => {
  const client = open(t, (await upstream([], { default: says("Hi") })).settings);
  const storage = new AsyncLocalStorage();
  const seen = await Promise.all(
    ["a", "b"].map((name) =>
      storage.run(name, async () => {
        await client.complete(ask(name));
        const after = [storage.getStore()];
        for await (const _ of client.stream({ ...LOCAL, user: name })) after.push(storage.getStore());
        return [...new Set(after)];
      }),
    ),
  );
  assert.deepEqual(seen, [["a"], ["b"]]);
});
