/** What is said to ossai alone: `providerOptions.ossai`, of a call and of a message or part. */

import { InvalidArgumentError, type SharedV4ProviderOptions } from "@ai-sdk/provider";
import type { CallOptions, CompletionRequest, EmbeddingRequest, LoopOptions } from "@ossai/sdk";

/** A call's options: those of `@ossai/sdk` but for the signal (`abortSignal`) and tool loops (the AI SDK runs its own). */
type Options = Omit<CallOptions, "signal" | keyof LoopOptions>;

type Known<T> = { [K in keyof T as string extends K ? never : K]: T[K] };
/** Fields of a request beside those the AI SDK writes: the known ones with their types, a vendor's own with any. */
type Beside<T, Written extends string> = Partial<Omit<Known<T>, Written>> & { [K in Written]?: never } & { [name: string]: unknown };

/** `providerOptions.ossai` of `generateText`, `streamText` and the like. */
export interface OssaiModelOptions extends Options {
  /** Fields of the request that the AI SDK has no setting for (`service_tier`, `metadata`, `user`, a vendor's own …), in the wire's names. */
  request?: Beside<CompletionRequest, "model" | "messages" | "tools">;
  /** Whether the provider must hold JSON answers to their schema; it must unless this is false. */
  strictJsonSchema?: boolean;
}

/** `providerOptions.ossai` of `embed` and `embedMany`. */
export interface OssaiEmbeddingOptions extends Options {
  request?: Beside<EmbeddingRequest, "model" | "input" | "dimensions">;
}

type Fields = Record<string, unknown>;

/** What one call is given: the client's options, fields of the request, and whether schemas are strict. */
export interface Given {
  options: Fields;
  request: Fields;
  strict: boolean;
}

function invalid(argument: string, expected: string): InvalidArgumentError {
  return new InvalidArgumentError({ argument, message: `${argument}: ${expected}` });
}

/** Reads a call's `providerOptions.ossai`; `taken` are the request's fields that the AI SDK writes itself. */
export function given(providerOptions: SharedV4ProviderOptions | undefined, taken: readonly string[]): Given {
  const { request = {}, strictJsonSchema = true, ...options } = (providerOptions?.["ossai"] ?? {}) as Fields;
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw invalid("providerOptions.ossai.request", "expected an object");
  }
  const own = taken.find((name) => (request as Fields)[name] !== undefined);
  if (own !== undefined) throw invalid(`providerOptions.ossai.request.${own}`, "expected absent: the AI SDK writes it");
  if (typeof strictJsonSchema !== "boolean") throw invalid("providerOptions.ossai.strictJsonSchema", "expected true or false");
  const unknown = ["signal", "maxTurns", "maxParallel", "toolTimeout", "approve", "approvalTimeout", "onToolError"].find(
    (name) => options[name] !== undefined,
  );
  if (unknown !== undefined) throw invalid(`providerOptions.ossai.${unknown}`, "expected absent: it is the AI SDK's to say");
  return { options, request: request as Fields, strict: strictJsonSchema };
}

/** The same of a message, a part or a tool: fields that its object on the wire is to have besides. */
export function extra(one: { providerOptions?: SharedV4ProviderOptions }): Fields {
  return one.providerOptions?.["ossai"] ?? {};
}

/** Headers as ossai takes them. `user-agent`, which names the AI SDK, stays behind: it would be an option that no orchestrator takes. */
export function headers(options: Fields, of: Readonly<Record<string, string | undefined>> | undefined): Fields {
  const own = Object.entries(of ?? {}).filter(([name, value]) => value !== undefined && name.toLowerCase() !== "user-agent");
  if (own.length === 0) return options;
  return { ...options, headers: { ...(options["headers"] as Fields | undefined), ...Object.fromEntries(own) } };
}
