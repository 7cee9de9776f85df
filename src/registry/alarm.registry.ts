import { Injectable, Logger } from '@nestjs/common';
import { AlarmClient, type AlarmClientOptions, type AlarmSubscription } from '../fan-out/alarm.client.js';
import type { LoggedAlarm } from '../fan-out/alarm.source.js';
import type { ClientIdentity } from '../fan-out/client.js';
import { FlushQueue } from '../fan-out/flush-queue.js';
import type { Sink } from '../fan-out/sink.js';
import { PushOptions } from '../push.options.js';
import type { SubscriptionId } from '../alarm-log/subscription-store.js';
import type { Cursor } from '../protocol/cursor.js';
import { AlarmPages } from './alarm.pages.js';
import type { HeldSubscription } from './alarm.places.js';
import { DurableSubscriptions, type SubscriptionInfo } from './durable.subscriptions.js';
import { ClientRegistry } from './client.registry.js';

/** The clients of the alarm gateway: complete beats fresh, so one that is behind is fed from the log. */
@Injectable()
export class AlarmRegistry extends ClientRegistry<AlarmClient> {
  private readonly clientOptions: AlarmClientOptions;

  constructor(
    { inFlightBytes, maxOutboxBytes }: PushOptions,
    flushQueue: FlushQueue,
    source: AlarmPages,
    private readonly durable: DurableSubscriptions,
  ) {
    super(new Logger(AlarmRegistry.name));
    const { alarms: lane, catchUp: catchUpLane } = flushQueue;
    this.clientOptions = { lane, catchUpLane, inFlightBytes, maxOutboxBytes, source, totals: this.totals };
  }

  /** Offers the newest alarm of the log to every client. */
  route(alarm: LoggedAlarm): void {
    for (const client of this.all()) client.offerAlarm(alarm);
  }

  /** @internal The log has a gap behind its head: every client reads on from there, and is told. */
  fallBehind(): void {
    for (const client of this.all()) client.fallBehind();
  }

  /** @internal The log has begun anew: every client is told, and goes on there. */
  beginAnew(): void {
    this.durable.beginAnew();
    for (const client of this.all()) client.beginAnew();
  }

  /**
   * The durable subscriptions of all users, connected or not: an application can notify whoever is behind. With Redis those of
   * all nodes.
   */
  subscriptions(): Promise<SubscriptionInfo[]> {
    return this.durable.list();
  }

  /** Forgets a durable subscription and closes its connection (4403), on whichever node. False where there is none. */
  deleteSubscription(id: SubscriptionId): Promise<boolean> {
    return this.durable.delete(id);
  }

  /** @internal Undefined: the acknowledgement is on its way to the store. */
  acknowledge(client: AlarmClient, cursor: Cursor): 'notDurable' | 'ackAhead' | undefined {
    return this.durable.acknowledge(client, cursor);
  }

  /** @internal Resolves once the acknowledgements that were taken are in the store, or cannot be now. */
  whenSaved(): Promise<void> {
    return this.durable.whenSaved();
  }

  /** @internal The connection of a durable subscription takes over from an earlier one. */
  hold(client: AlarmClient, subscription: HeldSubscription): void {
    this.durable.hold(client, subscription);
  }

  /** @internal */
  createClient(identity: ClientIdentity, sink: Sink, subscription: AlarmSubscription): AlarmClient {
    return new AlarmClient(identity, sink, this.clientOptions, subscription);
  }

  protected override onRegistered(): void {}

  protected override onUnregistered(client: AlarmClient): void {
    this.durable.release(client);
  }
}
