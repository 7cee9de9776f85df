import type { EventEmitter } from 'node:events';
import type { AlarmEntry, AlarmFields } from '../../src/alarm-log/alarm-log.js';
import { MemoryAlarmLog } from '../../src/alarm-log/memory.alarm-log.js';
import { MemorySubscriptionStore } from '../../src/alarm-log/memory.subscription-store.js';
import type { AlarmAddress, AlarmClient } from '../../src/fan-out/alarm.client.js';
import { WireFormat } from '../../src/fan-out/frame.js';
import { type Cursor, formatCursor, parseCursor } from '../../src/protocol/cursor.js';
import type { AlarmPlace, AlarmRequest } from '../../src/registry/alarm.places.js';
import { AlarmSide, newAlarm } from '../registry/alarm.fixture.js';
import { turn } from '../support/deadline.js';
import { marksOf, type MemorySink, Opcode } from '../support/memory.sink.js';
import type { Random } from '../support/random.js';

/** The fake timers of the test. */
export interface ModelClock {
  advance(ms: number): void;
  timerCount(): number;
}

/** What happened in all runs, so that a test can see that they were worth something. */
export interface ModelTally {
  delivered: number;
  /** Connections that were found behind by some operation. */
  behind: number;
  resumed: number;
  gapsAtStart: number;
  gapsLater: number;
  overtaken: number;
  takenOver: number;
  prelude: number;
  heartbeats: number;
  texts: number;
  acknowledged: number;
  lateAcknowledged: number;
  outOfCredit: number;
  failedReads: number;
}

export function newTally(): ModelTally {
  return {
    delivered: 0,
    behind: 0,
    resumed: 0,
    gapsAtStart: 0,
    gapsLater: 0,
    overtaken: 0,
    takenOver: 0,
    prelude: 0,
    heartbeats: 0,
    texts: 0,
    acknowledged: 0,
    lateAcknowledged: 0,
    outOfCredit: 0,
    failedReads: 0,
  };
}

const OPERATIONS = 30;
const DEVICES = 4;
const MAX_ALARMS_AT_ONCE = 50;
const MAX_ALARM_BYTES = 3000;
const MAX_OUTBOX_BYTES = 8 * 1024;
/** Waiting texts never come near the budget. */
const MAX_WAITING_TEXTS = 40;
/** What a frame of the largest alarm has more than its JSON, a mark, a place and a gap. */
const SMALL_FRAMES_BYTES = 600;
const RETRY_MS = 1000;
const HOUR_MS = 3_600_000;
const MAX_ROUNDS = 3000;
const SOCKET_IS_FULL = 1024 * 1024;
const NO_FILTER = { minSeverity: undefined, businessTypes: undefined, businessIds: undefined };

const FILTERS: Readonly<Record<string, (address: AlarmAddress) => boolean>> = {
  all: () => true,
  type: ({ businessType }) => businessType === 'pump',
  severe: ({ severity }) => (severity ?? 1000) >= 800,
  none: () => false,
};

/** Somebody who connects again and again, and remembers where it was. */
interface Device {
  readonly name: string;
  readonly kind: 'plain' | 'pushV1' | 'durable';
  readonly filter: string;
  lastId: number | undefined;
  /** The place that the server keeps, as the model knows it. */
  stored: number | undefined;
}

/** One connection, and what the naive model knows of it. */
interface Connection {
  readonly name: string;
  readonly device: Device;
  readonly client: AlarmClient;
  readonly socket: EventEmitter;
  readonly sink: MemorySink;
  /** A page that returns marks by message, or a library that only answers pings. */
  readonly answersMessages: boolean;
  /** Messages that have to come first, one by one. */
  readonly opening: string[];
  /** Offsets that have to come before everything else. */
  readonly prelude: number[];
  /** The place behind the prelude, until it is told. */
  placeToTell: number | undefined;
  /** Everything up to here was delivered, is not for the client, or lies in a gap that it was told. */
  done: number;
  readonly texts: string[];
  readonly heldMarks: ReturnType<typeof marksOf>;
  /** Offsets that the client knows from this connection. */
  readonly told: number[];
  unacknowledged: number[];
  isStalled: boolean;
  /** Another connection has taken the subscription over. */
  isSuperseded: boolean;
}

