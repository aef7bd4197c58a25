// The same question twice: the second answer comes out of memory, and fifty at once share one flight.
import { createClient } from "@ossai/sdk";

const client = createClient();
const request = {
  model: "local/extract",
  messages: [
    {
      role: "user" as const,
      content: "The memory cache is looked up on the caller's thread.\n\nWhere is the memory cache looked up?",
    },
  ],
};
for (let n = 0; n < 2; n++) console.log((await client.complete(request)).cache.status);
client.clearCache();
await Promise.all(Array.from({ length: 50 }, () => client.complete(request)));
const stats = client.stats();
console.log(`52 calls: ${stats.flights} flights, ${stats.joined} joined, ${stats.cache_hits} from the cache`);
await client.close();
