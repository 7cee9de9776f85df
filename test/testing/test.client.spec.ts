import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  CLOCK,
  JwtAuthenticator,
  PushModule,
  type PushModuleOptions,
  PushService,
  RawDataRegistry,
} from '../../src/index.js';
import { connectTestClient, TestClock, until, UpgradeRefusedError } from '../../src/testing/index.js';
import { secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';
import { TEST_CERTIFICATE } from '../support/tls.certificate.js';

const PATH = '/ws/rowdata/meter/m-7/ann';
const DATUM = { businessType: 'meter', businessId: 'm-7', value: 42 };
const ALARM = { businessId: 'm-7', severity: 700 };
const WEEK_MS = 7 * 24 * 3_600_000;

let app: INestApplication | undefined;
let server: Server | undefined;

afterEach(async () => {
  await app?.close();
  server?.close();
  app = server = undefined;
});

/** As an application's own tests start it. */
async function start(options: PushModuleOptions = {}, clock = new TestClock()): Promise<INestApplication> {
  const module = await Test.createTestingModule({ imports: [PushModule.forRoot({ alarmLogPath: '', ...options })] })
    .overrideProvider(CLOCK)
    .useValue(clock.now)
    .compile();
  app = module.createNestApplication({ logger: false });
  await app.listen(0);
  return app;
}

const pushOf = (application: INestApplication) => application.get(PushService);

describe('a client on push.v1', () => {
  test('is told its clientId and takes data and alarms in order', async () => {
    const running = await start();
    const client = await connectTestClient(running, PATH);
    const alarms = await connectTestClient(running, '/ws/alarm?minSeverity=400');
    expect(client.clientId).toBe(client.ready.clientId);
    expect(client.clientId).not.toBe(alarms.clientId);
    pushOf(running).pushRawDataAll([DATUM, { ...DATUM, value: 43 }]);
    const { cursor } = await pushOf(running).pushAlarm(ALARM);
    expect((await client.nextEvent('rawData')).data).toEqual(DATUM);
    expect((await client.nextEvent('rawData')).data['value']).toBe(43);
    expect(await alarms.nextEvent('alarm')).toEqual({ event: 'alarm', id: cursor, data: ALARM });
  });

  test('asks and is answered', async () => {
    const client = await connectTestClient(await start(), PATH);
    const keys = [{ businessType: 'pump', businessId: '*' }];
    expect(await client.ask('subscribe', { keys }, 1)).toEqual({
      event: 'subscribed',
      ref: 1,
      data: { keys, refused: [] },
    });
  });

  test('returns the marks, so that it is not taken for a slow one', async () => {
    const running = await start({ inFlightBytes: 1024 });
    const client = await connectTestClient(running, PATH);
    for (let value = 0; value < 200; value += 1) {
      pushOf(running).pushRawData({ ...DATUM, value, text: 'x'.repeat(100) });
      expect((await client.nextEvent('rawData')).data['value']).toBe(value);
    }
    expect(running.get(RawDataRegistry).clients()).toMatchObject([{ clientId: client.clientId, conflated: 0 }]);
  });

  test('says what came in the place of what was expected', async () => {
    const running = await start();
    const client = await connectTestClient(running, PATH);
    pushOf(running).pushRawData(DATUM);
    await expect(client.nextEvent('subscribed')).rejects.toThrow(/expected subscribed, got .*"value":42/);
  });
});

describe('a client on the plain wire', () => {
  test('takes bare JSON, and has no clientId', async () => {
    const running = await start();
    const client = await connectTestClient(running, PATH, { wireFormat: 'plain' });
    pushOf(running).pushRawData(DATUM);
    expect(JSON.parse(await client.next())).toEqual(DATUM);
    expect(() => client.clientId).toThrow('only a client on push.v1');
  });

  test('takes what looks like a mark for what it is', async () => {
    const running = await start();
    const client = await connectTestClient(running, PATH, { wireFormat: 'plain' });
    pushOf(running).pushRawData({ event: 'mark', ...DATUM });
    expect(JSON.parse(await client.next())).toEqual({ event: 'mark', ...DATUM });
  });
});

test('what does not come in time is an error, and is there for who asks later', async () => {
  const running = await start();
  const client = await connectTestClient(running, PATH, { deadlineMs: 1000 });
  await expect(client.next(10)).rejects.toThrow('not within 10 ms: a message');
  pushOf(running).pushRawData(DATUM);
  expect((await client.nextEvent('rawData')).data).toEqual(DATUM);
});

test('it is told how its connection ended', async () => {
  const running = await start();
  const [first, second, third] = await Promise.all(
    ['ann', 'bob', 'eve'].map((each) => connectTestClient(running, `${PATH}${each}`)),
  );
  running.get(RawDataRegistry).disconnect(first?.clientId ?? '', 4000, 'enough');
  expect(await first?.closed).toEqual({ code: 4000, reason: 'enough' });
  expect(await second?.close(4001, 'bye')).toEqual({ code: 4001, reason: 'bye' });
  await third?.cut();
  expect(await third?.closed).toEqual({ code: 1006, reason: '' });
});

test.each([
  ['Express', undefined],
  ['Fastify', new FastifyAdapter({ https: TEST_CERTIFICATE })],
])('it connects by TLS where the application speaks it: %s', async (_, adapter) => {
  const module = await Test.createTestingModule({ imports: [PushModule.forRoot({ alarmLogPath: '' })] }).compile();
  app =
    adapter === undefined
      ? module.createNestApplication({ logger: false, httpsOptions: TEST_CERTIFICATE })
      : module.createNestApplication(adapter, { logger: false });
  await app.listen(0, '127.0.0.1');
  expect((await connectTestClient(app, PATH)).clientId).toEqual(expect.any(String));
});

describe('a connection that is refused', () => {
  test('says why', async () => {
    const running = await start();
    await expect(connectTestClient(running, '/ws/rowdata/meter/m-7/%00')).rejects.toBeInstanceOf(UpgradeRefusedError);
    await expect(connectTestClient(running, '/ws/alarm?minSeverity=0')).rejects.toMatchObject({
      status: 400,
      error: 'parameter',
      message: expect.stringContaining('minSeverity'),
    });
  });

  test('by another server says what that answered', async () => {
    server = createServer().on('upgrade', (_request, socket) => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\nno'));
    const listening = server;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const target = { getHttpServer: () => listening };
    await expect(connectTestClient(target, PATH)).rejects.toMatchObject({ status: 502, error: '', message: /no$/ });
  });

  test('by nobody is the error of the socket', async () => {
    const running = await start();
    const url = await running.getUrl();
    await running.close();
    await expect(connectTestClient(url, PATH)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(connectTestClient(running, PATH)).rejects.toThrow('await app.listen(0) first');
  });
});

describe('a clock in the place of CLOCK', () => {
  const authenticator = new JwtAuthenticator({ secret: TEST_SECRET });

  test('ends a session when its token ends', async () => {
    const clock = new TestClock();
    const running = await start({ authenticator }, clock);
    const token = await signToken({ sub: 'ann', iat: secondsFromNow(0), exp: secondsFromNow(3600) });
    const client = await connectTestClient(running, PATH, { token });
    clock.advance(2 * 3_600_000);
    expect(await client.closed).toEqual({ code: 4401, reason: 'token expired' });
  });

  test('lets the retention remove alarms, which clients are told', async () => {
    const clock = new TestClock();
    const running = await start({}, clock);
    const { cursor } = await pushOf(running).pushAlarm(ALARM);
    await pushOf(running).pushAlarm(ALARM);
    clock.advance(WEEK_MS + 1);
    await pushOf(running).pushAlarm({ ...ALARM, severity: 1 });
    const client = await connectTestClient(running, `/ws/alarm?lastEventId=${cursor}`);
    expect((await client.nextEvent('gap')).data).toMatchObject({ requested: cursor, reason: 'retention' });
    expect((await client.nextEvent('alarm')).data).toEqual({ ...ALARM, severity: 1 });
  });
});

test('until waits for what the application does', async () => {
  let isDone = false;
  setTimeout(() => (isDone = true), 10);
  await until(() => isDone, 'it is done');
  await expect(until(() => false, 'it never is', 10)).rejects.toThrow('not within 10 ms: it never is');
});
