import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { ALARM_LOG, type AlarmLog } from '../alarm-log/alarm-log.js';
import {
  SUBSCRIPTION_STORE,
  type SubscriptionId,
  subscriptionKey,
  type SubscriptionStore,
} from '../alarm-log/subscription-store.js';
import { CLUSTER, type Cluster, type ClusterCommand, type ClusterQuestion } from '../bus/cluster.js';
import type { AlarmClient } from '../fan-out/alarm.client.js';
import { CloseCodes } from '../protocol/close-codes.js';
import { type Cursor, formatCursor } from '../protocol/cursor.js';
import { CLOCK, type Clock } from '../push.clock.js';
import { PushOptions } from '../push.options.js';
import { AcknowledgementSaves, type Held, type Progress } from './acknowledgement.saves.js';
import type { HeldSubscription } from './alarm.places.js';
import { FaultReporter } from './fault.reporter.js';

/** A durable subscription, as an application sees it. */
export interface SubscriptionInfo {
  /** The principal's; empty: anonymous. */
  readonly userName: string;
  readonly name: string;
  /** Everything up to here was acknowledged. */
  readonly cursor: string;
  /** Alarms of the log, for this client or not, that were not acknowledged. */
  readonly behind: number;
  /** Last connection, acknowledgement or disconnection. */
  readonly lastSeenAt: Date;
  /** Whether it is connected, to whichever node; a node that does not answer in time is taken for one that does not have it. */
  readonly isConnected: boolean;
}

type HeldElsewhere = SubscriptionId & Pick<HeldSubscription, 'generation'>;

/** The connections of these are the teller's, unless somebody has a later one. */
const HELD: ClusterCommand<readonly HeldElsewhere[]> = { name: 'subscriptionsHeld' };
const DELETED: ClusterCommand<SubscriptionId> = { name: 'subscriptionDeleted' };
const WHICH_ARE_HELD: ClusterQuestion<null, readonly SubscriptionId[]> = { name: 'whichSubscriptionsAreHeld' };

const TOLD_AT_ONCE = 500;
const EXPIRE_EVERY_MS = 10 * 60_000;

