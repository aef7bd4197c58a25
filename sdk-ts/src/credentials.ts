/**
 * Credentials that the program gives while calls are made: short-lived tokens, a vault, a cloud's identity.
 *
 * The core asks when it needs one (before the first call, and again when the provider answers 401), never twice at once. It
 * asks through a queue of the client's own; callbacks run in the async context the client was created in.
 */

import { AsyncResource } from "node:async_hooks";
import { decode, invalid } from "./json.js";
import { home } from "./home.js";
import { native, type Failure, type Session } from "./native.js";

/** Gives the credential as it is now. The signal fires when nobody waits for it any more. */
export type Fetch = (options: { signal: AbortSignal }) => string | Promise<string>;

/** Where a provider's credential comes from, and whose it is. */
export interface Credential {
  fetch: Fetch;
  /**
   * Two sources of one identity share kept answers, though the credential itself may change from hour to hour; without one
   * nothing is shared beyond the client.
   */
  identity?: string;
}

/** What a session asks the program. */
type Question = { type: string; id: number; kind?: string; name?: string };

function sources(given: unknown): Map<string, Credential> {
  const found = new Map<string, Credential>();
  if (typeof given !== "object" || given === null) throw invalid("credentials", "expected callbacks by provider");
  for (const [provider, source] of Object.entries(given as Record<string, Fetch | Credential>)) {
    const credential = typeof source === "function" ? { fetch: source } : source;
    const identity: unknown = credential?.identity;
    if (typeof credential?.fetch !== "function") throw invalid(`credentials.${provider}`, "expected a function or { fetch, identity }");
    if (identity !== undefined && typeof identity !== "string") throw invalid(`credentials.${provider}.identity`, "expected text");
    found.set(provider, credential);
  }
  return found;
}

/** What answers a session's questions. Found by the session, for its queue must not hold what holds it. */
interface Answering {
  credentials: Map<string, Credential>;
  context: AsyncResource;
  under: Map<number, AbortController>;
}

const answering = new WeakMap<Session, Answering>();

/** Opens a session whose credentials are given by callbacks. */
export function openWithCredentials(config: string, environment: boolean, given: unknown): Session | Failure {
  const credentials = sources(given);
  const identities = [...credentials].map(([provider, { identity }]) => ({ provider, ...(identity !== undefined && { identity }) }));
  const later: { session?: WeakRef<Session> } = {};
  const opened = native.open(home, config, environment, identities, () => serve(later.session?.deref()));
  if ("error" in opened) return opened;
  later.session = new WeakRef(opened);
  const context = new AsyncResource("ossai.credentials", { requireManualDestroy: true });
  answering.set(opened, { credentials, context, under: new Map() });
  return opened;
}

function serve(session: Session | undefined): void {
  const state = session && answering.get(session);
  if (session === undefined || state === undefined) return;
  for (const question of decode<Question[]>(session.drain())) {
    if (question.type === "host_call_cancelled") {
      state.under.get(question.id)?.abort();
      state.under.delete(question.id);
    } else if (question.type === "host_call") {
      const controller = new AbortController();
      state.under.set(question.id, controller);
      void answer(question, state, controller.signal).then((result) => {
        if (state.under.delete(question.id)) session.completeHostCall(question.id, result);
      });
    }
  }
}

/** The result of one question; whatever the callback throws becomes an error of the calls that need the credential. */
async function answer(question: Question, { credentials, context }: Answering, signal: AbortSignal): Promise<string> {
  try {
    const source = question.kind === "credential" ? credentials.get(question.name ?? "") : undefined;
    if (source === undefined) throw new TypeError("the client has no handler for it");
    const value: unknown = await context.runInAsyncScope(() => source.fetch({ signal }));
    if (typeof value !== "string") throw new TypeError("the callback did not return a string");
    return JSON.stringify({ ok: value });
  } catch (error) {
    return failure(error);
  }
}

function failure(error: unknown): string {
  const known = error instanceof Error;
  return JSON.stringify({ error: { type: known ? error.name : typeof error, message: known ? error.message : String(error) } });
}
