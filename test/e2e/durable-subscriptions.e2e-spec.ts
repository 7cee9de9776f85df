import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Authenticator, type Handshake, type Principal, PUSH_V1, type PushModuleOptions } from '../../src/index.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import { PushClient, type PushMessage } from '../support/push.client.js';
import { rawGet, rawUpgrade } from '../support/raw-upgrade.js';

const TAKEN_OVER = { code: 4409, reason: 'taken over by a newer connection' };

class QueryAuthenticator extends Authenticator {
  authenticate({ query }: Handshake): Principal {
    return { userName: query.get('as') ?? '', orgId: query.get('org') ?? 'acme' };
  }
}

const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'durable-'));
  folders.push(folder);
  return folder;
}

function start(options: PushModuleOptions = {}, platform = PLATFORMS[0] ?? 'express'): Promise<TestGateway> {
  return gatewayOn(platform)
    .withOptions({ authenticator: new QueryAuthenticator(), ...options })
    .start();
}

/** A connection of a durable subscription. */
class Subscriber {
  private constructor(
    readonly client: PushClient,
    readonly ready: PushMessage,
  ) {}

  static async connect(gateway: TestGateway, query: string): Promise<Subscriber> {
    const client = await PushClient.connect(gateway.url(`/ws/alarm?${query}`), {}, [PUSH_V1]);
    return new Subscriber(client, await client.nextEvent('ready'));
  }

  /** The next alarms, by their number, and the id of the last one. */
  async hears(...numbers: number[]): Promise<string> {
    let last = '';
    for (const n of numbers) {
      const { id = '', data } = await this.client.nextEvent('alarm');
      if (data['n'] !== n) throw new Error(`expected the alarm ${n}, got ${JSON.stringify(data)}`);
      last = id;
    }
    return last;
  }

  acknowledge(id: string): void {
    this.client.send(JSON.stringify({ event: 'ack', data: { id } }));
  }
}

async function push(gateway: TestGateway, from: number, to = from): Promise<void> {
  for (let n = from; n <= to; n++) await gateway.push.pushAlarm({ businessId: '1', n });
}

