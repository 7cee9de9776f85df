import { RedisCluster } from '../../src/redis/redis.cluster.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';

/** A node of the cluster and nothing else. It prints its name once it is one of the nodes. */
const { REDIS_URL: url = '', REDIS_PREFIX: prefix = '' } = process.env;
const connection = await RedisConnection.open({ url, prefix });
const faults = {
  failed: (what: string, cause: unknown) => process.stderr.write(`${what}: ${String(cause)}\n`),
  succeeded: () => {},
};
const cluster = await RedisCluster.open({ connection, faults, heartbeatMs: 100, expiryMs: 1000 });
await cluster.join(() => ({ rawData: 1, alarms: 2 }));
process.stdout.write(`joined as ${cluster.nodeId}\n`);

process.once('SIGTERM', () => void leave());
async function leave(): Promise<void> {
  await cluster.close();
  connection.close();
}
