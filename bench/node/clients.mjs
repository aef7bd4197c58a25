// Measures one thing about one Node client and prints it as a line of JSON, as bench/src/bin/clients does for Rust's.
//
//   clients.mjs MEASURE CLIENT --url http://HOST:PORT [--at N] [--seconds S] [--bytes N]
//
// MEASURE: calls (CPU and throughput), burst (streams of 2,000 events), hit (look-ups in the memory cache), import (time, and resident
// memory after it). CLIENT: openai-node, ai-sdk, ossai-node. OSSAI_BENCH_PEERS is the folder with the peers, OSSAI_BENCH_OURS the package.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const MODEL = "gpt-4o-mini";
const WORDS = "Why is the sky blue, and why is it red in the evening? Answer in two sentences. ";
const EVENTS = 2_000;
const LOOK_UPS = 20_000;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string", default: "http://127.0.0.1:8900" },
    at: { type: "string", default: "1" },
    seconds: { type: "string", default: "1" },
    bytes: { type: "string", default: "330" },
  },
});
const [measure, client] = positionals;
const [at, seconds, bytes] = [Number(values.at), Number(values.seconds), Number(values.bytes)];
const base = values.url + ({ burst: "/burst", hit: "/kb" }[measure] ?? "") + "/v1";

const peers = createRequire(join(process.env.OSSAI_BENCH_PEERS ?? process.cwd(), "package.json"));
/** As an ES module, as a program of today loads it. */
const load = (name) => import(pathToFileURL(peers.resolve(name)).href);

const CLIENTS = {
  "openai-node": {
    modules: () => [load("openai")],
    async open() {
      const { default: OpenAI } = await load("openai");
      const openai = new OpenAI({ baseURL: base, apiKey: "sk-bench" });
      const asked = (content) => ({ model: MODEL, messages: [{ role: "user", content }] });
      return {
        async call(text) {
          const answer = await openai.chat.completions.create(asked(text));
          return answer.choices[0].message.content.length;
        },
        async stream(text) {
          let events = 0;
          const chunks = await openai.chat.completions.create({ ...asked(text), stream: true, stream_options: { include_usage: true } });
          for await (const chunk of chunks) if (chunk.choices[0]?.delta.content) events++;
          return events;
        },
      };
    },
  },
  "ai-sdk": {
    modules: () => [load("ai"), load("@ai-sdk/openai")],
    async open() {
      const [{ generateText, streamText }, { createOpenAI }] = await Promise.all([load("ai"), load("@ai-sdk/openai")]);
      const model = createOpenAI({ baseURL: base, apiKey: "sk-bench" }).chat(MODEL);
      return {
        async call(prompt) {
          return (await generateText({ model, prompt })).text.length;
        },
        async stream(prompt) {
          let events = 0;
          for await (const piece of streamText({ model, prompt }).textStream) if (piece !== "") events++;
          return events;
        },
      };
    },
  },
  "ossai-node": {
    modules: () => [import(pathToFileURL(join(process.env.OSSAI_BENCH_OURS, "dist/index.mjs")).href)],
    async open() {
      const [{ createClient }] = await Promise.all(this.modules());
      const ours = createClient({
        environment: false,
        providers: { openai: { baseUrl: base, apiKey: "sk-bench", api: "openai_chat" } },
        coalesce: "all",
        cache: { enabled: measure === "hit", store: "all" },
      });
      const asked = (content) => ({ model: `openai/${MODEL}`, messages: [{ role: "user", content }] });
      return {
        async call(text) {
          return (await ours.complete(asked(text))).text.length;
        },
        async stream(text) {
          let events = 0;
          for await (const event of ours.stream(asked(text))) if (event.type === "text_delta" && event.text !== "") events++;
          return events;
        },
      };
    },
  },
};

let next = 0;
/** One of that size that was never asked before, so that nothing can be shared or remembered. */
const prompt = () => `${String(++next).padStart(20, "0")} ${WORDS.repeat(Math.ceil(bytes / WORDS.length))}`.slice(0, Math.max(bytes, 20));
const residentMb = () => process.memoryUsage().rss / 1e6;

function clock() {
  const began = performance.now();
  const used = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(used);
    return { cpu: user + system, wall: performance.now() - began };
  };
}

async function under(call, lasting) {
  const end = performance.now() + lasting * 1000;
  let calls = 0;
  const caller = async () => {
    while (performance.now() < end) {
      await call(prompt());
      calls++;
    }
  };
  await Promise.all(Array.from({ length: at }, caller));
  return calls;
}

const MEASURES = {
  async calls({ call }) {
    await under(call, seconds / 5);
    const stop = clock();
    const calls = await under(call, seconds);
    const { cpu, wall } = stop();
    return { at, bytes, calls, cpu_us: cpu / calls, per_s: (calls * 1000) / wall, resident_mb: residentMb() };
  },
  async burst({ stream }) {
    for (let i = 0; i < 3; i++) {
      const events = await stream(prompt());
      if (events !== EVENTS) throw new Error(`${events} events, expected ${EVENTS}`);
    }
    let events = 0;
    const stop = clock();
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) events += await stream(prompt());
    const { cpu, wall } = stop();
    return { cpu_us: cpu / events, per_s: (events * 1000) / wall };
  },
  async hit({ call }) {
    const text = prompt();
    for (let i = 0; i < 2_000; i++) await call(text);
    const stop = clock();
    for (let i = 0; i < LOOK_UPS; i++) await call(text);
    const { cpu, wall } = stop();
    return { bytes, cpu_us: cpu / LOOK_UPS, wall_us: (wall * 1000) / LOOK_UPS };
  },
};

const of = CLIENTS[client];
if (of === undefined || (measure !== "import" && MEASURES[measure] === undefined) || (measure === "hit" && client !== "ossai-node")) {
  throw new Error("expected calls, burst or import of openai-node, ai-sdk or ossai-node, or hit of ossai-node");
}
let figures;
if (measure === "import") {
  const before = residentMb();
  const stop = clock();
  await Promise.all(of.modules());
  figures = { wall_ms: stop().wall, resident_mb: residentMb() - before };
} else {
  figures = await MEASURES[measure](await of.open());
}
console.log(JSON.stringify({ measure, client, ...figures }));
process.exit(0);
