// The features that the AI SDK's own end-to-end suite asks of each of its providers, through each API.
import assert from "node:assert/strict";
import { test } from "node:test";
import { APICallError, embed, embedMany, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";
import { APIS, CHAT, collect, scripted } from "./support.mjs";

const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const PDF = Buffer.from("%PDF-1.4\n%%EOF\n");
const CITY = { id: "call_1", name: "weather", arguments: '{"city":"Oslo"}' };
const weather = tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => ({ city, sky: "rain" }) });
const person = z.object({ name: z.string(), age: z.number() });
const PERSON = '{"name":"Ada","age":36}';

for (const api of APIS) {
  const whole = (fields) => ({ body: { [api.whole]: fields } });
  const stream = (fields) => ({ body: { [api.stream]: fields } });
  const named = (title) => `${api.api}: ${title}`;

  test(named("generates text, with usage"), async (t) => {
    const { model } = await scripted(t, api, [whole({ text: "Code flows." })]);
    const { text, usage, finishReason } = await generateText({ model, prompt: "Write a haiku." });
    assert.equal(text, "Code flows.");
    assert.equal(finishReason, "stop");
    assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.totalTokens], [11, 7, 18]);
  });

  test(named("generates text with instructions"), async (t) => {
    const { model, bodies } = await scripted(t, api, [whole({ text: "Yes." })]);
    const { text } = await generateText({
      model,
      instructions: "You are terse.",
      messages: [{ role: "user", content: [{ type: "text", text: "Well?" }] }],
    });
    assert.equal(text, "Yes.");
    assert.match(JSON.stringify(await bodies()), /You are terse\./);
  });

  test(named("streams text, with usage"), async (t) => {
    const { model } = await scripted(t, api, [stream({ deltas: ["One, ", "two, ", "three."] })]);
    const result = streamText({ model, prompt: "Count." });
    assert.deepEqual(await collect(result.textStream), ["One, ", "two, ", "three."]);
    assert.equal((await result.usage).totalTokens, 18);
    assert.equal(await result.finishReason, "stop");
  });

  test(named("generates an object held to its schema"), async (t) => {
    const { model, bodies } = await scripted(t, api, [whole({ text: PERSON })]);
    const { output, usage } = await generateText({ model, output: Output.object({ schema: person }), prompt: "A person." });
    assert.deepEqual(output, { name: "Ada", age: 36 });
    assert.equal(usage.totalTokens, 18);
    assert.match(JSON.stringify(await bodies()), /"json_schema"/);
  });

  test(named("streams an object as it grows"), async (t) => {
    const { model } = await scripted(t, api, [stream({ deltas: ['{"name":', '"Ada",', '"age":36}'] })]);
    const result = streamText({ model, output: Output.object({ schema: person }), prompt: "A person." });
    const parts = await collect(result.partialOutputStream);
    assert.ok(parts.length > 1);
    assert.deepEqual(parts.at(-1), { name: "Ada", age: 36 });
    assert.deepEqual(await result.output, { name: "Ada", age: 36 });
  });

  test(named("generates text with tools until there is an answer"), async (t) => {
    const { model, bodies } = await scripted(t, api, [whole({ tool_calls: [CITY] }), whole({ text: "It rains." })]);
    const { text, steps } = await generateText({ model, tools: { weather }, stopWhen: isStepCount(3), prompt: "Weather in Oslo?" });
    assert.equal(text, "It rains.");
    assert.equal(steps[0].finishReason, "tool-calls");
    assert.deepEqual(steps[0].toolCalls.map(({ toolName, input }) => [toolName, input]), [["weather", { city: "Oslo" }]]);
    assert.deepEqual(steps[0].toolResults[0].output, { city: "Oslo", sky: "rain" });
    const [first, second] = await bodies();
    assert.match(JSON.stringify(first.tools), /"city"/);
    assert.match(JSON.stringify(second), /call_1.*sky.*rain/);
  });

  test(named("streams text with several tool calls at once, then the answer"), async (t) => {
    const other = { ...CITY, id: "call_2", arguments: '{"city":"Rome"}' };
    const { model } = await scripted(t, api, [stream({ deltas: [], tool_calls: [{ ...CITY, pieces: 3 }, other] }), stream({ deltas: ["Rain, sun."] })]);
    const result = streamText({ model, tools: { weather }, stopWhen: isStepCount(3), prompt: "Oslo and Rome?" });
    const parts = await collect(result.fullStream);
    const typed = new Map(parts.filter(({ type }) => type === "tool-input-start").map(({ id }) => [id, ""]));
    for (const { type, id, delta } of parts) if (type === "tool-input-delta") typed.set(id, typed.get(id) + delta);
    assert.deepEqual([...typed.values()].map((text) => JSON.parse(text)), [{ city: "Oslo" }, { city: "Rome" }]);
    assert.deepEqual(parts.filter(({ type }) => type === "tool-call").map(({ input }) => input.city), ["Oslo", "Rome"]);
    assert.equal(parts.filter(({ type }) => type === "tool-result").length, 2);
    assert.equal(await result.text, "Rain, sun.");
  });

  for (const [title, content, sent] of [
    ["an image by content", { type: "file", mediaType: "image", data: PNG }, /image\/png/],
    ["an image by address", { type: "file", mediaType: "image/png", data: new URL("https://images.example/a.png") }, /https:\/\/images\.example\/a\.png/],
    ["a PDF by content", { type: "file", mediaType: "application/pdf", data: PDF, filename: "a.pdf" }, /application\/pdf/],
  ]) {
    for (const how of ["generates", "streams"]) {
      test(named(`${how} text with ${title}`), async (t) => {
        const { model, bodies } = await scripted(t, api, [how === "streams" ? stream({ deltas: ["A dot."] }) : whole({ text: "A dot." })]);
        const messages = [{ role: "user", content: [{ type: "text", text: "What is it?" }, content] }];
        const result = how === "streams" ? streamText({ model, messages }) : await generateText({ model, messages });
        assert.equal(await result.text, "A dot.");
        assert.match(JSON.stringify(await bodies()), sent);
      });
    }
  }

  test(named("a model that is not there is an APICallError, generated or streamed"), async (t) => {
    const none = { status: 404, body: { [api.error]: { message: "no such model", type: "not_found_error" } } };
    const { model, script } = await scripted(t, api, [none, none]);
    const right = (error) => APICallError.isInstance(error) && error.statusCode === 404 && !error.isRetryable && error.url.startsWith(script.url);
    await assert.rejects(generateText({ model, prompt: "Hi" }), right);
    const errors = [];
    await streamText({ model, prompt: "Hi", onError: ({ error }) => errors.push(error) }).consumeStream();
    assert.equal(errors.length, 1);
    assert.ok(right(errors[0]));
  });
}

test("embeds one text, and many in their order over several requests", async (t) => {
  const auto = () => ({ body: { openai_embeddings: { auto: 4 } } });
  const { ossai, bodies } = await scripted(t, CHAT, [auto(), auto(), auto(), auto()], { maxEmbeddingsPerCall: 2 });
  const model = ossai.embeddingModel("openai/text-embedding-3-small");
  const one = await embed({ model, value: "alone" });
  assert.equal(one.embedding.length, 4);
  assert.ok(one.usage.tokens > 0);
  assert.equal(typeof one.providerMetadata.ossai.request_id, "string");
  const values = ["a", "bb", "ccc", "dddd", "eeeee"];
  const { embeddings, usage } = await embedMany({ model, values, maxParallelCalls: 1 });
  assert.deepEqual((await bodies()).slice(1).map(({ input }) => input), [["a", "bb"], ["ccc", "dddd"], ["eeeee"]]);
  assert.deepEqual(embeddings.map(([length]) => length), values.map(({ length }) => length));
  assert.ok(usage.tokens > 0);
});
