import { Injectable, Logger } from '@nestjs/common';
import { ConflatingBacklog } from '../fan-out/conflating.backlog.js';
import type { ClientIdentity, ClientOptions } from '../fan-out/client.js';
import { FlushQueue } from '../fan-out/flush-queue.js';
import type { KeyScope } from '../fan-out/key-scope.js';
import { RawDataClient, type RawDataPush, RawDataRouter } from '../fan-out/raw-data.router.js';
import type { Sink } from '../fan-out/sink.js';
import type { KeyAddress, RefusedKey, SubscriptionRequest } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';
import { ClientRegistry } from './client.registry.js';

/** The clients of the raw-data gateway: fresh beats complete, so their outboxes conflate. */
@Injectable()
export class RawDataRegistry extends ClientRegistry<RawDataClient> {
  private readonly router = new RawDataRouter();
  private readonly clientOptions: ClientOptions;

  constructor(
    private readonly options: PushOptions,
    flushQueue: FlushQueue,
  ) {
    super(new Logger(RawDataRegistry.name));
    this.clientOptions = {
      lane: flushQueue.rawData,
      backlogPolicy: { create: (format) => new ConflatingBacklog(format, options) },
      mergesFlushes: options.delivery === 'merge',
      inFlightBytes: options.inFlightBytes,
      maxOutboxBytes: options.maxOutboxBytes,
    };
  }

  /** Offers one push to every client that it matches; returns how many those are. */
  route(push: RawDataPush): number {
    return this.router.route(push);
  }

  /** @internal */
  createClient(
    identity: ClientIdentity,
    sink: Sink,
    address: KeyAddress,
    keyScope: KeyScope | undefined,
  ): RawDataClient {
    return new RawDataClient(identity, sink, this.clientOptions, address, keyScope);
  }

  /** @internal Adds subscriptions; what is refused says why. A key that the client has already stays and is answered. */
  subscribe(
    client: RawDataClient,
    keys: readonly SubscriptionRequest[],
  ): { keys: SubscriptionRequest[]; refused: RefusedKey[] } {
    const subscribed: SubscriptionRequest[] = [];
    const refused: RefusedKey[] = [];
    for (const key of keys) {
      const { businessType, businessId } = key;
      const reason = this.refusalOf(client, key);
      if (reason !== undefined) {
        refused.push({ businessType, businessId, reason });
        continue;
      }
      this.router.subscribe(client, { businessType, businessId });
      subscribed.push(key);
    }
    return { keys: subscribed, refused };
  }

  /** @internal Returns the keys that the client was subscribed to. */
  unsubscribe(client: RawDataClient, keys: readonly KeyAddress[]): KeyAddress[] {
    return keys.filter((key) => this.router.unsubscribe(client, key));
  }

  /** The keys that a client is subscribed to, its path's own first unless it unsubscribed from that. */
  subscriptions(clientId: string): KeyAddress[] {
    const client = this.find(clientId);
    return client === undefined ? [] : this.router.subscriptionsOf(client);
  }

  protected override onRegistered(client: RawDataClient): void {
    this.router.add(client);
  }

  protected override onUnregistered(client: RawDataClient): void {
    this.router.remove(client);
  }

  private refusalOf(client: RawDataClient, key: KeyAddress): RefusedKey['reason'] | undefined {
    if (this.router.isSubscribed(client, key)) return undefined;
    const businessId = key.businessId === '*' ? undefined : key.businessId;
    if (client.keyScope?.covers(key.businessType, businessId) === false) return 'forbidden';
    return this.router.subscriptionCountOf(client) >= this.options.maxSubscriptionsPerClient ? 'limit' : undefined;
  }
}
