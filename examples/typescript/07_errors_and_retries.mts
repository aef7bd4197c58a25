// Errors are one tree: what went wrong, where, what was tried, and whether a new call may work.
import { createClient, InvalidRequestError, OssaiError } from "@ossai/sdk";

// A server that is not there: three tries with waits between them, then the last real error.
const client = createClient({ providers: { mine: { baseUrl: "http://127.0.0.1:9/v1" } }, retry: { baseMs: 10 } });
const messages = [{ role: "user" as const, content: "Hello" }];
try {
  await client.complete({ model: "mine/model", messages });
} catch (error) {
  if (!(error instanceof OssaiError)) throw error;
  console.log(`${error.code}: ${error.message}`);
  console.log("retriable by the caller:", error.retriable);
  error.attempts.forEach((attempt, n) => console.log(`  try ${n + 1}: ${attempt.error} after ${attempt.delay_ms} ms`));
}

// A mistake names its field and costs nothing.
try {
  await client.complete({ model: "mine/model", messages, temperature: 7 });
} catch (error) {
  if (!(error instanceof InvalidRequestError)) throw error;
  console.log(`${error.message} (field: ${error.field})`);
}
await client.close();
