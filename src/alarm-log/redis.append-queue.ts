import { reasonOf } from '../push.causes.js';
import { AlarmNotAcceptedError } from '../push.errors.js';
import { isRefusal } from '../redis/redis.errors.js';
import type { AppendReceipt, NewAlarm } from './alarm-log.js';
import { HALF_DONE } from './redis.alarm-log.scripts.js';

/** One script call takes batches until it holds so many alarms or so much JSON; Redis serves nobody else meanwhile. */
const MAX_GROUP_ALARMS = 500;
const MAX_GROUP_LENGTH = 1024 * 1024;
/** JSON that waits, in characters; what comes beyond it is rejected. */
const MAX_WAITING_LENGTH = 64 * 1024 * 1024;

/** What became of one batch of a group; an error where nothing of it was stored. */
export type AppendOutcome = readonly AppendReceipt[] | Error;

export interface AppendQueueOptions {
  /** Appends these batches in one step, each all or nothing. Rejects where the connection is given up, or was lost. */
  readonly store: (batches: readonly (readonly NewAlarm[])[]) => Promise<readonly AppendOutcome[]>;
  /** From the call of `append` to its end. */
  readonly deadlineMs: number;
  /** Why Redis did not take a group, or undefined: it did. */
  readonly onOutcome: (fault: string | undefined) => void;
}

interface WaitingBatch {
  readonly alarms: readonly NewAlarm[];
  /** Of the JSON, in characters. */
  readonly length: number;
  readonly settle: (outcome: AppendOutcome) => void;
  /** When it is given up, of `performance.now()`; the same time after its append for each, so that they come in order. */
  readonly dueMs: number;
  isSettled: boolean;
}

/**
 * What is appended while Redis is busy with a group waits and goes with the next. Nothing waits beyond its deadline, and
 * what was not sent by then is certainly not stored.
 */
export class AppendQueue {
  private waiting: WaitingBatch[] = [];
  private waitingLength = 0;
  private sent: readonly WaitingBatch[] = [];
  /** Until the oldest that waits or was sent is due. */
  private timer: NodeJS.Timeout | undefined;
  private pumping: Promise<void> | undefined;

  constructor(private readonly options: AppendQueueOptions) {}

  /** Rejects with AlarmNotAcceptedError, or with why this batch cannot be stored. */
  append(alarms: readonly NewAlarm[]): Promise<AppendReceipt[]> {
    const length = alarms.reduce((sum, { json }) => sum + json.length, 0);
    if (this.waitingLength + length > MAX_WAITING_LENGTH && this.waiting.length > 0) {
      return Promise.reject(new AlarmNotAcceptedError('rejected', 'too many alarms wait for Redis'));
    }
    return new Promise((resolve, reject) => {
      const batch: WaitingBatch = {
        alarms,
        length,
        settle: (outcome) => (outcome instanceof Error ? reject(outcome) : resolve([...outcome])),
        dueMs: performance.now() + this.options.deadlineMs,
        isSettled: false,
      };
      this.waiting.push(batch);
      this.waitingLength += length;
      if (this.timer === undefined) this.watchOldest();
      this.pumping ??= this.pump();
    });
  }

  /** Resolves when nothing waits any more. */
  async whenIdle(): Promise<void> {
    await this.pumping;
  }

  /** Ends in the same step as it finds nothing more, so no batch falls between. */
  private async pump(): Promise<void> {
    // Whoever appends in this step goes with the first group.
    await Promise.resolve();
    for (let group = this.nextGroup(); group.length > 0; group = this.nextGroup()) {
      this.sent = group;
      await this.send(group);
      this.sent = [];
      this.watchOldest();
    }
    this.pumping = undefined;
  }

  private nextGroup(): WaitingBatch[] {
    let alarms = 0;
    let length = 0;
    const end = this.waiting.findIndex((batch, index) => {
      alarms += batch.alarms.length;
      length += batch.length;
      return index > 0 && (alarms > MAX_GROUP_ALARMS || length > MAX_GROUP_LENGTH);
    });
    return this.takeUntil(end);
  }

  /** -1: all that wait. */
  private takeUntil(end: number): WaitingBatch[] {
    const taken = this.waiting.splice(0, end === -1 ? this.waiting.length : end);
    for (const { length } of taken) this.waitingLength -= length;
    return taken;
  }

  private async send(group: readonly WaitingBatch[]): Promise<void> {
    try {
      const outcomes = await this.options.store(group.map(({ alarms }) => alarms));
      this.options.onOutcome(undefined);
      group.forEach((batch, index) => this.settle(batch, outcomes[index] ?? new Error('Redis did not answer for all')));
    } catch (cause) {
      const why = reasonOf(cause);
      this.options.onOutcome(why);
      const outcome = !why.startsWith(HALF_DONE) && (await isRefusal(cause)) ? 'rejected' : 'unknown';
      this.settleAll(group, new AlarmNotAcceptedError(outcome, why));
    }
  }

  private watchOldest(): void {
    clearTimeout(this.timer);
    const oldest = this.sent.find(({ isSettled }) => !isSettled) ?? this.waiting[0];
    this.timer =
      oldest === undefined ? undefined : setTimeout(() => this.giveUpLate(), oldest.dueMs - performance.now());
  }

  private giveUpLate(): void {
    const nowMs = performance.now();
    const lateSent = this.sent.filter(({ isSettled, dueMs }) => !isSettled && dueMs <= nowMs);
    const lateWaiting = this.takeUntil(this.waiting.findIndex(({ dueMs }) => dueMs > nowMs));
    if (lateSent.length + lateWaiting.length > 0) {
      const why = `Redis did not answer within ${this.options.deadlineMs} ms`;
      this.options.onOutcome(why);
      this.settleAll(lateSent, new AlarmNotAcceptedError('unknown', why));
      this.settleAll(lateWaiting, new AlarmNotAcceptedError('rejected', why));
    }
    this.watchOldest();
  }

  private settleAll(batches: readonly WaitingBatch[], outcome: AppendOutcome): void {
    for (const batch of batches) this.settle(batch, outcome);
  }

  private settle(batch: WaitingBatch, outcome: AppendOutcome): void {
    if (batch.isSettled) return;
    batch.isSettled = true;
    batch.settle(outcome);
  }
}
