import type { Worker } from 'node:cluster';
import { reasonOf } from '../push.causes.js';
import { withDeadline } from '../push.deadline.js';
import type { WorkerTexts } from './metrics/merged.exposition.js';
import type { WorkerOrder, WorkerReport } from './worker.messages.js';

const METRICS_DEADLINE_MS = 1000;

/** What the primary process does when a worker says something. */
export interface WorkerListener {
  /** It cannot be reached, or its process cannot be ended. */
  readonly onUnreachable: (reason: string) => void;
  /** Never rejects. */
  readonly collectMetrics: () => Promise<WorkerTexts>;
}

/** The process of a worker, as the primary process sees it: also one that could not be started. */
export class WorkerProcess {
  isListening = false;
  /** Whether it listens, or has ended before it did. */
  readonly started: Promise<boolean>;
  /** How it ended, for a sentence about it; `could not be started: …` where it never was. */
  readonly ended: Promise<string>;
  private readonly worker: Worker | undefined;
  private listeningSinceMs = Infinity;
  private readonly asked = new Map<number, (text: string | null) => void>();
  private askedCount = 0;

  /** `fork` may throw, where the system has no room for a process. */
  constructor(
    fork: () => Worker,
    private readonly listener: WorkerListener,
  ) {
    try {
      this.worker = fork();
    } catch (cause) {
      this.ended = Promise.resolve(failedStart(cause));
      this.started = Promise.resolve(false);
      return;
    }
    this.worker.on('message', (report: WorkerReport) => void this.take(report));
    this.ended = this.watchEnd(this.worker);
    this.started = Promise.race([this.watchListening(this.worker), this.ended.then(() => false)]);
  }

  /** Below 0 where it never did. */
  get listenedMs(): number {
    return performance.now() - this.listeningSinceMs;
  }

  order(order: WorkerOrder): void {
    if (this.worker?.isConnected() === true) this.worker.send(order);
  }

  /** In the text format of Prometheus; null where it does not run, or does not answer in time. */
  async metrics(): Promise<string | null> {
    if (!this.isListening) return null;
    const n = (this.askedCount += 1);
    const answered = new Promise<string | null>((resolve) => this.asked.set(n, resolve));
    this.order({ kind: 'tellMetrics', n });
    try {
      return await withDeadline(answered, METRICS_DEADLINE_MS, () => null);
    } finally {
      this.asked.delete(n);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.worker?.process.kill(signal);
  }

  private async take(report: WorkerReport): Promise<void> {
    if (report.kind === 'ownMetrics') this.asked.get(report.n)?.(report.text);
    else this.order({ kind: 'metricsOfAll', n: report.n, texts: await this.listener.collectMetrics() });
  }

  private watchEnd(worker: Worker): Promise<string> {
    return new Promise((resolve) => {
      worker.once('exit', (code: number | null, signal: string | null) => {
        this.isListening = false;
        resolve(`ended with ${signal ?? `code ${code}`}`);
      });
      worker.on('error', (cause: Error) => {
        // Of what has no process there is no exit.
        if (worker.process.pid === undefined) resolve(failedStart(cause));
        else this.listener.onUnreachable(reasonOf(cause));
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
