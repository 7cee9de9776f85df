import type { LoggedAlarm } from '../fan-out/alarm.source.js';
import { Batch } from '../fan-out/batch.js';

/** Clients share what is joined of so many alarms, from the same places on. */
const SHARED_ALARMS = 50;

/** Of what clients are sent of it, about. */
export function lengthOf(alarm: LoggedAlarm | undefined): number {
  return alarm?.frame.approximateBytes ?? 0;
}

/** Where clients begin to share, each made when it is first asked for. */
export class SharedRoots {
  private readonly roots = new Map<number, Batch>();

  readonly after = (offset: number): Batch | undefined => {
    if (offset % SHARED_ALARMS !== 0) return undefined;
    const root = this.roots.get(offset) ?? Batch.empty();
    this.roots.set(offset, root);
    return root;
  };
}

/** What one read of the log has given. */
export class Page {
  /** Of the JSON. */
  readonly length: number;
  readonly rootAfter = new SharedRoots().after;

  constructor(
    /** Oldest first. */
    private readonly alarms: readonly LoggedAlarm[],
    /** Up to this offset the log has nothing else. */
    readonly end: number,
  ) {
    this.length = alarms.reduce((sum, alarm) => sum + lengthOf(alarm), 0);
  }

  /** The alarms after the one offset and up to the other. */
  after(offset: number, end: number): readonly LoggedAlarm[] {
    return this.alarms.slice(this.countUpTo(offset), this.countUpTo(end));
  }

  /** Offsets are contiguous as a rule, not where some were removed from the log by hand. */
  private countUpTo(offset: number): number {
    const first = this.alarms[0]?.offset ?? 0;
    const count = Math.max(0, Math.min(this.alarms.length, offset + 1 - first));
    if (count === 0 || this.alarms[count - 1]?.offset === offset) return count;
    const next = this.alarms.findIndex((alarm) => alarm.offset > offset);
    return next === -1 ? this.alarms.length : next;
  }
}
