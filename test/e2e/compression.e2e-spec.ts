import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { constants, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { WebSocket as UndiciWebSocket } from 'undici';
import type { ClientOptions } from 'ws';
import { splitFrames } from '../../src/fan-out/frame.js';
import { PUSH_V1, type PushModuleOptions, type RawDatum } from '../../src/index.js';
import { alarmMessage, rawDataMessage } from '../../src/protocol/messages.js';
import { createDatum, LONG_BYTES } from '../bench/datum.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, type Platform, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';
import { describeWith } from '../support/programs.js';
import { PythonClient } from '../support/python.js';
import { openSocket, readUntil, upgradeBytes } from '../support/raw-upgrade.js';

const THRESHOLD_BYTES = 256;
const COMPRESSION = { compression: { thresholdBytes: THRESHOLD_BYTES } };
const PATH = '/ws/rowdata/dev/1/u';
const KEY = { businessType: 'dev', businessId: '1' };
const MAX_MESSAGE_BYTES = 16 * 1024;
/** JSON with an event, as python3-websockets' program expects on push.v1. */
const SENTINEL = '{"event":"end"}';
const COMPRESSED = 0xc1;
const PLAIN = 0x81;

/** A text that is hard to compress, so that its compressed frame is half as long. */
const noise = (bytes: number): string => randomBytes(bytes / 2).toString('hex');

/** Below and above the threshold by turns, in every length of header, and more than the window holds. */
const TEXTS = [
  'short',
  '温度 "21°" 🔥'.repeat(100),
  '',
  noise(400),
  'x'.repeat(THRESHOLD_BYTES),
  // Repeats itself beyond the reach of the window that messages are compressed with.
  noise(5000).repeat(3),
  'short',
  noise(200_000),
  'ä',
  ...Array.from({ length: 100 }, (_, n) => `${n} `.repeat(n * 5)),
];
// Each in a series of its own, so that none takes another one's place.
const datum = (text: string, n: number) => ({ ...KEY, series: `s${n}`, text });
const DATA = TEXTS.map(datum);
const isDatum = (message: string): boolean => message.includes('"series"');
const FORMATS = ['plain', PUSH_V1] as const;
type Format = (typeof FORMATS)[number];
const subprotocolsOf = (format: Format): string[] => (format === 'plain' ? [] : [format]);
const textsOn = (format: Format, data: readonly RawDatum[] = DATA): string[] =>
  data.map((each) => JSON.stringify(each)).map(format === 'plain' ? String : rawDataMessage);

/** A gateway with the server's end of each connection, in the order in which they came. */
async function counted(
  platform: Platform,
  options: PushModuleOptions = COMPRESSION,
): Promise<{ gateway: TestGateway; ends: Socket[] }> {
  const ends: Socket[] = [];
  const gateway = await gatewayOn(platform)
    .withOptions(options)
    .prepared((app) => (app.getHttpServer() as Server).on('connection', (socket: Socket) => ends.push(socket)))
    .start();
  return { gateway, ends };
}

function connectWs(gateway: TestGateway, format: Format, options: ClientOptions): Promise<PushClient> {
  return format === 'plain' ? gateway.connect(PATH, options) : gateway.connectPushV1(PATH, options);
}

function pushAll(gateway: TestGateway, data: readonly RawDatum[] = DATA): void {
  for (const each of data) gateway.push.pushRawData(each);
}

const bytesOf = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/** A client of some library that offers permessage-deflate. */
interface Receiver {
  upTo(sentinel: string): Promise<string[]>;
}

function expectToInflate(connect: (gateway: TestGateway, format: Format) => Promise<Receiver>): void {
  describe.each(PLATFORMS)('on %s', (platform) => {
    test.each(FORMATS)('%s: compressed and plain messages mixed', async (format) => {
      const { gateway, ends } = await counted(platform);
      const client = await connect(gateway, format);
      await until(() => gateway.rawData.count() === 1, 'it is known');
      pushAll(gateway);
      gateway.rawData.broadcast(SENTINEL);
      const received = await within(client.upTo(SENTINEL), 'all of it', 10_000);
      expect(received.filter(isDatum)).toEqual(textsOn(format));
      const [end] = ends;
      expect(end?.bytesWritten).toBeLessThan(bytesOf(textsOn(format)) * 0.6);
    });
  });
}

describe('compressed messages in ws', () => {
  expectToInflate((gateway, format) => connectWs(gateway, format, { perMessageDeflate: true }));
});

describe('compressed messages in undici', () => {
  class UndiciReceiver implements Receiver {
    private readonly received: string[] = [];

    constructor(private readonly socket: UndiciWebSocket) {
      socket.addEventListener('message', ({ data }) => {
        const text = String(data);
        if (text.startsWith('{"event":"mark"')) socket.send(text);
        else this.received.push(text);
      });
      socket.addEventListener('error', () => {});
    }

    async opened(): Promise<this> {
      await until(() => this.socket.readyState === UndiciWebSocket.OPEN, 'undici opens');
      return this;
    }

    async upTo(sentinel: string): Promise<string[]> {
      await until(() => this.received.includes(sentinel), 'undici gets the last message', 10_000);
      return this.received.slice(0, -1);
    }
  }

  expectToInflate((gateway, format) =>
    new UndiciReceiver(new UndiciWebSocket(gateway.url(PATH), subprotocolsOf(format))).opened(),
  );
});

describeWith('python3-websockets', "compressed messages in Debian's python3-websockets", () => {
  class PythonReceiver implements Receiver {
    constructor(private readonly client: PythonClient) {}

    async upTo(sentinel: string): Promise<string[]> {
      const received: string[] = [];
      for (;;) {
        const { message } = await this.client.next();
        if (message === sentinel) return received;
        received.push(String(message));
      }
    }
  }

  expectToInflate(async (gateway, format) => {
    const client = PythonClient.connect(gateway.url(PATH), subprotocolsOf(format));
    await client.next();
    return new PythonReceiver(client);
  });
});

/** A connection without any library: what the server answered, and the frames as they are. */
class RawClient {
  private constructor(
    private readonly socket: Socket,
    readonly answer: string,
  ) {}

  static async connect(gateway: TestGateway, offer?: string): Promise<RawClient> {
    const socket = await openSocket(gateway.port);
    socket.write(upgradeBytes(gateway.port, { path: PATH, headers: { 'Sec-WebSocket-Extensions': offer } }));
    const answer = await readUntil(socket, (bytes) => bytes.includes('\r\n\r\n'));
    return new RawClient(socket, answer.toString());
  }

  /** First byte and text of the frames that the action makes the server send; the last one is the sentinel's. */
  async framesOf(action: () => void): Promise<{ firstByte: number; text: string }[]> {
    const reading = readUntil(this.socket, (bytes) => bytes.includes(SENTINEL));
    action();
    const bytes = await reading;
    return [...splitFrames(bytes)].slice(0, -1).map(({ payload }) => {
      const firstByte = bytes.readUInt8(payload.byteOffset - bytes.byteOffset - (payload.length < 126 ? 2 : 4));
      const text = firstByte === PLAIN ? payload : inflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH });
      return { firstByte, text: text.toString() };
    });
  }

  end(): void {
    this.socket.destroy();
  }
}

