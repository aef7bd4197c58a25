// Ask once and see what came of it. `local/extract` is built in and offline; set OSSAI_MODEL to ask another.
import { createClient, usd } from "@ossai/sdk";

const client = createClient();
const answer = await client.complete({
  model: process.env["OSSAI_MODEL"] ?? "local/extract",
  messages: [
    {
      role: "user",
      content: "Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\nWhat bounds a cache?",
    },
  ],
  max_tokens: 200,
});
console.log(answer.text);
const cost = answer.cost.total === undefined ? "unknown" : usd(answer.cost.total);
console.log(`${answer.usage.output_tokens} output tokens, ${cost} USD, ${answer.cache.status}`);
await client.close();
