// The official `openai` package for Node against `/v1/responses` of `ossai serve`: one line per check, exit status 1 when
// one fails.
//
// Usage: node responses_node.mjs http://127.0.0.1:8080

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The package is looked for where the script is started, so that it can be installed anywhere.
const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")).href);

const baseURL = `${process.argv[2].replace(/\/$/, "")}/v1`;
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 30_000 });
const model = "local/extract";
const input = "The sky is blue because air scatters blue light. Grass is green.\n\nWhy is the sky blue?";
let failed = 0;

async function check(promise, body) {
  try {
    await body();
    console.log(`ok    responses: ${promise}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  responses: ${promise}: ${error.message}`);
  }
}

async function refused(values, kind, expected) {
  await assert.rejects(client.responses.create({ model, input, ...values }), (error) => {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.headers.get("x-should-retry"), "false");
    assert.ok(error.requestID);
    for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value, name);
    return true;
  });
}

await check("an answer has text, status and usage", async () => {
  const { data, response } = await client.responses.create({ model, input, temperature: 0 }).withResponse();
  assert.match(data.output_text, /scatters blue light/);
  assert.equal(data.status, "completed");
  assert.equal(data.usage.total_tokens, data.usage.input_tokens + data.usage.output_tokens);
  assert.equal(response.headers.get("x-ossai-model"), model);
});

await check("raw events say what the whole answer says", async () => {
  const whole = await client.responses.create({ model, input, temperature: 0 });
  let text = "";
  let last;
  let next = 0;
  for await (const event of await client.responses.create({ model, input, temperature: 0, stream: true })) {
    assert.equal(event.sequence_number, next);
    next += 1;
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.equal(text, whole.output_text);
  assert.equal(last.type, "response.completed");
  assert.deepEqual(last.response.usage, whole.usage);
});

await check("the SDK's own accumulator gives the final response", async () => {
  const stream = client.responses.stream({ model, input });
  const final = await stream.finalResponse();
  assert.match(final.output_text, /scatters/);
});

await check("the items of an answer are taken as input", async () => {
  const first = await client.responses.create({ model, input });
  const answer = await client.responses.create({
    model,
    input: [{ role: "user", content: input }, ...first.output, { role: "user", content: "Which light is scattered?" }],
  });
  assert.equal(answer.status, "completed");
});

await check("bad values are refused by name", async () => {
  for (const [param, values] of [
    ["temperature", { temperature: 3 }],
    ["input", { input: [] }],
    ["previous_response_id", { previous_response_id: "resp_1" }],
    ["background", { background: true }],
    ["input[0].type", { input: [{ type: "item_reference", id: "msg_1" }] }],
  ]) {
    await refused(values, OpenAI.BadRequestError, { status: 400, param, type: "invalid_request_error" });
  }
});

await check("an unknown model is not found", () =>
  refused({ model: "local/nope" }, OpenAI.NotFoundError, { status: 404, code: "model_not_found", param: "model" }),
);

const { VERSION } = require("openai/version");
console.log(`openai ${VERSION}, responses: ${failed} failed`);
process.exit(failed ? 1 : 0);
