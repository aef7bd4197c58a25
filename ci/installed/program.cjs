// What a user of the installed npm package does, with no key, and then before a server (`ci/with-upstream`) if the environment names one.
// `node program.cjs [import]`: by `require`, or by `import`.
const assert = require("node:assert");

const request = {
  model: "local/extract",
  messages: [{ role: "user", content: "Context:\nThe sky is blue.\n\nWhat colour is the sky?" }],
  temperature: 0,
};

async function main(way) {
  const began = performance.now();
  const { createClient, tool, InvalidRequestError } = way === "import" ? await import("@ossai/sdk") : require("@ossai/sdk");
  const took = (performance.now() - began).toFixed(1);
  const client = createClient({ environment: false });
  assert.match((await client.complete(request)).text, /blue/);
  assert.equal((await client.complete(request)).cache.status, "hit");
  assert.equal((await client.stream(request).final()).cache.status, "hit");
  assert.equal(client.countText("one two three", { model: "openai/gpt-4o" }).tokens, 3);
  await assert.rejects(client.complete({}), InvalidRequestError);
  await client.close();
  let did = "local/extract";

  if (process.env.OPENAI_BASE_URL) {
    const client = createClient();
    const seen = [];
    const input = { type: "object", properties: { of: { type: "string" } }, required: ["of"] };
    const colour = tool({ name: "colour", description: "The colour of something.", input, handler: ({ of }) => (seen.push(of), "blue") });
    const ask = (content) => ({ model: "openai/gpt-4o-mini", messages: [{ role: "user", content }] });
    const answer = await client.complete({ ...ask("What colour is the sky?"), tools: [colour] });
    assert.equal(answer.text, "It is blue.");
    assert.deepEqual(seen, ["sky"]);
    let text = "";
    for await (const event of client.stream(ask("And grass?"))) if (event.type === "text_delta") text += event.text;
    assert.equal(text, "It is green.");
    await client.close();
    did += ", a tool's handler and a stream over HTTP";
  }
  const libc = process.report.getReport().header.glibcVersionRuntime ? "glibc" : "musl";
  console.log(`ok Node ${process.version} on ${process.arch} with ${libc}, by ${way}: ${did}; loaded in ${took} ms`);
}

main(process.argv[2] ?? "require");
