import { afterEach, describe, expect, test } from '@jest/globals';
import { Authenticator, type Handshake, type Principal } from '../../src/index.js';
import { until, untilAsync, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS } from '../support/gateway.fixture.js';
import { LogCapture } from '../support/log.capture.js';
import { type HttpAnswer, openSocket, rawGet, rawUpgrade, readUntil, upgradeBytes } from '../support/raw-upgrade.js';

const PATHS = ['/ws/rowdata/dev/1/ann', '/ws/alarm'];
const [RAW_DATA_PATH = ''] = PATHS;

class QueryAuthenticator extends Authenticator {
  authenticate({ query }: Handshake): Principal {
    const userName = query.get('as');
    return userName === null ? {} : { userName };
  }
}

/** RFC 6455 section 5.2: a masked frame of a client, masked with zeros. */
function clientFrame(firstByte: number, payload: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(payload);
  const length = bytes.length < 126 ? [0x80 | bytes.length] : [0xfe, bytes.length >> 8, bytes.length & 0xff];
  return Buffer.concat([Buffer.from([firstByte, ...length, 0, 0, 0, 0]), bytes]);
}

const TEXT_BEGINS = 0x01;
const GOES_ON = 0x00;
const ENDS = 0x80;

function fragments(count: number): Buffer[] {
  const middle = Array.from({ length: count - 2 }, () => clientFrame(GOES_ON, 'x'));
  return [clientFrame(TEXT_BEGINS, 'x'), ...middle, clientFrame(ENDS, 'x')];
}

/** The code of the close frame that ends these bytes. */
function closeCodeIn(bytes: Buffer): number | undefined {
  for (let at = 0; at + 4 <= bytes.length; at++) if (bytes[at] === 0x88) return bytes.readUInt16BE(at + 2);
  return undefined;
}

let log: LogCapture | undefined;

afterEach(() => {
  log?.stop();
  log = undefined;
});

