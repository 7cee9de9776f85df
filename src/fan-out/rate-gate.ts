import type { Frame } from './frame.js';

/** How late a paced value may be. */
const TICK_MS = 10;

interface PacedSeries {
  readonly key: string;
  dueAtMs: number;
  intervalMs: number;
  /** The newest value since the last one that went on. */
  waiting: Frame | undefined;
}

/**
 * Lets at most so many values of each series a second through to one client; in between the newest replaces the one
 * that waits (the sampling interval of OPC UA Part 4, 5.12.1.2). The last value of a series always goes out. A tick costs
 * what is due, however many series are paced.
 */
export class RateGate {
  private readonly bySeries = new Map<string, PacedSeries>();
  /** Each series once, by a tick at which it is due, or was before it last passed. */
  private readonly byTick = new Map<number, PacedSeries[]>();
  /** The first that may hold some. */
  private firstTick = 0;

  constructor(
    private readonly pass: (frame: Frame) => void,
    private readonly clock: RateClock,
  ) {}

  /** Series that are paced. */
  get count(): number {
    return this.bySeries.size;
  }

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
    } else if (series === undefined) {
      this.add({ key: conflationKey, dueAtMs: nowMs + intervalMs, intervalMs, waiting: undefined }, nowMs);
      this.pass(frame);
    } else if (nowMs < series.dueAtMs) {
      series.waiting = frame;
      series.intervalMs = intervalMs;
    } else {
      series.waiting = undefined;
      series.intervalMs = intervalMs;
      series.dueAtMs = nextDueMs(series, nowMs);
      this.pass(frame);
    }
  }

  /** Passes on what is due and forgets what is quiet. */
  release(nowMs: number): void {
    const { firstTick } = this;
    const currentTick = tickOf(nowMs);
    this.firstTick = Math.max(firstTick, currentTick);
    if (currentTick - firstTick <= this.byTick.size) {
      for (let tick = firstTick; tick <= currentTick; tick++) this.settleTick(tick, nowMs);
      return;
    }
    // After a process was stopped for long there are fewer series than ticks.
    const ticks = [...this.byTick.keys()].filter((tick) => tick <= currentTick);
    for (const tick of ticks) this.settleTick(tick, nowMs);
  }

  /** Passes on everything that waits, due or not. */
  releaseAll(): void {
    for (const { waiting } of this.bySeries.values()) if (waiting !== undefined) this.pass(waiting);
    this.clear();
  }

  /**
   * The rates were changed: they count from the last value that passed, and what is due by them passes on at once. Infinity:
   * the series is not wanted any more, and what waits of it is dropped.
   */
  repace(intervalMsOf: (conflationKey: string) => number, nowMs: number): void {
    this.byTick.clear();
    for (const series of this.bySeries.values()) {
      const intervalMs = intervalMsOf(series.key);
      if (intervalMs === Infinity) {
        this.bySeries.delete(series.key);
        continue;
      }
      series.dueAtMs += intervalMs - series.intervalMs;
      series.intervalMs = intervalMs;
      this.schedule(series);
    }
    this.release(nowMs);
  }

  clear(): void {
    this.bySeries.clear();
    this.byTick.clear();
  }

  private add(series: PacedSeries, nowMs: number): void {
    if (this.isIdle) this.firstTick = tickOf(nowMs);
    this.bySeries.set(series.key, series);
    this.schedule(series);
    this.clock.watch(this);
  }

  private settleTick(tick: number, nowMs: number): void {
    const due = this.byTick.get(tick);
    if (due === undefined) return;
    this.byTick.delete(tick);
    for (const series of due) this.settle(series, nowMs);
  }

  private settle(series: PacedSeries, nowMs: number): void {
    if (nowMs >= series.dueAtMs) {
      if (series.waiting === undefined) {
        this.bySeries.delete(series.key);
        return;
      }
      this.pass(series.waiting);
      series.waiting = undefined;
      series.dueAtMs = nextDueMs(series, nowMs);
    }
    this.schedule(series);
  }

  private schedule(series: PacedSeries): void {
    const tick = Math.max(tickOf(series.dueAtMs), this.firstTick);
    const others = this.byTick.get(tick);
    if (others === undefined) this.byTick.set(tick, [series]);
    else others.push(series);
  }
}

function tickOf(atMs: number): number {
  return Math.floor(atMs / TICK_MS);
}

/** From when the last one was due, not from when it came: lateness of the clock or the source must not lower the rate. */
function nextDueMs({ dueAtMs, intervalMs }: PacedSeries, nowMs: number): number {
  return (nowMs - dueAtMs < intervalMs ? dueAtMs : nowMs) + intervalMs;
}

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
