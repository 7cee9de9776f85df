import { Injectable, Logger } from '@nestjs/common';
import {
  type AlarmAddress,
  AlarmClient,
  type AlarmFilter,
  type OrganisationScope,
  routeAlarm,
} from '../fan-out/alarm.router.js';
import type { ClientIdentity, ClientOptions } from '../fan-out/client.js';
import { ConflatingBacklog } from '../fan-out/conflating.backlog.js';
import { FlushQueue } from '../fan-out/flush-queue.js';
import { Frame } from '../fan-out/frame.js';
import type { Sink } from '../fan-out/sink.js';
import { PushOptions } from '../push.options.js';
import { ClientRegistry } from './client.registry.js';

/** The clients of the alarm gateway. Alarms have no series, so nothing here conflates. */
@Injectable()
export class AlarmRegistry extends ClientRegistry<AlarmClient> {
  private readonly clientOptions: ClientOptions;

  constructor(
    private readonly options: PushOptions,
    flushQueue: FlushQueue,
  ) {
    super(new Logger(AlarmRegistry.name));
    this.clientOptions = {
      lane: flushQueue.alarms,
      backlogPolicy: { create: (encoding) => new ConflatingBacklog(encoding, { ...options, delivery: 'conflate' }) },
      mergesFlushes: false,
      inFlightBytes: options.inFlightBytes,
      maxOutboxBytes: options.maxOutboxBytes,
    };
  }

  /** The frame of one alarm, for all clients. */
  frame(cursor: string, alarmJson: string): Frame {
    return Frame.alarm(cursor, alarmJson, this.options.compression?.thresholdBytes);
  }

  /** Offers one alarm to every client that accepts it; returns how many those are. */
  route(address: AlarmAddress, frame: Frame): number {
    return routeAlarm(this.all(), address, frame);
  }

  /** @internal */
  createClient(identity: ClientIdentity, sink: Sink, filter: AlarmFilter, scope: OrganisationScope): AlarmClient {
    return new AlarmClient(identity, sink, this.clientOptions, filter, scope);
  }

  protected override onRegistered(): void {}

  protected override onUnregistered(): void {}
}
