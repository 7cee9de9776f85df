import { Injectable, Logger } from '@nestjs/common';
import { ConflatingBacklog } from '../fan-out/conflating.backlog.js';
import type { ClientIdentity, ClientOptions } from '../fan-out/client.js';
import type { DatumOrigin } from '../fan-out/datum-origin.js';
import { FlushQueue } from '../fan-out/flush-queue.js';
import { Frame } from '../fan-out/frame.js';
import type { KeptValue } from '../fan-out/series-values.js';
import type { Subscription } from '../fan-out/key-index.js';
import type { KeyScope } from '../fan-out/key-scope.js';
import { LastValues } from '../fan-out/last-values.js';
import { RawDataClient, type RawDataPush, RawDataRouter } from '../fan-out/raw-data.router.js';
import type { Sink } from '../fan-out/sink.js';
import { ANY_BUSINESS_ID, type KeyAddress, type RefusedKey, type SubscriptionRequest } from '../protocol/messages.js';
import { stackOf } from '../push.causes.js';
import { type DeliveryFilter, PushOptions } from '../push.options.js';
import type { RawDatum } from '../push.types.js';
import { ClientBudget } from './client.budget.js';
import { clientInfo, ClientRegistry } from './client.registry.js';
import { RawDataCoverage } from './raw-data.coverage.js';
import { Snapshots } from './snapshots.js';

/** So many series that are paced, and so much that waits, are gone through in the time of one key. */
const REPACED_A_KEY = 10;
const WAITING_BYTES_A_KEY = 2048;

/** The clients of the raw-data gateway: fresh beats complete, so their outboxes conflate. */
@Injectable()
export class RawDataRegistry extends ClientRegistry<RawDataClient> {
  private readonly router: RawDataRouter;
  private readonly deliveryFilter: DeliveryFilter | undefined;
  private filterFailureCount = 0;
  private matchCount = 0;
  private readonly clientOptions: ClientOptions;
  private readonly budget: ClientBudget<RawDataClient>;
  private readonly snapshots: Snapshots;

  constructor(
    private readonly options: PushOptions,
    flushQueue: FlushQueue,
    private readonly lastValues: LastValues,
    coverage: RawDataCoverage,
  ) {
    super(new Logger(RawDataRegistry.name));
    this.router = new RawDataRouter(coverage);
    coverage.onNews((address, news) => this.offerNews(address, news));
    this.deliveryFilter = options.deliveryFilter;
    this.budget = new ClientBudget(options);
    this.snapshots = new Snapshots({
      lastValues,
      // Whoever is sent more would be closed for its full outbox, and come back for the same.
      roomBytes: options.maxOutboxBytes / 2,
      compressionThresholdBytes: options.compression?.thresholdBytes,
      mayShow: (client, json) => this.mayShow(client, json),
      offerNow: (client, frame) => this.router.offerNow(client, frame),
    });
    this.clientOptions = {
      lane: flushQueue.rawData,
      backlogPolicy: { create: (encoding) => new ConflatingBacklog(encoding, options, this.totals) },
      mergesFlushes: options.delivery === 'merge',
      inFlightBytes: options.inFlightBytes,
      maxOutboxBytes: options.maxOutboxBytes,
      totals: this.totals,
    };
  }

  /** How often the delivery filter threw; each time a datum was not delivered to one client. */
  get filterFailures(): number {
    return this.filterFailureCount;
  }

  /** @internal How often a client matched a push, from whichever node that came. */
  get matches(): number {
    return this.matchCount;
  }

  /**
   * Offers one push to every client that it matches; returns how many those are. `origin` is absent where there is one node
   * only.
   */
  route(push: RawDataPush, origin?: DatumOrigin): number {
    const matched = this.keep(push, origin) ? this.router.route(push) : 0;
    this.matchCount += matched;
    return matched;
  }

  /** The delivery filter for one datum, or undefined where there is none. One that throws lets nothing through. */
  filterFor(datum: RawDatum): ((client: RawDataClient) => boolean) | undefined {
    const { deliveryFilter } = this;
    if (deliveryFilter === undefined) return undefined;
    return (client) => {
      try {
        const verdict: unknown = deliveryFilter(clientInfo(client), datum);
        // An async filter is a mistake: its promise is no verdict, and its rejection would end the process.
        if (verdict instanceof Promise) verdict.catch((cause: unknown) => this.countFilterFailure(cause));
        return verdict === true;
      } catch (cause) {
        this.countFilterFailure(cause);
        return false;
      }
    };
  }

