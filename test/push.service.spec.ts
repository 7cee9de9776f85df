import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { MemoryRevocations } from '../src/access/memory.revocations.js';
import { InProcessCluster } from '../src/bus/in-process.cluster.js';
import { InProcessBus } from '../src/bus/in-process.bus.js';
import type { AlarmEntry } from '../src/alarm-log/alarm-log.js';
import { MemoryAlarmLog } from '../src/alarm-log/memory.alarm-log.js';
import { FlushQueue } from '../src/fan-out/flush-queue.js';
import { WireFormat } from '../src/fan-out/frame.js';
import { rawDataKey } from '../src/fan-out/key.js';
import { EventIdConflictError, InvalidPushError, PayloadTooLargeError } from '../src/push.errors.js';
import { type PushModuleOptions, resolvePushOptions } from '../src/push.options.js';
import { PushService } from '../src/push.service.js';
import type { Alarm, PushRawDataOptions, RawDatum } from '../src/push.types.js';
import type { RawDataRegistry } from '../src/registry/raw-data.registry.js';
import type { RawDataSubscriptions } from '../src/registry/raw-data.subscriptions.js';
import { Sessions } from '../src/registry/sessions.js';
import { MemorySink } from './support/memory.sink.js';
import { createRawData } from './registry/raw-data.fixture.js';

let flushQueue: FlushQueue;
let registry: RawDataRegistry;
let subscriptions: RawDataSubscriptions;
let log: MemoryAlarmLog;
let service: PushService;
let sinks: Map<string, MemorySink>;

function start(given: PushModuleOptions = {}): void {
  const options = resolvePushOptions(given);
  flushQueue = new FlushQueue(options);
  const created = createRawData(options, flushQueue);
  ({ registry, subscriptions } = created);
  log = new MemoryAlarmLog({ count: 1000, hours: 1, bytes: 1024 * 1024 });
  service = new PushService(
    options,
    registry,
    log,
    new InProcessBus(),
    new Sessions(options, new MemoryRevocations(1000), new InProcessCluster(), Date.now),
    created.deliveryFilter,
  );
  sinks = new Map();
}

function connect(clientId: string, businessType = 'dev', businessId = '1', userName = 'alice'): MemorySink {
  const sink = new MemorySink();
  const key = rawDataKey(businessType, businessId, userName, clientId);
  const identity = { clientId, key, userName, remoteAddress: '', format: WireFormat.plain };
  registry.register(registry.createClient(identity, sink, { businessType, businessId }, undefined), () => {});
  sinks.set(clientId, sink);
  return sink;
}

function heardBy(): Record<string, unknown[]> {
  flushQueue.flushAll();
  return Object.fromEntries(
    [...sinks].map(([name, sink]) => [name, sink.texts().map((text) => JSON.parse(text) as unknown)]),
  );
}

beforeEach(() => {
  Logger.overrideLogger(false);
  start();
});

