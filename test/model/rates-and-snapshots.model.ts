import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import type { RawDataClient } from '../../src/fan-out/raw-data.router.js';
import { type KeyAddress, serverMessage, type SubscriptionRequest } from '../../src/protocol/messages.js';
import { type PushModuleOptions, resolvePushOptions } from '../../src/push.options.js';
import type { RawDatum } from '../../src/push.types.js';
import { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { marksOf, MemorySink, Opcode } from '../support/memory.sink.js';
import type { Random } from '../support/random.js';

export interface ModelSettings {
  readonly options: PushModuleOptions;
  readonly maxClients: number;
  /** Whether clients stop reading now and then. */
  readonly stalls: boolean;
  /** Whether clients limit the frequency of what they subscribe to. */
  readonly limits: boolean;
  /** Whether clients subscribe again to what they have or had. */
  readonly subscribesAgain: boolean;
  /** Lets the time of all timers pass, and what is due happen. */
  readonly pass: (ms: number) => void;
}

/** What happened in a run, so that a test can see that it was worth something. */
export interface ModelTally {
  pushes: number;
  delivered: number;
  /** Values that a client got as its snapshot or history. */
  remembered: number;
  /** Values that a limit or pressure replaced by newer ones. */
  replaced: number;
  stalls: number;
}

interface Datum {
  readonly businessType: string;
  readonly businessId: string;
  readonly series: string;
  readonly n: number;
  readonly isSecret: boolean;
}

/** A subscription as the client sees it: from its answer on, or from the start. */
interface Held {
  readonly request: SubscriptionRequest;
  /** What has to come of each series, in order, and how much of it has come. */
  readonly expected: Map<string, number[]>;
  readonly received: Map<string, number[]>;
  /** How many of what is expected of a series were there when it subscribed. */
  readonly remembered: Map<string, number>;
}

type Answer = { readonly kind: 'subscribed' | 'unsubscribed'; readonly held: Held };

interface Connection {
  readonly client: RawDataClient;
  readonly sink: MemorySink;
  readonly isPushV1: boolean;
  /** As the server knows them. */
  readonly subscriptions: Held[];
  /** Answers on their way to the client, in order. */
  readonly answers: Answer[];
  /** As the client knows them, from the answers that it has read. */
  readonly known: Held[];
  readonly everSubscribed: KeyAddress[];
  readonly heldMarks: { by: 'message' | 'pong'; n: number }[];
  isStalled: boolean;
  hasEverStalled: boolean;
}

const TYPES = ['dev', '电'];
const IDS = ['1', '10'];
const SERIES = ['', 's1', 's2'];
const USERS = ['ann', 'bob'];
const LIMITS_HZ = [2, 10, 50, 200];
/** After this long without a push nothing is held back by any limit. */
const SLOWEST_MS = 600;

/**
 * The real registry, router, rate gates, outboxes and flush queue beside a naive model: lists of everything pushed and of
 * everything that each client should have got. Every step compares the two and throws at the first difference.
 */
export class RatesAndSnapshotsModel {
  readonly tally: ModelTally = { pushes: 0, delivered: 0, remembered: 0, replaced: 0, stalls: 0 };
  private readonly flushQueue: FlushQueue;
  private readonly registry: RawDataRegistry;
  private readonly pushed: Datum[] = [];
  private readonly connections: Connection[] = [];
  private readonly history: number;
  private nextClient = 0;
  private pushesSinceRead = 0;

  constructor(
    private readonly random: Random,
    private readonly settings: ModelSettings,
  ) {
    const options = resolvePushOptions({
      inFlightBytes: 4096,
      history: 4,
      deliveryFilter: ({ userName }, datum) => maySee(userName, datum['isSecret'] === true),
      ...settings.options,
    });
    this.history = options.history;
    this.flushQueue = new FlushQueue(options);
    this.registry = new RawDataRegistry(options, this.flushQueue);
  }

  run(operations: number): void {
    try {
      for (let i = 0; i < operations; i++) this.step();
      this.finish();
    } finally {
      for (const { client } of this.connections) this.registry.unregister(client, 1006, '');
      this.settings.pass(2 * SLOWEST_MS);
      this.flushQueue.close();
    }
  }

  private step(): void {
    const operation = this.random.weighted({
      push: 60,
      read: 12,
      wait: 8,
      subscribe: 8,
      unsubscribe: 4,
      connect: 3,
      disconnect: 1,
      stall: this.settings.stalls ? 2 : 0,
      resume: 1,
    });
    this[operation]();
  }

  private push(): void {
    const { random } = this;
    const datum: Datum = {
      businessType: random.pick(TYPES),
      businessId: random.pick(IDS),
      series: random.pick(SERIES),
      n: this.pushed.length + 1,
      isSecret: random.chance(0.1),
    };
    this.pushed.push(datum);
    this.tally.pushes += 1;
    const { businessType, businessId, series, n } = datum;
    const raw: RawDatum = { ...datum, padding: 'x'.repeat(random.below(300)) };
    const matched = this.registry.route({
      frame: Frame.rawData(JSON.stringify(raw), conflationKey(businessType, businessId, series)),
      businessType,
      businessId,
      to: undefined,
      except: undefined,
      filter: this.registry.filterFor(raw),
    });
    let expected = 0;
    for (const { client, subscriptions } of this.connections) {
      const covering = subscriptions.filter(({ request }) => covers(request, datum));
      if (covering.length === 0 || !maySee(client.identity.userName, datum.isSecret)) continue;
      expected += 1;
      for (const held of covering) listOf(held.expected, seriesId(datum)).push(n);
    }
    demand(matched === expected, () => `push ${n} matched ${matched} instead of ${expected}`);
    this.pushesSinceRead += 1;
    // Whoever reads keeps up: no more between two reads than the window holds.
    if (this.pushesSinceRead >= 8) this.read();
  }

  /** Flushes, and lets everybody who is not stalled read until nothing moves any more. */
  private read(): void {
    this.pushesSinceRead = 0;
    for (let round = 0; ; round++) {
      demand(round < 1000, () => 'the flushes do not come to an end');
      this.settings.pass(0);
      this.flushQueue.flushAll();
      let isAnyMarkReturned = false;
      for (const connection of this.connections) {
        this.take(connection);
        if (!connection.isStalled && returnMarks(connection)) isAnyMarkReturned = true;
      }
      if (!isAnyMarkReturned && this.flushQueue.rawData.isIdle) return;
    }
  }

  private wait(): void {
    this.read();
    this.settings.pass(this.random.below(this.random.chance(0.2) ? 150 : 15));
    this.read();
  }

  private connect(): void {
    if (this.connections.length >= this.settings.maxClients) return;
    const { random } = this;
    const isPushV1 = random.chance(0.7);
    const clientId = `c${++this.nextClient}`;
    const userName = random.pick(USERS);
    const address = { businessType: random.pick(TYPES), businessId: random.pick(IDS) };
    const request = { ...address, ...this.wishes() };
    const sink = new MemorySink();
    const format = isPushV1 ? WireFormat.pushV1 : WireFormat.plain;
    const client = this.registry.createClient(
      { clientId, key: clientId, userName, remoteAddress: '127.0.0.1', format },
      sink,
      { ...address, maxFrequencyHz: request.maxFrequencyHz },
      undefined,
    );
    const held = this.hold(userName, request);
    const connection: Connection = {
      client,
      sink,
      isPushV1,
      subscriptions: [held],
      answers: [],
      known: [held],
      everSubscribed: [address],
      heldMarks: [],
      isStalled: false,
      hasEverStalled: false,
    };
    this.registry.register(client, () => this.sendSnapshot(client, request));
    this.connections.push(connection);
  }

  private disconnect(): void {
    const connection = this.anyConnection();
    if (connection === undefined || !this.random.chance(0.5)) return;
    this.connections.splice(this.connections.indexOf(connection), 1);
    this.registry.unregister(connection.client, 1006, '');
  }

  /** As the gateway does. */
  private subscribe(): void {
    const { random } = this;
    const connection = this.anyConnection();
    if (connection?.isPushV1 !== true) return;
    const address = { businessType: random.pick(TYPES), businessId: random.pick([...IDS, '*']) };
    const { client, subscriptions, everSubscribed, answers } = connection;
    if (!this.settings.subscribesAgain && everSubscribed.some((each) => overlap(each, address))) return;
    const request = { ...address, ...this.wishes() };
    const { keys, refused } = this.registry.subscribe(client, [request]);
    demand(keys.length === 1 && refused.length === 0, () => `${client.clientId} was refused`);
    client.offer(Frame.text(serverMessage('subscribed', { keys, refused })));
    this.sendSnapshot(client, request);
    const held = this.hold(client.identity.userName, request);
    const index = subscriptions.findIndex((each) => isSame(each.request, address));
    // Asked for again: what is on its way goes on, and what is asked for comes on top.
    const [former] = index === -1 ? [] : subscriptions.splice(index, 1);
    if (former !== undefined) answers.push({ kind: 'unsubscribed', held: former });
    subscriptions.push(held);
    answers.push({ kind: 'subscribed', held });
    everSubscribed.push(address);
  }

  private unsubscribe(): void {
    const connection = this.anyConnection();
    if (connection?.isPushV1 !== true || connection.subscriptions.length === 0) return;
    const held = this.random.pick(connection.subscriptions);
    const { businessType, businessId } = held.request;
    const keys = this.registry.unsubscribe(connection.client, [{ businessType, businessId }]);
    demand(keys.length === 1, () => `${connection.client.clientId} was not unsubscribed`);
    connection.client.offer(Frame.text(serverMessage('unsubscribed', { keys })));
    connection.subscriptions.splice(connection.subscriptions.indexOf(held), 1);
    connection.answers.push({ kind: 'unsubscribed', held });
  }

  private stall(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    connection.isStalled = connection.hasEverStalled = true;
    this.tally.stalls += 1;
  }

  private resume(): void {
    const stalled = this.connections.filter(({ isStalled }) => isStalled);
    if (stalled.length === 0) return;
    this.random.pick(stalled).isStalled = false;
    this.read();
  }

  /** The source is silent and everybody reads on: every client holds the final value of each series it hears. */
  private finish(): void {
    for (const connection of this.connections) connection.isStalled = false;
    this.read();
    for (let waitedMs = 0; waitedMs < SLOWEST_MS; waitedMs += 20) {
      this.settings.pass(20);
      this.read();
    }
    for (const connection of this.connections) {
      const { clientId, outboxBytes } = connection.client;
      demand(outboxBytes === 0, () => `${clientId} still has ${outboxBytes} bytes in its outbox`);
      demand(connection.answers.length === 0, () => `${clientId} still waits for an answer`);
      for (const held of connection.subscriptions) this.checkEnd(connection, held);
    }
  }

  private checkEnd(connection: Connection, { request, expected, received, remembered }: Held): void {
    const name = `${connection.client.clientId} on ${request.businessType}/${request.businessId}`;
    for (const [series, values] of expected) {
      const got = received.get(series) ?? [];
      demand(
        got.at(-1) === values.at(-1),
        () => `${name}: holds ${got.at(-1)} of ${series}, final is ${values.at(-1)}`,
      );
      this.tally.replaced += values.length - got.length;
      this.tally.remembered += remembered.get(series) ?? 0;
      const isWhole =
        !connection.hasEverStalled && request.maxFrequencyHz === undefined && !this.settings.subscribesAgain;
      if (!isWhole || this.settings.options.delivery === 'merge') continue;
      demand(got.join() === values.join(), () => `${name}: got ${got.join()} of ${series} instead of ${values.join()}`);
    }
  }

  /** Takes what was written, in order, as the client does. */
  private take(connection: Connection): void {
    for (const frames of connection.sink.takeWrites()) {
      for (const { opcode, payload } of frames) {
        if (opcode === Opcode.text) this.takeText(connection, payload.toString());
      }
      connection.heldMarks.push(...marksOf(frames));
    }
  }

  private takeText(connection: Connection, text: string): void {
    const message = JSON.parse(text) as { event?: string; data?: Datum } & Datum;
    switch (connection.isPushV1 ? message.event : 'rawData') {
      case 'rawData':
        this.takeDatum(connection, (connection.isPushV1 ? message.data : message) ?? message);
        return;
      case 'subscribed':
      case 'unsubscribed':
        takeAnswer(connection, message.event === 'subscribed' ? 'subscribed' : 'unsubscribed');
        return;
      default:
    }
  }

  private takeDatum({ client: { clientId }, known }: Connection, datum: Datum): void {
    const { n } = datum;
    const covering = known.filter(({ request }) => covers(request, datum));
    demand(covering.length > 0, () => `${clientId} got ${n} of ${seriesId(datum)}, to which it is not subscribed`);
    this.tally.delivered += 1;
    for (const { expected, received } of covering) {
      const series = seriesId(datum);
      const got = listOf(received, series);
      if (this.settings.subscribesAgain) {
        got.push(n);
        continue;
      }
      const last = got.at(-1) ?? 0;
      demand(n > last, () => `${clientId} got ${n} of ${series} after ${last}`);
      demand(listOf(expected, series).includes(n), () => `${clientId} got ${n} of ${series}, which was not for it`);
      got.push(n);
    }
  }

  private sendSnapshot(client: RawDataClient, { snapshot, history = 0, ...address }: SubscriptionRequest): void {
    if (snapshot === true || history > 0) this.registry.sendSnapshot(client, address, history);
  }

  /** What a new subscription has to bring: the last values that the client may see, then whatever is pushed. */
  private hold(userName: string, request: SubscriptionRequest): Held {
    const { snapshot = false, history = 0 } = request;
    const expected = new Map<string, number[]>();
    const count = Math.min(this.history, snapshot || history > 0 ? Math.max(1, history) : 0);
    for (const series of new Set(this.pushed.filter((datum) => covers(request, datum)).map(seriesId))) {
      const last = this.pushed
        .filter((datum) => seriesId(datum) === series)
        .slice(this.pushed.length === 0 ? 0 : -count);
      const seen = count === 0 ? [] : last.filter(({ isSecret }) => maySee(userName, isSecret));
      if (seen.length > 0)
        expected.set(
          series,
          seen.map(({ n }) => n),
        );
    }
    const remembered = new Map([...expected].map(([series, values]) => [series, values.length]));
    return { request, expected, received: new Map(), remembered };
  }

  private wishes(): Pick<SubscriptionRequest, 'maxFrequencyHz' | 'snapshot' | 'history'> {
    const { random } = this;
    return {
      ...(this.settings.limits && random.chance(0.6) ? { maxFrequencyHz: random.pick(LIMITS_HZ) } : {}),
      ...(random.chance(0.5) ? { snapshot: random.chance(0.8) } : {}),
      ...(random.chance(0.4) ? { history: random.below(7) } : {}),
    };
  }

  private anyConnection(): Connection | undefined {
    return this.connections.length === 0 ? undefined : this.random.pick(this.connections);
  }
}

/** In the order of arrival, as a client does. */
function returnMarks({ client, heldMarks }: Connection): boolean {
  const marks = heldMarks.splice(0);
  for (const { by, n } of marks) client.confirmMark(n, by);
  return marks.length > 0;
}

/** Answers come in the order of what was asked; one that was subscribed again was not unsubscribed in between. */
function takeAnswer({ client, answers, known }: Connection, kind: Answer['kind']): void {
  for (;;) {
    const answer = answers.shift();
    if (answer === undefined) throw new Error(`${client.clientId} was told ${kind} and had not asked`);
    if (answer.kind === 'subscribed') known.push(answer.held);
    else known.splice(known.indexOf(answer.held), 1);
    if (answer.kind === kind) return;
  }
}

function maySee(userName: string, isSecret: boolean): boolean {
  return !isSecret || userName !== 'bob';
}

function covers({ businessType, businessId }: KeyAddress, datum: KeyAddress): boolean {
  return businessType === datum.businessType && (businessId === '*' || businessId === datum.businessId);
}

function overlap(one: KeyAddress, other: KeyAddress): boolean {
  return covers(one, other) || covers(other, one);
}

function isSame(one: KeyAddress, other: KeyAddress): boolean {
  return one.businessType === other.businessType && one.businessId === other.businessId;
}

function seriesId({ businessType, businessId, series }: Datum): string {
  return `${businessType}/${businessId}/${series}`;
}

function listOf(lists: Map<string, number[]>, name: string): number[] {
  let list = lists.get(name);
  if (list === undefined) {
    list = [];
    lists.set(name, list);
  }
  return list;
}

function demand(isMet: boolean, fault: () => string): void {
  if (!isMet) throw new Error(fault());
}
