import { WireFormat } from '../../src/fan-out/frame.js';
import { type Cursor, formatCursor, parseCursor } from '../../src/protocol/cursor.js';
import type { AlarmPlace, AlarmRequest } from '../../src/registry/alarm.places.js';
import { type AdmittedAlarmClient, AlarmSide, LossyLog, newAlarm } from '../registry/alarm.fixture.js';
import { turn } from '../support/deadline.js';
import { Gate } from '../support/gate.js';
import { marksOf, Opcode } from '../support/memory.sink.js';
import type { Random } from '../support/random.js';

/** What happened in all runs, so that a test can see that they were worth something. */
export interface EpochTally {
  delivered: number;
  epochGaps: number;
  holes: number;
  overtaken: number;
  resumed: number;
  gapsAtStart: number;
  lateConnections: number;
  lateAcknowledgements: number;
}

export function newEpochTally(): EpochTally {
  return {
    delivered: 0,
    epochGaps: 0,
    holes: 0,
    overtaken: 0,
    resumed: 0,
    gapsAtStart: 0,
    lateConnections: 0,
    lateAcknowledgements: 0,
  };
}

const OPERATIONS = 40;
const DEVICES = 4;
const WINDOW_BYTES = 2048;
const MAX_ROUNDS = 2000;
const NO_FILTER = { minSeverity: undefined, businessTypes: undefined, businessIds: undefined };

/** Somebody who connects again and again, and remembers where it was. */
interface Device {
  readonly name: string;
  readonly kind: 'plain' | 'pushV1' | 'durable';
  lastId: string | undefined;
  connection: Connection | undefined;
}

/** One connection, and what the naive model knows of it. */
interface Connection extends AdmittedAlarmClient {
  readonly name: string;
  readonly device: Device;
  /** Everything up to here was delivered, or lies in a gap that it was told. */
  done: Cursor;
  /** Ids that it was sent. */
  readonly told: Cursor[];
  readonly opening: string[];
  readonly heldMarks: ReturnType<typeof marksOf>;
  isStalled: boolean;
}

interface Message {
  readonly event?: string;
  readonly id?: string;
  readonly n?: number;
  readonly data?: {
    readonly n?: number;
    readonly requested?: string;
    readonly oldest?: string;
    readonly reason?: string;
  };
}

/**
 * The real places, pages, tail, feeds and subscriptions on a log that loses alarms and begins anew, beside a naive model of
 * what each client may be sent: the next alarm of its epoch, or a gap that is true. Throws at the first difference.
 */
export class AlarmEpochsModel {
  private readonly log = new LossyLog();
  private readonly side: AlarmSide;
  private readonly devices: readonly Device[];
  /** Of each epoch the numbers of its alarms, by offset - 1, and the offsets that were removed. */
  private readonly lives = new Map<string, { readonly numbers: number[]; readonly removed: Set<number> }>();
  private readonly trace: string[] = [];
  private gate: Gate | undefined;
  private alarmCount = 0;
  private connectionCount = 0;

  constructor(
    private readonly random: Random,
    private readonly tally: EpochTally,
  ) {
    this.side = new AlarmSide(this.log, { inFlightBytes: WINDOW_BYTES, maxOutboxBytes: 64 * 1024, maxUnacked: 5 });
    this.side.tail.onApplicationBootstrap();
    this.devices = Array.from({ length: DEVICES }, (_, i) => ({
      name: `device${i}`,
      kind: random.pick(['plain', 'pushV1', 'pushV1', 'durable']),
      lastId: undefined,
      connection: undefined,
    }));
    this.lives.set(this.epoch, { numbers: [], removed: new Set() });
  }

