// Count tokens offline and see what a call would cost before making it.
import { createClient } from "@ossai/sdk";

const client = createClient();
const text = "Tokens are counted in the binary, with no network.";
console.log(`${client.countText(text, { model: "openai/gpt-4o-mini" }).tokens} tokens in ${text.length} characters`);
console.log(`cut to 4 tokens: ${client.truncate(text, { model: "openai/gpt-4o-mini", maxTokens: 4 }).text}`);

for (const model of ["openai/gpt-4o-mini", "openai/gpt-5", "anthropic/claude-sonnet-4-6"]) {
  const request = {
    model,
    messages: [{ role: "user" as const, content: "Summarise the history of tea in three paragraphs." }],
    max_tokens: 500,
  };
  const count = client.count(request);
  const estimate = client.estimate(request);
  console.log(`${model}: ${count.tokens} input tokens (${count.exact ? "exact" : "estimated"}), at most ${estimate.high} nUSD`);
}
await client.close();
