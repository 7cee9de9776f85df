import { once } from 'node:events';
import type { Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type ClientOptions, WebSocket } from 'ws';
import { type ClientInfo, PUSH_V1 } from '../../src/index.js';
import { DEADLINE_MS, turn, until, within } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import { Opcode, parseServerFrames } from '../support/memory.sink.js';
import { PushClient } from '../support/push.client.js';
import { openSocket, readUntil, upgradeBytes } from '../support/raw-upgrade.js';
import { SlowClients } from '../support/slow.client.js';
import type { SlowReport } from '../support/slow.program.js';

const WINDOW_BYTES = 64 * 1024;
const DATUM_BYTES = 200;
/** A datum on either wire, and the mark behind it. */
const FRAME_AND_MARK_BYTES = DATUM_BYTES + 100;
const RAW_DATA_PATH = '/ws/rowdata/dev/1';
const FEW_SERIES = ['p', 'q', 'u', 'i', 'f'];
/** Pushed at once at most. */
const MOST_AT_ONCE = 20;

function clientOf(gateway: TestGateway, userName: string): ClientInfo {
  const client = gateway.rawData.clients().find((each) => each.userName === userName);
  if (client === undefined) throw new Error(`${userName} is not connected`);
  return client;
}

/** Everything that closes of the raw-data gateway, in order. */
function ends(gateway: TestGateway): { userName: string; code: number; reason: string }[] {
  const seen: { userName: string; code: number; reason: string }[] = [];
  gateway.rawData.disconnected$.subscribe(({ client: { userName }, code, reason }) =>
    seen.push({ userName, code, reason }),
  );
  return seen;
}

/** Pushes numbered values of 200 bytes to (dev, businessId), each series in its turn, a thousand a second. */
class Source {
  pushed = 0;
  /** Clients that the last value was offered to. */
  matched = 0;
  readonly newest: Record<string, number> = {};

  constructor(
    private readonly gateway: TestGateway,
    private readonly series: readonly string[] = FEW_SERIES,
    private readonly businessId = '1',
  ) {}

  push(): void {
    this.pushed += 1;
    const series = this.series[this.pushed % this.series.length] ?? '';
    const datum = { businessType: 'dev', businessId: this.businessId, series, n: this.pushed, filling: '' };
    datum.filling = 'x'.repeat(DATUM_BYTES - JSON.stringify(datum).length);
    this.newest[series] = this.pushed;
    this.matched = this.gateway.push.pushRawData(datum).matched;
  }

  /** So many values more; `look` is called in between. */
  async pushMore(count: number, look: () => void = () => {}): Promise<void> {
    const last = this.pushed + count;
    await this.pushUntil(() => this.pushed === last, `${count} are pushed`, look);
  }

  async pushUntil(isDone: () => boolean, what: string, look: () => void = () => {}): Promise<void> {
    const startMs = performance.now();
    const pushedBefore = this.pushed;
    while (!isDone()) {
      await delay(1);
      const elapsedMs = performance.now() - startMs;
      if (elapsedMs > 2 * DEADLINE_MS) throw new Error(`not within ${2 * DEADLINE_MS} ms: ${what}`);
      // A late machine catches up a little at a time, or it would have to read more at once than the window holds.
      const due = Math.min(MOST_AT_ONCE, elapsedMs - (this.pushed - pushedBefore));
      for (let pushed = 0; pushed < due && !isDone(); pushed++) this.push();
      look();
    }
  }
}

function hasNewestOf(source: Source): (report: SlowReport) => boolean {
  return ({ newest }) => Object.entries(source.newest).every(([series, n]) => newest[series] === n);
}

/** A client that keeps up gets every value in order, whatever happens to others. */
async function expectAll(client: PushClient, source: Source): Promise<void> {
  for (let n = 1; n <= source.pushed; n++) expect(await client.next()).toContain(`"n":${n},`);
}

