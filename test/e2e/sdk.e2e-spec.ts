import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { WebSocket as UndiciWebSocket } from 'undici';
import { WebSocket as WsWebSocket } from 'ws';
import { type AlarmReceipt, JwtAuthenticator, type PushModuleOptions } from '../../src/index.js';
import {
  type AlarmConnection,
  type AlarmOptions,
  connectAlarms,
  connectRawData,
  type PushClientError,
  type RawDataConnection,
  type RawDataOptions,
  sharedRawData,
  type WebSocketConstructor,
} from '../../src/sdk/index.js';
import { freePort } from '../support/free.port.js';
import { turn, until, within } from '../support/deadline.js';
import { gatewayOn, type Platform, type TestGateway } from '../support/gateway.fixture.js';
import { secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';

const KEY = { businessType: 'meter', businessId: 'm-7' };
const QUICK = { retryBaseMs: 20, retryCapMs: 100 };

const connections: { close(): void }[] = [];
const errors: PushClientError[] = [];
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sdk-'));
});

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  await rm(folder, { recursive: true, force: true });
  const [unexpected] = errors.splice(0);
  if (unexpected !== undefined) throw unexpected;
});

function keep<C extends { close(): void; on(event: 'error', listener: (error: PushClientError) => void): unknown }>(
  connection: C,
): C {
  connections.push(connection);
  connection.on('error', (error) => errors.push(error));
  return connection;
}

/** Errors that the test wants: any other fails it. */
function expected(count = 1): PushClientError[] {
  return errors.splice(0, count);
}

function rawData(gateway: TestGateway, options: Partial<RawDataOptions> = {}): RawDataConnection {
  const address = { base: gateway.url('', 'http'), ...KEY, userName: 'ann' };
  return keep(connectRawData({ ...address, WebSocket: WsWebSocket, ...QUICK, ...options }));
}

function alarms(gateway: TestGateway, options: AlarmOptions = {}): AlarmConnection {
  return keep(connectAlarms({ base: gateway.url('', 'http'), WebSocket: WsWebSocket, ...QUICK, ...options }));
}

const isOpen = (connection: RawDataConnection | AlarmConnection) =>
  until(() => connection.state === 'open', 'the connection is open');
const isStopped = (connection: RawDataConnection | AlarmConnection) =>
  until(() => connection.state === 'stopped', 'the connection is stopped');

/** A gateway that is started again on its port, with the log that it had. */
class RestartingGateway {
  private gateway: TestGateway | undefined;

  private constructor(
    readonly port: number,
    private readonly options: PushModuleOptions,
  ) {}

  static async start(options: PushModuleOptions): Promise<RestartingGateway> {
    const restarting = new RestartingGateway(await freePort(), options);
    await restarting.start();
    return restarting;
  }

  get current(): TestGateway {
    if (this.gateway === undefined) throw new Error('the gateway is down');
    return this.gateway;
  }

  async start(): Promise<void> {
    this.gateway = await gatewayOn('express')
      .withOptions({ drainWindowMs: 0, ...this.options })
      .create();
    await this.gateway.app.listen(this.port, '127.0.0.1');
  }

  async stop(): Promise<void> {
    await this.current.close();
    this.gateway = undefined;
  }
}

