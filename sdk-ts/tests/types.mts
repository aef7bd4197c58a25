// What type checkers say to programs: this compiles, and each line marked so does not.
import { z } from "zod";
import {
  createClient,
  mcpTool,
  OssaiError,
  RateLimitedError,
  toMessage,
  tool,
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
const replayed: ClientOptions = { cassette: { path: "x.json", mode: "replay_or_record", match: ["path"], allowRepeats: true } };
// @ts-expect-error no such mode
const rewound: ClientOptions = { cassette: { path: "x.json", mode: "rewind" } };
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
  return [wrong, replayed, rewound, misspelt, role, total, dollars, money, web, final, vectors, kept, parts, code].join();
}

const weather = tool({
  name: "weather",
  input: z.object({ city: z.string(), days: z.number().default(1) }),
  output: z.object({ sky: z.string() }),
  handler: async ({ city, days }, { signal, toolCallId }) => {
    const text: string = city + toolCallId;
    const number: number = days;
    return { sky: signal.aborted ? text : String(number) };
  },
});
tool({
  name: "wrong",
  output: z.object({ sky: z.string() }),
  // @ts-expect-error the handler returns another type
  handler: () => ({ sky: 7 }),
});
class Files {
  @mcpTool({ input: z.object({ path: z.string() }), capabilities: ["read"] })
  read({ path }: { path: string }): string {
    return path;
  }

  // @ts-expect-error the schema gives the method no number
  @mcpTool({ input: z.object({ path: z.string() }) })
  remove({ path }: { path: number }): number {
    return path;
  }
}
export async function tools(): Promise<void> {
  const client = createClient();
  client.tools.register(weather, new Files());
  const answer = await client.complete(
    { ...request, tools: [weather, "read", { name: "other" }] },
    { maxTurns: 3, approve: ({ name }) => name !== "remove" || "not now", onToolError: "fail" },
  );
  const turns: number | undefined = answer.tool_run?.turns.length;
  const outcome: string | undefined = answer.tool_run?.calls?.[0]?.outcome;
  for await (const event of client.stream({ ...request, tools: [weather] })) {
    if (event.type === "tool_result") void (event.outcome + event.name);
  }
  void [turns, outcome];
}
