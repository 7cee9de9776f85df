import { type AlarmKind, type BenchAlarm, createAlarm } from '../alarm.js';
import { cpuMicros, nowMicros, sleep } from '../clock.js';
import { AgeRecord } from '../load/age.record.js';
import type { AlarmTarget } from './bench.server.js';
import type { FloodPlan } from './server.api.js';
import { type Demand, runDemand } from './source.js';

/** How far the source has come; two of them tell what happened in between. */
export interface AlarmReading {
  readonly atMicros: number;
  readonly cpuMicros: number;
  /** Alarms pushed: the next has this number. */
  readonly pushed: number;
  readonly accepted: number;
}

const ALARMS_A_CALL = 500;
const SETTLING_MS = 20;

/** Alarms number 0, 1, 2 …; what the server refuses fails the measurement. */
export class AlarmSource {
  readonly ages = new AgeRecord();
  private pushed = 0;
  private accepted = 0;
  private failure: Error | undefined;
  private stopped: (() => void) | undefined;

  constructor(private readonly target: AlarmTarget) {}

  read(): AlarmReading {
    return { atMicros: nowMicros(), cpuMicros: cpuMicros(), pushed: this.pushed, accepted: this.accepted };
  }

  async fill(kind: AlarmKind, count: number): Promise<void> {
    for (let left = count; left > 0; left -= ALARMS_A_CALL) {
      const alarms = Array.from({ length: Math.min(left, ALARMS_A_CALL) }, () => this.create(kind, nowMicros()));
      await this.target.pushAll(alarms);
      this.accepted += alarms.length;
    }
  }

  async flood({ kind, callers, warmUpMs, measureMs }: FloodPlan): Promise<{ from: AlarmReading; to: AlarmReading }> {
    this.ages.clear();
    const over = new AbortController();
    const call = async () => {
      while (!over.signal.aborted && this.failure === undefined) await this.push(kind, nowMicros());
    };
    const calls = Array.from({ length: callers }, call);
    await sleep(warmUpMs);
    const from = this.read();
    await sleep(measureMs);
    const to = this.read();
    over.abort();
    await Promise.all(calls);
    if (this.failure !== undefined) throw this.failure;
    return { from, to };
  }

  /** Pushes at a rate until {@link stop}, or until there were `count` of them. */
  run(kind: AlarmKind, demand: Demand, count = Infinity): void {
    this.ages.clear();
    const end = this.pushed + count;
    const stop = runDemand(demand, (dueMicros) => {
      if (this.pushed < end) void this.push(kind, dueMicros);
      if (this.pushed >= end) this.stopped?.();
    });
    this.stopped = stop;
  }

  async stop(): Promise<AlarmReading> {
    this.stopped?.();
    while (this.accepted < this.pushed && this.failure === undefined) await sleep(SETTLING_MS);
    if (this.failure !== undefined) throw this.failure;
    return this.read();
  }

  /** Never rejects: the first failure is kept, for the one who asks how it went. */
  private async push(kind: AlarmKind, dueMicros: number): Promise<void> {
    try {
      await this.target.push(this.create(kind, dueMicros));
      this.accepted += 1;
      this.ages.add(dueMicros, nowMicros());
    } catch (cause) {
      this.failure ??= cause instanceof Error ? cause : new Error(String(cause));
    }
  }

  private create(kind: AlarmKind, atMicros: number): BenchAlarm {
    return createAlarm(kind, { n: this.pushed++, atMicros });
  }
}
