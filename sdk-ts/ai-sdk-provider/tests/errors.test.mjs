// One retry layer, errors of the AI SDK's own classes, and calls that end when their caller does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { convertReadableStreamToArray } from "@ai-sdk/provider-utils/test";
import { createOssai } from "@ossai/ai-sdk-provider";
import {
  APICallError,
  embedMany,
  generateText,
  InvalidArgumentError,
  LoadAPIKeyError,
  NoSuchModelError,
  streamText,
  TooManyEmbeddingValuesForCallError,
  UnsupportedFunctionalityError,
} from "ai";
import { CHAT, scripted } from "./support.mjs";

const prompt = [{ role: "user", content: [{ type: "text", text: "a secret prompt" }] }];
const fails = (status, more) => ({ status, body: { openai_error: { message: "no" } }, times: 9, ...more });
const hangs = { body: { openai_chat: { text: "never" } }, stall_after: { head: 10 } };

for (const status of [429, 500, 503]) {
  test(`${status} is tried as often as ossai says and not once more`, async (t) => {
    const { model, script } = await scripted(t, CHAT, [fails(status)]);
    await assert.rejects(generateText({ model, prompt: "Hi", maxRetries: 5 }), (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.equal(error.statusCode, status);
      assert.equal(error.isRetryable, false);
      assert.equal(error.cause.attempts.length, 3);
      assert.equal(error.data.attempts.length, 3);
      return true;
    });
    assert.equal((await script.requests()).length, 3);
  });
}

test("a failure before the first event fails the call, not the stream", async (t) => {
  const { model, script } = await scripted(t, CHAT, [fails(503)]);
  await assert.rejects(model.doStream({ prompt }), (error) => APICallError.isInstance(error) && error.statusCode === 503);
  assert.equal((await script.requests()).length, 3);
});

test("an error names where it went and holds no prompt", async (t) => {
  const { model, script } = await scripted(t, CHAT, [fails(400)]);
  await assert.rejects(model.doGenerate({ prompt, temperature: 0.5 }), (error) => {
    assert.equal(error.url, `${script.url}/v1/chat/completions`);
    assert.deepEqual(error.requestBodyValues, { model: CHAT.model, temperature: 0.5 });
    assert.doesNotMatch(JSON.stringify(error), /secret prompt|sk-canary/);
    return true;
  });
});

test("a stream that is cut ends with its error, what came before it and what it used", async (t) => {
  const { model } = await scripted(t, CHAT, [{ body: { openai_chat_stream: { deltas: ["One", " two"] } }, close_after: { event: 3 } }]);
  const parts = await convertReadableStreamToArray((await model.doStream({ prompt })).stream);
  const error = parts.find(({ type }) => type === "error")?.error;
  assert.ok(APICallError.isInstance(error));
  assert.equal(error.cause.code, "stream_interrupted");
  const finish = parts.at(-1);
  assert.deepEqual([finish.type, finish.finishReason.unified], ["finish", "interrupted"]);
  assert.equal(parts.filter(({ type }) => type === "text-start").length, parts.filter(({ type }) => type === "text-end").length);
  assert.ok(parts.some(({ type, delta }) => type === "text-delta" && delta === "One"));
});

test("aborting rejects with the signal's reason and closes the connection", async (t) => {
  const { model, script } = await scripted(t, CHAT, [hangs, hangs]);
  const control = new AbortController();
  const generated = generateText({ model, prompt: "Hi", abortSignal: control.signal });
  const streamed = assert.rejects(model.doStream({ prompt, abortSignal: control.signal }), { name: "AbortError" });
  await script.reached(2);
  control.abort();
  await assert.rejects(generated, { name: "AbortError" });
  await streamed;
  assert.ok((await script.outcomes()).every((outcome) => outcome.startsWith("client_")));
});

test("aborting in the middle of a stream ends it and its connection", async (t) => {
  const { model, script } = await scripted(t, CHAT, [
    { body: { openai_chat_stream: { deltas: ["One", " two"] } }, stall_after: { event: 3 } },
  ]);
  const control = new AbortController();
  const aborted = [];
  const result = streamText({ model, prompt: "Hi", abortSignal: control.signal, onAbort: () => aborted.push(true), onError: () => {} });
  for await (const { type } of result.fullStream) if (type === "text-delta") control.abort();
  assert.deepEqual(aborted, [true]);
  assert.ok((await script.outcomes())[0].startsWith("client_"));
});

