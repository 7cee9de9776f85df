import type { KeyAddress } from '../protocol/messages.js';
import { ANY_BUSINESS_ID } from '../protocol/messages.js';
import type { InterestListener } from './interest.js';

interface ClientsOfType<C> {
  /** Subscribed to every businessId of the type. */
  readonly wide: Set<C>;
  readonly byBusinessId: Map<string, Set<C>>;
}

/** A key that a client is subscribed to, and what it asked for. */
export interface Subscription extends KeyAddress {
  /** At most this many values of each series a second; undefined: all of them. */
  readonly maxFrequencyHz?: number | undefined;
}

/**
 * Who subscribed to what. Parts are compared whole. Finding the clients of a push costs one look-up for each way to
 * match and one step a match; clients that do not match cost nothing.
 */
export class KeyIndex<C> {
  private readonly byType = new Map<string, ClientsOfType<C>>();
  private readonly subscriptions = new Map<C, Map<string, Subscription>>();

  /** `interest` is told of each key and type that gets its first client or loses its last one. */
  constructor(private readonly interest?: InterestListener) {}

  /** False where the client has this subscription already; then only what it asks for changes. */
  add(client: C, { businessType, businessId, maxFrequencyHz }: Subscription): boolean {
    const own = this.subscriptions.get(client) ?? new Map<string, Subscription>();
    const id = subscriptionId(businessType, businessId);
    const isNew = !own.has(id);
    own.set(id, { businessType, businessId, ...(maxFrequencyHz === undefined ? {} : { maxFrequencyHz }) });
    if (!isNew) return false;
    this.subscriptions.set(client, own);
    const clients = this.setFor(businessType, businessId);
    clients.add(client);
    if (clients.size === 1) this.interest?.gained({ kind: 'key', businessType, businessId });
    return true;
  }

  /** False where the client had no such subscription. */
  remove(client: C, { businessType, businessId }: KeyAddress): boolean {
    const own = this.subscriptions.get(client);
    if (own?.delete(subscriptionId(businessType, businessId)) !== true) return false;
    if (own.size === 0) this.subscriptions.delete(client);
    this.removeFromType(client, businessType, businessId);
    return true;
  }

  removeAll(client: C): void {
    for (const { businessType, businessId } of this.subscriptions.get(client)?.values() ?? []) {
      this.removeFromType(client, businessType, businessId);
    }
    this.subscriptions.delete(client);
  }

  has(client: C, { businessType, businessId }: KeyAddress): boolean {
    return this.subscriptions.get(client)?.has(subscriptionId(businessType, businessId)) ?? false;
  }

  subscriptionsOf(client: C): Subscription[] {
    return [...(this.subscriptions.get(client)?.values() ?? [])];
  }

  countOf(client: C): number {
    return this.subscriptions.get(client)?.size ?? 0;
  }

  /** Subscribed to exactly this address. */
  exact(businessType: string, businessId: string): ReadonlySet<C> | undefined {
    return this.byType.get(businessType)?.byBusinessId.get(businessId);
  }

  /** Subscribed to the whole type. */
  wide(businessType: string): ReadonlySet<C> | undefined {
    return this.byType.get(businessType)?.wide;
  }

  /** Every set of clients that subscribed to something of the type; a client may be in several. */
  *ofType(businessType: string): Generator<ReadonlySet<C>> {
    const clients = this.byType.get(businessType);
    if (clients === undefined) return;
    yield clients.wide;
    yield* clients.byBusinessId.values();
  }

  /** Whether a push to the address reaches the client; without a businessId: to anything of the type. */
  matches(client: C, businessType: string, businessId: string | undefined): boolean {
    const own = this.subscriptions.get(client);
    if (own === undefined) return false;
    if (own.has(subscriptionId(businessType, ANY_BUSINESS_ID))) return true;
    if (businessId !== undefined) return own.has(subscriptionId(businessType, businessId));
    for (const subscription of own.values()) if (subscription.businessType === businessType) return true;
    return false;
  }

  /** How far apart values of a series go to the client, by the fastest of its subscriptions that match; 0: all of them. */
  intervalMs(client: C, businessType: string, businessId: string): number {
    const own = this.subscriptions.get(client);
    const exact = own?.get(subscriptionId(businessType, businessId));
    const wide = own?.get(subscriptionId(businessType, ANY_BUSINESS_ID));
    return Math.min(subscriptionIntervalMs(exact), subscriptionIntervalMs(wide));
  }

  /** Number of types known; 0 when the last client is gone. */
  get typeCount(): number {
    return this.byType.size;
  }

  private setFor(businessType: string, businessId: string): Set<C> {
    let clients = this.byType.get(businessType);
    if (clients === undefined) {
      clients = { wide: new Set(), byBusinessId: new Map() };
      this.byType.set(businessType, clients);
      this.interest?.gained({ kind: 'type', businessType });
    }
    if (businessId === ANY_BUSINESS_ID) return clients.wide;
    let ofId = clients.byBusinessId.get(businessId);
    if (ofId === undefined) {
      ofId = new Set();
      clients.byBusinessId.set(businessId, ofId);
    }
    return ofId;
  }

  private removeFromType(client: C, businessType: string, businessId: string): void {
    const clients = this.byType.get(businessType);
    if (clients === undefined) return;
    const ofId = businessId === ANY_BUSINESS_ID ? clients.wide : clients.byBusinessId.get(businessId);
    ofId?.delete(client);
    if (ofId?.size === 0) {
      clients.byBusinessId.delete(businessId);
      this.interest?.lost({ kind: 'key', businessType, businessId });
    }
    if (clients.wide.size > 0 || clients.byBusinessId.size > 0) return;
    this.byType.delete(businessType);
    this.interest?.lost({ kind: 'type', businessType });
  }
}

/** Parts hold no control characters, so NUL separates. */
function subscriptionId(businessType: string, businessId: string): string {
  return `${businessType}\0${businessId}`;
}

function subscriptionIntervalMs(subscription: Subscription | undefined): number {
  if (subscription === undefined) return Infinity;
  return subscription.maxFrequencyHz === undefined ? 0 : 1000 / subscription.maxFrequencyHz;
}
