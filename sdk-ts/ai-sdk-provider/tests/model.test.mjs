// What the specification asks of a model, and what ossai adds to it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { convertReadableStreamToArray } from "@ai-sdk/provider-utils/test";
import { createOssai } from "@ossai/ai-sdk-provider";
import { createClient } from "@ossai/sdk";
import { createProviderRegistry, generateObject, generateText, isStepCount, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { LOCAL } from "../../tests/support.mjs";
import { ANTHROPIC, APIS, CHAT, collect, RESPONSES, scripted } from "./support.mjs";

const prompt = [{ role: "user", content: [{ type: "text", text: "Hi" }] }];
const says = (text, more) => ({ body: { openai_chat: { text, ...more } } });

for (const api of APIS) {
  test(`${api.api}: stream parts come in the order the specification gives`, async (t) => {
    const calls = ["a", "b"].map((id) => ({ id, name: id, arguments: '{"x":1}', pieces: 2 }));
    const thought = {
      openai_chat: { deltas: [{ reasoning_content: "Hm." }, "One", " two"] },
      openai_responses: { reasoning: "Hm.", deltas: ["One", " two"] },
      anthropic_messages: { thinking: { text: "Hm.", signature: "sig" }, deltas: ["One", " two"] },
    };
    const { model } = await scripted(t, api, [{ body: { [api.stream]: { tool_calls: calls, ...thought[api.api] } } }]);
    const { stream, request } = await model.doStream({ prompt });
    const parts = await convertReadableStreamToArray(stream);
    assert.equal(parts[0].type, "stream-start");
    assert.equal(parts[1].type, "response-metadata");
    assert.equal(parts.at(-1).type, "finish");
    assert.equal(parts.at(-1).finishReason.unified, "tool-calls");
    assert.equal(request.body.model, api.model);
    const open = new Map();
    const seen = [];
    for (const { type, id } of parts) {
      const [, kind, edge] = /^(text|reasoning|tool-input)-(start|delta|end)$/.exec(type) ?? [];
      if (kind === undefined) continue;
      if (edge === "start") {
        assert.ok(!open.has(id), `${kind} ${id} begins once`);
        open.set(id, kind);
        seen.push(kind);
      } else assert.equal(open.get(id), kind, `${type} within its block`);
      if (edge === "end") open.delete(id);
    }
    assert.equal(open.size, 0, "every block has its end");
    assert.deepEqual(seen, ["reasoning", "text", "tool-input", "tool-input"]);
    const made = parts.filter(({ type }) => type === "tool-call");
    assert.deepEqual(made.map(({ toolCallId, toolName, input }) => [toolCallId, toolName, input]), [["a", "a", '{"x":1}'], ["b", "b", '{"x":1}']]);
  });

  test(`${api.api}: a streamed answer is the whole one`, async (t) => {
    const answer = { usage: { input: 100, output: 50, cache_read: 60, reasoning: api === ANTHROPIC ? 0 : 20 } };
    const { model } = await scripted(t, api, [
      { body: { [api.whole]: { ...answer, text: "Same." } } },
      { body: { [api.stream]: { ...answer, deltas: ["Sa", "me."] } } },
    ]);
    const whole = await model.doGenerate({ prompt });
    const { finishReason, usage, providerMetadata } = (await convertReadableStreamToArray((await model.doStream({ prompt })).stream)).at(-1);
    assert.deepEqual(finishReason, whole.finishReason);
    assert.deepEqual({ ...usage, raw: 0 }, { ...whole.usage, raw: 0 });
    assert.equal(usage.inputTokens.cacheRead, 60);
    assert.equal(usage.inputTokens.total, usage.inputTokens.noCache + 60);
    assert.equal(usage.outputTokens.text + usage.outputTokens.reasoning, usage.outputTokens.total);
    assert.deepEqual(providerMetadata.ossai.cost, whole.providerMetadata.ossai.cost);
    assert.equal(providerMetadata.ossai.cost.status, "exact");
    assert.ok(providerMetadata.ossai.cost.total > 0);
    assert.ok(whole.usage.raw !== undefined);
  });
}

test("the answer's id, model and time are told", async (t) => {
  const { model } = await scripted(t, CHAT, [says("Hi", { id: "chatcmpl-7", model: "gpt-4o-mini-2024-07-18" })]);
  const { response, providerMetadata } = await generateText({ model, prompt: "Hi" });
  assert.deepEqual([response.id, response.modelId], ["chatcmpl-7", "gpt-4o-mini-2024-07-18"]);
  assert.ok(response.timestamp instanceof Date && response.timestamp.getTime() > 0);
  assert.equal(providerMetadata.ossai.attempts.length, 1);
  assert.equal(providerMetadata.ossai.cache.status, "bypass");
});

test("a kept answer costs nothing and says so, whole or streamed", async (t) => {
  const { model, script } = await scripted(t, CHAT, [says("Kept.")]);
  await generateText({ model, prompt: "Hi", temperature: 0 });
  const again = await generateText({ model, prompt: "Hi", temperature: 0 });
  const streamed = streamText({ model, prompt: "Hi", temperature: 0 });
  assert.equal(await streamed.text, "Kept.");
  for (const { ossai } of [again.providerMetadata, await streamed.providerMetadata]) {
    assert.deepEqual([ossai.cache.status, ossai.cache.tier, ossai.cost.total, ossai.attempts], ["hit", "memory", 0, undefined]);
  }
  assert.equal((await script.requests()).length, 1);
});

test("an answer kept for the client is found by the provider: the key is the same", async (t) => {
  const { ossai, model, script } = await scripted(t, CHAT, [says("Shared.")]);
  await ossai.client.complete({ model: CHAT.model, messages: [{ role: "user", content: "Hi" }], temperature: 0, max_tokens: 9 });
  const { text } = await generateText({ model, prompt: "Hi", temperature: 0, maxOutputTokens: 9 });
  assert.equal(text, "Shared.");
  assert.equal((await script.requests()).length, 1);
});

test("settings go out under their names on the wire", async (t) => {
  const { model, bodies } = await scripted(t, CHAT, [says("Hi")]);
  await model.doGenerate({
    prompt,
    maxOutputTokens: 5,
    temperature: 0.5,
    topP: 0.9,
    topK: 3,
    frequencyPenalty: 0.1,
    presencePenalty: 0.2,
    seed: 7,
    stopSequences: ["END"],
    responseFormat: { type: "json" },
    toolChoice: { type: "tool", toolName: "x" },
    tools: [{ type: "function", name: "x", description: "X.", inputSchema: { type: "object" }, strict: true }],
    providerOptions: { ossai: { request: { parallel_tool_calls: false, service_tier: "flex" }, tags: { team: "a" } } },
  });
  const [body] = await bodies();
  assert.deepEqual(body, {
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: "Hi" }],
    max_tokens: 5,
    temperature: 0.5,
    top_p: 0.9,
    top_k: 3,
    frequency_penalty: 0.1,
    presence_penalty: 0.2,
    seed: 7,
    stop: ["END"],
    response_format: { type: "json_object" },
    tool_choice: { type: "function", function: { name: "x" } },
    tools: [{ type: "function", function: { name: "x", description: "X.", parameters: { type: "object" }, strict: true } }],
    parallel_tool_calls: false,
    service_tier: "flex",
  });
});

