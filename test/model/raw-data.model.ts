import { type ClientOptions } from '../../src/fan-out/client.js';
import { ConflatingBacklog, type DeliveryMode } from '../../src/fan-out/conflating.backlog.js';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import { type PushTarget, RawDataClient, RawDataRouter } from '../../src/fan-out/raw-data.router.js';
import { WriteTotals } from '../../src/fan-out/write-totals.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import { marksOf, MemorySink, Opcode, type ParsedFrame } from '../support/memory.sink.js';
import type { Random } from '../support/random.js';

export interface ModelSettings {
  readonly delivery: DeliveryMode;
  readonly maxClients: number;
  readonly inFlightBytes: number;
  readonly maxOutboxBytes: number;
  /** Whether the budget holds one value of every series there is, so that nobody may be closed for it. */
  readonly isBudgetAmple: boolean;
}

/** What happened in a run, so that a test can see that it was worth something. */
export interface ModelTally {
  pushes: number;
  delivered: number;
  conflated: number;
  closed: number;
  stalls: number;
}

const TYPES = ['dev', 'de', 'a:b', '电', '__proto__'];
const IDS = ['1', '10', 'b%3A1', 'v1'];
const USERS = ['alice', 'alic', 'bob'];
const SERIES = ['', 's1', 's2'];
const CONFLATE_AFTER_MS = 100;
/** Largest padding of a datum, and what the rest of it and its header may take. */
const MAX_PADDING_BYTES = 400;
const MAX_FRAME_BYTES = MAX_PADDING_BYTES + 200;
const MAX_MARK_BYTES = 64;
/** The Go hub's rule, checked for everybody: a client that keeps up is never under pressure between two flushes. */
const MAX_PUSHES_A_FLUSH = 20;

interface Datum {
  readonly n: number;
  readonly series: string;
}

/** One connection, and what the naive model knows of it: plain lists, no index. */
interface Connection {
  readonly client: RawDataClient;
  readonly sink: MemorySink;
  readonly userName: string;
  readonly subscriptions: { businessType: string; businessId: string }[];
  /** A page that returns marks by message, or a library that only answers pings. */
  readonly answersMessages: boolean;
  readonly expected: Datum[];
  readonly expectedSeries: Map<number, string>;
  readonly lastReceived: Map<string, number>;
  receivedCount: number;
  readonly heldMarks: { by: 'message' | 'pong'; n: number }[];
  readonly writtenAtMark: Map<number, number>;
  writtenBytes: number;
  confirmedBytes: number;
  toldConflated: number;
  isStalled: boolean;
  hasEverStalled: boolean;
  hasAnsweredByMessage: boolean;
}

/**
 * The real router, clients, outboxes and flush queue beside a naive model of them. Every step compares the two and
 * throws at the first difference.
 */
export class RawDataModel {
  readonly tally: ModelTally = { pushes: 0, delivered: 0, conflated: 0, closed: 0, stalls: 0 };
  nowMs = 0;
  private readonly router = new RawDataRouter();
  private readonly flushQueue = new FlushQueue({ flushIntervalMs: 0 });
  private readonly clientOptions: ClientOptions;
  private readonly connections = new Set<Connection>();
  private nextClient = 0;
  private nextDatum = 0;
  private pushesSinceFlush = 0;

  constructor(
    private readonly random: Random,
    private readonly settings: ModelSettings,
  ) {
    const { delivery, inFlightBytes, maxOutboxBytes } = settings;
    const totals = new WriteTotals();
    const conflation = { delivery, maxOutboxBytes, conflateAfterMs: CONFLATE_AFTER_MS };
    this.clientOptions = {
      lane: this.flushQueue.rawData,
      backlogPolicy: { create: (format) => new ConflatingBacklog(format, conflation, totals) },
      mergesFlushes: delivery === 'merge',
      inFlightBytes,
      maxOutboxBytes,
      totals,
    };
  }

  run(operations: number): void {
    try {
      for (let i = 0; i < operations; i++) this.step();
      this.finish();
    } finally {
      this.flushQueue.close();
    }
  }

  private step(): void {
    const operation = this.random.weighted({
      push: 60,
      flush: 14,
      subscribe: 7,
      unsubscribe: 5,
      connect: 4,
      disconnect: 1,
      stall: 2,
      resume: 1,
      fillSocket: 1,
      forgeMark: 2,
      wait: 3,
    });
    this[operation]();
    this.removeClosed();
    for (const connection of this.connections) this.checkBudget(connection);
  }

