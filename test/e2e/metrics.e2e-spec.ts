import { readFileSync } from 'node:fs';
import { metrics } from '@opentelemetry/api';
import { afterEach, describe, expect, test } from '@jest/globals';
import { NodeState, RawDataRegistry } from '../../src/index.js';
import { startNode, type TestNode } from '../app/node.fixture.js';
import { Child } from '../support/child.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn } from '../support/gateway.fixture.js';
import { MetricProbe } from '../support/metric.probe.js';
import { type Exposition, parseExposition, valueOf } from '../support/prometheus.js';
import { PushClient } from '../support/push.client.js';
import { rawUpgrade } from '../support/raw-upgrade.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const KEY = 'a-key-of-the-test';
const OF_RAW_DATA = { push_gateway: 'rawData' };
const OF_ALARMS = { push_gateway: 'alarm' };
const clients: PushClient[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.cut()));
});

async function scrape(node: TestNode): Promise<Exposition> {
  const { status, headers, body } = await node.send('/metrics');
  expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  return parseExposition(String(body));
}

async function connect(node: TestNode, path: string): Promise<PushClient> {
  const client = await PushClient.connectPushV1(`ws://127.0.0.1:${node.port}${path}`);
  clients.push(client);
  return client;
}

describe('GET /metrics', () => {
  test('of a running node with clients', async () => {
    const node = await startNode();
    const ann = await connect(node, '/ws/rowdata/meter/1/ann');
    const bob = await connect(node, '/ws/rowdata/meter/1/bob');
    const operator = await connect(node, '/ws/alarm');
    const before = await scrape(node);
    await node.post('/push/raw-data', [
      { businessType: 'meter', businessId: '1', n: 1 },
      { businessType: 'meter', businessId: '1', n: 2 },
      { businessType: 'meter', businessId: '2', n: 3 },
    ]);
    await node.post('/push/alarms', { businessId: '1' });
    for (const client of [ann, bob]) await client.nextEvent('rawData');
    await operator.nextEvent('alarm');
    await bob.close(4999, 'enough');
    await until(() => node.app.get(RawDataRegistry, { strict: false }).count() === 1, 'bob is gone');
    expect((await rawUpgrade(node.port, { path: '/ws/alarm?minSeverity=0' })).status).toBe(400);
    const after = await scrape(node);
    const grown = (name: string, labels = {}) => valueOf(after, name, labels) - valueOf(before, name, labels);

    expect(valueOf(after, 'push_connections', OF_RAW_DATA)).toBe(1);
    expect(valueOf(after, 'push_connections', OF_ALARMS)).toBe(1);
    expect(grown('push_pushes_total', OF_RAW_DATA)).toBe(3);
    expect(grown('push_pushes_total', OF_ALARMS)).toBe(1);
    expect(grown('push_matches_total')).toBe(4);
    expect(grown('push_deliveries_total', OF_RAW_DATA)).toBe(4);
    expect(grown('push_deliveries_total', OF_ALARMS)).toBe(1);
    expect(grown('push_written_total', OF_RAW_DATA)).toBeGreaterThan(4 * 40);
    expect(valueOf(after, 'push_disconnections_total', { ...OF_RAW_DATA, push_close_code: 'other' })).toBe(1);
    expect(valueOf(after, 'push_refusals_total', { push_refusal_reason: 'parameter' })).toBe(1);
    expect(valueOf(after, 'push_flush_duration_count', { push_lane: 'rawData' })).toBeGreaterThan(0);
    expect(valueOf(after, 'push_alarm_log_append_duration_count')).toBe(1);
    expect(valueOf(after, 'push_ready')).toBe(1);
    expect(valueOf(after, 'push_alarm_log_up')).toBe(1);
    expect(valueOf(after, 'push_event_loop_delay_max')).toBeLessThan(60);
    expect(grown('process_cpu_time_total', { cpu_mode: 'user' })).toBeGreaterThanOrEqual(0);
    expect(valueOf(after, 'process_memory_usage')).toBeGreaterThan(1e6);
  });

  test('grows by no client, no key and no text of theirs', async () => {
    const node = await startNode();
    const visit = async (n: number) => {
      const client = await connect(node, `/ws/rowdata/type-${n}/id-${n}/user-${n}`);
      client.send(JSON.stringify({ event: `event-${n}`, data: {} }));
      await client.nextEvent('exception');
      await node.post('/push/raw-data', { businessType: `type-${n}`, businessId: `id-${n}`, series: `series-${n}` });
      await client.nextEvent('rawData');
      await client.close(4000 + n, `reason-${n}`);
      await rawUpgrade(node.port, { path: `/ws/rowdata/type-${n}/${'x'.repeat(200)}/user-${n}?lastEventId=${n}` });
    };
    const allGone = () => until(() => node.app.get(RawDataRegistry, { strict: false }).count() === 0, 'all are gone');
    await visit(1);
    await allGone();
    const first = await scrape(node);
    for (let n = 2; n < 30; n++) await visit(n);
    await allGone();
    const last = await scrape(node);
    const [before, after] = [first, last].map(({ samples }) =>
      samples.map(({ name, labels }) => JSON.stringify([name, labels])),
    );
    expect(after?.filter((series) => before?.includes(series) !== true)).toEqual([]);
    expect(after?.length).toBeLessThan(150);
    expect(JSON.stringify(last.samples)).not.toMatch(/(type|id|user|event|series|reason)-\d/);
  });

  test('is for whom the routes that push are', async () => {
    const open = await startNode();
    expect((await open.send('/metrics', { headers: { Host: 'push.example' } })).status).toBe(403);
    expect((await open.send('/metrics', { headers: { Origin: 'https://evil.example' } })).status).toBe(403);
    const keyed = await startNode({ PUSH_PUBLISH_KEY: KEY });
    expect((await keyed.send('/metrics')).status).toBe(401);
    expect((await keyed.send('/metrics', { headers: { Authorization: `Bearer ${KEY}` } })).status).toBe(200);
  });

  test('answers while the node drains, and says so', async () => {
    const node = await startNode();
    node.app.get(NodeState, { strict: false }).enter('draining');
    expect(valueOf(await scrape(node), 'push_ready')).toBe(0);
  });

  test('nodes of one process count each for itself', async () => {
    const nodes = [await startNode(), await startNode()] as const;
    await nodes[0].post('/push/raw-data', { businessType: 'meter' });
    const pushes = await Promise.all(
      nodes.map(async (node) => valueOf(await scrape(node), 'push_pushes_total', OF_RAW_DATA)),
    );
    expect(pushes).toEqual([1, 0]);
  });
});

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string }[];
}

