// Credentials that the program gives while calls are made.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { createClient } from "@ossai/sdk";
import { ask, open, run, says, upstream } from "./support.mjs";

const REFUSED = { status: 401, body: { openai_error: {} } };

function keyless(script, credential) {
  const { apiKey: _, ...openai } = script.settings.providers.openai;
  return { ...script.settings, providers: { openai }, credentials: { openai: credential } };
}

const sent = async (script) => (await script.requests()).map(({ headers }) => Object.fromEntries(headers).authorization);

test("a callback is asked once and again after a 401", async (t) => {
  const script = await upstream([says("Hi"), REFUSED, says("Hi")]);
  const keys = ["old", "new"];
  const client = open(t, keyless(script, () => keys.shift()));
  for (const text of ["one", "two"]) assert.equal((await client.complete(ask(text))).text, "Hi");
  assert.deepEqual(await sent(script), ["Bearer old", "Bearer old", "Bearer new"]);
});

test("an async callback serves calls that come at once, in the context the client was made in", async (t) => {
  const script = await upstream([], { default: says("Hi") });
  const storage = new AsyncLocalStorage();
  const seen = [];
  const fetch = async ({ signal }) => {
    await sleep(1);
    seen.push(storage.getStore(), signal.aborted);
    return "token";
  };
  const client = storage.run("mine", () => open(t, keyless(script, { fetch, identity: "me" })));
  const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => client.complete(ask(String(n)))));
  assert.ok(answers.every((answer) => answer.text === "Hi"));
  assert.deepEqual(seen, ["mine", false]);
  assert.deepEqual([...new Set(await sent(script))], ["Bearer token"]);
});

for (const [name, bad] of [
  ["throws", () => { throw new RangeError("vault"); }],
  ["throws what is no error", () => { throw "vault"; }],
  ["rejects", () => Promise.reject(new Error("vault"))],
  ["gives no string", () => 7],
  ["gives nothing", () => undefined],
]) {
  test(`a callback that ${name} ends the call and not the client`, async (t) => {
    const script = await upstream([], { default: says("Hi") });
    const results = [bad, () => "token"];
    const client = open(t, keyless(script, () => results.shift()()));
    await assert.rejects(client.complete(ask("one")), { code: "callback_error" });
    assert.equal((await client.complete(ask("one"))).text, "Hi");
  });
}

test("a callback may use the client", async () => {
  const script = await upstream([], { default: says("Hi") });
  const client = createClient(keyless(script, async () => String(client.countText("one", { model: "openai/gpt-4o" }).tokens)));
  assert.equal((await client.complete(ask("one"))).text, "Hi");
  await client.close();
});

test("a callback hears when nobody waits for it any more, and its late answer harms nothing", async (t) => {
  const script = await upstream([], { default: says("Hi") });
  let stopped;
  const told = new Promise((resolve) => (stopped = resolve));
  const fetch = ({ signal }) =>
    new Promise((resolve) =>
      signal.addEventListener("abort", () => {
        stopped(signal.aborted);
        resolve("late");
      }),
    );
  const client = open(t, keyless(script, fetch));
  await assert.rejects(client.complete(ask("one"), { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  assert.equal(await told, true);
});

test("a callback for nobody is a mistake", () => {
  assert.throws(() => createClient({ environment: false, credentials: { no_such_provider: () => "x" } }), { code: "invalid_request" });
});

test("a client that is gone takes its callback with it, and an idle one does not keep the process", async () => {
  const program = `
    const { createClient } = require("@ossai/sdk");
    let client;
    const registry = new FinalizationRegistry(() => console.log("collected"));
    (() => {
      const fetch = () => String(client);
      client = createClient({ environment: false, credentials: { openai: fetch } });
      registry.register(client);
    })();
    client = undefined;
    (async () => {
      for (let i = 0; i < 20; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
      globalThis.idle = createClient({ environment: false, credentials: { openai: () => "x" } });
    })();
  `;
  const { code, said, took } = await run(["--expose-gc", "-e", program]);
  assert.deepEqual([code, said], [0, "collected\n"]);
  assert.ok(took < 10_000);
});
