// What a user of the AI SDK's provider does, with no key.
import assert from "node:assert";
import { createOssai } from "@ossai/ai-sdk-provider";
import { generateText, streamText } from "ai";

await using ossai = createOssai({ environment: false });
const call = { model: ossai("local/extract"), prompt: "Context:\nThe sky is blue.\n\nWhat colour is the sky?", temperature: 0 };
const { text, providerMetadata } = await generateText(call);
assert.match(text, /blue/);
assert.equal(providerMetadata.ossai.cache.status, "miss");
const streamed = streamText(call);
assert.equal(await streamed.text, text);
assert.equal((await streamed.providerMetadata).ossai.cache.status, "hit");
console.log(`ok AI SDK provider on ${process.version}, ${process.argv[2]} bytes`);
