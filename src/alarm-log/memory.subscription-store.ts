import type { Cursor } from '../protocol/cursor.js';
import type {
  OpenedSubscription,
  StoredSubscription,
  SubscriptionId,
  SubscriptionLimits,
  SubscriptionStore,
} from './subscription-store.js';
import { type IsHeld, type SubscriptionRow, type SubscriptionRows, SubscriptionTable } from './subscription.table.js';

/** The cursors of one process: they end with it, as the alarms of the memory log do. */
export class MemorySubscriptionStore implements SubscriptionStore {
  private readonly table: SubscriptionTable;

  constructor(limits: SubscriptionLimits, now: () => number = Date.now) {
    this.table = new SubscriptionTable(new MemoryRows(), limits, now);
  }

  async open(id: SubscriptionId, start: Cursor): Promise<OpenedSubscription> {
    return this.table.open(id, start);
  }

  async check(id: SubscriptionId): Promise<void> {
    this.table.check(id);
  }

  async acknowledge(id: SubscriptionId, generation: number, cursor: Cursor): Promise<boolean> {
    return this.table.acknowledge(id, generation, cursor);
  }

  async touch(id: SubscriptionId, generation: number): Promise<void> {
    this.table.touch(id, generation);
  }

  async list(): Promise<StoredSubscription[]> {
    return this.table.list();
  }

  async delete(id: SubscriptionId): Promise<boolean> {
    return this.table.delete(id);
  }

  async expire(beforeMs: number, isHeld: IsHeld): Promise<number> {
    return this.table.expire(this.table.expired(beforeMs, isHeld), beforeMs, isHeld);
  }

  async close(): Promise<void> {}
}

class MemoryRows implements SubscriptionRows {
  private readonly rows = new Map<string, SubscriptionRow>();
  private generation = 0;

  get(key: string): SubscriptionRow | undefined {
    return this.rows.get(key);
  }

  put(key: string, row: SubscriptionRow): void {
    this.rows.set(key, row);
  }

  remove(key: string): void {
    this.rows.delete(key);
  }

  all(): Iterable<SubscriptionRow> {
    return this.rows.values();
  }

  nextGeneration(): number {
    this.generation += 1;
    return this.generation;
  }
}
