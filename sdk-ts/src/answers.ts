/** What programs ask of an answer again and again. */

import type { Completion, Message, OutputPart, Part, ToolCall } from "./types.js";

type ToolCallPart = Extract<OutputPart, { type: "tool_call" }>;

/** The tools the model wants called, in order. */
export function toolCalls(answer: Completion): ToolCall[] {
  const calls = answer.parts.filter((part): part is ToolCallPart => part.type === "tool_call");
  return calls.map(({ type: _, ...call }) => call as ToolCall);
}

/** The answer as a message to append to the conversation, reasoning included where it must be sent back. */
export function toMessage(answer: Completion): Message {
  const parts = answer.parts
    .filter((part) => part.type !== "tool_call")
    .map((part): Part => (part.type === "refusal" ? { type: "text", text: part.text } : (part as Part)));
  const [first] = parts;
  const plain = parts.length === 0 || (parts.length === 1 && first?.type === "text");
  const calls = toolCalls(answer);
  return {
    role: "assistant",
    content: plain ? ((first as { text?: string } | undefined)?.text ?? "") : parts,
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}
