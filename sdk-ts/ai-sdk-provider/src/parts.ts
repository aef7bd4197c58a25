/** Answers as content of the AI SDK: whole, and piece by piece as events come. */

import type { JSONObject, LanguageModelV4Content, LanguageModelV4StreamPart, SharedV4ProviderMetadata } from "@ai-sdk/provider";
import type { Completion, OutputPart, StreamEvent } from "@ossai/sdk";
import { finishReason, json, metadata, responseMetadata, usage } from "./metadata.js";
import { WHOLE_PART } from "./prompt.js";

/** Fields that must come back with the part; nothing when there are none. */
function own(fields: object): { providerMetadata?: SharedV4ProviderMetadata } {
  const ossai = json(fields) as JSONObject;
  return Object.keys(ossai).length === 0 ? {} : { providerMetadata: { ossai } };
}

function whole(part: unknown): Extract<LanguageModelV4Content, { type: "custom" }> {
  return { type: "custom", kind: WHOLE_PART, ...own({ part }) };
}

/** A whole answer's content. */
export function content(parts: readonly OutputPart[]): LanguageModelV4Content[] {
  return parts.map((part): LanguageModelV4Content => {
    switch (part.type) {
      case "text":
        return { type: "text", text: part.text };
      case "refusal":
        return { type: "text", text: part.text, ...own({ refusal: true }) };
      case "reasoning": {
        const { type, text, ...fields } = part as Extract<OutputPart, { type: "reasoning" }>;
        return { type, text, ...own(fields) };
      }
      case "tool_call": {
        const { type: _, id, name, arguments: input, ...fields } = part as Extract<OutputPart, { type: "tool_call" }>;
        return { type: "tool-call", toolCallId: id, toolName: name, input, ...own(fields) };
      }
      default:
        return whole(part);
    }
  });
}

interface Call {
  id: string;
  name: string;
  input: string;
  fields: object;
}

/** One stream on its way: at most one block of text or reasoning is open, and as many tool calls as the model likes. */
export class Parts {
  #blocks = 0;
  #open: { kind: "text" | "reasoning"; index: number; refusal: boolean; id: string; fields: Record<string, unknown> } | undefined;
  readonly #calls = new Map<number, Call>();

  /** What an event adds. */
  take(event: StreamEvent): LanguageModelV4StreamPart[] {
    switch (event.type) {
      case "start": {
        const { type: _, ...fields } = event;
        return [{ type: "response-metadata", ...responseMetadata(fields) }];
      }
      case "text_delta":
        return this.#delta("text", event.index, event.text, {}, false);
      case "refusal_delta":
        return this.#delta("text", event.index, event.text, { refusal: true }, true);
      case "reasoning_delta": {
        const { type: _, index, text, extra, ...fields } = event;
        return this.#delta("reasoning", index, text, { ...fields, ...extra }, false);
      }
      case "tool_call_start": {
        const { index, id, name, extra = {} } = event;
        this.#calls.set(index, { id, name, input: "", fields: extra });
        return [...this.#close(), { type: "tool-input-start", id, toolName: name, ...own(extra) }];
      }
      case "tool_call_delta": {
        const call = this.#calls.get(event.index);
        if (call === undefined || event.arguments === "") return [];
        call.input += event.arguments;
        return [{ type: "tool-input-delta", id: call.id, delta: event.arguments }];
      }
      case "part":
        return [...this.#close(), whole(event.part)];
      case "finish":
        return [...this.#close(), ...this.#called()];
      case "end":
        return [...this.#close(), ...this.#called(), finish(event.completion)];
      default: // usage and further fields come with the end
        return [];
    }
  }

  /** What an error leaves open. */
  broken(): LanguageModelV4StreamPart[] {
    return this.#close();
  }

  #delta(kind: "text" | "reasoning", index: number, text: string, fields: object, refusal: boolean): LanguageModelV4StreamPart[] {
    const parts: LanguageModelV4StreamPart[] = [];
    let open = this.#open;
    if (open?.kind !== kind || open.index !== index || open.refusal !== refusal) {
      parts.push(...this.#close());
      open = this.#open = { kind, index, refusal, id: `${this.#blocks++}`, fields: {} };
      parts.push({ type: `${kind}-start`, id: open.id });
    }
    Object.assign(open.fields, fields);
    if (text !== "") parts.push({ type: `${kind}-delta`, id: open.id, delta: text });
    return parts;
  }

  #close(): LanguageModelV4StreamPart[] {
    const open = this.#open;
    if (open === undefined) return [];
    this.#open = undefined;
    return [{ type: `${open.kind}-end`, id: open.id, ...own(open.fields) }];
  }

  /** Pieces of parallel calls may alternate: each is known to be whole only when the model has finished. */
  #called(): LanguageModelV4StreamPart[] {
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    return calls.flatMap(({ id, name, input, fields }): LanguageModelV4StreamPart[] => [
      { type: "tool-input-end", id },
      { type: "tool-call", toolCallId: id, toolName: name, input, ...own(fields) },
    ]);
  }
}

function finish(answer: Completion): LanguageModelV4StreamPart {
  return {
    type: "finish",
    finishReason: finishReason(answer.finish_reason, answer.raw_finish_reason),
    usage: usage(answer.usage, answer.raw_usage),
    providerMetadata: metadata(answer),
  };
}