describeWithRedis('with several nodes', () => {
  test('bus and cluster are told, and docs/grafana-dashboard.json asks for nothing that is not there', async () => {
    const redis = await RedisServer.start();
    const nodes = [
      await startNode({ PUSH_REDIS_URL: redis.url }),
      await startNode({ PUSH_REDIS_URL: redis.url }),
    ] as const;
    const [first, second] = nodes;
    const ann = await connect(second, '/ws/rowdata/meter/1/ann');
    await connect(second, '/ws/alarm');
    await first.post('/push/raw-data', { businessType: 'meter', businessId: '1', n: 1 });
    expect((await ann.nextEvent('rawData')).data).toMatchObject({ n: 1 });
    await second.post('/push/alarms', { businessId: '1' });
    await ann.close();
    await rawUpgrade(second.port, { path: '/ws/alarm?minSeverity=0' });
    const exposition = await scrape(second);
    expect(valueOf(await scrape(first), 'push_bus_sent_total')).toBe(1);
    expect(valueOf(exposition, 'push_bus_received_total')).toBe(1);
    expect(valueOf(exposition, 'push_bus_up')).toBe(1);
    expect(valueOf(exposition, 'push_cluster_up')).toBe(1);
    expect(valueOf(exposition, 'push_cluster_untold_total')).toBe(0);

    const dashboard = JSON.parse(
      readFileSync(new URL('../../docs/grafana-dashboard.json', import.meta.url), 'utf8'),
    ) as { title: string; schemaVersion: number; panels: Panel[] };
    expect(dashboard).toMatchObject({ title: 'Push gateway', schemaVersion: expect.any(Number) });
    const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const asked = new Set(expressions.flatMap((expr) => expr.match(/\b(?:push|process|nodejs|v8js)_\w+(?=\{)/g) ?? []));
    expect(asked.size).toBeGreaterThan(20);
    const there = new Set(exposition.samples.map(({ name }) => name));
    expect([...asked].filter((name) => !there.has(name))).toEqual([]);
    // What the panels select and split by.
    const labels = new Set(exposition.samples.flatMap((sample) => Object.keys(sample.labels)));
    const used = expressions.flatMap((expr) => [
      ...(/\bby \(([^)]+)\)/.exec(expr)?.[1]?.split(', ') ?? []),
      ...[...expr.matchAll(/(\w+)(?:=~|!=|=)"/g)].map(([, label = '']) => label),
    ]);
    for (const label of ['job', 'instance', 'worker', 'error_type']) labels.add(label);
    expect([...new Set(used)].filter((label) => !labels.has(label))).toEqual([]);
    for (const name of ['push_ready', 'push_connections', 'push_flush_duration']) {
      expect(expressions.join('\n')).toContain(name);
    }
    await Promise.all(nodes.map((node) => node.close()));
    await redis.kill();
  });
});

describe('in an application of ones own', () => {
  afterEach(() => metrics.disable());

  test('metrics go to the meter provider that it has registered', async () => {
    const probe = new MetricProbe();
    metrics.setGlobalMeterProvider(probe.provider);
    const gateway = await gatewayOn('express').start();
    await gateway.connect('/ws/alarm');
    expect(await probe.values('push.connections')).toEqual({ 'push.gateway=rawData': 0, 'push.gateway=alarm': 1 });
    await gateway.close();
  });

  test('or to the meter of the options', async () => {
    const [global, own] = [new MetricProbe(), new MetricProbe()];
    metrics.setGlobalMeterProvider(global.provider);
    const gateway = await gatewayOn('express').withOptions({ meter: own.meter }).start();
    await gateway.connect('/ws/alarm');
    expect((await own.collect()).has('push.connections')).toBe(true);
    expect((await global.collect()).size).toBe(0);
  });

  test('what is no meter is refused', async () => {
    const options = { meter: {} as never };
    await expect(gatewayOn('express').withOptions(options).start()).rejects.toThrow(/meter must be a Meter/);
  });

  test.each(['present', 'missing'])('with @opentelemetry/api %s and no SDK all goes on', async (api) => {
    const child = Child.node('test/support/unmeasured.program.ts', [], { OPENTELEMETRY_API: api });
    const [, loaded, text] = await child.line(/^(\w+) (.*)$/);
    expect([loaded, text]).toEqual([api, '{"businessType":"dev","n":1}']);
    expect(await within(child.exited, 'the process ends')).toEqual({ code: 0, signal: null });
  });
});
