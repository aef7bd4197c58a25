/**
 * Calls as spans and metrics of the program's own OpenTelemetry, by the GenAI conventions. Nothing is loaded before the program has
 * registered OpenTelemetry by itself, and until then a call pays one look at a global.
 */

import type * as Otel from "@opentelemetry/api";
import { OssaiError } from "./errors.js";
import { encode } from "./json.js";
import { VERSION } from "./native.js";
import { contentOf, messagesOf } from "./telemetry-content.js";
import type { CallOptions } from "./options.js";
import type { ToolContext } from "./tools.js";
import type { Completion, CompletionRequest, EmbeddingRequest, EmbeddingResponse } from "./types.js";

/** Where OpenTelemetry's API keeps what a program has registered, whichever copy of it the program has. */
const REGISTERED = Symbol.for("opentelemetry.js.api.1");
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];

type Attributes = Otel.Attributes;
type Request = Partial<CompletionRequest & EmbeddingRequest>;
type Answer = Partial<Completion & EmbeddingResponse>;
type Op = "complete" | "stream" | "embed";

interface Instruments {
  provider: Otel.MeterProvider;
  duration: Otel.Histogram;
  firstChunk: Otel.Histogram;
  tokens: Otel.Histogram;
  tool: Otel.Histogram;
}

let loaded: typeof Otel | null | undefined;
let instruments: Instruments | undefined;

/** OpenTelemetry's API, if the program has registered something with it. */
function api(): typeof Otel | undefined {
  if ((globalThis as Record<symbol, unknown>)[REGISTERED] === undefined) return undefined;
  if (loaded === undefined) {
    try {
      loaded = require("@opentelemetry/api") as typeof Otel;
    } catch {
      loaded = null; // the program's copy is out of this package's reach
    }
  }
  return loaded ?? undefined;
}

/** The instruments of the meter provider that is registered now. */
function measuring(otel: typeof Otel): Instruments {
  const provider = otel.metrics.getMeterProvider();
  if (instruments?.provider === provider) return instruments;
  const meter = provider.getMeter("ossai", VERSION);
  const histogram = (name: string, unit: string, explicitBucketBoundaries: number[], description: string): Otel.Histogram =>
    meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries } });
  instruments = {
    provider,
    duration: histogram("gen_ai.client.operation.duration", "s", SECONDS, "How long calls took."),
    firstChunk: histogram("gen_ai.client.operation.time_to_first_chunk", "s", SECONDS, "How long streams took to begin."),
    tokens: histogram("gen_ai.client.token.usage", "{token}", TOKENS, "Tokens that calls used."),
    tool: histogram("gen_ai.execute_tool.duration", "s", SECONDS, "How long handlers of tools took."),
  };
  return instruments;
}

/** The request's settings, by their names in the conventions. */
const SETTINGS = [
  ["max_tokens", "gen_ai.request.max_tokens"],
  ["temperature", "gen_ai.request.temperature"],
  ["top_p", "gen_ai.request.top_p"],
  ["top_k", "gen_ai.request.top_k"],
  ["frequency_penalty", "gen_ai.request.frequency_penalty"],
  ["presence_penalty", "gen_ai.request.presence_penalty"],
  ["seed", "gen_ai.request.seed"],
  ["reasoning_effort", "gen_ai.request.reasoning.level"],
  ["dimensions", "gen_ai.embeddings.dimension.count"],
] as const;

function asked(request: Request, op: Op): Attributes {
  const attributes: Attributes = {};
  for (const [field, name] of SETTINGS) {
    const value = request[field];
    if (typeof value === "number" || typeof value === "string") attributes[name] = value;
    else if (typeof value === "bigint") attributes[name] = Number(value);
  }
  const { stop, response_format } = request;
  if (typeof stop === "string") attributes["gen_ai.request.stop_sequences"] = [stop];
  else if (Array.isArray(stop)) attributes["gen_ai.request.stop_sequences"] = stop.filter((one) => typeof one === "string");
  if (response_format?.type !== undefined) attributes["gen_ai.output.type"] = response_format.type === "text" ? "text" : "json";
  if (op === "stream") attributes["gen_ai.request.stream"] = true;
  return attributes;
}

function answered(answer: Answer): Attributes {
  const { usage, cost, cache, timing } = answer;
  const attributes: Attributes = { "ossai.attempts": answer.attempts?.length ?? 0 };
  const put = (name: string, value: string | number | undefined): void => {
    if (value !== undefined && value !== "" && value !== 0) attributes[name] = value;
  };
  put("gen_ai.response.id", answer.id);
  put("gen_ai.response.model", answer.response_model);
  if (answer.finish_reason !== undefined) attributes["gen_ai.response.finish_reasons"] = [answer.finish_reason];
  if (usage !== undefined) {
    attributes["gen_ai.usage.input_tokens"] = usage.input_tokens;
    if (answer.finish_reason !== undefined) attributes["gen_ai.usage.output_tokens"] = usage.output_tokens;
  }
  put("gen_ai.usage.cache_read.input_tokens", usage?.cache_read_tokens);
  put("gen_ai.usage.cache_write.input_tokens", usage?.cache_write_tokens);
  put("gen_ai.usage.reasoning.output_tokens", usage?.reasoning_tokens);
  put("gen_ai.response.time_to_first_chunk", (timing?.first_token_us ?? 0) / 1e6);
  put("ossai.request_id", answer.request_id);
  put("ossai.cache.status", cache?.status);
  put("ossai.cache.tier", cache?.tier);
  if (cost?.total !== undefined) attributes["ossai.cost.usd"] = Number(cost.total) / 1e9;
  return attributes;
}

/** One call that is watched. */
export class Watch {
  #over = false;
  readonly #began = performance.now();

