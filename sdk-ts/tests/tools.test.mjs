// Tools whose handlers are functions: what the model is told, what runs, and that nothing a handler does harms the rest.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, mcpTool, tool, toolsOf } from "@ossai/sdk";
import { z } from "zod";
import { ask, MODEL, open, run, says, streams, upstream } from "./support.mjs";

const asks = (name, ...args) => ({
  body: { openai_chat: { tool_calls: args.map((one, n) => ({ id: `call_${n + 1}`, name, arguments: JSON.stringify(one) })) } },
});
const asksInAStream = (name, args) => ({
  body: { openai_chat_stream: { tool_calls: [{ id: "call_1", name, arguments: JSON.stringify(args) }] } },
});
const lastMessage = async (script) => (await script.requests()).at(-1).body.messages.at(-1);
const echo = (more) => tool({ name: "echo", input: z.object({ text: z.string() }), handler: ({ text }) => text, ...more });

test("a tool by zod: the model gets its JSON Schema, the handler its values, the program the whole run", async (t) => {
  const script = await upstream([asks("weather", { city: "Oslo" }), says("Take one.")]);
  const client = open(t, script.settings);
  const weather = tool({
    name: "weather",
    description: "The weather of a city.",
    input: z.object({ city: z.string().trim(), days: z.number().int().default(1).describe("how many") }),
    output: z.object({ sky: z.string() }),
    handler: ({ city, days }) => ({ sky: `rain in ${city} for ${days}` }),
  });
  const answer = await client.complete({ ...ask("Umbrella?"), tools: [weather] });
  assert.equal(answer.text, "Take one.");
  assert.equal(answer.cost.total, 11700);
  assert.deepEqual(answer.tool_run.turns.map((turn) => turn.cost.total), [5850, 5850]);
  assert.deepEqual(answer.tool_run.calls[0].output, { sky: "rain in Oslo for 1" });
  assert.equal(answer.tool_run.messages.at(-1).content, "Take one.");
  const [first] = await script.requests();
  const sent = first.body.tools[0].function;
  assert.equal(sent.description, "The weather of a city.");
  assert.deepEqual(sent.parameters.required, ["city"]);
  assert.equal(sent.parameters.properties.days.description, "how many");
});

test("any schema library that gives its JSON Schema will do, and a JSON Schema itself", async (t) => {
  const schema = {
    "~standard": {
      version: 1,
      vendor: "own",
      validate: ({ n }) => (n % 2 ? { issues: [{ message: "not even", path: ["n"] }] } : { value: n }),
      jsonSchema: { input: () => ({ type: "object", properties: { n: { type: "integer" } } }), output: () => ({}) },
    },
  };
  const script = await upstream([asks("half", { n: 3 }), asks("half", { n: 4 }), asks("raw", { n: 1 }), says("Done.")]);
  const client = open(t, script.settings);
  const half = tool({ name: "half", input: schema, handler: (n) => n / 2 });
  const raw = tool({ name: "raw", input: { type: "object" }, handler: (input) => input });
  const { tool_run } = await client.complete({ ...ask("Go on."), tools: [half, raw] }, { onToolError: "fail" });
  assert.deepEqual(tool_run.calls.map(({ outcome, output }) => output ?? outcome), ["invalid_input", 2, { n: 1 }]);
  assert.match(tool_run.calls[0].error.message, /n: not even/);
  assert.throws(() => tool({ name: "x", input: { "~standard": { version: 1, vendor: "mute" } }, handler: () => 1 }), /mute/);
});

test("a handler runs in its caller's async context, several of a turn at once", async (t) => {
  const script = await upstream([asks("echo", { text: "a" }, { text: "b" }), says("Done.")]);
  const client = open(t, script.settings);
  const storage = new AsyncLocalStorage();
  let atOnce = 0;
  let most = 0;
  const handler = async ({ text }) => {
    most = Math.max(most, ++atOnce);
    await sleep(20);
    atOnce -= 1;
    return `${storage.getStore()} ${text}`;
  };
  const answer = await storage.run("mine", () => client.complete({ ...ask("Go on."), tools: [echo({ handler })] }));
  assert.deepEqual(answer.tool_run.calls.map((call) => call.output), ["mine a", "mine b"]);
  assert.equal(most, 2);
});

