import { Inject, Injectable } from '@nestjs/common';
import { ALARM_LOG, type AlarmLog } from '../alarm-log/alarm-log.js';
import { SUBSCRIPTION_STORE, type SubscriptionId, type SubscriptionStore } from '../alarm-log/subscription-store.js';
import type { AlarmAddress, AlarmFilter } from '../fan-out/alarm.client.js';
import type { AlarmStart } from '../fan-out/alarm.feed.js';
import { type Cursor, formatCursor } from '../protocol/cursor.js';
import type { ServerEvents } from '../protocol/messages.js';
import { ActiveAlarms } from './active.alarms.js';
import { AlarmPages } from './alarm.pages.js';
import { LookBack } from './look-back.js';

/** What a client asks for when it connects. */
export interface AlarmRequest {
  readonly filter: AlarmFilter;
  /** Go on after this alarm. */
  readonly lastEventId: Cursor | undefined;
  /** Begin with all alarms there are, with the last so many, or with the conditions that still hold. */
  readonly replay: 'all' | 'active' | number | undefined;
  /** Name of a durable subscription, whose place the server keeps. */
  readonly durable: string | undefined;
}

export interface HeldSubscription {
  readonly id: SubscriptionId;
  readonly generation: number;
  /** Where it was when it was opened. */
  readonly cursor: Cursor;
}

/** Where a connection's alarms begin, and what it is told about that. */
export interface AlarmPlace {
  readonly start: AlarmStart;
  readonly ready: { readonly cursor: string; readonly resumed: boolean };
  readonly gap: ServerEvents['gap'] | undefined;
  /** The durable subscription that this connection has taken over. */
  readonly subscription: HeldSubscription | undefined;
}

interface Position {
  readonly offset: number;
  readonly isResumed: boolean;
  readonly gap: ServerEvents['gap'] | undefined;
}

type Accepts = (address: AlarmAddress) => boolean;

/** Finds the place in the log where a new connection begins. */
@Injectable()
export class AlarmPlaces {
  private readonly active: ActiveAlarms;
  private readonly lookBack: LookBack;

  constructor(
    @Inject(ALARM_LOG) private readonly log: AlarmLog,
    @Inject(SUBSCRIPTION_STORE) private readonly subscriptions: SubscriptionStore,
    private readonly pages: AlarmPages,
  ) {
    this.active = new ActiveAlarms(log, pages);
    this.lookBack = new LookBack(log);
  }

  /** Throws SubscriptionLimitError where {@link find} would, without taking anything over. */
  async check({ durable }: AlarmRequest, userName: string): Promise<void> {
    if (durable !== undefined) await this.subscriptions.check({ userName, name: durable });
  }

  /** Takes a durable subscription over. Throws SubscriptionLimitError. */
  async find(request: AlarmRequest, userName: string, accepts: Accepts): Promise<AlarmPlace> {
    for (;;) {
      const { epoch } = this.pages;
      const place = await this.findNow(request, userName, accepts);
      // What was read in between may be of one epoch or the other.
      if (epoch === this.pages.epoch) return place;
    }
  }

  private async findNow(
    { lastEventId, replay, durable }: AlarmRequest,
    userName: string,
    accepts: Accepts,
  ): Promise<AlarmPlace> {
    // Read first: what fails after a subscription was taken over would leave it to nobody.
    const held = replay === 'active' ? await this.active.held() : undefined;
    const { epoch, head } = held ?? this.pages;
    let position =
      lastEventId === undefined ? await this.positionOf(replay, head, accepts) : await this.after(lastEventId);
    let subscription: HeldSubscription | undefined;
    if (durable !== undefined) {
      const id = { userName, name: durable };
      const { generation, isNew, cursor } = await this.subscriptions.open(id, { epoch, offset: position.offset });
      subscription = { id, generation, cursor };
      if (!isNew) position = await this.after(cursor);
    }
    const prelude = (held?.alarms ?? []).filter(({ offset }) => offset <= position.offset);
    // Never ahead of what was delivered: whoever goes away before the first alarm is to find it again.
    const readyOffset = Math.min(position.offset, (prelude[0]?.offset ?? Infinity) - 1);
    return {
      start: { epoch, position: position.offset, prelude },
      ready: { cursor: formatCursor({ epoch, offset: readyOffset }), resumed: position.isResumed },
      gap: position.gap,
      subscription,
    };
  }

  private async after(cursor: Cursor): Promise<Position> {
    // It may come from another node, that has heard more than this one.
    if (this.pages.resume(cursor).gap !== undefined) await this.log.refresh();
    const { offset, gap } = this.pages.resume(cursor);
    return { offset, isResumed: gap === undefined, gap };
  }

  private async positionOf(replay: AlarmRequest['replay'], head: number, accepts: Accepts): Promise<Position> {
    const beforeOldest = this.log.bounds().oldest - 1;
    const offset =
      replay === 'all'
        ? beforeOldest
        : typeof replay === 'number'
          ? await this.lookBack.placeBefore(replay, { epoch: this.pages.epoch, head, beforeOldest }, accepts)
          : head;
    return { offset, isResumed: false, gap: undefined };
  }
}
