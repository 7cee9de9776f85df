import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { RedisSubscriptionStore } from '../../src/alarm-log/redis.subscription-store.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const PHONE = { userName: 'ann', name: 'phone' };
const DESK = { userName: 'ann', name: 'desk' };
const at = (offset: number, epoch = 'e1') => ({ epoch, offset });

describeWithRedis('RedisSubscriptionStore on two nodes', () => {
  let server: RedisServer;
  let connections: RedisConnection[];
  let a: RedisSubscriptionStore;
  let b: RedisSubscriptionStore;

  const openStore = async (limits = { perUser: 16, total: 100 }) => {
    const connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
    connections.push(connection);
    return new RedisSubscriptionStore(connection, limits);
  };

  beforeEach(async () => {
    connections = [];
    server = await RedisServer.start();
    [a, b] = [await openStore(), await openStore()];
  });

  afterEach(async () => {
    for (const connection of connections) connection.close();
    await server.stop();
  });

  test('whoever opens it has it, and the other has it no more', async () => {
    const onA = await a.open(PHONE, at(1));
    const onB = await b.open(PHONE, at(9));
    expect(onB).toMatchObject({ cursor: at(1), isNew: false });
    expect(onB.generation).toBeGreaterThan(onA.generation);
    expect(await a.acknowledge(PHONE, onA.generation, at(5))).toBe(false);
    expect(await b.acknowledge(PHONE, onB.generation, at(5))).toBe(true);
    expect(await a.list()).toEqual(await b.list());
    const onAAgain = await a.open(PHONE, at(0));
    expect(onAAgain.cursor).toEqual(at(5));
    expect(await b.acknowledge(PHONE, onB.generation, at(6))).toBe(false);
  });

  test('generations rise whichever node gives them, also over a deletion', async () => {
    const generations: number[] = [];
    for (let n = 0; n < 20; n++) {
      const store = n % 2 === 0 ? a : b;
      generations.push((await store.open(PHONE, at(0))).generation);
      if (n % 5 === 4) await b.delete(PHONE);
    }
    expect(generations).toEqual([...new Set(generations)].toSorted((one, other) => one - other));
  });

  test('the limits are those of all nodes together', async () => {
    const [c, d] = [await openStore({ perUser: 3, total: 100 }), await openStore({ perUser: 3, total: 100 })];
    const opened = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? c : d).open({ userName: 'ann', name: `s${n}` }, at(0))),
    );
    expect(opened.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(await c.list()).toHaveLength(3);
  });

  describe('an opening that Redis has lost', () => {
    test('is stored again, and its generation goes on rising', async () => {
      const { generation } = await a.open(PHONE, at(3));
      await server.command('FLUSHALL');
      expect(await a.acknowledge(PHONE, generation, at(4))).toBe(false);
      expect(await a.restore(PHONE, generation, at(4))).toBe(true);
      expect(await a.acknowledge(PHONE, generation, at(5))).toBe(true);
      expect(await b.list()).toMatchObject([{ ...PHONE, cursor: at(5) }]);
      expect((await b.open(PHONE, at(0))).generation).toBeGreaterThan(generation);
      expect(await a.restore(PHONE, generation, at(9))).toBe(false);
      expect(await b.list()).toMatchObject([{ cursor: at(5) }]);
    });

    test('is stored again in the place of an older one, as a backup has it', async () => {
      const { generation: older } = await a.open(PHONE, at(3));
      const rows = `{p}:subscriptions`;
      const key = JSON.stringify(['ann', 'phone']);
      const { generation: newer } = await a.open(PHONE, at(0));
      await server.command('HSET', rows, key, `${older} 3 e1 1`);
      expect(await a.acknowledge(PHONE, newer, at(4))).toBe(false);
      expect(await a.restore(PHONE, newer, at(4))).toBe(true);
      expect(await b.acknowledge(PHONE, older, at(9))).toBe(false);
      expect(await b.list()).toMatchObject([{ cursor: at(4) }]);
    });

    test('leaves what is there as it is', async () => {
      const { generation } = await a.open(PHONE, at(3));
      await a.acknowledge(PHONE, generation, at(7));
      expect(await a.restore(PHONE, generation, at(3))).toBe(true);
      expect(await a.list()).toMatchObject([{ cursor: at(7) }]);
    });

    test('is not stored again where it was deleted', async () => {
      const { generation } = await a.open(PHONE, at(3));
      await a.open(DESK, at(3));
      await b.delete(PHONE);
      expect(await a.restore(PHONE, generation, at(3))).toBe(false);
      expect(await a.list()).toMatchObject([DESK]);
    });

    test('takes its place among those of its user again', async () => {
      const one = await openStore({ perUser: 1, total: 100 });
      const { generation } = await one.open(PHONE, at(0));
      await server.command('FLUSHALL');
      expect(await one.restore(PHONE, generation, at(0))).toBe(true);
      await expect(one.open(DESK, at(0))).rejects.toMatchObject({ limit: 'user' });
      await one.delete(PHONE);
      expect(await one.open(DESK, at(0))).toMatchObject({ isNew: true });
    });
  });

  test('where Redis is away, it says so at once', async () => {
    await server.kill();
    await expect(a.list()).rejects.toThrow(/offline|closed/);
    await expect(a.open(PHONE, at(0))).rejects.toThrow(/offline|closed/);
  });
});
