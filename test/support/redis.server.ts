import { afterAll } from '@jest/globals';
import { describeWith } from './programs.js';
import { RedisServer } from './redis.process.js';

export { RedisServer, type RedisServerOptions } from './redis.process.js';

/** A suite that needs Redis. */
export function describeWithRedis(name: string, suite: () => void): void {
  describeWith('redis-server', name, suite);
  afterAll(() => RedisServer.killAll());
}
