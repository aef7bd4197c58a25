// The official `@anthropic-ai/sdk` and `openai` packages for Node over `ossai serve`, when the vendor behind it fails: nothing
// is tried again that was tried already, and a stream that breaks off says so. Also models as Anthropic lists them.
//
// Usage: behind.py OSSAI SCRIPTED_UPSTREAM node retries_node.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages are looked for where the script is started, so that they can be installed anywhere.
const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const load = async (name) => (await import(pathToFileURL(require.resolve(name)).href)).default;
const [Anthropic, OpenAI] = [await load("@anthropic-ai/sdk"), await load("openai")];

const [base, apiKey, logs] = [process.argv[2], process.argv[3], JSON.parse(readFileSync(process.argv[4], "utf8"))];
const claude = new Anthropic({ baseURL: base, apiKey, timeout: 30_000 });
const gpt = new OpenAI({ baseURL: `${base}/v1`, apiKey, timeout: 30_000 });
const messages = [{ role: "user", content: "Hi" }];
let failed = 0;

const message = (scenario, values) =>
  claude.messages.create({ model: `${scenario}/claude-sonnet-4-5`, max_tokens: 50, messages, ...values });
const response = (scenario, values) => gpt.responses.create({ model: `${scenario}/gpt-5-mini`, input: "Hi", ...values });
const requests = async (scenario) => (await (await fetch(logs[scenario])).json()).requests.length;

async function check(promise, body) {
  try {
    await body();
    console.log(`ok    ${promise}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${promise}: ${error.message}`);
  }
}

async function raised(kind, call) {
  let caught;
  await assert.rejects(call, (error) => {
    caught = error;
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    return true;
  });
  return caught;
}

await check("anthropic: a vendor's failure has been tried three times, and its SDK adds none", async () => {
  for (const [scenario, status, word] of [
    ["a-limit", 429, "rate_limit_error"],
    ["a-down", 529, "overloaded_error"],
  ]) {
    const error = await raised(Anthropic.APIError, message(scenario));
    assert.equal(error.status, status);
    assert.equal(error.error.error.type, word);
    assert.equal(error.headers.get("x-should-retry"), "false");
    assert.equal(await requests(scenario), 3);
  }
});

await check("openai: a vendor's failure has been tried three times, and its SDK adds none", async () => {
  for (const [scenario, kind] of [
    ["r-limit", OpenAI.RateLimitError],
    ["r-down", OpenAI.InternalServerError],
  ]) {
    const error = await raised(kind, response(scenario));
    assert.equal(error.headers.get("x-should-retry"), "false");
    assert.ok(error.requestID);
    assert.equal(await requests(scenario), 3);
  }
});

await check("anthropic: a stream that breaks off ends in the SDK's error", async () => {
  const seen = [];
  const error = await raised(Anthropic.APIError, async () => {
    for await (const event of await message("a-cut", { stream: true })) seen.push(event.type);
  });
  assert.deepEqual(seen.slice(0, 3), ["message_start", "content_block_start", "content_block_delta"]);
  assert.equal(error.error.error.type, "api_error");
});

await check("openai: a response that breaks off ends with response.failed", async () => {
  const events = [];
  for await (const event of await response("r-cut", { stream: true })) events.push(event);
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, i) => i));
  assert.equal(events.at(-1).type, "response.failed");
  assert.ok(events.at(-1).response.error.message);
});

await check("anthropic: models are listed page by page and found by name", async () => {
  const ids = [];
  for await (const model of claude.models.list({ limit: 1 })) ids.push(model.id);
  assert.ok(ids.includes("local/extract") && ids.length > 1 && new Set(ids).size === ids.length, ids.join());
  assert.equal((await claude.models.retrieve("local/extract")).lifecycle, "active");
  const error = await raised(Anthropic.NotFoundError, claude.models.retrieve("local/nope"));
  assert.equal(error.error.error.type, "not_found_error");
});

console.log(`@anthropic-ai/sdk and openai, failures: ${failed} failed`);
process.exit(failed ? 1 : 0);
