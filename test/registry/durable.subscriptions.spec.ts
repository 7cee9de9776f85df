import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { MemorySubscriptionStore } from '../../src/alarm-log/memory.subscription-store.js';
import type { SubscriptionStore } from '../../src/alarm-log/subscription-store.js';
import type { AlarmClient } from '../../src/fan-out/alarm.client.js';
import type { Cursor } from '../../src/protocol/cursor.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import type { MemorySink } from '../support/memory.sink.js';
import { MemoryCluster } from '../support/memory.cluster.js';
import { AlarmSide, newAlarms, WatchedLog } from './alarm.fixture.js';

const HOUR_MS = 3_600_000;
const PHONE = { userName: 'ann', name: 'phone' };
const TAKEN_OVER = { code: CloseCodes.takenOver.code, reason: CloseCodes.takenOver.reason };

let log: WatchedLog;
let alarmSide: AlarmSide;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
  Logger.overrideLogger(false);
  log = new WatchedLog();
  alarmSide = new AlarmSide(log, { durableTtlHours: 24 });
  alarmSide.tail.onApplicationBootstrap();
});

afterEach(() => {
  alarmSide.close();
  jest.useRealTimers();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

interface Holder {
  readonly client: AlarmClient;
  readonly sink: MemorySink;
  readonly generation: number;
  readonly cursor: Cursor;
}

const cursorAt = (offset: number) => ({ epoch: log.bounds().epoch, offset });

/** Opens a subscription for a connection that begins at its stored cursor; {@link hold} connects it. */
async function open(id = PHONE, maxUnacknowledged = 100): Promise<Holder> {
  const { cursor, generation } = await alarmSide.store.open(id, cursorAt(log.bounds().newest));
  const start = { epoch: cursor.epoch, position: cursor.offset, prelude: [] };
  return { ...alarmSide.connect({ start, maxUnacknowledged }), generation, cursor };
}

async function connect(id = PHONE, maxUnacknowledged?: number): Promise<Holder> {
  const holder = await open(id, maxUnacknowledged);
  hold(holder, id);
  return holder;
}

const hold = ({ client, generation, cursor }: Holder, id = PHONE) =>
  alarmSide.registry.hold(client, { id, generation, cursor });
const acknowledge = ({ client }: Holder, offset: number) => alarmSide.registry.acknowledge(client, cursorAt(offset));

/** Appends, and lets everything arrive. */
async function append(from: number, to = from): Promise<void> {
  await log.append(newAlarms(from, to));
  await settle();
}

async function settle(): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await jest.advanceTimersByTimeAsync(0);
    alarmSide.flushQueue.flushAll();
  }
}

async function stored({ userName, name } = PHONE): Promise<number | undefined> {
  const all = await alarmSide.store.list();
  return all.find((each) => each.userName === userName && each.name === name)?.cursor.offset;
}

/** Replaces one method of the store. */
function replace<K extends keyof SubscriptionStore>(method: K, by: SubscriptionStore[K]): void {
  Object.assign(alarmSide.store, { [method]: by });
}

