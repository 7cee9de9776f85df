import { type CloseCode, CloseCodes } from '../protocol/close-codes.js';
import type { Backlog, ConflationReport } from './backlog.js';
import type { Encoding, Frame } from './frame.js';

/**
 * `conflate`: every value until pressure begins, then the newest of each series. `merge`: the newest of each series in
 * every flush. `disconnect`: every value, and a client under pressure is closed.
 */
export type DeliveryMode = 'conflate' | 'merge' | 'disconnect';

export interface ConflationOptions {
  readonly delivery: DeliveryMode;
  /** How long a frame may wait behind the flush that was to take it before pressure begins. */
  readonly conflateAfterMs: number;
  /** Budget of one client's outbox. */
  readonly maxOutboxBytes: number;
}

interface Waiting {
  frame: Frame;
  readonly sinceMs: number;
}

/**
 * The raw data of a client that is behind. Without pressure all frames wait in order; under pressure a newer value of
 * a series takes the place in line of the one that waits, so the backlog is bounded by the number of series.
 */
export class ConflatingBacklog implements Backlog {
  /** In order; the key is the conflation key, or a number of its own for a frame that must not be replaced. */
  private readonly waiting = new Map<string | number, Waiting>();
  private nextOwnKey = 0;
  private bytes = 0;
  private pressureSinceMs: number | undefined;
  conflatedCount = 0;
  private lastReport: ConflationReport | undefined;

  constructor(
    private readonly encoding: Encoding,
    private readonly options: ConflationOptions,
  ) {}

  get isEmpty(): boolean {
    return this.waiting.size === 0;
  }

  get byteLength(): number {
    return this.bytes;
  }

  add(frame: Frame, nowMs: number): void {
    const conflates = this.pressureSinceMs !== undefined || this.options.delivery === 'merge';
    if (conflates) this.putConflated(frame, nowMs);
    else this.put(frame, undefined, nowMs);
  }

  take(maxBytes: number): Frame[] {
    const frames: Frame[] = [];
    let takenBytes = 0;
    for (const [key, { frame }] of this.waiting) {
      const frameBytes = frame.bytes(this.encoding).length;
      if (frames.length > 0 && takenBytes + frameBytes > maxBytes) break;
      takenBytes += frameBytes;
      frames.push(frame);
      this.waiting.delete(key);
    }
    this.bytes -= takenBytes;
    return frames;
  }

  age(nowMs: number): CloseCode | undefined {
    const [oldest] = this.waiting.values();
    const isOld = oldest !== undefined && nowMs - oldest.sinceMs >= this.options.conflateAfterMs;
    return isOld ? this.beginPressure(nowMs) : undefined;
  }

  settle(nowMs: number): CloseCode | undefined {
    if (this.isEmpty) {
      this.endPressure(nowMs);
      return undefined;
    }
    const fault = this.isOverBudget ? this.beginPressure(nowMs) : this.age(nowMs);
    return fault ?? (this.isOverBudget ? CloseCodes.outboxFull : undefined);
  }

  report(): ConflationReport | undefined {
    const report = this.lastReport;
    this.lastReport = undefined;
    return report;
  }

  /** A single frame may be larger than the budget, as it may be larger than the in-flight window. */
  private get isOverBudget(): boolean {
    return this.bytes > this.options.maxOutboxBytes && this.waiting.size > 1;
  }

  private beginPressure(nowMs: number): CloseCode | undefined {
    if (this.pressureSinceMs !== undefined) return undefined;
    if (this.options.delivery === 'disconnect') return CloseCodes.tooSlow;
    this.pressureSinceMs = nowMs;
    const all = [...this.waiting.values()];
    this.waiting.clear();
    this.bytes = 0;
    for (const { frame, sinceMs } of all) this.putConflated(frame, sinceMs);
    return undefined;
  }

  private endPressure(nowMs: number): void {
    if (this.conflatedCount > 0) {
      this.lastReport = { count: this.conflatedCount, forMs: nowMs - (this.pressureSinceMs ?? nowMs) };
    }
    this.pressureSinceMs = undefined;
    this.conflatedCount = 0;
  }

  private putConflated(frame: Frame, sinceMs: number): void {
    const outdated = frame.supersedes === undefined ? undefined : this.waiting.get(frame.supersedes);
    if (frame.supersedes !== undefined && outdated !== undefined) {
      this.waiting.delete(frame.supersedes);
      this.bytes -= outdated.frame.bytes(this.encoding).length;
      this.conflatedCount += 1;
    }
    this.put(frame, frame.conflationKey, sinceMs);
  }

  private put(frame: Frame, conflationKey: string | undefined, sinceMs: number): void {
    const replaced = conflationKey === undefined ? undefined : this.waiting.get(conflationKey);
    this.bytes += frame.bytes(this.encoding).length;
    if (replaced === undefined) {
      this.waiting.set(conflationKey ?? this.nextOwnKey++, { frame, sinceMs });
      return;
    }
    this.bytes -= replaced.frame.bytes(this.encoding).length;
    this.conflatedCount += 1;
    replaced.frame = frame;
  }
}
