/**
 * What goes in and comes out, as it stands on the wire: the same names in every language and in every provider's own
 * documentation. Nothing here is renamed on the way; fields without a name here go to the provider, and come back, unchanged.
 */

/** Money in nanodollars (1 USD = 1,000,000,000); a `bigint` above 2⁵³ - 1, so that it is exact. */
export type Nanodollars = number | bigint;
/** Unit prices and shares in picodollars; a `bigint` above 2⁵³ - 1. */
export type Picodollars = number | bigint;

/** Any JSON; an integer beyond 2⁵³ - 1 is a `bigint`. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [name: string]: Json | undefined };

/** Who says a message. */
export type Role = "system" | "developer" | "user" | "assistant" | "tool";
/** How much a model is to reason; each takes what it knows of these. */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max";
/** Why an answer ends. */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "refusal" | "pause" | (string & {});

/** Fields of a provider's own. */
export interface Extra {
  [name: string]: unknown;
}

/** A part of a message; one of a type without a name here is passed on whole. */
export type Part =
  | ({ type: "text"; text: string } & Extra)
  | ({ type: "image"; url?: string; data?: string; media_type?: string; detail?: string } & Extra)
  | ({ type: "audio"; data: string; format: string } & Extra)
  | ({ type: "file"; url?: string; data?: string; file_id?: string; media_type?: string; filename?: string } & Extra)
  | ({ type: "reasoning"; text?: string; signature?: string; redacted?: string } & Extra)
  | ({ type: string } & Extra);

/** A tool the model wants called. */
export interface ToolCall extends Extra {
  id: string;
  name: string;
  /** JSON text as the model wrote it. */
  arguments: string;
}

/** One message of a conversation. */
export interface Message extends Extra {
  role: Role;
  content?: string | readonly Part[] | null;
  name?: string;
  tool_calls?: readonly ToolCall[];
  tool_call_id?: string;
  is_error?: boolean;
}

/** A function the model may call. */
export interface FunctionTool extends Extra {
  type?: "function";
  name: string;
  description?: string;
  /** A JSON Schema. */
  parameters?: object;
  strict?: boolean;
}

/** A tool with its handler, made by `tool`. */
export interface AnyTool {
  readonly id: string;
  readonly name: string;
  readonly description: string | undefined;
  readonly capabilities: readonly string[];
  /** The tool as a request has it, without its handler. */
  definition(): FunctionTool;
}

/** A function of the program's, or a tool of the provider's own by its type. */
export type Tool = FunctionTool | ({ type: string } & Extra);
/** Whether a tool is to be called, or which. */
export type ToolChoice = "auto" | "none" | "required" | { name: string };
/** The form of the answer: text, some JSON, or JSON by a schema. */
export type ResponseFormat =
  | { type: "text" }
  | { type: "json_object" }
  | { type: "json_schema"; name: string; schema: object; strict?: boolean; description?: string };

export interface CompletionRequest extends Extra {
  /** `provider/model`. */
  model: string;
  /** The conversation. */
  messages: readonly Message[];
  /** What the model may call. One with a handler, or the id of a registered one, is run when it does, until there is an answer. */
  tools?: readonly (Tool | AnyTool | string)[];
  tool_choice?: ToolChoice;
  parallel_tool_calls?: boolean;
  response_format?: ResponseFormat;
  max_tokens?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  seed?: number | bigint;
  stop?: string | readonly string[];
  reasoning_effort?: ReasoningEffort;
  service_tier?: string;
  metadata?: Extra;
  user?: string;
}

export interface EmbeddingRequest extends Extra {
  /** `provider/model`. */
  model: string;
  /** A text, texts, tokens or lists of tokens. */
  input: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  dimensions?: number;
  user?: string;
}

/**
 * Tokens a call used, normalised over all vendors. `input_tokens` includes cached and written ones and `output_tokens` includes
 * reasoning; the other counts are parts of these two, absent when 0.
 */
export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens?: number;
  cache_write_tokens?: number;
  cache_write_1h_tokens?: number;
  cache_write_12h_tokens?: number;
  reasoning_tokens?: number;
  audio_input_tokens?: number;
  audio_cache_read_tokens?: number;
  audio_output_tokens?: number;
  image_input_tokens?: number;
  citation_tokens?: number;
  web_searches?: number;
  service_tier?: string;
  speed?: string;
  region?: string;
  estimated?: boolean;
}

