import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { InProcessBus } from '../../src/bus/in-process.bus.js';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { ClaimsAuthorizer } from '../../src/access/push.authorizer.js';
import { conflationKey } from '../../src/fan-out/key.js';
import type { PushTarget, RawDataClient } from '../../src/fan-out/raw-data.router.js';
import type { PushSocket } from '../../src/gateway/push.socket.js';
import { RawDataGateway } from '../../src/gateway/raw-data.gateway.js';
import type { Admission } from '../../src/gateway/admission.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import type { KeyAddress, SubscriptionRequest } from '../../src/protocol/messages.js';
import { type PushOptions, resolvePushOptions } from '../../src/push.options.js';
import { Degradation } from '../../src/registry/degradation.js';
import { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { RawDataSubscriptions } from '../../src/registry/raw-data.subscriptions.js';
import { Session } from '../../src/registry/sessions.js';
import { createConnections } from '../gateway/connections.fixture.js';
import { createRawDataParts, registryParameters } from '../registry/raw-data.fixture.js';
import { marksOf, MemorySink, Opcode } from '../support/memory.sink.js';
import type { Random } from '../support/random.js';

/** The fake timers of the test. */
export interface ModelClock {
  advance(ms: number): void;
  timerCount(): number;
}

/** What happened in all runs, so that a test can see that they were worth something. */
export interface ModelTally {
  delivered: number;
  conflated: number;
  heldBack: number;
  snapshots: number;
  /** Subscriptions anew to a key of which values still waited. */
  returns: number;
  closed: number;
}

export function newTally(): ModelTally {
  return { delivered: 0, conflated: 0, heldBack: 0, snapshots: 0, returns: 0, closed: 0 };
}

const TYPES = ['dev', 'pump'];
const IDS = ['1', '10'];
const SERIES = ['', 'kw'];
const USERS = ['ann', 'bob'];
const RATES_HZ = [2, 5, 20];
const MAX_CLIENTS = 4;
const MAX_SUBSCRIPTIONS = 4;
const OPERATIONS = 40;
/** Small enough to fill within a few pushes; half of the budget holds any snapshot. */
const IN_FLIGHT_BYTES = 1024;
const MAX_OUTBOX_BYTES = 6 * 1024;
const CONFLATE_AFTER_MS = 100;
/** A client that keeps up never has more than its window waiting between two settlings. */
const MAX_PUSHES_A_FLUSH = 20;
const STEP_MS = 10;
const LONGEST_INTERVAL_MS = 1000 / Math.min(...RATES_HZ);
/** What a message on push.v1 has more than the JSON of its datum. */
const ENVELOPE_BYTES = 40;

interface Datum {
  readonly n: number;
  /** The conflation key. */
  readonly series: string;
}

/** The parts of all messages that are looked at; a datum on the plain wire is not wrapped. */
interface Message extends Datum {
  readonly event?: string;
  readonly data: Datum & { readonly count: number };
}

interface Kept {
  readonly n: number;
  readonly bytes: number;
}

interface Address {
  readonly businessType: string;
  readonly businessId: string | undefined;
}

/** One value that a client was offered. */
interface Offer {
  readonly n: number;
  readonly kind: 'history' | 'newest' | 'live';
  /** How far apart values of the series may go; 0: at once. */
  readonly intervalMs: number;
  readonly atMs: number;
  /** Place in the order of everything offered to the client; all of one snapshot share theirs. */
  readonly place: number;
}

/** The offers of one series between two answers that divide it. What arrives between those answers is one of them. */
interface Era {
  readonly offers: Offer[];
  /** How many of them have arrived, or never will. */
  passed: number;
  /** The last that arrived. */
  newest: number;
}

/** A personal message of the server, and the series that it divides. */
interface Answer {
  readonly text: string;
  readonly place: number;
  readonly divides: readonly string[];
  /** `snapshot`: values that still wait are repeated behind it. `end`: they have to stand before it. */
  readonly by: 'snapshot' | 'end';
}

/** One connection, and what the naive model knows of it. */
interface Connection {
  readonly name: string;
  readonly client: RawDataClient;
  readonly socket: EventEmitter;
  readonly sink: MemorySink;
  readonly userName: string;
  readonly isPushV1: boolean;
  /** A page that returns marks by message, or a library that only answers pings. */
  readonly answersMessages: boolean;
  subscriptions: SubscriptionRequest[];
  readonly answers: Answer[];
  /** Of each series the eras that the client has not left yet. */
  readonly eras: Map<string, Era[]>;
  /** Series of which the current write held a value that may be conflated, since the last answer in it. */
  readonly flushed: Set<string>;
  readonly heldMarks: ReturnType<typeof marksOf>;
  /** When its rates were changed, and its place in the order of everything offered. */
  changed: { atMs: number; place: number };
  /** Of each held-back series the times of its arrivals. */
  readonly arrivals: Map<string, { intervalMs: number; times: number[] }>;
  /** Answers, snapshots and values offered so far. */
  offered: number;
  /** Values offered, arrived, and whether any of them may have been held back. */
  values: number;
  arrived: number;
  isPaced: boolean;
  lastPlace: number;
  /** Bytes offered since the outbox was empty. */
  waitingBytes: number;
  stalledSinceMs: number | undefined;
  /** May have been under pressure since the outbox was empty. */
  mayConflate: boolean;
  isSteady: boolean;
  toldConflated: number;
}

/** The registry on sinks in memory. */
class RegistryInMemory extends RawDataRegistry {
  nextSink = new MemorySink();
  lastClient: RawDataClient | undefined;

  override createClient(...[identity, , ...rest]: Parameters<RawDataRegistry['createClient']>): RawDataClient {
    return (this.lastClient = super.createClient(identity, this.nextSink, ...rest));
  }
}

/**
 * The real gateway, registry, outboxes and flush queue beside a naive model of what each client has to be sent when
 * rates, snapshots, changing subscriptions and slow clients come together. Throws at the first difference.
 */
export class RatesAndSnapshotsModel {
  private readonly options: PushOptions;
  private readonly flushQueue = new FlushQueue({ flushIntervalMs: 0 });
  private readonly registry: RegistryInMemory;
  private readonly gateway: RawDataGateway;
  private readonly connections = new Set<Connection>();
  /** By type, by id, by conflation key: all values that a snapshot may show, oldest first. */
  private readonly kept = new Map<string, Map<string, Map<string, Kept[]>>>();
  private readonly trace: string[] = [];
  private nowMs = 0;
  private connectionCount = 0;
  private requestCount = 0;
  private datumCount = 0;
  private pushesSinceFlush = 0;

  constructor(
    private readonly random: Random,
    private readonly clock: ModelClock,
    private readonly tally: ModelTally,
  ) {
    this.options = resolvePushOptions({
      delivery: random.chance(0.8) ? 'conflate' : 'merge',
      history: random.pick([1, 3]),
      inFlightBytes: IN_FLIGHT_BYTES,
      maxOutboxBytes: MAX_OUTBOX_BYTES,
      conflateAfterMs: CONFLATE_AFTER_MS,
      maxSubscriptionsPerClient: MAX_SUBSCRIPTIONS,
      maxMessagesPerSecond: 100_000,
    });
    const bus = new InProcessBus();
    const parts = createRawDataParts(this.options, { bus });
    const { coverage, router, lastValues, deliveryFilter } = parts;
    this.registry = new RegistryInMemory(...registryParameters(this.options, this.flushQueue, parts));
    const { connections } = createConnections(this.options);
    this.gateway = new RawDataGateway(
      this.options,
      this.registry,
      new RawDataSubscriptions(this.options, router, lastValues, deliveryFilter),
      connections,
      new Degradation(bus),
      new ClaimsAuthorizer(),
      coverage,
    );
  }

  run(): void {
    try {
      this.connect();
      for (let i = 0; i < OPERATIONS; i++) this.step();
      this.finish();
    } catch (cause) {
      const { delivery, history } = this.options;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${reason}\n  ${[`delivery ${delivery}, history ${history}`, ...this.trace].join('\n  ')}`, {
        cause,
      });
    } finally {
      this.flushQueue.close();
    }
  }

  private step(): void {
    const operation = this.random.weighted({
      push: 45,
      burst: 8,
      settle: 8,
      wait: 10,
      subscribe: 10,
      unsubscribe: 5,
      resubscribe: 4,
      stall: 5,
      resume: 3,
      connect: 4,
      disconnect: 1,
    });
    this[operation]();
    this.removeClosed();
    for (const { name, client } of this.connections) {
      demand(client.outboxBytes <= MAX_OUTBOX_BYTES, () => `${name} holds ${client.outboxBytes} bytes`);
    }
  }

  // What the application does

  private push(): void {
    const { random } = this;
    const businessType = random.pick(TYPES);
    const businessId = random.chance(0.08) ? undefined : random.pick(IDS);
    this.pushTo(businessType, businessId, random.chance(0.12) ? this.target() : undefined);
  }

  /** One address alone, so that the window fills and values of a series wait behind each other. */
  private burst(): void {
    const businessType = this.random.pick(TYPES);
    const businessId = this.random.pick(IDS);
    for (let left = 3 + this.random.below(12); left > 0; left--) this.pushTo(businessType, businessId, undefined);
  }

  private pushTo(businessType: string, businessId: string | undefined, to: PushTarget | undefined): void {
    const { random } = this;
    const n = (this.datumCount += 1);
    const series = conflationKey(businessType, businessId ?? '', random.pick(SERIES));
    const except = random.chance(0.05) ? this.anyConnection()?.client.clientId : undefined;
    const isKept = to === undefined && businessId !== undefined;
    const mostPadding = !isKept && random.chance(0.3) ? IN_FLIGHT_BYTES : 80;
    const json = JSON.stringify({ n, series, padding: 'x'.repeat(random.below(mostPadding)) });
    this.note(`push ${n} of ${readable(series)}${to === undefined ? '' : ` to ${JSON.stringify(to)}`}`);
    const matches = [...this.connections].filter(
      (connection) => connection.client.clientId !== except && isMatched(connection, { businessType, businessId }, to),
    );
    for (const connection of matches) {
      const intervalMs = isKept ? intervalOf(connection, { businessType, businessId }) : 0;
      this.offer(
        connection,
        series,
        { n, kind: 'live', intervalMs, atMs: this.nowMs, place: ++connection.offered },
        json.length,
      );
    }
    if (isKept) this.keep({ businessType, businessId }, series, n, json.length);
    const matched = this.registry.route({
      frame: Frame.rawData(json, series),
      businessType,
      businessId,
      to,
      except,
      filter: undefined,
    });
    demand(matched === matches.length, () => `push ${n} matched ${matched} instead of ${matches.length}`);
    this.pushesSinceFlush += 1;
    if (this.pushesSinceFlush >= MAX_PUSHES_A_FLUSH) this.settle();
  }

  private keep({ businessType, businessId }: KeyAddress, series: string, n: number, bytes: number): void {
    const ofType = getOrCreate(this.kept, businessType, () => new Map<string, Map<string, Kept[]>>());
    const ofId = getOrCreate(ofType, businessId, () => new Map<string, Kept[]>());
    getOrCreate(ofId, series, () => []).push({ n, bytes });
  }

  private target(): PushTarget {
    const { random } = this;
    return random.pick<() => PushTarget>([
      () => ({ userName: random.pick(USERS) }),
      () => ({ clientId: this.anyConnection()?.client.clientId ?? 'nobody' }),
      () => ({ businessType: random.pick(TYPES) }),
      () => ({ businessType: random.pick(TYPES), businessId: random.pick(IDS) }),
    ])();
  }

  // What clients do

  private connect(): void {
    if (this.connections.size >= MAX_CLIENTS) return;
    const { random, registry } = this;
    const name = `client ${(this.connectionCount += 1)}`;
    const isPushV1 = random.chance(0.75);
    const userName = random.pick(USERS);
    const key = this.request(random.pick(IDS));
    const { businessType, businessId, ...subscription } = key;
    const socket = new EventEmitter();
    const sink = (registry.nextSink = new MemorySink());
    this.note(`${name} of ${userName} connects on ${isPushV1 ? 'push.v1' : 'plain'} to ${JSON.stringify(key)}`);
    const admission = {
      clientId: randomUUID(),
      handshake: { parameters: { businessType, businessId, userName }, remoteAddress: '127.0.0.1' },
      format: isPushV1 ? WireFormat.pushV1 : WireFormat.plain,
      session: new Session({}),
      subscription,
    };
    const request = { socket: new EventEmitter() } as unknown as IncomingMessage;
    this.gateway.handleConnection(socket as unknown as PushSocket, request, admission as unknown as Admission);
    const client = registry.lastClient;
    if (client === undefined) throw new Error('no client was made');
    const connection: Connection = {
      name,
      client,
      socket,
      sink,
      userName,
      isPushV1,
      answersMessages: isPushV1 && random.chance(0.7),
      subscriptions: [key],
      answers: [],
      eras: new Map(),
      flushed: new Set(),
      heldMarks: [],
      changed: { atMs: this.nowMs, place: 0 },
      arrivals: new Map(),
      offered: 0,
      values: 0,
      arrived: 0,
      isPaced: false,
      lastPlace: 0,
      waitingBytes: 0,
      stalledSinceMs: undefined,
      mayConflate: false,
      isSteady: true,
      toldConflated: 0,
    };
    this.connections.add(connection);
    const { clientId } = client;
    const ready = { event: 'ready', data: { clientId, heartbeatMs: this.options.heartbeatIntervalMs } };
    if (isPushV1) this.expectAnswer(connection, ready, [], 'end');
    this.offerSnapshot(connection, key);
  }

  private subscribe(): void {
    const connection = this.anySubscriber();
    if (connection === undefined) return;
    const keys = Array.from({ length: 1 + this.random.below(2) }, () => this.request());
    this.sendSubscribe(connection, keys);
  }

  private unsubscribe(): void {
    const connection = this.anySubscriber();
    if (connection === undefined) return;
    const { random } = this;
    const own = connection.subscriptions.map(({ businessType, businessId }) => ({ businessType, businessId }));
    const any = { businessType: random.pick(TYPES), businessId: random.pick([...IDS, '*']) };
    this.sendUnsubscribe(connection, [random.pick([...own, ...own, any])]);
  }

  /** Leaves a key and comes back to it, while values of it may still wait. */
  private resubscribe(): void {
    const connection = this.anySubscriber();
    if (connection === undefined || connection.subscriptions.length === 0) return;
    const { businessType, businessId } = this.random.pick(connection.subscriptions);
    if (connection.client.outboxBytes > 0) this.tally.returns += 1;
    this.sendUnsubscribe(connection, [{ businessType, businessId }]);
    for (let left = this.random.below(4); left > 0; left--) this.push();
    this.sendSubscribe(connection, [{ ...this.request(businessId), businessType }]);
  }

  private sendSubscribe(connection: Connection, keys: readonly SubscriptionRequest[]): void {
    this.send(connection, 'subscribe', keys, (ref) => {
      const accepted: SubscriptionRequest[] = [];
      const refused: (KeyAddress & { reason: string })[] = [];
      for (const key of keys) {
        const others = connection.subscriptions.filter((each) => !isSameAddress(each, key));
        const isNew = others.length === connection.subscriptions.length;
        if (isNew && others.length >= MAX_SUBSCRIPTIONS) {
          refused.push({ businessType: key.businessType, businessId: key.businessId, reason: 'limit' });
        } else {
          connection.subscriptions = [...others, key];
          accepted.push(key);
        }
      }
      const divided = accepted.flatMap((key) => this.snapshotOf(key).map(([series]) => series));
      this.expectAnswer(
        connection,
        { event: 'subscribed', ref, data: { keys: accepted, refused } },
        divided,
        'snapshot',
      );
      for (const key of accepted) this.offerSnapshot(connection, key);
    });
  }

  private sendUnsubscribe(connection: Connection, keys: readonly KeyAddress[]): void {
    this.send(connection, 'unsubscribe', keys, (ref) => {
      const isHeard = (series: string) => hears(connection.subscriptions, addressOf(series));
      const heardBefore = [...connection.eras.keys()].filter(isHeard);
      const left = keys.filter((key) => connection.subscriptions.some((each) => isSameAddress(each, key)));
      connection.subscriptions = connection.subscriptions.filter(
        (each) => !left.some((key) => isSameAddress(each, key)),
      );
      const divided = heardBefore.filter((series) => !isHeard(series));
      this.expectAnswer(connection, { event: 'unsubscribed', ref, data: { keys: left } }, divided, 'end');
    });
  }

  private send(
    connection: Connection,
    event: string,
    keys: readonly KeyAddress[],
    expect: (ref: number) => void,
  ): void {
    const ref = (this.requestCount += 1);
    this.note(`${connection.name} sends ${event} ${ref} ${JSON.stringify(keys)}`);
    expect(ref);
    connection.arrivals.clear();
    connection.changed = { atMs: this.nowMs, place: connection.offered };
    connection.socket.emit('message', Buffer.from(JSON.stringify({ event, ref, data: { keys } })), false);
  }

  private request(businessId = this.random.pick([...IDS, '*'])): SubscriptionRequest {
    const { random } = this;
    return {
      businessType: random.pick(TYPES),
      businessId,
      ...(random.chance(0.4) ? { maxFrequencyHz: random.pick(RATES_HZ) } : {}),
      ...(random.chance(0.4) ? { snapshot: random.chance(0.9) } : {}),
      ...(random.chance(0.3) ? { history: random.below(5) } : {}),
    };
  }

  private stall(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    this.note(`${connection.name} stops returning marks`);
    connection.stalledSinceMs ??= this.nowMs;
    connection.isSteady = false;
  }

  private resume(): void {
    const stalled = [...this.connections].filter(({ stalledSinceMs }) => stalledSinceMs !== undefined);
    if (stalled.length > 0) this.wakeUp(this.random.pick(stalled));
  }

  private wakeUp(connection: Connection): void {
    this.note(`${connection.name} returns marks again`);
    this.notePressure(connection);
    connection.stalledSinceMs = undefined;
    this.settle();
    connection.arrivals.clear();
    connection.isSteady = true;
  }

  /** By the server, or by a socket that breaks. */
  private disconnect(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    this.note(`${connection.name} is disconnected`);
    if (this.random.chance(0.5)) this.registry.disconnect(connection.client.clientId);
    else this.remove(connection, 1006);
  }

  // What time does

  private wait(): void {
    for (let left = 1 + this.random.below(15); left > 0; left--) this.tick();
  }

  private tick(): void {
    this.nowMs += STEP_MS;
    this.clock.advance(STEP_MS);
    this.settle();
  }

  /** Flushes, and lets everybody who is not stalled read until nothing moves any more. */
  private settle(): void {
    this.pushesSinceFlush = 0;
    for (const connection of this.connections) this.notePressure(connection);
    for (let round = 0, isMoving = true; isMoving; round++) {
      demand(round < 1000, () => 'the flushes do not come to an end');
      this.flushQueue.flushAll();
      for (const connection of this.connections) this.read(connection);
      this.removeClosed();
      isMoving = false;
      for (const connection of this.connections) {
        if (connection.stalledSinceMs === undefined && returnMarks(connection)) isMoving = true;
      }
    }
    for (const connection of this.connections) {
      if (connection.stalledSinceMs === undefined) this.checkDrained(connection);
    }
  }

  private notePressure(connection: Connection): void {
    const { stalledSinceMs = this.nowMs, waitingBytes } = connection;
    const isSlow = this.nowMs - stalledSinceMs >= CONFLATE_AFTER_MS || waitingBytes > MAX_OUTBOX_BYTES;
    if (isSlow || this.options.delivery === 'merge') connection.mayConflate = true;
  }

  /** Everybody reads on, and all rates come to rest; then every client holds the final value of each of its series. */
  private finish(): void {
    for (const connection of this.connections) if (connection.stalledSinceMs !== undefined) this.wakeUp(connection);
    this.note('everything comes to rest');
    const restAtMs = this.nowMs + LONGEST_INTERVAL_MS + 2 * STEP_MS;
    while (this.nowMs < restAtMs) this.tick();
    for (const connection of this.connections) {
      const { name, eras } = connection;
      for (const [series, [era]] of eras) {
        const left = era?.offers.slice(era.passed) ?? [];
        demand(left.length === 0, () => `${name} never got ${numbers(left)} of ${readable(series)}`);
      }
      this.checkConflated(connection);
      this.remove(connection, 1000);
    }
    this.clock.advance(STEP_MS);
    demand(this.clock.timerCount() === 0, () => `${this.clock.timerCount()} timers are left`);
    demand(this.registry.count() === 0, () => `${this.registry.count()} clients are left`);
  }

  // What clients are to be sent

  private offer(connection: Connection, series: string, offer: Offer, bytes: number): void {
    erasOf(connection, series).at(-1)?.offers.push(offer);
    connection.values += 1;
    connection.isPaced ||= offer.intervalMs > 0;
    connection.waitingBytes += bytes + ENVELOPE_BYTES;
  }

  private expectAnswer(connection: Connection, message: object, divided: readonly string[], by: Answer['by']): void {
    if (connection.client.state !== 'open') return;
    const text = JSON.stringify(message);
    const divides = [...new Set(divided)];
    for (const series of divides) erasOf(connection, series).push({ offers: [], passed: 0, newest: 0 });
    connection.answers.push({ text, place: ++connection.offered, divides, by });
    connection.waitingBytes += text.length + ENVELOPE_BYTES;
  }

  /** Each series of an address that is kept, with its last values, oldest first. */
  private snapshotOf({ businessType, businessId, snapshot, history = 0 }: SubscriptionRequest): [string, Kept[]][] {
    if (snapshot !== true && history === 0) return [];
    const ofType = [...(this.kept.get(businessType) ?? [])];
    const ofIds = ofType.filter(([id]) => businessId === '*' || businessId === id);
    const count = Math.min(Math.max(1, history), this.options.history);
    return ofIds.flatMap(([, ofId]) =>
      [...ofId].map(([series, values]): [string, Kept[]] => [series, values.slice(-count)]),
    );
  }

  private offerSnapshot(connection: Connection, key: SubscriptionRequest): void {
    const place = ++connection.offered;
    for (const [series, values] of this.snapshotOf(key)) {
      this.tally.snapshots += 1;
      for (const { n, bytes } of values) {
        const kind = n === values.at(-1)?.n ? 'newest' : 'history';
        this.offer(connection, series, { n, kind, intervalMs: 0, atMs: this.nowMs, place }, bytes);
      }
    }
  }

  // What they are sent

  private read(connection: Connection): void {
    for (const frames of connection.sink.takeWrites()) {
      connection.flushed.clear();
      for (const { opcode, payload } of frames) {
        if (opcode === Opcode.text) this.readText(connection, payload.toString());
      }
      connection.heldMarks.push(...marksOf(frames));
    }
  }

  private readText(connection: Connection, text: string): void {
    const message = JSON.parse(text) as Message;
    if (!connection.isPushV1) this.receive(connection, message);
    else if (message.event === 'rawData') this.receive(connection, message.data);
    else if (message.event === 'conflated') connection.toldConflated += message.data.count;
    else if (message.event !== 'mark') this.receiveAnswer(connection, text);
  }

  /** Values of the series that it divides stand on their side of it. */
  private receiveAnswer(connection: Connection, text: string): void {
    const { name, answers, eras, flushed, mayConflate } = connection;
    const answer = answers.shift();
    if (answer?.text !== text) throw new Error(`${name} was answered ${text} instead of ${answer?.text}`);
    checkPlace(connection, answer.place, text);
    flushed.clear();
    for (const series of answer.divides) {
      const left = missing(eras.get(series)?.shift(), mayConflate);
      const isRepeated = answer.by === 'snapshot' && mayConflate;
      const lost = isRepeated ? left.filter(({ kind }) => kind === 'history') : left;
      demand(lost.length === 0, () => `${name} did not get ${numbers(lost)} of ${readable(series)} before ${text}`);
    }
  }

  private receive(connection: Connection, { n, series }: Datum): void {
    const { name, eras, flushed, mayConflate } = connection;
    const era = eras.get(series)?.[0];
    const offers = era?.offers.slice(era.passed) ?? [];
    const mandatory = offers.findIndex((offer) => !maySkip(offer, mayConflate));
    const reachable = mandatory === -1 ? offers : offers.slice(0, mandatory + 1);
    const index = reachable.findIndex((offer) => offer.n === n);
    const offer = reachable[index];
    if (era === undefined || offer === undefined) {
      throw new Error(`${name} got ${n} of ${readable(series)} instead of ${numbers(reachable)}`);
    }
    if (isUnpaced(offer)) checkPlace(connection, offer.place, `${n} of ${readable(series)}`);
    else this.checkRate(connection, series, offer);
    era.passed += index + 1;
    const isMerged = this.options.delivery !== 'merge' || offer.kind === 'history' || !flushed.has(series);
    demand(isMerged, () => `${name} got ${n} of ${readable(series)} in one flush with an older one`);
    if (offer.kind !== 'history') flushed.add(series);
    era.newest = n;
    connection.arrived += 1;
    this.tally.delivered += 1;
    this.tally.heldBack += reachable.slice(0, index).filter((skipped) => !isUnpaced(skipped)).length;
  }

  /** Within any time no more values than the rate allows, and one. */
  private checkRate(connection: Connection, series: string, { intervalMs, place }: Offer): void {
    const { name, arrivals, isSteady, changed } = connection;
    // What was due by a rate that was changed came at once, and one that was lifted counts from there.
    const isLetGo = place <= changed.place && this.nowMs - changed.atMs <= STEP_MS;
    if (!isSteady || isLetGo) return;
    let arrived = arrivals.get(series);
    if (arrived?.intervalMs !== intervalMs) arrivals.set(series, (arrived = { intervalMs, times: [] }));
    const { times } = arrived;
    times.forEach((time, i) => {
      const allowedMs = this.nowMs - time + STEP_MS;
      const count = times.length - i;
      const fault = () =>
        `${name} got ${count} values of ${readable(series)} every ${intervalMs} ms in ${allowedMs} ms`;
      demand((count - 1) * intervalMs <= allowedMs, fault);
    });
    times.push(this.nowMs);
  }

  /** Everything has arrived but what a rate may hold back. */
  private checkDrained(connection: Connection): void {
    const { name, client, answers, eras, mayConflate } = connection;
    demand(client.outboxBytes === 0, () => `${name} keeps up and still has ${client.outboxBytes} bytes in its outbox`);
    demand(answers.length === 0, () => `${name} was not answered ${answers[0]?.text}`);
    for (const [series, [era]] of eras) {
      const lost = missing(era, mayConflate);
      demand(lost.length === 0, () => `${name} keeps up and did not get ${numbers(lost)} of ${readable(series)}`);
      if (era !== undefined) this.checkHeldBack(connection, series, era);
    }
    connection.waitingBytes = 0;
    connection.mayConflate = false;
  }

  /** Nothing is held back for longer than the rate of now says: a rate counts from the last value that passed. */
  private checkHeldBack(connection: Connection, series: string, era: Era): void {
    const { name } = connection;
    era.passed = Math.max(era.passed, era.offers.findLastIndex(isUnpaced) + 1);
    const heldBack = era.offers.slice(era.passed);
    const waitedMs = this.nowMs - Math.min(...heldBack.map(({ atMs }) => atMs));
    const allowedMs = intervalOf(connection, addressOf(series)) + STEP_MS;
    const fault = () => `${name} waits ${waitedMs} ms for ${numbers(heldBack)} of ${readable(series)}`;
    demand(heldBack.length === 0 || waitedMs <= allowedMs, fault);
  }

  /** What did not arrive was counted, and the client was told. */
  private checkConflated({ name, client, values, arrived, isPaced, isPushV1, toldConflated }: Connection): void {
    const { conflatedTotal } = client;
    const missingCount = values - arrived;
    const isCounted = this.options.delivery === 'merge' || isPaced || conflatedTotal === missingCount;
    demand(isCounted, () => `${name} misses ${missingCount}, counted are ${conflatedTotal}`);
    const isTold = !isPushV1 || toldConflated === conflatedTotal;
    demand(isTold, () => `${name} was told ${toldConflated} of ${conflatedTotal} conflated`);
  }

  /** As a socket's close event does. */
  private removeClosed(): void {
    for (const connection of this.connections) {
      const { name, sink, waitingBytes } = connection;
      if (sink.closed === undefined) continue;
      const { code } = sink.closed;
      const isOverBudget = code === CloseCodes.outboxFull.code && waitingBytes > MAX_OUTBOX_BYTES;
      demand(isOverBudget || code === 1000, () => `${name} was closed with ${code}`);
      this.notePressure(connection);
      this.read(connection);
      this.remove(connection, code);
      this.tally.closed += 1;
    }
  }

  private remove(connection: Connection, code: number): void {
    const { name, client, socket, sink } = connection;
    this.tally.conflated += client.conflatedTotal;
    socket.emit('close', code, Buffer.alloc(0));
    this.connections.delete(connection);
    demand(sink.writesAfterClose === 0, () => `${name} was written to behind its close frame`);
    demand(client.outboxBytes === 0, () => `${name} is gone and still holds data`);
  }

  private anyConnection(): Connection | undefined {
    return this.connections.size === 0 ? undefined : this.random.pick([...this.connections]);
  }

  private anySubscriber(): Connection | undefined {
    const subscribers = [...this.connections].filter(({ isPushV1 }) => isPushV1);
    return subscribers.length === 0 ? undefined : this.random.pick(subscribers);
  }

  private note(what: string): void {
    this.trace.push(`${this.nowMs} ms: ${what}`);
  }
}

/** Whether what comes behind it may arrive without it. */
function maySkip(offer: Offer, mayConflate: boolean): boolean {
  return !isUnpaced(offer) || (mayConflate && offer.kind !== 'history');
}

/** Was not to be held back. */
function isUnpaced({ intervalMs }: Offer): boolean {
  return intervalMs === 0;
}

/** In the order of arrival, as a client does. */
function returnMarks({ heldMarks, answersMessages, socket }: Connection): boolean {
  const marks = heldMarks.splice(0).filter(({ by }) => by === 'pong' || answersMessages);
  for (const { by, n } of marks) {
    if (by === 'pong') socket.emit('pong', Buffer.from(`m${n}`));
    else socket.emit('message', Buffer.from(JSON.stringify({ event: 'mark', data: { n } })), false);
  }
  return marks.length > 0;
}

/** Without pressure everything arrives in the order in which it was offered. */
function checkPlace(connection: Connection, place: number, what: string): void {
  const { name, lastPlace, mayConflate } = connection;
  demand(mayConflate || place >= lastPlace, () => `${name} keeps up and got ${what} behind what came after it`);
  connection.lastPlace = Math.max(lastPlace, place);
}

function erasOf({ eras }: Connection, series: string): Era[] {
  return getOrCreate(eras, series, () => [{ offers: [], passed: 0, newest: 0 }]);
}

/** What of an era has not arrived and was not to be held back. Of overlapping snapshots conflation leaves one value. */
function missing(era: Era | undefined, mayConflate: boolean): Offer[] {
  if (era === undefined) return [];
  const isRepeated = ({ n, kind }: Offer) => mayConflate && kind === 'newest' && n === era.newest;
  return era.offers.slice(era.passed).filter((offer) => isUnpaced(offer) && !isRepeated(offer));
}

/** The whole of the rule, for one client. */
function isMatched(
  { client, userName, subscriptions }: Connection,
  address: Address,
  to: PushTarget | undefined,
): boolean {
  if (client.state !== 'open') return false;
  if (to === undefined) return address.businessId === undefined || hears(subscriptions, address);
  const { businessType } = to;
  return (
    (to.clientId === undefined || to.clientId === client.clientId) &&
    (to.userName === undefined || to.userName === userName) &&
    (businessType === undefined || hears(subscriptions, { businessType, businessId: to.businessId }))
  );
}

function hears(subscriptions: readonly KeyAddress[], { businessType, businessId }: Address): boolean {
  return subscriptions.some(
    (each) =>
      each.businessType === businessType &&
      (businessId === undefined || each.businessId === '*' || each.businessId === businessId),
  );
}

/** The fastest of the subscriptions that match; one without a rate wants every value. */
function intervalOf({ subscriptions }: Connection, address: KeyAddress): number {
  const matching = subscriptions.filter((each) => hears([each], address));
  return Math.min(...matching.map(({ maxFrequencyHz }) => (maxFrequencyHz === undefined ? 0 : 1000 / maxFrequencyHz)));
}

function addressOf(series: string): KeyAddress {
  const [businessType = '', businessId = ''] = series.split('\0');
  return { businessType, businessId };
}

function isSameAddress(one: KeyAddress, other: KeyAddress): boolean {
  return one.businessType === other.businessType && one.businessId === other.businessId;
}

function readable(series: string): string {
  return series.replaceAll('\0', '/');
}

function numbers(offers: readonly Offer[]): string {
  return offers.map(({ n }) => n).join(', ');
}

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  const value = map.get(key) ?? create();
  map.set(key, value);
  return value;
}

function demand(isMet: boolean, fault: () => string): void {
  if (!isMet) throw new Error(fault());
}
