import { KeyedRateLimit, RateLimit } from '../fan-out/rate-limit.js';

export interface ConnectionLimitOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
  readonly maxConnectionsPerUser: number;
  readonly maxUpgradesPerSecond: number;
}

export type ConnectionLimit = 'total' | 'address' | 'rate';

/** Counts connections of both gateways, from the moment an upgrade is looked at until its socket is gone. */
export class ConnectionLimits {
  private total = 0;
  private readonly byAddress = new Counter();
  private readonly byUser = new Counter();
  private readonly rate: KeyedRateLimit;

  constructor(private readonly options: ConnectionLimitOptions) {
    const { maxUpgradesPerSecond, maxConnectionsPerIp } = options;
    // After a restart all clients of one address come back at once.
    this.rate = new KeyedRateLimit(
      new RateLimit(maxUpgradesPerSecond, Math.max(maxUpgradesPerSecond, maxConnectionsPerIp)),
    );
  }

  get count(): number {
    return this.total;
  }

  /** Takes a place, or says which limit is reached. Every place taken has to be given back with {@link release}. */
  acquire(remoteAddress: string): ConnectionLimit | undefined {
    if (!this.rate.take(remoteAddress, performance.now())) return 'rate';
    if (this.byAddress.of(remoteAddress) >= this.options.maxConnectionsPerIp) return 'address';
    if (this.total >= this.options.maxConnections) return 'total';
    this.total += 1;
    this.byAddress.add(remoteAddress);
    return undefined;
  }

  release(remoteAddress: string): void {
    if (this.byAddress.remove(remoteAddress)) this.total -= 1;
  }

  /** As {@link acquire}, once it is known who connects. False: this user has as many as one may have. */
  acquireUser(userName: string): boolean {
    if (this.byUser.of(userName) >= this.options.maxConnectionsPerUser) return false;
    this.byUser.add(userName);
    return true;
  }

  releaseUser(userName: string): void {
    this.byUser.remove(userName);
  }
}

class Counter {
  private readonly counts = new Map<string, number>();

  of(key: string): number {
    return this.counts.get(key) ?? 0;
  }

  add(key: string): void {
    this.counts.set(key, this.of(key) + 1);
  }

  /** False where none was counted. */
  remove(key: string): boolean {
    const count = this.of(key);
    if (count === 0) return false;
    if (count === 1) this.counts.delete(key);
    else this.counts.set(key, count - 1);
    return true;
  }
}
