import { afterAll, beforeAll } from '@jest/globals';
import { MemoryRevocations } from '../../src/access/memory.revocations.js';
import { RedisCluster } from '../../src/redis/redis.cluster.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisRevocations } from '../../src/redis/redis.revocations.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { DAY_MS, describeRevocations } from './revocations.contract.js';

describeRevocations('MemoryRevocations', {
  open: async (now) => new MemoryRevocations(DAY_MS, now),
  isShared: false,
});

const faults = { failed: () => {}, succeeded: () => {} };

describeWithRedis('with Redis', () => {
  let server: RedisServer;
  let ends: (() => Promise<void> | void)[] = [];

  beforeAll(async () => (server = await RedisServer.start()));
  afterAll(() => server.stop());

  describeRevocations('RedisRevocations', {
    open: async (now) => {
      const connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
      const cluster = await RedisCluster.open({ connection, faults });
      ends.push(
        () => cluster.close(),
        () => connection.close(),
      );
      return RedisRevocations.open({ connection, cluster, keptMs: DAY_MS, faults, now });
    },
    cleanUp: async () => {
      for (const end of ends) await end();
      ends = [];
      await server.command('FLUSHALL');
    },
    isShared: true,
  });
});