interface Message {
  readonly event?: string;
  readonly id?: string;
  readonly n?: number;
  readonly text?: string;
  readonly data?: Message & { readonly requested?: string; readonly oldest?: string; readonly code?: string };
}

/** A log whose reads are slow, short, or fail now and then. */
class ModelLog extends MemoryAlarmLog {
  isHealthy = false;

  constructor(
    private readonly random: Random,
    private readonly tally: ModelTally,
    count: number,
    /** A page is cut short, as where alarms are large. */
    private readonly pageAlarms: number,
    now: () => number,
  ) {
    super({ count, hours: 1, bytes: 1024 * 1024 * 1024 }, now);
  }

  override async read(afterOffset: number, most: number): Promise<AlarmEntry[]> {
    const { random } = this;
    const limit = Math.min(most, this.pageAlarms);
    if (this.isHealthy || random.chance(0.5)) return super.read(afterOffset, limit);
    for (let turns = random.below(3); turns > 0; turns--) await turn();
    if (!this.isHealthy && random.chance(0.1)) {
      this.tally.failedReads += 1;
      throw new Error('the disk is slow');
    }
    const entries = await super.read(afterOffset, limit);
    if (random.chance(0.3)) await turn();
    return entries;
  }
}

class ModelStore extends MemorySubscriptionStore {
  isHealthy = false;

  constructor(
    private readonly random: Random,
    now: () => number,
  ) {
    super({ perUser: 100, total: 100 }, now);
  }

  override async acknowledge(...parameters: Parameters<MemorySubscriptionStore['acknowledge']>): Promise<boolean> {
    if (!this.isHealthy && this.random.chance(0.2)) await turn();
    if (!this.isHealthy && this.random.chance(0.1)) throw new Error('the disk is full');
    return super.acknowledge(...parameters);
  }
}

/**
 * The real alarm gateway, places, pages, feeds, subscriptions and flush queue beside a naive model of what each client has
 * to be sent when clients stop and come back, retention overtakes them, and the log is slow. Throws at the first difference.
 */
export class AlarmFeedModel {
  private readonly log: ModelLog;
  private readonly store: ModelStore;
  private readonly windowBytes: number;
  private readonly maxUnacked: number;
  private side: AlarmSide;
  private readonly devices: Device[];
  private readonly connections = new Map<Device, Connection>();
  /** Taken over, and not gone yet. */
  private readonly superseded = new Set<Connection>();
  /** Everything that was ever appended; the index is the offset. */
  private readonly alarms: (AlarmFields | undefined)[] = [undefined];
  private readonly trace: string[] = [];
  private nowMs = 1_000_000_000;
  private connectionCount = 0;
  private textCount = 0;

  constructor(
    private readonly random: Random,
    private readonly clock: ModelClock,
    private readonly tally: ModelTally,
  ) {
    const now = () => this.nowMs;
    const retention = random.pick([10, 40, 100, 1500]);
    const pageAlarms = random.pick([4, 15, 200]);
    this.log = new ModelLog(random, tally, retention, pageAlarms, now);
    this.store = new ModelStore(random, now);
    this.windowBytes = random.pick([1024, 2048, 4096]);
    this.maxUnacked = random.pick([2, 5, 20]);
    this.devices = Array.from({ length: DEVICES }, (_, i) => ({
      name: `device${i}`,
      kind: random.pick<Device['kind']>(['plain', 'pushV1', 'durable']),
      filter: random.pick(['all', 'all', 'type', 'severe', 'none']),
      lastId: undefined,
      stored: undefined,
    }));
    this.note(
      `retention ${retention}, pages of ${pageAlarms}, window ${this.windowBytes}, maxUnacked ${this.maxUnacked}`,
    );
    this.side = this.startNode();
  }

