/**
 * Abort signals of callers. However many calls share a signal it has one listener of ours: Node warns of a leak above ten.
 */

/** Who wants to hear of an abort. */
export interface Abortable {
  aborted(reason: unknown): void;
}

const waiting = new WeakMap<AbortSignal, Set<Abortable>>();

function abort(this: AbortSignal): void {
  const all = waiting.get(this);
  waiting.delete(this);
  for (const one of all ?? []) one.aborted(this.reason);
}

/** Hears of an abort, until `unhear`. */
export function hear(signal: AbortSignal, who: Abortable): void {
  let all = waiting.get(signal);
  if (all === undefined) {
    all = new Set();
    waiting.set(signal, all);
    signal.addEventListener("abort", abort, { once: true });
  }
  all.add(who);
}

/** Hears of it no more; a signal that outlives its calls keeps nothing of them. */
export function unhear(signal: AbortSignal, who: Abortable): void {
  const all = waiting.get(signal);
  if (all === undefined || !all.delete(who) || all.size > 0) return;
  waiting.delete(signal);
  signal.removeEventListener("abort", abort);
}
