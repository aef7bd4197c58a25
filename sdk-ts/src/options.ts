/** Settings: camelCase, for the SDK itself. Durations are milliseconds, sizes bytes, money nanodollars. */

import type { Credential, Fetch } from "./credentials.js";
import type { Approve } from "./tools.js";
import type { Nanodollars } from "./types.js";

/** One provider: where it is, how it speaks, and whose key it takes. */
export interface ProviderOptions {
  /** Whose way of speaking it has: `openai` (also every compatible server) or `anthropic`. Known names have theirs. */
  kind?: "openai" | "anthropic" | "local";
  /** Which endpoint completions use; by default the kind's own. */
  api?: string;
  /** Base address up to and including the version (`https://api.openai.com/v1`). */
  baseUrl?: string;
  apiKey?: string;
  /** The environment variable that holds the credential. */
  apiKeyEnv?: string;
  auth?: "bearer" | "x_api_key" | "api_key" | "none";
  headers?: Readonly<Record<string, string>>;
  query?: Readonly<Record<string, string>>;
  version?: string;
  allowHttp?: boolean;
  /** Further addresses of the same provider, asked in order and at once when the one before fails. */
  fallbackUrls?: readonly string[];
}

/** Settings of a client. An unknown key is an error with its path. */
export interface ClientOptions {
  /** An orchestrator (`host:port` or a URL); absent means straight to the providers. */
  endpoint?: string;
  /** The orchestrator's key. */
  apiKey?: string;
  /** Whose calls these are: part of every key, so that nothing crosses tenants. */
  tenant?: string;
  /** For a whole call, all tries and waits included; for a stream until its first event. The same as `timeouts.totalMs`. */
  timeout?: number;
  /** Tries after the first; the same as `retry.maxAttempts` - 1. */
  retries?: number;
  /** Providers by the name models are asked for under (`name/model`). */
  providers?: Readonly<Record<string, ProviderOptions>>;
  /** Credentials given while calls are made, by provider. */
  credentials?: Readonly<Record<string, Fetch | Credential>>;
  /** Whether `OSSAI_ENDPOINT`, `OSSAI_API_KEY`, `OSSAI_TENANT` and `OSSAI_PRICES` fill what is left out; by default they do. */
  environment?: boolean;
  /**
   * Whether calls are told to the program's own OpenTelemetry (`@opentelemetry/api`), where it has registered one; they are. With
   * `content`, prompts and answers too; `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true` says the same.
   */
  telemetry?: boolean | { content?: boolean };
  timeouts?: { totalMs?: number; attemptMs?: number | null; connectMs?: number; firstByteMs?: number | null; streamIdleMs?: number };
  retry?: { maxAttempts?: number; baseMs?: number; throttleBaseMs?: number; maxBackoffMs?: number; maxRetryAfterMs?: number };
  pacing?: { enabled?: boolean; maxWaiting?: number };
  /** Whether embeddings asked for at the same time go out as one request. */
  gather?: { enabled?: boolean; maxWaitMs?: number; maxInputs?: number | null; maxTokens?: number | null };
  /**
   * How calls that are not urgent go through the vendors' batch APIs. `journal` is a file that says which batches are under way, so
   * that the same calls find their answers after a restart.
   */
  batch?: {
    journal?: string | null;
    windowMs?: number;
    maxRequests?: number | null;
    maxBytes?: number | null;
    pollMs?: number;
    maxPollMs?: number;
    timeoutMs?: number;
  };
  breaker?: {
    enabled?: boolean;
    windowMs?: number;
    minCalls?: number;
    failurePercent?: number;
    openMs?: number;
    halfOpen?: number;
  };
  /** Who is asked when a model or an orchestrator cannot answer: other models, further orchestrators, the providers straight. */
  fallback?: {
    models?: Readonly<Record<string, readonly string[]>>;
    on?: readonly string[];
    endpoints?: readonly string[];
    direct?: boolean;
  };
  /** Which hosts and addresses may be connected to. */
  egress?: { checked?: boolean; privateHosts?: readonly string[] };
  /** Whether a second copy of a late call that is marked `safe` goes out. */
  hedge?: { enabled?: boolean; afterMs?: number | null };
  cache?: {
    enabled?: boolean;
    maxBytes?: number;
    ttlMs?: number;
    embeddingTtlMs?: number;
    store?: "deterministic" | "all";
    /** Answers to questions that mean the same; absent means none. */
    semantic?: SemanticCacheOptions;
  };
  /** Whether vendors' prompt caches are put to use; `off` unless said otherwise. */
  promptCache?: PromptCache;
  /** Which calls may share a flight. */
  coalesce?: "deterministic" | "all" | "off";
  limits?: {
    maxResponseBytes?: number;
    maxEventBytes?: number;
    maxGrpcMessageBytes?: number;
    maxStreamLogBytes?: number;
    maxInFlight?: number;
  };
  /** What calls may cost. Over an orchestrator its budgets hold and these do not; `postgres` is for orchestrators, and refused here. */
  budgets?: { limits?: readonly Budget[]; ledger?: string | null; postgres?: string | null; leaseMs?: number };
  /** A file (SQLite) that keeps a record of every direct call; off without `ledger`. 0 days keep records for ever. */
  usage?: { ledger?: string | null; retentionDays?: number };
  /** A file whose prices replace or add to the built-in table. */
  prices?: string;
  /** Answers of providers, recorded or given again. */
  cassette?: CassetteOptions;
  tls?: { caPem?: string; caFile?: string; bundledRoots?: boolean };
  proxy?: { url?: string; noProxy?: string; fromEnv?: boolean };
  /** Whether answers and errors tell why they came out as they did. */
  trace?: boolean;
  /** For tests only. */
  testing?: { timeScale?: number; seed?: number; wallJump?: { atMs: number; byMs: number }; hangingHosts?: readonly string[]; panics?: number };
}