  async run(): Promise<void> {
    try {
      await this.append();
      for (let i = 0; i < OPERATIONS; i++) await this.step();
      await this.finish();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${reason}\n  ${this.trace.join('\n  ')}`, { cause });
    } finally {
      this.side.close();
    }
  }

  private async step(): Promise<void> {
    const operation = this.random.weighted({
      append: 30,
      connect: 15,
      turns: 10,
      broadcast: 5,
      heartbeat: 6,
      acknowledge: 12,
      acknowledgeLate: 8,
      acknowledgeAhead: 3,
      stall: 8,
      goOn: 6,
      disconnect: 4,
      age: 3,
      wait: 3,
      restart: 5,
    });
    await this[operation]();
    for (let turns = this.random.below(4); turns > 0; turns--) await turn();
    this.readAll();
  }

  private startNode(): AlarmSide {
    const side = new AlarmSide(
      this.log,
      { inFlightBytes: this.windowBytes, maxOutboxBytes: MAX_OUTBOX_BYTES, maxUnacked: this.maxUnacked },
      this.store,
    );
    side.tail.onApplicationBootstrap();
    return side;
  }

  // What the application and the node do

  private async append(): Promise<void> {
    const { random } = this;
    const count = 1 + random.below(random.chance(0.25) ? MAX_ALARMS_AT_ONCE : 5);
    const large = random.chance(0.2);
    const batch = Array.from({ length: count }, () => {
      const conditionId = random.chance(0.3) ? `c${random.below(6)}` : undefined;
      const fields = {
        businessType: random.pick(['pump', 'meter', undefined]),
        severity: random.pick([1, 500, 800, undefined]),
        conditionId,
        active: conditionId === undefined ? undefined : random.chance(0.6),
      };
      const bytes = random.below(large ? MAX_ALARM_BYTES : 120);
      const alarm = newAlarm(this.alarms.length, fields, bytes);
      this.alarms.push(alarm.fields);
      return alarm;
    });
    this.note(`append ${count} up to ${this.newest}`);
    await this.log.append(batch);
  }

  private async turns(): Promise<void> {
    for (let left = this.random.below(10); left > 0; left--) await turn();
  }

  private broadcast(): void {
    if (this.openConnections().some(({ texts }) => texts.length > MAX_WAITING_TEXTS)) return;
    const text = JSON.stringify({ text: `text ${(this.textCount += 1)}` });
    for (const { client, texts } of this.connections.values()) if (client.state === 'open') texts.push(text);
    this.note(`broadcast ${this.textCount}`);
    this.side.registry.broadcast(text);
  }

  /** As for clients that have heard nothing for a while. */
  private heartbeat(): void {
    this.note('heartbeat');
    for (const { client, device } of this.openConnections()) {
      client.wake();
      if (device.kind !== 'plain' && client.outboxBytes === 0) client.offerHeartbeat();
    }
  }

  /** Alarms become too old. */
  private async age(): Promise<void> {
    this.nowMs += this.random.chance(0.3) ? 2 * HOUR_MS : HOUR_MS / 2;
    await this.log.trim();
    this.note(`the oldest is ${this.log.bounds().oldest}`);
  }

  private wait(): void {
    this.clock.advance(RETRY_MS);
  }

  /** The node ends, something may be appended meanwhile, and another begins with the same log and store. */
  private async restart(): Promise<void> {
    this.note('restart');
    this.readAll();
    for (const connection of this.openConnections()) this.remove(connection);
    this.side.close();
    if (this.random.chance(0.5)) await this.append();
    this.side = this.startNode();
  }

  // What clients do

  private async connect(): Promise<void> {
    const { random } = this;
    const device = random.pick(this.devices);
    const before = this.connections.get(device);
    if (before !== undefined && device.kind !== 'durable') this.remove(before);
    const request = this.requestOf(device);
    const asked = `replay ${request.replay}, lastEventId ${request.lastEventId?.offset}, durable ${request.durable}`;
    const name = `connection ${(this.connectionCount += 1)} of ${device.name} (${device.kind}, ${device.filter})`;
    this.note(`${name} connects: ${asked}`);
    const accepts = FILTERS[device.filter] ?? (() => true);
    const newestBefore = this.newest;
    const headBefore = this.side.pages.head;
    const place = await this.findPlace(request, device, accepts);
    if (place === undefined) return;
    const superseded = request.durable === undefined ? undefined : this.connections.get(device);
    if (superseded !== undefined) superseded.isSuperseded = true;
    await this.lookUpStored(device);
    this.checkPlace(name, device, request, place, headBefore, newestBefore);
    if (random.chance(0.3)) await this.append();
    if (random.chance(0.1)) await this.age();
    if (random.chance(0.3)) await turn();
    const format = device.kind === 'plain' ? WireFormat.plain : WireFormat.pushV1;
    const isPushV1 = format === WireFormat.pushV1;
    this.readAll();
    const other = this.connections.get(device);
    const opened = this.side.admit(place, format, accepts);
    const { start, ready, gap } = place;
    const readyData = { clientId: opened.client.clientId, ...ready, heartbeatMs: 25_000 };
    const connection: Connection = {
      ...opened,
      name,
      device,
      answersMessages: isPushV1 && random.chance(0.7),
      opening: !isPushV1
        ? []
        : [
            JSON.stringify({ event: 'ready', data: readyData }),
            ...(gap === undefined ? [] : [JSON.stringify({ event: 'gap', data: gap })]),
          ],
      prelude: start.prelude.filter(({ address }) => accepts(address)).map(({ offset }) => offset),
      placeToTell: isPushV1 && start.prelude.length > 0 ? start.position : undefined,
      done: start.position,
      texts: [],
      heldMarks: [],
      told: isPushV1 ? [offsetOf(ready.cursor)] : [],
      unacknowledged: [],
      isStalled: random.chance(0.2),
      isSuperseded: false,
    };
    if (other !== undefined) this.supersede(other);
    this.connections.set(device, connection);
    if (isPushV1) device.lastId = offsetOf(ready.cursor);
    if (ready.resumed) this.tally.resumed += 1;
    if (gap !== undefined) this.tally.gapsAtStart += 1;
  }

  /** What was acknowledged and not stored by now never will be: the subscription has been taken over. */
  private async lookUpStored(device: Device): Promise<void> {
    const { stored, name } = device;
    const row = (await this.store.list()).find(({ userName }) => userName === name);
    const isBelow = stored === undefined || (row?.cursor.offset ?? 0) <= stored;
    demand(isBelow, () => `${name} is stored at ${row?.cursor.offset}, acknowledged was ${stored}`);
    if (stored !== undefined) device.stored = row?.cursor.offset;
  }

  private requestOf({ kind, name, lastId }: Device): AlarmRequest {
    const { random } = this;
    const replay = random.pick<AlarmRequest['replay']>([undefined, undefined, 'all', 'active', 1 + random.below(30)]);
    const durable = kind === 'durable' ? name : undefined;
    const resumes = kind === 'pushV1' && lastId !== undefined && random.chance(0.7);
    if (!resumes) return { filter: NO_FILTER, lastEventId: undefined, replay, durable };
    return { filter: NO_FILTER, lastEventId: this.cursorAt(lastId), replay: undefined, durable };
  }

  /** Undefined: the log failed, and the client is refused. */
  private async findPlace(
    request: AlarmRequest,
    { name }: Device,
    accepts: (address: AlarmAddress) => boolean,
  ): Promise<AlarmPlace | undefined> {
    try {
      return await this.side.places.find(request, name, accepts);
    } catch (cause) {
      if (cause instanceof Error && cause.message === 'the disk is slow') return undefined;
      throw cause;
    }
  }

  private checkPlace(
    name: string,
    device: Device,
    request: AlarmRequest,
    { start, ready, gap }: AlarmPlace,
    headBefore: number,
    newestBefore: number,
  ): void {
    const { oldest } = this.log.bounds();
    const { position } = start;
    const wanted = request.durable === undefined ? request.lastEventId?.offset : device.stored;
    device.stored ??= request.durable === undefined ? undefined : position;
    const firstOffset = Math.min(position, (start.prelude[0]?.offset ?? Infinity) - 1);
    demand(
      offsetOf(ready.cursor) === firstOffset,
      () => `${name} is told ${ready.cursor}, begins after ${firstOffset}`,
    );
    demand(position <= newestBefore, () => `${name} begins after ${position}, which is ahead of the log`);
    if (wanted !== undefined) {
      const isGone = wanted < oldest - 1;
      const expected = isGone ? oldest - 1 : wanted;
      demand(position === expected, () => `${name} begins after ${position} instead of ${expected}`);
      demand((gap !== undefined) === isGone, () => `${name} is told ${JSON.stringify(gap)}`);
      demand(gap === undefined || offsetOf(gap.requested) === wanted, () => `${name}: wrong gap`);
      demand(gap === undefined || offsetOf(gap.oldest) === oldest, () => `${name}: wrong gap`);
    } else if (request.replay === 'all') {
      demand(position === oldest - 1, () => `${name} begins after ${position}, the oldest is ${oldest}`);
    } else if (typeof request.replay === 'number') {
      // The tail may have gone on meanwhile.
      const offsets = this.wantedIn(device, oldest - 1, this.newest);
      const isCounted = (head: number) =>
        position === (offsets.filter((offset) => offset <= head).at(-Number(request.replay)) ?? oldest) - 1;
      demand(isCounted(headBefore), () => `${name} begins after ${position}, head ${headBefore}, oldest ${oldest}`);
    } else {
      demand(position >= headBefore, () => `${name} begins after ${position}, the head is ${headBefore}`);
    }
    if (request.replay !== 'active') {
      demand(start.prelude.length === 0, () => `${name} has a prelude`);
      return;
    }
    const expected = this.activeUpTo(position).join();
    const found = start.prelude.map(({ offset }) => offset).join();
    demand(found === expected, () => `${name} is sent the conditions ${found} instead of ${expected}`);
  }

  private activeUpTo(position: number): number[] {
    const newestOf = new Map<string, number>();
    for (const [offset, fields] of this.alarms.entries()) {
      if (fields?.conditionId !== undefined) newestOf.set(fields.conditionId, offset);
    }
    return [...newestOf.values()]
      .filter((offset) => this.alarms[offset]?.active !== false && offset <= position)
      .toSorted((a, b) => a - b);
  }

  private supersede(other: Connection): void {
    this.readConnection(other);
    demand(other.sink.closed?.code === 4409, () => `${other.name} was taken over and is not closed`);
    this.tally.takenOver += 1;
    this.superseded.add(other);
  }

  private acknowledge(): void {
    const connection = this.anyOf(({ device, told }) => device.kind === 'durable' && told.length > 0);
    if (connection === undefined) return;
    this.sendAcknowledgement(connection, this.random.pick(connection.told));
  }

  private sendAcknowledgement(connection: Connection, offset: number): void {
    const { device, client, name } = connection;
    if (client.state !== 'open') return;
    this.note(`${name} acknowledges ${offset}`);
    const fault = this.side.registry.acknowledge(client, this.cursorAt(offset));
    demand(fault === undefined, () => `${name} may not acknowledge ${offset}: ${fault}`);
    device.stored = Math.max(device.stored ?? 0, offset);
    connection.unacknowledged = connection.unacknowledged.filter((each) => each > offset);
    this.tally.acknowledged += 1;
  }

  /** Of a connection that was taken over: nothing of it is stored. */
  private acknowledgeLate(): void {
    for (const { client, told } of this.superseded) {
      const offset = told.at(-1);
      if (offset === undefined) continue;
      this.side.registry.acknowledge(client, this.cursorAt(offset));
      this.tally.lateAcknowledged += 1;
    }
  }

  /** Of what does not exist, or was not sent yet. */
  private acknowledgeAhead(): void {
    const connection = this.anyOf(({ device }) => device.kind === 'durable');
    if (connection === undefined) return;
    // Then nothing that was offered is on its way.
    this.side.flushQueue.flushAll();
    this.readAll();
    const { name, client, device, done } = connection;
    const [unsent] = client.behindBy > 0 ? this.wantedIn(device, done, this.newest) : [];
    const offset = unsent ?? this.newest + 1;
    const fault = this.side.registry.acknowledge(client, this.cursorAt(offset));
    demand(fault === 'ackAhead', () => `${name} was not sent ${offset} and acknowledges it: ${fault}`);
  }

  private stall(): void {
    const connection = this.anyOf(({ isStalled }) => !isStalled);
    if (connection === undefined) return;
    connection.isStalled = true;
    const isFull = this.random.chance(0.3);
    if (isFull) connection.sink.bufferedBytes = SOCKET_IS_FULL;
    this.note(`${connection.name} stops${isFull ? ', and its socket is full' : ''}`);
  }

  private goOn(): void {
    const connection = this.anyOf(({ isStalled }) => isStalled);
    if (connection !== undefined) this.letGoOn(connection);
  }

  private letGoOn(connection: Connection): void {
    this.note(`${connection.name} goes on`);
    connection.isStalled = false;
    connection.sink.bufferedBytes = 0;
    connection.client.wake();
  }

  private disconnect(): void {
    const connection = this.anyOf(() => true);
    if (connection === undefined) return;
    this.note(`${connection.name} disconnects`);
    this.remove(connection);
  }

  private remove(connection: Connection): void {
    this.readConnection(connection);
    if (this.connections.get(connection.device) === connection) this.connections.delete(connection.device);
    this.superseded.delete(connection);
    connection.socket.emit('close', 1006, Buffer.alloc(0));
  }

  // What they are sent

  private readAll(): void {
    for (const connection of this.openConnections()) {
      this.readConnection(connection);
      // One that was taken over may be closed at any moment.
      if (connection.isSuperseded) continue;
      this.checkWindow(connection);
      if (connection.client.behindBy > 0) this.tally.behind += 1;
      if (!connection.isStalled) returnMarks(connection);
      if (connection.sink.closed !== undefined) this.checkClose(connection);
    }
  }

  private checkWindow({ name, client }: Connection): void {
    const limit = this.windowBytes + MAX_ALARM_BYTES + SMALL_FRAMES_BYTES;
    demand(client.inFlightBytes <= limit, () => `${name} has ${client.inFlightBytes} bytes in flight`);
    demand(client.outboxBytes <= MAX_OUTBOX_BYTES, () => `${name} has ${client.outboxBytes} bytes in its outbox`);
  }

  private checkClose(connection: Connection): void {
    const { name, device, sink, done } = connection;
    const { oldest } = this.log.bounds();
    const isOvertaken = device.kind === 'plain' && sink.closed?.code === 4410 && oldest > done + 1;
    demand(isOvertaken, () => `${name} is closed with ${sink.closed?.code} after ${done}, the oldest is ${oldest}`);
    this.tally.overtaken += 1;
    this.remove(connection);
  }

  private readConnection(connection: Connection): void {
    for (const frames of connection.sink.takeWrites()) {
      for (const { opcode, payload } of frames) {
        if (opcode === Opcode.text) this.readText(connection, payload.toString());
      }
      connection.heldMarks.push(...marksOf(frames));
    }
    demand(connection.sink.writesAfterClose === 0, () => `${connection.name} is written to after its close`);
  }

  private readText(connection: Connection, text: string): void {
    const { name, opening, texts } = connection;
    const expected = opening.shift();
    if (expected !== undefined) {
      demand(text === expected, () => `${name} is sent ${text} instead of ${expected}`);
      return;
    }
    const message = JSON.parse(text) as Message;
    if (message.text !== undefined) {
      const next = texts.shift();
      demand(text === next, () => `${name} is sent ${text} instead of ${next}`);
      this.tally.texts += 1;
    } else if (message.event === undefined) {
      this.receiveAlarm(connection, message.n ?? -1);
    } else if (message.event === 'alarm') {
      const offset = offsetOf(message.id);
      demand(offset === message.data?.n, () => `${name} is sent ${message.data?.n} as ${message.id}`);
      this.receiveAlarm(connection, offset);
    } else if (message.event === 'heartbeat') {
      this.receivePlace(connection, offsetOf(message.id));
    } else if (message.event === 'gap') {
      this.receiveGap(connection, offsetOf(message.data?.requested), offsetOf(message.data?.oldest));
    } else {
      demand(message.event === 'mark', () => `${name} is sent ${text}`);
    }
  }

  private receiveAlarm(connection: Connection, offset: number): void {
    const { name, device, prelude, unacknowledged } = connection;
    const first = prelude.shift();
    if (first !== undefined) {
      demand(offset === first, () => `${name} is sent ${offset} instead of the condition ${first}`);
      this.tally.prelude += 1;
      this.tell(connection, offset);
      return;
    }
    demand(connection.placeToTell === undefined, () => `${name} is sent ${offset} before its place`);
    demand(offset > connection.done, () => `${name} is sent ${offset} after ${connection.done}`);
    const [next] = this.wantedIn(device, connection.done, offset);
    demand(next === offset, () => `${name} is sent ${offset}, and ${next} was to come first`);
    connection.done = offset;
    this.tell(connection, offset);
    this.tally.delivered += 1;
    if (device.kind !== 'durable') return;
    unacknowledged.push(offset);
    const count = unacknowledged.length;
    demand(count <= this.maxUnacked, () => `${name} is sent ${offset}, and ${count} are not acknowledged`);
    if (count === this.maxUnacked) this.tally.outOfCredit += 1;
  }

  private receivePlace(connection: Connection, offset: number): void {
    const { name, prelude, placeToTell } = connection;
    const [next = Infinity] = prelude;
    demand(offset < next, () => `${name} is told ${offset} before ${prelude.join()}`);
    if (prelude.length > 0) {
      this.tell(connection, offset);
      return;
    }
    demand(placeToTell === undefined || placeToTell === offset, () => `${name} is told ${offset}, not ${placeToTell}`);
    connection.placeToTell = undefined;
    this.passTo(connection, offset, 'a heartbeat');
    this.tell(connection, offset);
    this.tally.heartbeats += 1;
  }

  private receiveGap(connection: Connection, requested: number, oldest: number): void {
    const { name } = connection;
    this.passTo(connection, requested, 'a gap');
    const { oldest: oldestInLog } = this.log.bounds();
    const isTrue = requested < oldest - 1 && oldest <= oldestInLog;
    demand(isTrue, () => `${name} is told a gap from ${requested} to ${oldest}, the oldest is ${oldestInLog}`);
    connection.done = oldest - 1;
    this.tally.gapsLater += 1;
  }

  /** Everything up to this offset is done with. */
  private passTo(connection: Connection, offset: number, by: string): void {
    const { name, device, done } = connection;
    demand(offset >= done, () => `${name} is told ${offset} by ${by} after ${done}`);
    demand(offset <= this.newest, () => `${name} is told ${offset} by ${by}, the newest is ${this.newest}`);
    const [lost] = this.wantedIn(device, done, offset);
    demand(lost === undefined, () => `${name} is told ${offset} by ${by}, and was not sent ${lost}`);
    connection.done = offset;
  }

  private tell({ device, told }: Connection, offset: number): void {
    told.push(offset);
    device.lastId = offset;
  }

  /** Everybody goes on and acknowledges; then everything has arrived and nobody is behind. */
  private async finish(): Promise<void> {
    this.note('everything comes to rest');
    this.log.isHealthy = this.store.isHealthy = true;
    for (const connection of this.openConnections()) this.letGoOn(connection);
    // What was removed before the node had seen it is announced before the next alarm.
    await this.append();
    for (let round = 0; !this.isAtRest(); round++) {
      demand(round < MAX_ROUNDS, () => `it does not come to rest: ${this.restless()}`);
      await turn();
      this.readAll();
      for (const connection of this.connections.values()) {
        const offset = connection.unacknowledged.at(-1);
        if (offset !== undefined) this.sendAcknowledgement(connection, offset);
      }
      if (round % 10 === 9) this.clock.advance(RETRY_MS);
    }
    // Late acknowledgements, and what was to be tried again.
    for (let round = 0; round < 3; round++) {
      this.clock.advance(RETRY_MS);
      await turn();
    }
    await this.checkSubscriptions();
    for (const connection of this.openConnections()) {
      const { name, texts, client } = connection;
      const isDone = connection.isSuperseded || texts.length === 0;
      demand(isDone, () => `${name} was not sent ${texts.join()}`);
      const isBehind = client.behindBy > 0 || client.outboxBytes > 0;
      demand(connection.isSuperseded || !isBehind, () => `${name} is behind by ${client.behindBy}`);
      this.remove(connection);
    }
    demand(this.side.registry.count() === 0, () => `${this.side.registry.count()} clients are left`);
    this.side.close();
    demand(this.clock.timerCount() === 0, () => `${this.clock.timerCount()} timers are left`);
  }

  private isAtRest(): boolean {
    return this.side.pages.head === this.newest && this.restless() === '';
  }

  private restless(): string {
    const waiting = [...this.connections.values()].filter(
      (connection) =>
        this.wantedIn(connection.device, connection.done, this.newest).length > 0 ||
        connection.opening.length + connection.prelude.length + connection.texts.length > 0 ||
        connection.client.behindBy > 0,
    );
    return waiting.map(({ name, done, client }) => `${name} after ${done}, behind by ${client.behindBy}`).join('; ');
  }

  private async checkSubscriptions(): Promise<void> {
    for (const { userName, cursor } of await this.store.list()) {
      const device = this.devices.find(({ name }) => name === userName);
      const isConnected = device !== undefined && this.connections.has(device);
      const expected = device?.stored ?? -1;
      // What could not be stored before a connection ended is lost, and sent again.
      const isRight = isConnected ? cursor.offset === expected : cursor.offset <= expected;
      demand(isRight, () => `${userName} is stored at ${cursor.offset}, acknowledged is ${expected}`);
    }
  }

  // Small things

  private get newest(): number {
    return this.alarms.length - 1;
  }

  private cursorAt(offset: number): Cursor {
    return { epoch: this.log.bounds().epoch, offset };
  }

  /** Offsets in between, without the first and with the last, that the device asked for. */
  private wantedIn({ filter }: Device, after: number, upTo: number): number[] {
    const accepts = FILTERS[filter];
    const offsets: number[] = [];
    for (let offset = after + 1; offset <= upTo; offset++) {
      const fields = this.alarms[offset];
      if (fields !== undefined && accepts?.(fields) === true) offsets.push(offset);
    }
    return offsets;
  }

  private openConnections(): Connection[] {
    return [...this.connections.values(), ...this.superseded];
  }

  private anyOf(condition: (connection: Connection) => boolean): Connection | undefined {
    const fitting = [...this.connections.values()].filter(condition);
    return fitting.length === 0 ? undefined : this.random.pick(fitting);
  }

  private note(event: string): void {
    this.trace.push(event);
  }
}

function returnMarks({ socket, heldMarks, answersMessages }: Connection): void {
  for (const { by, n } of heldMarks.splice(0)) {
    if (by === 'message' && answersMessages) {
      socket.emit('message', Buffer.from(JSON.stringify({ event: 'mark', data: { n } })), false);
    } else if (by === 'pong' && !answersMessages) {
      socket.emit('pong', Buffer.from(`m${n}`));
    }
  }
}

function offsetOf(id: string | undefined): number {
  const cursor = parseCursor(id ?? '');
  if (cursor === undefined) throw new Error(`${id} is no cursor`);
  if (formatCursor(cursor) !== id) throw new Error(`${id} is not how it is written`);
  return cursor.offset;
}

function demand(isMet: boolean, fault: () => string): void {
  if (!isMet) throw new Error(fault());
}
