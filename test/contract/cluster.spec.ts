import { InProcessCluster } from '../../src/bus/in-process.cluster.js';
import { afterAll, beforeAll } from '@jest/globals';
import { RedisCluster } from '../../src/redis/redis.cluster.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { MemoryCluster } from '../support/memory.cluster.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { describeCluster } from './cluster.contract.js';

const SILENT = { failed: () => {}, succeeded: () => {} };

describeCluster('InProcessCluster', { open: async () => new InProcessCluster(), isOfSeveral: false });

let network = new Set<MemoryCluster>();
describeCluster('MemoryCluster, which other tests use', {
  open: async () => new MemoryCluster(network),
  cleanUp: async () => {
    network = new Set();
  },
  isOfSeveral: true,
});

describeWithRedis('with Redis', () => {
  let server: RedisServer;
  let connections: RedisConnection[] = [];
  let tests = 0;

  beforeAll(async () => (server = await RedisServer.start()));
  afterAll(() => server.stop());

  describeCluster('RedisCluster', {
    open: async () => {
      const connection = await RedisConnection.open({ url: server.url, prefix: `test-${tests}` });
      connections.push(connection);
      return RedisCluster.open({ connection, faults: SILENT, deadlineMs: 1000 });
    },
    cleanUp: async () => {
      for (const connection of connections) connection.close();
      connections = [];
      tests += 1;
    },
    isOfSeveral: true,
  });
});
