/** The client. */

import { channel } from "node:diagnostics_channel";
import { openWithCredentials } from "./credentials.js";
import { fromFields, type ErrorFields } from "./errors.js";
import { breathe, expect, forget, hold, home, release, type Waiter } from "./home.js";
import { decode, encode, invalid } from "./json.js";
import { native, type Failure, type Session } from "./native.js";
import type { CallOptions, CatalogOptions, ClientOptions, EstimateOptions, SignalOptions } from "./options.js";
import { callOptions, configuration, milliseconds, object, renamed } from "./settings.js";
import { hear, unhear, type Abortable } from "./signals.js";
import { CompletionStream, CREDIT, Inbox } from "./stream.js";
import { Telemetry, type Watch } from "./telemetry.js";
import { outgoing, planned, Runner, ToolRegistry, type Plan } from "./tools.js";
import type {
  BudgetState,
  Completion,
  CompletionRequest,
  EmbeddingRequest,
  EmbeddingResponse,
  Estimate,
  Explanation,
  Health,
  Invalidated,
  Invalidation,
  ModelEntry,
  ModelInfo,
  StreamEvent,
  Stats,
  TokenCount,
  Truncated,
} from "./types.js";

/** Hears of each call that went out: `{ op, answer }`. */
const calls = channel("ossai:call");

/** A call that waits for its answer. It holds its session, which would otherwise end with a client nobody holds. */
class Pending implements Waiter, Abortable {
  constructor(
    readonly session: Session,
    readonly call: number,
    readonly resolve: (answer: unknown) => void,
    readonly reject: (error: unknown) => void,
    readonly signal: AbortSignal | undefined,
    readonly runner: Runner | undefined,
  ) {
    hold();
    expect(call, this);
    runner?.begun(call);
    if (signal !== undefined) hear(signal, this);
  }

  /** The caller hears first, then the call is ended. */
  aborted(reason: unknown): void {
    if (!forget(this.call)) return;
    this.fail(reason);
    this.session.cancel(this.call);
  }

  #end(): void {
    release();
    if (this.signal !== undefined) unhear(this.signal, this);
    this.runner?.end();
  }

  reply(answer: unknown): void {
    this.#end();
    this.resolve(answer);
  }

  fail(error: unknown): void {
    this.#end();
    this.reject(this.runner === undefined ? error : this.runner.blame(error));
  }

  events(): void {
    // only streams have events
  }
}

function raised({ error }: Failure): Error {
  return fromFields(decode<ErrorFields>(error));
}

/** The signal, of whichever realm or polyfill; throws its reason when it is aborted already. */
function checked(signal: unknown): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  const given = signal as AbortSignal | null;
  if (typeof given?.aborted !== "boolean" || typeof given.addEventListener !== "function") {
    throw invalid("options.signal", "expected an AbortSignal");
  }
  if (given.aborted) throw given.reason ?? new DOMException("This operation was aborted", "AbortError");
  return given;
}

