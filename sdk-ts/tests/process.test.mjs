// The ends of processes and workers; threads; memory.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { ask, hangs, LOCAL, MODEL, open, ROOT, run, says, streams, upstream } from "./support.mjs";

const json = JSON.stringify;
const CJS = `const { createClient } = require("@ossai/sdk");`;
const ESM = `import { createClient } from "@ossai/sdk";`;

test("loading and opening start no thread, and the first call that waits starts two", async () => {
  const program = `
    const { readdirSync, readFileSync } = require("node:fs");
    const ours = () => readdirSync("/proc/self/task").filter((id) => readFileSync("/proc/self/task/" + id + "/comm", "utf8").startsWith("ossai")).length;
    ${CJS}
    const client = createClient({ environment: false });
    const before = ours();
    client.count(${json(LOCAL)});
    const counted = ours();
    client.complete(${json(LOCAL)}).then(async () => {
      for (let i = 0; i < 200 && ours() < 2; i++) await new Promise((resolve) => setTimeout(resolve, 10)); // a thread names itself
      console.log(before, counted, ours());
    });
  `;
  assert.deepEqual((await run(["-e", program])).said, "0 0 2\n");
});

for (const [kind, args] of [
  ["CommonJS", ["--input-type=commonjs", "-e", CJS]],
  ["ESM", ["--input-type=module", "-e", ESM]],
]) {
  const program = (code) => [...args.slice(0, -1), args.at(-1) + code];

  test(`a ${kind} process ends by itself with an idle client and a half-read stream`, async () => {
    const script = await upstream([says("Hi"), streams(["a", "b"], { stall_after: { event: 2 } })]);
    const { code, said, took } = await run(
      program(`(async () => {
        const client = createClient(${json(script.settings)});
        console.log((await client.complete(${json(ask("one"))})).text);
        globalThis.stream = client.stream(${json(ask("two"))});
        console.log((await stream.next()).value.type);
      })();`),
    );
    assert.deepEqual([code, said], [0, "Hi\nstart\n"]);
    assert.ok(took < 10_000);
    assert.match((await script.outcomes())[1], /^client_/);
  });

  test(`a ${kind} process stays for an answer it waits for`, async () => {
    const script = await upstream([says("Hi", { delay_ms: 400 }), streams(["a"], { delay_ms: 400 })]);
    const { code, said } = await run(
      program(`
        const client = createClient(${json(script.settings)});
        client.complete(${json(ask("one"))}).then(async ({ text }) => {
          console.log(text, (await client.stream(${json(ask("two"))}).final()).text);
        });`),
    );
    assert.deepEqual([code, said], [0, "Hi a\n"]);
  });

  test(`a ${kind} process exits at once with calls in flight`, async () => {
    const script = await upstream([], { default: hangs() });
    const { code, said, took } = await run(
      program(`
        const client = createClient(${json(script.settings)});
        for (let i = 0; i < 100; i++) client.complete({ ...${json(ask("one"))}, user: String(i) });
        client.stream(${json(ask("two"))}).final();
        setTimeout(() => process.exit(7), 300);`),
    );
    assert.deepEqual([code, said], [7, ""]);
    assert.ok(took < 10_000);
  });
}

test("an unhandled error ends the process as ever", async () => {
  const { code, said } = await run(["-e", `${CJS} createClient({ environment: false }).complete({});`]);
  assert.equal(code, 1);
  assert.match(said, /InvalidRequestError: request: missing field `model`/);
});

const WORKER = `
  const { parentPort, workerData } = require("node:worker_threads");
  ${CJS}
  const client = createClient(workerData.settings);
  const calls = Array.from({ length: workerData.calls }, (_, n) => client.complete({ ...workerData.request, user: String(n) }));
  globalThis.stream = client.stream({ ...workerData.request, user: "stream" });
  stream.next().catch(() => {});
  Promise.all(calls).then((answers) => parentPort.postMessage(answers.map((answer) => answer.text)), () => {});
  parentPort.postMessage("begun");
`;

function worker(settings, calls) {
  const workerData = { settings, calls, request: ask("Hello") };
  return new Worker(WORKER, { eval: true, workerData });
}