/** What a call cost: `total` in nanodollars, rounded up once; the shares in picodollars. An unknown price has no `total`. */
export interface Cost {
  status: "exact" | "estimated" | "unknown";
  total?: Nanodollars;
  input_pico: Picodollars;
  cache_read_pico: Picodollars;
  cache_write_pico: Picodollars;
  output_pico: Picodollars;
  other_pico: Picodollars;
  /** What the vendor's prompt cache saved; negative where writing cost more than reading saved, absent where it is 0. */
  prompt_cache_saved_pico?: Picodollars;
  price_version?: string;
}

/** What the cache and the shared calls did for a call. */
export interface CacheOutcome {
  status: "hit" | "miss" | "bypass";
  tier?: "memory" | "redis" | "disk" | "semantic" | "orchestrator";
  age_ms?: number;
  joined: boolean;
  saved?: Nanodollars;
  /** The answer's time was over: it was given while a new one is fetched, or because none could be had. */
  stale?: boolean;
  /** How near the question is whose answer this is, where that was another one: the cosine of the two vectors. */
  similarity?: number;
  /**
   * What looking for a similar question cost, which is no part of `cost`; absent where nothing was looked for, and where the
   * price is unknown.
   */
  lookup_cost?: Nanodollars;
}

/** One try at an upstream. */
export interface Attempt {
  error?: string;
  status?: number;
  delay_ms: number;
  upstream_request_id?: string;
  duration_us: number;
  /** The model asked, where the call may fall back to another. */
  model?: string;
  /** It ran beside the try that decided: one of the two copies of a hedged call. */
  parallel?: boolean;
  /** Which further address was asked, as a path of the configuration; absent for the first. */
  endpoint?: string;
}

/** A budget that has not enough for a call. Amounts are nanodollars or tokens, as `unit` says. */
export interface BudgetRefusal {
  /** What it is of: `tenant`, `key`, `user`, `model` or `tag`. */
  scope: string;
  tag?: string;
  /** Whose it is; absent for calls without a tenant. */
  name?: string;
  /** How long it lasts, in UTC. */
  window: string;
  unit: "nano_usd" | "tokens" | (string & {});
  limit: Nanodollars;
  spent: Nanodollars;
  held: Nanodollars;
  /** What the call would have held. */
  asked: Nanodollars;
  available: Nanodollars;
  /** When the window ends, in milliseconds since 1970; absent for `total`. */
  resets_at_ms?: number;
}

/** Where a call's time went, in microseconds. */
export interface Timing {
  queue_us: number;
  first_token_us?: number;
  total_us: number;
  overhead_us: number;
}

/** One decision of a call. Its words are stable; new ones may be added. */
export interface TraceStep {
  at_us: number;
  stage: string;
  outcome: string;
  why?: string;
  fields?: string[];
  wait_ms?: number;
  attempt?: number;
  by?: string;
}

/** Why a call came out as it did: names of stages, reasons and fields, never their values. */
export interface Trace {
  steps: TraceStep[];
  omitted?: number;
}

/** A part of an answer, in the order the model gave them. */
export type OutputPart =
  | { type: "text"; text: string }
  | { type: "refusal"; text: string }
  | ({ type: "reasoning"; text: string; signature?: string; redacted?: string } & Extra)
  | ({ type: "tool_call" } & ToolCall);

/** A finished answer, with what it used, what it cost and how it came about. */
export interface Completion {
  id: string;
  model: string;
  response_model?: string;
  created?: number;
  /** All text of the answer. */
  text: string;
  /** The answer in parts, in order; parts of a type without a name here are as the provider gave them. */
  parts: OutputPart[];
  finish_reason: FinishReason;
  raw_finish_reason?: string;
  usage: Usage;
  raw_usage?: unknown;
  upstream_request_id?: string;
  dropped_params?: string[];
  extra?: Extra;
  cost: Cost;
  cache: CacheOutcome;
  /** Absent when nothing was sent: the answer was kept. */
  attempts?: Attempt[];
  request_id: string;
  timing: Timing;
  trace?: Trace;
  /** What the call's tool loop did, where it had tools with handlers. */
  tool_run?: ToolRun;
}

