import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type {
  AlarmEntry,
  AlarmFields,
  AlarmLog,
  AppendReceipt,
  LogBounds,
  NewAlarm,
} from '../../src/alarm-log/alarm-log.js';
import { MemoryAlarmLog } from '../../src/alarm-log/memory.alarm-log.js';
import { MemorySubscriptionStore } from '../../src/alarm-log/memory.subscription-store.js';
import { InProcessBus } from '../../src/bus/in-process.bus.js';
import type { Cluster } from '../../src/bus/cluster.js';
import { InProcessCluster } from '../../src/bus/in-process.cluster.js';
import type { AlarmAddress, AlarmClient } from '../../src/fan-out/alarm.client.js';
import type { AlarmStart } from '../../src/fan-out/alarm.feed.js';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { WireFormat } from '../../src/fan-out/frame.js';
import { AlarmGateway } from '../../src/gateway/alarm.gateway.js';
import type { PushSocket } from '../../src/gateway/push.socket.js';
import type { Admission } from '../../src/gateway/admission.js';
import type { Clock } from '../../src/push.clock.js';
import { type PushModuleOptions, resolvePushOptions } from '../../src/push.options.js';
import { AlarmPages } from '../../src/registry/alarm.pages.js';
import { type AlarmPlace, AlarmPlaces } from '../../src/registry/alarm.places.js';
import { AlarmRegistry } from '../../src/registry/alarm.registry.js';
import { AlarmTail } from '../../src/registry/alarm.tail.js';
import { Degradation } from '../../src/registry/degradation.js';
import { DurableSubscriptions } from '../../src/registry/durable.subscriptions.js';
import { createConnections } from '../gateway/connections.fixture.js';
import { Session } from '../../src/registry/sessions.js';
import { MemorySink } from '../support/memory.sink.js';
import { PLAIN_FIELDS } from '../support/alarm.fields.js';

const RETENTION = { count: 10_000, hours: 168, bytes: 1024 * 1024 * 1024 };

/** An alarm that holds its number, and of so many bytes where that is more. */
export function newAlarm(n: number, fields: Partial<AlarmFields> = {}, bytes = 0): NewAlarm {
  const json = JSON.stringify({ n, filling: '' });
  return {
    json: json.replace('""', `"${'x'.repeat(Math.max(0, bytes - json.length))}"`),
    fields: { ...PLAIN_FIELDS, ...fields },
    eventId: undefined,
  };
}

export function newAlarms(from: number, to: number, fields?: Partial<AlarmFields>, bytes?: number): NewAlarm[] {
  return Array.from({ length: to - from + 1 }, (_, i) => newAlarm(from + i, fields, bytes));
}

/** A log whose reads are noted, can be held back, and can fail. */
export class WatchedLog extends MemoryAlarmLog {
  readonly reads: number[] = [];
  failures = 0;
  activeFailures = 0;
  hold: Promise<unknown> | undefined;

  constructor(retention: Partial<typeof RETENTION> = {}) {
    super({ ...RETENTION, ...retention });
  }

  override async read(afterOffset: number, limit: number): Promise<AlarmEntry[]> {
    this.reads.push(afterOffset);
    if (this.hold !== undefined) await this.hold;
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error('the disk is slow');
    }
    return super.read(afterOffset, limit);
  }

  override async active(): Promise<AlarmEntry[]> {
    if (this.activeFailures > 0) {
      this.activeFailures -= 1;
      throw new Error('the disk is slow');
    }
    return super.active();
  }
}

/** A log that loses alarms, as one on another machine can: single ones by hand, or all, and then it begins anew. */
export class LossyLog implements AlarmLog {
  readonly isDurable = false;
  readonly fault = undefined;
  private life = new MemoryAlarmLog(RETENTION);
  private readonly removed = new Set<number>();
  private readonly listeners = new Set<() => void>();
  /** What was read is what was there at the call, and comes when this has resolved. */
  hold: Promise<unknown> | undefined;
  /** The same for the conditions. */
  holdActive: Promise<unknown> | undefined;
  /** Told the name of a new epoch before anybody else. */
  onBeginning: ((epoch: string) => void) | undefined;
  /** What `bounds` is behind of until `refresh`. */
  unheard: NewAlarm[] = [];

  /** Another epoch, which begins with these. */
  async beginAnew(...kept: NewAlarm[]): Promise<void> {
    const life = new MemoryAlarmLog(RETENTION);
    await life.append(kept);
    this.removed.clear();
    this.life = life;
    this.onBeginning?.(life.bounds().epoch);
    this.notify();
  }

  remove(...offsets: number[]): void {
    for (const offset of offsets) this.removed.add(offset);
  }

  async append(alarms: readonly NewAlarm[]): Promise<AppendReceipt[]> {
    const receipts = await this.life.append(alarms);
    this.notify();
    return receipts;
  }

