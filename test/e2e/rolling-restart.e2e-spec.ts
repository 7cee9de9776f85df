import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import { AlarmRegistry, PushService, RawDataRegistry } from '../../src/index.js';
import { startNode, type TestNode } from '../app/node.fixture.js';
import { Balancer } from '../support/balancer.js';
import { untilAsync, within } from '../support/deadline.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { RoamingClient } from '../support/roaming.client.js';

const ALARM_CLIENTS = 200;
const TWO_WAY_CLIENTS = 200;
const PLAIN_CLIENTS = 200;
const ALARMS_A_PUSH = 10;
/** At least. */
const ALARMS_A_RESTART = 50;
const PUSH_INTERVAL_MS = 50;
const WINDOW_MS = 3000;
/** Long enough that a process that is held up for a moment makes no peak of it. */
const PEAK_MS = 1000;

let balancer: Balancer | undefined;
let producer: Producer | undefined;
const clients: RoamingClient[] = [];

afterEach(async () => {
  await producer?.end();
  for (const client of clients.splice(0)) client.end();
  balancer?.close();
});

/** Pushes alarms to whichever node the balancer gives, each until it is stored. */
class Producer {
  accepted = 0;
  private isEnded = false;
  readonly ended: Promise<void>;

  constructor(
    private readonly url: string,
    private readonly listeners: readonly RoamingClient[],
  ) {
    this.ended = this.run();
  }

  end(): Promise<void> {
    this.isEnded = true;
    return this.ended;
  }

  private async run(): Promise<void> {
    while (!this.isEnded) {
      const dueAtMs = performance.now() + PUSH_INTERVAL_MS;
      const alarms = Array.from({ length: ALARMS_A_PUSH }, (_, i) => this.accepted + i + 1).map((n) => ({
        businessId: '1',
        n,
        eventId: `e-${n}`,
      }));
      if (await this.push(alarms)) this.accepted += ALARMS_A_PUSH;
      do await sleep(Math.max(PUSH_INTERVAL_MS / 10, dueAtMs - performance.now()));
      while (!this.isEnded && !this.isHeard);
    }
  }

  /** By all who are connected: a slow machine is not to be pushed more than it can deliver. */
  private get isHeard(): boolean {
    return this.listeners.every(({ isOpen, heard }) => !isOpen || (heard.at(-1) ?? 0) >= this.accepted);
  }

  /** Each on a connection of its own, lest a kept one outlive its node. */
  private async push(alarms: readonly object[]): Promise<boolean> {
    try {
      const headers = { 'Content-Type': 'application/json', Connection: 'close' };
      const response = await fetch(this.url, { method: 'POST', headers, body: JSON.stringify(alarms) });
      await response.arrayBuffer();
      return response.status === 201;
    } catch {
      return false;
    }
  }
}

/** Hundreds of clients and three nodes need the processor meanwhile. */
const untilAll = (condition: () => boolean, what: string) => untilAsync(async () => condition(), what, 15_000);

const countOf = ({ app }: TestNode) =>
  app.get(AlarmRegistry, { strict: false }).count() + app.get(RawDataRegistry, { strict: false }).count();

/** The most of these instants within any such stretch of time. */
function peak(atMs: readonly number[], stretchMs: number): number {
  return Math.max(...atMs.map((start) => atMs.filter((each) => each >= start && each < start + stretchMs).length));
}

describeWithRedis('a rolling restart of two nodes under load', () => {
  test('loses no alarm, and brings no peak of reconnects', async () => {
    const redis = await RedisServer.start();
    const variables = {
      PUSH_REDIS_URL: redis.url,
      PUSH_DRAIN_DELAY_MS: '400',
      PUSH_DRAIN_WINDOW_MS: String(WINDOW_MS),
    };
    const front = (balancer = await Balancer.start());
    const nodes = [await startNode(variables), await startNode(variables)];
    for (const { port } of nodes) front.add(port);
    await untilAll(() => front.readyPorts.length === 2, 'both nodes are ready');
    const url = `ws://127.0.0.1:${front.port}`;
    const connect = (count: number, path: string, isTwoWay: boolean) => {
      const made = Array.from({ length: count }, () => new RoamingClient(`${url}${path}`, isTwoWay));
      clients.push(...made);
      return made;
    };
    const alarmClients = connect(ALARM_CLIENTS, '/ws/alarm', true);
    const rawDataClients = [
      ...connect(TWO_WAY_CLIENTS, '/ws/rowdata/dev/1/ann', true),
      ...connect(PLAIN_CLIENTS, '/ws/rowdata/dev/1/bob', false),
    ];
    await untilAll(() => clients.every(({ isOpen }) => isOpen), 'all are connected');
    const load = (producer = new Producer(`http://127.0.0.1:${front.port}/push/alarms`, alarmClients));

    for (const node of nodes.slice()) {
      const { port } = node;
      const leaving = countOf(node);
      const acceptedBefore = load.accepted;
      expect(leaving).toBeGreaterThan(100);
      const before = new Map(clients.map((client) => [client, client.attemptsAtMs.length]));
      await within(node.close(), 'the node shuts down', 10_000);
      front.remove(port);
      await untilAll(() => clients.every(({ isOpen }) => isOpen), 'all are back');
      const attempts = clients.flatMap((client) => client.attemptsAtMs.slice(before.get(client)));
      // Nobody had to try twice, and nobody of the other node was disturbed.
      expect(attempts).toHaveLength(leaving);
      // Of the window: who comes late, on a slow machine, makes no peak of those before.
      const mean = attempts.length / (WINDOW_MS / PEAK_MS);
      expect(peak(attempts, PEAK_MS)).toBeLessThanOrEqual(2 * mean);
      const successor = await startNode(variables);
      nodes.push(successor);
      front.add(successor.port);
      await untilAll(() => front.readyPorts.length === 2, 'its successor is ready');
      await untilAll(() => load.accepted >= acceptedBefore + ALARMS_A_RESTART, 'alarms are accepted');
    }

    await load.end();
    expect(load.accepted).toBeGreaterThanOrEqual(2 * ALARMS_A_RESTART);
    const all = Array.from({ length: load.accepted }, (_, i) => i + 1);
    await untilAll(
      () => alarmClients.every(({ heard }) => (heard.at(-1) ?? 0) === load.accepted),
      'all alarms are out',
    );
    for (const { heard } of alarmClients) expect(heard).toEqual(all);
    for (const { closeCodes } of clients) expect(new Set(closeCodes)).toEqual(new Set([1012]));

    const [last] = nodes.slice(-1);
    last?.app.get(PushService, { strict: false }).pushRawData({ businessType: 'dev', businessId: '1', n: -1 });
    await untilAll(() => rawDataClients.every(({ heard }) => heard.at(-1) === -1), 'raw data reach everybody');
    for (const client of clients) client.end();
    await Promise.all(nodes.slice(2).map((node) => node.close()));
    await redis.kill();
  }, 60_000);
});