  async run(): Promise<void> {
    try {
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
      beginAnew: 6,
      remove: 8,
      connect: 15,
      hold: 6,
      release: 8,
      stall: 6,
      goOn: 8,
      acknowledge: 12,
      heartbeat: 4,
      disconnect: 5,
    });
    await this[operation]();
    for (let turns = this.random.below(5); turns > 0; turns--) await turn();
    this.readAll();
  }

  // What happens to the log

  private async append(): Promise<void> {
    const count = 1 + this.random.below(this.random.chance(0.1) ? 500 : 8);
    const alarms = Array.from({ length: count }, () => this.newAlarm(this.epoch));
    this.trace.push(`append ${count} up to ${this.newest}`);
    await this.log.append(alarms);
  }

  private async beginAnew(): Promise<void> {
    const kept = Array.from({ length: this.random.below(4) }, () => (this.alarmCount += 1));
    this.log.onBeginning = (epoch) => this.lives.set(epoch, { numbers: [...kept], removed: new Set() });
    await this.log.beginAnew(...kept.map((n) => newAlarm(n)));
    this.trace.push(`the log begins anew with ${kept.length} as ${this.epoch}`);
  }

  /** Some of the newest, whether they are out or not. */
  private remove(): void {
    const { newest } = this;
    const from = Math.max(1, newest - this.random.below(30));
    const to = Math.min(newest, from + this.random.below(4));
    for (let offset = from; offset <= to; offset++) {
      this.log.remove(offset);
      this.life(this.epoch).removed.add(offset);
    }
    this.trace.push(`${from} to ${to} are removed`);
  }

  /** Answers of the log come later from now on. */
  private hold(): void {
    if (this.gate !== undefined) return;
    this.gate = new Gate();
    this.log.hold = this.gate.opened;
  }

  private release(): void {
    this.log.hold = undefined;
    this.gate?.open();
    this.gate = undefined;
  }

  // What clients do

  private async connect(): Promise<void> {
    const { random } = this;
    const device = random.pick(this.devices);
    if (device.kind !== 'durable') this.end(device);
    const name = `connection ${(this.connectionCount += 1)} of ${device.name} (${device.kind})`;
    const request = this.requestOf(device);
    this.trace.push(`${name}: ${request.replay}, ${JSON.stringify(request.lastEventId)}`);
    const finding = this.side.places.find(request, device.name, () => true);
    if (random.chance(0.2)) await this.beginAnew();
    this.release();
    const place = await finding;
    if (random.chance(0.2)) await this.beginAnew();
    if (random.chance(0.2)) await this.append();
    if (place.start.epoch !== this.epoch) this.tally.lateConnections += 1;
    this.admit(device, name, place);
  }

  private requestOf({ kind, name, lastId }: Device): AlarmRequest {
    const lastEventId = kind === 'pushV1' && this.random.chance(0.7) ? parseCursor(lastId ?? '') : undefined;
    const replay = lastEventId === undefined ? this.random.pick([undefined, 'all', 3] as const) : undefined;
    return { filter: NO_FILTER, lastEventId, replay, durable: kind === 'durable' ? name : undefined };
  }

  private admit(device: Device, name: string, place: AlarmPlace): void {
    const { start, ready, gap } = place;
    const before = device.connection;
    const isPlain = device.kind === 'plain';
    const admitted = this.side.admit(place, isPlain ? WireFormat.plain : WireFormat.pushV1, () => true);
    const done = { epoch: start.epoch, offset: start.position };
    const opening = isPlain ? [] : ['ready', ...(gap === undefined ? [] : ['gap'])];
    const isStalled = this.random.chance(0.2);
    const connection = { ...admitted, name, device, done, opening, told: [done], heldMarks: [], isStalled };
    device.connection = connection;
    demand(isPlain || ready.cursor === formatCursor(done), () => `${name} is told ${ready.cursor}`);
    if (ready.resumed) this.tally.resumed += 1;
    if (gap !== undefined) this.tally.gapsAtStart += 1;
    if (before === undefined) return;
    demand(before.sink.closed?.code === 4409, () => `${before.name} was taken over and is not closed`);
    before.socket.emit('close', 4409, Buffer.alloc(0));
  }

  private acknowledge(): void {
    const connection = this.anyOf(({ device }) => device.kind === 'durable');
    if (connection === undefined) return;
    const cursor = this.random.pick(connection.told);
    if (cursor.epoch !== this.epoch) this.tally.lateAcknowledgements += 1;
    const fault = this.side.registry.acknowledge(connection.client, cursor);
    demand(fault === undefined, () => `${connection.name} may not acknowledge ${formatCursor(cursor)}: ${fault}`);
  }

  private heartbeat(): void {
    for (const { client, device } of this.connections()) {
      if (device.kind !== 'plain' && client.outboxBytes === 0) client.offerHeartbeat();
    }
  }

  private stall(): void {
    const connection = this.anyOf(({ isStalled }) => !isStalled);
    if (connection === undefined) return;
    connection.isStalled = true;
    if (this.random.chance(0.5)) connection.sink.bufferedBytes = 1024 * 1024;
    this.trace.push(`${connection.name} stops`);
  }

  private goOn(): void {
    const connection = this.anyOf(({ isStalled }) => isStalled);
    if (connection !== undefined) this.letGoOn(connection);
  }

  private letGoOn(connection: Connection): void {
    connection.isStalled = false;
    connection.sink.bufferedBytes = 0;
    connection.client.wake();
    this.trace.push(`${connection.name} goes on`);
  }

  private disconnect(): void {
    const connection = this.anyOf(() => true);
    if (connection !== undefined) this.end(connection.device);
  }

  private end(device: Device): void {
    const { connection } = device;
    if (connection === undefined) return;
    this.read(connection);
    device.connection = undefined;
    connection.socket.emit('close', 1006, Buffer.alloc(0));
  }

  // What they are sent

  private readAll(): void {
    for (const connection of this.connections()) {
      this.read(connection);
      const { closed } = connection.sink;
      if (closed === undefined) continue;
      this.checkClose(connection, closed.code);
      this.end(connection.device);
    }
  }

  private read(connection: Connection): void {
    for (const frames of connection.sink.takeWrites()) {
      for (const { opcode, payload } of frames) {
        if (opcode === Opcode.text) this.receive(connection, JSON.parse(payload.toString()) as Message);
      }
      connection.heldMarks.push(...marksOf(frames));
    }
    if (connection.isStalled) return;
    for (const { by, n } of connection.heldMarks.splice(0)) connection.client.confirmMark(n, by, 0);
  }

  private receive(connection: Connection, message: Message): void {
    const { name, opening, done } = connection;
    const expected = opening.shift();
    if (expected !== undefined) {
      demand(message.event === expected, () => `${name} is sent ${message.event} instead of ${expected}`);
    } else if (message.event === 'gap') {
      this.receiveGap(connection, message);
    } else if (message.event === 'heartbeat') {
      const isPlace = message.id === formatCursor(done);
      demand(isPlace, () => `${name} is told ${message.id} after ${formatCursor(done)}`);
    } else if (message.event !== 'mark') {
      this.receiveAlarm(connection, message.data?.n ?? message.n, message.id);
    }
  }

  private receiveAlarm(connection: Connection, n: number | undefined, id: string | undefined): void {
    const { name, device, done } = connection;
    const next = { epoch: done.epoch, offset: done.offset + 1 };
    const expected = this.life(next.epoch).numbers[done.offset];
    demand(n === expected, () => `${name} is sent the alarm ${n} after ${formatCursor(done)}, ${expected} was next`);
    demand(id === undefined || id === formatCursor(next), () => `${name} is sent ${n} as ${id}`);
    connection.done = next;
    connection.told.push(next);
    if (id !== undefined) device.lastId = id;
    this.tally.delivered += 1;
  }

  private receiveGap(connection: Connection, { data }: Message): void {
    const { name, done } = connection;
    const oldest = cursorOf(data?.oldest);
    const told = `${name} is told a gap from ${data?.requested} to ${data?.oldest} after ${formatCursor(done)}`;
    demand(data?.requested === formatCursor(done), () => told);
    if (data?.reason === 'epoch') {
      demand(oldest.epoch !== done.epoch && oldest.offset === 1, () => told);
      this.tally.epochGaps += 1;
    } else {
      demand(oldest.epoch === done.epoch && this.isHole(done, oldest.offset), () => told);
      this.tally.holes += 1;
    }
    connection.done = { epoch: oldest.epoch, offset: oldest.offset - 1 };
  }

  private checkClose({ name, done }: Connection, code: number): void {
    const isEnded = done.epoch !== this.epoch;
    const isMissing = this.life(done.epoch).removed.has(done.offset + 1);
    demand(code === 4410 && (isEnded || isMissing), () => `${name} is closed with ${code} after ${formatCursor(done)}`);
    this.tally.overtaken += 1;
  }

  /** Everybody goes on; then everything has arrived, or was told to be missing. */
  private async finish(): Promise<void> {
    this.trace.push('everything comes to rest');
    this.release();
    for (const connection of this.connections()) this.letGoOn(connection);
    await this.append();
    for (let round = 0; !this.connections().every((connection) => this.isAtHead(connection)); round++) {
      demand(round < MAX_ROUNDS, () => `it does not come to rest: ${this.restless()}`);
      await turn();
      this.readAll();
      for (const { client, device, told } of this.connections()) {
        const last = told.at(-1);
        if (device.kind === 'durable' && last !== undefined) this.side.registry.acknowledge(client, last);
      }
    }
    await this.checkSubscriptions();
  }

  private isAtHead({ done, client }: Connection): boolean {
    return done.epoch === this.epoch && done.offset === this.newest && client.behindBy === 0;
  }

  private restless(): string {
    const waiting = this.connections().filter((connection) => !this.isAtHead(connection));
    return waiting.map(({ name, done }) => `${name} after ${formatCursor(done)} of ${this.newest}`).join('; ');
  }

  private async checkSubscriptions(): Promise<void> {
    for (let round = 0; round < 5; round++) await turn();
    for (const { userName, cursor } of await this.side.store.list()) {
      const connection = this.devices.find(({ name }) => name === userName)?.connection;
      if (connection === undefined) continue;
      const last = connection.told.findLast(({ epoch }) => epoch === this.epoch);
      const isStored = last === undefined || formatCursor(cursor) === formatCursor(last);
      demand(isStored, () => `${userName} is stored at ${formatCursor(cursor)}, acknowledged is ${last?.offset}`);
    }
  }

  // Small things

  private get epoch(): string {
    return this.log.bounds().epoch;
  }

  private get newest(): number {
    return this.life(this.epoch).numbers.length;
  }

  private life(epoch: string): { readonly numbers: number[]; readonly removed: Set<number> } {
    const life = this.lives.get(epoch);
    if (life === undefined) throw new Error(`there never was an epoch ${epoch}`);
    return life;
  }

  private newAlarm(epoch: string): ReturnType<typeof newAlarm> {
    this.alarmCount += 1;
    this.life(epoch).numbers.push(this.alarmCount);
    return newAlarm(this.alarmCount, {}, this.random.below(200));
  }

  /** Whether everything between the two was removed. */
  private isHole({ epoch, offset }: Cursor, before: number): boolean {
    const { removed } = this.life(epoch);
    for (let missing = offset + 1; missing < before; missing++) if (!removed.has(missing)) return false;
    return before > offset + 1;
  }

  private connections(): Connection[] {
    return this.devices.flatMap(({ connection }) => (connection === undefined ? [] : [connection]));
  }

  private anyOf(condition: (connection: Connection) => boolean): Connection | undefined {
    const fitting = this.connections().filter(condition);
    return fitting.length === 0 ? undefined : this.random.pick(fitting);
  }
}

function cursorOf(id: string | undefined): Cursor {
  const cursor = parseCursor(id ?? '');
  if (cursor === undefined) throw new Error(`${id} is no cursor`);
  return cursor;
}

function demand(isMet: boolean, fault: () => string): void {
  if (!isMet) throw new Error(fault());
}
