import type { Frame } from './frame.js';

interface PacedSeries {
  dueAtMs: number;
  intervalMs: number;
  /** The newest value since the last one that went on. */
  waiting: Frame | undefined;
}

/**
 * Lets at most so many values of each series a second through to one client; in between the newest replaces the one
 * that waits (the sampling interval of OPC UA Part 4, 5.12.1.2). The last value of a series always goes out.
 */
export class RateGate {
  private readonly bySeries = new Map<string, PacedSeries>();

  constructor(
    private readonly pass: (frame: Frame) => void,
    private readonly clock: RateClock,
  ) {}

  /** Nothing waits and nothing is paced. */
  get isIdle(): boolean {
    return this.bySeries.size === 0;
  }

  /** `intervalMs` 0: passes at once, and whatever waits of its series is out of date. */
  offer(frame: Frame, intervalMs: number, nowMs: number): void {
    const { conflationKey } = frame;
    const series = conflationKey === undefined ? undefined : this.bySeries.get(conflationKey);
    if (conflationKey === undefined || intervalMs === 0) {
      if (series !== undefined) series.waiting = undefined;
      this.pass(frame);
      return;
    }
    if (series !== undefined && nowMs < series.dueAtMs) {
      series.waiting = frame;
      series.intervalMs = intervalMs;
      return;
    }
    this.bySeries.set(conflationKey, { dueAtMs: nextDueMs(series, intervalMs, nowMs), intervalMs, waiting: undefined });
    this.pass(frame);
    this.clock.watch(this);
  }

  /** Passes on what is due and forgets what is quiet. */
  release(nowMs: number): void {
    for (const [key, series] of this.bySeries) {
      if (nowMs < series.dueAtMs) continue;
      if (series.waiting === undefined) {
        this.bySeries.delete(key);
        continue;
      }
      this.pass(series.waiting);
      series.waiting = undefined;
      series.dueAtMs = nextDueMs(series, series.intervalMs, nowMs);
    }
  }

  /** Passes on everything that waits, due or not. */
  releaseAll(): void {
    for (const { waiting } of this.bySeries.values()) if (waiting !== undefined) this.pass(waiting);
    this.bySeries.clear();
  }

  /** The rates were changed: they count from the last value that passed, and what is due by them passes on at once. */
  repace(intervalMsOf: (conflationKey: string) => number, nowMs: number): void {
    for (const [key, series] of this.bySeries) {
      const intervalMs = intervalMsOf(key);
      series.dueAtMs += intervalMs - series.intervalMs;
      series.intervalMs = intervalMs;
    }
    this.release(nowMs);
  }

  /** Drops what waits of the series that are no longer wanted. */
  retain(isWanted: (conflationKey: string) => boolean): void {
    for (const key of this.bySeries.keys()) if (!isWanted(key)) this.bySeries.delete(key);
  }

  clear(): void {
    this.bySeries.clear();
  }
}

/** From when the last one was due, not from when it came: lateness of the clock or the source must not lower the rate. */
function nextDueMs(series: PacedSeries | undefined, intervalMs: number, nowMs: number): number {
  const isLateByLess = series !== undefined && nowMs - series.dueAtMs < intervalMs;
  return (isLateByLess ? series.dueAtMs : nowMs) + intervalMs;
}

/** How late a paced value may be. */
const TICK_MS = 10;

/** One timer for all gates; runs only while some gate paces something. */
export class RateClock {
  private readonly watched = new Set<RateGate>();
  private timer: NodeJS.Timeout | undefined;

  watch(gate: RateGate): void {
    this.watched.add(gate);
    this.timer ??= setInterval(() => this.tick(performance.now()), TICK_MS);
  }

  close(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.watched.clear();
  }

  private tick(nowMs: number): void {
    for (const gate of this.watched) {
      gate.release(nowMs);
      if (gate.isIdle) this.watched.delete(gate);
    }
    if (this.watched.size === 0) this.close();
  }
}
