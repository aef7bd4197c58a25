// A scripted upstream, as the conformance cases have it, for every test that wants one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { createClient } from "@ossai/sdk";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const MODEL = "openai/gpt-4o-mini";
export const LOCAL = {
  model: "local/extract",
  messages: [{ role: "user", content: "Context:\nThe sky is blue.\n\nWhat colour is the sky?" }],
  temperature: 0,
};

export const says = (text, response) => ({ body: { openai_chat: { text } }, ...response });
export const streams = (deltas, response) => ({ body: { openai_chat_stream: { deltas } }, ...response });
export const hangs = () => ({ body: { openai_chat: { text: "never" } }, stall_after: { head: 10 } });
export const ask = (content, more) => ({ model: MODEL, messages: [{ role: "user", content }], ...more });

let control;
let upstreams;

async function start() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(ROOT, "target");
  const child = spawn(path.join(target, "debug/scripted-upstream"), { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  upstreams = child;
  return JSON.parse(line).control;
}

after(async () => {
  if (control === undefined) return;
  await control;
  upstreams.stdin.end();
  if (upstreams.exitCode === null) await once(upstreams, "exit");
});

/** One scripted upstream: its address and what has come to it. */
class Script {
  constructor(base, { id, base_url }) {
    this.base = `${base}/scripts/${id}`;
    this.url = base_url;
    /** Settings with which OpenAI is this upstream. */
    this.settings = {
      environment: false,
      providers: { openai: { baseUrl: `${base_url}/v1`, apiKey: "sk-canary", api: "openai_chat" } },
      retry: { baseMs: 1, throttleBaseMs: 1 },
    };
  }

  async #get(what) {
    return (await fetch(this.base + what)).json();
  }

  async reached(requests) {
    const { reached } = await this.#get(`/wait?requests=${requests}&timeout_ms=10000`);
    if (!reached) throw new Error(`${requests} requests were not reached`);
  }

  /** How the responses ended, once all have. */
  async outcomes() {
    const { log } = await this.#get("/wait?settled=1&timeout_ms=10000");
    return log.requests.map((entry) => entry.outcome ?? "under way");
  }

  async requests() {
    return (await this.#get("/log")).requests;
  }
}

/** A script with these responses. */
export async function upstream(responses, script) {
  control ??= start();
  const base = await control;
  const body = JSON.stringify({ responses, ...script });
  const answer = await fetch(`${base}/scripts`, { method: "POST", body });
  if (!answer.ok) throw new Error(await answer.text());
  return new Script(base, await answer.json());
}

/** Runs a program; gives its exit code, what it said and how long it took. */
export async function run(args, { input, timeout = 20_000, env } = {}) {
  const began = performance.now();
  const child = spawn(process.execPath, args, { cwd: path.join(ROOT, "sdk-ts"), timeout, env: { ...process.env, ...env } });
  let said = "";
  child.stdout.on("data", (data) => (said += data));
  child.stderr.on("data", (data) => (said += data));
  if (input !== undefined) child.stdin.end(input);
  const [code, signal] = await once(child, "close");
  return { code: code ?? signal, said, took: performance.now() - began };
}

/** A client that is closed with its test (`await using`, which Node 20 does not parse). */
export function open(t, settings) {
  const client = createClient(settings);
  t.after(() => client[Symbol.asyncDispose]());
  return client;
}
