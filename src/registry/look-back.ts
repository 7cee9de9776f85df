import type { AlarmEntry, AlarmLog } from '../alarm-log/alarm-log.js';
import type { AlarmAddress } from '../fan-out/alarm.client.js';

/** How far back `replay=<count>` looks for alarms that are for the client. */
const MAX_LOOK_BACK = 10_000;
const PAGE_ALARMS = 200;

/** What an alarm is about, without what it says. */
type SeenAlarm = Pick<AlarmEntry, 'offset' | 'fields'>;

interface SeenPage {
  /** What the log had when it was read; more may have come since. */
  readonly end: number;
  readonly alarms: Promise<readonly SeenAlarm[]>;
}

/** Where the log is. */
export interface LogPlace {
  readonly epoch: string;
  readonly beforeOldest: number;
  readonly head: number;
}

/**
 * Looks back over the newest alarms, for clients that ask for the last so many that are for them. What those are about is
 * kept, some megabytes at most: the log is read once, however many clients connect, and has time to take alarms.
 */
export class LookBack {
  private epoch: string | undefined;
  /** By the offset before them, a multiple of the page's size. */
  private readonly pages = new Map<number, SeenPage>();

  constructor(private readonly log: AlarmLog) {}

  /** The place before the last `count` alarms that are for the client. */
  async placeBefore(count: number, place: LogPlace, accepts: (address: AlarmAddress) => boolean): Promise<number> {
    const { head, beforeOldest } = place;
    const limit = Math.max(beforeOldest, head - MAX_LOOK_BACK);
    this.forget(place.epoch, limit);
    let remaining = count;
    for (let end = head; end > limit;) {
      const start = end - 1 - ((end - 1) % PAGE_ALARMS);
      const page = await this.page(start, end);
      const wanted = page.filter(({ fields, offset }) => offset > limit && offset <= end && accepts(fields));
      const first = wanted.at(-remaining);
      if (first !== undefined) return first.offset - 1;
      remaining -= wanted.length;
      end = start;
    }
    return limit;
  }

  private forget(epoch: string, limit: number): void {
    if (epoch !== this.epoch) this.pages.clear();
    this.epoch = epoch;
    for (const start of this.pages.keys()) if (start + PAGE_ALARMS <= limit) this.pages.delete(start);
  }

  private page(start: number, end: number): Promise<readonly SeenAlarm[]> {
    const kept = this.pages.get(start);
    if (kept !== undefined && kept.end >= end) return kept.alarms;
    const page = { end, alarms: this.readAll(start, end) };
    this.pages.set(start, page);
    page.alarms.catch(() => {
      if (this.pages.get(start) === page) this.pages.delete(start);
    });
    return page.alarms;
  }

  /** One read may be cut short by its bytes. */
  private async readAll(start: number, end: number): Promise<SeenAlarm[]> {
    const alarms: SeenAlarm[] = [];
    for (let after = start; after < end;) {
      const entries = await this.log.read(after, end - after);
      const last = entries.at(-1);
      if (last === undefined) break;
      for (const { offset, fields } of entries) alarms.push({ offset, fields });
      after = last.offset;
    }
    return alarms;
  }
}
