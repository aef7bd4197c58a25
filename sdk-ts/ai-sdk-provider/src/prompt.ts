/** Prompts of the AI SDK as conversations of ossai's. */

import {
  UnsupportedFunctionalityError,
  type LanguageModelV4FilePart,
  type LanguageModelV4Message,
  type LanguageModelV4Prompt,
  type LanguageModelV4ToolResultOutput,
  type LanguageModelV4ToolResultPart,
  type SharedV4Warning,
} from "@ai-sdk/provider";
import { convertToBase64, getTopLevelMediaType, isFullMediaType, resolveFullMediaType, resolveProviderReference } from "@ai-sdk/provider-utils";
import type { Message, Part, ToolCall } from "@ossai/sdk";
import { extra } from "./options.js";

/** By which parts of a type without a name in either vocabulary travel whole, there and back. */
export const WHOLE_PART = "ossai.part";

type AssistantMessage = Extract<LanguageModelV4Message, { role: "assistant" }>;
type OutputContent = Extract<LanguageModelV4ToolResultOutput, { type: "content" }>["value"];

/** The formats in which chat APIs name audio. */
const AUDIO: Readonly<Record<string, string>> = { mpeg: "mp3", "x-wav": "wav", wave: "wav", "vnd.wave": "wav", mp4: "m4a", "x-m4a": "m4a" };

/** The messages of a prompt; `provider` is whose uploaded files may be meant. */
export function messages(prompt: LanguageModelV4Prompt, provider: string, warnings: SharedV4Warning[]): Message[] {
  return prompt.flatMap((message): Message[] => {
    switch (message.role) {
      case "system":
        return [{ ...extra(message), role: "system", content: message.content }];
      case "user": {
        const parts = message.content.map((part) => (part.type === "text" ? text(part.text, extra(part)) : file(part, provider)));
        return [{ ...extra(message), role: "user", content: plain(parts) }];
      }
      case "assistant":
        return [assistant(message, provider, warnings)];
      case "tool":
        return message.content.flatMap((part) => {
          // An approval is of a tool the vendor runs by itself, and none of those goes out from here.
          if (part.type === "tool-approval-response") return [];
          return [{ ...extra(message), ...toolResult(part, provider) }];
        });
    }
  });
}

function text(of: string, fields: Record<string, unknown>): Part {
  return { ...fields, type: "text", text: of };
}

/** One text with nothing beside it is written as a string, as other clients do: the key stays the same. */
function plain(parts: Part[]): string | Part[] {
  const [only] = parts;
  if (parts.length === 1 && only?.type === "text" && Object.keys(only).length === 2) return only["text"] as string;
  return parts;
}

function assistant(message: AssistantMessage, provider: string, warnings: SharedV4Warning[]): Message {
  const parts: Part[] = [];
  const calls: ToolCall[] = [];
  for (const part of message.content) {
    const own = extra(part);
    switch (part.type) {
      case "text": {
        const { refusal: _, ...fields } = own;
        parts.push(text(part.text, fields));
        break;
      }
      case "reasoning":
        parts.push({ ...own, type: "reasoning", text: part.text });
        break;
      case "file":
        parts.push(file(part, provider));
        break;
      case "custom":
        if (part.kind === WHOLE_PART && typeof own["part"] === "object") parts.push(own["part"] as Part);
        else warnings.push({ type: "unsupported", feature: `content of kind ${part.kind}` });
        break;
      case "tool-call":
        calls.push({ ...own, id: part.toolCallId, name: part.toolName, arguments: argumentsOf(part.input) });
        break;
      default: // a file within reasoning, or what a vendor's own tool gave
        warnings.push({ type: "unsupported", feature: `${part.type} in an assistant's message` });
    }
  }
  return {
    ...extra(message),
    role: "assistant",
    content: parts.length === 0 ? "" : plain(parts),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function argumentsOf(input: unknown): string {
  return typeof input === "string" ? input : JSON.stringify(input ?? {});
}

function toolResult(part: LanguageModelV4ToolResultPart, provider: string): Message {
  const { output } = part;
  const answer = (content: string | Part[], is_error = false): Message => ({
    ...extra(part),
    role: "tool",
    tool_call_id: part.toolCallId,
    content,
    ...(is_error && { is_error }),
  });
  switch (output.type) {
    case "text":
      return answer(output.value);
    case "json":
      return answer(JSON.stringify(output.value));
    case "error-text":
      return answer(output.value, true);
    case "error-json":
      return answer(JSON.stringify(output.value), true);
    case "execution-denied":
      return answer(output.reason ?? "The call was not allowed.", true);
    case "content":
      return answer(plain(output.value.map((one) => resultPart(one, provider))));
  }
}

function resultPart(part: OutputContent[number], provider: string): Part {
  switch (part.type) {
    case "text":
      return text(part.text, extra(part));
    case "file":
      return file(part, provider);
    case "custom": {
      const whole = extra(part)["part"];
      if (typeof whole === "object" && whole !== null) return whole as Part;
      throw new UnsupportedFunctionalityError({ functionality: "custom parts of a tool's result without providerOptions.ossai.part" });
    }
  }
}

/** A file by content, by address or by a vendor's id of it. */
function file(part: Omit<LanguageModelV4FilePart, "type"> & { type: "file" }, provider: string): Part {
  const { data } = part;
  const own = extra(part);
  const top = getTopLevelMediaType(part.mediaType);
  const named = { ...own, ...(part.filename !== undefined && { filename: part.filename }) };
  if (data.type === "text") return text(data.text, own);
  if (data.type === "reference") {
    return { ...named, type: "file", file_id: resolveProviderReference({ reference: data.reference, provider }) };
  }
  if (data.type === "url") {
    const url = data.url.toString();
    if (top === "image") return { ...own, type: "image", url };
    if (top === "audio") throw new UnsupportedFunctionalityError({ functionality: "audio by its address" });
    return { ...named, type: "file", url, ...(isFullMediaType(part.mediaType) && { media_type: part.mediaType }) };
  }
  const base64 = convertToBase64(data.data);
  const media_type = resolveFullMediaType({ part: part as LanguageModelV4FilePart });
  if (top === "image") return { ...own, type: "image", data: base64, media_type };
  if (top === "audio") {
    const subtype = media_type.slice(media_type.indexOf("/") + 1);
    return { ...own, type: "audio", data: base64, format: AUDIO[subtype] ?? subtype };
  }
  return { ...named, type: "file", data: base64, media_type };
}