  async read(afterOffset: number, limit: number): Promise<AlarmEntry[]> {
    const { life } = this;
    const entries = await life.read(afterOffset, limit);
    await this.hold;
    return entries.filter(({ offset }) => life !== this.life || !this.removed.has(offset));
  }

  async active(): Promise<AlarmEntry[]> {
    const active = await this.life.active();
    await this.holdActive;
    return active;
  }

  bounds(): LogBounds {
    return this.life.bounds();
  }

  async refresh(): Promise<LogBounds> {
    const { unheard } = this;
    this.unheard = [];
    if (unheard.length > 0) await this.append(unheard);
    return this.bounds();
  }

  onAppended(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  trim(): Promise<number> {
    return this.life.trim();
  }

  close(): Promise<void> {
    return this.life.close();
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}

interface ConnectedAlarmClient {
  readonly client: AlarmClient;
  readonly sink: MemorySink;
}

/** One that came through the gateway; `socket` emits what the client sends. */
export interface AdmittedAlarmClient extends ConnectedAlarmClient {
  readonly socket: EventEmitter;
}

/** The registry on sinks in memory. */
class RegistryInMemory extends AlarmRegistry {
  nextSink: MemorySink | undefined;
  lastClient: AlarmClient | undefined;

  override createClient(...[identity, sink, subscription]: Parameters<AlarmRegistry['createClient']>): AlarmClient {
    const client = super.createClient(identity, this.nextSink ?? sink, subscription);
    this.nextSink = undefined;
    return (this.lastClient = client);
  }
}

interface ConnectOptions {
  readonly clientId?: string;
  readonly format?: WireFormat;
  readonly accepts?: (address: AlarmAddress) => boolean;
  readonly start?: AlarmStart;
  readonly maxUnacknowledged?: number;
}

/** The alarm side of a node without sockets: log, pages, tail, registry and subscriptions. */
export class AlarmSide {
  readonly flushQueue = new FlushQueue({ flushIntervalMs: 0 });
  readonly pages: AlarmPages;
  readonly durable: DurableSubscriptions;
  readonly registry: RegistryInMemory;
  readonly tail: AlarmTail;
  readonly places: AlarmPlaces;
  readonly gateway: AlarmGateway;
  private clientCount = 0;

  constructor(
    readonly log: AlarmLog = new MemoryAlarmLog(RETENTION),
    given: PushModuleOptions = {},
    readonly store = new MemorySubscriptionStore({ perUser: 16, total: 10_000 }),
    cluster: Cluster = new InProcessCluster(),
    now: Clock = () => Date.now(),
  ) {
    const options = resolvePushOptions(given);
    this.pages = new AlarmPages(log, options);
    this.durable = new DurableSubscriptions(this.store, log, cluster, options, now);
    this.registry = new RegistryInMemory(options, this.flushQueue, this.pages, this.durable);
    this.tail = new AlarmTail(log, this.pages, this.registry);
    this.places = new AlarmPlaces(log, this.store, this.pages);
    this.gateway = new AlarmGateway(
      options,
      this.registry,
      createConnections(options).connections,
      new Degradation(new InProcessBus()),
    );
  }

  /** A registered client; without a start one at the head. */
  connect({
    clientId = `client-${(this.clientCount += 1)}`,
    format = WireFormat.pushV1,
    accepts = () => true,
    start = { epoch: this.pages.epoch, position: this.pages.head, prelude: [] },
    maxUnacknowledged,
  }: ConnectOptions = {}): ConnectedAlarmClient {
    const sink = new MemorySink();
    const identity = { clientId, key: clientId, userName: '', remoteAddress: '', format };
    const client = this.registry.createClient(identity, sink, { accepts, start, maxUnacknowledged });
    this.registry.register(client, () => client.begin());
    return { client, sink };
  }

  /** A connection as the gateway takes it in, at the place that was found for it. */
  admit(
    alarmPlace: AlarmPlace,
    format: WireFormat,
    acceptsAlarm: (address: AlarmAddress) => boolean,
  ): AdmittedAlarmClient {
    const socket = new EventEmitter();
    const sink = new MemorySink();
    this.registry.nextSink = sink;
    const handshake = { remoteAddress: '' };
    const admission = { clientId: randomUUID(), handshake, session: new Session({}), format, acceptsAlarm, alarmPlace };
    const request = { socket: new EventEmitter() } as unknown as IncomingMessage;
    this.gateway.handleConnection(socket as unknown as PushSocket, request, admission as unknown as Admission);
    const { lastClient: client } = this.registry;
    if (client === undefined) throw new Error('no client was made');
    return { client, sink, socket };
  }

  close(): void {
    this.tail.onApplicationShutdown();
    this.durable.onApplicationShutdown();
    this.flushQueue.close();
  }
}
