import type { Principal } from '../access/principal.js';
import { type Revocation, RevocationTable, subjectOf } from '../access/revocation.table.js';
import type { Revocations, RevocationTarget } from '../access/revocations.js';
import type { Cluster, ClusterCommand } from '../bus/cluster.js';
import { RevocationNotStoredError } from '../push.errors.js';
import { withinMs } from './deadline.js';
import type { FaultLog } from './fault.log.js';
import type { RedisConnection } from './redis.connection.js';

export interface RedisRevocationsOptions {
  readonly connection: RedisConnection;
  readonly cluster: Cluster;
  readonly keptMs: number;
  readonly faults: FaultLog;
  readonly now?: () => number;
}

const REVOKED: ClusterCommand<readonly Revocation[]> = { name: 'revoked' };

const DEADLINE_MS = 5000;
const SYNC_AGAIN_AFTER_MS = 1000;
const REVOCATIONS_AT_ONCE = 500;
/** Clocks of nodes differ: what is kept an hour longer in Redis harms nobody. */
const CLOCK_DIFFERENCE_MS = 3_600_000;

/**
 * Revocations that all nodes know, and that survive restarts: in a sorted set of Redis, by the time when they were revoked, and
 * on each node in memory. Whenever the node can reach Redis again it stores what it knows, says once more what it revoked
 * itself, and learns what the others know; so also a Redis that lost them has them again.
 */
export class RedisRevocations implements Revocations {
  private readonly table: RevocationTable;
  /** What was revoked on this node: whether the others have heard of it is not known. */
  private readonly own: RevocationTable;
  private readonly key: string;
  private readonly now: () => number;
  private readonly learnedListeners = new Set<() => void>();
  private readonly stops: (() => void)[];
  private syncing: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  private constructor(private readonly options: RedisRevocationsOptions) {
    const { connection, cluster, keptMs, now = Date.now } = options;
    this.now = now;
    this.table = new RevocationTable(keptMs, now);
    this.own = new RevocationTable(keptMs, now);
    this.key = connection.key('revocations');
    this.stops = [
      cluster.onTold(REVOKED, (revocations) => this.learn(revocations)),
      cluster.onReturned(() => this.syncSoon(0)),
    ];
  }

  /** Resolves once what was revoked before is known; rejects where Redis does not say. */
  static async open(options: RedisRevocationsOptions): Promise<RedisRevocations> {
    const revocations = new RedisRevocations(options);
    try {
      await withinMs(revocations.load(), DEADLINE_MS);
      return revocations;
    } catch (cause) {
      await revocations.close();
      throw cause;
    }
  }

  async add(target: RevocationTarget): Promise<void> {
    const revocation = { subject: subjectOf(target), atMs: this.now() };
    this.table.add(revocation);
    this.own.add(revocation);
    // Stored before it is told: a node that starts meanwhile hears of it or finds it.
    const stored = withinMs(this.store([revocation]), DEADLINE_MS);
    this.options.cluster.tell(REVOKED, [revocation]);
    try {
      await stored;
    } catch (cause) {
      this.syncSoon(SYNC_AGAIN_AFTER_MS);
      throw new RevocationNotStoredError(cause);
    }
  }

  isRevoked(principal: Principal): boolean {
    return this.table.isRevoked(principal);
  }

  onLearned(listener: () => void): () => void {
    this.learnedListeners.add(listener);
    return () => this.learnedListeners.delete(listener);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
    await this.syncing;
  }

  private learn(revocations: readonly Revocation[]): void {
    const news = revocations.filter((revocation) => this.table.add(revocation));
    if (news.length > 0) for (const listener of this.learnedListeners) listener();
  }

  private async store(revocations: readonly Revocation[]): Promise<void> {
    const { client } = this.options.connection.commands;
    const { keptMs } = this.options;
    const members = revocations.map(({ subject, atMs }) => ({ value: subject, score: atMs }));
    await Promise.all([
      client.zAdd(this.key, members, { comparison: 'GT' }),
      client.zRemRangeByScore(this.key, '-inf', this.now() - keptMs - CLOCK_DIFFERENCE_MS),
      client.pExpire(this.key, keptMs + CLOCK_DIFFERENCE_MS),
    ]);
  }

  private async load(): Promise<void> {
    const found: Revocation[] = [];
    for await (const members of this.options.connection.commands.client.zScanIterator(this.key, { COUNT: 1000 })) {
      found.push(...members.map(({ value, score }) => ({ subject: value, atMs: score })));
    }
    this.learn(found.toSorted((a, b) => a.atMs - b.atMs));
  }

  private syncSoon(afterMs: number): void {
    clearTimeout(this.timer);
    if (!this.isClosed) this.timer = setTimeout(() => void this.syncOnce(), afterMs);
  }

  private async syncOnce(): Promise<void> {
    this.syncing ??= this.sync().finally(() => (this.syncing = undefined));
    await this.syncing;
  }

  private async sync(): Promise<void> {
    // What comes back tells that it does.
    if (this.options.cluster.fault !== undefined) return;
    try {
      for (const some of portionsOf(this.table)) await withinMs(this.store(some), DEADLINE_MS);
      for (const some of portionsOf(this.own)) this.options.cluster.tell(REVOKED, some);
      await withinMs(this.load(), DEADLINE_MS);
      this.options.faults.succeeded('store and read revocations');
    } catch (cause) {
      if (this.options.cluster.fault === undefined) this.options.faults.failed('store and read revocations', cause);
      this.syncSoon(SYNC_AGAIN_AFTER_MS);
    }
  }
}

function* portionsOf(table: RevocationTable): Iterable<readonly Revocation[]> {
  const all = [...table.all()];
  for (let start = 0; start < all.length; start += REVOCATIONS_AT_ONCE) {
    yield all.slice(start, start + REVOCATIONS_AT_ONCE);
  }
}
