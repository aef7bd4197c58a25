// Print an answer as it is written; the last event carries the whole of it.
import { createClient } from "@ossai/sdk";

const client = createClient();
const stream = client.stream({
  model: process.env["OSSAI_MODEL"] ?? "local/extract",
  messages: [
    {
      role: "user",
      content: "Caches are bounded by bytes, not by entries. Only complete answers are kept.\n\nWhat bounds a cache?",
    },
  ],
});
for await (const event of stream) {
  if (event.type === "text_delta") process.stdout.write(event.text);
  if (event.type === "end") console.log(`\n[${event.completion.usage.output_tokens} output tokens]`);
}
await client.close();
