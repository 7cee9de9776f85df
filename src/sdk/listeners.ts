import { messageOf, PushClientError } from './push-client.error.js';
import { reportUnheard } from './surroundings.js';

type Listener = (...parameters: never[]) => unknown;
type Call = (...parameters: unknown[]) => unknown;

/** Listeners by event. One that throws harms nobody: `error` says so. */
export class Listeners {
  readonly #byEvent = new Map<string, Set<{ readonly call: Call }>>();

  /** Returns what takes it off again. */
  on(event: string, listener: Listener): () => void {
    const entry = { call: listener as Call };
    const listeners = this.#byEvent.get(event) ?? new Set();
    this.#byEvent.set(event, listeners.add(entry));
    return () => {
      if (listeners.delete(entry) && listeners.size === 0) this.#byEvent.delete(event);
    };
  }

  /** Calls them in the order in which they came; what they returned promises of never rejects, and gives true. */
  emit(event: string, ...parameters: unknown[]): Promise<boolean>[] {
    const work: Promise<boolean>[] = [];
    // Those that are put on meanwhile are not called.
    const listeners = Array.from(this.#byEvent.get(event) ?? []);
    for (const { call } of listeners) {
      try {
        const result = call(...parameters);
        if (isThenable(result)) work.push(this.#settled(event, result));
      } catch (cause) {
        this.#failed(event, cause);
      }
    }
    return work;
  }

  report(error: PushClientError): void {
    if ((this.#byEvent.get('error')?.size ?? 0) > 0) this.emit('error', error);
    else reportUnheard(error);
  }

  async #settled(event: string, result: PromiseLike<unknown>): Promise<boolean> {
    try {
      await result;
    } catch (cause) {
      this.#failed(event, cause);
    }
    return true;
  }

  #failed(event: string, cause: unknown): void {
    const error = new PushClientError('listener', `a listener of "${event}" failed: ${messageOf(cause)}`, { cause });
    if (event === 'error') reportUnheard(error);
    else this.report(error);
  }
}

/** Also promises that are not this page's own, as those of a frame. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