afterEach(() => {
  flushQueue.close();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

describe('pushRawData', () => {
  test('sends the datum as it is, to whom its key matches, and tells how many those are', () => {
    connect('a');
    connect('b', 'dev', '10');
    const datum = { businessType: 'dev', businessId: '1', series: 's', value: [1, { x: '电' }] };
    expect(service.pushRawData(datum)).toEqual({ matched: 1 });
    expect(heardBy()).toEqual({ a: [datum], b: [] });
  });

  test('a datum that is changed after the push is sent as it was', () => {
    connect('a');
    const datum: RawDatum = { businessType: 'dev', businessId: '1', value: 1 };
    service.pushRawData(datum);
    datum['value'] = 2;
    datum.businessType = 'other';
    expect(heardBy()['a']).toEqual([{ businessType: 'dev', businessId: '1', value: 1 }]);
  });

  test('an empty businessId is a broadcast, as an absent one', () => {
    connect('a');
    connect('b', 'host', '2');
    expect(service.pushRawData({ businessType: 'x', businessId: '' }).matched).toBe(2);
    expect(service.pushRawData({ businessType: 'x' }).matched).toBe(2);
  });

  test('to and except', () => {
    connect('a');
    connect('b', 'dev', '1', 'bob');
    const datum = { businessType: 'dev', businessId: '1' };
    expect(service.pushRawData(datum, { to: { userName: 'bob' } }).matched).toBe(1);
    expect(service.pushRawData(datum, { except: 'b' }).matched).toBe(1);
    expect(service.pushRawData(datum, { to: { userName: 'nobody' } }).matched).toBe(0);
    expect(heardBy()).toEqual({ a: [datum], b: [datum] });
  });

  test.each<[string, unknown, PushRawDataOptions | undefined]>([
    ['no businessType', { businessId: '1' }, undefined],
    ['a value that JSON cannot carry', { businessType: 'dev', businessId: '1', v: Number.NaN }, undefined],
    ['an empty to', { businessType: 'dev', businessId: '1' }, { to: {} }],
    ['a to that is undefined', { businessType: 'dev', businessId: '1' }, { to: undefined }],
    ['no datum', null, undefined],
  ])('%s is refused, and nothing is sent', (_, datum, options) => {
    connect('a');
    expect(() => service.pushRawData(datum as RawDatum, options)).toThrow(InvalidPushError);
    expect(heardBy()).toEqual({ a: [] });
  });

  test('1 MiB of JSON goes, one byte more is refused', () => {
    const sink = connect('a');
    const datum = { businessType: 'dev', businessId: '1', p: '' };
    datum.p = 'x'.repeat(1_048_576 - JSON.stringify(datum).length);
    expect(service.pushRawData(datum).matched).toBe(1);
    flushQueue.flushAll();
    expect(sink.texts().map(({ length }) => length)).toEqual([1_048_576]);
    expect(sink.closed).toBeUndefined();
    datum.p += 'x';
    expect(() => service.pushRawData(datum)).toThrow(PayloadTooLargeError);
  });
});

describe('the delivery filter', () => {
  test('is asked for matched clients, with what it needs, and narrows', () => {
    const asked: unknown[] = [];
    start({
      deliveryFilter: (client, datum) => {
        asked.push([client.clientId, client.userName, datum['value']]);
        return client.userName === 'bob';
      },
    });
    connect('a');
    connect('b', 'dev', '1', 'bob');
    connect('c', 'dev', '2', 'bob');
    expect(service.pushRawData({ businessType: 'dev', businessId: '1', value: 7 }).matched).toBe(1);
    expect(asked).toEqual([
      ['a', 'alice', 7],
      ['b', 'bob', 7],
    ]);
    expect(heardBy()).toMatchObject({ a: [], b: [{ value: 7 }], c: [] });
  });

  test('one that throws means not delivered, is counted, and disturbs nobody else', () => {
    start({
      deliveryFilter: ({ clientId }) => {
        if (clientId === 'a') throw new Error('broken');
        return true;
      },
    });
    connect('a');
    connect('b');
    expect(service.pushRawData({ businessType: 'dev', businessId: '1' }).matched).toBe(1);
    expect(service.pushRawData({ businessType: 'dev', businessId: '1' }).matched).toBe(1);
    expect(service.filterFailures).toBe(2);
    expect(heardBy()['b']).toHaveLength(2);
    expect(heardBy()['a']).toEqual([]);
  });

  test.each([1, 'yes', {}, Promise.resolve(true), undefined])('%p is not true', (answer) => {
    start({ deliveryFilter: (() => answer) as unknown as () => boolean });
    connect('a');
    expect(service.pushRawData({ businessType: 'dev', businessId: '1' }).matched).toBe(0);
  });

  test('cannot rewrite the datum for others', () => {
    start({
      deliveryFilter: (_, datum) => {
        datum['value'] = 'rewritten';
        return true;
      },
    });
    connect('a');
    service.pushRawData({ businessType: 'dev', businessId: '1', value: 'as pushed' });
    expect(heardBy()['a']).toMatchObject([{ value: 'as pushed' }]);
  });
});

const push = (value: number, fields: object = {}) =>
  service.pushRawData({ businessType: 'dev', businessId: '1', value, ...fields } as RawDatum);

const values = () => heardBy()['a']?.map((datum) => (datum as { value: number }).value);

describe('series', () => {
  test('conflate within (businessType, businessId)', () => {
    start({ delivery: 'merge' });
    connect('a');
    subscriptions.subscribe([...registry.all()][0] ?? fail(), [{ businessType: 'dev', businessId: '2' }]);
    push(1, { series: 's' });
    push(2, { series: 't' });
    push(3, { series: 's' });
    push(4, { series: 's', businessId: '2' });
    expect(values()).toEqual([3, 2, 4]);
  });

  test('without one the whole datum is one', () => {
    start({ delivery: 'merge' });
    connect('a');
    push(1);
    push(2, { series: 7 });
    push(3, { series: 's' });
    expect(values()).toEqual([2, 3]);
  });

  test('are what seriesOf says', () => {
    start({ delivery: 'merge', seriesOf: (datum) => String(datum['quantity']) });
    connect('a');
    push(1, { quantity: 'u', series: 'x' });
    push(2, { quantity: 'i', series: 'x' });
    push(3, { quantity: 'u', series: 'y' });
    expect(values()).toEqual([3, 2]);
  });

  test('a seriesOf that throws is a clear error, and nothing is sent', () => {
    start({
      seriesOf: () => {
        throw new Error('broken');
      },
    });
    connect('a');
    expect(() => push(1)).toThrow(InvalidPushError);
    expect(() => push(1)).toThrow(/seriesOf.*broken/);
    expect(heardBy()).toEqual({ a: [] });
  });
});

function fail(): never {
  throw new Error('nobody is connected');
}

const stored = async (): Promise<AlarmEntry[]> => log.read(0, 100);

describe('pushAlarm and pushAlarms', () => {
  test('resolve with the place in the log', async () => {
    const { epoch } = log.bounds();
    expect(await service.pushAlarm({ businessId: '1', text: 'hot' })).toEqual({
      cursor: `${epoch}.1`,
      duplicate: false,
    });
    expect(await service.pushAlarms([{ businessId: '2' }, { businessId: '3' }])).toEqual([
      { cursor: `${epoch}.2`, duplicate: false },
      { cursor: `${epoch}.3`, duplicate: false },
    ]);
    expect((await stored()).map(({ json }) => JSON.parse(json) as unknown)).toEqual([
      { businessId: '1', text: 'hot' },
      { businessId: '2' },
      { businessId: '3' },
    ]);
  });

  test('keep beside the JSON what clients filter by', async () => {
    const fields = { businessId: '1', businessType: 'dev', severity: 5, orgId: 'acme', conditionId: 'c', active: true };
    await service.pushAlarm({ ...fields, more: 1 });
    expect((await stored())[0]?.fields).toEqual(fields);
  });

  test('nothing is nothing', async () => {
    expect(await service.pushAlarms([])).toEqual([]);
  });

  test('the same eventId again is a duplicate; with other content a conflict', async () => {
    const alarm = { businessId: '1', eventId: 'e1', text: 'hot' };
    const first = await service.pushAlarm(alarm);
    expect(await service.pushAlarm(alarm)).toEqual({ ...first, duplicate: true });
    await expect(service.pushAlarm({ ...alarm, text: 'cold' })).rejects.toBeInstanceOf(EventIdConflictError);
    expect(await stored()).toHaveLength(1);
  });

  test.each<[string, unknown, string]>([
    ['businessId', {}, 'businessId'],
    ['severity', { businessId: '1', severity: 0 }, 'severity'],
    ['a value that JSON cannot carry', { businessId: '1', v: 1n }, 'v'],
  ])('reject, and do not throw, for %s', async (_, alarm, field) => {
    await expect(service.pushAlarm(alarm as Alarm)).rejects.toMatchObject({ code: 'invalidPush', field });
    expect(await stored()).toEqual([]);
  });

  test('over 64 KiB is refused', async () => {
    await expect(service.pushAlarm({ businessId: '1', p: 'x'.repeat(65_536) })).rejects.toBeInstanceOf(
      PayloadTooLargeError,
    );
    expect(await stored()).toEqual([]);
  });

  test('are all or nothing, and the error names the index', async () => {
    const alarms: Alarm[] = [{ businessId: '1' }, { businessId: '2' }, { businessId: '', severity: 5 }];
    await expect(service.pushAlarms(alarms)).rejects.toMatchObject({ field: '[2].businessId' });
    expect(await stored()).toEqual([]);
  });

  test('an alarm in an array that is too large names its index', async () => {
    const alarms: Alarm[] = [{ businessId: '1' }, { businessId: '2', p: 'x'.repeat(65_536) }];
    await expect(service.pushAlarms(alarms)).rejects.toThrow('[1]');
    expect(await stored()).toEqual([]);
  });

  test.each([null, {}, 'x'])('%j is no array of alarms', async (alarms) => {
    await expect(service.pushAlarms(alarms as unknown as Alarm[])).rejects.toMatchObject({ field: 'alarms' });
  });
});

test('sessions are ended only of somebody', async () => {
  expect(() => service.disconnect({ userName: '' })).toThrow(InvalidPushError);
  expect(() => service.disconnect({} as { userName: string })).toThrow(InvalidPushError);
  expect(() => service.disconnect({ clientId: 'c1' }, { code: 1005, reason: '' })).toThrow(RangeError);
  await expect(service.revoke({} as { userName: string })).rejects.toBeInstanceOf(InvalidPushError);
  expect(service.disconnect({ clientId: 'c1' })).toBe(0);
  expect(await service.revoke({ tokenId: 't1' })).toBe(0);
});
