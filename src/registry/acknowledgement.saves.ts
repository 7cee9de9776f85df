import type { SubscriptionStore } from '../alarm-log/subscription-store.js';
import type { AlarmClient } from '../fan-out/alarm.client.js';
import { CloseCodes } from '../protocol/close-codes.js';
import type { Cursor } from '../protocol/cursor.js';
import type { HeldSubscription } from './alarm.places.js';
import type { FaultReporter } from './fault.reporter.js';

/** A durable subscription, and the connection that has it. */
export interface Held extends HeldSubscription {
  readonly client: AlarmClient;
  /** Another one in each epoch. */
  progress: Progress;
}

/** How far the client has acknowledged in one epoch of the log. */
export interface Progress {
  readonly epoch: string;
  acknowledged: number;
  saved: number;
  isSaving: boolean;
}

const SAVE_AGAIN_AFTER_MS = 1000;

/** The way of acknowledgements to the store: again where it fails, as long as the connection is there. */
export class AcknowledgementSaves {
  /** What is on its way to the store. */
  private readonly saves = new Set<Promise<void>>();
  /** What they have acknowledged could not be stored. */
  private readonly unsaved = new Set<Held>();
  private retry: NodeJS.Timeout | undefined;
  private isEnded = false;

  constructor(
    private readonly subscriptions: SubscriptionStore,
    private readonly faults: FaultReporter,
    private readonly isConnected: (client: AlarmClient) => boolean,
  ) {}

  /** Stores what was acknowledged, where it is not on its way already. */
  save(held: Held): void {
    if (!held.progress.isSaving) this.keep(this.saveAll(held, held.progress));
  }

  /** Where the store has lost the subscription it has it again. */
  restore(held: Held, cursor: Cursor): void {
    this.keep(this.tryToRestore(held, cursor));
  }

  /** Notes that the client is gone. */
  touch({ id, generation }: Held): void {
    this.keep(
      this.subscriptions.touch(id, generation).then(
        () => this.faults.succeeded('note a disconnection'),
        (cause: unknown) => this.faults.failed('note a disconnection', cause),
      ),
    );
  }

  /** Resolves once nothing is on its way to the store. */
  async whenSaved(): Promise<void> {
    while (this.saves.size > 0) await Promise.all(this.saves);
  }

  end(): void {
    this.isEnded = true;
    clearTimeout(this.retry);
  }

  /** Of a promise that never rejects. */
  private keep(save: Promise<void>): void {
    this.saves.add(save);
    void save.then(() => this.saves.delete(save));
  }

  /** One save at a time; what is acknowledged meanwhile goes with the next. */
  private async saveAll(held: Held, progress: Progress): Promise<void> {
    const { epoch } = progress;
    progress.isSaving = true;
    try {
      while (progress.acknowledged > progress.saved && held.progress === progress) {
        const offset = progress.acknowledged;
        if (!(await this.store(held, { epoch, offset }))) {
          held.client.close(CloseCodes.takenOver);
          return;
        }
        this.faults.succeeded('store an acknowledgement');
        progress.saved = offset;
        if (held.progress === progress) held.client.acknowledged(offset);
      }
    } catch (cause) {
      this.faults.failed('store an acknowledgement', cause);
      this.saveLater(held);
    } finally {
      progress.isSaving = false;
    }
  }

  /** False: a later connection has the subscription, or it was deleted. */
  private async store({ id, generation }: Held, cursor: Cursor): Promise<boolean> {
    if (await this.subscriptions.acknowledge(id, generation, cursor)) return true;
    return (await this.subscriptions.restore?.(id, generation, cursor)) ?? false;
  }

  private async tryToRestore({ id, generation }: Held, cursor: Cursor): Promise<void> {
    try {
      await this.subscriptions.restore?.(id, generation, cursor);
      this.faults.succeeded('restore a durable subscription');
    } catch (cause) {
      this.faults.failed('restore a durable subscription', cause);
    }
  }

  private saveLater(held: Held): void {
    if (this.isEnded) return;
    this.unsaved.add(held);
    this.retry ??= setTimeout(() => this.saveAgain(), SAVE_AGAIN_AFTER_MS);
  }

  private saveAgain(): void {
    this.retry = undefined;
    const all = [...this.unsaved];
    this.unsaved.clear();
    for (const held of all) if (this.isConnected(held.client)) this.save(held);
  }
}
