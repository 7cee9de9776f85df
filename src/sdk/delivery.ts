import type { PushMessage } from './events.js';
import { Listeners } from './listeners.js';
import { PushClientError } from './push-client.error.js';

/** Told whether the message was handled, or left by a loop that was broken off. */
type Follow = (isHandled: boolean) => void;

interface Waiting {
  isHandled: boolean | undefined;
  readonly follow: Follow;
}

/** What waits for a loop. */
interface Queue<T> {
  readonly entries: { readonly value: T; readonly done: (isHandled: boolean) => void }[];
  wake: () => void;
  end: { readonly error: PushClientError | undefined } | undefined;
}

/**
 * Hands messages to listeners and loops, and lets what depends on them being handled follow in their order: at once,
 * unless a listener returned a promise or a loop has not come so far.
 */
export class Delivery<T> {
  readonly listeners = new Listeners();
  readonly #maxQueued: number;
  readonly #onHeldBack: (isHeldBack: boolean) => void;
  readonly #queues = new Set<Queue<T>>();
  readonly #line: Waiting[] = [];
  #isLagging = false;
  #isFirstMark = true;
  #end: Queue<T>['end'];

  constructor(maxQueued: number, onHeldBack: (isHeldBack: boolean) => void) {
    this.#maxQueued = maxQueued;
    this.#onHeldBack = onHeldBack;
  }

  /** Gets everything from now on. */
  stream(): AsyncGenerator<T, undefined> {
    const queue: Queue<T> = { entries: [], wake: () => {}, end: this.#end };
    this.#queues.add(queue);
    return this.#loop(queue);
  }

  /** What is given follows once this message, and all before it, are handled. */
  deliver(message: PushMessage, value: T, follow: Follow = () => {}): void {
    const work = this.listeners.emit(message.event, message.data, message);
    for (const queue of this.#queues) work.push(this.#add(queue, value));
    this.follow(follow, work);
  }

  /** None of the promises rejects; false says that the message was not handled. */
  follow(follow: Follow, work: readonly Promise<boolean>[] = []): void {
    if (work.length === 0 && this.#line.length === 0) {
      follow(true);
      return;
    }
    const entry: Waiting = { isHandled: work.length === 0 || undefined, follow };
    this.#line.push(entry);
    if (work.length > 0) void this.#settle(entry, work);
  }

  /** A connection begins: its server counts anew. */
  begin(): void {
    this.#isFirstMark = true;
    this.#isLagging = false;
  }

  /** Sends a mark back when all before it is handled. */
  returnMark(send: () => void): void {
    if (this.#isFirstMark) {
      // Until one is returned the server goes by pongs, which say nothing of this client.
      this.#isFirstMark = false;
      send();
      return;
    }
    if (this.#line.length > 0 && !this.#isLagging) this.#lag(true);
    this.follow(send);
  }

  /** With an error what is queued is still given, and then the error. */
  end(error?: PushClientError): void {
    this.#end = { error };
    for (const queue of this.#queues) {
      if (error === undefined) queue.entries.length = 0;
      queue.end = this.#end;
      queue.wake();
    }
  }

  #add(queue: Queue<T>, value: T): Promise<boolean> {
    return new Promise((resolve) => {
      queue.entries.push({ value, done: resolve });
      if (queue.entries.length > this.#maxQueued) {
        queue.end = { error: new PushClientError('overflow', `over ${this.#maxQueued} messages wait for a loop`) };
        this.#leave(queue);
      }
      queue.wake();
    });
  }

  async *#loop(queue: Queue<T>): AsyncGenerator<T, undefined> {
    try {
      for (;;) {
        const entry = queue.entries.shift();
        if (entry !== undefined) {
          try {
            yield entry.value;
          } finally {
            entry.done(true);
          }
        } else if (queue.end === undefined) await new Promise<void>((resolve) => (queue.wake = resolve));
        else if (queue.end.error === undefined) return;
        else throw queue.end.error;
      }
    } finally {
      this.#leave(queue);
    }
  }

  #leave(queue: Queue<T>): void {
    this.#queues.delete(queue);
    for (const { done } of queue.entries.splice(0)) done(false);
  }

  async #settle(entry: Waiting, work: readonly Promise<boolean>[]): Promise<void> {
    const results = await Promise.all(work);
    entry.isHandled = !results.includes(false);
    for (let [first] = this.#line; first?.isHandled !== undefined; [first] = this.#line) {
      this.#line.shift();
      first.follow(first.isHandled);
    }
    if (this.#line.length === 0 && this.#isLagging) this.#lag(false);
  }

  #lag(isLagging: boolean): void {
    this.#isLagging = isLagging;
    this.#onHeldBack(isLagging);
    this.listeners.emit('lagging', { waiting: this.#line.length });
  }
}
