import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { WriteTotals } from '../../src/fan-out/write-totals.js';
import { DURATION_METRICS, OBSERVED_METRICS } from '../../src/observe/metric.definitions.js';
import { type MeasuredGateway, type MetricSources, PushMetrics } from '../../src/observe/push.metrics.js';
import { AlarmNotAcceptedError, EventIdConflictError } from '../../src/push.errors.js';
import { MetricProbe } from '../support/metric.probe.js';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

class Gateway implements MeasuredGateway {
  readonly clients: { inFlightBytes: number; outboxBytes: number; behindBy: number }[] = [];
  readonly totals = new WriteTotals();
  readonly closeCounts = new Map<number, number>();
  matches = 0;
  filterFailures = 0;

  count(): number {
    return this.clients.length;
  }

  all(): Gateway['clients'] {
    return this.clients;
  }
}

let probe: MetricProbe;
let rawData: Gateway;
let alarms: Gateway;
let refusals: Map<string, number>;
let flushQueue: FlushQueue;
let sources: Writable<MetricSources>;
let metrics: PushMetrics;

beforeEach(async () => {
  probe = new MetricProbe();
  rawData = new Gateway();
  alarms = new Gateway();
  refusals = new Map();
  flushQueue = new FlushQueue({ flushIntervalMs: 0 });
  sources = {
    rawData,
    alarms,
    push: { pushed: { rawData: 11, alarms: 2 }, onAppended: undefined },
    flushQueue,
    audit: { refusalCounts: refusals },
    health: { isReady: true },
    alarmLog: { fault: undefined },
    bus: { fault: undefined, counts: { sent: 1, received: 2, conflated: 3, dropped: 4 } },
    cluster: { fault: undefined, untoldCount: 5 },
    loop: { delays: { p99Ms: 1.5, maxMs: 20 } },
  };
  metrics = new PushMetrics(sources, probe.meter);
  await metrics.onApplicationBootstrap();
});

afterEach(() => {
  metrics.onApplicationShutdown();
  flushQueue.close();
});

test('every metric has the unit of its definition, and is there once there is something to say', async () => {
  rawData.closeCounts.set(1000, 1);
  refusals.set('origin', 1);
  sources.push.onAppended?.(1, undefined);
  flushQueue.rawData.mark({ flush: () => {} });
  flushQueue.flushAll();
  const definitions = Object.values({ ...OBSERVED_METRICS, ...DURATION_METRICS });
  const collected = await probe.collect();
  expect(Object.fromEntries([...collected].map(([name, { unit }]) => [name, unit]))).toEqual(
    Object.fromEntries(definitions.map(({ name, unit }) => [name, unit])),
  );
  // No metric stands for a namespace of others.
  const names = definitions.map(({ name }) => name);
  expect(names.filter((name) => names.some((other) => other.startsWith(`${name}.`)))).toEqual([]);
});

test('the attributes are those of the definitions', async () => {
  rawData.closeCounts.set(1000, 1);
  refusals.set('origin', 1);
  sources.push.onAppended?.(1, new Error('full'));
  flushQueue.rawData.mark({ flush: () => {} });
  flushQueue.flushAll();
  const collected = await probe.collect();
  for (const { name, attributes } of Object.values({ ...OBSERVED_METRICS, ...DURATION_METRICS })) {
    const used = collected.get(name)?.points.flatMap((point) => Object.keys(point.attributes)) ?? [];
    expect([name, ...new Set(used)]).toEqual([name, ...attributes]);
  }
});