/**
 * Whether vendors' prompt caches are put to use: `auto` has what is expected to come again kept for as long as saves most, `5m` and `1h`
 * say how long where the vendor lets one choose.
 */
export type PromptCache = "off" | "auto" | "5m" | "1h";

/** Answers kept for questions that mean the same. */
export interface SemanticCacheOptions {
  /** The embedding model, `provider/model`, of any provider. */
  model: string;
  /** Length of its vectors, where the model can shorten them. */
  dimensions?: number;
  /** Whether what is found is given (unless said otherwise), or only measured. */
  mode?: "serve" | "shadow";
  /** The cosine of two questions from which on they may be the same; 0.95 unless said otherwise. */
  threshold?: number;
  /** How many of the nearest questions are put to the gates. */
  top?: number;
  maxEntries?: number;
  maxBytes?: number;
  ttlMs?: number;
  /** How long the embedding may take; after it the call goes on without. */
  timeoutMs?: number;
  maxTextBytes?: number;
  /** What keeps two questions apart although their vectors are near; each on unless it is false. */
  gates?: { numbers?: boolean; negation?: boolean; entities?: boolean; language?: boolean; direction?: boolean };
  /** A model that is asked whether two questions want the same answer before one is given. */
  verify?: string;
  verifyTimeoutMs?: number;
  /** How the share of false hits is measured, and what it may be. */
  watch?: {
    checkPercent?: number;
    maxFalsePercent?: number;
    window?: number;
    minChecks?: number;
    /** The cosine of two answers from which on they say the same; absent means that only equal texts do. */
    answerSimilarity?: number;
  };
  /** Keeps them in PostgreSQL with pgvector, for many machines and over restarts. For orchestrators, and refused here. */
  postgres?: {
    url?: string;
    timeoutMs?: number;
    connections?: number;
    maxEntryBytes?: number;
    compressFromBytes?: number;
    key?: string;
  };
}

/** Recorded answers of providers, in a file: the same in every language. */
export interface CassetteOptions {
  path: string;
  /** `replay` (unless said otherwise) asks nobody: a request without a recorded answer is an error. */
  mode?: "replay" | "record" | "replay_or_record" | "off";
  /** When what is replayed arrives: at once (unless said otherwise), or as it was recorded. */
  timing?: "instant" | "kept";
  /** In what a request must be like a recorded one: `method`, `host`, `path`, `query`, `body`, `header:NAME`. */
  match?: readonly string[];
  /** Places in the body that may differ, as JSON pointers. */
  ignore?: readonly string[];
  /** Whether the last answer to a request is given again when all of them have been given. */
  allowRepeats?: boolean;
  /** Headers, query parameters and fields of JSON bodies whose values are not written. */
  scrub?: readonly string[];
  /** Texts that are not written, beside the credentials. */
  scrubValues?: readonly string[];
  maxBytes?: number;
}