describe.each([
  ['ws', WsWebSocket as WebSocketConstructor],
  ['undici, whose WebSocket is that of Node 22', UndiciWebSocket as unknown as WebSocketConstructor],
])('with the WebSocket of %s', (_name, WebSocket) => {
  test('raw data: the snapshot, what is subscribed to, and marks for all that is read', async () => {
    // However slow this machine is, no pressure begins.
    const gateway = await gatewayOn('express').withOptions({ history: 3, conflateAfterMs: 60_000 }).start();
    for (const value of [1, 2, 3]) gateway.push.pushRawData({ ...KEY, series: 'kw', value });
    const connection = rawData(gateway, { WebSocket, history: 2 });
    const heard: unknown[] = [];
    connection.on('rawData', ({ businessId, value }) => heard.push(`${String(businessId)} ${String(value)}`));
    const { keys, refused } = await within(
      connection.subscribe([{ businessType: 'pump', businessId: '*', maxFrequencyHz: 500 }]),
      'an answer',
    );
    expect([keys.length, refused]).toEqual([1, []]);
    expect(connection.clientId).toBe(gateway.clientIdOf('ann'));
    gateway.push.pushRawData({ businessType: 'pump', businessId: 'p-1', value: 4 });
    await until(() => heard.length === 3, 'all arrived');
    expect(heard).toEqual(['m-7 2', 'm-7 3', 'p-1 4']);
    const filling = 'x'.repeat(1000);
    for (let n = 0; n < 500; n++) {
      if (n % 20 === 0) await until(() => gateway.rawData.clients()[0]?.outboxBytes === 0, 'it keeps up');
      gateway.push.pushRawData({ ...KEY, series: 'kw', value: n, filling });
    }
    await until(() => heard.length === 503, 'all arrived');
    expect(gateway.rawData.clients()[0]?.conflated).toBe(0);
    expect(await connection.unsubscribe([KEY])).toEqual({ keys: [KEY], refused: [] });
    expect(gateway.push.pushRawData({ ...KEY, value: 5 })).toEqual({ matched: 0 });
  });

  test("alarms: those of before, then live, in order; a filter is the server's", async () => {
    const gateway = await gatewayOn('fastify').start();
    await gateway.push.pushAlarms([1, 900, 500].map((severity) => ({ businessId: 'm-7', severity })));
    const connection = alarms(gateway, { WebSocket, replay: 'all', filters: { minSeverity: 400 } });
    const heard: unknown[] = [];
    connection.on('alarm', ({ severity }, { id }) => heard.push(severity, id));
    await isOpen(connection);
    const { cursor } = await gateway.push.pushAlarm({ businessId: 'm-7', severity: 401 });
    await until(() => heard.length === 6, 'all arrived');
    expect(heard.filter((each) => typeof each === 'number')).toEqual([900, 500, 401]);
    expect([heard.at(-1), connection.place]).toEqual([cursor, cursor]);
  });
});

