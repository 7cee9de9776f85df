/** So many a second on average, and so many at once (the generic cell rate algorithm of ITU-T I.371). */
export class RateLimit {
  private readonly intervalMs: number;
  private readonly toleranceMs: number;

  constructor(perSecond: number, burst: number) {
    this.intervalMs = 1000 / perSecond;
    this.toleranceMs = this.intervalMs * (burst - 1);
  }

  /** The state after one more, or undefined: it is too many. A state begins as 0 and is in milliseconds. */
  next(state: number, nowMs: number): number | undefined {
    return state - nowMs > this.toleranceMs ? undefined : this.after(state, nowMs, 1);
  }

  /** Whether more have come than there was room for. */
  isExceeded(state: number, nowMs: number): boolean {
    return state - nowMs > this.toleranceMs + this.intervalMs;
  }

  /** The state after so many more at once, whether there is room for them or not. */
  after(state: number, nowMs: number, count: number): number {
    return Math.max(state, nowMs) + count * this.intervalMs;
  }
}

/** A limit for each of many sources; forgets those that are quiet. */
export class KeyedRateLimit {
  private states = new Map<string, number>();
  private pruneAtSize = MIN_PRUNE_SIZE;

  constructor(private readonly limit: RateLimit) {}

  /** False: one too many from this source. */
  take(key: string, nowMs: number): boolean {
    const state = this.limit.next(this.states.get(key) ?? 0, nowMs);
    if (state === undefined) return false;
    this.states.set(key, state);
    if (this.states.size > this.pruneAtSize) this.prune(nowMs);
    return true;
  }

  private prune(nowMs: number): void {
    for (const [key, state] of this.states) if (state <= nowMs) this.states.delete(key);
    this.pruneAtSize = Math.max(MIN_PRUNE_SIZE, this.states.size * 2);
  }
}

const MIN_PRUNE_SIZE = 1000;