describe.each(PLATFORMS)('compression on %s', (platform) => {
  test('one push is compressed for those that negotiated it, and plain for the others', async () => {
    const { gateway } = await counted(platform);
    const offering = await RawClient.connect(gateway, 'permessage-deflate; client_max_window_bits');
    const silent = await RawClient.connect(gateway);
    expect(offering.answer).toMatch(
      /^Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r$/m,
    );
    expect(silent.answer).not.toContain('Sec-WebSocket-Extensions');
    await until(() => gateway.rawData.count() === 2, 'both are known');
    const data = ['short', 'long '.repeat(100), 'short'].map(datum);
    const [short, long, last] = textsOn('plain', data);
    const forSilent = silent.framesOf(() => {});
    const forOffering = await offering.framesOf(() => {
      pushAll(gateway, data);
      gateway.rawData.broadcast(SENTINEL);
    });
    expect(forOffering).toEqual([
      { firstByte: PLAIN, text: short },
      { firstByte: COMPRESSED, text: long },
      { firstByte: PLAIN, text: last },
    ]);
    expect(await forSilent).toEqual(forOffering.map(({ text }) => ({ firstByte: PLAIN, text })));
    offering.end();
    silent.end();
  });

  test('a datum of 1 KB takes half of the bytes at most', async () => {
    const { gateway, ends } = await counted(platform);
    const compressed = await gateway.connect(PATH, { perMessageDeflate: true });
    const plain = await gateway.connect(PATH);
    const before = ends.map(({ bytesWritten }) => bytesWritten);
    const text = JSON.stringify({ ...createDatum('long', { key: 1, series: 2, n: 3, atMicros: 4 }), ...KEY });
    gateway.push.pushRawData(JSON.parse(text) as typeof KEY);
    expect([await compressed.next(), await plain.next()]).toEqual([text, text]);
    const [compressedBytes = NaN, plainBytes = NaN] = ends.map(
      ({ bytesWritten }, i) => bytesWritten - (before[i] ?? 0),
    );
    expect(plainBytes).toBeGreaterThan(LONG_BYTES * 0.95);
    expect(compressedBytes).toBeLessThanOrEqual(plainBytes / 2);
  });

  test('alarms are compressed too', async () => {
    const { gateway, ends } = await counted(platform);
    const client = await gateway.connectPushV1('/ws/alarm', { perMessageDeflate: true });
    const before = ends[0]?.bytesWritten ?? NaN;
    const alarm = { businessId: '1', text: 'überhitzt '.repeat(1000) };
    const { cursor } = await gateway.push.pushAlarm(alarm);
    expect(await client.next()).toBe(alarmMessage(cursor, JSON.stringify(alarm)));
    expect((ends[0]?.bytesWritten ?? NaN) - before).toBeLessThan(1000);
  });

  test.each([
    ['smaller than ours: uncompressed', 9, ''],
    ['just ours: compressed', 12, 'permessage-deflate'],
  ])('an offer of a server window %s', async (_what, serverMaxWindowBits, extensions) => {
    const { gateway } = await counted(platform);
    for (const format of FORMATS) {
      const client = await connectWs(gateway, format, { perMessageDeflate: { serverMaxWindowBits } });
      expect(client.socket.extensions).toBe(extensions);
      pushAll(gateway);
      const { received } = await gateway.heardBy({ received: client });
      expect(received.filter(isDatum)).toEqual(textsOn(format));
      await client.close();
    }
  });

  test('without the option an offer is declined', async () => {
    const { gateway } = await counted(platform, {});
    const client = await gateway.connect(PATH, { perMessageDeflate: true });
    expect(client.socket.extensions).toBe('');
    pushAll(gateway);
    const { received } = await gateway.heardBy({ received: client });
    expect(received).toEqual(textsOn('plain'));
  });

  test('a small message that inflates beyond the limit ends its sender with 1009, and nobody else loses anything', async () => {
    const { gateway, ends } = await counted(platform);
    const attacker = await gateway.connect(PATH, { perMessageDeflate: true });
    const compressed = await gateway.connect(PATH, { perMessageDeflate: true });
    const plain = await gateway.connect(PATH);
    const taken: unknown[] = [];
    gateway.rawData.messages$.subscribe(({ data }) => taken.push(data));

    const largest = 'x'.repeat(MAX_MESSAGE_BYTES);
    attacker.send(largest);
    await until(() => taken.length === 1, 'the largest message that is allowed');
    expect(taken).toEqual([largest]);

    const begin = DATA.slice(0, 50);
    pushAll(gateway, begin);
    attacker.send('x'.repeat(1024 * 1024));
    expect(await within(attacker.closed, 'it is closed')).toMatchObject({ code: 1009 });
    expect(ends[0]?.bytesRead).toBeLessThan(MAX_MESSAGE_BYTES / 4);
    pushAll(gateway, DATA.slice(begin.length));
    const heard = await gateway.heardBy({ compressed, plain });
    expect(heard).toEqual({ compressed: textsOn('plain'), plain: textsOn('plain') });
    expect(taken).toEqual([largest]);
    expect(gateway.rawData.count()).toBe(2);
  });
});
