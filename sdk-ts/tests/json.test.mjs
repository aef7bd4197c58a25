// Values cross exactly.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, parse, stringify } from "@ossai/sdk";
import { ask, open, says, upstream } from "./support.mjs";

test("integers beyond 2⁵³ are bigints, and only those", () => {
  const text =
    '{"money":18446744073709551615,"safe":9007199254740991,"over":9007199254740992,"below":-9007199254740993,' +
    '"list":[12345678901234567890],"text":"12345678901234567890","quoted":"a \\":12345678901234567890,","float":0.12345678901234568,"big":1e300}';
  const value = parse(text);
  assert.deepEqual(value, {
    money: 18446744073709551615n,
    safe: 9007199254740991,
    over: 9007199254740992n,
    below: -9007199254740993n,
    list: [12345678901234567890n],
    text: "12345678901234567890",
    quoted: 'a ":12345678901234567890,',
    float: 0.12345678901234568,
    big: 1e300,
  });
  assert.deepEqual(parse(stringify(value)), value);
  assert.ok(stringify(value).startsWith('{"money":18446744073709551615,'));
});

test("what JSON can hold is written as JSON.stringify does", () => {
  const value = { a: [1, -0, "x", null, true, { b: undefined, d: new Date(0) }], "é\ud800": "\u0000" };
  assert.equal(stringify(value), JSON.stringify(value));
  assert.equal(stringify(undefined), "{}");
});

test("what JSON cannot hold is a mistake with its path", () => {
  for (const [value, field] of [
    [{ a: [1, Number.NaN] }, "value.a[1]"],
    [{ a: new Set() }, "value.a"],
    [{ a: { b: Symbol("x") } }, "value.a.b"],
    [new Uint8Array(1), "value"],
    [() => {}, "value"],
    [{ a: { toJSON: () => 1n } }, "value"],
  ]) {
    assert.throws(() => stringify(value), { code: "invalid_request", field });
  }
});

test("money above 2⁵³ goes in and comes out exactly", async (t) => {
  const script = await upstream([], { default: { body: { openai_chat: { text: "Hi", usage: { input: 1_000_000_000, output: 0 } } } } });
  const client = open(t, script.settings);
  const prices = { input: 1_000_000, output: 1_000_000 };
  const answer = await client.complete(ask("Hello"), { prices, maxCost: 18_446_744_073_709_551_615n });
  assert.equal(answer.cost.total, 1_000_000_000_000_000_000n);
  assert.equal(client.stats().spent, 1_000_000_000_000_000_000n);
  await assert.rejects(client.complete(ask("Hello"), { maxCost: 18_446_744_073_709_551_616n }), { field: "options.max_cost" });
});

test("a seed of 64 bits is sent as it is", async (t) => {
  const script = await upstream([says("Hi")]);
  const client = open(t, script.settings);
  await client.complete(ask("Hello", { seed: 9223372036854775807n }));
  const log = await (await fetch(`${script.base}/log`)).text();
  assert.match(log, /"seed": ?9223372036854775807/);
});
