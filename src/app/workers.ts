import cluster, { type Worker } from 'node:cluster';
import { Logger } from '@nestjs/common';
import type { WorkerTexts } from './metrics/merged.exposition.js';
import { WORKER_NUMBER } from './worker.messages.js';
import { WorkerProcess } from './worker.process.js';

export interface WorkersOptions {
  readonly count: number;
  /** A worker that does not end for so long is killed. */
  readonly stopDeadlineMs: number;
  /** Starts the process of the worker with this number. */
  readonly fork?: (number: number) => Worker;
}

/** The worker with this number runs the demo's telemetry. */
const TELEMETRY_WORKER = 1;
/** A worker that listened for so long did not fail at the start. */
const STABLE_MS = 10_000;
const MAX_FAILURES = 5;
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;

const forkWorker = (number: number) => cluster.fork({ [WORKER_NUMBER]: String(number) });

interface Slot {
  readonly number: number;
  process: WorkerProcess | undefined;
}

/**
 * The primary process: keeps so many workers on one port. One that ends is replaced; SIGHUP replaces them one after the
 * other, without refusing a connection; SIGTERM and SIGINT end them in order.
 */
export class Workers {
  private readonly logger = new Logger(Workers.name);
  private readonly fork: (number: number) => Worker;
  private readonly slots: Slot[];
  /** Those that retire, too. */
  private readonly processes = new Set<WorkerProcess>();
  /** Each ends one pause before it is over. */
  private readonly pauses = new Set<() => void>();
  private collecting: Promise<WorkerTexts> | undefined;
  private isStopping = false;
  private isRolling = false;
  private exitCode = 0;

  constructor(private readonly options: WorkersOptions) {
    this.fork = options.fork ?? forkWorker;
    this.slots = Array.from({ length: options.count }, (_, index) => ({ number: index + 1, process: undefined }));
  }

  /** Resolves to the exit code of this process, once all workers have ended. */
  async run(): Promise<number> {
    await Promise.all(this.slots.map((slot) => this.keep(slot)));
    await Promise.all([...this.processes].map(({ ended }) => ended));
    return this.exitCode;
  }

  /** Ends all workers in order. */
  stop(): void {
    if (this.isStopping) return;
    this.isStopping = true;
    for (const end of this.pauses) end();
    for (const process of this.processes) void this.end(process, () => process.kill('SIGTERM'));
  }

  /** Replaces the workers one after the other: the new one listens before the old one stops to. */
  async roll(): Promise<void> {
    if (this.isRolling || this.isStopping) return;
    this.isRolling = true;
    this.logger.log('replacing the workers one after the other');
    for (const slot of this.slots) if (!(await this.replace(slot))) break;
    this.isRolling = false;
  }

  /** Lets a worker run in this slot for as long as this runs. */
  private async keep(slot: Slot): Promise<void> {
    let failures = 0;
    while (!this.isStopping) {
      const process = (slot.process ??= this.start(slot));
      if (slot.number === TELEMETRY_WORKER) void process.started.then(() => process.order({ kind: 'runTelemetry' }));
      const end = await process.ended;
      // It was replaced, and has retired.
      if (slot.process !== process) continue;
      slot.process = undefined;
      if (this.isStopping) return;
      failures = process.listenedMs >= STABLE_MS ? 0 : failures + 1;
      if (failures >= MAX_FAILURES && !this.isServed) {
        this.giveUp();
        return;
      }
      this.logger.warn(`worker ${slot.number} ${end}, and is replaced`);
      await this.pause(failures);
    }
  }

  private start({ number }: Slot): WorkerProcess {
    const process = new WorkerProcess(() => this.fork(number), {
      onUnreachable: (reason) => this.logger.error(`worker ${number} cannot be reached: ${reason}`),
      collectMetrics: () => this.collectMetrics(),
    });
    this.processes.add(process);
    void process.ended.then(() => this.processes.delete(process));
    return process;
  }

  /** Asked once for all who ask meanwhile. */
  private async collectMetrics(): Promise<WorkerTexts> {
    this.collecting ??= Promise.all(this.slots.map(({ process }) => process?.metrics() ?? null)).finally(
      () => (this.collecting = undefined),
    );
    return this.collecting;
  }

  /** False: the new one did not start, and the old one goes on. */
  private async replace(slot: Slot): Promise<boolean> {
    if (this.isStopping) return false;
    const next = this.start(slot);
    const hasStarted = await next.started;
    if (this.isStopping) return false;
    if (!hasStarted) {
      this.logger.error(`the new worker ${slot.number} did not start: those that run go on as they are`);
      return false;
    }
    const old = slot.process;
    slot.process = next;
    if (old === undefined) return true;
    await this.end(old, () => (old.isListening ? old.order({ kind: 'retire' }) : old.kill('SIGTERM')));
    return true;
  }

  private async end(process: WorkerProcess, ask: () => void): Promise<void> {
    ask();
    const timer = setTimeout(() => {
      this.logger.error(`a worker did not end within ${this.options.stopDeadlineMs} ms and is killed`);
      if (this.isStopping) this.exitCode = 1;
      process.kill('SIGKILL');
    }, this.options.stopDeadlineMs);
    await process.ended;
    clearTimeout(timer);
  }

  private get isServed(): boolean {
    return [...this.processes].some(({ isListening }) => isListening);
  }

  private giveUp(): void {
    this.logger.fatal('the workers end again and again as soon as they start: their own lines say why');
    this.exitCode = 1;
    this.stop();
  }

  private async pause(failures: number): Promise<void> {
    if (failures === 0) return;
    const pauseMs = Math.min(MIN_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS);
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.pauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, pauseMs);
      this.pauses.add(end);
    });
  }
}