describe('a client that has stopped', () => {
  test('costs its window, gets the newest values when it goes on, and harms nobody', async () => {
    const gateway = await gatewayOn('express').start();
    const healthy = await gateway.connect(`${RAW_DATA_PATH}/healthy`);
    const slow = await SlowClients.connect([
      { url: gateway.url(`${RAW_DATA_PATH}/plain`) },
      { url: gateway.url(`${RAW_DATA_PATH}/v1`), subprotocol: PUSH_V1 },
    ]);
    const names = ['plain', 'v1'];
    const source = new Source(gateway);
    const BEFORE = 300;
    await source.pushMore(BEFORE);
    for (const index of names.keys()) await slow.until(index, ({ count }) => count === BEFORE, 'it keeps up');

    slow.stop();
    const mostInFlight = [0, 0];
    await source.pushMore(3000, () => {
      names.forEach((name, i) => {
        mostInFlight[i] = Math.max(mostInFlight[i] ?? 0, clientOf(gateway, name).inFlightBytes);
      });
    });
    for (const bytes of mostInFlight) {
      expect(bytes).toBeGreaterThanOrEqual(WINDOW_BYTES);
      expect(bytes).toBeLessThanOrEqual(WINDOW_BYTES + FRAME_AND_MARK_BYTES);
    }
    for (const name of names) {
      expect(clientOf(gateway, name).outboxBytes).toBeLessThan((FEW_SERIES.length + 1) * FRAME_AND_MARK_BYTES);
    }
    await expectAll(healthy, source);
    expect(clientOf(gateway, 'healthy')).toMatchObject({ conflated: 0, outboxBytes: 0 });

    slow.continue();
    const continuedAtMs = performance.now();
    for (const index of names.keys()) {
      const leftMs = 2000 - (performance.now() - continuedAtMs);
      await slow.until(index, hasNewestOf(source), 'it has the newest value of each series', leftMs);
    }
    const plain = await slow.until(0, () => true, 'a report');
    const v1 = await slow.until(1, ({ conflatedReports }) => conflatedReports > 0, 'it is told');
    expect([plain.faults, v1.faults]).toEqual([0, 0]);
    for (const { count } of [plain, v1]) {
      expect(count).toBeLessThanOrEqual(BEFORE + WINDOW_BYTES / DATUM_BYTES + FEW_SERIES.length);
    }
    expect(v1.conflatedReports).toBe(1);
    expect(v1.count + v1.conflated).toBe(source.pushed);
    expect(clientOf(gateway, 'v1').conflated).toBe(v1.conflated);
    expect(plain.count + clientOf(gateway, 'plain').conflated).toBe(source.pushed);

    await source.pushMore(300);
    for (const [index, { count }] of [plain, v1].entries()) {
      const after = await slow.until(index, hasNewestOf(source), 'it has what came afterwards');
      expect(after).toMatchObject({ count: count + 300, faults: 0 });
    }
    expect(clientOf(gateway, 'v1').conflated).toBe(v1.conflated);
  });

  test("is closed with 4408 where delivery is 'disconnect', after values without a gap", async () => {
    const gateway = await gatewayOn('fastify').withOptions({ delivery: 'disconnect' }).start();
    const closed = ends(gateway);
    const healthy = await gateway.connect(`${RAW_DATA_PATH}/healthy`);
    const slow = await SlowClients.connect([
      { url: gateway.url(`${RAW_DATA_PATH}/plain`) },
      { url: gateway.url(`${RAW_DATA_PATH}/v1`), subprotocol: PUSH_V1 },
    ]);
    const source = new Source(gateway, ['only']);
    await source.pushMore(100);
    for (const index of [0, 1]) await slow.until(index, ({ count }) => count === 100, 'it keeps up');
    slow.stop();
    await source.pushUntil(() => source.matched === 1, 'both are given up');
    slow.continue();
    for (const index of [0, 1]) {
      const report = await slow.until(index, (each) => each.closed !== undefined, 'it is closed');
      expect(report).toMatchObject({ closed: { code: 4408, reason: 'too slow' }, faults: 0, conflated: 0 });
      expect(report.newest).toEqual({ only: report.count });
    }
    await until(() => closed.length === 2, 'disconnected$');
    expect(closed.toSorted((a, b) => a.userName.localeCompare(b.userName))).toEqual([
      { userName: 'plain', code: 4408, reason: 'too slow' },
      { userName: 'v1', code: 4408, reason: 'too slow' },
    ]);
    await expectAll(healthy, source);
  });

  test('is closed with 4413 where the newest of each series are more than its outbox may hold, and only there', async () => {
    const options = { inFlightBytes: 16 * 1024, maxOutboxBytes: 32 * 1024 };
    const gateway = await gatewayOn('express').withOptions(options).start();
    const closed = ends(gateway);
    const healthy = await gateway.connect('/ws/rowdata/dev/many/healthy');
    const slow = await SlowClients.connect([
      { url: gateway.url('/ws/rowdata/dev/many/crowded') },
      { url: gateway.url('/ws/rowdata/dev/few/roomy') },
    ]);
    const manySeries = Array.from({ length: 1000 }, (_, n) => `s${n}`);
    const many = new Source(gateway, manySeries, 'many');
    const few = new Source(gateway, FEW_SERIES, 'few');
    slow.stop();
    let mostWaiting = 0;
    const look = (): void => {
      for (const { outboxBytes } of gateway.rawData.clients()) mostWaiting = Math.max(mostWaiting, outboxBytes);
    };
    await Promise.all([
      many.pushUntil(() => many.matched === 1, 'the crowded one is given up', look),
      few.pushMore(1000),
    ]);
    expect(mostWaiting).toBeLessThanOrEqual(options.maxOutboxBytes + FRAME_AND_MARK_BYTES);
    slow.continue();
    const crowded = await slow.until(0, (report) => report.closed !== undefined, 'it is closed');
    expect(crowded.closed).toEqual({ code: 4413, reason: 'outbox over its budget' });
    const roomy = await slow.until(1, hasNewestOf(few), 'it has the newest value of each series');
    expect(roomy).toMatchObject({ isOpen: true, faults: 0 });
    expect(clientOf(gateway, 'roomy').conflated).toBeGreaterThan(0);
    await until(() => closed.length === 1, 'disconnected$');
    expect(closed).toEqual([{ userName: 'crowded', code: 4413, reason: 'outbox over its budget' }]);
    await expectAll(healthy, many);
  });
});