describe('an acknowledgement', () => {
  test('is stored', async () => {
    const phone = await connect();
    await append(1, 3);
    expect(acknowledge(phone, 2)).toBeUndefined();
    await settle();
    expect(await stored()).toBe(2);
    expect(acknowledge(phone, 3)).toBeUndefined();
    expect(acknowledge(phone, 1)).toBeUndefined();
    await settle();
    expect(await stored()).toBe(3);
  });

  test('is for durable subscriptions', async () => {
    await append(1);
    const { client } = alarmSide.connect();
    expect(alarmSide.registry.acknowledge(client, cursorAt(1))).toBe('notDurable');
  });

  test('is for what was sent on this connection', async () => {
    const phone = await connect();
    await append(1, 3);
    expect(acknowledge(phone, 4)).toBe('ackAhead');
    expect(acknowledge(phone, Number.MAX_SAFE_INTEGER)).toBe('ackAhead');
    expect(alarmSide.registry.acknowledge(phone.client, { epoch: 'another', offset: 1 })).toBe('ackAhead');
    await settle();
    expect(await stored()).toBe(0);
  });

  test('not for what waits for others to be acknowledged', async () => {
    const phone = await connect(PHONE, 2);
    await append(1, 5);
    expect(phone.sink.texts()).toHaveLength(2);
    expect(acknowledge(phone, 3)).toBe('ackAhead');
    expect(acknowledge(phone, 2)).toBeUndefined();
    await settle();
    expect(phone.sink.texts()).toHaveLength(4);
  });

  test('goes to the store one at a time, the latest of those that wait', async () => {
    const phone = await connect();
    await append(1, 9);
    const { store } = alarmSide;
    const saves: number[] = [];
    const held: (() => void)[] = [];
    const save = store.acknowledge.bind(store);
    replace('acknowledge', async (id, generation, cursor) => {
      saves.push(cursor.offset);
      await new Promise<void>((resolve) => held.push(resolve));
      return save(id, generation, cursor);
    });
    for (let offset = 1; offset <= 5; offset++) acknowledge(phone, offset);
    expect(saves).toEqual([1]);
    held.shift()?.();
    await settle();
    expect(saves).toEqual([1, 5]);
    expect(await stored()).toBe(1);
    held.shift()?.();
    await settle();
    expect(await stored()).toBe(5);
    expect(saves).toEqual([1, 5]);
  });

  test('that cannot be stored is tried again after a second, and counts only then', async () => {
    const phone = await connect(PHONE, 1);
    await append(1, 2);
    expect(phone.sink.texts()).toHaveLength(1);
    const { store } = alarmSide;
    const save = store.acknowledge.bind(store);
    replace('acknowledge', async () => Promise.reject(new Error('the disk is full')));
    acknowledge(phone, 1);
    await settle();
    expect(await stored()).toBe(0);
    replace('acknowledge', save);
    await jest.advanceTimersByTimeAsync(999);
    await settle();
    expect(phone.sink.texts()).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(1);
    await settle();
    expect(await stored()).toBe(1);
    expect(phone.sink.texts()).toHaveLength(2);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('those that cannot be stored wait for one timer, and are stored once the store is back', async () => {
    const names = Array.from({ length: 20 }, (_, i) => ({ userName: `user ${i}`, name: 'phone' }));
    const holders = [];
    for (const id of names) holders.push(await connect(id));
    await append(1);
    const { store } = alarmSide;
    const save = store.acknowledge.bind(store);
    replace('acknowledge', async () => Promise.reject(new Error('the disk is full')));
    const timers = jest.getTimerCount();
    for (const holder of holders) acknowledge(holder, 1);
    await settle();
    expect(jest.getTimerCount()).toBe(timers + 1);
    replace('acknowledge', save);
    await jest.advanceTimersByTimeAsync(1000);
    await settle();
    expect(await Promise.all(names.map(stored))).toEqual(names.map(() => 1));
    expect(jest.getTimerCount()).toBe(timers);
  });

  test('that cannot be stored is not tried for a client that is gone', async () => {
    const phone = await connect();
    await append(1);
    const acknowledgeInStore = jest.fn(async () => Promise.reject(new Error('the disk is full')));
    replace('acknowledge', acknowledgeInStore);
    acknowledge(phone, 1);
    await settle();
    alarmSide.registry.unregister(phone.client, 1006, '');
    await jest.advanceTimersByTimeAsync(5000);
    expect(acknowledgeInStore).toHaveBeenCalledTimes(1);
  });
});

describe('a newer connection', () => {
  test('takes over, and what the older one acknowledges late is not stored', async () => {
    const older = await connect();
    await append(1, 3);
    const newer = await connect();
    expect(older.sink.closed).toEqual(TAKEN_OVER);
    expect(newer.sink.closed).toBeUndefined();
    acknowledge(older, 3);
    await settle();
    expect(await stored()).toBe(0);
    acknowledge(newer, 2);
    await settle();
    expect(await stored()).toBe(2);
    expect(newer.sink.closed).toBeUndefined();
  });

  test('takes over also where it was registered first', async () => {
    const older = await open();
    const newer = await connect();
    hold(older);
    expect(older.sink.closed).toEqual(TAKEN_OVER);
    expect(newer.sink.closed).toBeUndefined();
    expect(await alarmSide.registry.subscriptions()).toMatchObject([{ isConnected: true }]);
    alarmSide.registry.unregister(older.client, 4409, '');
    expect(await alarmSide.registry.subscriptions()).toMatchObject([{ isConnected: true }]);
  });

  test('on another node is noticed with the next acknowledgement', async () => {
    const here = await connect();
    await append(1);
    await alarmSide.store.open(PHONE, cursorAt(0));
    expect(here.sink.closed).toBeUndefined();
    acknowledge(here, 1);
    await settle();
    expect(here.sink.closed).toEqual(TAKEN_OVER);
    expect(await stored()).toBe(0);
  });

  test('of another name or another user takes nothing over', async () => {
    const phone = await connect();
    await connect({ userName: 'ann', name: 'desk' });
    await connect({ userName: 'bob', name: 'phone' });
    expect(phone.sink.closed).toBeUndefined();
    expect(await alarmSide.registry.subscriptions()).toHaveLength(3);
  });
});

describe('the list of subscriptions', () => {
  test('says how far each is behind, and whether it is connected', async () => {
    const phone = await connect();
    await append(1, 5);
    acknowledge(phone, 3);
    await connect({ userName: '', name: 'wall' });
    await settle();
    jest.setSystemTime(Date.now() + HOUR_MS);
    alarmSide.registry.unregister(phone.client, 1000, '');
    const lastSeenAt = new Date();
    jest.setSystemTime(Date.now() + HOUR_MS);
    await append(6);
    const { epoch } = log.bounds();
    expect(await alarmSide.registry.subscriptions()).toEqual([
      { ...PHONE, cursor: `${epoch}.3`, behind: 3, lastSeenAt, isConnected: false },
      {
        userName: '',
        name: 'wall',
        cursor: `${epoch}.5`,
        behind: 1,
        lastSeenAt: expect.any(Date),
        isConnected: true,
      },
    ]);
  });

  test('one of another epoch is behind all there is', async () => {
    await append(1, 5);
    await alarmSide.store.open(PHONE, { epoch: 'another', offset: 4711 });
    expect(await alarmSide.registry.subscriptions()).toMatchObject([{ cursor: 'another.4711', behind: 5 }]);
  });
});

describe('a subscription that is deleted', () => {
  test('is forgotten, and its connection closed', async () => {
    const phone = await connect();
    const desk = await connect({ userName: 'ann', name: 'desk' });
    expect(await alarmSide.registry.deleteSubscription(PHONE)).toBe(true);
    expect(phone.sink.closed).toEqual({ code: CloseCodes.forbidden.code, reason: CloseCodes.forbidden.reason });
    expect(desk.sink.closed).toBeUndefined();
    alarmSide.registry.unregister(phone.client, 4403, '');
    await settle();
    expect(await alarmSide.registry.subscriptions()).toMatchObject([{ name: 'desk' }]);
    expect(await alarmSide.registry.deleteSubscription(PHONE)).toBe(false);
  });

  test('is deleted also where nobody is connected', async () => {
    const { client } = await connect();
    alarmSide.registry.unregister(client, 1000, '');
    expect(await alarmSide.registry.deleteSubscription(PHONE)).toBe(true);
    expect(await alarmSide.registry.subscriptions()).toEqual([]);
  });
});

async function holdOn(side: AlarmSide, id = PHONE): Promise<MemorySink> {
  const { generation, cursor } = await side.store.open(id, cursorAt(0));
  const { client, sink } = side.connect({ maxUnacknowledged: 100 });
  side.registry.hold(client, { id, generation, cursor });
  await settle();
  return sink;
}

describe('on several nodes', () => {
  let cluster: MemoryCluster;
  let here: AlarmSide;
  let there: AlarmSide;
  let thereInCluster: MemoryCluster;

  beforeEach(async () => {
    cluster = new MemoryCluster();
    thereInCluster = cluster.another();
    here = new AlarmSide(log, {}, alarmSide.store, cluster);
    there = new AlarmSide(log, {}, alarmSide.store, thereInCluster);
    for (const side of [here, there]) side.durable.onApplicationBootstrap();
    for (const node of [cluster, thereInCluster]) await node.join(() => ({ rawData: 0, alarms: 0 }));
  });

  afterEach(() => {
    for (const side of [here, there]) side.close();
  });

  test('the latest connection has it, on whichever', async () => {
    const first = await holdOn(here);
    const other = await holdOn(here, { userName: 'bob', name: 'phone' });
    const second = await holdOn(there);
    expect(first.closed).toEqual(TAKEN_OVER);
    expect([second.closed, other.closed]).toEqual([undefined, undefined]);
    const third = await holdOn(here);
    expect(second.closed).toEqual(TAKEN_OVER);
    expect(third.closed).toBeUndefined();
  });

  test('also where the word of it comes late', async () => {
    const { generation: early, cursor } = await here.store.open(PHONE, cursorAt(0));
    const late = await holdOn(there);
    const { client, sink } = here.connect({ maxUnacknowledged: 100 });
    here.registry.hold(client, { id: PHONE, generation: early, cursor });
    await settle();
    expect(sink.closed).toEqual(TAKEN_OVER);
    expect(late.closed).toBeUndefined();
  });

  test.each(['here', 'there'])('a node that was cut off finds out when it is back: %s', async (which) => {
    const first = await holdOn(here);
    const lost = which === 'here' ? cluster : thereInCluster;
    lost.lose();
    const second = await holdOn(there);
    expect(first.closed).toBeUndefined();
    lost.return();
    await settle();
    expect(first.closed).toEqual(TAKEN_OVER);
    expect(second.closed).toBeUndefined();
  });

  test('one that is deleted is closed where it is connected', async () => {
    const sink = await holdOn(there);
    expect(await here.registry.deleteSubscription(PHONE)).toBe(true);
    await settle();
    expect(sink.closed).toEqual({ code: CloseCodes.forbidden.code, reason: CloseCodes.forbidden.reason });
  });

  test('each says of all whether they are connected', async () => {
    await holdOn(here);
    await holdOn(there, { userName: 'bob', name: 'phone' });
    await here.store.open({ userName: 'carl', name: 'phone' }, cursorAt(0));
    for (const side of [here, there]) {
      const all = await side.registry.subscriptions();
      expect(Object.fromEntries(all.map(({ userName, isConnected }) => [userName, isConnected]))).toEqual({
        ann: true,
        bob: true,
        carl: false,
      });
    }
  });

  test('a node that does not answer has none, for the others', async () => {
    await holdOn(there);
    thereInCluster.lose();
    expect(await here.registry.subscriptions()).toMatchObject([{ ...PHONE, isConnected: false }]);
  });
});

describe('a subscription that nobody uses', () => {
  test('is forgotten after its time, one that is connected is not', async () => {
    alarmSide.durable.onApplicationBootstrap();
    await connect();
    const desk = await connect({ userName: 'ann', name: 'desk' });
    await jest.advanceTimersByTimeAsync(23 * HOUR_MS);
    alarmSide.registry.unregister(desk.client, 1000, '');
    await jest.advanceTimersByTimeAsync(23 * HOUR_MS);
    expect(await alarmSide.registry.subscriptions()).toHaveLength(2);
    await jest.advanceTimersByTimeAsync(2 * HOUR_MS);
    expect(await alarmSide.registry.subscriptions()).toMatchObject([PHONE]);
  });

  test('is forgotten by the clock of the store', async () => {
    let nowMs = 1000 * HOUR_MS;
    const now = () => nowMs;
    const side = new AlarmSide(
      log,
      { durableTtlHours: 24 },
      new MemorySubscriptionStore({ perUser: 16, total: 16 }, now),
      new MemoryCluster(),
      now,
    );
    side.durable.onApplicationBootstrap();
    await side.store.open(PHONE, cursorAt(0));
    nowMs += 23 * HOUR_MS;
    await jest.advanceTimersByTimeAsync(HOUR_MS);
    expect(await side.store.list()).toHaveLength(1);
    nowMs += 2 * HOUR_MS;
    await jest.advanceTimersByTimeAsync(HOUR_MS);
    expect(await side.store.list()).toEqual([]);
    side.close();
  });

  test('stays where the store fails', async () => {
    alarmSide.durable.onApplicationBootstrap();
    replace('expire', async () => Promise.reject(new Error('the disk is full')));
    await connect();
    await jest.advanceTimersByTimeAsync(HOUR_MS);
    expect(await alarmSide.registry.subscriptions()).toHaveLength(1);
  });

  test('is not looked for after the end', async () => {
    alarmSide.durable.onApplicationBootstrap();
    expect(jest.getTimerCount()).toBe(1);
    alarmSide.durable.onApplicationShutdown();
    expect(jest.getTimerCount()).toBe(0);
  });
});
