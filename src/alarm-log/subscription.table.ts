import type { Cursor } from '../protocol/cursor.js';
import { SubscriptionLimitError } from '../push.errors.js';
import {
  type OpenedSubscription,
  type StoredSubscription,
  type SubscriptionId,
  subscriptionKey,
  type SubscriptionLimits,
} from './subscription-store.js';

export interface SubscriptionRow extends StoredSubscription {
  /** Of its latest opening. */
  readonly generation: number;
}

/** Where the rows are; a backend gives them. */
export interface SubscriptionRows {
  get(key: string): SubscriptionRow | undefined;
  put(key: string, row: SubscriptionRow): void;
  remove(key: string): void;
  all(): Iterable<SubscriptionRow>;
  /** One that no opening of any subscription has had: so an old one never fits what was deleted and opened anew. */
  nextGeneration(): number;
}

export type IsHeld = (id: SubscriptionId) => boolean;

interface Counts {
  readonly byUser: Map<string, number>;
  total: number;
}

/**
 * The rules of a subscription store, the same on each backend that holds its rows in this process. Each method runs in one
 * go, and throws, if at all, before it writes.
 */
export class SubscriptionTable {
  private counts: Counts | undefined;

  constructor(
    private readonly rows: SubscriptionRows,
    private readonly limits: SubscriptionLimits,
    private readonly now: () => number,
  ) {
    this.counted();
  }

  open(id: SubscriptionId, start: Cursor): OpenedSubscription {
    this.check(id);
    const { userName, name } = id;
    const known = this.rows.get(subscriptionKey(id));
    const cursor = known?.cursor ?? start;
    if (known === undefined) this.count(userName, 1);
    const generation = this.rows.nextGeneration();
    this.rows.put(subscriptionKey(id), { userName, name, cursor, lastSeenMs: this.now(), generation });
    return { cursor, generation, isNew: known === undefined };
  }

  check(id: SubscriptionId): void {
    if (this.rows.get(subscriptionKey(id)) !== undefined) return;
    const { byUser, total } = this.counted();
    if ((byUser.get(id.userName) ?? 0) >= this.limits.perUser) throw new SubscriptionLimitError('user');
    if (total >= this.limits.total) throw new SubscriptionLimitError('total');
  }

  acknowledge(id: SubscriptionId, generation: number, cursor: Cursor): boolean {
    const row = this.rowOf(id, generation);
    if (row === undefined) return false;
    const isBehind = cursor.epoch === row.cursor.epoch && cursor.offset < row.cursor.offset;
    this.rows.put(subscriptionKey(id), { ...row, cursor: isBehind ? row.cursor : cursor, lastSeenMs: this.now() });
    return true;
  }

  touch(id: SubscriptionId, generation: number): void {
    const row = this.rowOf(id, generation);
    if (row !== undefined) this.rows.put(subscriptionKey(id), { ...row, lastSeenMs: this.now() });
  }

  list(): StoredSubscription[] {
    return Array.from(this.rows.all(), ({ userName, name, cursor, lastSeenMs }) => ({
      userName,
      name,
      cursor,
      lastSeenMs,
    }));
  }

  delete(id: SubscriptionId): boolean {
    if (this.rows.get(subscriptionKey(id)) === undefined) return false;
    this.count(id.userName, -1);
    this.rows.remove(subscriptionKey(id));
    return true;
  }

  /** What {@link expire} would delete now. */
  expired(beforeMs: number, isHeld: IsHeld): SubscriptionId[] {
    return this.list().filter((stored) => isExpired(stored, beforeMs, isHeld));
  }

  /** Deletes those of these that are still expired. */
  expire(ids: readonly SubscriptionId[], beforeMs: number, isHeld: IsHeld): number {
    const expired = ids.filter((id) => {
      const row = this.rows.get(subscriptionKey(id));
      return row !== undefined && isExpired(row, beforeMs, isHeld);
    });
    for (const id of expired) this.delete(id);
    return expired.length;
  }

  /** Counts anew before the next use: for a backend that cannot tell what became of its last writes. */
  recount(): void {
    this.counts = undefined;
  }

  /** undefined where this opening has the subscription no more. */
  private rowOf(id: SubscriptionId, generation: number): SubscriptionRow | undefined {
    const row = this.rows.get(subscriptionKey(id));
    return row?.generation === generation ? row : undefined;
  }

  /** To be called before the row is written, or it might be counted twice. */
  private count(userName: string, change: 1 | -1): void {
    addTo(this.counted(), userName, change);
  }

  private counted(): Counts {
    if (this.counts === undefined) {
      this.counts = { byUser: new Map(), total: 0 };
      for (const { userName } of this.rows.all()) addTo(this.counts, userName, 1);
    }
    return this.counts;
  }
}

function isExpired(stored: StoredSubscription, beforeMs: number, isHeld: IsHeld): boolean {
  return stored.lastSeenMs < beforeMs && !isHeld({ userName: stored.userName, name: stored.name });
}

function addTo(counts: Counts, userName: string, change: 1 | -1): void {
  const count = (counts.byUser.get(userName) ?? 0) + change;
  if (count > 0) counts.byUser.set(userName, count);
  else counts.byUser.delete(userName);
  counts.total += change;
}
