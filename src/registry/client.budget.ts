import { RateLimit } from '../fan-out/rate-limit.js';

/** So many seconds' worth may be asked for at once: whoever connects asks for all that it wants. */
const BURST_S = 40;

export interface ClientBudgetOptions {
  readonly maxKeysPerSecond: number;
  readonly maxSubscriptionsPerClient: number;
}

/** What each client may ask for: keys, and the values that it is sent for them. What that comes to is known afterwards. */
export class ClientBudget<C extends object> {
  private readonly limit: RateLimit;
  private readonly states = new WeakMap<C, number>();

  constructor({ maxKeysPerSecond, maxSubscriptionsPerClient }: ClientBudgetOptions) {
    // Also where that is little, all of it can be subscribed to and changed.
    this.limit = new RateLimit(maxKeysPerSecond, Math.max(BURST_S * maxKeysPerSecond, 2 * maxSubscriptionsPerClient));
  }

  /** Nothing more should be done for it now. */
  isExceeded(client: C): boolean {
    return this.limit.isExceeded(this.states.get(client) ?? 0, performance.now());
  }

  spend(client: C, count: number): void {
    this.states.set(client, this.limit.after(this.states.get(client) ?? 0, performance.now(), count));
  }
}