describe('a server that restarts', () => {
  test('no alarm is missed and none shown twice, whoever listens, also over a new process of the client', async () => {
    const server = await RestartingGateway.start({ alarmLogPath: folder });
    const stored = new Map<string, string>();
    const storage = {
      get: (key: string) => Promise.resolve(stored.get(key)),
      set: async (key: string, place: string) => void stored.set(key, await Promise.resolve(place)),
    };
    const shown: number[] = [];
    const looped: number[] = [];
    const open = () => {
      const connection = alarms(server.current, { storage });
      connection.on('alarm', ({ n }) => void shown.push(Number(n)));
      const loop = (async () => {
        for await (const { data } of connection) looped.push(Number(data['n']));
      })();
      return { connection, loop };
    };
    let client = open();
    await isOpen(client.connection);
    let pushed = 0;
    const push = async (count: number) => {
      const batch = Array.from({ length: count }, (_, i) => ({ businessId: 'm-7', n: pushed + i }));
      await server.current.push.pushAlarms(batch);
      pushed += count;
    };
    for (let restart = 0; restart < 5; restart++) {
      await push(30);
      if (restart % 2 === 0) await until(() => shown.length === pushed, 'all are shown');
      await server.stop();
      await server.start();
      await push(30);
      if (restart === 2) {
        await until(() => looped.length === pushed, 'all are shown');
        await until(() => [...stored.values()][0] === client.connection.place, 'the place is stored');
        client.connection.close();
        await push(30);
        client = open();
      }
    }
    await until(() => looped.length >= pushed, 'all are shown');
    const all = Array.from({ length: pushed }, (_, n) => n);
    expect(shown).toEqual(all);
    expect(looped).toEqual(all);
    client.connection.close();
    await client.loop;
  }, 60_000);

  test('subscriptions are as they were, also of a path that was given up', async () => {
    const server = await RestartingGateway.start({});
    const hub = sharedRawData({
      base: server.current.url('', 'http'),
      ...KEY,
      userName: 'ann',
      WebSocket: WsWebSocket,
      ...QUICK,
    });
    connections.push(hub);
    const heard: unknown[] = [];
    hub.watch({ businessType: 'pump', businessId: 'p-1', snapshot: true }, ({ value }) => heard.push(value));
    const subscribed = () => {
      const [client] = server.current.rawData.clients();
      return client === undefined ? [] : server.current.rawData.subscriptions(client.clientId);
    };
    const pump = [{ businessType: 'pump', businessId: 'p-1' }];
    await until(() => subscribed()[0]?.businessId === 'p-1', 'it is subscribed');
    expect(subscribed()).toMatchObject(pump);
    await server.stop();
    await server.start();
    server.current.push.pushRawData({ businessType: 'pump', businessId: 'p-1', value: 7 });
    await until(() => subscribed()[0]?.businessId === 'p-1', 'it is subscribed again');
    expect(subscribed()).toMatchObject(pump);
    server.current.push.pushRawData({ businessType: 'pump', businessId: 'p-1', value: 8 });
    await until(() => heard.length === 2, 'the snapshot and the live value');
    expect(heard).toEqual([7, 8]);
  });

  test('a drain names the time, and the client comes back then', async () => {
    const server = await RestartingGateway.start({ drainWindowMs: 1000 });
    const connection = rawData(server.current, { retryBaseMs: 60_000, retryCapMs: 60_000 });
    const delays: (number | undefined)[] = [];
    const drained: number[] = [];
    connection.on('drain', ({ retryAfterMs }) => drained.push(retryAfterMs));
    connection.on('state', ({ state, retryInMs }) => {
      if (state === 'waiting') delays.push(retryInMs);
    });
    await isOpen(connection);
    await server.stop();
    await until(() => delays.length > 0, 'it waits');
    expect(drained).toHaveLength(1);
    expect(delays[0]).toBeLessThanOrEqual(drained[0] ?? 0);
    connection.close();
  });
});

