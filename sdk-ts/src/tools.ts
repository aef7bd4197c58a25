/**
 * Tools whose handlers are functions: what the model is told of them, and what runs when it calls one.
 *
 * A handler runs in the async context its caller had, with a signal that fires when nobody waits for its result any more.
 * Whatever it throws is told to the model, or becomes the cause of the call's `CallbackError`.
 */

import { AsyncResource } from "node:async_hooks";
import { CallbackError } from "./errors.js";
import { serve, unserve, type HostCall, type Server } from "./home.js";
import { encode, invalid } from "./json.js";
import type { Session } from "./native.js";
import type { LoopOptions } from "./options.js";
import { milliseconds } from "./settings.js";
import type { Watch } from "./telemetry.js";
import type { AnyTool, CompletionRequest, FunctionTool, Tool } from "./types.js";

/** A schema of any library that speaks Standard Schema (zod, valibot, arktype …), where it gives a JSON Schema of itself. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    /** Makes of a value what the schema makes of it, or says what is wrong. */
    readonly validate?: (value: unknown) => Checked<Output> | Promise<Checked<Output>>;
    readonly jsonSchema?: {
      /** Of what goes in. */
      readonly input: (options: { target: string }) => Record<string, unknown>;
      /** Of what comes out. */
      readonly output: (options: { target: string }) => Record<string, unknown>;
    };
  };
}

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined }[] };

/** A JSON Schema as it is: the handler's input is then not typed. */
export interface JsonSchema {
  readonly [name: string]: unknown;
}

/** A schema of a library with Standard Schema (zod, valibot …), or a JSON Schema. */
export type AnySchema = StandardSchema | JsonSchema;

/** What a handler is given. */
export type InputOf<S> = S extends StandardSchema<unknown, infer Output> ? Output : Record<string, unknown>;
/** What a handler returns. */
export type OutputOf<S> = S extends StandardSchema<infer Input, unknown> ? Input : unknown;

/** What a handler, or an approval, knows of the tool call it serves. */
export interface ToolContext {
  readonly tool: AnyTool;
  /** The tool's name, as the model called it. */
  readonly name: string;
  /** The model's id of the tool call. */
  readonly toolCallId: string;
  /** The arguments as they came, before a schema made anything of them. */
  readonly input: unknown;
  /** Fires when nobody waits for the result any more: the time ran out, or the call is over. */
  readonly signal: AbortSignal;
  /** When the time is up, by `performance.now()`. */
  readonly deadline: number;
}

/** May this tool call run? `true`, `false`, or why not. */
export type Approve = (call: ToolContext) => boolean | string | Promise<boolean | string>;

/** What a tool is made of, apart from its handler. */
export interface ToolSettings<I extends AnySchema = JsonSchema, O extends AnySchema = JsonSchema> {
  /** What the model calls it: 1 to 128 of `A-Za-z0-9_-.`. */
  name: string;
  /** What it does, for the model. */
  description?: string;
  /** What it is known by to the program; by default its name. */
  id?: string;
  /** What it can do and may need, in words of the program's own; the model never sees them. */
  capabilities?: readonly string[];
  /** Of the arguments; absent means that it takes none. */
  input?: I;
  /** Of what the handler returns; absent means that anything goes. */
  output?: O;
  /** Milliseconds for one call of it; absent means the loop's. */
  timeout?: number;
  /** Whether the provider must hold the arguments to the schema. */
  strict?: boolean;
}

/** A tool with its handler, made by `tool`. */
export class RunnableTool<I extends AnySchema = JsonSchema, O extends AnySchema = JsonSchema> implements AnyTool {
  readonly id: string;
  readonly name: string;
  readonly description: string | undefined;
  readonly capabilities: readonly string[];
  readonly inputSchema: JsonSchema | undefined;
  readonly outputSchema: JsonSchema | undefined;
  readonly timeout: number | undefined;
  readonly strict: boolean | undefined;
  /** What runs when the model calls it. */
  readonly handler: (input: InputOf<I>, context: ToolContext) => OutputOf<O> | Promise<OutputOf<O>>;
  readonly #input: I | undefined;

