import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { RevocationNotStoredError } from '../../src/push.errors.js';
import { RedisCluster } from '../../src/redis/redis.cluster.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisRevocations } from '../../src/redis/redis.revocations.js';
import { until, untilAsync, within } from '../support/deadline.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface Node {
  readonly revocations: RedisRevocations;
  readonly cluster: RedisCluster;
  readonly connection: RedisConnection;
}

const knows = ({ revocations }: Node, tokenId: string) => revocations.isRevoked({ tokenId });

const returned = ({ cluster }: Node) =>
  within(new Promise<void>((resolve) => void cluster.onReturned(resolve)), 'others can be reached again', 10_000);

describeWithRedis('RedisRevocations', () => {
  let server: RedisServer;
  let errors: string[];
  let ends: (() => Promise<void> | void)[];

  const faults = {
    failed: (what: string, cause: unknown) => void errors.push(`${what}: ${String(cause)}`),
    succeeded: () => {},
  };

  beforeAll(async () => (server = await RedisServer.start({ settings: { appendfsync: 'always' } })));
  afterAll(() => server.stop());

  beforeEach(() => {
    errors = [];
    ends = [];
  });

  afterEach(async () => {
    for (const end of ends.toReversed()) await end();
    await server.command('FLUSHALL');
  });

  async function open(now?: () => number): Promise<Node> {
    const connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
    ends.push(() => connection.close());
    const cluster = await RedisCluster.open({ connection, faults });
    ends.push(() => cluster.close());
    const times = now === undefined ? {} : { now };
    const revocations = await RedisRevocations.open({ connection, cluster, keptMs: DAY_MS, faults, ...times });
    ends.push(() => revocations.close());
    return { revocations, cluster, connection };
  }

  const isStored = async () => (await server.command('ZCARD', '{p}:revocations')) === ':1\r\n';
  const untilStored = () => untilAsync(isStored, 'it is stored', 15_000);

  test('what nobody needs any more goes from Redis, and all of it with time', async () => {
    const clock = { ms: Date.now() };
    const node = await open(() => clock.ms);
    await node.revocations.add({ tokenId: 't1' });
    const { client } = node.connection.commands;
    expect(await client.pTTL('{p}:revocations')).toBeGreaterThan(DAY_MS);
    expect(await client.pTTL('{p}:revocations')).toBeLessThanOrEqual(DAY_MS + HOUR_MS);
    clock.ms += DAY_MS + HOUR_MS + 1;
    await node.revocations.add({ tokenId: 't2' });
    expect(await client.zRange('{p}:revocations', 0, -1)).toEqual(['token:t2']);
  });

  test('Redis keeps them over a kill -9', async () => {
    const first = await open();
    await first.revocations.add({ tokenId: 't1' });
    const back = returned(first);
    await server.kill();
    await server.restart();
    await back;
    expect(knows(await open(), 't1')).toBe(true);
  });

  test('what was revoked while Redis is away counts here, is said not to be stored, and is stored when it is back', async () => {
    const [first, second] = [await open(), await open()];
    await server.kill();
    await until(() => first.cluster.fault !== undefined && second.cluster.fault !== undefined, 'a fault');
    await expect(first.revocations.add({ tokenId: 't1' })).rejects.toBeInstanceOf(RevocationNotStoredError);
    expect([knows(first, 't1'), knows(second, 't1')]).toEqual([true, false]);
    let learned = 0;
    second.revocations.onLearned(() => (learned += 1));
    await server.restart();
    await untilStored();
    await until(() => knows(second, 't1'), 'the other has learned it');
    expect(learned).toBe(1);
    expect(knows(await open(), 't1')).toBe(true);
    expect(errors).toEqual([]);
  });

  test('a node that could not hear learns when it can again', async () => {
    const [first, second] = [await open(), await open()];
    // Nobody hears what is told in this moment.
    await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await first.revocations.add({ tokenId: 't1' });
    await until(() => knows(second, 't1'), 'the other has learned it', 15_000);
    expect(knows(second, 't1')).toBe(true);
  });

  test('a Redis that has lost everything has them again from the nodes', async () => {
    const [first, second] = [await open(), await open()];
    await first.revocations.add({ tokenId: 't1' });
    await until(() => knows(second, 't1'), 'the other has learned it');
    const back = returned(second);
    await server.kill();
    server.forget();
    await server.restart();
    await back;
    await untilStored();
    expect(knows(await open(), 't1')).toBe(true);
  });

  test('what Redis refuses is said not to be stored, and is stored once it takes it', async () => {
    const node = await open();
    await server.command('SET', '{p}:revocations', 'of another type');
    await expect(node.revocations.add({ tokenId: 't1' })).rejects.toBeInstanceOf(RevocationNotStoredError);
    expect(knows(node, 't1')).toBe(true);
    await until(() => errors.length > 0, 'it is reported', 10_000);
    expect(errors[0]).toContain('WRONGTYPE');
    await server.command('DEL', '{p}:revocations');
    await untilStored();
    expect(knows(await open(), 't1')).toBe(true);
  });

  test('a node does not start without knowing them', async () => {
    await server.command('SET', '{p}:revocations', 'of another type');
    await expect(open()).rejects.toThrow('WRONGTYPE');
  });
});