/** Confirms by hand what it was sent: by messages on push.v1, by pongs on the plain wire. */
class Forger {
  /** Marks that it was sent. */
  readonly marks: number[] = [];
  values = 0;
  exceptions = 0;
  newest = 0;
  private readonly closed: Promise<unknown>;

  private constructor(
    private readonly socket: WebSocket,
    private readonly wire: 'push.v1' | 'plain',
  ) {
    this.closed = once(socket, 'close');
    socket.on('error', () => {});
    socket.on('message', (data) => this.take(String(data)));
    socket.on('ping', (payload) => {
      const [, n] = /^m(\d+)$/.exec(payload.toString()) ?? [];
      if (n !== undefined && wire === 'plain') this.marks.push(Number(n));
    });
  }

  static async connect(url: string, wire: 'push.v1' | 'plain', options: ClientOptions = {}): Promise<Forger> {
    const socket = new WebSocket(url, wire === 'push.v1' ? [PUSH_V1] : [], { ...options, autoPong: false });
    const forger = new Forger(socket, wire);
    forgers.add(forger);
    await within(once(socket, 'open'), 'open');
    return forger;
  }

  answer(...marks: unknown[]): void {
    for (const n of marks) {
      if (this.wire === 'plain') this.socket.pong(`m${String(n)}`);
      else this.socket.send(JSON.stringify({ event: 'mark', data: { n } }));
    }
  }

  /** The server has taken all that was sent to it, and what it wrote until then is here. */
  async roundTrip(): Promise<void> {
    const pong = once(this.socket, 'pong');
    this.socket.ping();
    await within(pong, 'the connection lives');
  }

