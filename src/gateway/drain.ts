import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { Client } from '../fan-out/client.js';
import { FlushQueue } from '../fan-out/flush-queue.js';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { CloseCodes } from '../protocol/close-codes.js';
import { serverMessage } from '../protocol/messages.js';
import { withDeadline } from '../push.deadline.js';
import { PushOptions } from '../push.options.js';
import { AlarmRegistry } from '../registry/alarm.registry.js';
import { RawDataRegistry } from '../registry/raw-data.registry.js';
import { planDepartures, type Portion } from './drain.plan.js';
import { NodeState } from './node-state.js';

/** Of the deadline, what cut sockets and the HTTP server need to end. */
const ENDING_MS = 500;

/**
 * Start and end of this node's service. Upgrades are refused until the application has started. When it shuts down, it is
 * served for `drainDelayMs` more, so that a load balancer can take the node out. Then nobody new is let in; `push.v1`
 * clients are told when to come back, and all are written what was pushed and closed with 1012, portion by portion. Whoever
 * has not closed by the deadline is cut.
 */
@Injectable()
export class Drain implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  private readonly logger = new Logger(Drain.name);
  private servesUntilMs = 0;
  private endsAtMs = 0;

  constructor(
    private readonly options: PushOptions,
    private readonly state: NodeState,
    private readonly flushQueue: FlushQueue,
    private readonly rawDataRegistry: RawDataRegistry,
    private readonly alarmRegistry: AlarmRegistry,
  ) {}

  /** Until everything has to have ended. */
  get leftMs(): number {
    return Math.max(0, this.endsAtMs - performance.now());
  }

  onApplicationBootstrap(): void {
    this.state.enter('serving');
  }

  onModuleDestroy(): void {
    const { drainDelayMs } = this.options;
    // Nobody sends clients to a node that has never served.
    if (this.state.phase !== 'serving' || drainDelayMs === 0) {
      this.state.enter('draining');
      return;
    }
    this.servesUntilMs = performance.now() + drainDelayMs;
    this.state.enter('leaving');
  }

  async beforeApplicationShutdown(): Promise<void> {
    await until(this.servesUntilMs);
    this.state.enter('draining');
    const startMs = performance.now();
    this.endsAtMs = startMs + this.options.drainDeadlineMs;
    const deadlineMs = this.endsAtMs - ENDING_MS;
    const empty = Promise.all([this.alarmRegistry.whenEmpty(), this.rawDataRegistry.whenEmpty()]);
    const windowMs = Math.min(this.options.drainWindowMs, this.options.drainDeadlineMs / 2);
    const portions = planDepartures(this.kindsOfClients(), windowMs);
    this.announce(portions);
    await this.closeInPortions(portions, startMs, empty);
    await this.closeTheSlow(deadlineMs, empty);
    for (const client of this.clients()) client.terminate();
    await this.whenSaved(deadlineMs + ENDING_MS, empty);
    this.flushQueue.close();
  }

  /** A browser that is closed without a word could not tell this from a lost network. */
  private announce(portions: readonly Portion<Client>[]): void {
    for (const { departures } of portions) {
      for (const { client, retryAfterMs } of departures) {
        if (!isTwoWay(client)) continue;
        client.offer(Frame.text(serverMessage('drain', { retryAfterMs })));
      }
    }
    this.flushQueue.flushSoon();
  }

  /** Everybody is first written what was pushed to them. Whoever was on the way in when this began goes with the last. */
  private async closeInPortions(
    portions: readonly Portion<Client>[],
    startMs: number,
    empty: Promise<unknown>,
  ): Promise<void> {
    for (const { startsAfterMs, departures } of portions) {
      if (await isBefore(empty, startMs + startsAfterMs)) return;
      for (const { client } of departures) client.drain(CloseCodes.drain);
    }
    for (const client of this.clients()) client.drain(CloseCodes.drain);
  }

  /** After half of what is left of the time whoever is too slow for that is closed all the same. */
  private async closeTheSlow(deadlineMs: number, empty: Promise<unknown>): Promise<void> {
    if (await isBefore(empty, (performance.now() + deadlineMs) / 2)) return;
    for (const client of this.clients()) client.close(CloseCodes.drain);
    if (await isBefore(empty, deadlineMs)) return;
    this.logger.warn('some clients did not close before the drain deadline and are cut');
  }

  /** What clients have acknowledged until their end is stored before the stores are closed. */
  private async whenSaved(deadlineMs: number, empty: Promise<unknown>): Promise<void> {
    const saved = empty.then(() => this.alarmRegistry.whenSaved());
    if (await isBefore(saved, deadlineMs)) return;
    this.logger.warn('some acknowledgements could not be stored before the drain deadline: those alarms come again');
  }

  /** Each kind comes back in its own way, and at a cost of its own. */
  private kindsOfClients(): Client[][] {
    return [this.alarmRegistry, this.rawDataRegistry].flatMap((registry) => {
      const clients: Client[] = [...registry.all()];
      return [clients.filter(isTwoWay), clients.filter((client) => !isTwoWay(client))];
    });
  }

  private clients(): Client[] {
    return [...this.alarmRegistry.all(), ...this.rawDataRegistry.all()];
  }
}

function isTwoWay({ identity }: Client): boolean {
  return identity.format === WireFormat.pushV1;
}

async function until(atMs: number): Promise<void> {
  const leftMs = atMs - performance.now();
  if (leftMs > 0) await sleep(leftMs);
}

/** Waits until the promise resolves, at the latest until then; whether it has. */
function isBefore(promise: Promise<unknown>, atMs: number): Promise<boolean> {
  return withDeadline(
    promise.then(() => true),
    Math.max(0, atMs - performance.now()),
    () => false,
  );
}