  constructor(settings: ToolSettings<I, O> & { handler: (input: InputOf<I>, context: ToolContext) => OutputOf<O> | Promise<OutputOf<O>> }) {
    if (typeof settings?.handler !== "function") throw invalid("tools.handler", "expected a function");
    if (typeof settings.name !== "string") throw invalid("tools.name", "expected text");
    this.name = settings.name;
    this.id = settings.id ?? settings.name;
    this.description = settings.description;
    this.capabilities = settings.capabilities ?? [];
    this.inputSchema = jsonSchema(settings.input, "input");
    this.outputSchema = jsonSchema(settings.output, "output");
    this.timeout = settings.timeout;
    this.strict = settings.strict;
    this.handler = settings.handler;
    this.#input = settings.input;
  }

  /** The tool as a request has it, without its handler. */
  definition(): FunctionTool {
    return {
      name: this.name,
      ...(this.description !== undefined && { description: this.description }),
      ...(this.inputSchema !== undefined && { parameters: this.inputSchema }),
      ...(this.strict !== undefined && { strict: this.strict }),
    };
  }

  /** @internal */
  spec(): Record<string, unknown> {
    return {
      id: this.id,
      name: this.name,
      description: this.description,
      capabilities: this.capabilities,
      input_schema: this.inputSchema,
      output_schema: this.outputSchema,
      timeout_ms: this.timeout === undefined ? undefined : milliseconds("tools.timeout", this.timeout),
      strict: this.strict,
    };
  }

