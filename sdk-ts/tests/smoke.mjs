// The essentials without a test runner, for runtimes other than Node: answers, streams, signals, an end by itself.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { CancelledError, createClient, InvalidRequestError } from "@ossai/sdk";

const local = {
  model: "local/extract",
  messages: [{ role: "user", content: "Context:\nThe sky is blue.\n\nWhat colour is the sky?" }],
  temperature: 0,
};
const silent = createServer(() => {}).listen(0, "127.0.0.1");
await once(silent, "listening");
const baseUrl = `http://127.0.0.1:${silent.address().port}/v1`;
const client = createClient({ environment: false, providers: { openai: { baseUrl, apiKey: "x" } }, credentials: { anthropic: () => "y" } });

const [first, second] = await Promise.all([client.complete(local), client.complete(local)]);
assert.match(first.text, /blue/);
assert.equal(second.text, first.text);
assert.equal((await client.complete(local)).cache.status, "hit");
let text = "";
for await (const piece of client.stream({ ...local, user: "other" }).text()) text += piece;
assert.equal(text, first.text);
await assert.rejects(client.complete({}), InvalidRequestError);

const hanging = { ...local, model: "openai/gpt-4o-mini" };
const began = performance.now();
await assert.rejects(client.complete(hanging, { signal: AbortSignal.timeout(100) }), { name: "TimeoutError" });
const left = client.complete({ ...hanging, user: "left" });
const reading = client.stream({ ...hanging, user: "reading" }).next();
setTimeout(() => client.close(), 100);
await assert.rejects(left, CancelledError);
await assert.rejects(reading, CancelledError);
assert.ok(performance.now() - began < 10_000);
assert.equal(client.callsUnderWay, 0);
silent.close();

const idle = createClient({ environment: false });
globalThis.half = idle.stream({ ...local, user: "half" });
await globalThis.half.next();
console.log("ok");
