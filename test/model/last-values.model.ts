import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { ClaimsAuthorizer } from '../../src/access/push.authorizer.js';
import type { DatumOrigin, RawDataEnvelope } from '../../src/bus/bus.js';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import type { RawDataClient } from '../../src/fan-out/raw-data.router.js';
import type { PushSocket } from '../../src/gateway/push.socket.js';
import { RawDataGateway } from '../../src/gateway/raw-data.gateway.js';
import type { Admission } from '../../src/gateway/admission.js';
import type { ClientMessage } from '../../src/protocol/client-message.js';
import { ANY_BUSINESS_ID, type KeyAddress, type SubscriptionRequest } from '../../src/protocol/messages.js';
import { type PushOptions, resolvePushOptions } from '../../src/push.options.js';
import { Degradation } from '../../src/registry/degradation.js';
import { type Cover, RawDataCoverage } from '../../src/registry/raw-data.coverage.js';
import { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { RawDataSubscriptions } from '../../src/registry/raw-data.subscriptions.js';
import { Session } from '../../src/registry/sessions.js';
import { createConnections } from '../gateway/connections.fixture.js';
import { createRawDataParts, registryParameters } from '../registry/raw-data.fixture.js';
import { SharedNode, SharedRedis } from '../registry/shared.redis.js';
import { turn } from '../support/deadline.js';
import { MemorySink } from '../support/memory.sink.js';
import type { Random } from '../support/random.js';

/** What happened in all runs, so that a test can see that they were worth something. */
export interface LastValuesTally {
  heard: number;
  snapshots: number;
  waited: number;
  faults: number;
  /** Values that came on the return of Redis. */
  news: number;
}

export const newLastValuesTally = (): LastValuesTally => ({ heard: 0, snapshots: 0, waited: 0, faults: 0, news: 0 });

const IDS = ['1', '2'];
/** All nodes push to the first one, and only the others to the second. */
const SERIES = ['everybody', 'others'];
const MAX_CLIENTS = 4;
const OPERATIONS = 60;

/** One push, as a client reads it. */
interface Value {
  readonly series: string;
  readonly nodeId: string;
  readonly n: number;
}

interface Connection {
  readonly client: RawDataClient;
  readonly sink: MemorySink;
  readonly socket: EventEmitter;
  /** Every key that was asked for, answered or not, and the faults by then that were over. */
  readonly asked: Map<string, number>;
}

/** A key that a client was told to be subscribed to. */
interface Subscription {
  readonly request: SubscriptionRequest;
  /** How much Redis and this node had been given by then. */
  readonly publishedBefore: number;
  readonly pushedBefore: number;
}

type SubscriptionListener = (client: RawDataClient, request: SubscriptionRequest, isSubscribed: boolean) => void;

class ObservedRegistry extends RawDataRegistry {
  nextSink = new MemorySink();
  lastClient: RawDataClient | undefined;

  override createClient(...[identity, , ...rest]: Parameters<RawDataRegistry['createClient']>): RawDataClient {
    return (this.lastClient = super.createClient(identity, this.nextSink, ...rest));
  }
}

class ObservedSubscriptions extends RawDataSubscriptions {
  onChanged: SubscriptionListener = () => {};

  override subscribe(
    ...[client, keys]: Parameters<RawDataSubscriptions['subscribe']>
  ): ReturnType<RawDataSubscriptions['subscribe']> {
    for (const key of keys) this.onChanged(client, key, true);
    return super.subscribe(client, keys);
  }

  override unsubscribe(...[client, keys]: Parameters<RawDataSubscriptions['unsubscribe']>): KeyAddress[] {
    for (const key of keys) this.onChanged(client, key, false);
    return super.unsubscribe(client, keys);
  }
}

/** Everything that Redis took, in its order. */
class RecordingRedis extends SharedRedis {
  readonly published: Value[] = [];
  onPublished: (value: Value) => void = () => {};

  override publish(envelope: RawDataEnvelope, origin: DatumOrigin): void {
    super.publish(envelope, origin);
    const value = JSON.parse(envelope.datumJson) as Value;
    this.published.push(value);
    this.onPublished(value);
  }
}

/**
 * The real gateway, registry and coverage of one node beside two others that only push, on a Redis where each step of each
 * connection happens when chance says so. Clients come, subscribe and go, and Redis is lost. Throws at the first client
 * that is not shown what it has to be.
 */
export class LastValuesModel {
  private readonly redis: RecordingRedis;
  private readonly node: SharedNode;
  private readonly others: readonly SharedNode[];
  private readonly options: PushOptions;
  private readonly flushQueue = new FlushQueue({ flushIntervalMs: 0 });
  private readonly coverage: RawDataCoverage;
  private readonly registry: ObservedRegistry;
  private readonly gateway: RawDataGateway;
  private readonly connections = new Set<Connection>();
  private readonly subscriptions = new Map<RawDataClient, Map<string, Subscription>>();
  private readonly pushCounts: Record<string, number> = {};
  /** What this node pushed itself, in its order. */
  private readonly pushed: Value[] = [];
  private faultCount = 0;
  private readonly trace: string[] = [];

  constructor(
    private readonly random: Random,
    private readonly tally: LastValuesTally,
  ) {
    const history = random.pick([1, 3]);
    this.redis = new RecordingRedis(history);
    this.node = new SharedNode(this.redis, 'here');
    this.others = [new SharedNode(this.redis, 'one'), new SharedNode(this.redis, 'two')];
    this.options = resolvePushOptions({ history });
    const parts = createRawDataParts(this.options, { bus: this.node, store: this.node });
    const { coverage, router, lastValues, deliveryFilter } = parts;
    this.coverage = coverage;
    this.registry = new ObservedRegistry(...registryParameters(this.options, this.flushQueue, parts));
    const subscriptions = new ObservedSubscriptions(this.options, router, lastValues, deliveryFilter);
    const { connections } = createConnections(this.options);
    this.gateway = new RawDataGateway(
      this.options,
      this.registry,
      subscriptions,
      connections,
      new Degradation(this.node),
      new ClaimsAuthorizer(),
      this.coverage,
    );
    this.node.onReceived((envelope, origin) => {
      this.trace.push(`${envelope.datumJson} arrives`);
      this.route(envelope, origin);
    });
    this.redis.onPublished = (value) => this.trace.push(`Redis takes ${nameOf(value)} of ${value.series}`);
    subscriptions.onChanged = (...change) => this.note(...change);
  }

  async run(): Promise<void> {
    try {
      for (let n = 0; n < OPERATIONS; n++) {
        await this.step();
        await turn();
      }
      await this.finish();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${reason}\n${this.trace.join('\n')}`, { cause });
    } finally {
      this.coverage.onApplicationShutdown();
      this.flushQueue.close();
    }
  }

  private async step(): Promise<void> {
    switch (
      this.random.weighted({ push: 30, goOn: 40, connect: 10, subscribe: 10, unsubscribe: 3, leave: 4, fault: 3 })
    ) {
      case 'push':
        this.push();
        return;
      case 'goOn':
        for (let n = this.random.below(6); n > 0; n--) this.goOn();
        return;
      case 'connect':
        if (this.connections.size < MAX_CLIENTS) void this.connect();
        return;
      case 'subscribe':
        this.subscribe();
        return;
      case 'unsubscribe':
        this.unsubscribe();
        return;
      case 'leave':
        this.leave();
        return;
      case 'fault':
        this.changeFault();
        return;
    }
  }

  private goOn(): void {
    const node = this.random.pick([this.node, this.node, ...this.others]);
    node.step((count) => this.random.below(count));
  }

  private push(): void {
    const node = this.random.pick([this.node, ...this.others]);
    const series = node === this.node ? 'everybody' : this.random.pick(SERIES);
    const businessId = this.random.pick(IDS);
    const value = { series: `${businessId} ${series}`, nodeId: node.nodeId, n: this.numberOf(node.nodeId) };
    this.trace.push(`${node.nodeId} pushes ${value.n} to ${value.series}`);
    const address = { businessType: 'dev', businessId, to: undefined, except: undefined };
    const key = conflationKey('dev', businessId, series);
    const envelope = { datumJson: JSON.stringify(value), conflationKey: key, ...address };
    const origin = node.send(envelope);
    if (node !== this.node) return;
    this.pushed.push(value);
    this.route(envelope, origin);
  }

  private numberOf(nodeId: string): number {
    return (this.pushCounts[nodeId] = (this.pushCounts[nodeId] ?? 0) + 1);
  }

  private route({ datumJson, conflationKey: key, ...address }: RawDataEnvelope, origin: DatumOrigin): void {
    this.registry.route({ frame: Frame.rawData(datumJson, key), filter: undefined, ...address }, origin);
  }

  /** As the gate lets a connection in: covered first, and perhaps gone by then. */
  private async connect(): Promise<void> {
    const request = this.request(this.random.pick([...IDS, ANY_BUSINESS_ID]));
    const clientId = randomUUID().slice(0, 4);
    this.trace.push(`${clientId} connects to ${JSON.stringify(request)}`);
    const { faultsOver } = this;
    const cover = this.coverage.coverConnection({ ...request, userName: 'ann', clientId });
    if (cover.ready !== undefined) {
      this.tally.waited += 1;
      await cover.ready;
    }
    if (this.random.chance(0.1)) {
      this.trace.push(`${clientId} has gone meanwhile`);
      cover.release();
    } else this.admit(request, clientId, faultsOver, cover);
  }

  private admit(request: SubscriptionRequest, clientId: string, faultsOver: number, cover: Cover): void {
    const socket = new EventEmitter();
    const sink = (this.registry.nextSink = new MemorySink());
    const { businessType, businessId, ...subscription } = request;
    const admission = {
      clientId,
      handshake: { parameters: { businessType, businessId, userName: 'ann' }, remoteAddress: '127.0.0.1' },
      format: WireFormat.pushV1,
      session: new Session({}),
      subscription,
      cover,
    };
    const upgrade = { socket: new EventEmitter() } as unknown as IncomingMessage;
    this.gateway.handleConnection(socket as unknown as PushSocket, upgrade, admission as unknown as Admission);
    const client = this.registry.lastClient;
    if (client === undefined) throw new Error('no client was made');
    this.trace.push(`${clientId} is in`);
    this.connections.add({ client, sink, socket, asked: new Map([[businessId, faultsOver]]) });
    this.note(client, request, true);
  }

  private request(businessId: string): SubscriptionRequest {
    const snapshot = this.random.chance(0.7);
    return { businessType: 'dev', businessId, snapshot, ...(snapshot ? { history: this.random.below(4) } : {}) };
  }

  /** Every key once, and none that overlaps another: then no value may come twice. */
  private subscribe(): void {
    const connection = this.anyConnection();
    const free = IDS.find((id) => connection?.asked.has(id) === false);
    if (connection === undefined || free === undefined || connection.asked.has(ANY_BUSINESS_ID)) return;
    const request = this.request(free);
    this.trace.push(`${connection.client.clientId} subscribes to ${JSON.stringify(request)}`);
    connection.asked.set(free, this.faultsOver);
    this.handle(connection, 'subscribe', request);
  }

  private unsubscribe(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    const businessId = this.random.pick([...connection.asked.keys()]);
    this.trace.push(`${connection.client.clientId} unsubscribes from ${businessId}`);
    this.handle(connection, 'unsubscribe', { businessType: 'dev', businessId });
  }

  private handle({ client }: Connection, event: 'subscribe' | 'unsubscribe', request: SubscriptionRequest): void {
    this.gateway.handle(client, { event, data: { keys: [request] }, ref: undefined } as ClientMessage);
  }

  private note(client: RawDataClient, request: SubscriptionRequest, isSubscribed: boolean): void {
    const own = this.subscriptions.get(client) ?? new Map<string, Subscription>();
    this.subscriptions.set(client, own);
    this.trace.push(`${client.clientId} ${isSubscribed ? 'is' : 'is no longer'} subscribed to ${request.businessId}`);
    if (!isSubscribed) {
      own.delete(request.businessId);
      return;
    }
    if (request.snapshot === true) this.tally.snapshots += 1;
    own.set(request.businessId, {
      request,
      publishedBefore: this.redis.published.length,
      pushedBefore: this.pushed.length,
    });
  }

  private leave(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    this.trace.push(`${connection.client.clientId} leaves`);
    this.flushQueue.flushAll();
    this.connections.delete(connection);
    connection.socket.emit('close', 1000, Buffer.from(''));
    this.checkRising(connection);
  }

  private changeFault(): void {
    if (this.node.fault === undefined) {
      this.trace.push('Redis is lost');
      this.faultCount += 1;
      this.tally.faults += 1;
      this.node.lose();
    } else {
      this.trace.push('Redis is back');
      this.node.recover();
    }
  }

  private get faultsOver(): number {
    return this.node.fault === undefined ? this.faultCount : this.faultCount - 1;
  }

  private anyConnection(): Connection | undefined {
    return this.connections.size === 0 ? undefined : this.random.pick([...this.connections]);
  }

  private async finish(): Promise<void> {
    if (this.node.fault !== undefined) this.changeFault();
    // Whoever has waited for the same goes on one a turn.
    for (let quiet = 0; quiet < OPERATIONS; quiet++) {
      await turn();
      while ([this.node, ...this.others].some((node) => node.step(() => 0))) {
        await turn();
        quiet = 0;
      }
    }
    this.flushQueue.flushAll();
    for (const connection of this.connections) this.checkWhole(connection);
    while (this.connections.size > 0) this.leave();
    if (this.node.wants.size > 0) throw new Error(`still wanted: ${[...this.node.wants.keys()].join()}`);
  }

  private heardBy({ sink }: Connection): Value[] {
    const messages = sink.texts().map((text) => JSON.parse(text) as { event: string; data: Value });
    return messages.filter(({ event }) => event === 'rawData').map(({ data }) => data);
  }

  /** Of no series and node a value twice, or behind a newer one. */
  private checkRising(connection: Connection): void {
    const newest = new Map<string, number>();
    for (const { series, nodeId, n } of this.heardBy(connection)) {
      this.tally.heard += 1;
      const line = `${series} of ${nodeId}`;
      if (n <= (newest.get(line) ?? 0)) throw new Error(`${connection.client.clientId} heard ${line}: ${n} once more`);
      newest.set(line, n);
    }
  }

  /** Nothing is on its way any more, and there is no fault. */
  private checkWhole(connection: Connection): void {
    const heard = this.heardBy(connection);
    for (const subscription of this.subscriptions.get(connection.client)?.values() ?? []) {
      const { businessId } = subscription.request;
      for (const id of businessId === ANY_BUSINESS_ID ? IDS : [businessId]) {
        for (const series of SERIES) {
          const ofSeries = heard.filter((value) => value.series === `${id} ${series}`).map(nameOf);
          const hadFault = connection.asked.get(businessId) !== this.faultCount;
          const fault = this.faultIn(ofSeries, `${id} ${series}`, subscription, hadFault);
          if (fault !== undefined) {
            throw new Error(`${connection.client.clientId} heard [${ofSeries.join()}] of ${id} ${series}: ${fault}`);
          }
        }
      }
    }
  }

  private faultIn(
    heard: readonly string[],
    series: string,
    subscription: Subscription,
    hadFault: boolean,
  ): string | undefined {
    const { request, publishedBefore, pushedBefore } = subscription;
    const isOfSeries = (value: Value) => value.series === series;
    const missing = (values: readonly Value[]) =>
      values
        .filter(isOfSeries)
        .map(nameOf)
        .filter((name) => !heard.includes(name));
    const local = missing(this.pushed.slice(pushedBefore));
    if (local.length > 0) return `${local.join()} of this node are missing`;
    const published = this.redis.published.filter(isOfSeries).map(nameOf);
    const later = this.redis.published.slice(publishedBefore).filter(({ nodeId }) => nodeId !== this.node.nodeId);
    if (hadFault) {
      // Where several nodes push to a series, what is live is as good as what came later at Redis.
      const isDue = series.endsWith('others') && (request.snapshot === true || later.some(isOfSeries));
      const newest = published.at(-1);
      return isDue && newest !== undefined && !heard.includes(newest) ? `${newest} is missing` : undefined;
    }
    const lost = missing(later);
    if (lost.length > 0) return `${lost.join()} are missing`;
    if (!series.endsWith('others')) return undefined;
    const suffix = published.slice(published.length - heard.length);
    if (heard.join() !== suffix.join()) return `[${suffix.join()}] were published`;
    const before = published.length - later.filter(isOfSeries).length;
    const due =
      request.snapshot === true ? Math.min(before, Math.max(1, request.history ?? 0), this.options.history) : 0;
    const least = later.filter(isOfSeries).length + due;
    return heard.length < least ? `${least} are due` : undefined;
  }
}

const nameOf = ({ nodeId, n }: Value) => `${nodeId} ${n}`;
