// The official `openai` package for Node against `ossai serve`: one line per check, exit status 1 when one fails.
//
// Usage: node openai_node.mjs http://127.0.0.1:8080 [API_KEY]

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The package is looked for where the script is started, so that it can be installed anywhere.
const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")).href);

const base = process.argv[2].replace(/\/$/, "");
const apiKey = process.argv[3] ?? "unused";
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });
const prompt = "The sky is blue because air scatters blue light. Grass is green.\n\nWhy is the sky blue?";
const messages = [{ role: "user", content: prompt }];
let failed = 0;

async function check(promise, body) {
  try {
    await body();
    console.log(`ok    ${promise}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${promise}: ${error.message}`);
  }
}

async function refused(call, kind, expected) {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.headers.get("x-should-retry"), "false");
    assert.ok(error.requestID);
    for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value, name);
    return true;
  });
}

await check("a completion answers with text, usage and a finish reason", async () => {
  const { data, response } = await client.chat.completions
    .create({ model: "local/extract", messages, temperature: 0 })
    .withResponse();
  assert.match(data.choices[0].message.content, /scatters blue light/);
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.equal(response.headers.get("x-ossai-model"), "local/extract");
});

await check("a stream says the same as the whole answer and ends with usage", async () => {
  const whole = await client.chat.completions.create({ model: "local/extract", messages, temperature: 0 });
  const stream = await client.chat.completions.create({
    model: "local/extract",
    messages,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(usage, whole.usage);
});

await check("the SDK's own stream helper gives the final answer", async () => {
  const runner = client.chat.completions.stream({ model: "local/extract", messages });
  assert.match(await runner.finalContent(), /scatters/);
});

await check("a stream that is broken off leaves the server well", async () => {
  const stream = await client.chat.completions.create({ model: "local/extract", messages, stream: true });
  for await (const _ of stream) break;
  stream.controller.abort();
  assert.ok(await client.chat.completions.create({ model: "local/extract", messages }));
});

await check("twenty calls at once get one answer each", async () => {
  const calls = Array.from({ length: 20 }, () =>
    client.chat.completions.create({ model: "local/extract", messages, temperature: 0 }),
  );
  const texts = new Set((await Promise.all(calls)).map((answer) => answer.choices[0].message.content));
  assert.equal(texts.size, 1);
});

await check("embeddings come as base64 and as floats alike", async () => {
  const input = ["blue sky", "green grass"];
  const plain = await client.embeddings.create({ model: "local/hash", input });
  const floats = await client.embeddings.create({ model: "local/hash", input, encoding_format: "float" });
  assert.equal(plain.data.length, 2);
  plain.data.forEach((item, i) => {
    assert.equal(item.embedding.length, floats.data[i].embedding.length);
    item.embedding.forEach((x, j) => assert.ok(Math.abs(x - floats.data[i].embedding[j]) < 1e-6));
  });
});

await check("models are listed and found by name", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes("local/extract") && ids.includes("local/hash"), ids.join());
  assert.equal((await client.models.retrieve("local/extract")).id, "local/extract");
});

await check("an unknown model is not found", () =>
  refused(client.chat.completions.create({ model: "local/nope", messages }), OpenAI.NotFoundError, {
    status: 404,
    code: "model_not_found",
    param: "model",
  }),
);

await check("bad values are refused by name", async () => {
  const create = (values) => client.chat.completions.create({ model: "local/extract", messages, ...values });
  for (const [param, values] of [
    ["temperature", { temperature: 3 }],
    ["temperature", { temperature: "warm" }],
    ["messages", { messages: [] }],
    ["n", { n: 2 }],
    ["stop", { stop: 5 }],
  ]) {
    await refused(create(values), OpenAI.BadRequestError, { status: 400, param, type: "invalid_request_error" });
  }
});

await check("bad JSON is refused with the error body", async () => {
  const response = await fetch(`${base}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
    body: '{"model": ',
  });
  assert.equal(response.status, 400);
  assert.equal((await response.json()).error.type, "invalid_request_error");
});

if (process.argv[3]) {
  await check("a wrong key is refused", () => {
    const other = new OpenAI({ baseURL: `${base}/v1`, apiKey: `${apiKey.slice(0, -1)}x`, maxRetries: 0 });
    const call = other.chat.completions.create({ model: "local/extract", messages });
    return refused(call, OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" });
  });
}

const { VERSION } = require("openai/version");
console.log(`openai ${VERSION}: ${failed} failed`);
process.exit(failed ? 1 : 0);
