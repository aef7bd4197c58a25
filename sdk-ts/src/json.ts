/**
 * Values as JSON and back, exactly: integers beyond 2⁵³ (money may be that large) are `bigint`, and what JSON cannot hold is a
 * mistake with its path instead of the silent `null` or `{}` that `JSON.stringify` makes of it.
 */

import { randomBytes } from "node:crypto";
import { InvalidRequestError } from "./errors.js";

/** The core's own limit. */
const MAX_DEPTH = 128;

/** Marks numbers that JSON.parse and JSON.stringify would round; nobody can guess it. */
const MARK = `\u0000${randomBytes(16).toString("hex")}:`;
const MARKED = new RegExp(`"${JSON.stringify(MARK).slice(1, -1).replaceAll("\\", "\\\\")}(-?\\d+)"`, "g");
/** A run of digits that may be an integer beyond 2⁵³ (or text that looks like one: that costs time and nothing else). */
const WIDE = /[:,[]\s*-?\d{16}/;
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Reads JSON of the core's. */
export function decode<T>(text: string): T {
  if (!WIDE.test(text)) return JSON.parse(text) as T;
  const marked = text.replace(TOKENS, (token) =>
    token.length >= 16 && /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)) ? JSON.stringify(MARK + token) : token,
  );
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value,
  ) as T;
}

/** A mistake in what a caller gave. */
export function invalid(field: string, expected: string): InvalidRequestError {
  return new InvalidRequestError(`${field}: ${expected}`, {
    kind: "invalid_request",
    message: `${field}: ${expected}`,
    retriable: false,
    field,
    billed: "no",
  });
}

/** Writes a value for the core; `root` is what errors call the whole of it. A request's own paths have no root. */
export function encode(root: string, value: unknown): string {
  if (value === undefined) return "{}";
  const wide = check(root, value, 0);
  let text: string;
  try {
    text = JSON.stringify(value, wide ? (_, item: unknown) => (typeof item === "bigint" ? MARK + item : item) : undefined);
  } catch (error) {
    throw invalid(root || "request", `expected a JSON value: ${(error as Error).message}`);
  }
  return wide ? text.replace(MARKED, "$1") : text;
}

/** Whether there is a bigint in it; throws at what JSON cannot hold. */
function check(path: string, value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return false;
    case "number":
      if (!Number.isFinite(value)) throw invalid(path || "request", `expected a finite number, found ${value}`);
      return false;
    case "bigint":
      return true;
    case "object":
      break;
    default:
      throw invalid(path || "request", `expected a JSON value, found ${typeof value}`);
  }
  if (value === null || typeof (value as { toJSON?: unknown }).toJSON === "function") return false;
  if (depth >= MAX_DEPTH) throw invalid(path || "request", `expected at most ${MAX_DEPTH} levels (or is it a cycle?)`);
  let wide = false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      const kind = typeof item;
      if (kind === "string" || (kind === "number" && Number.isFinite(item))) continue;
      wide = check(`${path}[${i}]`, item, depth + 1) || wide;
    }
    return wide;
  }
  if (value instanceof Map || value instanceof Set || value instanceof Promise || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw invalid(path || "request", `expected a JSON value, found ${value.constructor.name}`);
  }
  for (const name of Object.keys(value)) {
    const item = (value as Record<string, unknown>)[name];
    const kind = typeof item;
    if (kind === "string" || item === undefined) continue;
    wide = check(path === "" ? name : `${path}.${name}`, item, depth + 1) || wide;
  }
  return wide;
}
