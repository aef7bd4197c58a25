/**
 * ossai as a provider of the AI SDK.
 *
 * ```ts
 * import { generateText } from "ai";
 * import { ossai } from "@ossai/ai-sdk-provider";
 *
 * const { text, providerMetadata } = await generateText({ model: ossai("openai/gpt-4o-mini"), prompt: "Why is the sky blue?" });
 * ```
 */

export { createOssai, ossai } from "./provider.js";
export type { OssaiProvider, OssaiProviderSettings } from "./provider.js";
export type { OssaiEmbeddingMetadata, OssaiMetadata } from "./metadata.js";
export type { OssaiEmbeddingOptions, OssaiModelOptions } from "./options.js";
