import cluster, { type Worker } from 'node:cluster';
import { Logger } from '@nestjs/common';
import { WORKER_NUMBER, type WorkerOrder } from './worker.js';

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
  private readonly stopping = new AbortController();
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
    if (this.stopping.signal.aborted) return;
    this.stopping.abort();
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

  private get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  /** Lets a worker run in this slot for as long as this runs. */
  private async keep(slot: Slot): Promise<void> {
    let failures = 0;
    while (!this.isStopping) {
      const process = (slot.process ??= this.start(slot));
      if (slot.number === TELEMETRY_WORKER) void process.started.then(() => process.order('runTelemetry'));
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
      this.logger.warn(`worker ${slot.number} ended with ${end}, and is replaced`);
      await this.pause(failures);
    }
  }

  private start({ number }: Slot): WorkerProcess {
    const process = new WorkerProcess(this.fork(number), (cause) =>
      this.logger.error(`worker ${number} cannot be reached: ${cause.message}`),
    );
    this.processes.add(process);
    void process.ended.then(() => this.processes.delete(process));
    return process;
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
    await this.end(old, () => (old.isListening ? old.order('retire') : old.kill('SIGTERM')));
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
      const timer = setTimeout(resolve, pauseMs);
      this.stopping.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

class WorkerProcess {
  isListening = false;
  /** Whether it listens, or has ended before it did. */
  readonly started: Promise<boolean>;
  /** How it ended. */
  readonly ended: Promise<string>;
  private listeningSinceMs = Infinity;

  constructor(
    private readonly worker: Worker,
    onError: (cause: Error) => void,
  ) {
    worker.on('error', onError);
    this.ended = new Promise((resolve) => {
      worker.once('exit', (code: number | null, signal: string | null) => {
        this.isListening = false;
        resolve(signal === null ? `code ${code}` : signal);
      });
    });
    const listening = new Promise<boolean>((resolve) => {
      worker.once('listening', () => {
        this.isListening = true;
        this.listeningSinceMs = performance.now();
        resolve(true);
      });
    });
    this.started = Promise.race([listening, this.ended.then(() => false)]);
  }

  /** Below 0 where it never did. */
  get listenedMs(): number {
    return performance.now() - this.listeningSinceMs;
  }

  order(order: WorkerOrder): void {
    if (this.worker.isConnected()) this.worker.send(order);
  }

  kill(signal: NodeJS.Signals): void {
    this.worker.process.kill(signal);
  }
}
