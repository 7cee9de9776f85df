import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { WebSocket } from 'ws';
import type { PushModuleOptions } from '../../src/index.js';
import type { SubscriptionRequest } from '../../src/protocol/messages.js';
import { turn, until } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';
import { Random, seeded } from '../support/random.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

/** Until the raw data of clients are fresh again after Redis is back. */
const FRESH_WITHIN_MS = 5000;
const FOUND_WITHIN_MS = 10_000;

interface Datum {
  readonly businessId: string;
  readonly series: string;
  readonly n: number;
}

function push(gateway: TestGateway, businessId: string, n: number, series = 's', filling = ''): void {
  gateway.push.pushRawData({ businessType: 'dev', businessId, series, n, filling });
}

const connect = (gateway: TestGateway, businessId: string, query = '') =>
  gateway.connectPushV1(`/ws/rowdata/dev/${businessId}/ann${query}`);

const key = (businessId: string, asked: Partial<SubscriptionRequest> = {}) => ({
  businessType: 'dev',
  businessId,
  ...asked,
});

/** The next datum, as `1/s 7`; what is told of Redis is passed over. */
async function nextDatum(client: PushClient, deadlineMs?: number): Promise<string> {
  for (;;) {
    const { event, data } = await client.nextMessage(deadlineMs);
    if (event === 'degraded') continue;
    if (event !== 'rawData') throw new Error(`not a datum: ${event} ${JSON.stringify(data)}`);
    const { businessId, series, n } = data as unknown as Datum;
    return `${businessId}/${series} ${n}`;
  }
}

async function nextData(client: PushClient, count: number): Promise<string[]> {
  const names: string[] = [];
  while (names.length < count) names.push(await nextDatum(client));
  return names;
}

async function subscribe(client: PushClient, ...keys: SubscriptionRequest[]): Promise<void> {
  expect(await client.ask('subscribe', { keys })).toEqual({ event: 'subscribed', data: { keys, refused: [] } });
}