  /** Makes of the arguments what the schema makes of them, and runs the handler. @internal */
  async run(context: ToolContext): Promise<unknown> {
    const validate = (this.#input as StandardSchema | undefined)?.["~standard"]?.validate;
    if (validate === undefined) return this.handler(context.input as InputOf<I>, context);
    const checked = await validate(context.input);
    if (checked.issues !== undefined) throw new InvalidInput(checked.issues.map(shown).join("; "));
    return this.handler(checked.value as InputOf<I>, context);
  }
}

/** The input fits its JSON Schema, but not all that the library's schema says. */
class InvalidInput extends Error {}

function shown(issue: { message: string; path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined }): string {
  const path = (issue.path ?? []).map((step) => String(typeof step === "object" ? step.key : step)).join(".");
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

/** Makes a tool: typed by its schemas, run when the model calls it. */
export function tool<I extends AnySchema = JsonSchema, O extends AnySchema = JsonSchema>(
  settings: ToolSettings<I, O> & { handler: (input: InputOf<I>, context: ToolContext) => OutputOf<O> | Promise<OutputOf<O>> },
): RunnableTool<I, O> {
  return new RunnableTool(settings);
}

function jsonSchema(schema: AnySchema | undefined, which: "input" | "output"): JsonSchema | undefined {
  if (schema === undefined) return undefined;
  if ((typeof schema !== "object" && typeof schema !== "function") || schema === null) throw invalid(`tools.${which}`, "expected a schema");
  const standard = (schema as StandardSchema)["~standard"];
  if (standard === undefined) return schema as JsonSchema;
  const made =
    standard.jsonSchema?.[which]({ target: "draft-2020-12" }) ??
    (schema as { toJSONSchema?: (options: { io: string }) => JsonSchema }).toJSONSchema?.({ io: which });
  if (made === undefined) {
    throw invalid(`tools.${which}`, `expected a schema that gives its JSON Schema; this one of ${standard.vendor} does not: give the JSON Schema itself`);
  }
  const { $schema: _, ...rest } = made as Record<string, unknown>;
  return rest;
}

/** The tools of a client, by their ids: a request may name them instead of holding them. */
export class ToolRegistry {
  readonly #tools = new Map<string, AnyTool>();

  /** Adds tools, or every method of an object that `mcpTool` marks. An id may be taken once. */
  register(...given: readonly (AnyTool | object)[]): this {
    const tools = given.flatMap((one) => (one instanceof RunnableTool ? [one as AnyTool] : toolsOf(one)));
    for (const one of tools) {
      if (this.#tools.has(one.id)) throw invalid("tools.id", `${one.id} is registered already`);
      this.#tools.set(one.id, one);
    }
    return this;
  }

  /** Takes a tool out; whether it was there. */
  unregister(id: string): boolean {
    return this.#tools.delete(id);
  }

  /** Every tool, in the order in which they were registered; only those with all of these capabilities. */
  list({ capabilities = [] }: { capabilities?: readonly string[] } = {}): AnyTool[] {
    return [...this.#tools.values()].filter((one) => capabilities.every((wanted) => one.capabilities.includes(wanted)));
  }

  /** The tool with this id. */
  get(id: string): AnyTool | undefined {
    return this.#tools.get(id);
  }
}

type MethodSettings<I extends AnySchema, O extends AnySchema> = Omit<ToolSettings<I, O>, "name"> & { name?: string };

const marked = new WeakMap<object, { name: string; settings: MethodSettings<AnySchema, AnySchema> }>();

/** A method that may be a tool of these schemas. */
type Method<I extends AnySchema, O extends AnySchema> = (input: InputOf<I>, context: ToolContext) => OutputOf<O> | Promise<OutputOf<O>>;

/** What `mcpTool` gives: a decorator in the standard's form and in the older one (`experimentalDecorators`). */
export interface MethodDecorator<I extends AnySchema, O extends AnySchema> {
  (method: Method<I, O>, context: ClassMethodDecoratorContext): void;
  (target: object, key: string | symbol, descriptor: TypedPropertyDescriptor<Method<I, O>>): void;
}

/** Marks a method as a tool's handler, for `client.tools.register(object)`; its name is the method's. */
export function mcpTool<I extends AnySchema = JsonSchema, O extends AnySchema = JsonSchema>(
  settings: MethodSettings<I, O> = {},
): MethodDecorator<I, O> {
  return (target: object, keyOrContext: unknown, descriptor?: { value?: unknown }): void => {
    const key = descriptor === undefined ? (keyOrContext as { name: PropertyKey }).name : keyOrContext;
    const method = descriptor === undefined ? target : (descriptor.value as object);
    marked.set(method, { name: settings.name ?? String(key), settings: settings as MethodSettings<AnySchema, AnySchema> });
  };
}

/** The tools among an object's methods. */
export function toolsOf(object: object): AnyTool[] {
  const tools = new Map<PropertyKey, AnyTool>();
  for (let at: object | null = object; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
    for (const key of Reflect.ownKeys(at)) {
      const method: unknown = Object.getOwnPropertyDescriptor(at, key)?.value;
      const mark = typeof method === "function" ? marked.get(method) : undefined;
      if (mark === undefined || tools.has(key)) continue;
      const handler = (method as (input: unknown, context: ToolContext) => unknown).bind(object);
      tools.set(key, new RunnableTool({ ...mark.settings, name: mark.name, handler }) as AnyTool);
    }
  }
  if (tools.size === 0) throw invalid("tools", "expected a tool, or an object with methods marked by mcpTool");
  return [...tools.values()];
}

/** A request as it leaves: tools are what the model may know of them. */
export function outgoing(request: CompletionRequest, registry: ToolRegistry): object {
  const tools = request?.tools;
  if (!Array.isArray(tools) || tools.every((one) => typeof one === "object" && !(one instanceof RunnableTool))) return request;
  return { ...request, tools: tools.map((one: Tool | AnyTool | string) => found(one, registry)).map(defined) };
}

function found(one: Tool | AnyTool | string, registry: ToolRegistry): Tool | AnyTool {
  if (typeof one !== "string") return one;
  const known = registry.get(one);
  if (known === undefined) throw invalid("tools", `${JSON.stringify(one)} is not registered`);
  return known;
}

function defined(one: Tool | AnyTool): Tool {
  return one instanceof RunnableTool ? one.definition() : (one as Tool);
}

/** The tools of a call whose handlers are the program's. */
export interface Plan {
  request: object;
  tools: Map<string, RunnableTool>;
  approve: Approve | undefined;
  /** As it crosses the border: `options.tools`. */
  document: Record<string, unknown>;
}

const LOOP = ["maxTurns", "maxParallel", "toolTimeout", "approvalTimeout", "approve", "onToolError"] as const;

/** Takes the tools that have handlers out of a request, and the loop's settings out of its options; undefined when there are none. */
export function planned(request: CompletionRequest, options: LoopOptions | undefined, registry: ToolRegistry): Plan | undefined {
  const given = request?.tools;
  const tools = Array.isArray(given) ? given.map((one: Tool | AnyTool | string) => found(one, registry)) : [];
  const handled = tools.filter((one): one is RunnableTool => one instanceof RunnableTool);
  if (handled.length === 0) {
    const setting = options === undefined ? undefined : LOOP.find((name) => options[name] !== undefined);
    if (setting !== undefined) throw invalid(`options.${setting}`, "expected a tool with a handler among `tools`");
    return undefined;
  }
  const { maxTurns, maxParallel, toolTimeout, approvalTimeout, approve, onToolError } = options ?? {};
  if (approve !== undefined && typeof approve !== "function") throw invalid("options.approve", "expected a function");
  const ms = (name: string, value: number | undefined): number | undefined =>
    value === undefined ? undefined : milliseconds(`options.${name}`, value);
  return {
    request: { ...request, tools: tools.filter((one) => !(one instanceof RunnableTool)) },
    tools: new Map(handled.map((one) => [one.id, one])),
    approve,
    document: {
      specs: handled.map((one) => one.spec()),
      approve: approve !== undefined,
      max_turns: maxTurns,
      max_parallel: maxParallel,
      timeout_ms: ms("toolTimeout", toolTimeout),
      approval_timeout_ms: ms("approvalTimeout", approvalTimeout),
      on_error: onToolError,
    },
  };
}

/** Carries out the tool calls of one call. */
export class Runner implements Server {
  readonly #context = new AsyncResource("ossai.tools", { requireManualDestroy: true });
  readonly #under = new Map<number, AbortController>();
  readonly #thrown = new Map<string, unknown>();
  #call = 0;

  constructor(
    readonly session: Session,
    readonly plan: Plan,
    readonly watch: Watch | undefined,
  ) {}

  begun(call: number): void {
    this.#call = call;
    serve(call, this);
  }

  /** The call is over: so is all it asked for. */
  end(): void {
    unserve(this.#call);
    for (const controller of this.#under.values()) controller.abort();
    this.#under.clear();
  }

  /** Makes what a handler threw the cause of the error that it led to. */
  blame(error: unknown): unknown {
    if (error instanceof CallbackError && this.#thrown.size > 0) {
      const last = error.partial?.tool_run?.calls?.findLast(({ id }) => this.#thrown.has(id));
      const [first] = this.#thrown.values();
      const value = last === undefined ? first : this.#thrown.get(last.id);
      Object.defineProperty(error, "cause", { value, configurable: true, writable: true });
    }
    return error;
  }

  ask(question: HostCall): void {
    const controller = new AbortController();
    this.#under.set(question.id, controller);
    const settle = (result: string): void => {
      // Only who was not cancelled meanwhile has somebody who waits.
      if (this.#under.delete(question.id)) this.session.completeHostCall(question.id, result);
    };
    void this.#context.runInAsyncScope(() => this.#answer(question, controller.signal)).then(settle);
  }

  withdraw(id: number): void {
    const controller = this.#under.get(id);
    this.#under.delete(id);
    controller?.abort();
  }

  async #answer(question: HostCall, signal: AbortSignal): Promise<string> {
    try {
      const one = this.plan.tools.get(question.name) as RunnableTool;
      const context: ToolContext = {
        tool: one as AnyTool,
        name: one.name,
        toolCallId: question.tool_call_id,
        input: question.input,
        signal,
        deadline: performance.now() + question.timeout_ms,
      };
      const { watch } = this;
      const run = (): Promise<unknown> => (watch === undefined ? one.run(context) : watch.tool(context, () => one.run(context)));
      const value: unknown = await (question.kind === "approval" ? this.plan.approve?.(context) : run());
      return encode("result", { ok: value ?? null });
    } catch (error) {
      if (!(error instanceof InvalidInput)) this.#thrown.set(question.tool_call_id, error);
      return failure(error);
    }
  }
}

/** What was thrown, as the core takes it. */
export function failure(error: unknown): string {
  const known = error instanceof Error;
  const type = error instanceof InvalidInput ? "invalid_input" : known ? error.name : typeof error;
  return JSON.stringify({ error: { type, message: known ? error.message : String(error) } });
}
