import type { DatumOrigin, RawDataBus, RawDataEnvelope } from '../../src/bus/bus.js';
import type { LastValueStore, StoredSeries } from '../../src/bus/last-value.store.js';
import { type Interest, interestAddressed } from '../../src/fan-out/interest.js';
import type { StoredValue } from '../../src/fan-out/series-values.js';
import { ANY_BUSINESS_ID, type KeyAddress } from '../../src/protocol/messages.js';

type Received = (envelope: RawDataEnvelope, origin: DatumOrigin) => void;

/** What Redis is to the nodes: everything happens there in one order. */
export class SharedRedis {
  readonly nodes: SharedNode[] = [];
  private readonly stored = new Map<string, { address: StoredSeries['address']; values: StoredValue[] }>();

  constructor(readonly history: number) {}

  /** Written and told to whoever is subscribed, in one step. */
  publish(envelope: RawDataEnvelope, origin: DatumOrigin): void {
    const { businessType, businessId, to, conflationKey, datumJson } = envelope;
    if (businessId !== undefined && to === undefined) {
      const series = this.stored.get(conflationKey) ?? { address: { businessType, businessId }, values: [] };
      this.stored.set(conflationKey, series);
      series.values = [...series.values, { json: datumJson, conflationKey, origin }].slice(-this.history);
    }
    for (const node of this.nodes) if (node.nodeId !== origin.nodeId) node.arrive(envelope, origin);
  }

  /** A page for each id. */
  pagesOf({ businessType, businessId }: KeyAddress): StoredSeries[][] {
    const series = [...this.stored.values()].filter(
      ({ address }) =>
        address.businessType === businessType && (businessId === ANY_BUSINESS_ID || address.businessId === businessId),
    );
    const ids = new Set(series.map(({ address }) => address.businessId));
    return [...ids].map((id) =>
      series.filter(({ address }) => address.businessId === id).map(({ address, values }) => ({ address, values })),
    );
  }

  newestOf(conflationKey: string): StoredValue | undefined {
    return this.stored.get(conflationKey)?.values.at(-1);
  }

  /** FLUSHALL. */
  forget(): void {
    this.stored.clear();
  }
}

/**
 * A node's bus and store, as one connection that subscribes and reads, and one that publishes. What is on its way, in
 * either direction, goes on by {@link step} only.
 */
export class SharedNode implements RawDataBus, LastValueStore {
  readonly counts = undefined;
  fault: string | undefined;
  /** Commands on their way to Redis. */
  private commands: (() => void)[] = [];
  private publishes: (() => void)[] = [];
  /** What Redis has sent, in its order. */
  private replies: (() => void)[] = [];
  private readonly wanted = new Map<string, number>();
  private subscribed = new Set<string>();
  /** Confirm what was wanted; each with its promise. */
  private readonly unconfirmed = new Map<() => void, () => Promise<void>>();
  private readonly listeners = new Set<Received>();
  private readonly faultListeners = new Set<() => void>();
  private failReads: ((cause: Error) => void)[] = [];
  private sequence = 0;
  /** Addresses that were read, as `dev/1`. */
  readonly reads: string[] = [];
  /** Reads under way, and how many there were at most. */
  private readCount = 0;
  maxReadCount = 0;
  /** What the next reads fail with. */
  readFault: Error | undefined;

  constructor(
    private readonly redis: SharedRedis,
    readonly nodeId: string,
  ) {
    redis.nodes.push(this);
  }

  /** What is wanted now, and how often. */
  get wants(): ReadonlyMap<string, number> {
    return this.wanted;
  }

  get isIdle(): boolean {
    return this.commands.length === 0 && this.publishes.length === 0 && this.replies.length === 0;
  }

  send(envelope: RawDataEnvelope): DatumOrigin {
    const origin = { nodeId: this.nodeId, sequence: (this.sequence += 1) };
    this.publishes.push(() => this.redis.publish(envelope, origin));
    return origin;
  }