/** A tool loop, beside the answer it ended with: whose cost, usage, attempts and times are those of all turns together. */
export interface ToolRun {
  /** Every answer that was asked of the model, in order. */
  turns: ToolTurn[];
  /** Every tool call, in the order in which the model made them; absent when there was none. */
  calls?: ToolCallRecord[];
  /** What was added to the request's messages, the last answer included: ready to go on with. */
  messages: Message[];
}

/** One answer of the model's within a tool loop, with what it cost by itself. */
export interface ToolTurn {
  request_id: string;
  response_model?: string;
  finish_reason: FinishReason;
  usage: Usage;
  cost: Cost;
  cache: CacheOutcome;
  attempts?: Attempt[];
  timing: Timing;
  trace?: Trace;
}

/** What came of a tool call. */
export type ToolOutcome = "ok" | "unknown_tool" | "invalid_input" | "denied" | "failed" | "timeout" | "invalid_output" | (string & {});

/** One tool call and what came of it. */
export interface ToolCallRecord {
  turn: number;
  id: string;
  name: string;
  tool_id?: string;
  input?: unknown;
  outcome: ToolOutcome;
  output?: unknown;
  error?: { type: string; message: string; path?: string };
  duration_us: number;
}

/** The vector of one input, by its place among them. */
export interface Embedding {
  index: number;
  vector: number[];
}

/** Vectors, in the order of the inputs. */
export interface EmbeddingResponse {
  model: string;
  response_model?: string;
  embeddings: Embedding[];
  usage: Usage;
  raw_usage?: unknown;
  cost: Cost;
  cache: CacheOutcome;
  attempts?: Attempt[];
  request_id: string;
  upstream_request_id?: string;
  timing: Timing;
  trace?: Trace;
}

/** An event of a streamed answer; the last of a good one is `end`. */
export type StreamEvent =
  | { type: "start"; id: string; response_model?: string; created?: number }
  | { type: "text_delta"; index: number; text: string }
  | { type: "refusal_delta"; index: number; text: string }
  | { type: "reasoning_delta"; index: number; text: string; signature?: string; redacted?: string; extra?: Extra }
  | { type: "tool_call_start"; index: number; id: string; name: string; extra?: Extra }
  | { type: "tool_call_delta"; index: number; arguments: string }
  | { type: "part"; index: number; part: unknown }
  /** A note on a part — a citation, a source: the answer has it in its `extra`, in the list that `field` names. */
  | { type: "annotation"; index: number; field: string; annotation: unknown }
  | { type: "usage"; usage: Usage; raw?: unknown }
  | { type: "finish"; reason: FinishReason; raw?: string }
  | { type: "extra"; fields: Extra }
  /** A further turn of a tool loop begins: its parts are numbered anew, and the answer is the last turn's. */
  | { type: "turn"; turn: number }
  /** A tool's handler begins. */
  | { type: "tool_started"; turn: number; id: string; name: string; input: unknown }
  /** What came of a tool call. */
  | ({ type: "tool_result" } & ToolCallRecord)
  | { type: "end"; completion: Completion };

/** A model that a provider offers. */
export interface ModelInfo {
  id: string;
  created?: number;
  owned_by?: string;
  extra?: Extra;
}

/** Whether an upstream serves, and how long it took to say so (microseconds). */
export interface Health {
  upstream: string;
  status: "serving" | "not_serving";
  latency_us: number;
  message?: string;
}

/** A budget and what is on it in the present window. */
export interface BudgetState {
  scope: "tenant" | "key" | "user" | "model" | "tag";
  /** The tag, where it is of a tag's values. */
  tag?: string;
  /** Whose tenant's it is, where it is not the tenant's itself. */
  tenant?: string;
  /** Whose it is; absent for calls without a tenant. */
  name?: string;
  /** How long it lasts, in UTC. */
  window: "hour" | "day" | "month" | "total";
  /** It is booked and never refuses. */
  soft: boolean;
  limit_nano_usd?: Nanodollars;
  limit_tokens?: number;
  spent_nano_usd: Nanodollars;
  spent_tokens: number;
  /** Held for calls under way. */
  held_nano_usd: Nanodollars;
  held_tokens: number;
  /** What calls can still have; absent without a limit of the kind. */
  left_nano_usd?: Nanodollars;
  left_tokens?: number;
  /** When the window ends, in milliseconds since 1970; absent for `total`. */
  resets_at_ms?: number;
}

