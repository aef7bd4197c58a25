/**
 * Settings as TypeScript programs write them, in the core's names. Settings (of a client, of a call) are camelCase; data
 * (requests, answers, events) is as it stands on the wire and never renamed. Within settings, what holds names of the
 * program's own (headers, tags, providers) keeps them.
 */

import { invalid } from "./json.js";

type Fields = Record<string, unknown>;

/** Settings whose value belongs to the program: nothing in it is renamed. */
const OPAQUE = new Set(["headers", "query", "tags", "prices", "models"]);
/** Settings that are a map of names to settings. */
const MAPS = new Set(["providers"]);

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Settings in the core's names; a name that is given in both forms is a mistake. */
export function renamed(root: string, given: unknown, depth = 0): Fields {
  if (depth > 16) throw invalid(root, "expected fewer levels (or is it a cycle?)");
  const result = Object.create(null) as Fields; // `__proto__` is a name like any other
  for (const [key, value] of Object.entries(object(root, given))) {
    if (value === undefined) continue;
    const name = snake(key);
    if (Object.hasOwn(result, name)) throw invalid(`${root}.${name}`, "given twice");
    if (MAPS.has(name) && isFields(value)) {
      result[name] = Object.fromEntries(
        Object.entries(value).map(([one, of]) => [one, isFields(of) ? renamed(`${root}.${name}.${one}`, of, depth + 1) : of]),
      );
    } else {
      result[name] = OPAQUE.has(name) ? value : within(`${root}.${name}`, value, depth + 1);
    }
  }
  return result;
}

/** A value of settings: settings of its own, a list that may have some, or neither. */
function within(root: string, value: unknown, depth: number): unknown {
  if (isFields(value)) return renamed(root, value, depth);
  if (!Array.isArray(value)) return value;
  return value.map((one, i) => (isFields(one) ? renamed(`${root}[${i}]`, one, depth) : one));
}

/** An object of settings; absent is empty. */
export function object(root: string, value: unknown): Fields {
  if (value === undefined) return {};
  if (!isFields(value)) throw invalid(root, `expected an object, found ${value === null ? "null" : typeof value}`);
  return value;
}

/** Milliseconds as the core takes them: whole, rounded up, so that a time-out is never shorter than asked for. */
export function milliseconds(field: string, value: unknown): number {
  if (typeof value !== "number" || !(value >= 0)) throw invalid(field, "expected milliseconds, 0 or more");
  return Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER);
}

function retries(field: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 1_000_000) {
    throw invalid(field, "expected a whole number, 0 or more");
  }
  return value + 1;
}

/** Moves a short form (`timeout`) to its place; both at once is a mistake. */
function move(root: string, fields: Fields, from: string, place: Fields, to: string, read: (field: string, value: unknown) => unknown): void {
  if (!Object.hasOwn(fields, from)) return;
  const value = read(`${root}.${from}`, fields[from]);
  delete fields[from];
  if (Object.hasOwn(place, to)) throw invalid(`${root}.${from}`, `given beside ${to}`);
  place[to] = value;
}

/** A client's settings as the core's configuration document. */
export function configuration(given: unknown): Fields {
  const config = renamed("config", given);
  for (const [short, section, name, read] of [
    ["timeout", "timeouts", "total_ms", milliseconds],
    ["retries", "retry", "max_attempts", retries],
  ] as const) {
    if (!Object.hasOwn(config, short)) continue;
    const place = { ...object(`config.${section}`, config[section]) };
    move("config", config, short, place, name, read);
    config[section] = place;
  }
  return config;
}

/** A call's options as the core's, without the signal and a tool loop's settings. */
export function callOptions(given: unknown): Fields | undefined {
  if (given === undefined) return undefined;
  const { signal: _, maxTurns: _1, maxParallel: _2, toolTimeout: _3, approve: _4, approvalTimeout: _5, onToolError: _6, ...rest } =
    object("options", given);
  const options = renamed("options", rest);
  move("options", options, "timeout", options, "timeout_ms", milliseconds);
  move("options", options, "retries", options, "max_attempts", retries);
  return options;
}
