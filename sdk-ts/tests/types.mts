// What type checkers say to programs: this compiles, and each line marked so does not.
import {
  createClient,
  OssaiError,
  RateLimitedError,
  toMessage,
  usd,
  type CallOptions,
  type ClientOptions,
  type Completion,
  type CompletionRequest,
  type ErrorCode,
  type StreamEvent,
} from "@ossai/sdk";

const settings: ClientOptions = {
  endpoint: "localhost:8080",
  apiKey: "key",
  tenant: "t",
  timeout: 1000,
  retries: 2,
  providers: { mine: { kind: "openai", baseUrl: "http://localhost/v1", headers: { "x-y": "z" } } },
  credentials: { openai: async ({ signal }) => String(signal.aborted), anthropic: { fetch: () => "x", identity: "me" } },
  cache: { ttlMs: 1, store: "all" },
  fallback: { models: { "openai/a": ["openai/b"] } },
};
// @ts-expect-error settings are camelCase
const wrong: ClientOptions = { api_key: "x" };
// @ts-expect-error a misspelt setting
const misspelt: CallOptions = { timeOut: 1 };

const request: CompletionRequest = {
  model: "openai/gpt-4o-mini",
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: [{ type: "text", text: "Hello" }, { type: "image", url: "https://example.com/a.png" }] },
    { role: "tool", tool_call_id: "call_1", content: "text" },
  ],
  tools: [{ name: "read", parameters: { type: "object" } }, { type: "web_search" }],
  tool_choice: { name: "read" },
  response_format: { type: "json_schema", name: "x", schema: { type: "object" } },
  seed: 9223372036854775807n,
  logit_bias: { "1": 2 },
};
// @ts-expect-error no such role
const role: CompletionRequest = { model: "a/b", messages: [{ role: "nobody", content: "x" }] };

export async function program(): Promise<string> {
  await using client = createClient(settings);
  const answer: Completion = await client.complete(request, { signal: AbortSignal.timeout(5), maxCost: 5n, cache: { maxAgeMs: 5 } });
  request.messages = [...request.messages, toMessage(answer)];
  const total: number = answer.usage.input_tokens + (answer.usage.reasoning_tokens ?? 0);
  // @ts-expect-error an unknown price has no total
  usd(answer.cost.total);
  const dollars: number = answer.cost.total === undefined ? Number.NaN : usd(answer.cost.total);
  // @ts-expect-error money may be a bigint
  const money: number = client.stats().spent;
  await using stream = client.stream(request);
  for await (const event of stream) {
    if (event.type === "text_delta") process.stdout.write(event.text);
    else if (event.type === "end") return event.completion.finish_reason;
  }
  const web: ReadableStream<StreamEvent> = stream.toReadableStream();
  const final: Completion = await stream.final();
  const vectors: number[][] = (await client.embed({ model: "a/b", input: ["x"] })).embeddings.map(({ vector }) => vector);
  const kept: Completion | null = client.lookup(request);
  const parts: string[] = client.split("text", { model: "a/b", maxTokens: 5 });
  try {
    await client.health();
  } catch (error) {
    if (error instanceof RateLimitedError) return `${error.retryAfter ?? 0}`;
    if (error instanceof OssaiError && error.code === "timeout") return error.requestId ?? "";
    throw error;
  }
  const code: ErrorCode = "rate_limited";
  return [wrong, misspelt, role, total, dollars, money, web, final, vectors, kept, parts, code].join();
}