  private push(): void {
    const { random } = this;
    const businessType = random.pick(TYPES);
    const businessId = random.chance(0.08) ? undefined : random.pick(IDS);
    const to = random.chance(0.25) ? this.target() : undefined;
    const except = random.chance(0.1) ? this.anyClientId() : undefined;
    const refusedByFilter = random.chance(0.1) ? random.pick(USERS) : undefined;
    const n = ++this.nextDatum;
    const series = conflationKey(businessType, businessId ?? '', random.pick(SERIES));
    const padding = 'x'.repeat(random.below(random.chance(0.2) ? MAX_PADDING_BYTES : 40));
    const matches = [...this.connections].filter(
      ({ client, userName, subscriptions }) =>
        client.clientId !== except &&
        userName !== refusedByFilter &&
        isMatched(client.clientId, userName, subscriptions, { businessType, businessId }, to),
    );
    const matched = this.router.route({
      frame: Frame.rawData(JSON.stringify({ n, series, padding }), series),
      businessType,
      businessId,
      to,
      except,
      filter: refusedByFilter === undefined ? undefined : ({ identity }) => identity.userName !== refusedByFilter,
    });
    for (const { expected, expectedSeries } of matches) {
      expected.push({ n, series });
      expectedSeries.set(n, series);
    }
    this.tally.pushes += 1;
    demand(matched === matches.length, () => `push ${n} matched ${matched} instead of ${matches.length}`);
    this.pushesSinceFlush += 1;
    if (this.pushesSinceFlush >= MAX_PUSHES_A_FLUSH) this.flush();
  }

  /** Flushes, and lets everybody who is not stalled read until nothing moves any more. */
  private flush(): void {
    this.pushesSinceFlush = 0;
    for (let round = 0; ; round++) {
      demand(round < 1000, () => 'the flushes do not come to an end');
      this.flushQueue.flushAll();
      for (const connection of this.connections) this.read(connection);
      this.removeClosed();
      let isAnyMarkReturned = false;
      for (const connection of this.connections) {
        if (!connection.isStalled && this.returnMarks(connection)) isAnyMarkReturned = true;
      }
      if (!isAnyMarkReturned && this.flushQueue.rawData.isIdle) return;
    }
  }

  private subscribe(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    const address = { businessType: this.random.pick(TYPES), businessId: this.random.pick([...IDS, '*']) };
    const isNew = !connection.subscriptions.some((each) => isSameAddress(each, address));
    demand(this.router.subscribe(connection.client, address) === isNew, () => 'subscribe answered wrongly');
    if (isNew) connection.subscriptions.push(address);
  }

  private unsubscribe(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    const address = { businessType: this.random.pick(TYPES), businessId: this.random.pick([...IDS, '*']) };
    const index = connection.subscriptions.findIndex((each) => isSameAddress(each, address));
    demand(this.router.unsubscribe(connection.client, address) === index >= 0, () => 'unsubscribe answered wrongly');
    if (index >= 0) connection.subscriptions.splice(index, 1);
  }

  private connect(): void {
    if (this.connections.size >= this.settings.maxClients) return;
    const { random } = this;
    const address = { businessType: random.pick(TYPES), businessId: random.pick(IDS) };
    const userName = random.pick(USERS);
    const format = random.pick([WireFormat.plain, WireFormat.pushV1]);
    const clientId = `c${++this.nextClient}`;
    const sink = new MemorySink();
    const identity = { clientId, key: clientId, userName, remoteAddress: '127.0.0.1', format };
    const client = new RawDataClient(identity, sink, this.clientOptions, address, undefined);
    this.router.add(client);
    this.connections.add({
      client,
      sink,
      userName,
      subscriptions: [address],
      answersMessages: format === WireFormat.pushV1 && random.chance(0.7),
      expected: [],
      expectedSeries: new Map(),
      lastReceived: new Map(),
      receivedCount: 0,
      heldMarks: [],
      writtenAtMark: new Map(),
      writtenBytes: 0,
      confirmedBytes: 0,
      toldConflated: 0,
      isStalled: false,
      hasEverStalled: false,
      hasAnsweredByMessage: false,
    });
  }

  /** By the server, or by a socket that breaks. */
  private disconnect(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    if (this.random.chance(0.5)) connection.client.close(CloseCodes.drain);
    else this.remove(connection);
  }

  private stall(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    connection.isStalled = connection.hasEverStalled = true;
    this.tally.stalls += 1;
  }

  private resume(): void {
    const stalled = [...this.connections].filter(({ isStalled }) => isStalled);
    if (stalled.length > 0) this.wakeUp(this.random.pick(stalled));
  }

  private wakeUp(connection: Connection): void {
    connection.isStalled = false;
    connection.sink.bufferedBytes = 0;
    connection.client.wake();
    this.returnMarks(connection);
  }