describeWithRedis('Snapshots of several nodes', () => {
  let redis: RedisServer;
  let prefixCount = 0;
  let a: TestGateway;
  let b: TestGateway;

  beforeAll(async () => (redis = await RedisServer.start()));
  beforeEach(() => {
    prefixCount += 1;
  });

  afterEach(() => Producer.stopAll());

  const node = (options: PushModuleOptions = {}) =>
    gatewayOn('express')
      .withOptions({ redisUrl: redis.url, redisPrefix: `e2e${prefixCount}`, ...options })
      .start();

  async function twoNodes(options: PushModuleOptions = {}): Promise<void> {
    [a, b] = await Promise.all([node(options), node(options)]);
  }

  /** Redis has taken what the node sent. */
  async function sent(gateway: TestGateway): Promise<void> {
    const watcher = await connect(gateway === a ? b : a, 'sentinel');
    push(gateway, 'sentinel', 0);
    await nextDatum(watcher);
    await watcher.close();
  }

  async function channelCount(): Promise<number> {
    const answer = await redis.command('PUBSUB', 'CHANNELS', `*e2e${prefixCount}*`);
    return answer.split('\r\n').length;
  }

  /** Once it is this, or at the end of the time. */
  async function channelCountOnce(expected: number): Promise<number> {
    const deadlineAtMs = performance.now() + FRESH_WITHIN_MS;
    let count = await channelCount();
    while (count !== expected && performance.now() < deadlineAtMs) count = await channelCount();
    return count;
  }

  describe('a client that comes to a node which never saw the series', () => {
    test('has the last value of each series by its path, and goes on with what is live', async () => {
      await twoNodes();
      for (const n of [1, 2]) push(a, '1', n);
      push(a, '1', 3, 't');
      await sent(a);
      const client = await connect(b, '1', '?snapshot=true');
      push(a, '1', 4);
      expect((await nextData(client, 2)).toSorted()).toEqual(['1/s 2', '1/t 3']);
      expect(await nextDatum(client)).toBe('1/s 4');
    });

    test('has it on the plain wire too', async () => {
      await twoNodes();
      push(a, '1', 1);
      await sent(a);
      const client = await b.connect('/ws/rowdata/dev/1/ann?snapshot=true');
      expect(JSON.parse(await client.next())).toMatchObject({ n: 1 });
    });

    test('has it by subscribe, of keys and of a whole type', async () => {
      await twoNodes();
      for (let id = 1; id <= 200; id++) push(a, `${id}`, id);
      await sent(a);
      const client = await connect(b, 'own');
      await subscribe(client, key('7', { snapshot: true }));
      expect(await nextDatum(client)).toBe('7/s 7');
      await subscribe(client, key('*', { snapshot: true }));
      const all = await nextData(client, 201);
      expect(new Set(all).size).toBe(201);
      expect(all).toContain('200/s 200');
    });

    test('has as much history as it asks for and is kept', async () => {
      await twoNodes({ history: 3 });
      for (let n = 1; n <= 5; n++) push(a, '1', n);
      await sent(a);
      const client = await connect(b, '1', '?history=10');
      expect(await nextData(client, 3)).toEqual(['1/s 3', '1/s 4', '1/s 5']);
      await subscribe(client, key('1', { history: 2 }));
      expect(await nextData(client, 2)).toEqual(['1/s 4', '1/s 5']);
    });

    test('is refused what does not fit half of its outbox', async () => {
      await twoNodes({ maxOutboxBytes: 65_536 });
      for (let id = 1; id <= 100; id++) push(a, `${id}`, id, 's', 'x'.repeat(1000));
      for (let n = 1; n <= 100; n++) push(a, 'large', n, `s${n}`, 'x'.repeat(1000));
      await sent(a);
      const answer = await fetch(b.url('/ws/rowdata/dev/large/ann?snapshot=true', 'http'));
      expect([answer.status, await answer.json()]).toEqual([
        400,
        expect.objectContaining({ error: 'snapshotTooLarge' }),
      ]);
      const client = await connect(b, 'own');
      expect(
        await client.ask('subscribe', { keys: [key('*', { snapshot: true }), key('5', { snapshot: true })] }),
      ).toEqual({
        event: 'subscribed',
        data: { keys: [key('5', { snapshot: true })], refused: [{ ...key('*'), reason: 'tooLarge' }] },
      });
      expect(await nextDatum(client)).toBe('5/s 5');
    });

    test('has the newest value after nobody of its node wanted the key for a while', async () => {
      await twoNodes();
      push(a, '1', 1);
      await sent(a);
      const first = await connect(b, '1', '?snapshot=true');
      expect(await nextDatum(first)).toBe('1/s 1');
      await first.close();
      await until(() => b.rawData.count() === 0, 'the client has gone');
      push(a, '1', 2);
      await sent(a);
      const second = await connect(b, '1', '?snapshot=true');
      expect(await nextDatum(second)).toBe('1/s 2');
    });

    test('has values that a node wrote which is gone', async () => {
      await twoNodes();
      push(a, '1', 1);
      await sent(a);
      await a.close();
      const client = await connect(b, '1', '?snapshot=true');
      expect(await nextDatum(client)).toBe('1/s 1');
    });
  });

  test('what is pushed on another node right after ready or subscribed arrives, however it is addressed', async () => {
    await twoNodes();
    for (let round = 0; round < 20; round++) {
      const id = `r${round}`;
      const client = await connect(b, id);
      const addressed = [{ clientId: client.clientId }, { userName: 'ann' }, { businessType: 'dev' }];
      a.push.pushRawData({ businessType: 'dev', businessId: id, series: 's', n: 1 });
      for (const to of addressed) a.push.pushRawData({ businessType: 'x', businessId: id, series: 's', n: 2 }, { to });
      a.push.pushRawData({ businessType: 'dev', series: 's', n: 3 });
      expect((await nextData(client, 5)).toSorted()).toEqual([
        `${id}/s 1`,
        ...Array(3).fill(`${id}/s 2`),
        'undefined/s 3',
      ]);
      await subscribe(client, key(`more ${id}`));
      push(a, `more ${id}`, 4);
      expect(await nextDatum(client)).toBe(`more ${id}/s 4`);
      await client.close();
    }
  });

  test('a client that goes away while it waits leaves nothing subscribed at Redis', async () => {
    await twoNodes();
    const before = await channelCount();
    const clients = await Promise.all(Array.from({ length: 10 }, (_, n) => connect(b, `p${n}`)));
    for (const client of clients) {
      for (let n = 0; n < 20; n++) {
        const keys = [key(`k${n}`, { snapshot: true })];
        client.send(JSON.stringify({ event: 'subscribe', data: { keys } }));
      }
    }
    await Promise.all(clients.map((client) => client.cut()));
    await until(() => b.rawData.count() === 0, 'they have gone');
    expect(await channelCountOnce(before)).toBe(before);
  });

  test('a client that goes away while its upgrade waits leaves nothing either', async () => {
    await twoNodes();
    const before = await channelCount();
    redis.signal('SIGSTOP');
    const sockets = [1, 2, 3].map((n) => new WebSocket(b.url(`/ws/rowdata/dev/p${n}/ann?snapshot=true`)));
    for (const socket of sockets) socket.on('error', () => {});
    await until(() => b.placesTaken === sockets.length, 'they wait to be let in');
    for (const socket of sockets) socket.terminate();
    await until(() => b.placesTaken === 0, 'they have gone');
    redis.signal('SIGCONT');
    expect([await channelCountOnce(before), b.rawData.count()]).toEqual([before, 0]);
  });

  test('what one tick pushes to a key is written by one command', async () => {
    await twoNodes();
    await sent(a);
    await redis.command('CONFIG', 'RESETSTAT');
    for (let n = 0; n < 300; n++) push(a, `${n % 3}`, n, `s${n % 10}`);
    for (let n = 0; n < 100; n++) a.push.pushRawData({ businessType: 'dev', series: 's', n });
    await sent(a);
    const statistics = await redis.command('INFO', 'commandstats');
    const calls = Number(/cmdstat_hset:calls=(\d+)/.exec(statistics)?.[1]);
    // Three keys, and what `sent` pushes.
    expect(calls).toBe(4);
    const client = await connect(b, '2', '?snapshot=true');
    expect((await nextData(client, 10)).toSorted()[9]).toBe('2/s9 299');
  });

  test(
    'clients that come while data are pushed have the snapshot and then everything, once and in order',
    seeded(async (random: Random) => {
      await twoNodes({ history: random.pick([1, 3]) });
      const producer = new Producer(a, random);
      for (let round = 0; round < 10; round++) {
        const watching = Array.from({ length: 1 + random.below(6) }, async (_, n) => {
          const isByPath = random.chance(0.5);
          const client = await (isByPath
            ? connect(b, '1', random.pick(['?snapshot=true', '?history=3']))
            : connect(b, `own ${n}`));
          if (!isByPath) {
            const keys = [key(random.pick(['1', '*']), { snapshot: true })];
            client.send(JSON.stringify({ event: 'subscribe', data: { keys } }));
          }
          const heard = await producer.watch(client, producer.n + 20);
          await client.close();
          return heard;
        });
        for (const values of (await Promise.all(watching)).flat()) {
          const [first = 0] = values;
          expect(values).toEqual(values.map((_, index) => first + index));
        }
        // Now and then nobody of the node wants the key for a while.
        await until(() => b.rawData.count() === 0, 'they have gone');
      }
      producer.stop();
    }),
    40_000,
  );

  describe('after a loss', () => {
    test('of Redis clients are shown within 5 s what was pushed meanwhile, also what nobody pushes again', async () => {
      await twoNodes();
      const client = await connect(b, '1', '?snapshot=true');
      await subscribe(client, key('quiet'));
      push(a, '1', 1);
      push(a, 'quiet', 1);
      expect((await nextData(client, 2)).toSorted()).toEqual(['1/s 1', 'quiet/s 1']);
      await redis.kill();
      await client.nextEvent('degraded');
      push(a, 'quiet', 2);
      for (let n = 2; n < 100; n++) push(a, '1', n);
      const meanwhile = await connect(b, 'quiet', '?snapshot=true');
      await redis.restart();
      const backAtMs = performance.now();
      const heard: Record<string, number> = {};
      while (heard['1'] !== 99 || heard['quiet'] !== 2) {
        const [, id = '', n] = /^(\w+)\/s (\d+)$/.exec(await nextDatum(client)) ?? [];
        expect(Number(n)).toBeGreaterThan(heard[id] ?? 1);
        heard[id] = Number(n);
      }
      expect(await nextDatum(meanwhile)).toBe('quiet/s 1');
      expect(await nextDatum(meanwhile)).toBe('quiet/s 2');
      expect(performance.now() - backAtMs).toBeLessThan(FRESH_WITHIN_MS);
      push(a, '1', 100);
      expect(await nextDatum(client)).toBe('1/s 100');
    }, 40_000);

    test('of a Redis that is alive and silent they are shown the newest value too', async () => {
      await twoNodes();
      const client = await connect(b, '1', '?snapshot=true');
      redis.signal('SIGSTOP');
      push(a, '1', 1);
      await client.nextEvent('degraded', FOUND_WITHIN_MS);
      push(a, '1', 2);
      redis.signal('SIGCONT');
      const backAtMs = performance.now();
      while ((await nextDatum(client, 2 * FRESH_WITHIN_MS)) !== '1/s 2');
      expect(performance.now() - backAtMs).toBeLessThan(FRESH_WITHIN_MS);
    }, 40_000);

    test('of the connection that a node sends by, what was on its way arrives all the same', async () => {
      await twoNodes();
      const client = await connect(b, '1');
      let newest = 0;
      for (let n = 1; n <= 10; n++) {
        const isKilled = redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        for (let turns = n % 4; turns > 0; turns--) await turn();
        push(a, '1', n);
        await isKilled;
        while (newest < n) {
          const [, value] = (await nextDatum(client, FRESH_WITHIN_MS)).split(' ');
          expect(Number(value)).toBeGreaterThan(newest);
          newest = Number(value);
        }
      }
    }, 60_000);

    test('of the connection that a node hears by, clients end with the newest value, and hear none twice', async () => {
      await twoNodes();
      const producer = new Producer(a, new Random(1));
      const clients = [await connect(b, '1', '?snapshot=true'), await connect(b, '1')];
      for (let round = 0; round < 5; round++) {
        await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
        for (let turns = 0; turns < 50; turns++) await turn();
      }
      producer.stop();
      const heard = await Promise.all(clients.map((client) => producer.watch(client, producer.n)));
      for (const values of heard.flat()) {
        expect(values).toEqual([...new Set(values)].toSorted((one, other) => one - other));
      }
    }, 60_000);

    test('of all that Redis knew, a node shows what it knows, and what is pushed from then on', async () => {
      await twoNodes();
      const client = await connect(b, '1', '?snapshot=true');
      push(a, '1', 1);
      push(a, '2', 1);
      expect(await nextDatum(client)).toBe('1/s 1');
      await sent(a);
      await redis.command('FLUSHALL');
      expect(await nextDatum(await connect(b, '1', '?snapshot=true'))).toBe('1/s 1');
      push(a, '2', 2);
      push(a, '1', 2);
      await sent(a);
      expect(await nextDatum(client)).toBe('1/s 2');
      expect(await nextDatum(await connect(b, '2', '?snapshot=true'))).toBe('2/s 2');
    });
  });
});

