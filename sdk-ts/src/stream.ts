/** A streamed answer: an async iterable of events that holds the upstream back when nobody reads. */

import { InvalidStateError, type OssaiError } from "./errors.js";
import { expect, forget, hold, release, type Waiter } from "./home.js";
import { hear, unhear, type Abortable } from "./signals.js";
import type { Session } from "./native.js";
import type { Watch } from "./telemetry.js";
import type { Runner } from "./tools.js";
import type { Completion, StreamEvent } from "./types.js";

/** Credit a stream starts with, in events; topped up as they are read. */
export const CREDIT = 512;

type Result = IteratorResult<StreamEvent, undefined>;
const DONE: Result = { done: true, value: undefined };

interface Reader {
  /** Not to be collected while somebody waits. */
  readonly stream: object;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/**
 * What has come for a stream and who waits for it. The queue and the signal know this and not the stream, so that a stream
 * that the program has dropped can be collected and its call cancelled.
 * @internal
 */
export class Inbox implements Waiter, Abortable {
  #ready: StreamEvent[] = [];
  #next = 0;
  #taken = 0;
  #readers: Reader[] = [];
  #ended = false;
  #error: unknown;
  #session: Session | undefined;
  #call = 0;
  #signal: AbortSignal | undefined;
  #runner: Runner | undefined;
  completion: Completion | undefined;
  failure: { error: unknown } | undefined;

  constructor(
    readonly ended: (completion: Completion) => void,
    readonly watch?: Watch,
  ) {}

  /** Everything was at hand. */
  whole(events: StreamEvent[]): void {
    this.#ready = events;
    this.#ended = true;
  }

  /** Comes in its own time. */
  begun(session: Session, call: number, signal: AbortSignal | undefined, runner?: Runner): void {
    this.#session = session;
    this.#call = call;
    this.#runner = runner;
    expect(call, this);
    runner?.begun(call);
    if (signal !== undefined) {
      this.#signal = signal;
      hear(signal, this);
    }
  }

  aborted(reason: unknown): void {
    const session = this.#session;
    const underWay = forget(this.#call);
    this.fail(reason); // the caller hears first
    if (underWay) session?.cancel(this.#call);
  }

  reply(): void {
    this.fail(new InvalidStateError("the stream has no events"));
  }

  fail(raised: unknown): void {
    if (this.#ended) return;
    const error = this.#runner === undefined ? raised : this.#runner.blame(raised);
    this.#end();
    this.failure = { error };
    this.watch?.failed(error);
    const [first, ...others] = this.#readers;
    this.#readers = [];
    if (first === undefined) {
      this.#error = this.failure;
      return;
    }
    release();
    first.reject(error);
    for (const reader of others) {
      release();
      reader.resolve(DONE);
    }
  }

  events(events: StreamEvent[], last: boolean): void {
    if (this.#ended) return;
    if (this.#next === this.#ready.length) this.#ready = events;
    else this.#ready = this.#ready.slice(this.#next).concat(events);
    this.#next = 0;
    if (last) this.#end();
    while (this.#readers.length > 0) {
      const result = this.#take();
      if (result === undefined) break;
      release();
      this.#readers.shift()?.resolve(result);
    }
    if (this.#readers.length > 0) this.#grant();
  }

  /** What is there without waiting; undefined when there is nothing yet. Throws the error that ended the stream, once. */
  #take(): Result | undefined {
    if (this.#next < this.#ready.length) {
      const event = this.#ready[this.#next++] as StreamEvent;
      this.#taken += 1;
      if (event.type === "end") {
        this.completion = event.completion;
        this.watch?.done(event.completion);
        this.ended(event.completion);
      }
      return { done: false, value: event };
    }
    return this.#ended ? DONE : undefined;
  }

  next(stream: object): Promise<Result> {
    if (this.#readers.length === 0) {
      const result = this.#take();
      if (result === DONE && this.#error !== undefined) {
        this.#error = undefined;
        return Promise.reject(this.failure?.error);
      }
      if (result !== undefined) return Promise.resolve(result);
      this.#grant();
    }
    hold();
    return new Promise((resolve, reject) => this.#readers.push({ stream, resolve, reject }));
  }

  #grant(): void {
    if (this.#taken === 0) return;
    this.#session?.grant(this.#call, this.#taken);
    this.#taken = 0;
  }

  #end(): void {
    this.#ended = true;
    if (this.#signal !== undefined) unhear(this.#signal, this);
    this.#signal = undefined;
    this.#session = undefined;
    this.#runner?.end();
    this.#runner = undefined;
  }

  /** Nothing more comes, and the call is cancelled unless it is over. */
  close(): void {
    this.watch?.left();
    this.#ready = [];
    this.#next = 0;
    this.#error = undefined;
    if (this.#ended) return;
    if (forget(this.#call)) this.#session?.cancel(this.#call);
    this.#end();
    const readers = this.#readers;
    this.#readers = [];
    for (const reader of readers) {
      release();
      reader.resolve(DONE);
    }
  }
}

const dropped = new FinalizationRegistry<Inbox>((inbox) => inbox.close());

/**
 * The events of a streamed answer, in order; the last of a good one is `end`. Leaving it early (`break`, `return()`, `close()`,
 * `await using`, the signal, or dropping it) cancels the call and closes its connection unless others share it.
 *
 * An error of the call rejects `next()` after the events that came before it.
 */
export class CompletionStream implements AsyncIterableIterator<StreamEvent, undefined>, AsyncDisposable {
  readonly #inbox: Inbox;

  /** @internal */
  constructor(inbox: Inbox) {
    this.#inbox = inbox;
    dropped.register(this, inbox, this);
  }

  /** The events, each once; leaving the loop closes the stream. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. Several reads at once are answered in their order. */
  next(): Promise<IteratorResult<StreamEvent, undefined>> {
    return this.#inbox.next(this);
  }

  /** Ends the stream; what `break` calls. */
  async return(): Promise<IteratorResult<StreamEvent, undefined>> {
    this.#inbox.close();
    return DONE;
  }

  /** Ends the stream. */
  async close(): Promise<void> {
    this.#inbox.close();
  }

  /** `await using`: closes the stream. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The pieces of text as they come. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const event of this) {
      if (event.type === "text_delta") yield event.text;
    }
  }

  /** The whole answer, once the stream has ended. */
  get completion(): Completion | undefined {
    return this.#inbox.completion;
  }

  /** Reads to the end and gives the whole answer: what `complete` would have. Rejects with the error that ended the stream. */
  async final(): Promise<Completion> {
    while (!(await this.#inbox.next(this)).done) {
      // only the last one matters
    }
    const { completion, failure } = this.#inbox;
    if (completion !== undefined) return completion;
    if (failure !== undefined) throw failure.error as OssaiError;
    throw new InvalidStateError("the stream was closed before its end");
  }

  /** The events as a web stream, pulled one at a time; cancelling it ends this stream. */
  toReadableStream(): ReadableStream<StreamEvent> {
    return new ReadableStream<StreamEvent>(
      {
        pull: async (controller) => {
          const { done, value } = await this.#inbox.next(this);
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: () => this.#inbox.close(),
      },
      { highWaterMark: 0 },
    );
  }
}