/** Waits until the only subscription is stored at this cursor. */
async function storedAt(gateway: TestGateway, id: string): Promise<void> {
  let cursors: string[] = [];
  const look = async () => (cursors = (await gateway.alarms.subscriptions()).map(({ cursor }) => cursor));
  await look();
  await until(() => {
    void look();
    return cursors.length === 1 && cursors[0] === id;
  }, `stored at ${id}`);
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const withOffset = (id: string, offset: number) => `${id.split('.')[0]}.${offset}`;

describe.each(PLATFORMS)('durable subscriptions on %s', (platform) => {
  test('a new one begins with what comes, and goes on after the last acknowledgement that was stored', async () => {
    const gateway = await start({}, platform);
    await push(gateway, 1, 3);
    const first = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    expect(first.ready.data['resumed']).toBe(false);
    await push(gateway, 4, 7);
    const acknowledged = await first.hears(4, 5);
    first.acknowledge(acknowledged);
    await first.hears(6, 7);
    await storedAt(gateway, acknowledged);
    await first.client.cut();
    await push(gateway, 8);
    const second = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    expect(second.ready.data).toMatchObject({ cursor: acknowledged, resumed: true });
    await second.hears(6, 7, 8);
    await push(gateway, 9);
    await second.hears(9);
  });

  test('an app that is installed anew begins with what there is where it asks for it', async () => {
    const gateway = await start({}, platform);
    await push(gateway, 1, 3);
    const installed = await Subscriber.connect(gateway, 'as=ann&durable=phone-2&replay=all');
    expect(installed.ready.data['resumed']).toBe(false);
    installed.acknowledge(await installed.hears(1, 2));
    const last = await installed.hears(3);
    installed.acknowledge(last);
    await storedAt(gateway, last);
    await installed.client.cut();
    // It asks for the same each time; what it has is not sent again.
    await push(gateway, 4);
    const again = await Subscriber.connect(gateway, 'as=ann&durable=phone-2&replay=all');
    expect(again.ready.data['resumed']).toBe(true);
    await again.hears(4);
  });

  test('the newer connection takes over; what the older one acknowledges late is ignored', async () => {
    const gateway = await start({}, platform);
    const older = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    await push(gateway, 1, 2);
    const id = await older.hears(1, 2);
    older.client.socket.pause();
    const newer = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    older.acknowledge(id);
    older.client.socket.resume();
    expect(await within(older.client.closed, 'close')).toEqual(TAKEN_OVER);
    await newer.hears(1, 2);
    expect(await gateway.alarms.subscriptions()).toMatchObject([
      { cursor: withOffset(id, 0), behind: 2, isConnected: true },
    ]);
    newer.acknowledge(id);
    await storedAt(gateway, id);
    expect(newer.client.socket.readyState).toBe(newer.client.socket.OPEN);
  });

  test.each([
    ['ahead of what was sent', (id: string) => withOffset(id, 2)],
    ['far ahead', (id: string) => withOffset(id, Number.MAX_SAFE_INTEGER)],
    ['another epoch', () => 'another.1'],
  ])('an acknowledgement %s is refused', async (_what, idOf) => {
    const gateway = await start({}, platform);
    const { client } = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    await push(gateway, 1);
    const { id = '' } = await client.nextEvent('alarm');
    expect(await client.ask('ack', { id: idOf(id) }, 7)).toEqual({
      event: 'exception',
      ref: 7,
      data: { code: 'ackAhead', message: expect.any(String) },
    });
    expect(await gateway.alarms.subscriptions()).toMatchObject([{ behind: 1 }]);
    client.send(JSON.stringify({ event: 'ack', data: { id } }));
    await storedAt(gateway, id);
  });

  test.each([{}, { id: 5 }, { id: '' }, { id: 'e.-1' }, { id: 'e.9007199254740992' }, { id: 'e.1'.repeat(1000) }])(
    'the acknowledgement %j is no message',
    async (data) => {
      const gateway = await start({}, platform);
      const { client } = await Subscriber.connect(gateway, 'as=ann&durable=phone');
      expect(await client.ask('ack', data)).toMatchObject({ event: 'exception', data: { code: 'badMessage' } });
    },
  );

  test('an acknowledgement needs a durable subscription', async () => {
    const gateway = await start({}, platform);
    const { client } = await Subscriber.connect(gateway, 'as=ann');
    await push(gateway, 1);
    const { id } = await client.nextEvent('alarm');
    expect(await client.ask('ack', { id }, 'a')).toEqual({
      event: 'exception',
      ref: 'a',
      data: { code: 'notDurable', message: expect.any(String) },
    });
  });

  test('delivery stops at maxUnacked and goes on with what is acknowledged', async () => {
    const gateway = await start({ maxUnacked: 3 }, platform);
    const phone = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    await push(gateway, 1, 10);
    const id = await phone.hears(1, 2, 3);
    expect(await gateway.alarmsHeardBy({ phone: phone.client })).toEqual({ phone: [] });
    expect(gateway.alarms.clients()).toMatchObject([{ behind: 7 }]);
    phone.acknowledge(withOffset(id, 2));
    phone.acknowledge(await phone.hears(4, 5));
    phone.acknowledge(await phone.hears(6, 7, 8));
    phone.acknowledge(await phone.hears(9, 10));
    await push(gateway, 11);
    await phone.hears(11);
  });

  test('too many names of one user, or in all, are refused; names that are known are not', async () => {
    const gateway = await start({ maxDurablePerUser: 2, maxDurable: 3 }, platform);
    const headers = { 'Sec-WebSocket-Protocol': PUSH_V1 };
    const refused = { status: 429, json: { error: 'subscriptionLimit' } };
    await Subscriber.connect(gateway, 'as=ann&durable=a');
    await Subscriber.connect(gateway, 'as=ann&durable=b');
    expect(await rawUpgrade(gateway.port, { path: '/ws/alarm?as=ann&durable=c', headers })).toMatchObject(refused);
    expect(await rawGet(gateway.port, { path: '/ws/alarm?as=ann&durable=c' })).toMatchObject(refused);
    await Subscriber.connect(gateway, 'as=bob&durable=a');
    expect(await rawUpgrade(gateway.port, { path: '/ws/alarm?as=cleo&durable=a', headers })).toMatchObject(refused);
    await Subscriber.connect(gateway, 'as=ann&durable=a');
    expect(await gateway.alarms.subscriptions()).toHaveLength(3);
    expect(await gateway.alarms.deleteSubscription({ userName: 'ann', name: 'b' })).toBe(true);
    await Subscriber.connect(gateway, 'as=cleo&durable=a');
  });

  test('a deleted one is closed, and begins anew', async () => {
    const gateway = await start({}, platform);
    const phone = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    await push(gateway, 1);
    await phone.hears(1);
    expect(await gateway.alarms.deleteSubscription({ userName: 'bob', name: 'phone' })).toBe(false);
    expect(await gateway.alarms.deleteSubscription({ userName: 'ann', name: 'phone' })).toBe(true);
    expect(await within(phone.client.closed, 'close')).toEqual({ code: 4403, reason: 'forbidden' });
    expect(await gateway.alarms.subscriptions()).toEqual([]);
    const again = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    expect(again.ready.data['resumed']).toBe(false);
    await push(gateway, 2);
    await again.hears(2);
  });

  test('the application sees who is behind', async () => {
    const gateway = await start({}, platform);
    const phone = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    await Subscriber.connect(gateway, 'as=bob&durable=desk');
    await push(gateway, 1, 5);
    const id = await phone.hears(1, 2);
    phone.acknowledge(id);
    await phone.hears(3, 4, 5);
    const disconnected = new Promise<void>((resolve) => gateway.alarms.disconnected$.subscribe(() => resolve()));
    await phone.client.cut();
    await within(disconnected, 'disconnected$');
    const subscriptions = await gateway.alarms.subscriptions();
    expect(subscriptions.toSorted((a, b) => a.behind - b.behind)).toEqual([
      {
        userName: 'ann',
        name: 'phone',
        cursor: id,
        behind: 3,
        lastSeenAt: expect.any(Date),
        isConnected: false,
      },
      {
        userName: 'bob',
        name: 'desk',
        cursor: withOffset(id, 0),
        behind: 5,
        lastSeenAt: expect.any(Date),
        isConnected: true,
      },
    ]);
  });

  test("another user's name of the same text is another subscription", async () => {
    const gateway = await start({}, platform);
    const ann = await Subscriber.connect(gateway, 'as=ann&durable=phone&org=acme');
    await gateway.push.pushAlarm({ businessId: '1', n: 1, orgId: 'acme' });
    await ann.hears(1);
    await ann.client.cut();
    const bob = await Subscriber.connect(gateway, 'as=bob&durable=phone&org=other&replay=all');
    expect(bob.ready.data['resumed']).toBe(false);
    await gateway.push.pushAlarm({ businessId: '1', n: 2 });
    bob.acknowledge(await bob.hears(2));
    const again = await Subscriber.connect(gateway, 'as=ann&durable=phone&org=acme');
    expect(again.ready.data['resumed']).toBe(true);
    await again.hears(1, 2);
    expect(bob.client.socket.readyState).toBe(bob.client.socket.OPEN);
  });

  test('a plain GET takes nothing over and makes no subscription', async () => {
    const gateway = await start({}, platform);
    const phone = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    for (const name of ['phone', 'new']) {
      expect(await rawGet(gateway.port, { path: `/ws/alarm?as=ann&durable=${name}` })).toMatchObject({ status: 426 });
    }
    expect(await gateway.alarms.subscriptions()).toHaveLength(1);
    await push(gateway, 1);
    const id = await phone.hears(1);
    phone.acknowledge(id);
    await storedAt(gateway, id);
  });

  test.each(['', 'a b', 'ä', 'a.b', 'x'.repeat(65), 'a&durable=b', 'a&lastEventId=e.1'])(
    'durable=%s is refused',
    async (name) => {
      const gateway = await start({}, platform);
      const headers = { 'Sec-WebSocket-Protocol': PUSH_V1 };
      const path = `/ws/alarm?as=ann&durable=${encodeURI(name)}`;
      expect(await rawUpgrade(gateway.port, { path, headers })).toMatchObject({ status: 400 });
      expect(await gateway.alarms.subscriptions()).toEqual([]);
    },
  );

  test('the plain wire has none', async () => {
    const gateway = await start({}, platform);
    expect(await rawUpgrade(gateway.port, { path: '/ws/alarm?as=ann&durable=phone' })).toMatchObject({
      status: 400,
      json: { error: 'parameter', message: expect.stringContaining('push.v1') },
    });
    expect(await gateway.alarms.subscriptions()).toEqual([]);
  });
});

describe('a subscription whose place is gone', () => {
  test('is told so, and gets everything that is left', async () => {
    const gateway = await start({ alarmRetention: 10 });
    const phone = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    await phone.client.cut();
    await push(gateway, 1, 30);
    const { client, ready } = await Subscriber.connect(gateway, 'as=ann&durable=phone');
    const requested = String(phone.ready.data['cursor']);
    const oldest = withOffset(requested, 21);
    expect(ready.data).toMatchObject({ resumed: false, cursor: withOffset(requested, 20) });
    expect(await client.nextMessage()).toEqual({ event: 'gap', data: { requested, oldest, reason: 'retention' } });
    for (const n of numbers(21, 30)) expect((await client.nextEvent('alarm')).data['n']).toBe(n);
  });
});

describe('a node that ends and starts again', () => {
  test('finds alarms and subscriptions in its folder', async () => {
    const alarmLogPath = await temporaryFolder();
    const before = await start({ alarmLogPath });
    const phone = await Subscriber.connect(before, 'as=ann&durable=phone');
    const desk = await Subscriber.connect(before, 'as=bob&durable=desk');
    await push(before, 1, 5);
    const id = await phone.hears(1, 2, 3);
    phone.acknowledge(id);
    await desk.hears(1, 2, 3, 4, 5);
    await phone.hears(4, 5);
    await until(() => phone.client.socket.bufferedAmount === 0, 'it is sent');
    // Its answer comes behind the acknowledgement.
    expect(await phone.client.ask('other', {})).toMatchObject({ event: 'exception' });
    await before.close();
    expect(await within(phone.client.closed, 'close')).toMatchObject({ code: 1012 });

    const after = await start({ alarmLogPath });
    expect(await after.alarms.subscriptions()).toHaveLength(2);
    await push(after, 6);
    const again = await Subscriber.connect(after, 'as=ann&durable=phone');
    expect(again.ready.data).toMatchObject({ cursor: id, resumed: true });
    await again.hears(4, 5, 6);
    const deskAgain = await Subscriber.connect(after, 'as=bob&durable=desk');
    await deskAgain.hears(1, 2, 3, 4, 5, 6);
    const resumed = await Subscriber.connect(after, `as=cleo&lastEventId=${id}`);
    expect(resumed.ready.data).toMatchObject({ cursor: id, resumed: true });
    await resumed.hears(4, 5, 6);
  });

  test('without a folder begins anew, and says so', async () => {
    const before = await start();
    const phone = await Subscriber.connect(before, 'as=ann');
    await push(before, 1);
    const id = await phone.hears(1);
    await before.close();
    const after = await start();
    await push(after, 2);
    const { client } = await Subscriber.connect(after, `as=ann&lastEventId=${id}`);
    expect(await client.nextEvent('gap')).toMatchObject({ data: { requested: id, reason: 'epoch' } });
    expect(await client.nextEvent('alarm')).toMatchObject({ data: { n: 2 } });
  });
});
