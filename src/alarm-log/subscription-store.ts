import type { Cursor } from '../protocol/cursor.js';

/** Injection token of the {@link SubscriptionStore}. */
export const SUBSCRIPTION_STORE = Symbol('SUBSCRIPTION_STORE');

/** What a durable subscription is known by. */
export interface SubscriptionId {
  /** The principal's; empty: anonymous. */
  readonly userName: string;
  /** `[A-Za-z0-9_-]{1,64}`, chosen by the client. */
  readonly name: string;
}

/** Whatever is in the two, other ids have other keys. */
export function subscriptionKey({ userName, name }: SubscriptionId): string {
  return JSON.stringify([userName, name]);
}

export interface StoredSubscription extends SubscriptionId {
  /** Up to where the client has confirmed to have received everything. */
  readonly cursor: Cursor;
  /** Unix time of the last connection, acknowledgement or end of a connection. */
  readonly lastSeenMs: number;
}

/** A subscription that a connection holds, until a later one opens the same. */
export interface OpenedSubscription {
  readonly cursor: Cursor;
  /** Rises with each opening, also across restarts, nodes and a deletion in between. */
  readonly generation: number;
  readonly isNew: boolean;
}

export interface SubscriptionLimits {
  readonly perUser: number;
  readonly total: number;
}

/**
 * The cursors of durable subscriptions.
 *
 * Guarantees: what `open`, `acknowledge` and `delete` have resolved is found again as safely as the backend promises; a
 * cursor moves forward only; only the latest opening of a subscription can move it.
 */
export interface SubscriptionStore {
  /** Takes the subscription over; a new one begins at `start`. Throws {@link SubscriptionLimitError}. */
  open(id: SubscriptionId, start: Cursor): Promise<OpenedSubscription>;

  /** Throws where `open` would, and opens nothing. */
  check(id: SubscriptionId): Promise<void>;

  /**
   * Moves the cursor forward; one that is behind already stays. A cursor of another epoch replaces it. False: a later
   * connection has opened the subscription, or it was deleted.
   */
  acknowledge(id: SubscriptionId, generation: number, cursor: Cursor): Promise<boolean>;

  /**
   * Where the backend may lose what it has resolved: stores an opening again that was lost. False: a later connection has
   * opened the subscription, or it was deleted.
   */
  restore?(id: SubscriptionId, generation: number, cursor: Cursor): Promise<boolean>;

  /** Notes that a connection ended now; nothing where a later one has opened the subscription, or it was deleted. */
  touch(id: SubscriptionId, generation: number): Promise<void>;

  list(): Promise<StoredSubscription[]>;

  /** False where there is none. */
  delete(id: SubscriptionId): Promise<boolean>;

  /** Deletes what was last seen before this Unix time, except for what `isHeld` says is connected; returns how many. */
  expire(beforeMs: number, isHeld: (id: SubscriptionId) => boolean): Promise<number>;

  close(): Promise<void>;
}