  /** A reader that stopped for so long that its socket is full as well. */
  private fillSocket(): void {
    const stalled = [...this.connections].filter(({ isStalled }) => isStalled);
    if (stalled.length > 0) this.random.pick(stalled).sink.bufferedBytes = this.settings.maxOutboxBytes + 1;
  }

  private forgeMark(): void {
    const connection = this.anyConnection();
    if (connection === undefined) return;
    const before = connection.client.inFlightBytes;
    const forged = this.random.pick([-1, 0, 1e12, Number.NaN]);
    connection.client.confirmMark(forged, 'pong', this.nowMs);
    demand(connection.client.inFlightBytes === before, () => `the forged mark ${forged} opened the window`);
  }

  private wait(): void {
    this.flush();
    this.nowMs += this.random.below(2 * CONFLATE_AFTER_MS);
  }

  /** Everybody reads on; then every client holds the final value of each of its series. */
  private finish(): void {
    for (const connection of this.connections) this.wakeUp(connection);
    this.flush();
    for (const connection of this.connections) {
      const { client, expected, lastReceived: held, receivedCount, toldConflated } = connection;
      const { clientId, conflatedTotal, outboxBytes } = client;
      demand(outboxBytes === 0, () => `${clientId} still has ${outboxBytes} bytes in its outbox`);
      const final = finalValues(expected);
      demand(final.size === held.size, () => `${clientId} got ${held.size} of ${final.size} series`);
      for (const [series, n] of final) {
        demand(held.get(series) === n, () => `${clientId} holds ${held.get(series)} of ${series}, final is ${n}`);
      }
      if (this.settings.delivery !== 'merge') {
        const missing = expected.length - receivedCount;
        demand(conflatedTotal === missing, () => `${clientId} misses ${missing}, counted are ${conflatedTotal}`);
      }
      if (client.identity.format === WireFormat.pushV1) {
        demand(toldConflated === conflatedTotal, () => `${clientId} was told ${toldConflated} of ${conflatedTotal}`);
      }
      this.tally.conflated += conflatedTotal;
      this.remove(connection);
    }
  }

  /** Takes what was written, and checks it. */
  private read(connection: Connection): void {
    const { client, sink, writtenAtMark, heldMarks } = connection;
    for (const frames of sink.takeWrites()) {
      for (const frame of frames) {
        connection.writtenBytes += wireBytes(frame);
        if (frame.opcode === Opcode.text) this.readText(connection, frame.payload.toString());
      }
      for (const mark of marksOf(frames)) {
        writtenAtMark.set(mark.n, connection.writtenBytes);
        heldMarks.push(mark);
      }
    }
    if (client.state === 'open') this.checkWindow(connection);
  }

  private readText(connection: Connection, text: string): void {
    const message = JSON.parse(text) as { event?: string; data?: Datum & { count: number } } & Datum;
    if (message.event === 'mark') return;
    if (message.event === 'conflated') {
      connection.toldConflated += message.data?.count ?? 0;
      return;
    }
    const datum = message.event === 'rawData' ? message.data : message;
    if (datum === undefined) throw new Error(`not a datum: ${text}`);
    this.receive(connection, { n: datum.n, series: datum.series });
  }

  private receive(connection: Connection, { n, series }: Datum): void {
    const { client, expected, expectedSeries, lastReceived } = connection;
    const { clientId } = client;
    demand(expectedSeries.get(n) === series, () => `${clientId} got ${n}, which was not for it`);
    const last = lastReceived.get(series) ?? 0;
    demand(n > last, () => `${clientId} got ${n} of ${series} after ${last}`);
    if (!connection.hasEverStalled && this.settings.delivery !== 'merge') {
      const next = expected[connection.receivedCount]?.n;
      demand(next === n, () => `${clientId} keeps up and got ${n} instead of ${next}`);
    }
    lastReceived.set(series, n);
    connection.receivedCount += 1;
    this.tally.delivered += 1;
  }

  /** In the order of arrival, as a client does. */
  private returnMarks(connection: Connection): boolean {
    const marks = connection.heldMarks.splice(0);
    for (const { by, n } of marks) {
      if (by === 'message' && !connection.answersMessages) continue;
      if (by === 'message') connection.hasAnsweredByMessage = true;
      const counts = by === 'message' || !connection.hasAnsweredByMessage;
      const writtenAtMark = connection.writtenAtMark.get(n) ?? 0;
      if (counts) connection.confirmedBytes = Math.max(connection.confirmedBytes, writtenAtMark);
      connection.client.confirmMark(n, by, this.nowMs);
    }
    return marks.length > 0;
  }

