// Answers out of a file: no key, no network, no cost. `RECORD=1` asks the provider instead, and writes the file anew.
import { fileURLToPath } from "node:url";
import { createClient, InvalidStateError } from "@ossai/sdk";

const client = createClient({
  cassette: {
    path: fileURLToPath(new URL("../../examples/cassettes/sky.json", import.meta.url)),
    mode: process.env["RECORD"] ? "record" : "replay",
  },
});
const ask = (content: string) => ({ model: "openai/gpt-4o-mini", messages: [{ role: "user" as const, content }] });

// On the file the first try meets a 429; the retry runs as with a provider.
const answer = await client.complete(ask("Why is the sky blue?"));
console.log(`${answer.text} (${answer.attempts?.length} tries)`);

for await (const event of client.stream(ask("Why is the sky blue?"))) {
  if (event.type === "text_delta") process.stdout.write(`${event.text}|`);
}
console.log();

// What is not on it is an error that says in what it differs.
try {
  await client.complete(ask("Why is the grass green?"));
} catch (error) {
  if (!(error instanceof InvalidStateError)) throw error;
  console.log(error.message);
}
await client.close();
