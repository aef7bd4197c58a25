// What the compiler must take, and what it must not.
import { createOssai, ossai, type OssaiEmbeddingOptions, type OssaiMetadata, type OssaiModelOptions, type OssaiProvider } from "@ossai/ai-sdk-provider";
import type { EmbeddingModelV4, LanguageModelV4, ProviderV4 } from "@ai-sdk/provider";
import type { Client } from "@ossai/sdk";
import { createProviderRegistry, embed, generateText } from "ai";

export const provider: ProviderV4 = ossai;
export const model: LanguageModelV4 = ossai("openai/gpt-4o-mini");
export const vectors: EmbeddingModelV4 = ossai.embeddingModel("openai/text-embedding-3-small");
export const own: OssaiProvider = createOssai({ tenant: "a", maxEmbeddingsPerCall: 10, supportedUrls: { "image/*": [/./] } });
export const client: Client = own.client;
export const registry = createProviderRegistry({ ossai });

const call = { cache: { noCache: true }, retries: 0, request: { service_tier: "flex", anything: 1 } } satisfies OssaiModelOptions;
export const text = generateText({ model: registry.languageModel("ossai:openai/gpt-4o-mini"), prompt: "Hi", providerOptions: { ossai: call } });
export const amount: number | string | undefined = ((await text).providerMetadata?.["ossai"] as OssaiMetadata).cost.total;
export const vector = embed({ model: vectors, value: "x", providerOptions: { ossai: { timeout: 1 } satisfies OssaiEmbeddingOptions } });

// @ts-expect-error: settings are checked
createOssai({ retires: 1 });
// @ts-expect-error: the AI SDK runs the loop
export const loop: OssaiModelOptions = { maxTurns: 3 };
// @ts-expect-error: the AI SDK writes the messages
export const messages: OssaiModelOptions = { request: { messages: [] } };
