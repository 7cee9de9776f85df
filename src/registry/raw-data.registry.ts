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
import { PushOptions } from '../push.options.js';
import { ClientRegistry } from './client.registry.js';
import { GuardedDeliveryFilter } from './guarded.delivery-filter.js';
import { RawDataCoverage } from './raw-data.coverage.js';

/** The clients of the raw-data gateway: fresh beats complete, so their outboxes conflate. */
@Injectable()
export class RawDataRegistry extends ClientRegistry<RawDataClient> {
  private matchCount = 0;
  private readonly clientOptions: ClientOptions;

  constructor(
    private readonly options: PushOptions,
    flushQueue: FlushQueue,
    private readonly lastValues: LastValues,
    private readonly router: RawDataRouter,
    private readonly deliveryFilter: GuardedDeliveryFilter,
    coverage: RawDataCoverage,
  ) {
    super(new Logger(RawDataRegistry.name));
    coverage.onNews((address, news) => this.offerNews(address, news));
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
    return this.deliveryFilter.failures;
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

  /** @internal */
  createClient(
    identity: ClientIdentity,
    sink: Sink,
    address: Subscription,
    keyScope: KeyScope | undefined,
  ): RawDataClient {
    return new RawDataClient(identity, sink, this.clientOptions, address, keyScope);
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
      const filter = this.deliveryFilter.ofJson(json);
      this.router.route({ ...address, frame, filter, to: undefined, except: undefined });
    }
  }
}