describe.each<Platform>(['express', 'fastify'])('a server that refuses, on %s', (platform) => {
  const withTokens = (options: PushModuleOptions = {}) =>
    gatewayOn(platform).withOptions({
      authenticator: new JwtAuthenticator({ secret: TEST_SECRET, clockToleranceSeconds: 0 }),
      tokenGraceMs: 0,
      ...options,
    });

  test('403 and 400 stop, with its words', async () => {
    const gateway = await withTokens().start();
    const token = await signToken({ sub: 'bob' });
    const foreign = rawData(gateway, { token });
    await isStopped(foreign);
    expect(expected()).toMatchObject([{ fault: 'stopped', status: 403, code: 'forbiddenUser' }]);
    const wrong = rawData(gateway, { token, url: `${gateway.url('/ws/rowdata/meter/*/bob')}` } as never);
    await isStopped(wrong);
    expect(expected()).toMatchObject([{ fault: 'stopped', status: 400, code: 'parameter' }]);
    await expect(wrong.subscribe([KEY])).rejects.toMatchObject({ code: 'parameter' });
  });

  test('401 gets a fresh token; where there is none, it stops', async () => {
    const gateway = await withTokens().start();
    const tokens = [await signToken({ sub: 'ann', exp: secondsFromNow(-60) }), await signToken({ sub: 'ann' })];
    const connection = rawData(gateway, { token: () => tokens.shift() ?? '' });
    await isOpen(connection);
    expect(tokens).toEqual([]);
    await isStopped(rawData(gateway, { token: 'no.valid.token' }));
    expect(expected()).toMatchObject([{ fault: 'stopped', status: 401, code: 'tokenInvalid' }]);
    await isStopped(rawData(gateway, {}));
    expect(expected()).toMatchObject([{ fault: 'stopped', status: 401, code: 'tokenMissing' }]);
  });

  test('a fresh token goes over the open connection, and what it does not cover is lost', async () => {
    const gateway = await withTokens().start();
    const claims = [{ keys: ['meter/*', 'pump/p-1'] }, { keys: ['meter/*'] }, { keys: ['meter/*'] }];
    const token = jest.fn(() =>
      signToken({ sub: 'ann', exp: secondsFromNow(token.mock.calls.length === 1 ? 3 : 600), ...claims.shift() }),
    );
    const connection = rawData(gateway, { token });
    const refused: unknown[] = [];
    connection.on('refused', (keys) => refused.push(...keys));
    await connection.subscribe([{ businessType: 'pump', businessId: 'p-1' }]);
    const { clientId } = connection;
    await until(() => refused.length > 0, 'the new token counts');
    expect(refused).toEqual([{ businessType: 'pump', businessId: 'p-1', reason: 'forbidden' }]);
    expect([connection.state, connection.clientId, token.mock.calls.length]).toEqual(['open', clientId, 2]);
  });

  test('4401, as of a revoked session, gets a fresh token', async () => {
    const gateway = await withTokens().start();
    let issuedAt = secondsFromNow(-60);
    const connection = rawData(gateway, { token: () => signToken({ sub: 'ann', iat: issuedAt }) });
    await isOpen(connection);
    const { clientId } = connection;
    issuedAt = secondsFromNow(1);
    gateway.push.revoke({ userName: 'ann' });
    await until(() => connection.state !== 'open', 'it is closed');
    await isOpen(connection);
    expect(connection.clientId).not.toBe(clientId);
  });

  test('429 and 503 are a matter of time', async () => {
    const gateway = await gatewayOn(platform).withOptions({ maxConnections: 1 }).start();
    const first = rawData(gateway);
    await isOpen(first);
    const second = rawData(gateway);
    const reasons: string[] = [];
    const delays: (number | undefined)[] = [];
    second.on('state', ({ state, reason, retryInMs }) => {
      if (state === 'waiting' && retryInMs !== undefined) {
        reasons.push(reason);
        delays.push(retryInMs);
      }
    });
    await until(() => reasons.length > 0, 'it is told why');
    expect(reasons[0]).toMatch(/no place for another connection/);
    expect(delays[0]).toBeGreaterThanOrEqual(5000);
    first.close();
    await until(() => gateway.rawData.count() === 0, 'there is room');
    second.retryNow();
    await isOpen(second);
  });
});

async function placeIs(gateway: TestGateway, cursor: string): Promise<void> {
  let place: string | undefined;
  const look = async () => {
    while (place !== cursor) {
      [{ cursor: place } = { cursor: undefined }] = await gateway.alarms.subscriptions();
      await turn();
    }
  };
  await within(look(), 'the server has the place');
}

function pushOne(gateway: TestGateway, n: number): Promise<AlarmReceipt> {
  return gateway.push.pushAlarm({ businessId: 'm-7', n });
}

