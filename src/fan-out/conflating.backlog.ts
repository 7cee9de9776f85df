import { type CloseCode, CloseCodes } from '../protocol/close-codes.js';
import type { Backlog, ConflationReport } from './backlog.js';
import { Batch } from './batch.js';
import { ConflatedLine } from './conflated.line.js';
import type { Encoding, Frame } from './frame.js';
import type { WriteTotals } from './write-totals.js';

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

/**
 * The raw data of a client that is behind. Without pressure all frames wait in order; under pressure a newer value of
 * a series takes the place in line of the one that waits, so the backlog is bounded by the number of series.
 */
export class ConflatingBacklog implements Backlog {
  private readonly waiting = new ConflatedLine();
  private bytes = 0;
  private pressureSinceMs: number | undefined;
  conflatedCount = 0;
  readonly canTakeMore = false;
  private lastReport: ConflationReport | undefined;

  constructor(
    private readonly encoding: Encoding,
    private readonly options: ConflationOptions,
    private readonly totals: WriteTotals,
  ) {}

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  get byteLength(): number {
    return this.bytes;
  }

  add(frame: Frame, nowMs: number): void {
    const conflates = this.pressureSinceMs !== undefined || this.options.delivery === 'merge';
    if (conflates) {
      this.conflate(frame, nowMs);
      return;
    }
    this.bytes += this.bytesOf(frame);
    this.waiting.append(frame, nowMs);
  }

  take(maxBytes: number): readonly Batch[] {
    const frames: Frame[] = [];
    let takenBytes = 0;
    for (let oldest = this.waiting.oldest; oldest !== undefined; oldest = this.waiting.oldest) {
      const frameBytes = this.bytesOf(oldest.frame);
      if (frames.length > 0 && takenBytes + frameBytes > maxBytes) break;
      takenBytes += frameBytes;
      frames.push(oldest.frame);
      this.waiting.shift();
    }
    this.bytes -= takenBytes;
    return frames.length === 0 ? [] : [Batch.of(frames)];
  }

  age(nowMs: number): CloseCode | undefined {
    const { oldest } = this.waiting;
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
    return this.bytes > this.options.maxOutboxBytes && this.waiting.length > 1;
  }

  private beginPressure(nowMs: number): CloseCode | undefined {
    if (this.pressureSinceMs !== undefined) return undefined;
    if (this.options.delivery === 'disconnect') return CloseCodes.tooSlow;
    this.pressureSinceMs = nowMs;
    this.bytes = 0;
    for (const { frame, sinceMs } of this.waiting.clear()) this.conflate(frame, sinceMs);
    return undefined;
  }

  private endPressure(nowMs: number): void {
    if (this.conflatedCount > 0) {
      this.lastReport = { count: this.conflatedCount, forMs: nowMs - (this.pressureSinceMs ?? nowMs) };
    }
    this.pressureSinceMs = undefined;
    this.conflatedCount = 0;
  }

  private conflate(frame: Frame, sinceMs: number): void {
    const outdated = this.waiting.conflate(frame, sinceMs);
    this.bytes += this.bytesOf(frame);
    if (outdated === undefined) return;
    this.bytes -= this.bytesOf(outdated);
    this.conflatedCount += 1;
    this.totals.conflated += 1;
  }

  private bytesOf(frame: Frame): number {
    return frame.bytes(this.encoding).length;
  }
}
