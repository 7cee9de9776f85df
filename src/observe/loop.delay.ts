import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';

const RESOLUTION_MS = 20;
const INTERVAL_MS = 10_000;

/** How much later than due the event loop came to its timers. */
export interface LoopDelays {
  readonly p99Ms: number;
  readonly maxMs: number;
}

/**
 * Watches the event loop, on which everything of this process runs. Cheap: a timer of libuv every 20 ms, without any
 * JavaScript.
 */
@Injectable()
export class LoopDelay implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  private lastInterval: LoopDelays | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** Of the last 10 s that are complete, or until there are some of the time since the start. */
  get delays(): LoopDelays {
    return this.lastInterval ?? this.summary();
  }

  onApplicationBootstrap(): void {
    this.histogram.enable();
    this.timer = setInterval(() => this.nextInterval(), INTERVAL_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
    this.histogram.disable();
  }

  private nextInterval(): void {
    this.lastInterval = this.summary();
    this.histogram.reset();
  }

  private summary(): LoopDelays {
    if (this.histogram.count === 0) return { p99Ms: 0, maxMs: 0 };
    return { p99Ms: beyondDue(this.histogram.percentile(99)), maxMs: beyondDue(this.histogram.max) };
  }
}

/** The histogram holds what passed between two of its own ticks, in nanoseconds; told to a tenth of a millisecond. */
function beyondDue(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 1e5 - RESOLUTION_MS * 10) / 10);
}
