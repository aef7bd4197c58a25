/** The provider: models by the names they have in ossai, all of one client. */

import { InvalidArgumentError, NoSuchModelError, type EmbeddingModelV4, type LanguageModelV4, type ProviderV4 } from "@ai-sdk/provider";
import { createClient, type Client, type ClientOptions } from "@ossai/sdk";
import { OssaiEmbeddingModel } from "./embedding-model.js";
import { OssaiLanguageModel, type SupportedUrls } from "./language-model.js";

/** What OpenAI takes in one request, the most of the usual vendors. */
const MAX_EMBEDDINGS = 2048;

/** Settings of the client the provider opens at its first call, or a client of the program's own. */
export interface OssaiProviderSettings extends ClientOptions {
  /** Used as it is, and never closed; no other setting of a client may stand beside it. */
  client?: Client;
  /** Texts embedded in one request; `embedMany` makes several of more. 2048 unless said otherwise. */
  maxEmbeddingsPerCall?: number;
  /** Addresses the vendor fetches itself, by media type: the AI SDK downloads all others. By default images, and Anthropic's PDFs. */
  supportedUrls?: SupportedUrls;
}

/** ossai as a provider of the AI SDK. Models are named `provider/model`, as everywhere in ossai. */
export interface OssaiProvider extends ProviderV4, AsyncDisposable {
  (modelId: string): LanguageModelV4;
  languageModel(modelId: string): LanguageModelV4;
  embeddingModel(modelId: string): EmbeddingModelV4;
  /** The client beneath, opened by the first look at it. */
  readonly client: Client;
  /** Ends the client the provider opened; one that was given stays open. */
  [Symbol.asyncDispose](): Promise<void>;
}

function named(modelId: unknown): string {
  if (typeof modelId === "string" && modelId !== "") return modelId;
  throw new InvalidArgumentError({ argument: "modelId", message: "modelId: expected `provider/model`, for example `openai/gpt-4o-mini`" });
}

/** A provider. Nothing is opened, read or checked before its first call. */
export function createOssai(settings: OssaiProviderSettings = {}): OssaiProvider {
  const { client: own, maxEmbeddingsPerCall = MAX_EMBEDDINGS, supportedUrls, ...rest } = settings;
  if (own !== undefined && Object.keys(rest).length > 0) {
    throw new InvalidArgumentError({ argument: "client", message: `client: expected no ${Object.keys(rest)[0]} beside it` });
  }
  if (!Number.isInteger(maxEmbeddingsPerCall) || maxEmbeddingsPerCall < 1) {
    throw new InvalidArgumentError({ argument: "maxEmbeddingsPerCall", message: "maxEmbeddingsPerCall: expected a whole number, 1 or more" });
  }
  let opened: Client | undefined;
  const client = (): Client => own ?? (opened ??= createClient(rest));
  const languageModel = (modelId: string): LanguageModelV4 => new OssaiLanguageModel(named(modelId), client, supportedUrls);
  const provider = (modelId: string): LanguageModelV4 => languageModel(modelId);
  return Object.defineProperty<Omit<OssaiProvider, "client">>(
    Object.assign(provider, {
      specificationVersion: "v4" as const,
      languageModel,
      embeddingModel: (modelId: string): EmbeddingModelV4 => new OssaiEmbeddingModel(named(modelId), client, maxEmbeddingsPerCall),
      imageModel: (modelId: string): never => {
        throw new NoSuchModelError({ modelId, modelType: "imageModel" });
      },
      [Symbol.asyncDispose]: async (): Promise<void> => {
        await opened?.close();
      },
    }),
    "client",
    { get: client, enumerable: true },
  ) as OssaiProvider;
}

/** The provider with settings from the environment: keys of vendors, `OSSAI_ENDPOINT`, `OSSAI_API_KEY` … */
export const ossai: OssaiProvider = createOssai();