/** Which connection holds which durable subscription, on all nodes one, and how far its client has acknowledged. */
@Injectable()
export class DurableSubscriptions implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(DurableSubscriptions.name);
  private readonly faults = new FaultReporter(this.logger);
  private readonly byId = new Map<string, Held>();
  private readonly byClient = new Map<AlarmClient, Held>();
  private timer: NodeJS.Timeout | undefined;
  private stops: (() => void)[] = [];
  private epoch: string;
  /** Epochs that have ended while this node runs: what is acknowledged there is on its way too late, and no fault. */
  private readonly endedEpochs = new Set<string>();
  private readonly saves: AcknowledgementSaves;

  constructor(
    @Inject(SUBSCRIPTION_STORE) private readonly subscriptions: SubscriptionStore,
    @Inject(ALARM_LOG) private readonly log: AlarmLog,
    @Inject(CLUSTER) private readonly cluster: Cluster,
    private readonly options: PushOptions,
    @Inject(CLOCK) private readonly now: Clock,
  ) {
    this.epoch = log.bounds().epoch;
    this.saves = new AcknowledgementSaves(subscriptions, this.faults, (client) => this.byClient.has(client));
  }

  onApplicationBootstrap(): void {
    this.epoch = this.log.bounds().epoch;
    this.timer = setInterval(() => void this.expire(), EXPIRE_EVERY_MS);
    this.timer.unref();
    this.stops = [
      this.cluster.onTold(HELD, (held) => this.giveWay(held)),
      this.cluster.onTold(DELETED, (id) => this.closeDeleted(id)),
      this.cluster.onAsked(WHICH_ARE_HELD, () => [...this.byId.values()].map(({ id }) => id)),
      // Who took something over meanwhile was not heard, and was told nothing.
      this.cluster.onReturned(() => this.tellHeld([...this.byId.values()])),
    ];
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
    for (const stop of this.stops) stop();
    this.saves.end();
  }

  /** The latest connection has the subscription; an older one is closed. */
  hold(client: AlarmClient, subscription: HeldSubscription): void {
    const { id, generation } = subscription;
    const held = { ...subscription, client, progress: this.newProgress() };
    this.byClient.set(client, held);
    // The log may have begun anew since it was opened.
    if (subscription.cursor.epoch !== held.progress.epoch) this.saves.restore(held, subscription.cursor);
    const other = this.byId.get(subscriptionKey(id));
    if (other !== undefined && other.generation > generation) {
      client.close(CloseCodes.takenOver);
      return;
    }
    this.byId.set(subscriptionKey(id), held);
    other?.client.close(CloseCodes.takenOver);
    this.tellHeld([held]);
  }

  release(client: AlarmClient): void {
    const held = this.byClient.get(client);
    if (held === undefined) return;
    this.byClient.delete(client);
    if (this.byId.get(subscriptionKey(held.id)) === held) this.byId.delete(subscriptionKey(held.id));
    this.saves.touch(held);
  }

  /** What is wrong with an acknowledgement, or undefined: it is on its way to the store. */
  acknowledge(client: AlarmClient, { epoch, offset }: Cursor): 'notDurable' | 'ackAhead' | undefined {
    const held = this.byClient.get(client);
    if (held === undefined) return 'notDurable';
    const { progress } = held;
    if (epoch !== progress.epoch) return this.endedEpochs.has(epoch) ? undefined : 'ackAhead';
    if (!client.hasBeenTold(offset)) return 'ackAhead';
    if (offset <= progress.acknowledged) return undefined;
    progress.acknowledged = offset;
    this.saves.save(held);
    return undefined;
  }

  /** The log has begun anew: acknowledgements do too. */
  beginAnew(): void {
    this.endedEpochs.add(this.epoch);
    this.epoch = this.log.bounds().epoch;
    for (const held of this.byClient.values()) {
      const { epoch, saved } = held.progress;
      held.progress = this.newProgress();
      // Where the log has lost alarms, the store may have lost the subscription: whoever comes back to it has to hear of that.
      this.saves.restore(held, saved > 0 ? { epoch, offset: saved } : held.cursor);
    }
  }

  /** Resolves once nothing is on its way to the store. */
  whenSaved(): Promise<void> {
    return this.saves.whenSaved();
  }

  async list(): Promise<SubscriptionInfo[]> {
    const { epoch, newest, oldest } = this.log.bounds();
    const [stored, heldElsewhere] = await Promise.all([this.subscriptions.list(), this.heldElsewhere()]);
    const isConnected = (key: string) => this.byId.has(key) || heldElsewhere.has(key);
    return stored.map(({ userName, name, cursor, lastSeenMs }) => ({
      userName,
      name,
      cursor: formatCursor(cursor),
      behind: Math.max(0, newest - (cursor.epoch === epoch ? cursor.offset : oldest - 1)),
      lastSeenAt: new Date(lastSeenMs),
      isConnected: isConnected(subscriptionKey({ userName, name })),
    }));
  }

  /** False where there is none. A connection that has it is closed, on whichever node. */
  async delete(id: SubscriptionId): Promise<boolean> {
    const isDeleted = await this.subscriptions.delete(id);
    if (isDeleted) {
      this.closeDeleted(id);
      this.cluster.tell(DELETED, id);
    }
    return isDeleted;
  }

  private closeDeleted(id: SubscriptionId): void {
    this.byId.get(subscriptionKey(id))?.client.close(CloseCodes.forbidden);
  }

  private tellHeld(held: readonly Held[]): void {
    for (let start = 0; start < held.length; start += TOLD_AT_ONCE) {
      const some = held.slice(start, start + TOLD_AT_ONCE).map(({ id, generation }) => ({ ...id, generation }));
      this.cluster.tell(HELD, some);
    }
  }

  /** The later opening counts. Who told of an earlier one has not heard of ours. */
  private giveWay(heldElsewhere: readonly HeldElsewhere[]): void {
    const later: Held[] = [];
    for (const { generation, ...id } of heldElsewhere) {
      const own = this.byId.get(subscriptionKey(id));
      if (own === undefined) continue;
      if (own.generation < generation) own.client.close(CloseCodes.takenOver);
      else if (own.generation > generation) later.push(own);
    }
    this.tellHeld(later);
  }

  private async heldElsewhere(): Promise<Set<string>> {
    const others = (await this.cluster.nodes()).filter(({ nodeId }) => nodeId !== this.cluster.nodeId);
    const answers = await Promise.all(others.map(({ nodeId }) => this.cluster.ask(nodeId, WHICH_ARE_HELD, null)));
    return new Set(answers.flatMap((ids = []) => ids.map(subscriptionKey)));
  }

  private newProgress(): Progress {
    return { epoch: this.epoch, acknowledged: 0, saved: 0, isSaving: false };
  }

  private async expire(): Promise<void> {
    try {
      // Lest one that is connected and quiet seem unused, should this process end without a word.
      await Promise.all([...this.byId.values()].map(({ id, generation }) => this.subscriptions.touch(id, generation)));
      const beforeMs = this.now() - this.options.durableTtlHours * 3_600_000;
      const count = await this.subscriptions.expire(beforeMs, (id) => this.byId.has(subscriptionKey(id)));
      this.faults.succeeded('expire durable subscriptions');
      if (count > 0) this.logger.log(`${count} durable subscriptions expired`);
    } catch (cause) {
      this.faults.failed('expire durable subscriptions', cause);
    }
  }
}
