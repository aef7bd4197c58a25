/** What ossai knows of an answer, in the AI SDK's words and, for the rest, in its own: `providerMetadata.ossai`. */

import type {
  JSONObject,
  JSONValue,
  LanguageModelV4FinishReason,
  LanguageModelV4ResponseMetadata,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata,
} from "@ai-sdk/provider";
import type { Attempt, CacheOutcome, Completion, Cost, EmbeddingResponse, FinishReason, Timing, Usage } from "@ossai/sdk";

/** An amount that a double holds exactly, else its digits: metadata is JSON. */
type Amount<T> = T extends bigint ? string : T extends object ? { [K in keyof T]: Amount<T[K]> } : T;

/** `providerMetadata.ossai` of a text: the answer's own fields, in their own names. */
export type OssaiMetadata = Amount<{
  /** What the call cost, in nanodollars; nothing when the answer was kept. */
  cost: Cost;
  /** What the cache and the shared calls did. */
  cache: CacheOutcome;
  /** Every try at an upstream; absent when nothing was sent. */
  attempts?: Attempt[];
  request_id: string;
  upstream_request_id?: string;
  timing: Timing;
  /** Parameters that were left out. */
  dropped_params?: string[];
  /** Counts that the AI SDK has no place for. */
  usage: Usage;
  /** Fields of the vendor's answer that are unknown to ossai. */
  extra?: Record<string, unknown>;
}>;

/** `providerMetadata.ossai` of embeddings. */
export type OssaiEmbeddingMetadata = Pick<OssaiMetadata, "cost" | "cache" | "attempts" | "request_id" | "upstream_request_id" | "timing" | "usage">;

const UNIFIED: Readonly<Record<string, LanguageModelV4FinishReason["unified"]>> = {
  stop: "stop",
  length: "length",
  tool_calls: "tool-calls",
  content_filter: "content-filter",
  refusal: "content-filter",
};

/** A value as JSON has it; wide integers as their digits. */
export function json(value: unknown): JSONValue {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (Array.isArray(value)) return value.map(json);
  if (typeof value !== "object" || value === null) return value as JSONValue;
  return Object.fromEntries(Object.entries(value).flatMap(([name, of]) => (of === undefined ? [] : [[name, json(of)]])));
}

function picked(answer: Partial<Completion & EmbeddingResponse>): SharedV4ProviderMetadata {
  const { cost, cache, attempts, request_id, upstream_request_id, timing, dropped_params, usage, extra } = answer;
  return { ossai: json({ cost, cache, attempts, request_id, upstream_request_id, timing, dropped_params, usage, extra }) as JSONObject };
}

export function metadata(answer: Completion | EmbeddingResponse): SharedV4ProviderMetadata {
  return picked(answer);
}

export function finishReason(reason: FinishReason | undefined, raw?: string): LanguageModelV4FinishReason {
  return { unified: UNIFIED[reason ?? ""] ?? "other", raw: raw ?? reason };
}

/** Input includes cached tokens and output reasoning, here as there. */
export function usage(of: Usage | undefined, raw?: unknown): LanguageModelV4Usage {
  if (of === undefined) {
    return {
      inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
      outputTokens: { total: undefined, text: undefined, reasoning: undefined },
    };
  }
  const cacheRead = of.cache_read_tokens ?? 0;
  const cacheWrite = of.cache_write_tokens ?? 0;
  const reasoning = of.reasoning_tokens ?? 0;
  return {
    inputTokens: { total: of.input_tokens, noCache: Math.max(of.input_tokens - cacheRead - cacheWrite, 0), cacheRead, cacheWrite },
    outputTokens: { total: of.output_tokens, text: Math.max(of.output_tokens - reasoning, 0), reasoning },
    ...(typeof raw === "object" && raw !== null && { raw: json(raw) as JSONObject }),
  };
}

export function responseMetadata(of: { id?: string; response_model?: string; created?: number }): LanguageModelV4ResponseMetadata {
  return {
    ...(of.id !== undefined && of.id !== "" && { id: of.id }),
    ...(of.response_model !== undefined && { modelId: of.response_model }),
    ...(of.created !== undefined && { timestamp: new Date(of.created * 1000) }),
  };
}