/** How many tokens something has, with the least and the most where it is estimated. */
export interface TokenCount {
  /** The count, or the likely one. */
  tokens: number;
  low: number;
  high: number;
  /** Whether it is the published encoding's own count with nothing estimated in it. */
  exact: boolean;
  encoding: string;
}

/** The beginning of a text, cut between tokens. */
export interface Truncated {
  text: string;
  tokens: number;
  /** Whether something was cut off. */
  truncated: boolean;
  encoding: string;
}

/** The least, the likely and the most; null where nothing bounds it. */
export interface Span {
  low: number;
  expected: number;
  high: number | null;
}

/** What a call will cost, in nanodollars; null amounts are unknown, never 0. */
export interface Estimate {
  status: "exact" | "estimated" | "unknown";
  low: Nanodollars | null;
  expected: Nanodollars | null;
  high: Nanodollars | null;
  input_tokens: Span;
  output_tokens: Span;
  price_version: string;
  notes: { [name: string]: unknown }[];
}

/** What a call would do. It holds names of fields, never their values. */
export interface Explanation {
  key: string;
  key_fields: string[];
  route: { road: "direct" | "orchestrator" | "local"; provider: string; model: string; api?: string; url?: string };
  deterministic: boolean;
  cache: {
    status: CacheOutcome["status"];
    tier?: NonNullable<CacheOutcome["tier"]>;
    age_ms?: number;
    stores: boolean;
    ttl_ms: number;
    why?: string;
    differs?: string[];
  };
  sharing: { allowed: boolean; under_way: boolean };
  pace_ms: number;
  parameters: { dropped: string[] };
  timeout_ms: number;
  max_attempts: number;
  estimate: Estimate;
  /** The fields of the error it would end in before anything is sent, where that is known. */
  refused?: { kind: string; message: string; [name: string]: unknown };
}

/** What a client has done so far. Every number only grows, except the two that say what is under way. */
export interface Stats {
  calls: number;
  failures: number;
  flights: number;
  joined: number;
  flights_in_flight: number;
  waiters: number;
  flights_cancelled: number;
  cache_hits: number;
  cache_misses: number;
  cache_entries: number;
  cache_bytes: number;
  attempts: number;
  retries: number;
  spent: Nanodollars;
  saved: Nanodollars;
  unpriced: number;
  /** Records the usage ledger could not take. */
  unrecorded: number;
  /** The cache tiers beneath the memory, in the order they are asked. */
  tiers: TierStats[];
  /** The semantic cache, where there is one. */
  semantic?: SemanticStats;
}

/** What the semantic cache has done. */
export interface SemanticStats {
  lookups: number;
  hits: number;
  /** Looks that found near questions, all kept apart by a gate. */
  refused: number;
  /** Looks whose near question the verifying model did not take for the same. */
  unverified: number;
  /** Embeddings that could not be had. */
  failures: number;
  /** Checks in the window: the call was made although an answer was found. */
  checked: number;
  /** Those of them in which the two answers differed. */
  false_hits: number;
  entries: number;
  bytes: number;
  /** It turned itself off, because too many of its hits were false. */
  off: boolean;
}

/** What a cache tier has done for all clients of the process that share it. */
export interface TierStats {
  tier: "redis" | "disk";
  hits: number;
  misses: number;
  stores: number;
  /** Answers not written: too large, too many at once, or not taken. */
  dropped: number;
  /** Times it could not be asked, broke off or refused. */
  faults: number;
  /** Looks and writes it was spared because it kept failing. */
  skipped: number;
  evicted: number;
  /** It is in trouble now; calls go on without it. */
  ailing: boolean;
}

/** Which kept answers are meant, always of the client's own tenant. */
export type Invalidation =
  /** What a model, `provider/model`, has answered. */
  | { model: string }
  /** What was kept for calls that had this tag. */
  | { tag: string; value: string }
  /** Everything. */
  | { all: true };

/** What an invalidation did. */
export interface Invalidated {
  /** Answers dropped out of memory, an orchestrator's included; what counts no more beneath is not counted. */
  dropped: number;
  /** Where it holds, in the order tiers are asked. */
  tiers: ("memory" | "redis" | "disk" | "orchestrator")[];
}

/** A model's entry in the price table. */
export interface ModelEntry {
  [name: string]: unknown;
}
