import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import type { SubscriptionRequest } from '../../src/protocol/messages.js';
import { resolvePushOptions } from '../../src/push.options.js';
import type { Cover, RawDataCoverage } from '../../src/registry/raw-data.coverage.js';
import type { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import type { RawDataSubscriptions } from '../../src/registry/raw-data.subscriptions.js';
import { turn } from '../support/deadline.js';
import { MemorySink } from '../support/memory.sink.js';
import { createRawData } from './raw-data.fixture.js';
import { SharedNode, SharedRedis } from './shared.redis.js';

let redis: SharedRedis;
let node: SharedNode;
let other: SharedNode;
let flushQueue: FlushQueue;
let registry: RawDataRegistry;
let subscriptions: RawDataSubscriptions;
let coverage: RawDataCoverage;

beforeEach(() => {
  Logger.overrideLogger(false);
  begin();
});

afterEach(() => {
  coverage.onApplicationShutdown();
  flushQueue.close();
  jest.useRealTimers();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

function begin(history = 1): void {
  redis = new SharedRedis(history);
  node = new SharedNode(redis, 'here');
  other = new SharedNode(redis, 'other');
  const options = resolvePushOptions({ history, maxOutboxBytes: 4096, inFlightBytes: 4096 });
  flushQueue = new FlushQueue(options);
  ({ registry, subscriptions, coverage } = createRawData(options, flushQueue, { bus: node, store: node }));
  node.onReceived(({ datumJson, conflationKey: key, ...address }, origin) => {
    registry.route({ frame: Frame.rawData(datumJson, key), filter: undefined, ...address }, origin);
  });
}

const key = (businessId: string, asked: Partial<SubscriptionRequest> = {}): SubscriptionRequest => ({
  businessType: 'dev',
  businessId,
  ...asked,
});
const asking = (businessId: string) => key(businessId, { snapshot: true });

/** Pushes on the other node; it has happened at Redis. */
function pushElsewhere(json: string, businessId = '1', series = ''): void {
  const address = { businessType: 'dev', businessId, to: undefined, except: undefined };
  other.send({ datumJson: json, conflationKey: conflationKey('dev', businessId, series), ...address });
  while (other.step(() => 0));
}

/** Delivered here, and on its way to Redis. */
function pushHere(json: string): void {
  const address = { businessType: 'dev', businessId: '1', to: undefined, except: undefined };
  const envelope = { datumJson: json, conflationKey: conflationKey('dev', '1', ''), ...address };
  const frame = Frame.rawData(json, envelope.conflationKey);
  registry.route({ ...address, frame, filter: undefined }, node.send(envelope));
}

/** All that is on its way to and from this node has arrived, and everything that comes of it. */
async function settle(): Promise<void> {
  do await turn();
  while (node.step(() => 0));
}

async function isReady({ ready }: Cover): Promise<boolean> {
  await turn();
  return ready === undefined || (await Promise.race([ready.then(() => true), turn().then(() => false)]));
}

interface Connected {
  texts(): string[];
  leave(): void;
}

/** A client is subscribed once what it needs is covered, and gets the snapshot that it asked for. */
async function connect(request: SubscriptionRequest, clientId: string = request.businessId): Promise<Connected> {
  const cover = coverage.coverConnection({ userName: 'ann', clientId, ...request });
  await settle();
  expect(await isReady(cover)).toBe(true);
  const connected = register(request, clientId);
  cover.release();
  return connected;
}

function register(request: SubscriptionRequest, clientId: string): Connected {
  const sink = new MemorySink();
  const identity = { clientId, key: clientId, userName: 'ann', remoteAddress: '', format: WireFormat.plain };
  const client = registry.createClient(identity, sink, request, undefined);
  registry.register(client, () => {
    if (request.snapshot === true) subscriptions.sendSnapshot(client, request, request.history ?? 0);
  });
  return {
    texts: () => {
      flushQueue.flushAll();
      return sink.texts();
    },
    leave: () => registry.unregister(client, 1000, ''),
  };
}

describe('one node alone', () => {
  test('waits for nothing', () => {
    const options = resolvePushOptions({});
    const alone = createRawData(options, flushQueue).coverage;
    for (const cover of [
      alone.coverKeys([asking('1'), asking('*')]),
      alone.coverConnection({ userName: 'ann', clientId: 'c', ...asking('1') }),
    ]) {
      expect(cover.ready).toBeUndefined();
      cover.release();
    }
  });
});

describe('what a client needs', () => {
  test('is wanted until it is given up, and once more gives up nothing', async () => {
    const cover = coverage.coverConnection({ userName: 'ann', clientId: 'c', ...key('1') });
    expect([...node.wants.keys()].map((name) => JSON.parse(name))).toEqual([
      { kind: 'client', clientId: 'c' },
      { kind: 'user', userName: 'ann' },
      { kind: 'everybody' },
      { kind: 'key', businessType: 'dev', businessId: '1' },
      { kind: 'type', businessType: 'dev' },
    ]);
    cover.release();
    cover.release();
    expect(node.wants.size).toBe(0);
    await settle();
  });

  test('is in force before the client is told, and is looked up only where that is asked for', async () => {
    pushElsewhere('1');
    const cover = coverage.coverKeys([key('1')]);
    expect(await isReady(cover)).toBe(false);
    await settle();
    expect(await isReady(cover)).toBe(true);
    expect(node.reads).toEqual([]);
    cover.release();
  });

  test('is wanted by clients of this node and by nobody when they have gone', async () => {
    const one = await connect(key('1'));
    const two = await connect(key('*'));
    one.leave();
    expect([...node.wants.keys()].join()).not.toContain('"businessId":"1"');
    two.leave();
    expect(node.wants.size).toBe(0);
  });
});

describe('a snapshot', () => {
  test('shows what was pushed elsewhere, and goes on with what is live', async () => {
    pushElsewhere('1');
    pushElsewhere('2');
    const client = await connect(asking('1'));
    pushElsewhere('3');
    await settle();
    expect(client.texts()).toEqual(['2', '3']);
  });

  test('of a series that is pushed while it is looked up has neither gap nor duplicate', async () => {
    pushElsewhere('1');
    const cover = coverage.coverKeys([asking('1')]);
    node.step(() => 0);
    pushElsewhere('2');
    node.step(() => 0);
    await turn();
    pushElsewhere('3');
    await settle();
    cover.release();
    const client = await connect(asking('1'));
    pushElsewhere('4');
    await settle();
    expect(client.texts()).toEqual(['3', '4']);
  });

  test('is looked up once for all clients of a key', async () => {
    pushElsewhere('1');
    const clients = [await connect(asking('1'), 'a'), await connect(asking('1'), 'b')];
    expect(clients.map((client) => client.texts())).toEqual([['1'], ['1']]);
    expect(node.reads).toEqual(['dev/1']);
  });

  test('is sent to one client a turn where many have waited for the same', async () => {
    pushElsewhere('1');
    const covers = Array.from({ length: 20 }, () => coverage.coverKeys([asking('1')]));
    let readyCount = 0;
    for (const { ready } of covers) void ready?.then(() => (readyCount += 1));
    const counts: number[] = [];
    while (readyCount < covers.length) {
      node.step(() => 0);
      await turn();
      counts.push(readyCount - counts.reduce((sum, count) => sum + count, 0));
    }
    expect(Math.max(...counts)).toBeLessThanOrEqual(2);
    for (const { release } of covers) release();
  });

  test('of a key that is covered is there at once', async () => {
    pushElsewhere('1');
    await connect(asking('1'));
    const cover = coverage.coverKeys([asking('1')]);
    expect(cover.ready).toBeUndefined();
    cover.release();
  });

  test('is looked up again once nobody wanted the key for a while', async () => {
    pushElsewhere('1');
    const first = await connect(asking('1'));
    first.leave();
    await settle();
    pushElsewhere('2');
    const second = await connect(asking('1'));
    expect(second.texts()).toEqual(['2']);
    expect(node.reads).toEqual(['dev/1', 'dev/1']);
  });

  test('is looked up for the first who asks, though others came before without', async () => {
    pushElsewhere('1');
    const silent = await connect(key('1'), 'a');
    const asked = await connect(asking('1'), 'b');
    expect([silent.texts(), asked.texts()]).toEqual([[], ['1']]);
  });

  test('of a whole type covers its ids, those that come later too', async () => {
    pushElsewhere('1', '1');
    pushElsewhere('2', '2');
    const wide = await connect(asking('*'));
    expect(wide.texts().toSorted()).toEqual(['1', '2']);
    pushElsewhere('3', '3');
    await settle();
    const exact = await connect(asking('3'));
    expect(exact.texts()).toEqual(['3']);
    expect(node.reads).toEqual(['dev/*']);
    wide.leave();
    pushElsewhere('4', '3');
    await settle();
    expect(exact.texts()).toEqual(['3', '4']);
    expect((await connect(asking('3'), 'late')).texts()).toEqual(['4']);
    expect(node.reads).toEqual(['dev/*']);
  });

  test('of which half an outbox is too little is not read to its end', async () => {
    for (let id = 1; id <= 20; id++) pushElsewhere('x'.repeat(1000), `${id}`);
    const cover = coverage.coverKeys([asking('*')]);
    await settle();
    expect(await isReady(cover)).toBe(true);
    expect(subscriptions.isSnapshotTooLarge(asking('*'))).toBe(true);
    cover.release();
  });

  test('of a series that this node pushed itself shows what came last', async () => {
    pushHere('1');
    pushElsewhere('2');
    await settle();
    expect((await connect(asking('1'), 'a')).texts()).toEqual(['1']);
    pushElsewhere('3');
    await settle();
    pushHere('4');
    const client = await connect(asking('1'), 'b');
    expect(client.texts()).toEqual(['4']);
  });

  test('has as much history as is kept', async () => {
    begin(3);
    for (const json of ['1', '2', '3', '4']) pushElsewhere(json);
    const client = await connect({ ...asking('1'), history: 10 });
    pushElsewhere('5');
    await settle();
    expect(client.texts()).toEqual(['2', '3', '4', '5']);
  });
});

describe('while Redis is away', () => {
  test('a client is subscribed at once, with what is known here, and gets what it missed on the return', async () => {
    pushElsewhere('1');
    const before = await connect(asking('1'), 'a');
    node.lose();
    pushElsewhere('2');
    const cover = coverage.coverKeys([asking('1')]);
    expect(cover.ready).toBeUndefined();
    cover.release();
    const meanwhile = await connect(asking('1'), 'b');
    expect([before.texts(), meanwhile.texts()]).toEqual([['1'], ['1']]);
    node.recover();
    await settle();
    pushElsewhere('3');
    await settle();
    expect([before.texts(), meanwhile.texts()]).toEqual([
      ['1', '2', '3'],
      ['1', '2', '3'],
    ]);
  });

  test('what came again by itself is not offered twice, and nothing old behind it', async () => {
    pushElsewhere('1');
    const client = await connect(asking('1'));
    node.lose();
    pushElsewhere('2');
    node.recover();
    pushElsewhere('3');
    await settle();
    expect(client.texts()).toEqual(['1', '3']);
  });

  test('a store that has forgotten, or was put back, changes nothing', async () => {
    pushElsewhere('1');
    pushElsewhere('2');
    const client = await connect(asking('1'));
    node.lose();
    redis.forget();
    node.recover();
    await settle();
    expect((await connect(asking('1'), 'b')).texts()).toEqual(['2']);
    expect(client.texts()).toEqual(['2']);
  });

  test('a look-up that was on its way is made again', async () => {
    pushElsewhere('1');
    const cover = coverage.coverKeys([asking('1')]);
    for (; node.reads.length === 0; await turn()) node.step(() => 0);
    node.lose();
    expect(await isReady(cover)).toBe(true);
    const client = await connect(asking('1'));
    expect(client.texts()).toEqual([]);
    node.recover();
    await settle();
    expect(client.texts()).toEqual(['1']);
    cover.release();
  });

  test('a client that comes on the return does not take from others what they missed', async () => {
    const wide = await connect(key('*'));
    node.lose();
    pushElsewhere('1', '1');
    for (let id = 2; id < 200; id++) pushElsewhere(`${id}`, `${id}`);
    node.recover();
    const exact = await connect(asking('1'));
    await settle();
    expect(exact.texts()).toEqual(['1']);
    expect(wide.texts()).toHaveLength(199);
  });

  test('a look-up of a key that was given up meanwhile says nothing of the one who wants it next', async () => {
    const third = new SharedNode(redis, 'third');
    const client = await connect(asking('1'), 'a');
    node.lose();
    node.recover();
    await turn();
    // Arrives while the key is looked up again, so it would be newer than what is found.
    pushElsewhere('2');
    node.step((count) => count - 1);
    expect(client.texts()).toEqual(['2']);
    client.leave();
    for (const _ of ['read', 'client', 'user', 'everybody', 'key', 'type']) node.step(() => 0);
    const address = { businessType: 'dev', businessId: '1', to: undefined, except: undefined };
    third.send({ datumJson: '3', conflationKey: conflationKey('dev', '1', ''), ...address });
    while (third.step(() => 0));
    await settle();
    expect((await connect(asking('1'), 'b')).texts()).toEqual(['3']);
  });

  test('all keys are looked up, no more than 64 at a time', async () => {
    for (let id = 0; id < 1000; id++) {
      coverage.gained({ kind: 'key', businessType: 'dev', businessId: `${id}` });
      pushElsewhere('1', `${id}`);
    }
    await settle();
    node.lose();
    node.recover();
    await settle();
    expect(new Set(node.reads).size).toBe(1000);
    expect(node.maxReadCount).toBe(64);
  });

  test('what a delivery filter keeps from a client it does not get on the return either', async () => {
    const options = resolvePushOptions({ deliveryFilter: (_client, datum) => datum['n'] !== 2 });
    ({ registry, subscriptions, coverage } = createRawData(options, flushQueue, { bus: node, store: node }));
    const client = await connect(key('1'));
    node.lose();
    pushElsewhere('{"n":2}', '1', 'a');
    pushElsewhere('{"n":3}', '1', 'b');
    node.recover();
    await settle();
    expect(client.texts()).toEqual(['{"n":3}']);
  });
});

describe('a store that is slow or fails', () => {
  test('holds a client back for 2 s, and then it gets what was missing when it comes', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    pushElsewhere('1');
    const cover = coverage.coverKeys([asking('1')]);
    jest.advanceTimersByTime(1900);
    expect(await isReady(cover)).toBe(false);
    jest.advanceTimersByTime(100);
    expect(await isReady(cover)).toBe(true);
    const client = register(asking('1'), 'a');
    cover.release();
    expect(client.texts()).toEqual([]);
    await settle();
    expect(client.texts()).toEqual(['1']);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('is asked again a second later, until it answers', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    pushElsewhere('1');
    node.readFault = new Error('NOPERM');
    const client = await connect(asking('1'));
    expect(client.texts()).toEqual([]);
    jest.advanceTimersByTime(1000);
    await settle();
    expect(node.reads).toHaveLength(2);
    node.readFault = undefined;
    jest.advanceTimersByTime(1000);
    await settle();
    expect(client.texts()).toEqual(['1']);
    jest.advanceTimersByTime(10_000);
    await settle();
    expect(node.reads).toHaveLength(3);
  });
});
