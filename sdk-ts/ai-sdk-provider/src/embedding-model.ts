/** An embedding model of the AI SDK's specification, version 4. */

import {
  TooManyEmbeddingValuesForCallError,
  type EmbeddingModelV4,
  type EmbeddingModelV4CallOptions,
  type EmbeddingModelV4Result,
} from "@ai-sdk/provider";
import type { CallOptions, Client, EmbeddingRequest } from "@ossai/sdk";
import { translated } from "./errors.js";
import { address } from "./language-model.js";
import { metadata } from "./metadata.js";
import { given, headers } from "./options.js";

const WRITTEN = ["model", "input", "dimensions"];

export class OssaiEmbeddingModel implements EmbeddingModelV4 {
  readonly specificationVersion = "v4";
  readonly provider = "ossai";
  readonly supportsParallelCalls = true;
  readonly #client: () => Client;

  constructor(
    readonly modelId: string,
    client: () => Client,
    readonly maxEmbeddingsPerCall: number,
  ) {
    this.#client = client;
  }

  async doEmbed(call: EmbeddingModelV4CallOptions): Promise<EmbeddingModelV4Result> {
    const { modelId, provider, maxEmbeddingsPerCall } = this;
    const { values, dimensions, abortSignal } = call;
    if (values.length > maxEmbeddingsPerCall) throw new TooManyEmbeddingValuesForCallError({ provider, modelId, maxEmbeddingsPerCall, values });
    const own = given(call.providerOptions, WRITTEN);
    const request: EmbeddingRequest = { ...own.request, model: modelId, input: values, ...(dimensions !== undefined && { dimensions }) };
    const options: Record<string, unknown> = headers(own.options, call.headers);
    if (abortSignal !== undefined) options["signal"] = abortSignal;
    try {
      const answer = await this.#client().embed(request, options as CallOptions);
      return {
        embeddings: answer.embeddings.map(({ vector }) => vector),
        usage: { tokens: answer.usage.input_tokens },
        providerMetadata: metadata(answer),
        warnings: [],
      };
    } catch (error) {
      const { input: _, ...settings } = request;
      const url = () => this.#address();
      throw translated(error, { modelId, modelType: "embeddingModel", url, settings });
    }
  }

  /** Where it went: beside where a completion of this model would go. */
  #address(): string {
    const url = address(this.#client(), { model: this.modelId, messages: [{ role: "user", content: "" }] });
    return url.replace(/\/(chat\/completions|responses)$/, "/embeddings");
  }
}
