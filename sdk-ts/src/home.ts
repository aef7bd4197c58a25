/**
 * Where calls come home: the one completion queue of this event loop. One wake-up for as many answers as there are; no thread
 * of the core's ever enters JavaScript. A worker thread loads the package anew and so has a home of its own.
 */

import { setImmediate, setInterval } from "node:timers";
import { fromFields, type ErrorFields } from "./errors.js";
import { decode } from "./json.js";
import { native } from "./native.js";
import type { StreamEvent } from "./types.js";

/** Who waits for what comes for a call. */
export interface Waiter {
  reply(answer: unknown): void;
  fail(error: unknown): void;
  events(events: StreamEvent[], last: boolean): void;
}

/** Something the program is to do in the middle of a call. */
export interface HostCall {
  id: number;
  kind: string;
  /** The tool's id. */
  name: string;
  tool_call_id: string;
  input: unknown;
  timeout_ms: number;
}

/** Who does what a call asks of the program. */
export interface Server {
  ask(question: HostCall): void;
  /** Nobody waits for it any more. */
  withdraw(id: number): void;
}

type Event =
  | { type: "reply"; call: number; ok?: unknown; error?: ErrorFields }
  | { type: "events"; call: number; events: StreamEvent[] }
  | { type: string; call?: number };

/** After so many answers at once a caller yields, so that a loop full of cache hits still serves its other work. */
const FAIRNESS = 64;
/** The longest interval there is: the timer is there to hold the event loop, not to run. */
const LONG = 2 ** 31 - 1;

const waiting = new Map<number, Waiter>();

function drain(): void {
  for (const event of decode<Event[]>(home.drain())) {
    if (event.type === "host_call" || event.type === "host_call_cancelled") {
      question(event as unknown as HostCall & { type: string; call?: number });
      continue;
    }
    const waiter = waiting.get(event.call ?? 0);
    if (waiter === undefined) continue; // cancelled meanwhile, or of a kind this version does not know
    if (event.type === "reply") {
      waiting.delete(event.call as number);
      const { ok, error } = event as { ok?: unknown; error?: ErrorFields };
      if (error === undefined) waiter.reply(ok);
      else waiter.fail(fromFields(error));
    } else if (event.type === "events") {
      const { events } = event as { events: StreamEvent[] };
      const last = events.at(-1)?.type === "end";
      if (last) waiting.delete(event.call as number);
      waiter.events(events, last);
    }
  }
}

const serving = new Map<number, Server>();
const asked = new Map<number, Server>();

function question(event: HostCall & { type: string; call?: number }): void {
  if (event.type === "host_call") {
    const server = serving.get(event.call ?? 0);
    if (server === undefined) return;
    asked.set(event.id, server);
    server.ask(event);
  } else {
    asked.get(event.id)?.withdraw(event.id);
    asked.delete(event.id);
  }
}

/** Does what a call asks of the program. */
export function serve(call: number, server: Server): void {
  serving.set(call, server);
}

/** Does nothing more of it. */
export function unserve(call: number): void {
  const server = serving.get(call);
  if (server === undefined) return;
  serving.delete(call);
  for (const [id, other] of asked) if (other === server) asked.delete(id);
}

/** The queue; answers to calls begun with it come to `waiting`. */
export const home = new native.Home(drain);

/** Hears what comes for a call. */
export function expect(call: number, waiter: Waiter): void {
  waiting.set(call, waiter);
}

/** Hears no more of a call; whether it was under way. */
export function forget(call: number): boolean {
  return waiting.delete(call);
}

let held = 0;
let timer: NodeJS.Timeout | undefined;

/** Keeps the process alive while the program waits for something; the queue alone does not. */
export function hold(): void {
  held += 1;
  if (held > 1) return;
  if (timer === undefined) timer = setInterval(() => {}, LONG);
  else timer.ref();
}

/** Undoes one `hold`. */
export function release(): void {
  held -= 1;
  if (held === 0) timer?.unref();
}

let hits = 0;

/** Lets the loop's other work run, now and then. */
export function breathe(): Promise<void> | undefined {
  hits += 1;
  if (hits < FAIRNESS) return undefined;
  hits = 0;
  return new Promise((resolve) => void setImmediate(resolve));
}