describe('what is read at collection', () => {
  test('connections and what they hold, by gateway', async () => {
    rawData.clients.push(
      { inFlightBytes: 10, outboxBytes: 1, behindBy: 0 },
      { inFlightBytes: 20, outboxBytes: 2, behindBy: 0 },
    );
    alarms.clients.push({ inFlightBytes: 5, outboxBytes: 0, behindBy: 0 });
    expect(await probe.values('push.connections')).toEqual({ 'push.gateway=rawData': 2, 'push.gateway=alarm': 1 });
    expect(await probe.values('push.in_flight')).toEqual({ 'push.gateway=rawData': 30, 'push.gateway=alarm': 5 });
    expect(await probe.values('push.outbox')).toEqual({ 'push.gateway=rawData': 3, 'push.gateway=alarm': 0 });
    rawData.clients.pop();
    expect(await probe.values('push.connections')).toMatchObject({ 'push.gateway=rawData': 1 });
  });

  test('pushes, matches, deliveries, bytes and what was not delivered', async () => {
    Object.assign(rawData.totals, { messages: 100, bytes: 5000, conflated: 7 });
    Object.assign(alarms.totals, { messages: 3, bytes: 90 });
    Object.assign(rawData, { matches: 120, filterFailures: 2 });
    expect(await probe.values('push.pushes')).toEqual({ 'push.gateway=rawData': 11, 'push.gateway=alarm': 2 });
    expect(await probe.values('push.matches')).toEqual({ '': 120 });
    expect(await probe.values('push.deliveries')).toEqual({ 'push.gateway=rawData': 100, 'push.gateway=alarm': 3 });
    expect(await probe.values('push.written')).toEqual({ 'push.gateway=rawData': 5000, 'push.gateway=alarm': 90 });
    expect(await probe.values('push.conflations')).toEqual({ '': 7 });
    expect(await probe.values('push.filter.failures')).toEqual({ '': 2 });
  });

  test('how far alarm clients are behind', async () => {
    const place = { inFlightBytes: 0, outboxBytes: 0 };
    alarms.clients.push({ ...place, behindBy: 0 }, { ...place, behindBy: 7 }, { ...place, behindBy: 300 });
    expect(await probe.values('push.alarm.lag')).toEqual({ '': 300 });
    expect(await probe.values('push.alarm.lagging')).toEqual({ '': 2 });
  });

  test('faults, readiness and the event loop', async () => {
    const up = async () =>
      Promise.all(
        ['push.ready', 'push.alarm_log.up', 'push.bus.up', 'push.cluster.up'].map((name) => probe.values(name)),
      );
    expect(await up()).toEqual([{ '': 1 }, { '': 1 }, { '': 1 }, { '': 1 }]);
    Object.assign(sources, {
      health: { isReady: false },
      alarmLog: { fault: 'full' },
      bus: { ...sources.bus, fault: 'gone' },
      cluster: { ...sources.cluster, fault: 'gone' },
    });
    expect(await up()).toEqual([{ '': 0 }, { '': 0 }, { '': 0 }, { '': 0 }]);
    expect(await probe.values('push.event_loop.delay.p99')).toEqual({ '': 0.0015 });
    expect(await probe.values('push.event_loop.delay.max')).toEqual({ '': 0.02 });
  });

  test('the bus', async () => {
    expect(await probe.values('push.bus.sent')).toEqual({ '': 1 });
    expect(await probe.values('push.bus.received')).toEqual({ '': 2 });
    expect(await probe.values('push.bus.conflations')).toEqual({ '': 3 });
    expect(await probe.values('push.bus.dropped')).toEqual({ '': 4 });
  });

  test('what could not be told to other nodes', async () => {
    expect(await probe.values('push.cluster.untold')).toEqual({ '': 5 });
  });

  test('neither bus nor cluster where there are no other nodes', async () => {
    sources.bus = { fault: undefined, counts: undefined };
    sources.cluster = { fault: undefined, untoldCount: undefined };
    const collected = await probe.collect();
    expect([...collected.keys()].filter((name) => /^push\.(bus|cluster)\./.test(name))).toEqual([]);
  });
});

describe('durations', () => {
  interface HistogramValue {
    readonly count: number;
    readonly sum: number;
  }

  test('of flushes, by lane, in seconds', async () => {
    flushQueue.alarms.onRunEnded?.(2);
    flushQueue.rawData.onRunEnded?.(500);
    flushQueue.rawData.onRunEnded?.(250);
    const values = (await probe.values('push.flush.duration')) as Record<string, HistogramValue>;
    expect(values['push.lane=alarms']).toMatchObject({ count: 1, sum: 0.002 });
    expect(values['push.lane=rawData']).toMatchObject({ count: 2, sum: 0.75 });
  });

  test('of appends, by how they failed', async () => {
    const append = sources.push.onAppended;
    append?.(4, undefined);
    append?.(5000, new AlarmNotAcceptedError('unknown', 'no answer'));
    append?.(1, new AlarmNotAcceptedError('rejected', 'the disk is full'));
    append?.(1, new EventIdConflictError('e-1', 'e.1'));
    append?.(1, new Error('of user ann'));
    const values = (await probe.values('push.alarm_log.append.duration')) as Record<string, HistogramValue>;
    expect(Object.keys(values).toSorted()).toEqual([
      '',
      'error.type=conflict',
      'error.type=other',
      'error.type=rejected',
      'error.type=unknown',
    ]);
    expect(values['error.type=unknown']).toMatchObject({ count: 1, sum: 5 });
  });
});

describe('labels', () => {
  test('close codes that are not known share one', async () => {
    for (let code = 3000; code < 5000; code++) rawData.closeCounts.set(code, 1);
    rawData.closeCounts.set(1006, 5);
    const values = await probe.values('push.disconnections');
    expect(values).toMatchObject({
      'push.gateway=rawData,push.close.code=1006': 5,
      'push.gateway=rawData,push.close.code=4413': 1,
    });
    expect(values['push.gateway=rawData,push.close.code=other']).toBeGreaterThan(1900);
    expect(Object.keys(values).length).toBeLessThan(30);
  });

  test('reasons that an application made up share one', async () => {
    for (let n = 0; n < 1000; n++) refusals.set(`user ${n} is locked`, 1);
    refusals.set('tokenExpired', 3);
    expect(await probe.values('push.refusals')).toEqual({
      'push.refusal.reason=tokenExpired': 3,
      'push.refusal.reason=other': 1000,
    });
  });
});

test('after the end of the application nothing is told, although its meter lives on', async () => {
  metrics.onApplicationShutdown();
  expect([...(await probe.collect()).keys()]).toEqual([]);
});