describe.each(PLATFORMS)('limits on %s', (platform) => {
  test('of one user: 429 userLimit, over both gateways, and others are let in', async () => {
    const gateway = await gatewayOn(platform)
      .withOptions({ authenticator: new QueryAuthenticator(), maxConnectionsPerUser: 2 })
      .start();
    const first = await gateway.connect(`${RAW_DATA_PATH}?as=ann`);
    await gateway.connect('/ws/alarm?as=ann');
    for (const ask of [rawUpgrade, rawGet]) {
      for (const path of PATHS) {
        expect(await ask(gateway.port, { path: `${path}?as=ann` })).toMatchObject({
          status: 429,
          json: { statusCode: 429, error: 'userLimit', message: expect.stringContaining('this user') },
        });
      }
    }
    // Whoever has no name is nobody's.
    for (let n = 0; n < 3; n++) await gateway.connect('/ws/alarm');
    await gateway.connect('/ws/alarm?as=bob');
    expect(gateway.placesTaken).toBe(6);
    await first.close();
    await until(() => gateway.placesTaken === 5, 'a place is free');
    await gateway.connect(`${RAW_DATA_PATH}?as=ann`);
    // Another user's path takes none of one's own places.
    for (let n = 0; n < 3; n++) {
      expect((await rawUpgrade(gateway.port, { path: `${RAW_DATA_PATH}?as=bob` })).status).toBe(403);
    }
    await gateway.connect('/ws/alarm?as=bob');
  });

  test('of upgrades a second: 429 rateLimit, refused ones and plain GETs among them', async () => {
    const gateway = await gatewayOn(platform).withOptions({ maxUpgradesPerSecond: 1, maxConnectionsPerIp: 4 }).start();
    const statuses: number[] = [];
    for (const path of [RAW_DATA_PATH, '/ws/rowdata/a/*/u', '/ws/alarm']) {
      statuses.push((await rawGet(gateway.port, { path })).status);
    }
    statuses.push((await rawUpgrade(gateway.port, { path: RAW_DATA_PATH })).status);
    expect(statuses).toEqual([426, 400, 426, 101]);
    // Whoever took a second for these has room for another one.
    let answer: HttpAnswer | undefined;
    await untilAsync(async () => {
      answer = await rawUpgrade(gateway.port, { path: RAW_DATA_PATH });
      return answer.status !== 101;
    }, 'one too many');
    expect(answer).toMatchObject({ status: 429, json: { statusCode: 429, error: 'rateLimit' } });
    expect(answer?.headers['retry-after']).toBe('5');
    // What is not ours is not counted.
    expect((await rawUpgrade(gateway.port, { path: '/nowhere' })).status).toBe(404);
    await until(() => gateway.placesTaken === 0, 'no place is taken');
  });

  test('of keys a second: 40 at once are taken, then 4429, and others are served', async () => {
    const options = { maxKeysPerSecond: 1, maxSubscriptionsPerClient: 2 };
    const gateway = await gatewayOn(platform).withOptions(options).start();
    const other = await gateway.connect('/ws/rowdata/dev/2/bob');
    const client = await gateway.connectPushV1(RAW_DATA_PATH);
    const keys = Array.from({ length: 10 }, (_, n) => ({ businessType: 'dev', businessId: `${n}` }));
    for (const event of ['subscribe', 'unsubscribe', 'subscribe', 'unsubscribe', 'subscribe']) {
      client.send(JSON.stringify({ event, data: { keys } }));
    }
    const answers: string[] = [];
    for (let n = 0; n < 4; n++) answers.push((await client.nextMessage()).event);
    expect(answers).toEqual(['subscribed', 'unsubscribed', 'subscribed', 'unsubscribed']);
    expect(await client.closed).toMatchObject({ code: 4429 });
    gateway.push.pushRawData({ businessType: 'dev', businessId: '2', n: 1 });
    expect(JSON.parse(await other.next())).toMatchObject({ n: 1 });
  });

  describe('of messages a second', () => {
    const options = { maxMessagesPerSecond: 10 };
    const MESSAGES: [string, string, (text: string) => Buffer][] = [
      ['texts on the plain wire', 'plain', (text) => clientFrame(0x81, text)],
      ['bytes on the plain wire', 'plain', (text) => clientFrame(0x82, text)],
      ['subscriptions', 'push.v1', () => clientFrame(0x81, '{"event":"subscribe","data":{"keys":[]}}')],
      ['what is no message', 'push.v1', (text) => clientFrame(0x81, text)],
      ['bytes on push.v1', 'push.v1', (text) => clientFrame(0x82, text)],
      ['fresh tokens', 'push.v1', () => clientFrame(0x81, '{"event":"auth","data":{"token":"x"}}')],
      ['pings', 'plain', (text) => clientFrame(0x89, text)],
      ['pongs that nobody asked for', 'plain', (text) => clientFrame(0x8a, text)],
      ['pongs of marks that are made up', 'plain', () => clientFrame(0x8a, 'm12345')],
      ['marks that are made up', 'push.v1', () => clientFrame(0x81, '{"event":"mark","data":{"n":12345}}')],
    ];

    test.each(MESSAGES)('%s: 20 at once are taken, then 4429', async (_what, format, frame) => {
      const gateway = await gatewayOn(platform).withOptions(options).start();
      const headers = format === 'plain' ? {} : { 'Sec-WebSocket-Protocol': format };
      for (const path of PATHS) {
        const connect = async () => {
          const ends: number[] = [];
          const registry = path === '/ws/alarm' ? gateway.alarms : gateway.rawData;
          const listening = registry.disconnected$.subscribe(({ code }) => ends.push(code));
          const socket = await openSocket(gateway.port);
          socket.write(upgradeBytes(gateway.port, { path, headers }));
          await until(() => registry.count() === 1, 'it is connected');
          return { socket, ends, registry, listening };
        };
        const modest = await connect();
        modest.socket.write(Buffer.concat(Array.from({ length: 20 }, () => frame('hello'))));
        const wasHeard = readUntil(modest.socket, (bytes) => closeCodeIn(bytes) !== undefined);
        modest.socket.write(clientFrame(0x88, Buffer.from([0x03, 0xe8])));
        // Its own close is answered, so all before it was taken.
        expect(closeCodeIn(await wasHeard)).toBe(1000);
        modest.socket.destroy();
        await until(() => modest.registry.count() === 0, 'it is gone');
        modest.listening.unsubscribe();
        const flood = await connect();
        const closed = readUntil(flood.socket, (bytes) => closeCodeIn(bytes) !== undefined);
        flood.socket.write(Buffer.concat(Array.from({ length: 60 }, () => frame('hello'))));
        expect(closeCodeIn(await closed)).toBe(4429);
        flood.socket.destroy();
        await until(() => flood.registry.count() === 0, 'it is gone');
        flood.listening.unsubscribe();
      }
    });

    test.each(['plain', 'push.v1'])('marks that come back are none, on %s', async (format) => {
      const gateway = await gatewayOn(platform).withOptions({ maxMessagesPerSecond: 1, inFlightBytes: 1024 }).start();
      const client =
        format === 'plain' ? await gateway.connect(RAW_DATA_PATH) : await gateway.connectPushV1(RAW_DATA_PATH);
      const pad = 'x'.repeat(500);
      for (let n = 0; n < 60; n++) {
        gateway.push.pushRawData({ businessType: 'dev', businessId: '1', series: `s${n}`, pad });
        await client.next();
      }
      expect(format === 'plain' ? client.pings : client.marks).toBeGreaterThan(20);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
    });
  });

  describe('of fragments', () => {
    test.each(PATHS)('64 are a message, 65 end the connection: %s', async (path) => {
      const gateway = await gatewayOn(platform).start();
      const registry = path === '/ws/alarm' ? gateway.alarms : gateway.rawData;
      const sent: unknown[] = [];
      registry.messages$.subscribe(({ data }) => sent.push(data));
      const socket = await openSocket(gateway.port);
      socket.write(upgradeBytes(gateway.port, { path }));
      await until(() => registry.count() === 1, 'it is connected');
      socket.write(Buffer.concat(fragments(64)));
      await until(() => sent.length === 1, 'the message');
      expect(sent).toEqual(['x'.repeat(64)]);
      const closed = readUntil(socket, (bytes) => closeCodeIn(bytes) !== undefined);
      socket.write(Buffer.concat(fragments(65)));
      expect(closeCodeIn(await closed)).toBe(1008);
      socket.destroy();
      await until(() => registry.count() === 0, 'it is gone');
      expect(sent).toHaveLength(1);
    });
  });

  describe('of time', () => {
    test.each<[string, Buffer]>([
      ['half of a frame', clientFrame(0x81, 'hello').subarray(0, 8)],
      ['a fragment', clientFrame(TEXT_BEGINS, 'hello')],
      ['one byte', Buffer.from([0x81])],
    ])('a message that never ends is closed with 4400, a quiet client is not: %s', async (_what, bytes) => {
      const gateway = await gatewayOn(platform).withOptions({ maxMessageMs: 1000 }).start();
      const quiet = await gateway.connect(RAW_DATA_PATH);
      const socket = await openSocket(gateway.port);
      socket.write(upgradeBytes(gateway.port, { path: '/ws/alarm' }));
      await until(() => gateway.alarms.count() === 1, 'it is connected');
      const startMs = performance.now();
      const closed = readUntil(socket, (received) => closeCodeIn(received) !== undefined);
      socket.write(bytes);
      expect(closeCodeIn(await closed)).toBe(4400);
      expect(performance.now() - startMs).toBeGreaterThan(900);
      socket.destroy();
      expect(quiet.socket.readyState).toBe(quiet.socket.OPEN);
    });

    test('headers that never end: 408', async () => {
      const gateway = await gatewayOn(platform).withOptions({ headersTimeoutMs: 200 }).start();
      const socket = await openSocket(gateway.port);
      const answer = readUntil(socket, () => false);
      socket.write(upgradeBytes(gateway.port, { path: RAW_DATA_PATH }).subarray(0, -2));
      expect((await answer).toString()).toMatch(/^HTTP\/1\.1 408 /);
      socket.destroy();
      expect(gateway.placesTaken).toBe(0);
    });

    test('5 s for headers by default; 0 leaves the server as it is', async () => {
      const gateway = await gatewayOn(platform).start();
      expect(gateway.httpServer.headersTimeout).toBe(5000);
      const left = await gatewayOn(platform).withOptions({ headersTimeoutMs: 0 }).start();
      expect(left.httpServer.headersTimeout).toBe(60_000);
    });
  });

  test('what is refused is in the audit trail, a foreign origin with what to do about it', async () => {
    const gateway = await gatewayOn(platform)
      .withOptions({ maxConnectionsPerIp: 1 })
      .prepared(() => (log = LogCapture.start()))
      .start();
    const client = await gateway.connect(RAW_DATA_PATH);
    const origin = 'https://evil.example';
    await rawUpgrade(gateway.port, { path: '/ws/alarm', headers: { Origin: origin } });
    await rawGet(gateway.port, { path: '/ws/alarm' });
    await client.close(4000, 'line\nbreak\u2028');
    await until(() => gateway.rawData.count() === 0, 'it is gone');
    const key = expect.stringMatching(/^websocket:rowdata:dev:1:ann:/);
    expect(log?.audit()).toEqual([
      { event: 'connect', key, userName: 'ann', remoteAddress: expect.stringContaining('127.0.0.1') },
      {
        event: 'refuse',
        reason: 'origin',
        gateway: 'alarm',
        status: 403,
        hint: `add it to allowedOrigins (PUSH_ALLOWED_ORIGINS): ${origin}`,
      },
      { event: 'refuse', reason: 'addressLimit', gateway: 'alarm', status: 429, remoteAddress: expect.any(String) },
      { event: 'disconnect', key, code: 4000, reason: 'line\nbreak\u2028' },
    ]);
    expect(log?.of('Audit').join('')).not.toMatch(/[\n\u2028]/);
    await within(gateway.close(), 'the gateway closes', 15_000);
  });
});
