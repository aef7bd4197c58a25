/** Calls of the AI SDK as requests of ossai's. */

import type { JSONObject, LanguageModelV4CallOptions, SharedV4Warning } from "@ai-sdk/provider";
import type { CallOptions, CompletionRequest, FunctionTool, ResponseFormat, ToolChoice } from "@ossai/sdk";
import { extra, given, headers } from "./options.js";
import { messages } from "./prompt.js";

/** Fields of the wire that are settings of the AI SDK's, by their names there. */
const SETTINGS: Readonly<Record<string, string>> = {
  max_tokens: "maxOutputTokens",
  temperature: "temperature",
  top_p: "topP",
  top_k: "topK",
  frequency_penalty: "frequencyPenalty",
  presence_penalty: "presencePenalty",
  seed: "seed",
  stop: "stopSequences",
  response_format: "responseFormat",
  reasoning_effort: "reasoning",
  tool_choice: "toolChoice",
};
const WRITTEN = ["model", "messages", "tools", "stream"];

/** A request with its call's options and what could not be said in it. */
export interface Outgoing {
  request: CompletionRequest;
  options: CallOptions;
  warnings: SharedV4Warning[];
}

/** The vendor's part of `provider/model`. */
export function vendor(modelId: string): string {
  return modelId.slice(0, Math.max(modelId.indexOf("/"), 0));
}

/** Left-out parameters as warnings. */
export function unsupported(dropped: readonly string[] | undefined): SharedV4Warning[] {
  return (dropped ?? []).map((name) => ({
    type: "unsupported",
    feature: SETTINGS[name] ?? name,
    details: "The model or its API does not take it; it was left out.",
  }));
}

/** Whether anything in a request might be left out for its model. */
export function mayDrop(request: CompletionRequest): boolean {
  return Object.keys(request).some((name) => name !== "max_tokens" && !WRITTEN.includes(name));
}

export function outgoing(modelId: string, call: LanguageModelV4CallOptions): Outgoing {
  const warnings: SharedV4Warning[] = [];
  const own = given(call.providerOptions, WRITTEN);
  const tools = (call.tools ?? []).flatMap((tool): FunctionTool[] => {
    if (tool.type === "provider") {
      warnings.push({ type: "unsupported", feature: `provider-defined tool ${tool.id}` });
      return [];
    }
    const { name, description, inputSchema, strict } = tool;
    return [
      {
        ...extra(tool),
        type: "function",
        name,
        ...(description !== undefined && { description }),
        parameters: inputSchema,
        ...(strict !== undefined && { strict }),
      },
    ];
  });
  const settings = {
    max_tokens: call.maxOutputTokens,
    temperature: call.temperature,
    top_p: call.topP,
    top_k: call.topK,
    frequency_penalty: call.frequencyPenalty,
    presence_penalty: call.presencePenalty,
    seed: call.seed,
    stop: call.stopSequences?.length ? call.stopSequences : undefined,
    response_format: format(call.responseFormat, own.strict),
    reasoning_effort: call.reasoning === "provider-default" ? undefined : call.reasoning,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: tools.length > 0 ? choice(call.toolChoice) : undefined,
  };
  const said = Object.fromEntries(Object.entries({ ...settings, ...own.request }).filter(([, value]) => value !== undefined));
  const options: Record<string, unknown> = headers(own.options, call.headers);
  return {
    request: { ...said, model: modelId, messages: messages(call.prompt, vendor(modelId), warnings) },
    options: call.abortSignal === undefined ? options : { ...options, signal: call.abortSignal },
    warnings,
  };
}

function choice(of: LanguageModelV4CallOptions["toolChoice"]): ToolChoice | undefined {
  if (of === undefined) return undefined;
  return of.type === "tool" ? { name: of.toolName } : of.type;
}

function format(of: LanguageModelV4CallOptions["responseFormat"], strict: boolean): ResponseFormat | undefined {
  if (of?.type !== "json") return undefined;
  if (of.schema === undefined) return { type: "json_object" };
  const { schema, name = "response", description } = of;
  return { type: "json_schema", name, schema: schema as JSONObject, strict, ...(description !== undefined && { description }) };
}
