import { Inject, Injectable } from '@nestjs/common';
import { ALARM_LOG, type AlarmEntry, type AlarmLog } from '../alarm-log/alarm-log.js';
import { SUBSCRIPTION_STORE, type SubscriptionId, type SubscriptionStore } from '../alarm-log/subscription-store.js';
import type { AlarmAddress, AlarmFilter } from '../fan-out/alarm.client.js';
import type { AlarmStart } from '../fan-out/alarm.feed.js';
import type { LoggedAlarm } from '../fan-out/alarm.source.js';
import { type Cursor, formatCursor } from '../protocol/cursor.js';
import type { ServerEvents } from '../protocol/messages.js';
import { AlarmPages } from './alarm.pages.js';

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

const PAGE_ALARMS = 200;
/** How far back `replay=<count>` looks for alarms that are for the client. */
const MAX_LOOK_BACK = 10_000;

/** Finds the place in the log where a new connection begins. */
@Injectable()
export class AlarmPlaces {
  private memoActive: { head: string; alarms: Promise<LoggedAlarm[]> } | undefined;

  constructor(
    @Inject(ALARM_LOG) private readonly log: AlarmLog,
    @Inject(SUBSCRIPTION_STORE) private readonly subscriptions: SubscriptionStore,
    private readonly pages: AlarmPages,
  ) {}

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
    // Before the conditions are read: what comes in between is live, not one of them.
    const { epoch, head } = this.pages;
    // Read first: what fails after a subscription was taken over would leave it to nobody.
    const active = replay === 'active' ? await this.active() : [];
    let position =
      lastEventId === undefined ? await this.positionOf(replay, head, accepts) : await this.after(lastEventId);
    let subscription: HeldSubscription | undefined;
    if (durable !== undefined) {
      const id = { userName, name: durable };
      const { generation, isNew, cursor } = await this.subscriptions.open(id, { epoch, offset: position.offset });
      subscription = { id, generation, cursor };
      if (!isNew) position = await this.after(cursor);
    }
    const prelude = active.filter(({ offset }) => offset <= position.offset);
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
          ? await this.lookBack(replay, head, beforeOldest, accepts)
          : head;
    return { offset, isResumed: false, gap: undefined };
  }

  /** The place before the last `count` alarms that are for the client. */
  private async lookBack(count: number, head: number, beforeOldest: number, accepts: Accepts): Promise<number> {
    const limit = Math.max(beforeOldest, head - MAX_LOOK_BACK);
    let remaining = count;
    for (let end = head; end > limit; end -= PAGE_ALARMS) {
      const start = Math.max(limit, end - PAGE_ALARMS);
      const page = await this.readAll(start, end);
      const wanted = page.filter(({ fields, offset }) => offset <= end && accepts(fields));
      const first = wanted.at(-remaining);
      if (first !== undefined) return first.offset - 1;
      remaining -= wanted.length;
    }
    return limit;
  }

  /** One read may be cut short by its bytes. */
  private async readAll(start: number, end: number): Promise<AlarmEntry[]> {
    const entries: AlarmEntry[] = [];
    for (let after = start; after < end;) {
      const page = await this.log.read(after, end - after);
      const last = page.at(-1);
      if (last === undefined) break;
      entries.push(...page);
      after = last.offset;
    }
    return entries;
  }

  /** Framed once for all who ask before the next alarm. */
  private active(): Promise<LoggedAlarm[]> {
    const { epoch, newest } = this.log.bounds();
    const head = formatCursor({ epoch, offset: newest });
    if (this.memoActive?.head !== head) {
      const alarms = this.log.active().then((entries) => entries.map((entry) => this.pages.frame(entry)));
      const memo = (this.memoActive = { head, alarms });
      alarms.catch(() => {
        if (this.memoActive === memo) this.memoActive = undefined;
      });
    }
    return this.memoActive.alarms;
  }
}
