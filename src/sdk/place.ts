import { parseCursor } from '../protocol/cursor.js';
import { isThenable } from './listeners.js';
import { messageOf, PushClientError } from './push-client.error.js';
import { after, surroundings } from './surroundings.js';

/** Where the place of the alarms is kept while the page is closed or the process is down. May throw or reject. */
export interface PlaceStorage {
  get(key: string): string | null | undefined | Promise<string | null | undefined>;
  set(key: string, place: string): unknown;
}

/** A heartbeat only says what was not for this client: its place is written less often than an alarm's. */
const HEARTBEAT_SAVE_MS = 5000;

/** Whether this id stands for the other place or for one before it. Places of different logs have no order. */
export function isUpTo(id: string, place: string): boolean {
  const [cursor, limit] = [parseCursor(id), parseCursor(place)];
  return cursor !== undefined && cursor.epoch === limit?.epoch && cursor.offset <= limit.offset;
}

/** localStorage, where there is one and the page may use it. */
export function browserStorage(): PlaceStorage | undefined {
  try {
    const { localStorage } = surroundings;
    return (
      localStorage && { get: (key) => localStorage.getItem(key), set: (key, place) => localStorage.setItem(key, place) }
    );
  } catch {
    // A page that may not use it gets an error for looking.
    return undefined;
  }
}

/** Writes a place: one write at a time, and of those that come meanwhile the last. */
export class PlaceKeeper {
  readonly #storage: PlaceStorage;
  readonly #key: string;
  readonly #onFault: (error: PushClientError) => void;
  #unsaved: string | undefined;
  #isSaving = false;
  #isFailing = false;
  #cancelTimer: (() => void) | undefined;

  constructor(storage: PlaceStorage, key: string, onFault: (error: PushClientError) => void) {
    this.#storage = storage;
    this.#key = key;
    this.#onFault = onFault;
  }

  /** Undefined where there is none, or what is there is no place. */
  async load(): Promise<string | undefined> {
    try {
      const place = await this.#storage.get(this.#key);
      return place && parseCursor(place) ? place : undefined;
    } catch (cause) {
      this.#failed(cause);
      return undefined;
    }
  }

  /** At once, or together with what comes within some seconds. */
  save(place: string, isUrgent = true): void {
    this.#unsaved = place;
    if (isUrgent) this.flush();
    else this.#cancelTimer ??= after(HEARTBEAT_SAVE_MS, () => this.flush());
  }

  flush(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (!this.#isSaving) void this.#write();
  }

  async #write(): Promise<void> {
    this.#isSaving = true;
    for (let place = this.#unsaved; place !== undefined; place = this.#unsaved) {
      this.#unsaved = undefined;
      try {
        const writing = this.#storage.set(this.#key, place);
        // A storage that has written by now is not waited for: the page may end any moment.
        if (isThenable(writing)) await writing;
        this.#isFailing = false;
      } catch (cause) {
        this.#failed(cause);
      }
    }
    this.#isSaving = false;
  }

  /** Said once, not with every alarm. */
  #failed(cause: unknown): void {
    if (!this.#isFailing) this.#onFault(new PushClientError('storage', `no storage: ${messageOf(cause)}`, { cause }));
    this.#isFailing = true;
  }
}