test("the effort of reasoning is the call's, or the provider's own option", async (t) => {
  const { model, bodies } = await scripted(t, CHAT, [says("Hi"), says("Hi"), says("Hi")]);
  await model.doGenerate({ prompt, reasoning: "high" });
  await model.doGenerate({ prompt, reasoning: "high", providerOptions: { ossai: { request: { reasoning_effort: "low" } } } });
  await model.doGenerate({ prompt, reasoning: "provider-default" });
  assert.deepEqual((await bodies()).map((body) => body.reasoning_effort), ["high", "low", undefined]);
});

test("what a model does not take is a warning, whole or streamed", async (t) => {
  const { model } = await scripted(t, RESPONSES, [
    { body: { openai_responses: { text: "Hi" } } },
    { body: { openai_responses_stream: { deltas: ["Hi"] } } },
  ]);
  const call = { prompt, topK: 3, seed: 7, tools: [{ type: "provider", id: "openai.web_search", name: "web_search", args: {} }] };
  const { warnings, providerMetadata } = await model.doGenerate(call);
  const [start] = await convertReadableStreamToArray((await model.doStream(call)).stream);
  for (const told of [warnings, start.warnings]) {
    assert.deepEqual(told.map(({ type, feature }) => [type, feature]), [
      ["unsupported", "provider-defined tool openai.web_search"],
      ["unsupported", "topK"],
      ["unsupported", "seed"],
    ]);
  }
  assert.deepEqual(providerMetadata.ossai.dropped_params, ["top_k", "seed"]);
});

