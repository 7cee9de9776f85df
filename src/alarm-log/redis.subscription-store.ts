import type { Cursor } from '../protocol/cursor.js';
import { SubscriptionLimitError } from '../push.errors.js';
import { withinMs } from '../redis/deadline.js';
import type { RedisConnection } from '../redis/redis.connection.js';
import { arrayOf } from '../redis/redis.reply.js';
import type { RedisScript } from '../redis/redis.script.js';
import {
  ACKNOWLEDGE_SCRIPT,
  CHECK_SCRIPT,
  DELETE_SCRIPT,
  EXPIRE_SCRIPT,
  LIST_SCRIPT,
  OPEN_SCRIPT,
  RESTORE_SCRIPT,
} from './redis.subscription-store.scripts.js';
import {
  type OpenedSubscription,
  type StoredSubscription,
  type SubscriptionId,
  subscriptionKey,
  type SubscriptionLimits,
  type SubscriptionStore,
} from './subscription-store.js';

const DEADLINE_MS = 5000;
/** How many subscriptions one call of the script deletes at most; Redis serves nobody else meanwhile. */
const EXPIRE_STEP = 500;

/** The cursors of all nodes of one prefix: whoever opens a subscription takes it from whichever node had it. */
export class RedisSubscriptionStore implements SubscriptionStore {
  private readonly keys: readonly string[];

  /** The connection is shared with others: who opened it closes it, after this. */
  constructor(
    private readonly connection: RedisConnection,
    private readonly limits: SubscriptionLimits,
    private readonly now: () => number = Date.now,
  ) {
    this.keys = [[], ['users'], ['about']].map((parts) => connection.key('subscriptions', ...parts));
  }

  async open(id: SubscriptionId, start: Cursor): Promise<OpenedSubscription> {
    const { perUser, total } = this.limits;
    const words = [...wordsOf(id), start.epoch, start.offset, this.now(), perUser, total];
    const [offset, epoch, generation, isNew] = arrayOf(await this.ask(OPEN_SCRIPT, ...words));
    if (epoch === undefined) throw limitError(offset);
    const cursor = { epoch: String(epoch), offset: Number(offset) };
    return { cursor, generation: Number(generation), isNew: isNew === 1 };
  }

  async check(id: SubscriptionId): Promise<void> {
    const { perUser, total } = this.limits;
    const limit = await this.ask(CHECK_SCRIPT, ...wordsOf(id), perUser, total);
    if (limit !== '') throw limitError(limit);
  }

  async acknowledge(id: SubscriptionId, generation: number, { epoch, offset }: Cursor): Promise<boolean> {
    return (await this.ask(ACKNOWLEDGE_SCRIPT, subscriptionKey(id), generation, this.now(), epoch, offset)) === 1;
  }

  async restore(id: SubscriptionId, generation: number, { epoch, offset }: Cursor): Promise<boolean> {
    return (await this.ask(RESTORE_SCRIPT, ...wordsOf(id), generation, this.now(), epoch, offset)) === 1;
  }

  async touch(id: SubscriptionId, generation: number): Promise<void> {
    await this.ask(ACKNOWLEDGE_SCRIPT, subscriptionKey(id), generation, this.now());
  }

  async list(): Promise<StoredSubscription[]> {
    const words = arrayOf(await this.ask(LIST_SCRIPT)).map(String);
    return Array.from({ length: words.length / 2 }, (_, i) => storedIn(words[2 * i] ?? '', words[2 * i + 1] ?? ''));
  }

  async delete(id: SubscriptionId): Promise<boolean> {
    return (await this.ask(DELETE_SCRIPT, ...wordsOf(id))) === 1;
  }

  async expire(beforeMs: number, isHeld: (id: SubscriptionId) => boolean): Promise<number> {
    const all = await this.list();
    const expired = all.filter(
      ({ userName, name, lastSeenMs }) => lastSeenMs < beforeMs && !isHeld({ userName, name }),
    );
    let count = 0;
    for (let from = 0; from < expired.length; from += EXPIRE_STEP) {
      const step = expired.slice(from, from + EXPIRE_STEP);
      count += Number(await this.ask(EXPIRE_SCRIPT, beforeMs, ...step.flatMap(wordsOf)));
    }
    return count;
  }

  async close(): Promise<void> {}

  private ask(script: RedisScript, ...words: readonly (string | number)[]): Promise<unknown> {
    return withinMs(this.connection.run(script, this.keys, words.map(String)), DEADLINE_MS);
  }
}

/** The id and the user, as the scripts know them. */
function wordsOf(id: SubscriptionId): [string, string] {
  return [subscriptionKey(id), JSON.stringify(id.userName)];
}

function storedIn(key: string, row: string): StoredSubscription {
  const [userName = '', name = ''] = JSON.parse(key) as string[];
  const [, offset = '', epoch = '', lastSeenMs = ''] = row.split(' ');
  return { userName, name, cursor: { epoch, offset: Number(offset) }, lastSeenMs: Number(lastSeenMs) };
}

function limitError(limit: unknown): SubscriptionLimitError {
  return new SubscriptionLimitError(limit === 'user' ? 'user' : 'total');
}
