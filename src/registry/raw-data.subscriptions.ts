import { Injectable } from '@nestjs/common';
import { LastValues } from '../fan-out/last-values.js';
import { type RawDataClient, RawDataRouter } from '../fan-out/raw-data.router.js';
import { ANY_BUSINESS_ID, type KeyAddress, type RefusedKey, type SubscriptionRequest } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';
import { ClientBudget } from './client.budget.js';
import { GuardedDeliveryFilter } from './guarded.delivery-filter.js';
import { Snapshots } from './snapshots.js';

/** So many series that are paced, and so much that waits, are gone through in the time of one key. */
const REPACED_A_KEY = 10;
const WAITING_BYTES_A_KEY = 2048;

/** What the clients of the raw-data gateway ask for: keys and their last values, as far as they may and within their budget. */
@Injectable()
export class RawDataSubscriptions {
  private readonly budget: ClientBudget<RawDataClient>;
  private readonly snapshots: Snapshots;

  constructor(
    private readonly options: PushOptions,
    private readonly router: RawDataRouter,
    lastValues: LastValues,
    deliveryFilter: GuardedDeliveryFilter,
  ) {
    this.budget = new ClientBudget(options);
    this.snapshots = new Snapshots({
      lastValues,
      // Whoever is sent more would be closed for its full outbox, and come back for the same.
      roomBytes: options.maxOutboxBytes / 2,
      compressionThresholdBytes: options.compression?.thresholdBytes,
      mayShow: (client, json) => deliveryFilter.ofJson(json)?.(client) ?? true,
      offerNow: (client, frame) => router.offerNow(client, frame),
    });
  }

  /** Counts keys that a client asks for, before they wait for their turn. */
  countKeys(client: RawDataClient, count: number): void {
    this.budget.spend(client, count);
  }

  /** The client asks for too much, see `maxKeysPerSecond`, and nothing more should be done for it. */
  asksTooMuch(client: RawDataClient): boolean {
    return this.budget.isExceeded(client);
  }

  /** The keys that {@link subscribe} would not refuse now, but for the size of their last values. */
  acceptable(client: RawDataClient, keys: readonly SubscriptionRequest[]): SubscriptionRequest[] {
    let room = this.options.maxSubscriptionsPerClient - this.router.subscriptionCountOf(client);
    return keys.filter((key) => this.router.isSubscribed(client, key) || (isCovered(client, key) && (room -= 1) >= 0));
  }

  /** Adds subscriptions; what is refused says why. A key that the client has already stays and is answered. */
  subscribe(
    client: RawDataClient,
    keys: readonly SubscriptionRequest[],
  ): { keys: SubscriptionRequest[]; refused: RefusedKey[] } {
    const subscribed: SubscriptionRequest[] = [];
    const refused: RefusedKey[] = [];
    // The snapshots of one message are offered together, so they share the room that there is.
    let { roomBytes } = this.snapshots;
    let seriesCount = 0;
    for (const key of keys) {
      const { businessType, businessId, maxFrequencyHz } = key;
      const snapshot = this.snapshots.measure(key, roomBytes);
      seriesCount += snapshot.seriesCount;
      const reason = snapshot.bytes > roomBytes ? 'tooLarge' : this.refusalOf(client, key);
      if (reason !== undefined) {
        refused.push({ businessType, businessId, reason });
        continue;
      }
      roomBytes -= snapshot.bytes;
      this.router.subscribe(client, { businessType, businessId, maxFrequencyHz });
      subscribed.push(key);
    }
    this.budget.spend(client, seriesCount);
    this.repace(client);
    return { keys: subscribed, refused };
  }

  /**
   * Offers the last values of an address: of each series up to `history`, oldest first, and then whatever is pushed.
   * History beyond half of the outbox's budget is left out, the newest value of a series never is.
   */
  sendSnapshot(client: RawDataClient, address: KeyAddress, history: number): void {
    this.budget.spend(client, this.snapshots.send(client, address, history));
  }

  /** Whether the newest values of an address would take more than half of a client's outbox. */
  isSnapshotTooLarge(request: SubscriptionRequest): boolean {
    return this.snapshots.measure(request).bytes > this.snapshots.roomBytes;
  }

  /** Ends the subscriptions that the client may not have any more; returns what is left and what is not. */
  recheck(client: RawDataClient): { keys: SubscriptionRequest[]; refused: RefusedKey[] } {
    const all = this.router.subscriptionsOf(client);
    const lost = all.filter((key) => !isCovered(client, key));
    for (const key of lost) this.router.unsubscribe(client, key);
    this.repace(client);
    return {
      keys: all.filter((key) => !lost.includes(key)),
      refused: lost.map(({ businessType, businessId }) => ({ businessType, businessId, reason: 'forbidden' })),
    };
  }

  /** Returns the keys that the client was subscribed to. */
  unsubscribe(client: RawDataClient, keys: readonly KeyAddress[]): KeyAddress[] {
    const unsubscribed = keys.filter((key) => this.router.unsubscribe(client, key));
    // Whatever waits for the client is gone through once, where something ends.
    const waitingBytes = unsubscribed.length > 0 ? client.outboxBytes : 0;
    this.budget.spend(client, Math.floor(waitingBytes / WAITING_BYTES_A_KEY));
    this.repace(client);
    return unsubscribed;
  }

  private repace(client: RawDataClient): void {
    this.budget.spend(client, Math.floor(this.router.repace(client) / REPACED_A_KEY));
  }

  private refusalOf(client: RawDataClient, key: SubscriptionRequest): RefusedKey['reason'] | undefined {
    if (this.router.isSubscribed(client, key)) return undefined;
    if (!isCovered(client, key)) return 'forbidden';
    return this.router.subscriptionCountOf(client) >= this.options.maxSubscriptionsPerClient ? 'limit' : undefined;
  }
}

function isCovered({ keyScope }: RawDataClient, { businessType, businessId }: KeyAddress): boolean {
  return (
    keyScope === undefined || keyScope.covers(businessType, businessId === ANY_BUSINESS_ID ? undefined : businessId)
  );
}