test("signed reasoning comes back to the model that needs it, whole or streamed", async (t) => {
  const thinking = { text: "Look it up.", signature: "sig-1" };
  const calls = [{ id: "toolu_1", name: "now", arguments: "{}" }];
  const now = tool({ inputSchema: z.object({}), execute: async () => "noon" });
  for (const stream of [false, true]) {
    const first = stream ? { anthropic_stream: { deltas: [], thinking, tool_calls: calls } } : { anthropic: { thinking, tool_calls: calls } };
    const last = stream ? { anthropic_stream: { deltas: ["Noon."] } } : { anthropic: { text: "Noon." } };
    const { model, bodies } = await scripted(t, ANTHROPIC, [{ body: first }, { body: last }]);
    const call = { model, tools: { now }, stopWhen: isStepCount(2), prompt: "What time is it?" };
    const result = stream ? streamText(call) : await generateText(call);
    assert.equal(await result.text, "Noon.");
    const [, second] = await bodies();
    const content = second.messages.find(({ role }) => role === "assistant").content;
    assert.deepEqual(content[0], { type: "thinking", thinking: "Look it up.", signature: "sig-1" });
    assert.equal(content.at(-1).type, "tool_use");
  }
});

test("parts that neither vocabulary has a name for travel whole", async (t) => {
  const block = { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: { query: "x" } };
  const { model, bodies } = await scripted(t, ANTHROPIC, [
    { body: { anthropic: { content: [block, { type: "text", text: "Found." }] } } },
    { body: { anthropic: { text: "Yes." } } },
  ]);
  const first = await generateText({ model, prompt: "Search." });
  assert.equal(first.text, "Found.");
  await generateText({ model, messages: [{ role: "user", content: "Search." }, ...first.responseMessages, { role: "user", content: "Sure?" }] });
  const [, second] = await bodies();
  assert.deepEqual(second.messages[1].content[0], block);
});

test("a tool that throws is told to the model as an error", async (t) => {
  const { model, bodies } = await scripted(t, ANTHROPIC, [
    { body: { anthropic: { tool_calls: [{ id: "toolu_1", name: "f", arguments: "{}" }] } } },
    { body: { anthropic: { text: "Sorry." } } },
  ]);
  const f = tool({
    inputSchema: z.object({}),
    execute: async () => {
      throw new Error("no luck");
    },
  });
  await generateText({ model, tools: { f }, stopWhen: isStepCount(2), prompt: "Go." });
  const [, second] = await bodies();
  const [result] = second.messages.at(-1).content;
  assert.deepEqual([result.type, result.tool_use_id, result.is_error], ["tool_result", "toolu_1", true]);
  assert.match(JSON.stringify(result.content), /no luck/);
});

test("messages, parts and tools may have fields of the vendor's", async (t) => {
  const { model, bodies } = await scripted(t, ANTHROPIC, [{ body: { anthropic: { text: "Hi" } } }]);
  const ephemeral = { ossai: { cache_control: { type: "ephemeral" } } };
  await generateText({
    model,
    messages: [{ role: "user", content: [{ type: "text", text: "Long.", providerOptions: ephemeral }] }],
    tools: { x: tool({ inputSchema: z.object({}), providerOptions: ephemeral }) },
  });
  const [body] = await bodies();
  assert.deepEqual(body.messages[0].content[0].cache_control, { type: "ephemeral" });
  assert.deepEqual(body.tools[0].cache_control, { type: "ephemeral" });
});

