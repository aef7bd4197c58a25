// The official `@anthropic-ai/sdk` package for Node against `ossai serve`: one line per check, exit status 1 when one fails.
//
// Usage: node anthropic_node.mjs http://127.0.0.1:8080 [http://127.0.0.1:8081 API_KEY]
//
// The second address is a server that wants keys.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The package is looked for where the script is started, so that it can be installed anywhere.
const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { default: Anthropic } = await import(pathToFileURL(require.resolve("@anthropic-ai/sdk")).href);

let tries = 0;
const counting = (url, init) => {
  tries += 1;
  return fetch(url, init);
};
const baseURL = process.argv[2].replace(/\/$/, "");
const client = new Anthropic({ baseURL, apiKey: "unused", timeout: 30_000, fetch: counting });
const prompt = "The sky is blue because air scatters blue light. Grass is green.\n\nWhy is the sky blue?";
const messages = [{ role: "user", content: prompt }];
const ask = { model: "local/extract", max_tokens: 500, messages };
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

// What a call ends in, asked only once.
async function refused(call, kind, status, word, says = "") {
  tries = 0;
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.status, status);
    assert.equal(error.headers.get("x-should-retry"), "false");
    assert.ok(error.requestID);
    assert.deepEqual(Object.keys(error.error), ["type", "error", "request_id"]);
    assert.equal(error.error.error.type, word);
    assert.equal(error.error.request_id, error.requestID);
    assert.ok(error.error.error.message.startsWith(says), error.error.error.message);
    return true;
  });
  assert.equal(tries, 1);
}

await check("a message answers with text, usage and a stop reason", async () => {
  const { data, response } = await client.messages.create(ask).withResponse();
  assert.equal(data.type, "message");
  assert.match(data.content[0].text, /scatters blue light/);
  assert.equal(data.stop_reason, "end_turn");
  assert.ok(data.usage.input_tokens > 0 && data.usage.output_tokens > 0);
  assert.equal(response.headers.get("x-ossai-model"), "local/extract");
  assert.ok(data._request_id);
});

await check("a stream has the API's events in their order", async () => {
  const kinds = [];
  for await (const event of await client.messages.create({ ...ask, stream: true })) kinds.push(event.type);
  const apart = kinds.filter((kind, i) => kind !== kinds[i - 1]);
  assert.deepEqual(apart, [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
  ]);
});

await check("the SDK's own accumulator gives the final message that a whole answer is", async () => {
  const whole = await client.messages.create(ask);
  const stream = client.messages.stream(ask);
  let text = "";
  stream.on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  assert.equal(text, whole.content[0].text);
  assert.equal(final.content[0].text, text);
  assert.equal(final.stop_reason, whole.stop_reason);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
  assert.equal(final.usage.input_tokens, whole.usage.input_tokens);
});

await check("a stream that is broken off leaves the server well", async () => {
  const stream = await client.messages.create({ ...ask, stream: true });
  for await (const _ of stream) break;
  stream.controller.abort();
  assert.ok(await client.messages.create(ask));
});

await check("tokens are counted", async () => {
  const count = (more) => client.messages.countTokens({ model: "local/extract", messages, ...more });
  const { input_tokens: few } = await count({});
  const { input_tokens: more } = await count({ system: "Answer briefly." });
  assert.ok(few > 10 && more > few);
});

await check("bad values are refused by name, and not tried again", async () => {
  for (const [says, values] of [
    ["messages: ", { messages: [] }],
    ["max_tokens: ", { max_tokens: "many" }],
    ["max_tokens: ", { max_tokens: undefined }],
    ["messages[0].content[0].text: ", { messages: [{ role: "user", content: [{ type: "text" }] }] }],
    ["tools[0].input_schema: ", { tools: [{ name: "f" }] }],
    ["stop_sequences: ", { stop_sequences: 5 }],
    ["temperature: ", { temperature: "warm" }],
  ]) {
    const call = () => client.messages.create({ ...ask, ...values });
    await refused(call, Anthropic.BadRequestError, 400, "invalid_request_error", says);
  }
});

await check("an unknown model is not found", () =>
  refused(
    () => client.messages.create({ ...ask, model: "local/nope" }),
    Anthropic.NotFoundError,
    404,
    "not_found_error",
  ),
);

if (process.argv[4]) {
  const closed = process.argv[3].replace(/\/$/, "");
  const key = process.argv[4];
  await check("a key is taken as x-api-key and as a bearer token", async () => {
    assert.ok(await new Anthropic({ baseURL: closed, apiKey: key }).messages.create(ask));
    assert.ok(await new Anthropic({ baseURL: closed, apiKey: null, authToken: key }).messages.create(ask));
  });
  await check("an unknown key is refused", async () => {
    for (const apiKey of [`${key.slice(0, -1)}x`, "sk-ant-unknown"]) {
      const other = new Anthropic({ baseURL: closed, apiKey, fetch: counting });
      await refused(() => other.messages.create(ask), Anthropic.AuthenticationError, 401, "authentication_error");
    }
  });
}

const { VERSION } = require("@anthropic-ai/sdk/version");
console.log(`@anthropic-ai/sdk ${VERSION}: ${failed} failed`);
process.exit(failed ? 1 : 0);