  /** @internal */
  createClient(
    identity: ClientIdentity,
    sink: Sink,
    address: Subscription,
    keyScope: KeyScope | undefined,
  ): RawDataClient {
    return new RawDataClient(identity, sink, this.clientOptions, address, keyScope);
  }

  /** @internal Counts keys that a client asks for, before they wait for their turn. */
  countKeys(client: RawDataClient, count: number): void {
    this.budget.spend(client, count);
  }

  /** @internal The client asks for too much, see `maxKeysPerSecond`, and nothing more should be done for it. */
  asksTooMuch(client: RawDataClient): boolean {
    return this.budget.isExceeded(client);
  }

  /** @internal The keys that {@link subscribe} would not refuse now, but for the size of their last values. */
  acceptable(client: RawDataClient, keys: readonly SubscriptionRequest[]): SubscriptionRequest[] {
    let room = this.options.maxSubscriptionsPerClient - this.router.subscriptionCountOf(client);
    return keys.filter((key) => this.router.isSubscribed(client, key) || (isCovered(client, key) && (room -= 1) >= 0));
  }

  /** @internal Adds subscriptions; what is refused says why. A key that the client has already stays and is answered. */
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
   * @internal Offers the last values of an address: of each series up to `history`, oldest first, and then whatever is
   * pushed. History beyond half of the outbox's budget is left out, the newest value of a series never is.
   */
  sendSnapshot(client: RawDataClient, address: KeyAddress, history: number): void {
    this.budget.spend(client, this.snapshots.send(client, address, history));
  }

  /** @internal Whether the newest values of an address would take more than half of a client's outbox. */
  isSnapshotTooLarge(request: SubscriptionRequest): boolean {
    return this.snapshots.measure(request).bytes > this.snapshots.roomBytes;
  }

  /** @internal Ends the subscriptions that the client may not have any more; returns what is left and what is not. */
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

  /** @internal Returns the keys that the client was subscribed to. */
  unsubscribe(client: RawDataClient, keys: readonly KeyAddress[]): KeyAddress[] {
    const unsubscribed = keys.filter((key) => this.router.unsubscribe(client, key));
    // Whatever waits for the client is gone through once, where something ends.
    const waitingBytes = unsubscribed.length > 0 ? client.outboxBytes : 0;
    this.budget.spend(client, Math.floor(waitingBytes / WAITING_BYTES_A_KEY));
    this.repace(client);
    return unsubscribed;
  }

  /** The keys that a client is subscribed to, its path's own first unless it unsubscribed from that. */
  subscriptions(clientId: string): Subscription[] {
    const client = this.find(clientId);
    return client === undefined ? [] : this.router.subscriptionsOf(client);
  }

  protected override onRegistered(client: RawDataClient): void {
    this.router.add(client);
  }

  protected override onUnregistered(client: RawDataClient): void {
    this.router.remove(client);
  }

  private repace(client: RawDataClient): void {
    this.budget.spend(client, Math.floor(this.router.repace(client) / REPACED_A_KEY));
  }

  /** False where it came before, or behind a newer value of the same producer. */
  private keep({ frame, businessType, businessId, to }: RawDataPush, origin: DatumOrigin | undefined): boolean {
    const { conflationKey, plainText: json } = frame;
    if (to !== undefined || businessId === undefined || conflationKey === undefined || this.options.history === 0)
      return true;
    return this.lastValues.keep({ businessType, businessId }, { json, conflationKey, origin });
  }

  /** Values that this node had missed of keys that its clients are subscribed to. */
  private offerNews(address: { businessType: string; businessId: string }, news: readonly KeptValue[]): void {
    for (const { json, conflationKey } of news) {
      const frame = Frame.rawData(json, conflationKey, this.options.compression?.thresholdBytes);
      const filter = this.deliveryFilter && this.filterFor(JSON.parse(json) as RawDatum);
      this.router.route({ ...address, frame, filter, to: undefined, except: undefined });
    }
  }

  private mayShow(client: RawDataClient, json: string): boolean {
    if (this.deliveryFilter === undefined) return true;
    return this.filterFor(JSON.parse(json) as RawDatum)?.(client) === true;
  }

  private countFilterFailure(cause: unknown): void {
    // The first failure says what is wrong; a line for each client and datum would drown the log.
    if (this.filterFailureCount === 0) {
      const stack = stackOf(cause);
      this.logger.error('the delivery filter threw, so a datum was not delivered', stack);
    }
    this.filterFailureCount += 1;
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
