import type { KeyAddress, RefusedKey, ServerEvents, SubscriptionRequest } from '../protocol/messages.js';
import type { Ask, PushMessage } from './events.js';
import { PushClientError } from './push-client.error.js';

/** A message of a client is at most 16 KiB; its keys leave room for what is around them. */
const MAX_KEYS_BYTES = 16_000;
/** A UTF-16 unit of a string is at most so many bytes of UTF-8. */
const MOST_BYTES_A_UNIT = 3;

type KeysEvent = 'subscribe' | 'unsubscribe';
/** What was subscribed or unsubscribed, and what was refused. */
export type KeysResult = ServerEvents['subscribed'];

interface Operation {
  readonly event: KeysEvent;
  readonly keys: readonly SubscriptionRequest[];
  readonly onDone: (result: KeysResult) => void;
  readonly onFault: (error: PushClientError) => void;
}

/** One message of an operation. */
interface Part {
  readonly operation: Operation;
  readonly keys: SubscriptionRequest[];
  /** Of all its parts until now. */
  readonly result: KeysResult;
  readonly isLast: boolean;
}

/**
 * What a connection is subscribed to, by the server's answers, and what it was asked for and has not answered. A new
 * connection is told both, in this order, so it ends where the one before would have.
 */
export class Subscriptions {
  /** Every connection begins with it. */
  readonly #ofPath: SubscriptionRequest;
  readonly #ask: Ask;
  readonly #onRefused: (refused: readonly RefusedKey[]) => void;
  readonly #onFault: (error: PushClientError) => void;
  readonly #held = new Map<string, SubscriptionRequest>();
  readonly #unanswered = new Set<Operation>();
  #unsent: Part[] = [];
  #isLive = false;
  #end: PushClientError | undefined;
  /** Snapshots of a large operation are not to meet in the server's outbox: its parts go one by one. */
  #isAmidOperation = false;

  constructor(
    ofPath: SubscriptionRequest,
    ask: Ask,
    onRefused: (refused: readonly RefusedKey[]) => void,
    onFault: (error: PushClientError) => void,
  ) {
    this.#ofPath = ofPath;
    this.#ask = ask;
    this.#onRefused = onRefused;
    this.#onFault = onFault;
    this.#held.set(nameOf(ofPath), ofPath);
  }

  /** Resolves with the answer of this connection, or of a later one. */
  change(event: KeysEvent, keys: readonly SubscriptionRequest[]): Promise<KeysResult> {
    return new Promise((resolve, reject) => {
      const operation: Operation = {
        event,
        keys,
        onDone: (result) => {
          this.#unanswered.delete(operation);
          resolve(result);
          this.#tellRefused(result.refused);
        },
        onFault: (error) => {
          this.#unanswered.delete(operation);
          reject(error);
        },
      };
      this.#unanswered.add(operation);
      if (this.#end !== undefined) operation.onFault(this.#end);
      else if (this.#isLive) this.#perform(operation);
    });
  }

  /** A new connection, which knows the key of its path and nothing else. */
  resume(): void {
    this.#isLive = true;
    this.#isAmidOperation = false;
    this.#unsent = [];
    const others = [...this.#held.values()].filter((key) => key !== this.#ofPath);
    if (!this.#held.has(nameOf(this.#ofPath))) this.#restore('unsubscribe', [this.#ofPath]);
    this.#restore('subscribe', others);
    for (const operation of this.#unanswered) this.#perform(operation);
  }

  pause(): void {
    this.#isLive = false;
  }

  /** Keys that a fresh token does not cover. */
  lose(refused: readonly RefusedKey[]): void {
    for (const key of refused) this.#held.delete(nameOf(key));
    this.#tellRefused(refused);
  }

  /** The connection is over. */
  end(error: PushClientError): void {
    this.#end = error;
    for (const operation of this.#unanswered) operation.onFault(error);
  }

  #restore(event: KeysEvent, keys: readonly SubscriptionRequest[]): void {
    const onDone = ({ refused }: KeysResult) => {
      // Better without the last values than not at all.
      const tooLarge = new Set(refused.filter(({ reason }) => reason === 'tooLarge').map(nameOf));
      this.lose(refused.filter(({ reason }) => reason !== 'tooLarge'));
      const again = keys.filter((key) => tooLarge.has(nameOf(key)));
      this.#restore(
        event,
        again.map((key) => ({ ...key, snapshot: undefined, history: undefined })),
      );
    };
    if (keys.length > 0) this.#perform({ event, keys, onDone, onFault: this.#onFault });
  }

  #perform(operation: Operation): void {
    const parts = partsOf(operation.keys);
    const result: KeysResult = { keys: [], refused: [] };
    if (parts.length === 0) operation.onDone(result);
    for (const keys of parts) this.#unsent.push({ operation, keys, result, isLast: keys === parts[parts.length - 1] });
    this.#sendNext();
  }

  #sendNext(): void {
    while (!this.#isAmidOperation) {
      const part = this.#unsent.shift();
      if (part === undefined) return;
      this.#isAmidOperation = !part.isLast;
      this.#ask(part.operation.event, { keys: part.keys }, (message) => this.#take(part, message));
    }
  }

  #take({ operation, keys, result, isLast }: Part, { event, data }: PushMessage): void {
    if (!isLast) this.#isAmidOperation = false;
    if (event === 'exception') {
      const { code, message } = data as ServerEvents['exception'];
      this.#unsent = this.#unsent.filter((part) => part.operation !== operation);
      operation.onFault(new PushClientError('request', message, { code }));
    } else {
      const answer = data as Partial<KeysResult>;
      const done = answer.keys ?? [];
      if (event === 'unsubscribed') for (const key of keys) this.#held.delete(nameOf(key));
      else for (const key of done) this.#held.set(nameOf(key), key);
      result.keys.push(...done);
      result.refused.push(...(answer.refused ?? []));
      if (isLast) operation.onDone(result);
    }
    this.#sendNext();
  }

  #tellRefused(refused: readonly RefusedKey[]): void {
    if (refused.length > 0) this.#onRefused(refused);
  }
}

export function nameOf({ businessType, businessId }: KeyAddress): string {
  return JSON.stringify([businessType, businessId]);
}

/** The keys of each message. */
function partsOf(keys: readonly SubscriptionRequest[]): SubscriptionRequest[][] {
  const parts: SubscriptionRequest[][] = [];
  let part: SubscriptionRequest[] = [];
  let bytes = Infinity;
  for (const key of keys) {
    const keyBytes = JSON.stringify(key).length * MOST_BYTES_A_UNIT;
    bytes += keyBytes;
    if (bytes > MAX_KEYS_BYTES) {
      parts.push((part = []));
      bytes = keyBytes;
    }
    part.push(key);
  }
  return parts;
}