/** Pushes rising numbers to three series of (dev, 1), now and then, until the test ends. */
class Producer {
  private static readonly running = new Set<Producer>();

  /** The last one that each series has. */
  n = 0;
  private isStopped = false;

  constructor(
    private readonly gateway: TestGateway,
    private readonly random: Random,
  ) {
    Producer.running.add(this);
    this.tick();
  }

  static stopAll(): void {
    for (const producer of Producer.running) producer.stop();
  }

  stop(): void {
    Producer.running.delete(this);
    this.isStopped = true;
  }

  /** The numbers of each series that the client is sent, until it has heard this one of all. */
  async watch(client: PushClient, last: number): Promise<number[][]> {
    const heard = PRODUCED_SERIES.map((): number[] => []);
    while (heard.some((values) => (values.at(-1) ?? 0) < last)) {
      const { event, data } = await client.nextMessage(FRESH_WITHIN_MS);
      if (event !== 'rawData') continue;
      const { series, n } = data as unknown as Datum;
      heard[PRODUCED_SERIES.indexOf(series)]?.push(n);
    }
    return heard;
  }

  private tick(): void {
    if (this.isStopped) return;
    for (let count = 1 + this.random.below(3); count > 0; count--) {
      this.n += 1;
      for (const series of PRODUCED_SERIES) {
        this.gateway.push.pushRawData({ businessType: 'dev', businessId: '1', series, n: this.n });
      }
    }
    setTimeout(() => this.tick(), this.random.below(4));
  }
}

const PRODUCED_SERIES = ['s', 't', 'u'];