for (const [name, bad, type] of [
  ["throws", () => { throw new RangeError("no such city"); }, "RangeError"],
  ["throws what is no error", () => { throw "no such city"; }, "string"],
  ["rejects", () => Promise.reject(new TypeError("no such city")), "TypeError"],
]) {
  test(`what a handler ${name} is told to the model, or is the cause`, async (t) => {
    const script = await upstream([asks("echo", { text: "a" }), says("Never mind."), asks("echo", { text: "b" })]);
    const client = open(t, script.settings);
    const tools = [echo({ handler: bad })];
    const answer = await client.complete({ ...ask("One."), tools });
    assert.equal(answer.text, "Never mind.");
    assert.equal(answer.tool_run.calls[0].error.type, type);
    assert.match((await lastMessage(script)).content, /no such city/);
    await assert.rejects(client.complete({ ...ask("Two."), tools }, { onToolError: "fail" }), (error) => {
      assert.equal(error.code, "callback_error");
      assert.match(String(error.cause), /no such city/);
      assert.doesNotMatch(error.message, /city/);
      assert.equal(error.partial.tool_run.calls[0].outcome, "failed");
      return true;
    });
  });
}

test("what no JSON can hold is the handler's failure", async (t) => {
  const script = await upstream([asks("echo", { text: "a" }), says("Never mind.")]);
  const answer = await open(t, script.settings).complete({ ...ask("One."), tools: [echo({ handler: () => () => 1 })] });
  assert.equal(answer.tool_run.calls[0].outcome, "failed");
});

test("a handler that hangs hears its signal when its time is up", async (t) => {
  const script = await upstream([asks("echo", { text: "a" }), says("Without it.")]);
  const client = open(t, script.settings);
  let heard;
  const handler = (_, { signal, deadline }) => {
    assert.ok(deadline > performance.now());
    return new Promise(() => signal.addEventListener("abort", () => (heard = true)));
  };
  const answer = await client.complete({ ...ask("One."), tools: [echo({ handler })] }, { toolTimeout: 30 });
  assert.equal(answer.tool_run.calls[0].outcome, "timeout");
  assert.equal(heard, true);
  assert.equal(client.callsUnderWay, 0);
});

test("aborting the call aborts its handlers", async (t) => {
  const script = await upstream([asks("echo", { text: "a" })], { default: says("Still there.") });
  const client = open(t, script.settings);
  const controller = new AbortController();
  const heard = new Promise((resolve) => {
    const handler = (_, { signal }) => {
      signal.addEventListener("abort", () => resolve(true));
      controller.abort();
      return new Promise(() => {});
    };
    const call = client.complete({ ...ask("One."), tools: [echo({ handler })] }, { signal: controller.signal });
    assert.rejects(call, { name: "AbortError" }).catch(resolve);
  });
  assert.equal(await heard, true);
  assert.equal((await client.complete(ask("There?"))).text, "Still there.");
  assert.equal(client.callsUnderWay, 0);
});

test("a handler may use the client it serves", async (t) => {
  const script = await upstream([asks("echo", { text: "a" }), says("Rain."), says("Take one.")]);
  const client = open(t, script.settings);
  const handler = async () => (await client.complete(ask("What is the weather?"))).text;
  assert.equal((await client.complete({ ...ask("Umbrella?"), tools: [echo({ handler })] })).text, "Take one.");
});

test("nothing runs that was not approved", async (t) => {
  const script = await upstream([asks("echo", { text: "a" }, { text: "b" }), says("As you like.")]);
  const ran = [];
  const answer = await open(t, script.settings).complete(
    { ...ask("Go on."), tools: [echo({ handler: ({ text }) => void ran.push(text) })] },
    { approve: async ({ name, input }) => (assert.equal(name, "echo"), input.text === "b" || "not a") },
  );
  assert.deepEqual(ran, ["b"]);
  assert.deepEqual(answer.tool_run.calls.map((call) => call.outcome), ["denied", "ok"]);
});

test("a stream has the events of the turns and of the calls, and what a handler throws is its error's cause", async (t) => {
  const script = await upstream([asksInAStream("echo", { text: "a" }), streams(["Do", "ne."]), asksInAStream("echo", { text: "b" })]);
  const client = open(t, script.settings);
  const types = [];
  const stream = client.stream({ ...ask("Go on."), tools: [echo()] });
  for await (const event of stream) types.push(event.type);
  const wanted = ["tool_started", "tool_result", "turn", "text_delta", "text_delta", "end"];
  assert.deepEqual(types.filter((type) => wanted.includes(type)), wanted);
  assert.equal(stream.completion.text, "Done.");
  const handler = () => { throw new RangeError("no"); };
  const failing = client.stream({ ...ask("Further."), tools: [echo({ handler })] }, { onToolError: "fail" });
  await assert.rejects(failing.final(), (error) => error.code === "callback_error" && error.cause instanceof RangeError);
});

