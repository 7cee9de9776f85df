import { setTimeout as sleep } from 'node:timers/promises';
import type { AlarmLog } from '../alarm-log/alarm-log.js';
import type { LoggedAlarm } from '../fan-out/alarm.source.js';
import { formatCursor } from '../protocol/cursor.js';
import type { AlarmPages } from './alarm.pages.js';

/** Between two reads there is a rest of so many times what the last one took. */
const REST = 4;

/** The newest event of each condition that holds. */
export interface HeldConditions {
  readonly epoch: string;
  /** What comes behind it is live. */
  readonly head: number;
  readonly alarms: readonly LoggedAlarm[];
}

/**
 * The conditions that hold, for clients that begin with them: read and framed once for all who ask before the next alarm.
 * Where there are thousands, and clients connect while alarms come, the log is not read all the time: who asks meanwhile
 * waits for the next read, and shares it.
 */
export class ActiveAlarms {
  /** The end of the log when it was read last, and what that gave. */
  private latest: { readonly end: string; readonly alarms: readonly LoggedAlarm[] } | undefined;
  private next: Promise<HeldConditions> | undefined;
  private rested: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly log: AlarmLog,
    private readonly pages: AlarmPages,
  ) {}

  async held(): Promise<HeldConditions> {
    const { epoch, head } = this.pages;
    if (this.latest?.end === this.end) return { epoch, head, alarms: this.latest.alarms };
    this.next ??= this.readRested();
    return this.next;
  }

  private readRested(): Promise<HeldConditions> {
    let tookMs = 0;
    const reading = this.rested.then(async () => {
      this.next = undefined;
      const startMs = performance.now();
      try {
        return await this.read();
      } finally {
        tookMs = performance.now() - startMs;
      }
    });
    const rest = () => sleep(REST * tookMs, undefined, { ref: false });
    this.rested = reading.then(rest, rest);
    return reading;
  }

  private async read(): Promise<HeldConditions> {
    // Before the conditions are read: what comes in between is live, not one of them.
    const { epoch, head } = this.pages;
    const { end } = this;
    const entries = await this.log.active();
    const alarms = entries.map((entry) => this.pages.frame(entry));
    this.latest = { end, alarms };
    return { epoch, head, alarms };
  }

  private get end(): string {
    const { epoch, newest } = this.log.bounds();
    return formatCursor({ epoch, offset: newest });
  }
}
