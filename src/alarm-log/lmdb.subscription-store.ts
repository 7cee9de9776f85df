import type { Database } from 'lmdb';
import type { Cursor } from '../protocol/cursor.js';
import { SubscriptionLimitError } from '../push.errors.js';
import type { LmdbEnvironment } from './lmdb.environment.js';
import type {
  OpenedSubscription,
  StoredSubscription,
  SubscriptionId,
  SubscriptionLimits,
  SubscriptionStore,
} from './subscription-store.js';
import { type IsHeld, type SubscriptionRow, type SubscriptionRows, SubscriptionTable } from './subscription.table.js';

/** How many subscriptions one transaction of {@link LmdbSubscriptionStore.expire} deletes at most; it holds the event loop meanwhile. */
const EXPIRE_STEP = 500;
const LAST = 'last';

/**
 * The cursors of one node, in files. Who calls at the same time shares one sync of the disk, with the alarm log too where
 * that is in the same environment.
 */
export class LmdbSubscriptionStore implements SubscriptionStore {
  private readonly table: SubscriptionTable;

  /** The environment is shared with other stores: who opened it closes it, after this. */
  private constructor(
    private readonly environment: LmdbEnvironment,
    limits: SubscriptionLimits,
    now: () => number,
  ) {
    this.table = new SubscriptionTable(new LmdbRows(environment), limits, now);
  }

  static async open(
    environment: LmdbEnvironment,
    limits: SubscriptionLimits,
    now: () => number = Date.now,
  ): Promise<LmdbSubscriptionStore> {
    return new LmdbSubscriptionStore(environment, limits, now);
  }

  open(id: SubscriptionId, start: Cursor): Promise<OpenedSubscription> {
    return this.commit(() => this.table.open(id, start));
  }

  async check(id: SubscriptionId): Promise<void> {
    this.table.check(id);
  }

  acknowledge(id: SubscriptionId, generation: number, cursor: Cursor): Promise<boolean> {
    return this.commit(() => this.table.acknowledge(id, generation, cursor));
  }

  touch(id: SubscriptionId, generation: number): Promise<void> {
    return this.commit(() => this.table.touch(id, generation));
  }

  async list(): Promise<StoredSubscription[]> {
    return this.table.list();
  }

  delete(id: SubscriptionId): Promise<boolean> {
    return this.commit(() => this.table.delete(id));
  }

  async expire(beforeMs: number, isHeld: IsHeld): Promise<number> {
    const ids = this.table.expired(beforeMs, isHeld);
    let count = 0;
    for (let from = 0; from < ids.length; from += EXPIRE_STEP) {
      const step = ids.slice(from, from + EXPIRE_STEP);
      count += await this.commit(() => this.table.expire(step, beforeMs, isHeld));
    }
    return count;
  }

  async close(): Promise<void> {}

  private async commit<T>(work: () => T): Promise<T> {
    try {
      return await this.environment.commit(work);
    } catch (cause) {
      // The work may have counted what was not stored in the end. A refusal has not, and must not cost a walk over all rows.
      if (!(cause instanceof SubscriptionLimitError)) this.table.recount();
      throw cause;
    }
  }
}

/** To be written to inside a transaction only. */
class LmdbRows implements SubscriptionRows {
  private readonly rows: Database<SubscriptionRow, string>;
  private readonly generations: Database<number, string>;

  constructor(environment: LmdbEnvironment) {
    this.rows = environment.database('subscriptions', 'json');
    this.generations = environment.database('subscription-generations', 'json');
  }

  get(key: string): SubscriptionRow | undefined {
    return this.rows.get(key);
  }

  put(key: string, row: SubscriptionRow): void {
    this.rows.putSync(key, row);
  }

  remove(key: string): void {
    this.rows.removeSync(key);
  }

  /** An array: an iterator kept for longer would hold on to pages that are to be used again. */
  all(): SubscriptionRow[] {
    return Array.from(this.rows.getRange(), ({ value }) => value);
  }

  nextGeneration(): number {
    const generation = (this.generations.get(LAST) ?? 0) + 1;
    this.generations.putSync(LAST, generation);
    return generation;
  }
}