/** Whether prompts and answers are told beside names and numbers; undefined when nothing is. */
function told(given: unknown, environment: boolean): boolean | undefined {
  if (given === false) return undefined;
  const { content, ...rest } = given === true ? {} : (object("telemetry", given) as { content?: unknown });
  const other = Object.keys(rest)[0];
  if (other !== undefined) throw invalid(`telemetry.${other}`, "unknown");
  if (content !== undefined && typeof content !== "boolean") throw invalid("telemetry.content", "expected true or false");
  return content ?? (environment && process.env["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] === "true");
}

function options(given: object | undefined, tools?: Record<string, unknown>): string {
  if (tools !== undefined) return encode("options", { ...callOptions(given), tools });
  return given === undefined ? "" : encode("options", callOptions(given));
}

/** Text and a model's settings, as one request. */
function ofText(text: string, settings: object): string {
  return encode("", { ...renamed("options", settings), text });
}

/**
 * A client for language models, over an orchestrator or straight to the providers.
 *
 * Opening one starts no thread and opens no socket. It may be used for any number of calls at once; in a worker thread open another.
 * What is wrong with a request rejects (or throws, where a method does not wait) with an `InvalidRequestError` that names the field.
 */
export class Client implements AsyncDisposable {
  readonly #session: Session;
  readonly #telemetry: Telemetry | undefined;
  /** Tools that requests may name by their ids. */
  readonly tools = new ToolRegistry();

  constructor(settings: ClientOptions = {}) {
    const { credentials, environment = true, telemetry = true, ...rest } = object("config", settings);
    if (typeof environment !== "boolean") throw invalid("environment", "expected true or false");
    const content = told(telemetry, environment);
    const config = encode("config", configuration(rest));
    const opened =
      credentials === undefined ? native.open(home, config, environment, []) : openWithCredentials(config, environment, credentials);
    if ("error" in opened) throw raised(opened);
    this.#session = opened;
    if (content !== undefined) {
      this.#telemetry = new Telemetry(content, (provider) => this.catalog({ provider })[0]?.["otel"] as string | undefined);
    }
  }

  /** An operation that may wait. */
  async #call<T>(op: string, request: string, given?: (SignalOptions & object) | undefined, plan?: Plan, watch?: Watch): Promise<T> {
    const signal = checked(given?.signal);
    const session = this.#session;
    const runner = plan && new Runner(session, plan, watch);
    const begun = session.begin(op, request, options(given, plan?.document));
    if (typeof begun === "number") {
      return new Promise((resolve, reject) => new Pending(session, begun, resolve as (answer: unknown) => void, reject, signal, runner));
    }
    if (typeof begun === "object") throw raised(begun);
    const breath = breathe();
    if (breath !== undefined) await breath;
    return decode<T>(begun);
  }

  /** An operation that never waits. */
  #now<T>(op: string, request: string, given = ""): T {
    const begun = this.#session.begin(op, request, given);
    if (typeof begun === "object") throw raised(begun);
    return decode<T>(begun as string);
  }

  /** An operation that is told to the program's OpenTelemetry, where it has one. */
  async #watched<T extends Completion | EmbeddingResponse>(watch: Watch, options: CallOptions | undefined, run: (options?: CallOptions) => Promise<T>): Promise<T> {
    try {
      const answer = await watch.within(() => run(watch.options(options)));
      watch.done(answer);
      return answer;
    } catch (error) {
      watch.failed(error);
      throw error;
    }
  }

  /** Asks for a completion and waits for the whole answer. An answer out of memory does not wait for the event loop. */
  complete(request: CompletionRequest, options?: CallOptions): Promise<Completion> {
    const watch = this.#telemetry?.watch("complete", request);
    if (watch === undefined) return this.#complete(request, options);
    return this.#watched(watch, options, (given) => this.#complete(request, given, watch));
  }

  async #complete(request: CompletionRequest, options?: CallOptions, watch?: Watch): Promise<Completion> {
    const plan = planned(request, options, this.tools);
    const answer = await this.#call<Completion>("complete", encode("", plan?.request ?? request), options, plan, watch);
    if (calls.hasSubscribers && answer.attempts !== undefined) calls.publish({ op: "complete", answer });
    return answer;
  }

  /** Asks for a completion as a stream of events; begins at once. What is wrong rejects the first read. */
  stream(request: CompletionRequest, options?: CallOptions): CompletionStream {
    const watch = this.#telemetry?.watch("stream", request);
    const inbox = new Inbox((answer) => {
      if (calls.hasSubscribers && answer.attempts !== undefined) calls.publish({ op: "stream", answer });
    }, watch);
    if (watch === undefined) this.#stream(inbox, request, options);
    else watch.within(() => this.#stream(inbox, request, watch.options(options), watch));
    return new CompletionStream(inbox);
  }

  #stream(inbox: Inbox, request: CompletionRequest, options: CallOptions | undefined, watch?: Watch): void {
    try {
      const signal = checked(options?.signal);
      const plan = planned(request, options, this.tools);
      const runner = plan && new Runner(this.#session, plan, watch);
      const settings = encode("options", { ...callOptions(options), credit: CREDIT, ...(plan && { tools: plan.document }) });
      const begun = this.#session.begin("stream", encode("", plan?.request ?? request), settings);
      if (typeof begun === "number") inbox.begun(this.#session, begun, signal, runner);
      else if (typeof begun === "object") inbox.fail(raised(begun));
      else inbox.whole(decode<StreamEvent[]>(begun));
    } catch (error) {
      inbox.fail(error);
    }
  }

  /** Turns texts into vectors, in the order of the inputs. */
  embed(request: EmbeddingRequest, options?: CallOptions): Promise<EmbeddingResponse> {
    const watch = this.#telemetry?.watch("embed", request);
    if (watch === undefined) return this.#embed(request, options);
    return this.#watched(watch, options, (given) => this.#embed(request, given));
  }

  async #embed(request: EmbeddingRequest, options?: CallOptions): Promise<EmbeddingResponse> {
    const answer = await this.#call<EmbeddingResponse>("embed", encode("", request), options);
    for (const { vector } of answer.embeddings) {
      // Single precision, written in as few digits as tell it apart: the exact value is the nearest single.
      for (let i = 0; i < vector.length; i++) vector[i] = Math.fround(vector[i] as number);
    }
    if (calls.hasSubscribers && answer.attempts !== undefined) calls.publish({ op: "embed", answer });
    return answer;
  }

  /** The models of one provider, or of every provider that can be called as things are. */
  async models(provider?: string, options?: SignalOptions): Promise<ModelInfo[]> {
    return this.#call("models", encode("", { provider }), options);
  }

  /** Asks every upstream that can be called whether it takes calls. */
  async health(options?: SignalOptions): Promise<Health[]> {
    return this.#call("health", "", options);
  }

  /**
   * The budgets with what is spent, held and left in the present windows: those with a name, and every other one in use. Of a client
   * over an orchestrator they are its own, on which nothing is booked: the orchestrator's hold.
   */
  async budgets(options?: SignalOptions): Promise<BudgetState[]> {
    return this.#call("budgets", "", options);
  }

  /** The answer to this request if the memory cache has it. */
  lookup(request: CompletionRequest, given?: CallOptions): Completion | null {
    return this.#now("lookup", encode("", outgoing(request, this.tools)), options(given));
  }

  /** What a call would do, worked out without sending it: route, cache, sharing, parameters, cost. */
  explain(request: CompletionRequest, given?: CallOptions): Explanation {
    return this.#now("explain", encode("", outgoing(request, this.tools)), options(given));
  }

  /** The key under which this request's answer is kept and shared, in hex: equal in every language for equal calls. */
  key(request: CompletionRequest): string {
    return this.#now<{ key: string }>("key", encode("", outgoing(request, this.tools))).key;
  }

  /** How many input tokens a request is, counted offline: text, message frames, tools and images. */
  count(request: CompletionRequest): TokenCount {
    return this.#now("count", encode("", outgoing(request, this.tools)));
  }

  /** How many tokens a text is for a model, counted offline. */
  countText(text: string, settings: { model: string }): TokenCount {
    return this.#now("count_text", ofText(text, settings));
  }

  /** The longest beginning of a text that is at most `maxTokens` for the model. */
  truncate(text: string, settings: { model: string; maxTokens: number }): Truncated {
    return this.#now("truncate", ofText(text, settings));
  }

  /** A text cut into parts of at most `maxTokens`, each repeating at most `overlap` of the one before. */
  split(text: string, settings: { model: string; maxTokens: number; overlap?: number }): string[] {
    return this.#now<{ parts: string[] }>("split", ofText(text, settings)).parts;
  }

  /** What a request will cost, without sending it: a floor, a likely figure and a ceiling, in nanodollars. */
  estimate(request: CompletionRequest, given?: EstimateOptions): Estimate {
    return this.#now("estimate", encode("", outgoing(request, this.tools)), options(given));
  }

  /** The model's entry in the price table: prices, limits, capabilities; null when it is not listed. */
  price(model: string): ModelEntry | null {
    return this.#now("price", encode("", { model }));
  }

  /** The price table's models that fit the conditions. */
  catalog(conditions: CatalogOptions = {}): ModelEntry[] {
    const request = encode("", renamed("options", conditions));
    return this.#now<{ models: ModelEntry[] }>("catalog", request).models;
  }

  /** What the client has done so far. */
  stats(): Stats {
    return this.#now("stats", "");
  }

  /**
   * Lets kept answers count no more: a model's, those kept for calls with a tag, or all of the client's tenant.
   *
   * It holds for this client when the promise is kept, and within a second for other processes with the same Redis or folder.
   */
  async invalidate(what: Invalidation, options?: SignalOptions): Promise<Invalidated> {
    return this.#call("invalidate", encode("", what), options);
  }

  /** Forgets every kept answer in memory. */
  clearCache(): void {
    this.#now("clear_cache", "");
  }

  /** How many calls of this client's have not ended. */
  get callsUnderWay(): number {
    return this.#session.callsUnderWay;
  }

  /**
   * Refuses new calls and gives those under way `patience` milliseconds; the rest end with `cancelled`. Resolves to whether all of
   * them ended by themselves. A second call is harmless.
   */
  async close({ patience = 0 }: { patience?: number } = {}): Promise<boolean> {
    const wait = milliseconds("patience", patience);
    if (wait > 0) return (await this.#call<{ drained: boolean }>("close", encode("", { patience_ms: wait }))).drained;
    const idle = this.#session.callsUnderWay === 0;
    this.#session.close();
    return idle;
  }

  /** `await using`: closes the client. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Opens a client; what is left out comes from the environment and the providers' own key variables. */
export function createClient(settings?: ClientOptions): Client {
  return new Client(settings);
}