test("leaving a stream early closes its connection", async (t) => {
  const { model, script } = await scripted(t, CHAT, [
    { body: { openai_chat_stream: { deltas: ["One", " two"] } }, stall_after: { event: 3 } },
  ]);
  const reader = (await model.doStream({ prompt })).stream.getReader();
  while ((await reader.read()).value.type !== "text-delta");
  await reader.cancel();
  assert.ok((await script.outcomes())[0].startsWith("client_"));
});

test("what is refused before anything is sent has the AI SDK's own classes", async (t) => {
  const { ossai, script } = await scripted(t, CHAT, []);
  const bare = createOssai({ environment: false, providers: { openai: { apiKeyEnv: "OSSAI_NO_SUCH_KEY" } } });
  t.after(() => bare[Symbol.asyncDispose]());
  const generate = (model, more) => generateText({ model, prompt: "Hi", ...more });
  await assert.rejects(generate(ossai("nowhere/x")), NoSuchModelError.isInstance);
  await assert.rejects(generate(bare("openai/gpt-4o-mini")), (error) => LoadAPIKeyError.isInstance(error) && error.cause.code === "authentication");
  const options = (own) => ({ providerOptions: { ossai: own } });
  for (const [argument, more] of [
    ["options.nonsense", options({ nonsense: 1 })],
    ["providerOptions.ossai.request.model", options({ request: { model: "x" } })],
    ["providerOptions.ossai.request", options({ request: 7 })],
    ["providerOptions.ossai.strictJsonSchema", options({ strictJsonSchema: "no" })],
    ["providerOptions.ossai.maxTurns", options({ maxTurns: 3 })],
  ]) {
    await assert.rejects(generate(ossai(CHAT.model), more), (error) => InvalidArgumentError.isInstance(error) && error.argument === argument, argument);
  }
  await assert.rejects(generate(ossai("no-provider")), InvalidArgumentError.isInstance);
  const unsupported = { ...options({ unsupported: "refuse", request: { truncation: "auto" } }) };
  await assert.rejects(generate(ossai(CHAT.model), unsupported), UnsupportedFunctionalityError.isInstance);
  const audio = [{ role: "user", content: [{ type: "file", mediaType: "audio/wav", data: { type: "url", url: new URL("https://a.example/x.wav") } }] }];
  await assert.rejects(ossai(CHAT.model).doGenerate({ prompt: audio }), UnsupportedFunctionalityError.isInstance);
  const many = ossai.embeddingModel("openai/text-embedding-3-small");
  await assert.rejects(many.doEmbed({ values: Array(2049).fill("x") }), TooManyEmbeddingValuesForCallError.isInstance);
  assert.throws(() => ossai.imageModel("openai/x"), NoSuchModelError.isInstance);
  assert.throws(() => ossai(""), InvalidArgumentError.isInstance);
  assert.equal((await script.requests()).length, 0);
});

test("failed embeddings say where they went, and are not tried again above", async (t) => {
  const { ossai, script } = await scripted(t, CHAT, [fails(500)]);
  const model = ossai.embeddingModel("openai/text-embedding-3-small");
  await assert.rejects(embedMany({ model, values: ["a secret text"] }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.url, `${script.url}/v1/embeddings`);
    assert.doesNotMatch(JSON.stringify(error), /secret text/);
    return true;
  });
  assert.equal((await script.requests()).length, 3);
});

test("headers of the call go out; the AI SDK's own user agent does not", async (t) => {
  const { model, script } = await scripted(t, CHAT, [{ body: { openai_chat: { text: "Hi" } } }]);
  await generateText({ model, prompt: "Hi", headers: { "x-experiment": "42" } });
  const sent = Object.fromEntries((await script.requests())[0].headers);
  assert.equal(sent["x-experiment"], "42");
  assert.doesNotMatch(sent["user-agent"] ?? "", /ai\/7/);
});
