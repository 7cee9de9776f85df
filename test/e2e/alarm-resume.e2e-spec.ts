import { describe, expect, test } from '@jest/globals';
import type { ClientOptions } from 'ws';
import {
  type Alarm,
  Authenticator,
  type Handshake,
  type Principal,
  PUSH_V1,
  type PushModuleOptions,
} from '../../src/index.js';
import { turn, until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import { PushClient, type PushMessage } from '../support/push.client.js';
import { openSocket, rawGet, rawUpgrade, upgradeBytes } from '../support/raw-upgrade.js';

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const alarmOf = (n: number): Alarm => ({ businessId: '1', n });

class QueryAuthenticator extends Authenticator {
  authenticate({ query }: Handshake): Principal {
    const orgId = query.get('org');
    return { userName: query.get('as') ?? '', ...(orgId === null ? {} : { orgId }) };
  }
}

/** A gateway whose alarms are numbered as their offsets are. */
class NumberedAlarms {
  private constructor(readonly gateway: TestGateway) {}

  static async start(options: PushModuleOptions = {}, platform = PLATFORMS[0] ?? 'express'): Promise<NumberedAlarms> {
    return new NumberedAlarms(await gatewayOn(platform).withOptions(options).start());
  }

  epoch = '';
  newest = 0;

  async push(count: number, alarm: Partial<Alarm> = {}): Promise<void> {
    const alarms = numbers(this.newest + 1, this.newest + count).map((n) => ({ ...alarmOf(n), ...alarm }));
    const receipts = await this.gateway.push.pushAlarms(alarms);
    this.newest += count;
    const [epoch = '', offset] = receipts.at(-1)?.cursor.split('.') ?? [];
    if (Number(offset) !== this.newest) throw new Error(`the alarm ${this.newest} has the offset ${offset}`);
    this.epoch = epoch;
  }

  cursor(offset: number): string {
    return `${this.epoch}.${offset}`;
  }

  /** A client on `push.v1` and the `ready` that it got. */
  async connect(query = '', options?: ClientOptions): Promise<{ client: PushClient; ready: PushMessage }> {
    const client = await PushClient.connect(this.gateway.url(`/ws/alarm${query}`), options, [PUSH_V1]);
    return { client, ready: await client.nextEvent('ready') };
  }
}

/** The next alarms, which have to be these. */
async function expectAlarms(alarms: NumberedAlarms, client: PushClient, from: number, to: number): Promise<void> {
  for (const n of numbers(from, to)) {
    expect(await client.nextMessage()).toEqual({ event: 'alarm', id: alarms.cursor(n), data: alarmOf(n) });
  }
}

/** The number of the first alarm that the only client, which has stopped, was not written. */
async function reachedBy({ gateway, newest }: NumberedAlarms): Promise<number> {
  const behind = () => gateway.alarms.clients()[0]?.behind ?? 0;
  await until(() => behind() > 0, 'it is behind');
  return newest - behind() + 1;
}

/** The numbers of the next so many alarms. */
async function numbersHeard(client: PushClient, count: number): Promise<unknown[]> {
  const heard: unknown[] = [];
  for (let n = 0; n < count; n++) heard.push((await client.nextEvent('alarm')).data['n']);
  return heard;
}

const pathWith = (bytes: number) => `/ws/alarm?lastEventId=${'1'.repeat(bytes)}`;

describe.each(PLATFORMS)('resuming alarms on %s', (platform) => {
  test.each<[string, (cursor: string) => [string, ClientOptions?]]>([
    ['the query', (cursor) => [`?lastEventId=${cursor}`]],
    ['the header', (cursor) => ['', { headers: { 'Last-Event-ID': cursor } }]],
    ['the query, whatever the header', (cursor) => [`?lastEventId=${cursor}`, { headers: { 'Last-Event-ID': 'e.1' } }]],
  ])('by %s: goes on after the alarm, without a loss or a duplicate', async (_by, connection) => {
    const alarms = await NumberedAlarms.start({}, platform);
    const { client: before } = await alarms.connect();
    await alarms.push(5);
    await expectAlarms(alarms, before, 1, 5);
    await before.cut();
    await alarms.push(300);
    const { client, ready } = await alarms.connect(...connection(alarms.cursor(5)));
    expect(ready.data).toEqual({
      clientId: expect.any(String),
      cursor: alarms.cursor(5),
      resumed: true,
      heartbeatMs: 25_000,
    });
    await alarms.push(1);
    await expectAlarms(alarms, client, 6, 306);
  });

  test.each(['', '-1', 'e.-1', 'e.9007199254740992', 'text', 'e.1 ', '%00.1', 'e.1%0d%0aX: y', 'x'.repeat(1500)])(
    'lastEventId %j is refused',
    async (lastEventId) => {
      const { gateway } = await NumberedAlarms.start({}, platform);
      const path = `/ws/alarm?lastEventId=${encodeURIComponent(lastEventId)}`;
      const headers = { 'Sec-WebSocket-Protocol': PUSH_V1 };
      const refused = { status: 400, json: { error: 'parameter', message: expect.stringContaining('lastEventId') } };
      expect(await rawUpgrade(gateway.port, { path, headers })).toMatchObject(refused);
      expect(await rawGet(gateway.port, { path })).toMatchObject(refused);
      expect(gateway.placesTaken).toBe(0);
    },
  );

  test('a lastEventId that is too long for a URL is refused', async () => {
    const { gateway } = await NumberedAlarms.start({}, platform);
    const headers = { 'Sec-WebSocket-Protocol': PUSH_V1 };
    for (const bytes of [2048, 12_000]) {
      expect(await rawUpgrade(gateway.port, { path: pathWith(bytes), headers })).toMatchObject({
        status: 414,
        json: { error: 'url' },
      });
    }
    // This one Node's parser ends; whether its answer still arrives depends on the kernel.
    const socket = await openSocket(gateway.port);
    const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.resume();
    socket.write(upgradeBytes(gateway.port, { path: pathWith(1024 * 1024), headers }));
    await within(ended, 'the connection ends');
    expect(gateway.alarms.count()).toBe(0);
    await gateway.connectPushV1('/ws/alarm');
  });

  test('on the plain wire there is no resuming', async () => {
    const alarms = await NumberedAlarms.start({}, platform);
    await alarms.push(1);
    const { port } = alarms.gateway;
    const refused = { status: 400, json: { error: 'parameter', message: expect.stringContaining('push.v1') } };
    expect(await rawUpgrade(port, { path: `/ws/alarm?lastEventId=${alarms.cursor(1)}` })).toMatchObject(refused);
    expect(await rawUpgrade(port, { path: '/ws/alarm', headers: { 'Last-Event-ID': alarms.cursor(1) } })).toMatchObject(
      refused,
    );
    // Which wire it will be a plain GET does not say.
    expect(await rawGet(port, { path: `/ws/alarm?lastEventId=${alarms.cursor(1)}` })).toMatchObject({ status: 426 });
  });
});

describe('a line that is quiet', () => {
  test('resumes after the last heartbeat', async () => {
    const alarms = await NumberedAlarms.start({ heartbeatIntervalMs: 50 });
    const { client } = await alarms.connect('?minSeverity=900');
    await alarms.push(20, { severity: 5 });
    let id = '';
    while (id !== alarms.cursor(20)) ({ id = '' } = await client.nextEvent('heartbeat'));
    await client.cut();
    await alarms.push(1);
    const again = await alarms.connect(`?minSeverity=900&lastEventId=${id}`);
    expect(again.ready.data).toMatchObject({ cursor: id, resumed: true });
    await expectAlarms(alarms, again.client, 21, 21);
  });

  test('is told its place after a thousand alarms that are not for it', async () => {
    const alarms = await NumberedAlarms.start();
    const { client } = await alarms.connect('?businessId=other');
    for (let batch = 0; batch < 5; batch++) await alarms.push(500);
    expect(await client.nextMessage()).toEqual({ event: 'heartbeat', id: alarms.cursor(1000), data: {} });
    expect(await client.nextMessage()).toEqual({ event: 'heartbeat', id: alarms.cursor(2000), data: {} });
  });
});

describe('alarms that are gone', () => {
  test.each<[string, (epoch: string) => string]>([
    ['epoch', () => 'another.5'],
    ['retention', (epoch) => `${epoch}.3`],
    ['ahead', (epoch) => `${epoch}.31`],
    ['ahead', (epoch) => `${epoch}.9007199254740991`],
  ])('%s: the gap is told, and then comes everything there is', async (reason, cursorOf) => {
    const alarms = await NumberedAlarms.start({ alarmRetention: 10 });
    for (let batch = 0; batch < 3; batch++) await alarms.push(10);
    const requested = cursorOf(alarms.epoch);
    const { client, ready } = await alarms.connect(`?lastEventId=${requested}`);
    expect(ready.data).toMatchObject({ cursor: alarms.cursor(20), resumed: false });
    expect(await client.nextMessage()).toEqual({
      event: 'gap',
      data: { requested, oldest: alarms.cursor(21), reason },
    });
    await expectAlarms(alarms, client, 21, 30);
    await alarms.push(1);
    await expectAlarms(alarms, client, 31, 31);
  });

  test('the last place before the oldest has no gap', async () => {
    const alarms = await NumberedAlarms.start({ alarmRetention: 10 });
    for (let batch = 0; batch < 3; batch++) await alarms.push(10);
    const { client, ready } = await alarms.connect(`?lastEventId=${alarms.cursor(20)}`);
    expect(ready.data).toMatchObject({ cursor: alarms.cursor(20), resumed: true });
    await expectAlarms(alarms, client, 21, 30);
  });

  const RETENTION = 200;
  const OVERTAKING = { alarmRetention: RETENTION, inFlightBytes: 1024 };

  /** More than the node remembers of the newest alarms. */
  async function overtake(alarms: NumberedAlarms): Promise<void> {
    for (let batch = 0; batch < 15; batch++) {
      await alarms.push(RETENTION);
      await turn();
    }
  }

  test('while a client has stopped: it is told the gap where it is', async () => {
    const alarms = await NumberedAlarms.start(OVERTAKING);
    const { client } = await alarms.connect();
    client.socket.pause();
    await overtake(alarms);
    const next = await reachedBy(alarms);
    client.socket.resume();
    await expectAlarms(alarms, client, 1, next - 1);
    const oldest = alarms.newest - RETENTION + 1;
    expect(await client.nextMessage()).toEqual({
      event: 'gap',
      data: { requested: alarms.cursor(next - 1), oldest: alarms.cursor(oldest), reason: 'retention' },
    });
    await expectAlarms(alarms, client, oldest, alarms.newest);
    await alarms.push(1);
    await expectAlarms(alarms, client, alarms.newest, alarms.newest);
  });

  test('while a client on the plain wire has stopped: it is closed', async () => {
    const alarms = await NumberedAlarms.start(OVERTAKING);
    const client = await alarms.gateway.connect('/ws/alarm');
    client.socket.pause();
    await overtake(alarms);
    const next = await reachedBy(alarms);
    client.socket.resume();
    expect(await within(client.closed, 'close')).toEqual({ code: 4410, reason: 'the next alarms are gone' });
    for (const n of numbers(1, next - 1)) expect(JSON.parse(await client.next())).toEqual(alarmOf(n));
  });

  test('before they were sent to anybody: a batch that is larger than what is kept', async () => {
    const alarms = await NumberedAlarms.start({ alarmRetention: 10 });
    const { client } = await alarms.connect();
    const plain = await alarms.gateway.connect('/ws/alarm');
    await alarms.push(25);
    expect(await client.nextMessage()).toEqual({
      event: 'gap',
      data: { requested: alarms.cursor(0), oldest: alarms.cursor(16), reason: 'retention' },
    });
    await expectAlarms(alarms, client, 16, 25);
    expect(await within(plain.closed, 'close')).toMatchObject({ code: 4410 });
  });
});

describe('large alarms', () => {
  const LARGE = { text: 'x'.repeat(60 * 1024) };

  test('come whole to clients at different places, each from where it was', async () => {
    const alarms = await NumberedAlarms.start();
    await alarms.push(100, LARGE);
    const places = [70, 10, 95, 0, 40];
    const clients = await Promise.all(places.map((place) => alarms.connect(`?lastEventId=${alarms.cursor(place)}`)));
    const heard = await Promise.all(
      clients.map(({ client }, i) => numbersHeard(client, alarms.newest - (places[i] ?? 0))),
    );
    expect(heard).toEqual(places.map((place) => numbers(place + 1, 100)));
  });

  test('replay=3 are three', async () => {
    const alarms = await NumberedAlarms.start();
    await alarms.push(100, LARGE);
    const { client } = await alarms.connect('?replay=3');
    expect(await numbersHeard(client, 3)).toEqual([98, 99, 100]);
  });
});

describe.each(['plain', 'push.v1'])('replay on %s', (wire) => {
  /** The numbers of the alarms that a new client is sent. */
  async function replayed(alarms: NumberedAlarms, query: string): Promise<unknown[]> {
    const path = `/ws/alarm${query}`;
    const { gateway } = alarms;
    const client = await (wire === 'plain' ? gateway.connect(path) : gateway.connectPushV1(path));
    await until(() => gateway.alarms.clients().every(({ behind }) => behind === 0), 'it is fed');
    await alarms.push(1);
    const last = alarms.newest;
    const heard: unknown[] = [];
    for (;;) {
      const message = JSON.parse(await client.next()) as PushMessage & Alarm;
      const alarm = wire === 'plain' ? message : message.data;
      if (alarm['n'] === last) return heard;
      if (wire === 'plain' || message.event === 'alarm') heard.push(alarm['n']);
    }
  }

  test('begins with everything, with the last, with none', async () => {
    const alarms = await NumberedAlarms.start({ alarmRetention: 600 });
    await alarms.push(500);
    await alarms.push(500);
    expect(await replayed(alarms, '?replay=all')).toEqual(numbers(401, 1000));
    expect(await replayed(alarms, '?replay=3')).toEqual([999, 1000, 1001]);
    expect(await replayed(alarms, '')).toEqual([]);
  });

  test('counts what passes the filter', async () => {
    const alarms = await NumberedAlarms.start();
    for (let n = 1; n <= 20; n++) await alarms.push(1, { severity: n % 5 === 0 ? 900 : 5 });
    expect(await replayed(alarms, '?replay=2&minSeverity=900')).toEqual([15, 20]);
  });

  test('begins with the conditions that still hold, also older than what is kept', async () => {
    const alarms = await NumberedAlarms.start({ alarmRetention: 4 });
    await alarms.push(1, { conditionId: 'old', active: true, severity: 400 });
    await alarms.push(1, { conditionId: 'cleared', active: true });
    await alarms.push(1, { conditionId: 'changed', active: true });
    await alarms.push(1, { conditionId: 'cleared', active: false });
    await alarms.push(1, { conditionId: 'changed' });
    await alarms.push(4);
    expect(await replayed(alarms, '?replay=active')).toEqual([1, 5]);
    expect(await replayed(alarms, '?replay=active&minSeverity=500')).toEqual([5]);
  });

  test('shows no alarm of another organisation', async () => {
    const alarms = await NumberedAlarms.start({ authenticator: new QueryAuthenticator() });
    for (const orgId of ['acme', 'acme/plant1', 'acme/plant10', 'other']) {
      await alarms.push(1, { orgId, conditionId: orgId, active: true });
    }
    await alarms.push(1);
    expect(await replayed(alarms, '?replay=all&org=acme/plant1')).toEqual([2, 5]);
    expect(await replayed(alarms, '?replay=active&org=acme')).toEqual([1, 2, 3]);
    expect(await replayed(alarms, '?replay=2&org=acme')).toEqual([6, 7]);
    expect(await replayed(alarms, '?replay=active')).toEqual([]);
  });
});

test('replay=active on push.v1 ends with the place from which to resume', async () => {
  const alarms = await NumberedAlarms.start();
  await alarms.push(2);
  await alarms.push(1, { conditionId: 'c', active: true });
  await alarms.push(2);
  const { client, ready } = await alarms.connect('?replay=active');
  expect(ready.data).toMatchObject({ cursor: alarms.cursor(2), resumed: false });
  expect(await client.nextEvent('alarm')).toMatchObject({ id: alarms.cursor(3) });
  expect(await client.nextMessage()).toEqual({ event: 'heartbeat', id: alarms.cursor(5), data: {} });
  await alarms.push(1);
  await expectAlarms(alarms, client, 6, 6);
});