  onReceived(listener: Received): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  want(interest: Interest): void {
    const name = JSON.stringify(interest);
    const count = (this.wanted.get(name) ?? 0) + 1;
    this.wanted.set(name, count);
    if (count > 1 || this.fault !== undefined) return;
    const confirmed = new Promise<void>((resolve) => {
      const confirm = () => {
        this.unconfirmed.delete(confirm);
        resolve();
      };
      this.unconfirmed.set(confirm, () => confirmed);
      this.commands.push(() => {
        this.subscribed.add(name);
        this.replies.push(confirm);
      });
    });
  }

  giveUp(interest: Interest): void {
    const name = JSON.stringify(interest);
    const count = (this.wanted.get(name) ?? 0) - 1;
    if (count < 0) throw new Error(`${name} was not wanted`);
    if (count > 0) this.wanted.set(name, count);
    else {
      this.wanted.delete(name);
      if (this.fault === undefined) this.commands.push(() => this.subscribed.delete(name));
    }
  }

  whenWanted(): Promise<void> | undefined {
    if (this.fault !== undefined || this.unconfirmed.size === 0) return undefined;
    return allOf([...this.unconfirmed.values()].map((promise) => promise()));
  }

  onFaultChanged(listener: () => void): () => void {
    this.faultListeners.add(listener);
    return () => this.faultListeners.delete(listener);
  }

  async close(): Promise<void> {}

  async *read(address: KeyAddress): AsyncGenerator<StoredSeries[]> {
    this.reads.push(`${address.businessType}/${address.businessId}`);
    if (this.readFault !== undefined) throw this.readFault;
    if (this.publishes.length > 0) await new Promise<void>((resolve) => this.publishes.push(resolve));
    this.readCount += 1;
    this.maxReadCount = Math.max(this.maxReadCount, this.readCount);
    try {
      const count = await this.ask(() => this.redis.pagesOf(address).length);
      for (let index = 0; index < count; index++) yield await this.ask(() => this.redis.pagesOf(address)[index] ?? []);
    } finally {
      this.readCount -= 1;
    }
  }

  /** What Redis has published: it is on its way where this node is subscribed. */
  arrive(envelope: RawDataEnvelope, origin: DatumOrigin): void {
    const { businessType } = envelope;
    const interest = interestAddressed(envelope);
    const isWanted =
      this.subscribed.has(JSON.stringify(interest)) ||
      (interest.kind === 'key' &&
        this.subscribed.has(JSON.stringify({ kind: 'key', businessType, businessId: ANY_BUSINESS_ID })));
    if (isWanted) this.replies.push(() => this.listeners.forEach((listener) => listener(envelope, origin)));
  }

  /** The connection is gone, with all that was on its way. */
  lose(): void {
    this.fault = 'Redis is not reached';
    this.commands = [];
    this.replies = [];
    this.subscribed = new Set();
    for (const confirm of this.unconfirmed.keys()) confirm();
    for (const fail of this.failReads.splice(0)) fail(new Error('the connection was lost'));
    for (const listener of this.faultListeners) listener();
  }

  /** Everything wanted arrives again. */
  recover(): void {
    this.subscribed = new Set(this.wanted.keys());
    this.fault = undefined;
    for (const listener of this.faultListeners) listener();
  }

  /** One thing goes on; false where nothing is on its way. */
  step(pick: (count: number) => number): boolean {
    const lines = [this.commands, this.publishes, this.replies].filter(({ length }) => length > 0);
    const line = lines[pick(lines.length)];
    line?.shift()?.();
    return line !== undefined;
  }

  private ask<T>(answer: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.failReads.push(reject);
      this.commands.push(() => {
        const answered = answer();
        this.replies.push(() => resolve(answered));
      });
    });
  }
}

async function allOf(promises: readonly Promise<void>[]): Promise<void> {
  await Promise.all(promises);
}