test("audio and uploaded files go as the vendor knows them", async (t) => {
  const { model, bodies } = await scripted(t, CHAT, [says("Hi")]);
  const file = (mediaType, data) => ({ type: "file", mediaType, data });
  await model.doGenerate({
    prompt: [
      {
        role: "user",
        content: [
          file("audio/mpeg", { type: "data", data: "AAAA" }),
          file("application/pdf", { type: "reference", reference: { openai: "file-1" } }),
          file("text/plain", { type: "text", text: "Notes." }),
        ],
      },
    ],
  });
  const [{ messages }] = await bodies();
  assert.deepEqual(messages[0].content, [
    { type: "input_audio", input_audio: { data: "AAAA", format: "mp3" } },
    { type: "file", file: { file_id: "file-1" } },
    { type: "text", text: "Notes." },
  ]);
});

test("the older object functions work", async (t) => {
  const { model } = await scripted(t, CHAT, [says('{"n":1}'), { body: { openai_chat_stream: { deltas: ['{"n":', "1}"] } } }]);
  const schema = z.object({ n: z.number() });
  assert.deepEqual((await generateObject({ model, schema, prompt: "One." })).object, { n: 1 });
  const streamed = streamObject({ model, schema, prompt: "One." });
  assert.deepEqual((await collect(streamed.partialObjectStream)).at(-1), { n: 1 });
  assert.deepEqual(await streamed.object, { n: 1 });
});

test("raw chunks are ossai's events", async (t) => {
  const { model } = await scripted(t, CHAT, [{ body: { openai_chat_stream: { deltas: ["Hi"] } } }]);
  const parts = await convertReadableStreamToArray((await model.doStream({ prompt, includeRawChunks: true })).stream);
  const raw = parts.filter(({ type }) => type === "raw").map(({ rawValue }) => rawValue.type);
  assert.equal(raw[0], "start");
  assert.equal(raw.at(-1), "end");
  assert.equal(parts.at(-1).type, "finish");
});

test("a registry finds the provider's models by the names they have in ossai", async (t) => {
  const { ossai } = await scripted(t, CHAT, [says("Hi")]);
  const registry = createProviderRegistry({ ossai });
  assert.equal((await generateText({ model: registry.languageModel("ossai:openai/gpt-4o-mini"), prompt: "Hi" })).text, "Hi");
  assert.equal(registry.embeddingModel("ossai:openai/text-embedding-3-small").modelId, "openai/text-embedding-3-small");
});

test("a client of the program's own is used and left open; nothing is opened before the first call", async (t) => {
  const client = createClient({ environment: false });
  t.after(() => client.close());
  const own = createOssai({ client });
  assert.equal(own.client, client);
  const { text } = await generateText({ model: own("local/extract"), prompt: "Context:\nThe sky is blue.\n\nWhat colour is the sky?" });
  assert.match(text, /blue/);
  await own[Symbol.asyncDispose]();
  assert.equal(client.lookup({ ...LOCAL, user: "still open" }), null);
  const broken = createOssai({ nonsense: true }); // says so when it is first used
  await assert.rejects(generateText({ model: broken("openai/x"), prompt: "Hi" }), { argument: "config.nonsense" });
  assert.throws(() => createOssai({ client, timeout: 1 }), { argument: "client" });
  assert.throws(() => createOssai({ maxEmbeddingsPerCall: 0 }), { argument: "maxEmbeddingsPerCall" });
});

test("text deltas reach the reader as they come", async (t) => {
  const { model } = await scripted(t, CHAT, [{ body: { openai_chat_stream: { deltas: ["a", "b", "c"] } } }]);
  const parts = await collect(streamText({ model, prompt: "Hi" }).fullStream);
  assert.deepEqual(parts.filter(({ type }) => type === "text-delta").map(({ text }) => text), ["a", "b", "c"]);
});
