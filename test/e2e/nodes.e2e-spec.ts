import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createClient } from 'redis';
import { RAW_DATA_BUS } from '../../src/bus/bus.js';
import type { RedisBus } from '../../src/bus/redis.bus.js';
import type { PushRawDataOptions, RawDatum } from '../../src/index.js';
import { until } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const NODES = [0, 1, 2] as const;
const RAW = '{push}:raw:';
const OWN_CHANNELS = /:raw:probe:/;

/** Those who heard anything. */
const heardAnything = (heard: Record<string, unknown[]>) =>
  Object.fromEntries(Object.entries(heard).filter(([, values]) => values.length > 0));

/** Clients of these names on all nodes. */
const onAll = (names: readonly string[]) => NODES.flatMap((index) => names.map((name) => `${name}@${index}`));

describeWithRedis('three nodes on one Redis', () => {
  let redis: RedisServer;
  let observer: ReturnType<typeof createClient>;
  let nodes: TestGateway[];

  beforeEach(async () => {
    redis = await RedisServer.start();
    observer = createClient({ url: redis.url });
    observer.on('error', () => {});
    await observer.connect();
    const options = { redisUrl: redis.url, maxConnections: 5000, maxConnectionsPerIp: 5000 };
    nodes = await Promise.all(NODES.map(() => gatewayOn('express').withOptions(options).start()));
  });
  afterEach(() => observer.destroy());

  const node = (index: number): TestGateway => {
    const found = nodes[index];
    if (found === undefined) throw new Error(`there is no node ${index}`);
    return found;
  };
  const busOf = (index: number) => node(index).app.get<RedisBus>(RAW_DATA_BUS);

  let sentinels = 0;

  /** What each client was sent until now by each of these nodes: behind it comes a datum for everybody, by the same way. */
  async function heardBy(
    clients: Record<string, PushClient>,
    from = [...NODES] as number[],
  ): Promise<Record<string, unknown[]>> {
    const ends = from.map((index) => {
      const end = { businessType: 'sentinel', n: (sentinels += 1) };
      node(index).push.pushRawData(end);
      return end.n;
    });
    const heard = Object.entries(clients).map(async ([name, client]) => {
      const missing = new Set(ends);
      const values: unknown[] = [];
      while (missing.size > 0) {
        const message = JSON.parse(await client.next()) as { event?: string; data: RawDatum } & RawDatum;
        const datum = message.event === 'rawData' ? message.data : message;
        if (datum.businessType !== 'sentinel') values.push(datum['value']);
        else if (!missing.delete(datum['n'] as number)) throw new Error(`${name} got ${JSON.stringify(datum)} twice`);
      }
      return [name, values] as const;
    });
    return Object.fromEntries(await Promise.all(heard));
  }

  /** On each node: ann and bob on dev:1, ann on dev:10, bob on meter:1, and eve, who subscribed to all of dev. */
  async function connectAll(): Promise<Record<string, PushClient>> {
    const paths = { ann1: 'dev/1/ann', bob1: 'dev/1/bob', ann10: 'dev/10/ann', bobMeter: 'meter/1/bob' };
    const clients: Record<string, PushClient> = {};
    for (const index of NODES) {
      for (const [name, path] of Object.entries(paths)) {
        clients[`${name}@${index}`] = await node(index).connect(`/ws/rowdata/${path}`);
      }
      const eve = await node(index).connectPushV1('/ws/rowdata/other/1/eve');
      await eve.ask('subscribe', { keys: [{ businessType: 'dev', businessId: '*' }] });
      clients[`eve@${index}`] = eve;
    }
    return clients;
  }

  describe('who gets a raw datum that is pushed on any of them', () => {
    const dev1 = { businessType: 'dev', businessId: '1' };
    const meter1 = { businessType: 'meter', businessId: '1' };
    const all = ['ann1', 'bob1', 'ann10', 'bobMeter', 'eve'];
    const pushes: Record<string, { datum: RawDatum; to?: PushRawDataOptions['to']; reaches: string[] }> = {
      'an address': { datum: dev1, reaches: ['ann1', 'bob1', 'eve'] },
      'another address of the type': { datum: { ...dev1, businessId: '10' }, reaches: ['ann10', 'eve'] },
      'an address that only a whole type covers': { datum: { ...dev1, businessId: '2' }, reaches: ['eve'] },
      'an address that nobody has': { datum: { ...meter1, businessId: '2' }, reaches: [] },
      'no businessId': { datum: { businessType: 'meter' }, reaches: all },
      'a user': { datum: meter1, to: { userName: 'ann' }, reaches: ['ann1', 'ann10'] },
      'a user who has no client': { datum: dev1, to: { userName: 'nobody' }, reaches: [] },
      'something of a type': { datum: meter1, to: { businessType: 'dev' }, reaches: ['ann1', 'bob1', 'ann10', 'eve'] },
      'an address in the place of its own': { datum: meter1, to: dev1, reaches: ['ann1', 'bob1', 'eve'] },
      'a user’s clients of a type': {
        datum: dev1,
        to: { userName: 'bob', businessType: 'meter' },
        reaches: ['bobMeter'],
      },
      'a user’s clients of an address': { datum: meter1, to: { userName: 'ann', ...dev1 }, reaches: ['ann1'] },
    };

    test('the same clients as on one, on all nodes, by whatever it is addressed to', async () => {
      const clients = await connectAll();
      const heard: Record<string, Record<string, unknown[]>> = {};
      for (const [name, { datum, to, reaches }] of Object.entries(pushes)) {
        for (const index of NODES) {
          const { matched } = node(index).push.pushRawData({ ...datum, value: index }, to === undefined ? {} : { to });
          expect(`${name}: ${matched}`).toBe(`${name}: ${reaches.length}`);
        }
        const ofPush = heardAnything(await heardBy(clients));
        for (const values of Object.values(ofPush)) values.sort();
        heard[name] = ofPush;
      }
      const expected = Object.entries(pushes).map(([name, { reaches }]) => {
        return [name, Object.fromEntries(onAll(reaches).map((client) => [client, [...NODES]]))] as const;
      });
      expect(heard).toEqual(Object.fromEntries(expected));
    });

    test('one client, or all but one, wherever it is', async () => {
      const clients = await connectAll();
      const target = node(2)
        .rawData.clients()
        .find(({ key }) => key.includes(':dev:1:ann:'));
      const clientId = target?.clientId ?? '';
      for (const index of NODES) {
        node(index).push.pushRawData({ ...meter1, value: `to ${index}` }, { to: { clientId } });
        node(index).push.pushRawData({ ...meter1, value: 'no' }, { to: { clientId, userName: 'bob' } });
        node(index).push.pushRawData({ ...dev1, value: `except ${index}` }, { except: clientId });
      }
      const heard = heardAnything(await heardBy(clients));
      expect(Object.keys(heard).toSorted()).toEqual(onAll(['ann1', 'bob1', 'eve']).toSorted());
      for (const [name, values] of Object.entries(heard)) {
        const prefix = name === 'ann1@2' ? 'to' : 'except';
        expect(values.toSorted()).toEqual(NODES.map((index) => `${prefix} ${index}`));
      }
    });

    test('in the order in which one node pushed it', async () => {
      const client = await node(1).connect('/ws/rowdata/dev/1/ann');
      const values = Array.from({ length: 500 }, (_, value) => value);
      for (const value of values) node(0).push.pushRawData({ ...dev1, series: `${value}`, value });
      expect(await heardBy({ client }, [0])).toEqual({ client: values });
    });
  });

  test('a node is sent nothing of what no client of it can be reached by', async () => {
    const { here } = { here: await node(0).connect('/ws/rowdata/dev/1/ann') };
    await node(1).connect('/ws/rowdata/dev/2/ann');
    const wide = await node(2).connectPushV1('/ws/rowdata/meter/1/eve');
    // As many as Redis passed it on to.
    expect(await observer.publish(`${RAW}key:dev:1`, '')).toBe(1);
    expect(await observer.publish(`${RAW}key:dev:3`, '')).toBe(0);
    expect(await observer.publish(`${RAW}user:bob`, '')).toBe(0);
    expect(await observer.publish(`${RAW}user:ann`, '')).toBe(2);

    const receivedBefore = NODES.map((index) => busOf(index).counts.received);
    for (let value = 0; value < 1000; value++)
      node(2).push.pushRawData({ businessType: 'dev', businessId: '1', value });
    expect((await heardBy({ here, wide }, [2]))['here']).toHaveLength(1000);
    const received = NODES.map((index) => busOf(index).counts.received - (receivedBefore[index] ?? 0));
    expect(received).toEqual([1001, 1, 0]);

    await wide.ask('subscribe', { keys: [{ businessType: 'dev', businessId: '*' }] });
    expect(await observer.publish(`${RAW}key:dev:3`, '')).toBe(1);
    await wide.ask('unsubscribe', { keys: [{ businessType: 'dev', businessId: '*' }] });
    await here.close();
    const isNobodyThere = async () => (await observer.publish(`${RAW}key:dev:1`, '')) === 0;
    for (let tries = 0; tries < 1000 && !(await isNobodyThere()); tries++);
    expect(await isNobodyThere()).toBe(true);
  });

  test('3,000 clients: each gets what is its own, once, from each node, and leaves nothing behind', async () => {
    const clients: Record<string, PushClient> = {};
    const names = Array.from({ length: 3000 }, (_, n) => ({ n, index: n % 3, id: n % 50, user: `u${n % 300}` }));
    for (let start = 0; start < names.length; start += 100) {
      const connecting = names.slice(start, start + 100).map(async ({ n, index, id, user }) => {
        clients[n] = await node(index).connect(`/ws/rowdata/dev/${id}/${user}`);
      });
      await Promise.all(connecting);
    }
    for (const index of NODES) {
      for (let id = 0; id < 50; id++) {
        node(index).push.pushRawData({ businessType: 'dev', businessId: `${id}`, value: `${id} from ${index}` });
      }
      node(index).push.pushRawData({ businessType: 'x', value: `u7 from ${index}` }, { to: { userName: 'u7' } });
    }
    const heard = await heardBy(clients);
    const wrong = names.filter(({ n, id, user }) => {
      const subjects = user === 'u7' ? [`${id}`, 'u7'] : [`${id}`];
      const expected = subjects.flatMap((subject) => NODES.map((index) => `${subject} from ${index}`));
      return JSON.stringify(heard[n]?.toSorted()) !== JSON.stringify(expected.toSorted());
    });
    expect(wrong).toEqual([]);

    const counts = NODES.map((index) => busOf(index).counts);
    expect(counts.map(({ dropped, conflated, malformedMessages }) => dropped + conflated + malformedMessages)).toEqual([
      0, 0, 0,
    ]);
    await Promise.all(Object.values(clients).map((client) => client.cut()));
    await until(() => nodes.every(({ rawData }) => rawData.count() === 0), 'all have gone');
    let left: string[] = [''];
    for (let tries = 0; tries < 1000 && left.length > 0; tries++) {
      left = (await observer.pubSubChannels(`${RAW}*`)).filter((name) => !OWN_CHANNELS.test(name));
    }
    expect(left).toEqual([]);
  }, 60_000);
});