/** One budget: a limit in money, in tokens or in both, for one scope and window. */
export interface Budget {
  /** What it is of; `tenant` unless said otherwise. */
  scope?: "tenant" | "key" | "user" | "model" | "tag";
  /** Of scope `tag`: the tag whose values have a budget each. */
  tag?: string;
  /** Whose it is; absent means each one's own. */
  name?: string;
  /** How long it lasts, in UTC. */
  window: "hour" | "day" | "month" | "total";
  nanoUsd?: Nanodollars;
  tokens?: number;
  /** Only booked, never refused. */
  soft?: boolean;
  /** How much a call holds while it is under way: the most it can cost, or the high end of what it is likely to. */
  reserve?: "strict" | "calibrated";
  /** Lower a call's `max_tokens` to what is left instead of refusing it. */
  clamp?: boolean;
  maxReserveNanoUsd?: Nanodollars;
  maxReserveTokens?: number;
}

/** What can be said of any wait. */
export interface SignalOptions {
  /** Aborting rejects at once with the signal's reason, then closes the connection unless others share it. */
  signal?: AbortSignal | undefined;
}

/** How a call with tools runs. */
export interface LoopOptions {
  /** Most answers asked of the model; 10 unless said otherwise. */
  maxTurns?: number;
  /** Most handlers at work at once; 8 unless said otherwise. */
  maxParallel?: number;
  /** Milliseconds for each tool call; 30,000 unless said otherwise. */
  toolTimeout?: number;
  /** Asked before each handler: `true`, `false`, or why not. */
  approve?: Approve;
  /** Milliseconds for each approval; 600,000 unless said otherwise. */
  approvalTimeout?: number;
  /** What a handler throws is told to the model, or ends the call in a `CallbackError`. */
  onToolError?: "tell" | "fail";
}

/** What a caller wants of the client for one call; none of it reaches a provider unless it says so. */
export interface CallOptions extends SignalOptions, LoopOptions {
  /** For the whole call; the same as `timeoutMs`. */
  timeout?: number;
  timeoutMs?: number;
  attemptTimeoutMs?: number;
  firstByteTimeoutMs?: number;
  streamIdleTimeoutMs?: number;
  /** Tries after the first; the same as `maxAttempts` - 1. */
  retries?: number;
  maxAttempts?: number;
  cache?: { noCache?: boolean; refresh?: boolean; maxAgeMs?: number; ttlMs?: number };
  /** Whether vendors' prompt caches are put to use for the call; absent means as configured. */
  promptCache?: PromptCache;
  /** Whether the call may share another identical one's flight; absent means only if it is deterministic. */
  coalesce?: boolean;
  idempotencyKey?: string;
  headers?: Readonly<Record<string, string>>;
  /** Attribution, recorded with the call's usage and never sent to a provider. */
  tags?: Readonly<Record<string, string>>;
  /** Refuse the call when its highest estimated cost is above this. */
  maxCost?: Nanodollars;
  /** Prices for this call only, in the price table's entry form. */
  prices?: object;
  traceparent?: string;
  /** Models asked in this one's place when it cannot answer, in order. */
  fallbacks?: readonly string[];
  fallbackOn?: readonly string[];
  /** Whether a second copy goes out when the first is late, and the earlier answer is taken; only for a call that is `safe`. Both are paid for. */
  hedge?: boolean;
  /** After how long the copy goes out; absent means the 95th percentile measured for the model. */
  hedgeAfterMs?: number;
  /** A second copy of the call does no harm but cost: nothing of its answer acts by itself. */
  safe?: boolean;
  /**
   * The call is not urgent: it goes through the vendor's batch API at half the price and is answered within 24 hours, mostly within
   * one. Its deadline is `timeout`. Only for whole completions of `openai` and `anthropic`.
   */
  batch?: boolean;
  /** From -10 to 10. */
  priority?: number;
  /** What becomes of parameters that the model does not take. */
  unsupported?: "drop" | "refuse";
  trace?: boolean;
}

/** Assumptions of an estimate. */
export interface EstimateOptions {
  outputTokens?: number;
  cachedTokens?: number;
  batch?: boolean;
  prices?: object;
}

/** Conditions on the price table's models. */
export interface CatalogOptions {
  provider?: string;
  kind?: "chat" | "embedding" | "rerank";
  caps?: readonly string[];
  text?: string;
  minContext?: number;
  retired?: boolean;
  sort?: "id" | "input" | "output" | "context" | "released";
}