test("workers and the main thread make calls at once", async (t) => {
  const script = await upstream([], { default: says("Hi", { delay_ms: 50 }) });
  const client = open(t, script.settings);
  const workers = Array.from({ length: 4 }, () => worker(script.settings, 10));
  const answers = workers.map(async (one) => {
    for (;;) {
      const [message] = await once(one, "message");
      if (message !== "begun") return message.length;
    }
  });
  assert.equal((await client.complete(ask("main"))).text, "Hi");
  assert.deepEqual(await Promise.all(answers), [10, 10, 10, 10]);
  await Promise.all(workers.map((one) => one.terminate()));
});

test("terminating a worker ends its calls, and the main thread's go on", async (t) => {
  const script = await upstream([], { default: hangs() });
  const client = open(t, script.settings);
  const abort = new AbortController();
  const mine = client.complete(ask("main"), { signal: abort.signal });
  for (let round = 1; round <= 20; round++) {
    const one = worker(script.settings, 5);
    await script.reached(1 + round * 6);
    const began = performance.now();
    await one.terminate();
    assert.ok(performance.now() - began < 5000);
  }
  assert.equal(client.callsUnderWay, 1);
  for (let i = 0; ; i++) {
    const outcomes = (await script.requests()).map(({ outcome }) => outcome);
    if (outcomes.filter((outcome) => outcome?.startsWith("client_")).length === 120) break;
    assert.ok(i < 200, outcomes.join());
    await sleep(25);
  }
  abort.abort();
  await assert.rejects(mine, { name: "AbortError" });
});

test("a worker that ends by itself with calls in flight ends them", async () => {
  const script = await upstream([], { default: hangs() });
  const one = new Worker(`${WORKER} setTimeout(() => process.exit(3), 300);`, {
    eval: true,
    workerData: { settings: script.settings, calls: 3, request: ask("Hello") },
  });
  const [code] = await once(one, "exit");
  assert.equal(code, 3);
  assert.ok((await script.outcomes()).every((outcome) => outcome.startsWith("client_")));
});

test("memory is flat over clients, calls, streams, errors and aborted calls", { timeout: 120_000 }, async () => {
  const script = await upstream([], { default: says("Hi") });
  const program = `
    ${CJS}
    const settings = ${json(script.settings)};
    const request = ${json(ask("Hello"))};
    const local = ${json(LOCAL)};
    const shared = createClient({ ...settings, cache: { maxBytes: 1 << 20 } });
    async function round(n) {
      for (let i = 0; i < n; i++) {
        const client = createClient({ ...settings, credentials: undefined });
        await client.complete({ ...local, user: String(i) });
        await shared.complete(local);
        await shared.stream(local).final();
        await shared.complete({ model: "x" }).catch(() => {});
        const abort = new AbortController();
        const call = shared.complete(request, { signal: abort.signal }).catch(() => {});
        abort.abort();
        await call;
        if (i % 10 === 0) await shared.complete(request);
        const half = shared.stream({ ...local, user: String(i) });
        await half.next();
      }
      for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)); }
      return process.memoryUsage();
    }
    (async () => {
      await round(300);
      const before = await round(100);
      const after = await round(600);
      console.log(JSON.stringify({ rss: after.rss - before.rss, heap: after.heapUsed - before.heapUsed, under: shared.callsUnderWay }));
    })();
  `;
  const { said } = await run(["--expose-gc", "-e", program], { timeout: 110_000 });
  const { rss, heap, under } = JSON.parse(said);
  assert.equal(under, 0);
  assert.ok(heap < 1 << 20, `heap grew by ${heap}`);
  assert.ok(rss < 24 << 20, `resident memory grew by ${rss}`);
});

test("every item of the addon catches panics, which would otherwise end the process", () => {
  const folder = `${ROOT}/bindings/node/src`;
  let items = 0;
  for (const file of readdirSync(folder)) {
    const lines = readFileSync(`${folder}/${file}`, "utf8").split("\n");
    lines.forEach((line, i) => {
      if (!line.trim().startsWith("#[napi")) return;
      const item = lines.slice(i + 1).find((next) => !/^\s*(#\[|\/\/)/.test(next));
      if (!/\bfn\b/.test(item)) return;
      items += 1;
      assert.match(line, /catch_unwind/, `${file}:${i + 1}: ${item}`);
    });
  }
  assert.ok(items > 10 && MODEL !== undefined);
});