describe('a durable subscription', () => {
  test('is acknowledged by itself; the next process goes on behind it', async () => {
    const gateway = await gatewayOn('express').start();
    const first = alarms(gateway, { durable: 'phone' });
    await isOpen(first);
    const { cursor } = await pushOne(gateway, 1);
    await placeIs(gateway, cursor);
    await pushOne(gateway, 2);
    await until(() => first.place !== cursor, 'the second is shown');
    first.close();
    await until(() => gateway.alarms.count() === 0, 'it is gone');
    await pushOne(gateway, 3);
    const second = alarms(gateway, { durable: 'phone' });
    const shown: unknown[] = [];
    second.on('alarm', ({ n }) => shown.push(n));
    await until(() => shown.length === 1, 'what was missed');
    expect(shown).toEqual([3]);
  });

  test('by hand: what was not acknowledged comes again in the next process, not in this one', async () => {
    const gateway = await gatewayOn('express').start();
    const open = () => {
      const connection = alarms(gateway, { durable: 'phone', acknowledge: 'manual' });
      const shown: unknown[] = [];
      const ids: string[] = [];
      connection.on('alarm', ({ n }, { id }) => {
        shown.push(n);
        ids.push(id);
      });
      return { connection, shown, ids };
    };
    const first = open();
    await isOpen(first.connection);
    await Promise.all([1, 2, 3].map((n) => pushOne(gateway, n)));
    await until(() => first.shown.length === 3, 'three are shown');
    first.connection.ack({ id: first.ids[0] ?? '' });
    const [client] = gateway.alarms.clients();
    gateway.alarms.disconnect(client?.clientId ?? '', 1012);
    await until(() => first.connection.state !== 'open', 'it is cut');
    await isOpen(first.connection);
    await pushOne(gateway, 4);
    await until(() => first.shown.length === 4, 'it goes on');
    expect(first.shown).toEqual([1, 2, 3, 4]);
    first.connection.close();
    await until(() => gateway.alarms.count() === 0, 'it is gone');
    const second = open();
    await until(() => second.shown.length === 3, 'the others come again');
    expect(second.shown).toEqual([2, 3, 4]);
  });

  test('has one device: the one before is stopped', async () => {
    const gateway = await gatewayOn('express').start();
    const first = alarms(gateway, { durable: 'phone' });
    await isOpen(first);
    const second = alarms(gateway, { durable: 'phone' });
    await isStopped(first);
    await isOpen(second);
    expect(expected()).toMatchObject([{ fault: 'stopped', code: 4409 }]);
  });
});

test('a client that does not keep up is not run over: promises of listeners and loops slow the server down', async () => {
  const gateway = await gatewayOn('express').withOptions({ conflateAfterMs: 10 }).start();
  const connection = rawData(gateway);
  const lagging: number[] = [];
  connection.on('lagging', ({ waiting }) => lagging.push(waiting));
  const conflated = new Promise((resolve) => connection.on('conflated', ({ count }) => resolve(count)));
  let release: (() => void) | undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const heard: number[] = [];
  connection.on('rawData', async ({ value }) => {
    heard.push(Number(value));
    await gate;
  });
  await isOpen(connection);
  const filling = 'x'.repeat(1000);
  for (let value = 0; value < 900; value++) {
    gateway.push.pushRawData({ ...KEY, series: `kw ${value % 300}`, value, filling });
  }
  await until(() => lagging.length > 0, 'it says that it lags');
  await until(() => (gateway.rawData.clients()[0]?.conflated ?? 0) > 0, 'the server conflates');
  expect(heard.length).toBeLessThan(200);
  release?.();
  expect(await within(conflated, 'conflated')).toBeGreaterThan(300);
  expect(heard.slice(-300).toSorted((one, other) => one - other)).toEqual(
    Array.from({ length: 300 }, (_, i) => 600 + i),
  );
  await until(() => lagging.at(-1) === 0, 'it has caught up');
});

test('a page of a server that is away says so, and comes back by itself', async () => {
  const port = await freePort();
  const connection = keep(
    connectRawData({ base: `http://127.0.0.1:${port}`, ...KEY, userName: 'ann', WebSocket: WsWebSocket, ...QUICK }),
  );
  const reasons: string[] = [];
  connection.on('state', ({ state, reason }) => reasons.push(`${state}: ${reason}`));
  await until(() => reasons.includes('waiting: no connection'), 'it waits');
  const gateway = await gatewayOn('express').create();
  await gateway.app.listen(port, '127.0.0.1');
  await isOpen(connection);
  expect(reasons.at(-1)).toBe('open: connected');
});
