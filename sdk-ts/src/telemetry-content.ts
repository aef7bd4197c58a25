/** Prompts and answers as the GenAI conventions write them on spans; only for programs that ask for it. */

import type * as Otel from "@opentelemetry/api";
import { encode } from "./json.js";
import type { Completion, CompletionRequest, EmbeddingRequest, Message, OutputPart, Part } from "./types.js";

type Told = Record<string, unknown>;

function part(of: Part | OutputPart): Told {
  const { type, text } = of as { type: string; text?: unknown };
  if (type === "text" || type === "refusal") return { type: "text", content: text };
  if (type === "reasoning") return { type, content: text };
  if (type === "tool_call") return call(of as { id: string; name: string; arguments: string });
  const { url, media_type } = of as { url?: unknown; media_type?: unknown };
  // Bytes are left out: a span is no place for them.
  if (type === "image" || type === "audio" || type === "file") return { type: url === undefined ? "blob" : "uri", modality: type, mime_type: media_type, uri: url };
  return { type };
}

function call({ id, name, arguments: text }: { id: string; name: string; arguments: string }): Told {
  return { type: "tool_call", id, name, arguments: text };
}

function parts(content: Message["content"]): Told[] {
  if (content === undefined || content === null || content === "") return [];
  return typeof content === "string" ? [{ type: "text", content }] : content.map(part);
}

function message(of: Message): Told {
  const told = parts(of.content);
  if (of.role === "tool") return { role: of.role, parts: [{ type: "tool_call_response", id: of.tool_call_id, response: told.map((one) => one["content"] ?? "").join("") }] };
  return { role: of.role, parts: [...told, ...(of.tool_calls ?? []).map(call)] };
}

/** A request's messages. What cannot be written is left out: the call itself says what is wrong with it. */
export function messagesOf(request: Partial<CompletionRequest & EmbeddingRequest>): Otel.Attributes {
  try {
    if (!Array.isArray(request.messages)) return {};
    return { "gen_ai.input.messages": encode("messages", request.messages.map(message)) };
  } catch {
    return {};
  }
}

/** An answer. */
export function contentOf(answer: Partial<Completion>): Otel.Attributes {
  if (answer.parts === undefined) return {};
  const told = [{ role: "assistant", parts: answer.parts.map(part), finish_reason: answer.finish_reason }];
  return { "gen_ai.output.messages": encode("parts", told) };
}
