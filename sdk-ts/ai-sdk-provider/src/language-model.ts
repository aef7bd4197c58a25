/** A language model of the AI SDK's specification, version 4. */

import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
  LanguageModelV4StreamResult,
} from "@ai-sdk/provider";
import { OssaiError, type Client, type CompletionRequest, type CompletionStream } from "@ossai/sdk";
import { translated } from "./errors.js";
import { finishReason, metadata, responseMetadata, usage } from "./metadata.js";
import { content, Parts } from "./parts.js";
import { mayDrop, outgoing, unsupported, vendor } from "./request.js";

/** Addresses that vendors fetch themselves, by media type. */
export type SupportedUrls = Record<string, RegExp[]>;

const ANY = [/^https?:\/\/.*$/];

/** Vendors fetch images; chat completions take no documents by their address, Anthropic does. */
function fetched(modelId: string): SupportedUrls {
  return vendor(modelId) === "anthropic" ? { "image/*": ANY, "application/pdf": ANY } : { "image/*": ANY };
}

/** Where a request would go. */
export function address(client: Client, request: CompletionRequest): string {
  try {
    const { url, road } = client.explain(request).route;
    return url ?? road;
  } catch {
    return "unknown";
  }
}

export class OssaiLanguageModel implements LanguageModelV4 {
  readonly specificationVersion = "v4";
  readonly provider = "ossai";
  readonly supportedUrls: SupportedUrls;
  readonly #client: () => Client;

  constructor(
    readonly modelId: string,
    client: () => Client,
    supportedUrls?: SupportedUrls,
  ) {
    this.#client = client;
    this.supportedUrls = supportedUrls ?? fetched(modelId);
  }

  async doGenerate(call: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const { request, options, warnings } = outgoing(this.modelId, call);
    try {
      const answer = await this.#client().complete(request, options);
      return {
        content: content(answer.parts),
        finishReason: finishReason(answer.finish_reason, answer.raw_finish_reason),
        usage: usage(answer.usage, answer.raw_usage),
        providerMetadata: metadata(answer),
        request: { body: request },
        response: responseMetadata(answer),
        warnings: [...warnings, ...unsupported(answer.dropped_params)],
      };
    } catch (error) {
      throw this.#translated(error, request);
    }
  }

  /** Resolves with the first event, so that what fails before it fails the call and not the stream. */
  async doStream(call: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const { request, options, warnings } = outgoing(this.modelId, call);
    let events: CompletionStream | undefined;
    try {
      events = this.#client().stream(request, options);
      const first = await events.next();
      const dropped = mayDrop(request) ? unsupported(this.#dropped(request)) : [];
      const head: LanguageModelV4StreamPart[] = [{ type: "stream-start", warnings: [...warnings, ...dropped] }];
      return { stream: this.#parts(events, first, head, call, request), request: { body: request } };
    } catch (error) {
      void events?.close();
      throw this.#translated(error, request);
    }
  }

  #parts(
    events: CompletionStream,
    first: Awaited<ReturnType<CompletionStream["next"]>>,
    head: LanguageModelV4StreamPart[],
    call: LanguageModelV4CallOptions,
    request: CompletionRequest,
  ): ReadableStream<LanguageModelV4StreamPart> {
    const parts = new Parts();
    let next: typeof first | undefined = first;
    return new ReadableStream<LanguageModelV4StreamPart>(
      {
        start: (controller) => head.forEach((part) => controller.enqueue(part)),
        pull: async (controller) => {
          try {
            for (;;) {
              const { done, value } = next ?? (await events.next());
              next = undefined;
              if (done) return controller.close();
              const made = parts.take(value);
              if (call.includeRawChunks) controller.enqueue({ type: "raw", rawValue: value });
              made.forEach((part) => controller.enqueue(part));
              if (made.length > 0 || call.includeRawChunks) return;
            }
          } catch (error) {
            if (!(error instanceof OssaiError)) return controller.error(error); // the signal's reason
            parts.broken().forEach((part) => controller.enqueue(part));
            this.#broke(error, request).forEach((part) => controller.enqueue(part));
            controller.close();
          }
        },
        cancel: () => events.close(),
      },
      { highWaterMark: 0 },
    );
  }

  /** The end of a stream that broke: the error, and what had been used by then. */
  #broke(error: OssaiError, request: CompletionRequest): LanguageModelV4StreamPart[] {
    const unified = error.code === "stream_interrupted" ? "interrupted" : "error";
    const partial = error.partial;
    return [
      { type: "error", error: this.#translated(error, request) },
      {
        type: "finish",
        finishReason: { unified, raw: undefined },
        usage: usage(partial?.usage, partial?.raw_usage),
        ...(partial !== undefined && { providerMetadata: metadata(partial) }),
      },
    ];
  }

  /** What a direct call leaves out, which a stream would say only at its end and the AI SDK hears at its beginning. */
  #dropped(request: CompletionRequest): string[] {
    try {
      return this.#client().explain(request).parameters.dropped;
    } catch {
      return []; // the answer stands, whatever explaining it meets
    }
  }

  #translated(error: unknown, request: CompletionRequest): unknown {
    const { messages: _, tools: _1, ...settings } = request;
    const url = () => address(this.#client(), request);
    return translated(error, { modelId: this.modelId, modelType: "languageModel", url, settings });
  }
}
