// Refuse a call that could cost more than it may, before anything is sent.
import { BudgetExceededError, createClient } from "@ossai/sdk";

const client = createClient({
  // A cent a day for each user, however many calls come at once.
  budgets: { limits: [{ scope: "user", window: "day", nanoUsd: 10_000_000 }] },
  providers: { openai: { apiKey: "not used" } },
});
try {
  await client.complete({
    model: "openai/gpt-4o",
    messages: [{ role: "user", content: "Write a book." }],
    max_tokens: 16_000,
    user: "ada",
  });
} catch (error) {
  if (!(error instanceof BudgetExceededError)) throw error;
  console.log(`refused: ${error.message}`);
  console.log(error.budgets);
}
await client.close();
