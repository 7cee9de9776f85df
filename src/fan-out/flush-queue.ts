import { Batch } from './batch.js';

/** What the queue flushes. */
export interface Flushable {
  flush(flushNumber: number, nowMs: number): void;
}

/** Told when all who were in a lane's line have been flushed: how long that took. */
export type FlushListener = (lane: LaneName, durationMs: number) => void;
export type LaneName = 'alarms' | 'rawData' | 'catchUp';

/** A long flush lets the event loop go on after this long, so that pongs, upgrades and timers are not held up. */
const MAX_SLICE_MS = 8;
const FLUSHES_BETWEEN_CLOCK_READS = 16;

/**
 * The clients with something to write, of one gateway. What is pushed until the next flush is joined; what is pushed
 * while a flush runs is joined in the one after it.
 */
export class FlushLane {
  /** Where every client's batch of the next flush begins. */
  root = Batch.empty();
  onRunEnded: ((durationMs: number) => void) | undefined;
  private runStartedMs = 0;
  private dirty: Flushable[] = [];
  private running: Flushable[] = [];
  private runIndex = 0;

  constructor(
    private readonly onDirty: () => void,
    /** 0: at the end of the tick. */
    readonly intervalMs: number,
    private readonly nextFlushNumber: () => number,
  ) {}

  /** Flushes one client out of turn. */
  flushNow(client: Flushable): void {
    client.flush(this.nextFlushNumber(), performance.now());
  }

  mark(client: Flushable): void {
    if (this.dirty.push(client) === 1) this.onDirty();
  }

  get isIdle(): boolean {
    return this.dirty.length === 0 && this.runIndex === this.running.length;
  }

  /** Flushes what is dirty until `deadlineMs`; true where all is done. */
  run(flushNumber: number, nowMs: number, deadlineMs: number): boolean {
    if (this.runIndex === this.running.length) this.beginRun(nowMs);
    const { running } = this;
    while (this.runIndex < running.length) {
      running[this.runIndex++]?.flush(flushNumber, nowMs);
      if (this.runIndex % FLUSHES_BETWEEN_CLOCK_READS === 0 && performance.now() >= deadlineMs) break;
    }
    if (this.runIndex < running.length) return false;
    if (running.length > 0) this.onRunEnded?.(performance.now() - this.runStartedMs);
    this.running = [];
    this.runIndex = 0;
    return true;
  }

  private beginRun(nowMs: number): void {
    this.runStartedMs = nowMs;
    this.running = this.dirty;
    this.runIndex = 0;
    this.dirty = [];
    // Held batches go on growing from where they are; new ones begin anew, so nothing written is kept alive.
    this.root = Batch.empty();
  }
}

/** What is live goes on after this long while others catch up. */
const MAX_CATCH_UP_SLICE_MS = 4;

/**
 * Flushes alarms first, then raw data, then alarms to clients that are behind. One per gateway module. Nothing is scheduled
 * while nobody is dirty.
 */
export class FlushQueue {
  readonly alarms: FlushLane;
  readonly rawData: FlushLane;
  readonly catchUp: FlushLane;
  private flushNumber = 0;
  private immediate: NodeJS.Immediate | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isRawDataDue = false;

  /** `flushIntervalMs` holds raw data back to join more of them; alarms always go at the end of the tick. */
  constructor(options: { flushIntervalMs: number }) {
    const nextFlushNumber = () => (this.flushNumber += 1);
    this.alarms = new FlushLane(() => this.scheduleNow(), 0, nextFlushNumber);
    this.rawData = new FlushLane(() => this.scheduleRawData(), options.flushIntervalMs, nextFlushNumber);
    this.catchUp = new FlushLane(() => this.scheduleNow(), 0, nextFlushNumber);
  }

  /** From now on the listener is told of every flush; one at most. */
  observe(listener: FlushListener): void {
    for (const name of ['alarms', 'rawData', 'catchUp'] as const) {
      this[name].onRunEnded = (durationMs) => listener(name, durationMs);
    }
  }

  /** What is dirty goes out in the next tick, raw data too. */
  flushSoon(): void {
    this.isRawDataDue = true;
    this.scheduleNow();
  }

  /** Flushes everything now. */
  flushAll(): void {
    while (!this.alarms.isIdle || !this.rawData.isIdle || !this.catchUp.isIdle) {
      this.isRawDataDue = true;
      this.flush(Infinity);
    }
  }

  close(): void {
    clearImmediate(this.immediate);
    clearTimeout(this.timer);
    this.immediate = this.timer = undefined;
  }

  private scheduleRawData(): void {
    if (this.rawData.intervalMs === 0) {
      this.isRawDataDue = true;
      this.scheduleNow();
      return;
    }
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.isRawDataDue = true;
      this.scheduleNow();
    }, this.rawData.intervalMs);
  }

  private scheduleNow(): void {
    this.immediate ??= setImmediate(() => {
      this.immediate = undefined;
      this.flush(MAX_SLICE_MS);
    });
  }

  private flush(sliceMs: number): void {
    const nowMs = performance.now();
    const deadlineMs = nowMs + sliceMs;
    this.flushNumber += 1;
    const isDone =
      this.alarms.run(this.flushNumber, nowMs, deadlineMs) &&
      (!this.isRawDataDue || this.rawData.run(this.flushNumber, nowMs, deadlineMs));
    if (!isDone) {
      this.scheduleNow();
      return;
    }
    this.isRawDataDue = false;
    const catchUpDeadlineMs = performance.now() + Math.min(sliceMs, MAX_CATCH_UP_SLICE_MS);
    const isCaughtUp = this.catchUp.run(this.flushNumber, nowMs, catchUpDeadlineMs);
    if (!isCaughtUp || !this.alarms.isIdle || !this.catchUp.isIdle) this.scheduleNow();
    if (!this.rawData.isIdle) this.scheduleRawData();
  }
}
