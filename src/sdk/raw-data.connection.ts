import type { KeyAddress, ServerEvents, SubscriptionRequest } from '../protocol/messages.js';
import { PushConnection } from './connection.js';
import { rawDataEndpoint } from './endpoint.js';
import type { PushMessage, RawDataEvents, RawDatum } from './events.js';
import type { RawDataOptions } from './options.js';
import { PushClientError } from './push-client.error.js';
import { type KeysResult, Subscriptions } from './subscriptions.js';

/** Live values. A loop over it gets them as they come. */
export class RawDataConnection<D = RawDatum> extends PushConnection<RawDataEvents<D>, D> {
  readonly #subscriptions: Subscriptions;

  constructor(options: RawDataOptions) {
    const { url, key } = rawDataEndpoint(options);
    super(url, options);
    this.#subscriptions = new Subscriptions(
      key,
      this.ask,
      (refused) => this.delivery.listeners.emit('refused', refused),
      (error) => this.report(error),
    );
  }

  /**
   * Subscribes to more keys, for this connection and those that follow it. Resolves with the server's answer, which may
   * refuse some (then `refused` is told too); where there is no connection now, with that of the next. Rejects with a
   * PushClientError where a key is malformed, or the connection is closed or stopped.
   */
  subscribe(keys: readonly SubscriptionRequest[]): Promise<KeysResult> {
    return this.#subscriptions.change('subscribe', keys);
  }

  /** As {@link subscribe}, the other way; also for the key of the path. */
  unsubscribe(keys: readonly KeyAddress[]): Promise<KeysResult> {
    return this.#subscriptions.change('unsubscribe', keys);
  }

  /** @internal */
  protected override url(endpoint: string): string {
    return endpoint;
  }

  /** @internal */
  protected override begin(): void {
    this.#subscriptions.resume();
  }

  /** @internal */
  protected override take(message: PushMessage): void {
    if (message.event === 'rawData') this.delivery.deliver(message, message.data as D);
    else this.tell(message);
  }

  /** @internal */
  protected override pause(): void {
    this.#subscriptions.pause();
  }

  /** @internal */
  protected override refreshed({ refused }: ServerEvents['subscribed']): void {
    this.#subscriptions.lose(refused);
  }

  /** @internal */
  protected override end(error = new PushClientError('closed', 'the connection was closed')): void {
    this.#subscriptions.end(error);
  }
}

/** Connects to the raw-data path; throws a TypeError where the options name no server, or there is no WebSocket. */
export function connectRawData<D = RawDatum>(options: RawDataOptions): RawDataConnection<D> {
  return new RawDataConnection<D>(options);
}
