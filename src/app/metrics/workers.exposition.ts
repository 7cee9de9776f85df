import { Logger, ServiceUnavailableException } from '@nestjs/common';
import { stackOf } from '../../push.causes.js';
import { withDeadline } from '../../push.deadline.js';
import type { WorkerOrder, WorkerReport } from '../worker.messages.js';
import { Exposition } from './exposition.js';
import { mergeExpositions, type WorkerTexts } from './merged.exposition.js';

/** A worker's way to the primary process. */
export interface PrimaryChannel {
  on(event: 'message', listener: (message: unknown) => void): unknown;
  send?(report: WorkerReport): unknown;
}

/** Longer than the primary process waits for the other workers. */
const DEADLINE_MS = 3000;

/** The metrics of all workers, whichever of them is asked. */
export class WorkersExposition extends Exposition {
  private readonly logger = new Logger(WorkersExposition.name);
  private readonly asked = new Map<number, (texts: WorkerTexts) => void>();
  private askedCount = 0;

  constructor(
    private readonly own: Exposition,
    private readonly primary: PrimaryChannel,
  ) {
    super();
    primary.on('message', (message) => this.take(message as WorkerOrder));
  }

  /** Throws where the primary process does not answer. */
  async text(): Promise<string> {
    const n = (this.askedCount += 1);
    const answered = new Promise<WorkerTexts>((resolve) => this.asked.set(n, resolve));
    this.primary.send?.({ kind: 'askMetricsOfAll', n });
    try {
      return mergeExpositions(await withDeadline(answered, DEADLINE_MS, refuse));
    } finally {
      this.asked.delete(n);
    }
  }

  private take(message: WorkerOrder): void {
    if (message.kind === 'tellMetrics') void this.tell(message.n);
    else if (message.kind === 'metricsOfAll') this.asked.get(message.n)?.(message.texts);
  }

  private async tell(n: number): Promise<void> {
    this.primary.send?.({ kind: 'ownMetrics', n, text: await this.ownText() });
  }

  private async ownText(): Promise<string | null> {
    try {
      return await this.own.text();
    } catch (cause) {
      this.logger.error('the metrics of this worker could not be read', stackOf(cause));
      return null;
    }
  }
}

function refuse(): never {
  throw new ServiceUnavailableException('the primary process does not answer');
}
