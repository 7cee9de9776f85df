import type { Worker } from 'node:cluster';
import { reasonOf } from '../push.causes.js';
import type { WorkerOrder } from './worker.js';

/** The process of a worker, as the primary process sees it: also one that could not be started. */
export class WorkerProcess {
  isListening = false;
  /** Whether it listens, or has ended before it did. */
  readonly started: Promise<boolean>;
  /** How it ended, for a sentence about it; `could not be started: …` where it never was. */
  readonly ended: Promise<string>;
  private readonly worker: Worker | undefined;
  private listeningSinceMs = Infinity;

  /** `fork` may throw, where the system has no room for a process. */
  constructor(fork: () => Worker, onUnreachable: (reason: string) => void) {
    try {
      this.worker = fork();
    } catch (cause) {
      this.ended = Promise.resolve(failedStart(cause));
      this.started = Promise.resolve(false);
      return;
    }
    this.ended = this.watchEnd(this.worker, onUnreachable);
    this.started = Promise.race([this.watchListening(this.worker), this.ended.then(() => false)]);
  }

  /** Below 0 where it never did. */
  get listenedMs(): number {
    return performance.now() - this.listeningSinceMs;
  }

  order(order: WorkerOrder): void {
    if (this.worker?.isConnected() === true) this.worker.send(order);
  }

  kill(signal: NodeJS.Signals): void {
    this.worker?.process.kill(signal);
  }

  private watchEnd(worker: Worker, onUnreachable: (reason: string) => void): Promise<string> {
    return new Promise((resolve) => {
      worker.once('exit', (code: number | null, signal: string | null) => {
        this.isListening = false;
        resolve(`ended with ${signal ?? `code ${code}`}`);
      });
      worker.on('error', (cause: Error) => {
        // Of what has no process there is no exit.
        if (worker.process.pid === undefined) resolve(failedStart(cause));
        else onUnreachable(reasonOf(cause));
      });
    });
  }

  private watchListening(worker: Worker): Promise<true> {
    return new Promise((resolve) => {
      worker.once('listening', () => {
        this.isListening = true;
        this.listeningSinceMs = performance.now();
        resolve(true);
      });
    });
  }
}

function failedStart(cause: unknown): string {
  return `could not be started: ${reasonOf(cause)}`;
}