  constructor(
    readonly otel: typeof Otel,
    readonly span: Otel.Span,
    readonly labels: Attributes,
    readonly content: boolean,
    readonly context: Otel.Context,
  ) {}

  /** The call's options with the span as the caller to tell upstream; a context the caller gave stays. */
  options<T extends CallOptions>(given: T | undefined): T | undefined {
    const { traceId, spanId, traceFlags } = this.span.spanContext();
    if (given?.traceparent !== undefined || !this.otel.isSpanContextValid(this.span.spanContext())) return given;
    const flags = traceFlags.toString(16).padStart(2, "0");
    return { ...(given as T), traceparent: `00-${traceId}-${spanId}-${flags}` };
  }

  /** Runs something with the span as the one that is active: tool handlers begin beneath it. */
  within<T>(run: () => T): T {
    return this.otel.context.with(this.context, run);
  }

  /** Tells of a tool's handler while it runs, beneath the call's span. */
  async tool(context: ToolContext, run: () => Promise<unknown>): Promise<unknown> {
    const labels: Attributes = { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": context.name };
    const attributes: Attributes = { ...labels, "gen_ai.tool.type": "function", "gen_ai.tool.call.id": context.toolCallId };
    if (context.tool.description !== undefined) attributes["gen_ai.tool.description"] = context.tool.description;
    if (this.content) attributes["gen_ai.tool.call.arguments"] = JSON.stringify(context.input);
    const settings = { kind: this.otel.SpanKind.INTERNAL, attributes };
    const span = this.otel.trace.getTracer("ossai", VERSION).startSpan(`execute_tool ${context.name}`, settings, this.context);
    const began = performance.now();
    try {
      const value = await this.otel.context.with(this.otel.trace.setSpan(this.context, span), run);
      if (this.content && span.isRecording()) span.setAttribute("gen_ai.tool.call.result", encode("result", value ?? null));
      return value;
    } catch (error) {
      labels["error.type"] = error instanceof Error ? error.name : typeof error;
      span.setAttribute("error.type", labels["error.type"]);
      span.setStatus({ code: this.otel.SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
      measuring(this.otel).tool.record((performance.now() - began) / 1000, labels);
    }
  }

  done(answer: Answer): void {
    if (this.#over) return;
    if (this.span.isRecording()) {
      this.span.setAttributes(answered(answer));
      if (this.content) this.span.setAttributes(contentOf(answer));
    }
    const { response_model, usage, cache, timing } = answer;
    const labels = response_model === undefined ? this.labels : { ...this.labels, "gen_ai.response.model": response_model };
    const { tokens, firstChunk } = this.#end(labels);
    // A kept answer uses none, and one that several calls share is counted with the call that asked for it.
    if (usage !== undefined && cache?.status !== "hit" && !cache?.joined) {
      tokens.record(usage.input_tokens, { ...labels, "gen_ai.token.type": "input" });
      if (answer.finish_reason !== undefined) tokens.record(usage.output_tokens, { ...labels, "gen_ai.token.type": "output" });
    }
    if (timing?.first_token_us !== undefined) firstChunk.record(timing.first_token_us / 1e6, labels);
  }

  failed(error: unknown): void {
    if (this.#over) return;
    const known = error instanceof OssaiError ? error : undefined;
    const type = known?.code ?? "cancelled"; // what is not the client's is the signal's reason
    this.span.setAttributes({ "error.type": type, "ossai.attempts": known?.attempts.length ?? 0 });
    if (known?.requestId !== undefined) this.span.setAttribute("ossai.request_id", known.requestId);
    this.span.setStatus({ code: this.otel.SpanStatusCode.ERROR, ...(known && { message: known.message }) });
    this.#end({ ...this.labels, "error.type": type });
  }

  /** The program left a stream before its end. */
  left(): void {
    if (!this.#over) this.#end(this.labels);
  }

  #end(labels: Attributes): Instruments {
    this.#over = true;
    this.span.end();
    const measured = measuring(this.otel);
    measured.duration.record((performance.now() - this.#began) / 1000, labels);
    return measured;
  }
}

/** How a client's calls are told; `vendorOf` is what the conventions call a provider. */
export class Telemetry {
  readonly #vendors = new Map<string, string>();

  constructor(
    readonly content: boolean,
    readonly vendorOf: (provider: string) => string | undefined,
  ) {}

  /** Begins to watch a call; undefined when nobody does. */
  watch(op: Op, request: Request | undefined): Watch | undefined {
    const otel = api();
    if (otel === undefined) return undefined;
    const asking = request ?? {};
    const model = typeof asking.model === "string" ? asking.model : "";
    const slash = model.indexOf("/");
    const name = model.slice(slash + 1);
    const operation = op === "embed" ? "embeddings" : "chat";
    const labels: Attributes = { "gen_ai.operation.name": operation, "gen_ai.provider.name": this.#vendor(model.slice(0, Math.max(slash, 0))) };
    if (name !== "") labels["gen_ai.request.model"] = name;
    const parent = otel.context.active();
    const attributes = { ...asked(asking, op), ...labels, ...(this.content && messagesOf(asking)) };
    const title = name === "" ? operation : `${operation} ${name}`;
    const span = otel.trace.getTracer("ossai", VERSION).startSpan(title, { kind: otel.SpanKind.CLIENT, attributes }, parent);
    return new Watch(otel, span, labels, this.content, otel.trace.setSpan(parent, span));
  }

  #vendor(provider: string): string {
    let vendor = this.#vendors.get(provider);
    if (vendor === undefined) {
      vendor = (provider !== "" && this.vendorOf(provider)) || provider || "ossai";
      if (this.#vendors.size < 256) this.#vendors.set(provider, vendor);
    }
    return vendor;
  }
}