  async cut(): Promise<void> {
    this.socket.terminate();
    await within(this.closed, 'close');
  }

  private take(text: string): void {
    const { event, data, ...rest } = JSON.parse(text) as { event?: string; data?: { n?: number }; n?: number };
    const n = data?.n ?? rest.n ?? 0;
    if (event === 'mark') this.marks.push(n);
    if (event === 'exception') this.exceptions += 1;
    if (event !== undefined && event !== 'rawData') return;
    this.values += 1;
    this.newest = n;
  }
}

const forgers = new Set<Forger>();

afterEach(async () => {
  const made = [...forgers];
  forgers.clear();
  await Promise.all(made.map((forger) => forger.cut()));
});

/** What is looked at is not how many there are. */
const MANY_MESSAGES = { maxMessagesPerSecond: 1_000_000 };

describe('marks that nobody is owed', () => {
  /** Rejected as messages; as pongs they are nobody's. */
  const malformed = [2 ** 53, 1.5, null, '7', 'NaN', '', [1], '1e999'];

  test.each(['push.v1', 'plain'] as const)('open nothing on %s, and the connection lives', async (wire) => {
    const gateway = await gatewayOn('express').withOptions(MANY_MESSAGES).start();
    const forger = await Forger.connect(gateway.url(`${RAW_DATA_PATH}/forger`), wire);
    const source = new Source(gateway, ['only']);
    const info = (): ClientInfo => clientOf(gateway, 'forger');
    const fill = async (): Promise<void> => {
      const conflatedBefore = info().conflated;
      await source.pushUntil(() => info().conflated > conflatedBefore, 'the window is full and values wait');
      expect(info().inFlightBytes).toBeGreaterThanOrEqual(WINDOW_BYTES);
      await forger.roundTrip();
    };
    const expectNothingFrom = async (...forged: unknown[]): Promise<void> => {
      const before = { ...info(), values: forger.values };
      forger.answer(...forged);
      await forger.roundTrip();
      await source.pushMore(10);
      await forger.roundTrip();
      expect(info().inFlightBytes).toBe(before.inFlightBytes);
      expect(info().outboxBytes).toBeGreaterThan(0);
      expect(forger.values).toBe(before.values);
    };

    await fill();
    const first = forger.marks.at(0) ?? 0;
    const last = forger.marks.at(-1) ?? 0;
    expect(first).toBeGreaterThan(1);
    const outstanding = new Set(forger.marks);
    const others = Array.from({ length: last + 1000 }, (_, n) => n).filter((n) => !outstanding.has(n));
    await expectNothingFrom(-1, -first, -last, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, ...others);
    await expectNothingFrom(...malformed.filter((n) => wire === 'push.v1' || n !== '7'));

    const returned = [...forger.marks];
    forger.answer(...returned);
    await until(() => forger.newest === source.pushed, 'the true marks open the window');
    await until(() => forger.exceptions === (wire === 'push.v1' ? malformed.length : 0), 'the malformed are answered');

    await fill();
    await expectNothingFrom(...returned, ...returned.toReversed());
    // The newest mark confirms what is before it, so the older ones are owed no more.
    forger.answer(...forger.marks.slice(returned.length).toReversed());
    await until(() => forger.newest === source.pushed, 'the window opens again');
    await until(() => info().outboxBytes === 0, 'nothing waits any more');
  });
});

