/**
 * A client for language models whose retries, shared calls, caches, token counts and money are decided once, in a Rust core.
 *
 * ```ts
 * import { createClient } from "@ossai/sdk";
 *
 * const client = createClient();
 * const answer = await client.complete({
 *   model: "openai/gpt-4o-mini",
 *   messages: [{ role: "user", content: "Why is the sky blue?" }],
 * });
 * ```
 */

import { decode, encode } from "./json.js";
import { native, VERSION } from "./native.js";
import type { Nanodollars } from "./types.js";

export { Client, createClient } from "./client.js";
export { toMessage, toolCalls } from "./answers.js";
export { CompletionStream } from "./stream.js";
export * from "./errors.js";
export { mcpTool, RunnableTool, tool, ToolRegistry, toolsOf } from "./tools.js";
export type {
  AnySchema,
  Approve,
  InputOf,
  JsonSchema,
  MethodDecorator,
  OutputOf,
  StandardSchema,
  ToolContext,
  ToolSettings,
} from "./tools.js";
export type { Credential, Fetch } from "./credentials.js";
export type * from "./options.js";
export type * from "./types.js";

/** The version of the package and of the core in it. */
export const version: string = VERSION;

/** An answer, event or error's fields as JSON text, exactly: `JSON.stringify` knows no `bigint`. */
export function stringify(value: unknown): string {
  return encode("value", value);
}

/** The reverse of `stringify`: integers beyond 2⁵³ are `bigint`. */
export function parse<T = unknown>(text: string): T {
  return decode<T>(text);
}

/** Money in dollars, for display only: sums are made of the integers. */
export function usd(amount: Nanodollars): number {
  return Number(amount) / 1e9;
}

/** How many threads the core's runtime gets, 1 to 64; false, and nothing changes, once it runs. It is shared by all worker threads. */
export function configureThreads(threads: number): boolean {
  return native.configureThreads(threads);
}
