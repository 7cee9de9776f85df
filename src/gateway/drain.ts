import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { FlushQueue } from '../fan-out/flush-queue.js';
import { CloseCodes } from '../protocol/close-codes.js';
import { PushOptions } from '../push.options.js';
import { AlarmRegistry } from '../registry/alarm.registry.js';
import type { ClientRegistry } from '../registry/client.registry.js';
import type { Client } from '../fan-out/client.js';
import { RawDataRegistry } from '../registry/raw-data.registry.js';
import { NodeState } from './node-state.js';

/** Of the deadline, what cut sockets and the HTTP server need to end. */
const ENDING_MS = 500;

/**
 * Start and end of this node's service: upgrades are refused until the application has started and from the moment it
 * shuts down; then what was pushed is written, clients get close 1012, and whoever does not close by the deadline is
 * cut.
 */
@Injectable()
export class Drain implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  private readonly logger = new Logger(Drain.name);

  constructor(
    private readonly options: PushOptions,
    private readonly state: NodeState,
    private readonly flushQueue: FlushQueue,
    private readonly rawDataRegistry: RawDataRegistry,
    private readonly alarmRegistry: AlarmRegistry,
  ) {}

  onApplicationBootstrap(): void {
    this.state.enter('serving');
  }

  onModuleDestroy(): void {
    this.state.enter('draining');
  }

  async beforeApplicationShutdown(): Promise<void> {
    const registries: ClientRegistry<Client>[] = [this.alarmRegistry, this.rawDataRegistry];
    this.rawDataRegistry.releaseHeldBack();
    this.flushQueue.flushAll();
    const deadlineMs = this.options.drainDeadlineMs - ENDING_MS;
    // First everybody is sent what was pushed to them, then who is too slow for that is closed all the same.
    for (const client of clientsOf(registries)) client.drain(CloseCodes.drain);
    if (!(await this.waitUntilEmpty(registries, deadlineMs / 2))) {
      for (const client of clientsOf(registries)) client.close(CloseCodes.drain);
      const isEmpty = await this.waitUntilEmpty(registries, deadlineMs / 2);
      if (!isEmpty) this.logger.warn('some clients did not close before the drain deadline and are cut');
    }
    for (const client of clientsOf(registries)) client.terminate();
    this.flushQueue.close();
  }

  private async waitUntilEmpty(registries: readonly ClientRegistry<Client>[], deadlineMs: number): Promise<boolean> {
    const empty = Promise.all(registries.map((registry) => registry.whenEmpty())).then(() => true);
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), deadlineMs)));
    try {
      return await Promise.race([empty, deadline]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function clientsOf(registries: readonly ClientRegistry<Client>[]): Client[] {
  return registries.flatMap((registry) => [...registry.all()]);
}