  private checkWindow({ client, writtenBytes, confirmedBytes }: Connection): void {
    const inFlight = writtenBytes - confirmedBytes;
    const { clientId, inFlightBytes } = client;
    demand(inFlightBytes === inFlight, () => `${clientId} counts ${inFlightBytes} in flight instead of ${inFlight}`);
    const limit = this.settings.inFlightBytes + MAX_FRAME_BYTES + MAX_MARK_BYTES;
    demand(inFlight <= limit, () => `${clientId} has ${inFlight} bytes in flight`);
  }

  private checkBudget({ client: { clientId, outboxBytes } }: Connection): void {
    const { maxOutboxBytes } = this.settings;
    demand(outboxBytes <= maxOutboxBytes, () => `${clientId} holds ${outboxBytes} of ${maxOutboxBytes} bytes`);
  }

  /** As a socket's close event does. */
  private removeClosed(): void {
    for (const connection of this.connections) {
      const { sink, client, hasEverStalled } = connection;
      if (sink.closed === undefined) continue;
      const { code } = sink.closed;
      if (code !== CloseCodes.drain.code) this.checkPolicyClose(client.clientId, code, hasEverStalled);
      this.read(connection);
      this.remove(connection);
    }
  }

  private checkPolicyClose(clientId: string, code: number, hasEverStalled: boolean): void {
    const { delivery, isBudgetAmple } = this.settings;
    this.tally.closed += 1;
    demand(hasEverStalled, () => `${clientId} keeps up and was closed with ${code}`);
    const allowed = delivery === 'disconnect' ? CloseCodes.tooSlow.code : CloseCodes.outboxFull.code;
    demand(code === allowed, () => `${clientId} was closed with ${code}`);
    demand(delivery === 'disconnect' || !isBudgetAmple, () => `${clientId} was closed though its budget is ample`);
  }

  private remove(connection: Connection): void {
    const { client, sink } = connection;
    this.router.remove(client);
    client.markClosed();
    this.connections.delete(connection);
    demand(sink.writesAfterClose === 0, () => `${client.clientId} was written to behind its close frame`);
    demand(client.outboxBytes === 0, () => `${client.clientId} is gone and still holds data`);
  }

  private target(): PushTarget {
    const { random } = this;
    return random.pick<() => PushTarget>([
      () => ({ userName: random.pick(USERS) }),
      () => ({ clientId: this.anyClientId() }),
      () => ({ clientId: this.anyClientId(), userName: random.pick(USERS) }),
      () => ({ businessType: random.pick(TYPES) }),
      () => ({ businessType: random.pick(TYPES), businessId: random.pick(IDS) }),
      () => ({ businessType: random.pick(TYPES), userName: random.pick(USERS) }),
      () => ({ businessType: random.pick(TYPES), businessId: random.pick(IDS), userName: random.pick(USERS) }),
      () => ({ businessType: random.pick(TYPES), businessId: random.pick(IDS), clientId: this.anyClientId() }),
    ])();
  }

  private anyConnection(): Connection | undefined {
    return this.connections.size === 0 ? undefined : this.random.pick([...this.connections]);
  }

  private anyClientId(): string {
    return this.random.chance(0.1) ? 'nobody' : (this.anyConnection()?.client.clientId ?? 'nobody');
  }
}

/** The whole of the rule, for one client. */
function isMatched(
  clientId: string,
  userName: string,
  subscriptions: Connection['subscriptions'],
  address: { businessType: string; businessId: string | undefined },
  to: PushTarget | undefined,
): boolean {
  const hears = (businessType: string, businessId: string | undefined) =>
    subscriptions.some(
      (each) =>
        each.businessType === businessType &&
        (businessId === undefined || each.businessId === '*' || each.businessId === businessId),
    );
  if (to === undefined) return address.businessId === undefined || hears(address.businessType, address.businessId);
  return (
    (to.clientId === undefined || to.clientId === clientId) &&
    (to.userName === undefined || to.userName === userName) &&
    (to.businessType === undefined || hears(to.businessType, to.businessId))
  );
}

function isSameAddress(
  one: { businessType: string; businessId: string },
  other: { businessType: string; businessId: string },
): boolean {
  return one.businessType === other.businessType && one.businessId === other.businessId;
}

function finalValues(data: readonly Datum[]): Map<string, number> {
  return new Map(data.map(({ series, n }) => [series, n]));
}

function wireBytes({ payload }: ParsedFrame): number {
  return payload.length + (payload.length < 126 ? 2 : 4);
}

function demand(isMet: boolean, fault: () => string): void {
  if (!isMet) throw new Error(fault());
}