/** A frame of a client, masked with zeros. */
function clientFrame(opcode: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

/** A connection that reads nothing, and the server's end of it. */
async function connectDeaf(
  gateway: TestGateway,
  headers: Record<string, string>,
): Promise<{ deaf: Socket; end: Socket }> {
  const connection = once(gateway.httpServer, 'connection');
  const deaf = await openSocket(gateway.port);
  const [end] = (await within(connection, 'connection')) as [Socket];
  deaf.write(upgradeBytes(gateway.port, { path: `${RAW_DATA_PATH}/deaf`, headers }));
  await until(() => gateway.rawData.clients().some(({ userName }) => userName === 'deaf'), 'the upgrade');
  return { deaf, end };
}

describe('a client that floods and reads nothing', () => {
  test.each([20, 1000])('of pings, %d at once, is cut before its pongs pile up; others lose nothing', async (burst) => {
    const gateway = await gatewayOn('express').start();
    const closed = ends(gateway);
    const raw = await gateway.connect(`${RAW_DATA_PATH}/healthy`);
    const alarm = await gateway.connect('/ws/alarm');
    const { deaf, end } = await connectDeaf(gateway, {});
    const pings = Buffer.concat(Array<Buffer>(burst).fill(clientFrame(Opcode.ping, Buffer.alloc(125))));
    const source = new Source(gateway);
    let rounds = 0;
    try {
      while (closed.length === 0) {
        const readBefore = end.bytesRead;
        deaf.write(pings);
        await until(() => end.bytesRead - readBefore >= pings.length || end.destroyed, 'the server reads the pings');
        // 60 pongs of 127 bytes, and the values that were pushed to it.
        expect(end.writableLength).toBeLessThan(60 * 127 + WINDOW_BYTES + FRAME_AND_MARK_BYTES);
        if (rounds % 20 === 0) source.push();
        if (rounds % 200 === 0) await gateway.push.pushAlarm({ businessId: '1', n: rounds });
        rounds += 1;
        await turn();
      }
    } finally {
      deaf.destroy();
    }
    expect(closed).toEqual([{ userName: 'deaf', code: 1006, reason: '' }]);
    await source.pushMore(100);
    await gateway.push.pushAlarm({ businessId: '1', n: -1 });
    await expectAll(raw, source);
    const alarms = (await gateway.alarmsHeardBy({ alarm })).alarm.map((text) => (JSON.parse(text) as { n: number }).n);
    const pushed = Array.from({ length: Math.ceil(rounds / 200) }, (_, n) => n * 200);
    expect(alarms).toEqual([...pushed, -1]);
  });

  test('of requests is closed with 4413 when the answers are more than its outbox may hold', async () => {
    const maxOutboxBytes = WINDOW_BYTES;
    const gateway = await gatewayOn('fastify')
      .withOptions({ ...MANY_MESSAGES, maxOutboxBytes, drainDeadlineMs: 500 })
      .start();
    const closed = ends(gateway);
    const healthy = await gateway.connect(`${RAW_DATA_PATH}/healthy`);
    const { deaf } = await connectDeaf(gateway, { 'Sec-WebSocket-Protocol': PUSH_V1 });
    const request = clientFrame(Opcode.text, Buffer.from('{"event":"unheard of"}'));
    const source = new Source(gateway);
    let mostWaiting = 0;
    try {
      for (let round = 0; round < 200; round++) {
        deaf.write(Buffer.concat(Array<Buffer>(20).fill(request)));
        source.push();
        await turn();
        for (const { outboxBytes } of gateway.rawData.clients()) mostWaiting = Math.max(mostWaiting, outboxBytes);
      }
      await source.pushUntil(() => source.matched === 1, 'the flooder is given up');
      const received = await readUntil(deaf, () => false);
      const frames = parseServerFrames(received.subarray(received.indexOf('\r\n\r\n') + 4));
      const last = frames.at(-1);
      expect(last?.opcode).toBe(Opcode.close);
      expect(last?.payload.readUInt16BE(0)).toBe(4413);
      expect(received.length).toBeLessThan(WINDOW_BYTES + 1000);
      expect(mostWaiting).toBeLessThanOrEqual(maxOutboxBytes + FRAME_AND_MARK_BYTES);
      await until(() => closed.length === 1, 'it is cut, for it does not answer the close');
    } finally {
      deaf.destroy();
    }
    expect(closed).toEqual([{ userName: 'deaf', code: 1006, reason: '' }]);
    await expectAll(healthy, source);
  });
});

/** An upgrade over streams, as of an HTTP server that brings sockets of its own. */
function throughStreams(gateway: TestGateway): ClientOptions {
  const [ours, theirs] = duplexPair();
  gateway.httpServer.emit('connection', theirs);
  // Any stream will do for ws, whatever the types say.
  return { createConnection: () => ours as Socket };
}

describe('a connection whose socket is not one of Node', () => {
  test.each([PUSH_V1, 'plain'])('gets more than its window on %s, whole and in order, and its close', async (wire) => {
    const gateway = await gatewayOn('express')
      .withOptions({ allowAnonymous: true, maxOutboxBytes: 2 ** 26 })
      .start();
    const url = gateway.url(`${RAW_DATA_PATH}/streams`);
    const client = await (wire === PUSH_V1
      ? PushClient.connectPushV1(url, throughStreams(gateway))
      : PushClient.connect(url, throughStreams(gateway)));
    const texts = Array.from({ length: 400 }, (_, n) => `${n} `.padEnd((n * n) % 99_991, n % 2 === 0 ? 'x' : 'ü'));
    for (const text of texts) gateway.rawData.broadcast(text);
    expect(clientOf(gateway, 'streams').outboxBytes).toBeGreaterThan(WINDOW_BYTES);
    for (const text of texts) expect((await client.next()) === text).toBe(true);
    expect(wire === PUSH_V1 ? client.marks : client.pings).toBeGreaterThan(10);
    gateway.push.pushRawData({ businessType: 'dev', businessId: '1', n: 1 });
    expect(await client.next()).toContain('"n":1');
    gateway.rawData.disconnect(gateway.clientIdOf('streams'), 4100, 'bis später');
    expect(await within(client.closed, 'close')).toEqual({ code: 4100, reason: 'bis später' });
    await until(() => gateway.rawData.count() === 0 && gateway.placesTaken === 0, 'it is gone');
  });

  test('conflates where what it was sent is not confirmed', async () => {
    const gateway = await gatewayOn('express').withOptions({ allowAnonymous: true }).start();
    const forger = await Forger.connect(gateway.url(`${RAW_DATA_PATH}/streams`), 'plain', throughStreams(gateway));
    const source = new Source(gateway, ['only']);
    await source.pushMore(1000);
    await forger.roundTrip();
    const { inFlightBytes, conflated } = clientOf(gateway, 'streams');
    expect(inFlightBytes).toBeLessThanOrEqual(WINDOW_BYTES + FRAME_AND_MARK_BYTES);
    expect(conflated).toBeGreaterThan(0);
    expect(forger.values).toBeLessThanOrEqual(WINDOW_BYTES / DATUM_BYTES);
    forger.answer(...forger.marks);
    await until(() => forger.newest === source.pushed, 'it has the newest value');
    expect(forger.values + clientOf(gateway, 'streams').conflated).toBe(source.pushed);
  });
});

describe('a client that is behind when the node shuts down', () => {
  test.each([PUSH_V1, 'plain'])('is sent all that waits for it on %s, and then 1012', async (wire) => {
    const gateway = await gatewayOn('express').start();
    const url = gateway.url(`${RAW_DATA_PATH}/behind`);
    const client = await (wire === PUSH_V1 ? PushClient.connectPushV1(url) : PushClient.connect(url));
    const texts = Array.from({ length: 400 }, (_, n) => `${n} `.padEnd(1000, 'x'));
    const pushAll = (): void => texts.forEach((text) => gateway.rawData.broadcast(text));
    // Once it has returned a mark by message, nothing else tells how far it has read.
    pushAll();
    for (const text of texts) expect(await client.next()).toBe(text);
    pushAll();
    const stopped = gateway.app.close();
    expect(await within(client.closed, 'close', 15_000)).toEqual({ code: 1012, reason: 'server is restarting' });
    await within(stopped, 'the application closes');
    const sentinel = 'nothing more';
    client.socket.emit('message', sentinel);
    const received = await client.upTo(sentinel);
    // What says that the node leaves is no part of what waits.
    const waited = received.filter((text) => !text.startsWith('{"event":"drain"'));
    expect(waited.length).toBe(texts.length);
    expect(waited).toEqual(texts);
  });
});