test("leaving a stream aborts its handlers", async (t) => {
  const script = await upstream([asksInAStream("echo", { text: "a" })]);
  const client = open(t, script.settings);
  let heard;
  const aborted = new Promise((resolve) => (heard = resolve));
  const handler = (_, { signal }) => new Promise(() => signal.addEventListener("abort", heard));
  for await (const event of client.stream({ ...ask("Go on."), tools: [echo({ handler })] })) if (event.type === "tool_started") break;
  await aborted;
  assert.equal(client.callsUnderWay, 0);
});

test("registered tools are found by id and by capability, and used by name", async (t) => {
  class Files {
    greeting = "hello";
    async read({ path }) {
      return `${this.greeting} ${path}`;
    }
    remove() {}
  }
  // What a compiler makes of `@mcpTool(…)`: the standard's form and the older one.
  mcpTool({ description: "Reads.", input: z.object({ path: z.string() }), capabilities: ["read"] })(Files.prototype.read, { kind: "method", name: "read" });
  mcpTool({ name: "delete", capabilities: ["write"] })(Files.prototype, "remove", Object.getOwnPropertyDescriptor(Files.prototype, "remove"));
  const script = await upstream([asks("read", { path: "a" }), says("Done.")]);
  const client = open(t, script.settings);
  client.tools.register(new Files(), echo());
  assert.deepEqual(client.tools.list().map(({ id }) => id), ["read", "delete", "echo"]);
  assert.deepEqual(client.tools.list({ capabilities: ["write"] }).map(({ name }) => name), ["delete"]);
  assert.equal(client.tools.get("read").description, "Reads.");
  assert.equal(client.tools.get("nothing"), undefined);
  assert.throws(() => client.tools.register(echo()), { code: "invalid_request" });
  assert.throws(() => toolsOf({}), { code: "invalid_request" });
  const answer = await client.complete({ ...ask("Go on."), tools: ["read"] });
  assert.equal(answer.tool_run.calls[0].output, "hello a");
  assert.ok(client.tools.unregister("echo"));
  await assert.rejects(client.complete({ ...ask("Go on."), tools: ["echo"] }), { code: "invalid_request" });
});

test("counting and looking up know a tool with a handler as what it is", (t) => {
  const client = open(t, { environment: false });
  const request = ask("Hello");
  const with_ = { ...request, tools: [echo()] };
  const bare = { ...request, tools: [echo().definition()] };
  assert.equal(client.key(with_), client.key(bare));
  assert.equal(client.count(with_).tokens, client.count(bare).tokens);
  assert.equal(client.lookup(with_), null);
  assert.equal(client.explain(with_).key, client.explain(bare).key);
  assert.equal(client.estimate(with_).status, client.estimate(bare).status);
});

for (const [name, more, options, field] of [
  ["a bound without a handler", { tools: [{ name: "x" }] }, { maxTurns: 3 }, "options.maxTurns"],
  ["no turns", { tools: [echo()] }, { maxTurns: 0 }, "options.tools.max_turns"],
  ["an approval that is no function", { tools: [echo()] }, { approve: 7 }, "options.approve"],
  ["a name twice", { tools: [echo(), echo()] }, undefined, "tools[1].name"],
  ["a time below zero", { tools: [echo({ timeout: -1 })] }, undefined, "tools.timeout"],
]) {
  test(`a mistake names its field: ${name}`, async (t) => {
    const client = open(t, { environment: false });
    await assert.rejects(client.complete({ ...ask("Hello"), ...more }, options), { code: "invalid_request", field });
  });
}

test("the process waits for a handler and ends by itself", async () => {
  const script = await upstream([asks("slow", {}), says("Done.")]);
  const program = `
    import { createClient, tool } from "@ossai/sdk";
    import { setTimeout as sleep } from "node:timers/promises";
    const client = createClient(${JSON.stringify(script.settings)});
    const slow = tool({ name: "slow", handler: () => sleep(50, "slow", { ref: false }) });
    const answer = await client.complete({ model: ${JSON.stringify(MODEL)}, messages: [{ role: "user", content: "x" }], tools: [slow] });
    console.log(answer.text);
  `;
  const { code, said } = await run(["--input-type=module", "-e", program]);
  assert.deepEqual([code, said.trim()], [0, "Done."]);
});

test("a client that is closed runs no tools", async () => {
  const client = createClient({ environment: false });
  await client.close();
  await assert.rejects(client.complete({ ...ask("Hello"), tools: [echo()] }), { code: "invalid_state" });
});
